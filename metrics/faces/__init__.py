"""Metrics of generated faces, one file per metric."""
