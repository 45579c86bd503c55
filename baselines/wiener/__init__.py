"""Wiener filter with a tracked noise power: enhancement that knows no face and learns nothing."""
