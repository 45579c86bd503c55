"""One command's worth of runs: a method, and the rows that it is read against, through the same metrics and workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmark import tracebacks
from benchmark.datasets.dataset import left_out
from benchmark.datasets.manifest import Manifest
from benchmark.errors import BenchmarkError, InvalidConfig, MissingDataset, PrerequisiteError, UsageError
from benchmark.processes import cores
from benchmark.registry import metric_of
from benchmark.remarks import counted
from benchmark.results.schema import FollowedProtocol, Result, RunSpec
from benchmark.runs.delays import delay_note
from benchmark.runs.directory import Prediction, RunDirectory
from benchmark.runs.evaluation import (
    MethodPlan,
    Progress,
    RunPlan,
    RunView,
    checked_label,
    conclude,
    enrolled_label,
    evaluate,
    fuller_result,
    gathered,
    made_nothing,
    plan_method,
    protocol_for,
    rescore,
    source_here,
    with_files_of,
)
from benchmark.runs.recognition import OF_WORDS, default_recogniser
from benchmark.runs.scoring import (
    Scorer,
    SpeechReader,
    check_face_network,
    gallery,
    make_metrics,
    metric_options,
    takes_one_of,
)
from benchmark.runs.workers import WorkerPool, parse_shard, pick_device
from benchmark.tasks import Protocol, Task, get_task
from benchmark.types import Sample

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What the user asked for, as the command line gives it."""

    method: str
    task: str | None = None
    """None takes the method's own."""
    preset: str | None = None
    config: Path | None = None
    sets: tuple[str, ...] = ()
    weights: Path | None = None
    dataset: str = "talkers"
    split: str = "test"
    data_root: Path | None = None
    seconds: float | None = None
    repeats: int | None = None
    enrolment: str | None = None
    """None takes the task's."""
    seed: int = 0
    limit: int | None = None
    shard: str | None = None
    batch_size: int | None = None
    """None takes the task's."""
    device: str = "auto"
    workers: int | None = None
    metrics: tuple[str, ...] = ()
    face_network: str = "dlib"
    metric_sets: tuple[str, ...] = ()
    references: bool = True
    runs: Path = Path("runs")
    retry_failed: bool = False
    fresh: bool = False
    """Delete what an earlier run of the same identity made, and begin anew."""
    followed: FollowedProtocol | None = None
    """The paper's protocol that filled these options, for the record."""
    label: str | None = None
    """The row's name; None takes the method's, with what was set of it."""


@dataclass
class Session:
    """Opens the data once, plans the rows, runs them."""

    request: Request
    say: Say = lambda line: None
    progress: Callable[[str], Progress] = lambda label: lambda stage, done, total, about="": None
    """Label of a row to the progress callback of its run."""
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""
    unwritten: list[OSError] = field(default_factory=list)
    """Results that could not be written; they are to be told after the table."""
    scored_with: Scorer | None = None
    """The metrics of the last `run`."""
    _training_manifests: dict[tuple[str, ...], Manifest] = field(default_factory=dict)

    def plans(self) -> list[RunPlan]:
        """The asked-for row first, then its references; a reference that lacks something is left out with a note."""
        request = self.request
        check_limit(request.limit)
        if request.batch_size is not None and request.batch_size < 1:
            raise UsageError(f"--batch-size {request.batch_size}: expected 1 or more")
        if request.fresh and request.shard:
            raise UsageError(
                "--fresh deletes the outputs of all shards, also those that another one is making: give it to a "
                "command without --shard, or delete the run's folder"
            )
        label = request.label if request.label is None else checked_label(request.label)
        main = plan_method(request.method, request.preset, request.config, request.sets, request.weights)
        task = get_task(request.task or main.kind.task)
        check_serves(request.method, main.kind, task.name)
        device = pick_device(request.device)
        self.check_metrics(task)  # before minutes go into data
        manifest = self.open(request.split, task)
        main = replace(gathered(main, task, manifest.samples), given_label=label)
        if main.gathered is not None:
            self.notes.extend(main.gathered.notes_on(manifest.samples[: request.limit]))
            request = self.request = replace(request, repeats=request.repeats or main.gathered.repeats)
        plans = [self._plan(main, task, manifest, device)]
        if main.drawn_people and main.drawn_people != manifest.dataset:  # now, before minutes go into it
            self.say(
                f"{main.name} learnt the drawn people of {main.drawn_people} alone, and {manifest.dataset} has others: "
                "the numbers will say how far these weights carry, not what the method can do. --weights takes others; "
                f"`python -m benchmark show {main.name}` tells of such"
            )
        if request.enrolment and plans[0].protocol.enrolment is None:
            self.notes.append(
                f"--enrolment {request.enrolment} changes nothing of {main.name}, which is not told whose voice to give"
            )
        if not request.references or request.shard:
            return plans
        for name in task.references:
            if name == "talkers_oracle" and manifest.dataset != "talkers":
                continue
            try:
                method = plan_method(name)
                if method.kind.uses_targets and not any(sample.targets for sample in manifest.samples):
                    self.notes.append(f"{name} is left out: the true {task.target} of no sample is known")
                    continue
                plan = self._plan(method, task, manifest, device)
                if plan.spec != plans[0].spec.model_copy(update={"label": None}):
                    plans.append(plan)
            except (PrerequisiteError, UsageError) as error:
                self.notes.append(f"{name} is left out: {str(error).splitlines()[0]}")
        return plans

    def _plan(self, method: MethodPlan, task: Task, manifest: Manifest, device: str) -> RunPlan:
        """
        Raises:
            UsageError: no sample has what the method needs.
        """
        request = self.request
        protocol = protocol_for(method, task, request.seconds, request.repeats, request.enrolment)
        if reason := task.all_lack(manifest.samples, protocol, method.hears):
            raise UsageError(
                f"{method.name} can make nothing of {manifest.dataset} {manifest.split} for {task.name}: {reason}"
            )
        enhancer = self._enhancer(protocol.enhancer, task) if protocol.enhancer else None
        label = enrolled_label(method.given_label or method.label, task, protocol.enrolment)
        method = replace(with_files_of(method, manifest.samples, self.progress(label)), label=label)
        training = self._training(task, method.kind) if method.kind.uses_training_split else None
        return RunPlan(
            method,
            task,
            protocol,
            manifest,
            training,
            request.seed,
            request.limit,
            parse_shard(request.shard),
            request.batch_size or task.batch_size,
            device,
            request.runs,
            enhancer,
            counted_beside(request.followed, manifest),
        )

    def _enhancer(self, name: str, task: Task) -> MethodPlan:
        """The method that enhances enrolments.

        Raises:
            UsageError: it works on anything but noisy speech alone.
        """
        method = plan_method(name)
        if not serves(method.kind, task.name) or getattr(method.kind, "hears", None) != ("noisy",):
            raise UsageError(
                f"--enrolment {self.request.enrolment}: '{name}' is no method that makes speech for {task.name} from "
                "the noisy one alone, as wiener and deepfilternet do"
            )
        return method

    def open(self, split: str, task: Task, fields: tuple[str, ...] | None = None) -> Manifest:
        from benchmark.registry import datasets
        from benchmark.weights.table import home

        adapter = datasets.load(self.request.dataset)(self.request.data_root, home())
        adapter.workers = cores()
        progress = self.progress(f"{self.request.dataset} {split}")
        extra = {"fields": fields} if fields and not adapter.needs_root else {}
        manifest = adapter.open(
            split, task.name, lambda done, total, what: progress("build", done, total, what), **extra
        )
        self.notes.extend(left_out(manifest))
        return manifest

    def _training(self, task: Task, kind: type) -> Manifest:
        """The training split with what a method reads of it: what nobody reads need not be built."""
        fields = (*getattr(kind, "training_inputs", ()), task.target)
        if fields not in self._training_manifests:
            from benchmark.registry import datasets

            if "train" not in datasets.load(self.request.dataset).splits:
                raise MissingDataset(f"dataset '{self.request.dataset}' has no training split")
            self._training_manifests[fields] = self.open("train", task, fields=fields)
        return self._training_manifests[fields]

    def metric_names(self, task: Task) -> tuple[str, ...]:
        """Those asked for, by their own names or by the numbers that they yield; else the task's."""
        return tuple(dict.fromkeys(metric_of(name) for name in self.request.metrics)) or task.metrics

    def check_metrics(self, task: Task) -> None:
        """Raise for a metric, option or face network that cannot be had."""
        from benchmark.registry import metrics as registry
        from benchmark.weights.networks import Networks

        names = self.metric_names(task)
        kind = "speech" if task.output == "audio" else task.name
        for name in names:
            if (what := registry.described(name).task) != kind:
                raise UsageError(f"Metric '{name}' measures {what}, not {task.name}; see `list metrics`")
        metric_options(names, self.request.face_network, self.request.metric_sets)
        if task.output == "image":
            check_face_network(Networks(), self.request.face_network)

    def scorer(self, task: Task, manifest: Manifest, protocol: Protocol) -> Scorer:
        """The metrics, told the gallery of the whole split (also where `--limit` asks for a part of it)."""
        from benchmark.weights.networks import VOICES_OF, Networks

        self.check_metrics(task)
        names = self.metric_names(task)
        unknown = sum(not sample.targets.get(task.target) for sample in manifest.samples)
        if unknown and task.without_truth and not self.request.metrics:
            least = task.without_truth
            names = least if unknown == len(manifest.samples) else tuple(dict.fromkeys((*names, *least)))
            self.notes.append(
                f"the true {task.target} of {unknown} of {len(manifest.samples)} samples is not known: what compares "
                f"with it is not measured on them, only {', '.join(least)}"
            )
        networks = Networks("cpu", manifest.dataset)
        options = metric_options(names, self.request.face_network, self.request.metric_sets)
        of_words = [name for name in names if name in OF_WORDS]
        if of_words and (reason := self._no_words(manifest, protocol)):
            if self.request.metrics and protocol.seconds is not None:
                raise UsageError(f"--metrics {of_words[0]}: {reason}")
            if not self.request.metrics:
                self.notes += [f"metric {name} is left out: {reason}" for name in of_words]
                names = tuple(name for name in names if name not in of_words)
                of_words = []
        if of_words and "recogniser" not in options and any(_texts(manifest)):
            options["recogniser"], why = default_recogniser(_texts(manifest))
            self.notes.append(why)
        if "speaker_similarity" in names and "speaker_network" not in options and manifest.dataset in VOICES_OF:
            options["speaker_network"] = VOICES_OF[manifest.dataset]
            self.notes.append(
                f"voices are judged by a recogniser of the voices of {manifest.dataset}; another judge: "
                "--metric-set speaker_network=ge2e"
            )
        made = {}
        for name in names:
            try:
                made.update(make_metrics([name], networks, options))
            except (PrerequisiteError, ImportError, FileNotFoundError, ValueError) as error:
                if self.request.metrics or takes_one_of(name, self.request.face_network, self.request.metric_sets):
                    if isinstance(error, PrerequisiteError):
                        raise
                    kind = InvalidConfig if isinstance(error, ValueError) else PrerequisiteError
                    raise kind(f"metric '{name}': {error}") from error
                self.notes.append(f"metric {name} is left out: {str(error).splitlines()[0]}")
        if task.output == "audio":
            return Scorer(made, SpeechReader(task, protocol, self.request.seed, manifest.samples))
        identities, problems = gallery(manifest.samples)
        self.notes.extend(problems)
        for metric in made.values():
            metric.prepare(identities)
        yielded = {*made, *(report.name for metric in made.values() for report in metric.reports)}
        for name in self.request.metrics:
            if name not in yielded and metric_of(name) in made:
                several = "; numbers by recording need a speaker with several" if name.endswith("_by_recording") else ""
                self.notes.append(f"{name} is no number of {metric_of(name)} on these data{several}")
        return Scorer(made)

    def _no_words(self, manifest: Manifest, protocol: Protocol) -> str | None:
        """Why word errors cannot be counted."""
        if protocol.seconds is not None:
            return "clips of fixed length cut words off; --seconds 0 takes whole recordings"
        return None if any(_texts(manifest)) else "nobody knows what is said"

    def run(self, plans: Sequence[RunPlan]) -> list[Result]:
        """Generate and score every row; write each run's result."""
        first = plans[0]
        self.say("Preparing metrics")
        scorer = self.scored_with = self.scorer(first.task, first.manifest, first.protocol)
        pool = WorkerPool(scorer, self.request.workers)
        results = []
        kept: dict[str, int] = {}
        try:
            for plan in plans:
                try:
                    there = evaluate(
                        plan,
                        pool,
                        self.progress(plan.method.label),
                        retry_failed=self.request.retry_failed,
                        fresh=self.request.fresh and plan is first,
                    )
                except (BenchmarkError, OSError) as error:
                    if plan is first:
                        raise
                    self.notes.append(f"{plan.method.label} is left out: {str(error).splitlines()[0]}")
                    if isinstance(error, OSError):  # a full disk: what is finished is told, and then this
                        self.unwritten.append(error)
                    continue
                results.append(conclude(plan.view, scorer, self.unwritten))
                if there:
                    kept[plan.method.label] = there
                if plan is first:
                    self.notes.extend(notes_on_inputs(plan.view))
                self.notes.extend(notes_on(plan.view, results[-1], scorer, plan.source))
                if plan is first and len(plans) > 1 and made_nothing(plan.view):
                    self.notes.append(f"the rows beside {plan.method.label} are left out until it makes something")
                    break
        finally:
            pool.close()
        if kept:
            anew = f"; --fresh makes those of {first.method.label} anew" if first.method.label in kept else ""
            told = ", ".join(f"{count} of {label}" for label, count in kept.items())
            self.notes.append(f"outputs kept from an earlier command: {told}{anew}")
        return results


def _texts(manifest: Manifest) -> list[str | None]:
    return [sample.attributes.get("text") for sample in manifest.samples]


def counted_beside(followed: FollowedProtocol | None, manifest: Manifest) -> FollowedProtocol | None:
    """The protocol with a further departure where a split does not hold as much as the paper's."""
    if followed is None:
        return None
    here = {"speakers": len({sample.speaker for sample in manifest.samples}), "samples": len(manifest.samples)}
    more = [
        f"{here[what]} {what}, where the paper has {stated:,}"
        for what, stated in (("speakers", followed.speakers), ("samples", followed.samples))
        if stated is not None and here[what] != stated
    ]
    return followed.model_copy(update={"departures": [*followed.departures, *more]})


def check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: expected 1 or more")


def remarks_on(rows: Iterable[Prediction], samples: Iterable[Sample]) -> list[str]:
    """What was said of the inputs that outputs were made from, counted by sample whatever the number of repeats."""
    heard: dict[str, dict[str, None]] = {sample.id: {} for sample in samples}
    for row in rows:
        heard.get(row.sample, {}).update(dict.fromkeys(row.remarks))
    return counted(map(list, heard.values()))


def notes_on_inputs(view: RunView) -> list[str]:
    """What was said of the inputs when outputs were made from them, and videos in which no face was found."""
    made, asked = view.run.predictions(), [(sample.id, 0) for sample in view.samples]
    notes = remarks_on(made.values(), view.samples)
    lost = [made[key].without_face for key in asked if key in made and made[key].without_face]
    if lost:
        notes.append(
            f"no face was found in {sum(lost)} frames of {len(lost)} videos: there the crop stays where the face "
            "was last, or in the middle of the picture"
        )
    return notes


def notes_on_code(label: str, method: str, makers: Sequence[Mapping[str, Any]], source: str) -> list[str]:
    """Whether outputs, by the records of what made them, are of the code that is here now."""
    known = {str(maker.get("source") or "unknown") for maker in makers}
    if known <= {source}:
        return []
    state = "several states of its code, mixed" if len(known) > 1 else "other code than is here now"
    return [f"the outputs of {label} were made by {state}; `run --method {method}` with --fresh makes them anew"]


def notes_on(view: RunView, result: Result, scorer: Scorer, source: str | None = None) -> list[str]:
    """What a reader of a result should know beside its numbers.

    Args:
        scorer: the metrics that it was scored with.
        source: hash of the code that makes such outputs as it is here, where that is known.
    """
    notes = []
    label, anew = view.label, f"`run --method {view.spec.method}`, as they were made, with --fresh makes them anew"
    if fuller := fuller_result(view):
        notes.append(f"{view.run.path} keeps the result and the report of {fuller.samples} samples")
    if len(result.sources) > 1:
        notes.append(
            f"the outputs of {label} were made by {len(result.sources)} states of its code and are mixed: the result "
            f"cannot be ranked; {anew}"
        )
    elif source and result.sources and result.sources != [source]:
        notes.append(f"the outputs of {label} were made by other code than is here now; {anew}")
    if result.changed:
        notes.append(
            f"{result.changed} outputs of {label} are not as they were made: their files were changed since, and the "
            f"result cannot be ranked; {anew}"
        )
    commits = sorted({(maker["git"] or {}).get("commit", "no commit")[:10] for maker in result.generated_by})
    if len(commits) > 1:
        notes.append(f"the outputs of {label} were made at several commits: {', '.join(commits)}")
    wanted = {sample.id for sample in view.samples}
    if "delay" in scorer.metrics:
        late = scorer.rows(view.run)["delay"]
        notes += delay_note(label, [row for key, row in late.items() if key[0] in wanted])
    rows = [row for row in view.run.predictions().values() if row.sample in wanted]
    return [*notes, *tracebacks.notes(view.run.path, rows)]


def check_serves(name: str, kind: Any, task: str, why: str = "") -> None:
    """
    Args:
        kind: the Method class.
        why: who asks for the task, where that is not said by its name.

    Raises:
        UsageError: the method cannot run it.
    """
    if not serves(kind, task):
        able = ", ".join((kind.task, *kind.further_tasks))
        raise UsageError(f"'{name}' does not serve task '{task}'{why}; it serves: {able}")


def serves(kind: Any, task: str) -> bool:
    """Whether a Method class can run a task."""
    return task in (kind.task, *kind.further_tasks)


def score_run(
    path: Path,
    *,
    metrics: tuple[str, ...] = (),
    face_network: str = "dlib",
    metric_sets: tuple[str, ...] = (),
    workers: int | None = None,
    data_root: Path | None = None,
    limit: int | None = None,
    retry_failed: bool = False,
    unwritten: list[OSError] | None = None,
    look_at: Callable[[Sequence[Sample]], object] = len,
    say: Say = lambda line: None,
    progress: Callable[[str], Progress] = lambda label: lambda stage, done, total, about="": None,
) -> tuple[RunView, Result, list[str], Scorer]:
    """Score a run that is on disk, against the data that it was made from.

    Args:
        look_at: given the samples, raises what should be refused before the work.

    Raises:
        UsageError: not a run.
        MissingDataset: the data here are not those of the run.
    """
    check_limit(limit)
    run = RunDirectory(path)
    about = run.read_run()
    try:
        spec = RunSpec.model_validate(about.get("spec"))
    except ValueError as error:
        raise UsageError(f"{path}/run.json is not that of a run: {str(error).splitlines()[0]}") from error
    task = get_task(spec.task)
    root = data_root or (Path(about["root"]) if spec.dataset != "talkers" and "root" in about else None)
    request = Request(
        spec.method,
        dataset=spec.dataset,
        split=spec.split,
        data_root=root,
        seed=spec.seed,
        metrics=metrics,
        face_network=face_network,
        metric_sets=metric_sets,
        workers=workers,
    )
    session = Session(request, say, progress)
    manifest = session.open(spec.split, task)
    if manifest.sha256 != spec.manifest_sha256:
        raise MissingDataset(
            f"{path} was made from manifest {spec.manifest_sha256[:12]} of '{spec.dataset}'; "
            f"here it is {manifest.sha256[:12]} ({manifest.path}): the data have changed"
        )
    samples = manifest.samples[: limit if limit is not None else about.get("limit")]
    look_at(samples)
    view = RunView(
        run, task, spec, about.get("label", spec.method), about.get("preset"), manifest, samples,
        drawn_people=about.get("drawn_people", ""),
    )  # fmt: skip
    say("Preparing metrics")
    scorer = session.scorer(task, manifest, Protocol(spec.seconds, spec.repeats, spec.enrolment))
    pool = WorkerPool(scorer, workers)
    try:
        rescore(view, pool, task.batch_size, progress(view.label), retry_failed=retry_failed)
    finally:
        pool.close()
    result = conclude(view, scorer, unwritten)
    notes = [*session.notes, *notes_on_inputs(view), *notes_on(view, result, scorer, _source_here(spec))]
    return view, result, notes, scorer


def _source_here(spec: RunSpec) -> str | None:
    """Hash of the code that makes a run's outputs as it is here; None where a method is not, or cannot be imported."""
    try:
        return source_here(spec)
    except (UsageError, PrerequisiteError):
        return None
