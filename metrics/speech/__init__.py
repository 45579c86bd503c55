"""Metrics of speech: one file each, with the function, and the class that the harness runs."""
