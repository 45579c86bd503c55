"""What a finished run says: its file (`schema`), how sure its numbers are (`statistics`), and all of them as a table
for pandas (`frame`).
"""

from benchmark.results.frame import frame

__all__ = ["frame"]
