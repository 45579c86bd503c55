"""Ridge regression from a voice to a face: the row that networks have to beat."""
