"""Building blocks used by more than one method."""
