"""Options that several verbs share, defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Method = Annotated[str, typer.Option("--method", "-m", help="Method to use; `list methods` names them.")]
Task = Annotated[str | None, typer.Option(help="Task to run, for methods that serve several; `list tasks` names them.")]
Preset = Annotated[
    str | None, typer.Option(help="Named settings of the method; default: its first, with weights shipped.")
]
Config = Annotated[Path | None, typer.Option(help="TOML file of settings, over the preset.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting, over preset and file; repeatable.")
]
Weights = Annotated[
    Path | None, typer.Option(help="Weights instead of the preset's: a file, or a name that `weights list` prints.")
]
Dataset = Annotated[str, typer.Option(help="Dataset; `list datasets` names them.")]
Split = Annotated[str, typer.Option(help="Split of the dataset.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root", "--root", help="Where the corpus lies; `data info DATASET` says what is expected there."
    ),
]
People = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Draw N new people of a generated dataset instead of a split's, and build them once by all cores; 0 for "
        "the split's.  [default: the preset's, else 0]",
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        help="Length of each clip; 0 for whole recordings. With video a clip is the beginning of a recording, and a "
        "shorter recording begins again.  [default: 5 random ones of speech for faces, else whole]"
    ),
]
Repeats = Annotated[
    int | None,
    typer.Option(help="Evaluation runs, each with other random crops and draws.  [default: 10 for faces, else 1]"),
]
Enrolment = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="For methods that give silent lips a voice: the recording by which they know it. `other` is another "
        "utterance of the speaker; `clean` the clean speech itself; `noisy` that in noise at -10 dB; `enhanced:METHOD` "
        "the noisy one as a method enhances it. All are of the speaker; the method's setting `--set "
        "enrolment=shuffled` takes somebody else's, to see what the voice is worth.  [default: other]",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of crops and of everything random in a method.")]
Limit = Annotated[int | None, typer.Option(help="Only the first N samples; the result is stamped partial.")]
Shard = Annotated[
    str | None, typer.Option(metavar="I/N", help="Only every N-th batch from the I-th, for several machines.")
]
BatchSize = Annotated[
    int | None, typer.Option(help="Examples given to the method at once.  [default: 50 for faces, 8 for sound]")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Workers = Annotated[int | None, typer.Option(help="Scoring processes; 0 scores in this one.  [default: one per core]")]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metrics",
        metavar="NAMES",
        help="Metrics to measure, with commas between; repeatable.  [default: those that apply]",
    ),
]
FaceNetwork = Annotated[str, typer.Option(help="Embedder of face metrics: dlib, facenet140, facenet160 or arcface.")]
MetricSets = Annotated[
    list[str] | None,
    typer.Option("--metric-set", metavar="KEY=VALUE", help="One option of the metrics that take it; repeatable."),
]
Runs = Annotated[Path, typer.Option(help="Folder of run directories.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try again what failed before.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Delete what the same command made before, and begin anew.")]
FailOnError = Annotated[int, typer.Option(metavar="N", help="Exit with 1 where more than N rows failed.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")]
Signatures = Annotated[bool, typer.Option("--signatures", help="Print the signature of every number.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        metavar="NAMES",
        help="Numbers to show, with commas between, or `all`; repeatable.  [default: those of the task]",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would run, with every setting resolved, and stop.")]
PaperProtocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        metavar="PAPER/TABLE",
        help="Evaluate as a paper does: fills the options that are not given; `list protocols` names them. A TOML file "
        "of your own will do.",
    ),
]
DefaultNetworks = Annotated[
    bool,
    typer.Option(
        "--default-networks",
        help="With --protocol: on the paper's corpus, too, let the metrics' own networks judge, not the paper's.",
    ),
]


def given(context: typer.Context) -> dict[str, Any]:
    """Options of the running command that the user gave, by the names of its parameters; no defaults."""
    asked = {name: context.get_parameter_source(name) for name in context.params}
    return {name: context.params[name] for name, source in asked.items() if source and source.name == "COMMANDLINE"}


By = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        metavar="ATTRIBUTE",
        help="Every number over groups of the samples: sex, age, noise, snr, or whatever else the dataset tells; "
        "age:18,30,50 cuts at edges; sex,snr takes two at once. Repeatable.",
    ),
]
Label = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Name of the row in tables.  [default: the method with what was set of it]"),
]


def names(given: list[str] | None) -> tuple[str, ...]:
    """`["a,b", "c"]` -> `("a", "b", "c")`."""
    return tuple(name.strip() for item in given or () for name in item.split(",") if name.strip())


def with_people(sets: list[str] | None, people: int | None) -> tuple[str, ...]:
    """`--people N` is short for `--set population.people=N`."""
    return (*(sets or ()), *(() if people is None else (f"population.people={people}",)))
