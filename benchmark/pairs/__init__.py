"""Scoring files without a method: pairs of reference and estimate by name or list, aligned in time where asked."""
