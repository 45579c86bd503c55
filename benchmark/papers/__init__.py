"""What the papers report (`reported`), to be set beside what is measured here."""
