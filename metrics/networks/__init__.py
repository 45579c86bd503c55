"""Pretrained networks inside metrics; each is handed the file that holds its weights."""
