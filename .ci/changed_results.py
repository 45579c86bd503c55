"""Print the result files of one folder that another lacks or has otherwise, each with a zero byte behind it.

    python .ci/changed_results.py BEFORE NOW

A result counts as changed with its file of scores. Files are compared as bytes, and nothing in them is read.
"""

from __future__ import annotations

import sys
from pathlib import Path


def changed(before: Path, now: Path) -> list[Path]:
    """Result files of `now` that are not the same in `before`."""
    found = []
    for path in sorted(now.rglob("*.json")):
        beside = path.with_name(path.name.removesuffix(".json") + ".scores.jsonl.gz")
        pairs = [(file, before / file.relative_to(now)) for file in (path, beside)]
        if any(_content(one) != _content(other) for one, other in pairs):
            found.append(path)
    return found


def _content(path: Path) -> bytes | None:
    if path.is_symlink():  # never the same: the rules refuse it
        return b"link " + str(path).encode()
    return path.read_bytes() if path.is_file() else None


if __name__ == "__main__":
    sys.stdout.write("".join(f"{path}\0" for path in changed(Path(sys.argv[1]), Path(sys.argv[2]))))
