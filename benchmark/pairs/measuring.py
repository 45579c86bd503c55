"""What the files of one command are measured with: the metrics asked for, or those that fit what is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.errors import InvalidConfig, PrerequisiteError, UsageError, some
from benchmark.pairs.faces import Faces, PictureReader
from benchmark.pairs.listing import Judged, Medium, quoted
from benchmark.pairs.matching import PairReader, Pairs
from benchmark.remarks import counted
from benchmark.runs.recognition import OF_WORDS, default_recogniser
from benchmark.runs.scoring import Scorer, check_face_network, gallery, make_metrics, metric_options, takes_one_of
from benchmark.runs.workers import default_workers, pick_device
from benchmark.tasks import SPEECH2FACE
from benchmark.types import Sample

WITH_REFERENCE = ("pesq_wb", "pesq_nb", "stoi", "si_sdr", "sdr", "dnsmos", "delay")
WITHOUT_REFERENCE = ("dnsmos",)
WITH_TEXTS = ("wer",)
OF_FACES = (*SPEECH2FACE.metrics, "craniofacial")
FACES_ALONE = ("vggface_score", "face_detection_rate")
"""Measured by default: what needs neither the network nor a choice."""
CLASSIFIER = "face_heads:talkers"
"""Who tells people apart for the VGGFace score, where nobody says: the one classifier that comes with the project."""
_AFTER_SEX = SPEECH2FACE.columns.index("sex_agreement") + 1
COLUMNS = (
    *SPEECH2FACE.columns[:_AFTER_SEX],
    *("age_r_label", "age_error_label"),  # sex and age of the user's table stand together
    *SPEECH2FACE.columns[_AFTER_SEX:],
    *("sex_agreement_face", "age_error_face"),
)
"""Numbers of faces that are shown, what matters most first."""
TASK_OF: Mapping[Judged, str] = {"speech": "speech", "faces": SPEECH2FACE.name}
"""What the list of metrics calls their task."""


@dataclass(frozen=True)
class PairRequest:
    """What the user asked for, as the command line gives it."""

    estimate: Path
    reference: Path | None = None
    speakers: Path | None = None
    texts: str | None = None
    align: bool = False
    metrics: tuple[str, ...] = ()
    metric_sets: tuple[str, ...] = ()
    workers: int | None = None
    device: str = "cpu"
    limit: int | None = None
    out: Path | None = None
    retry_failed: bool = False
    face_network: str = "dlib"
    look_at: Callable[[Sequence[Sample]], object] = len
    """Given all that is to be scored, raises what should be refused before the work."""


def judged_by(metrics: Sequence[str]) -> Judged | None:
    """What the named metrics judge; None where that is nothing, or both."""
    from benchmark.registry import metric_of
    from benchmark.registry import metrics as registry

    tasks = {registry.described(metric_of(name)).task for name in metrics}
    found = [judged for judged, task in TASK_OF.items() if task in tasks]
    return found[0] if len(found) == 1 else None


def speech_scorer(request: PairRequest, found: Pairs) -> tuple[Scorer, list[str]]:
    """The metrics of speech, with a note for each that lacks something."""
    from benchmark.weights.networks import Networks

    device = pick_device(request.device)
    names = _asked(request, "speech")
    if not names:
        names = WITH_REFERENCE if request.reference else WITHOUT_REFERENCE
        names += WITH_TEXTS if request.texts else ()
    elif request.reference and "delay" not in names:
        names += ("delay",)  # a shift that nobody knows of makes the other numbers wrong
    options = {"device": device, **metric_options(names, "dlib", request.metric_sets)}
    if device != "cpu" or request.workers == 0:
        options["workers"] = request.workers or default_workers()
    notes = []
    if request.texts and not set(OF_WORDS).isdisjoint(names) and "recogniser" not in options:
        options["recogniser"], why = default_recogniser(pair.text for pair in found.pairs)
        notes.append(why)
    made, left_out = _made(request, names, Networks(device), options)
    for name, metric in made.items():
        if metric.paired and request.reference is None:
            raise UsageError(f"metric '{name}' compares with a reference: give --reference")
    _check_yielded(request, made)
    return Scorer(made, PairReader({pair.id: pair for pair in found.pairs}, request.align)), notes + left_out


def face_scorer(request: PairRequest, found: Faces) -> tuple[Scorer, list[str]]:
    """The metrics of faces, told the gallery, with a note for each that lacks something and on the true pictures."""
    from benchmark.weights.networks import Networks

    networks = Networks(pick_device(request.device), dataset="")
    check_face_network(networks, request.face_network)
    names = _asked(request, "faces")
    if request.reference is None:
        if lacking := [name for name in names if name in OF_FACES and name not in FACES_ALONE]:
            raise UsageError(f"metric '{lacking[0]}' compares with true faces: give --reference")
        names = names or FACES_ALONE
    names = names or OF_FACES
    options = metric_options(names, request.face_network, request.metric_sets)
    by_default = "classifier" not in options and "vggface_score" in names
    options.setdefault("classifier", CLASSIFIER)
    made, notes = _made(request, names, networks, options)
    if by_default:
        notes.append(
            "VGGFace score: by a classifier of the drawn people of Talkers; SF2F's own judge is had by --metric-set "
            "classifier=vggface2_resnet50"
        )
    if request.reference is not None:
        identities, problems = gallery(found.people)
        if not identities:
            raise UsageError(f"--reference {request.reference}: none of its pictures can be read: {some(problems, 1)}")
        identities = [replace(person, recordings=found.judged[person.id]) for person in identities]
        for metric in made.values():
            metric.prepare(identities)
        notes += counted([problem] for problem in problems)
        notes += _without_face(made, identities)
    _check_yielded(request, made)
    return Scorer(made, PictureReader(found.pairs)), notes


def _without_face(made: Mapping[str, Any], identities: Sequence[Any]) -> list[str]:
    """How many true pictures show no face to the detector whose rate is measured."""
    from metrics.metric import FaceItem

    if "face_detection_rate" not in made:
        return []
    items = [FaceItem(person.id, image) for person in identities for image in person.images]
    rows = made["face_detection_rate"].measure(items)
    lost = [item.identity for item, row in zip(items, rows, strict=True) if not row["found"]]
    if not lost:
        return []
    return [
        f"no face is found in {len(lost)} of {len(items)} true pictures, of {quoted(dict.fromkeys(lost))}: they count "
        "as they are, with eyes where a cropped face has them"
    ]


def _asked(request: PairRequest, judged: Judged) -> tuple[str, ...]:
    """The metrics that yield the numbers that were asked for: `estoi` is one of `stoi`'s.

    Raises:
        UsageError: one that judges something else.
    """
    from benchmark.registry import metric_of, metrics

    names = tuple(dict.fromkeys(metric_of(name) for name in request.metrics))
    for name in names:
        if metrics.described(name).task != TASK_OF[judged]:
            raise UsageError(f"metric '{name}' does not measure {judged}; `list metrics` tells which do")
    return names


def _made(
    request: PairRequest, names: Sequence[str], networks: Any, options: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The metrics; what nobody asked for and lacks something is left out with a note."""
    made: dict[str, Any] = {}
    notes = []
    for name in names:
        asked = request.metrics or takes_one_of(name, request.face_network, request.metric_sets)
        try:
            made.update(make_metrics([name], networks, options))
        except (PrerequisiteError, ImportError, FileNotFoundError) as error:
            if asked:
                if isinstance(error, PrerequisiteError):
                    raise
                raise PrerequisiteError(f"metric '{name}': {error}") from error
            notes.append(f"metric {name} is left out: {str(error).splitlines()[0]}")
        except ValueError as error:
            raise InvalidConfig(f"metric '{name}': {error}") from error
    return made, notes


def _check_yielded(request: PairRequest, made: Mapping[str, Any]) -> None:
    from benchmark.registry import metric_of

    numbers = {report.name for metric in made.values() for report in metric.reports}
    for name in request.metrics:
        if name not in numbers and name not in made:
            raise InvalidConfig(
                f"'{name}' is not measured with these options; '{metric_of(name)}' yields {', '.join(sorted(numbers))}"
            )


def as_asked(medium: Medium, request: PairRequest) -> None:
    """Refuse options that mean nothing for what is judged.

    Raises:
        UsageError: as said.
    """
    if medium.judged == "faces":
        for option, given in (("--align", request.align), ("--texts", request.texts)):
            if given:
                raise UsageError(f"{option} is for speech, and --estimate {request.estimate} holds pictures")
    elif request.face_network != "dlib":
        raise UsageError(
            f"--estimate {request.estimate} holds speech, which no face network judges: drop --face-network"
        )
