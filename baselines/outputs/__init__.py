"""Outputs of systems from elsewhere: read from a folder, or made by a command in an environment of its own."""
