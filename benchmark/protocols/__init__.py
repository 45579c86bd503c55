"""How papers evaluate: a file for each paper (`book.py` reads them), and how a run follows one (`following.py`)."""
