"""Files of weights: which there are (`published`), where they lie (`table`), how they come (`downloads`), and the
networks they fill (`networks`)."""
