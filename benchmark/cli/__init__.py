"""The verbs: parsing only; whatever is heavy is imported inside the functions."""
