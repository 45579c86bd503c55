"""Files of weights: which there are (`table`), how they come (`downloads`), and the networks they fill (`networks`)."""
