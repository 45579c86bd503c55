"""The papers' figures, drawn from published runs and kept for the page.

leaderboards/figures/sf2f-4.webp    as `figure` draws it
leaderboards/figures/sf2f-4.json    its caption, and the runs that it shows
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.errors import PrerequisiteError, SubmissionError
from benchmark.files import write_whole
from benchmark.leaderboard.submissions import FOLDER as RESULTS
from benchmark.leaderboard.submissions import ROOT, Submission, everything

FOLDER = "figures"
MOST = 1 << 18
"""Bytes of a picture."""
QUALITY = 80
"""Of WebP, of 100."""
WIDEST = 1200
"""Pixels from left to right."""


@dataclass(frozen=True)
class Figure:
    """One figure of a paper, drawn here."""

    name: str
    """`sf2f/4`."""
    title: str
    caption: str
    runs: tuple[str, ...]
    """Ids of the runs that it shows."""

    @property
    def command(self) -> str:
        """What draws it."""
        return f"python -m benchmark figure {self.name}"


def write(
    names: Sequence[str], runs: Path = Path("runs"), root: Path = ROOT, say: Callable[[str], None] = lambda line: None
) -> list[Path]:
    """Draw figures from runs whose results are published; of a paper, or `all`, those that can be drawn.

    Args:
        names: as `figure` takes them.
        runs: folder of run directories.
        say: is told what is left out, and why.

    Raises:
        UnknownName: there is no such figure.
        PrerequisiteError: a figure that is named lacks a run.
        SubmissionError: it shows a run whose result is not published.
    """
    from benchmark.papers import figures
    from benchmark.papers.needs import Shelves

    shelves = Shelves(runs, root / RESULTS)
    published = {each.result.run_id for each in everything(root)}
    paths = []
    for figure in figures.find(names):
        try:
            drawing = figures.prepare(figures.Material(figure, shelves))
        except PrerequisiteError as error:
            if figure.name in names:
                raise
            say(str(error).splitlines()[0])
            continue
        found = [shelves.find(need) for need in (*figure.runs, *figure.further)]
        ids = tuple(sorted({kept.result.run_id for kept in found if kept is not None}))
        if strange := set(ids) - published:
            raise SubmissionError(
                f"expected published runs behind figure {figure.name}, got {', '.join(sorted(strange))}; add them "
                "first: python -m benchmark leaderboard add RUN"
            )
        with tempfile.TemporaryDirectory() as folder:
            (drawn,) = figures.write(figure, drawing, Path(folder), ["png"])
            picture = _webp(drawn)
        about = json.dumps(asdict(Figure(figure.name, figure.title, drawing.caption, ids)), indent=2) + "\n"
        for ending, data in ((".webp", picture), (".json", about.encode("ascii"))):
            path = root / FOLDER / f"{figure.stem}{ending}"
            write_whole(path, lambda partial, data=data: partial.write_bytes(data))  # type: ignore[misc]
        paths.append(root / FOLDER / f"{figure.stem}.webp")
    return paths


def read(root: Path = ROOT) -> list[tuple[Figure, bytes]]:
    """The kept figures with their pictures, sorted by name.

    Raises:
        SubmissionError: a file is not as `leaderboard figures` writes it, or too large.
    """
    from pydantic import TypeAdapter, ValidationError

    found = []
    for path in sorted((root / FOLDER).glob("*.json")):
        picture = path.with_suffix(".webp")
        try:
            figure = TypeAdapter(Figure).validate_json(path.read_bytes(), strict=True)
        except ValidationError as error:
            raise SubmissionError(f"{path} is not as `leaderboard figures` writes it: {error}; draw it anew") from error
        if picture.is_symlink() or not picture.is_file() or picture.stat().st_size > MOST:
            raise SubmissionError(f"expected a picture of at most {MOST >> 10} KiB as {picture}; draw it anew")
        found.append((figure, picture.read_bytes()))
    return found


def stale(submissions: Iterable[Submission], root: Path = ROOT) -> list[str]:
    """Files of figures that show runs which are not published, or no longer, below the folder of leaderboards."""
    published = {each.result.run_id for each in submissions}
    gone = [figure for figure, _ in read(root) if not published.issuperset(figure.runs)]
    return [f"{FOLDER}/{figure.name.replace('/', '-')}{ending}" for figure in gone for ending in (".json", ".webp")]


def _webp(path: Path) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(path) as drawn:
        picture = drawn.convert("RGB")
        picture.thumbnail((WIDEST, 2 * WIDEST), Image.Resampling.LANCZOS)
        picture.save(buffer, format="WEBP", quality=QUALITY, method=6)
    return buffer.getvalue()
