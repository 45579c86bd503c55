"""Outputs of published runs, small enough for a page: faces to look at, sounds to listen to with their spectrograms.

    leaderboards/examples/<task>/<dataset>/<run_id>/about.json     which run, samples, weights and commands
    leaderboards/examples/<task>/<dataset>/<run_id>/SAMPLE.webp    a face, or the spectrogram of a sound
    leaderboards/examples/<task>/<dataset>/<run_id>/SAMPLE.flac    a sound

Which samples are shown hangs on the split alone, never on what a method made of them: so each run brings its own
examples, and nobody chooses the best ones. Of faces they are the first people of the split; of mixtures the first of
each kind of noise at the SNR nearest 0 dB. Always the first evaluation run.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from benchmark.errors import MissingDataset, SubmissionError
from benchmark.files import write_whole
from benchmark.leaderboard.submissions import ROOT, Submission, everything
from benchmark.types import Sample

FOLDER = "examples"
ABOUT = "about.json"
FACES, SOUNDS = 8, 3
"""People, and mixtures where there are not more kinds of noise."""
KINDS = {".webp": "image/webp", ".flac": "audio/flac"}
"""Endings of files, and what they are on a page."""
MOST = 1 << 18
"""Bytes of a file."""
QUALITY = 90
"""Of WebP, of 100."""
SPECTRUM_HEIGHT = 96
"""Pixels of a spectrogram, from 0 Hz to half the rate; a pixel across is a frame of 8 ms at 16 kHz."""


@dataclass(frozen=True)
class Example:
    """One output."""

    sample: str
    speaker: str
    title: str
    """What it is made from: `female, 22 years`; `pink noise, 0 dB`."""
    text: str
    """What is said; empty for faces."""
    file: str
    spectrogram: str
    """Its file; empty for faces."""
    turned_down_db: float
    """By how much a sound beyond full scale was turned down to be written."""
    sha256: str
    """Of the output as the run has it."""


@dataclass(frozen=True)
class Shown:
    """The examples of one run."""

    run_id: str
    label: str
    weights_sha256: str | None
    manifest_sha256: str
    command: str
    """Makes the run; empty where the leaderboards know none."""
    examples: tuple[Example, ...]


def folder_of(submission: Submission) -> PurePosixPath:
    """Where the examples of a result belong, below the folder of leaderboards."""
    spec = submission.result.spec
    return PurePosixPath(FOLDER, spec.task, spec.dataset, submission.result.run_id)


def chosen(samples: Sequence[Sample], output: str) -> list[Sample]:
    """The samples of a split that are shown, by their ids alone, and no person twice where that can be.

    Args:
        output: kind of what the task makes, `image` or `audio`.
    """
    samples = sorted(samples, key=lambda sample: sample.id)
    if output == "image":
        return list({sample.speaker: sample for sample in reversed(samples)}.values())[::-1][:FACES]
    kinds: dict[str, list[Sample]] = {}
    for sample in samples:
        kinds.setdefault(str(sample.attributes.get("noise", "")), []).append(sample)
    picked: list[Sample] = []
    for _, own in sorted(kinds.items()):
        nearest = min(abs(_snr(sample)) for sample in own)
        for _ in range(max(1, SOUNDS // len(kinds))):
            heard = {sample.speaker for sample in picked}
            left = [sample for sample in own if abs(_snr(sample)) == nearest and sample not in picked]
            picked += sorted(left, key=lambda sample: (sample.speaker in heard, sample.id))[:1]
    return picked


def _snr(sample: Sample) -> float:
    return float(sample.attributes.get("snr_db", 0.0))


# -- reading -----------------------------------------------------------------------------------------------------------


def read(submission: Submission, root: Path = ROOT) -> Shown | None:
    """The examples of a result; None where there are none.

    Raises:
        SubmissionError: the file is not as `leaderboard examples` writes it, or of another run.
    """
    path = root / folder_of(submission) / ABOUT
    if not path.is_file():
        return None
    from pydantic import TypeAdapter, ValidationError

    try:
        found = TypeAdapter(Shown).validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise SubmissionError(
            f"expected in {path} what `leaderboard examples` writes, got at '{'.'.join(map(str, first['loc']))}': "
            f"{first['msg']}; make it anew"
        ) from error
    if found.run_id != submission.result.run_id:
        raise SubmissionError(f"expected examples of {submission.result.run_id} in {path}, got those of {found.run_id}")
    return found


def content(submission: Submission, name: str, root: Path = ROOT) -> tuple[str, bytes]:
    """Media type and bytes of one file of a result's examples.

    Raises:
        SubmissionError: it is not there, too large, or of another kind.
    """
    path = root / folder_of(submission) / name
    kind = KINDS.get(path.suffix)
    if PurePosixPath(name).name != name or kind is None or path.is_symlink() or not path.is_file():
        raise SubmissionError(f"expected a file {' or '.join(KINDS)} beside {ABOUT}, got {name!r} in {path.parent}")
    if path.stat().st_size > MOST:
        raise SubmissionError(f"expected at most {MOST >> 10} KiB, got {path.stat().st_size >> 10} KiB in {path}")
    return kind, path.read_bytes()


def stale(submissions: Iterable[Submission], root: Path = ROOT) -> list[str]:
    """Files of runs that are not published, or no longer, below the folder of leaderboards."""
    kept = {root / folder_of(each) for each in submissions}
    return sorted(
        path.relative_to(root).as_posix()
        for path in (root / FOLDER).glob("*/*/*/*")
        if path.is_file() and path.parent not in kept
    )


# -- writing -----------------------------------------------------------------------------------------------------------


def write(run: str, runs: Path = Path("runs"), root: Path = ROOT) -> Path:
    """Write the examples of a run whose result is published; returns their folder.

    A run of a part of the split will do, as long as it holds what is shown.

    Args:
        run: directory, id or label.
        runs: folder of run directories.

    Raises:
        UsageError: there is no such run.
        SubmissionError: its result is not published, or it lacks an output.
        MissingDataset: the data that it was made from are not here.
    """
    from benchmark.datasets.manifest import read_manifest
    from benchmark.leaderboard.refresh import Made, commands
    from benchmark.results.comparison import find_scored
    from benchmark.runs.directory import RunDirectory
    from benchmark.tasks import TASKS

    scored = find_scored(run, runs)
    published = {each.result.run_id: each for each in everything(root)}
    if scored.result.run_id not in published:
        raise SubmissionError(
            f"expected a run whose result is published, got {scored.result.run_id}; add it first: "
            "python -m benchmark leaderboard add RUN"
        )
    submission = published[scored.result.run_id]
    spec, directory = submission.result.spec, RunDirectory(scored.path)
    about, made = directory.read_run(), directory.predictions()
    manifest = read_manifest(Path(about["manifest"]), Path(about["root"]))
    if manifest.sha256 != spec.manifest_sha256:
        raise MissingDataset(f"{manifest.path} is not the data that {directory.path} was made from: run it again")
    task, folder = TASKS[spec.task], root / folder_of(submission)
    found, files = [], {}
    for sample in chosen(manifest.samples, task.output):
        row = made.get((sample.id, 0))
        if row is None or row.file is None:
            raise SubmissionError(
                f"expected an output for '{sample.id}' in {directory.path}, got none; run it with a larger --limit"
            )
        output = directory.path / row.file
        example, own = _face(sample, output) if task.output == "image" else _sound(sample, output, task.rate)
        found.append(example)
        files |= own
    lines = {row: command.line for command in commands(root) for row in command.rows}
    shown = Shown(
        submission.result.run_id,
        submission.result.label,
        spec.weights_sha256,
        spec.manifest_sha256,
        lines.get(Made.of(submission.result), ""),
        tuple(found),
    )
    files[ABOUT] = (json.dumps(asdict(shown), indent=2) + "\n").encode("ascii")
    for path in folder.glob("*"):
        if path.name not in files:
            path.unlink()
    for name, data in files.items():
        write_whole(folder / name, lambda partial, data=data: partial.write_bytes(data))  # type: ignore[misc]
    return folder


def _face(sample: Sample, output: Path) -> tuple[Example, dict[str, bytes]]:
    from benchmark.media import read_image
    from benchmark.reports.sound_report import file_names

    (stem,) = file_names([sample.id])
    example = Example(sample.id, sample.speaker, _who(sample), "", f"{stem}.webp", "", 0.0, _sha256(output))
    return example, {example.file: _webp(read_image(output))}


def _sound(sample: Sample, output: Path, rate: int) -> tuple[Example, dict[str, bytes]]:
    import soundfile

    from benchmark.media import read_audio
    from benchmark.reports.sound_report import file_names

    (stem,) = file_names([sample.id])
    samples = read_audio(output, rate).samples
    peak = max(float(np.abs(samples).max()), 1.0)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples / peak, rate, format="FLAC", subtype="PCM_16")
    example = Example(
        *(sample.id, sample.speaker, _mixture(sample), str(sample.attributes.get("text", ""))),
        *(f"{stem}.flac", f"{stem}.webp", round(20 * float(np.log10(peak)), 2), _sha256(output)),
    )
    return example, {example.file: buffer.getvalue(), example.spectrogram: _webp(spectrum(samples), 75)}


def spectrum(samples: np.ndarray) -> np.ndarray:
    """A spectrogram as a picture, `[T]` -> `[SPECTRUM_HEIGHT, 1 + T // 128, 3]` uint8, low frequencies below.

    From the loudest bin down over `RANGE_DB`, in the colours of all spectrograms here; rows are maxima over bins, so
    that no harmonic falls between two.
    """
    import matplotlib

    from benchmark.reports.figures import SOUND
    from benchmark.reports.spectrograms import RANGE_DB, log_magnitude

    levels = log_magnitude(samples)
    edges = np.linspace(0, len(levels), SPECTRUM_HEIGHT + 1).round().astype(int)[:-1]
    levels = np.maximum.reduceat(levels, edges)[::-1]
    shares = np.clip(1 + (levels - levels.max()) / RANGE_DB, 0, 1)
    return (matplotlib.colormaps[SOUND](shares)[..., :3] * 255).round().astype(np.uint8)


def _who(sample: Sample) -> str:
    sex = {"f": "female", "m": "male"}.get(str(sample.attributes.get("sex")), "")
    age = sample.attributes.get("age")
    return ", ".join(filter(None, (sex, "" if age is None else f"{float(age):.0f} years")))


def _mixture(sample: Sample) -> str:
    noise = str(sample.attributes.get("noise", ""))
    about: Iterator[str] = filter(None, (noise, f"{_snr(sample):g} dB" if "snr_db" in sample.attributes else ""))
    return ", ".join(about)


def _webp(picture: np.ndarray, quality: int = QUALITY) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, format="WEBP", quality=quality, method=6)
    return buffer.getvalue()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
