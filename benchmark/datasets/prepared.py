"""What `data prepare` says of a folder that it made: which videos are crops of faces already."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from benchmark.datasets.utterances import Utterances

RECORD = "prepared.jsonl"
"""In a folder of products: a line for each file that was looked at, what was made of it, and with which settings."""
_STEP = "faces"


def framed_as_prepared(root: Path, utterances: Utterances) -> Utterances:
    """The utterances, those whose video is a crop of the face by the record marked so: no face is looked for in it."""
    crops = face_crops(root)
    if not crops:
        return utterances
    return Utterances(
        (name, replace(each, attributes={**each.attributes, "framing": "face"}) if each.video in crops else each)
        for name, each in utterances.named()
    )


def face_crops(root: Path) -> frozenset[str]:
    """The videos and pictures that `data prepare faces` made in a folder, relative to it; none without a record."""
    try:
        lines = (root / RECORD).read_bytes().splitlines()
    except OSError:
        return frozenset()
    found: set[str] = set()
    for text in lines:
        try:
            line = json.loads(text)
            if line["settings"]["step"] == _STEP:
                found.update(line["products"])
        except (ValueError, TypeError, KeyError):  # torn by a kill; the next `data prepare` mends it
            continue
    return frozenset(found)
