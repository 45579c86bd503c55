"""Talkers: the generated corpus of talking people that every machine can build."""
