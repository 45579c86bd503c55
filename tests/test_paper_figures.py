"""The papers' figures: what each needs, what it shows, and that its files are the same wherever they are drawn."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import ended as command
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from test_advice import check
from typer.testing import CliRunner

from benchmark import registry
from benchmark.cli.main import app
from benchmark.datasets.manifest import Manifest, Row, read_manifest, write_manifest
from benchmark.errors import PrerequisiteError, UnknownName, UsageError
from benchmark.media import write_audio, write_image
from benchmark.papers import ddpm_figures, figures, needs
from benchmark.papers.figures import FIGURES, Material, prepare, steps_needed, write
from benchmark.papers.needs import RunNeeded, Shelves, fitting
from benchmark.reports.figures import COLOURS, GREY, INK, SMALL, TEXT, series
from benchmark.results.finding import Kept
from benchmark.results.schema import Aggregate, Failures, Result, RunSpec
from benchmark.runs.directory import Prediction, RunDirectory, ScoreRow
from benchmark.runs.evaluation import protocol_for
from benchmark.runs.scoring import Scorer, make_metrics
from benchmark.tasks import get_task
from benchmark.types import Audio
from benchmark.weights.networks import Networks

ASKED = {
    "sf2f": (1, 4, 5, 6),
    "speech2face_ddpm": (1, 5),
    "avp_gan": (6, 7, 8, 9),
    "lipdiffuser": (3, 4),
    "flowavse": (1, 4, 5),
}
BUILT = [figure for figure in FIGURES.values() if not figure.unbuilt]
HOSTILE = "<script>alert(1)</script> $x^2$ [a](b) \x1b[31m"


@pytest.fixture(autouse=True)
def nothing_published(tmp_path, monkeypatch):
    monkeypatch.setattr(needs, "PUBLISHED", tmp_path / "published")


def number(name: str, value: float, half: float = 0.1) -> Aggregate:
    return Aggregate(
        name=name, title=name, metric=name, value=value, low=value - half, high=value + half, spread=None, scored=9,
        total=9, signature=f"{name}|v1", higher_is_better=True,
    )  # fmt: skip


def made(need: RunNeeded, runs: Path, label: str = "", manifest: Manifest | None = None, **numbers: float) -> Result:
    """The result of a run as its command would make it, with these numbers; written where it belongs."""
    task = get_task(need.task)
    protocol = protocol_for(need.plan.kind, task, need.seconds, enrolment=need.enrolment or None)
    spec = RunSpec(
        task=task.name,
        task_version=task.version,
        method=need.method,
        config=need.plan.settings.as_dict(),
        weights_sha256=need.plan.weights_sha256 or ("f" * 64 if need.lacking else None),
        dataset="talkers",
        dataset_revision=registry.datasets.load("talkers").revision,
        split=need.split,
        manifest_sha256=manifest.sha256 if manifest else "0" * 64,
        seconds=protocol.seconds,
        repeats=protocol.repeats,
        seed=0,
        enrolment=protocol.enrolment,
    )
    result = Result(
        run_id=spec.run_id(),
        label=label or need.plan.label,
        spec=spec,
        partial=False,
        samples=9,
        speakers=9,
        aggregates=[number(name, value) for name, value in numbers.items()],
        failures=Failures(),
        generation_seconds=1.0,
        provenance={},
    )
    run = RunDirectory(runs / result.run_id)
    run.write_document("result.json", result.model_dump_json())
    if manifest:
        run.write_document("run.json", json.dumps({"manifest": str(manifest.path), "root": str(manifest.root)}))
    return result


def measured_speed(runs: Path) -> None:
    """What `speed` reports of both methods: 0.5 and 8 times the length of the sound."""
    rows = []
    for method, rtf in (("flowavse", 0.5), ("avdiffuss", 8.0)):
        plan = RunNeeded(method, "av_enhancement").plan
        rows.append(
            {"method": method, "status": "ok", "config": plan.settings.as_dict(), "device_name": None, "rtf": rtf,
             "weights_sha256": plan.weights_sha256, "median_s": 2 * rtf, "times_s": [rtf, 2 * rtf, 4 * rtf],
             "parameters": 1_500_000}
        )  # fmt: skip
    path = FIGURES["flowavse/1"].speeds[0].path(runs)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"rows": rows, "provenance": {"machine": {"cpu": "a CPU"}}}))


def faces(runs: Path, folder: Path, *needs: RunNeeded) -> None:
    """Nine people with a face of their own colour, and runs whose outputs are twice as bright."""
    rows = []
    for person in range(9):
        name = f"p{person}"
        (folder / name).mkdir(parents=True)
        tone = 0.3 * np.sin(2 * np.pi * (100 + 20 * person) * np.arange(16_000) / 16_000)
        write_audio(folder / name / "a.wav", Audio(tone.astype(np.float32), 16_000))
        write_image(folder / name / "f.png", np.full((16, 16, 3), 10 + 10 * person, np.uint8))
        files = {"speech": (f"{name}/a.wav",)}, {"face": (f"{name}/f.png",)}
        rows.append(Row(name, name, *files, {"sex": "fm"[person % 2]}))
    path = folder / "m.jsonl"
    write_manifest(path, rows, dataset="talkers", revision="1", split="test", task="speech2face")
    manifest = read_manifest(path, folder)
    for need in needs:
        run = RunDirectory(runs / made(need, runs, manifest=manifest).run_id)
        for person in range(8):  # the last has no output
            file = run.output_path(f"p{person}", 0, ".png")
            (run.path / file).parent.mkdir(parents=True)
            write_image(run.path / file, np.full((16, 16, 3), 2 * (10 + 10 * person), np.uint8))
            run.append_predictions([Prediction(f"p{person}", f"p{person}", 0, "ok", file)])
        run.append_predictions([Prediction("p8", "p8", 0, "failed", reason="no voice")])


def enhanced(runs: Path) -> None:
    """Runs of Figures 1 and 4: SI-SDR of flowavse is 6 and more, of avdiffuss 1 and more."""
    for method, base in (("flowavse", 6.0), ("avdiffuss", 1.0)):
        for place, need in enumerate(steps_needed(method)):
            made(need, runs, pesq_wb=1.2 + place / 10, estoi=0.5 + place / 20, si_sdr=base + place)
    made(RunNeeded("noisy", "av_enhancement"), runs, pesq_wb=1.1, estoi=0.4, si_sdr=0.0)


SWEEP_DB = (-20.0, -15.0, -10.0, -5.0, 0.0, 5.0)


def spoken(runs: Path, folder: Path, *without: str) -> None:
    """Runs of LipDiffuser's figures: five people say two sentences at each SNR. DNSMOS is 2 and more by method, by a
    tenth for every dB above -10 and by a hundredth from person to person; one of 5 words is wrong at -10 dB, another
    for every 5 dB below; voices are alike by 0.5 and more.
    """
    folder.mkdir(parents=True)
    for split, levels in (("test", (-10.0,)), ("test_snr", SWEEP_DB)):
        rows = [
            Row(f"p{person}-{take}-{level:g}", f"p{person}", {}, {"speech": ("a.wav",)}, {"snr_db": level})
            for person in range(5) for take in range(2) for level in levels
        ]  # fmt: skip
        (folder / "a.wav").touch()
        path = folder / f"{split}.jsonl"
        write_manifest(path, rows, dataset="talkers", revision="1", split=split, task="lip2speech")
        manifest = read_manifest(path, folder)
        figure = FIGURES["lipdiffuser/3" if split == "test" else "lipdiffuser/4"]
        for place, need in enumerate((*figure.runs, *figure.further)):
            if need.method in without:
                continue
            numbers = {"dnsmos_p808": 2.0, "wer_by_clip": 0.2, "speaker_similarity": 0.5}
            result = made(need, runs, manifest=manifest, **numbers)
            for item in result.aggregates:
                item.metric = registry.metric_of(item.name)
            run = RunDirectory(runs / result.run_id)
            run.write_document("result.json", result.model_dump_json())
            about = json.loads((run.path / "run.json").read_text())
            run.write_document("run.json", json.dumps({**about, "spec": result.spec.model_dump()}))
            for sample in manifest.samples:
                level, person = sample.attributes["snr_db"], int(sample.speaker[1:])
                wrong = float(np.clip(1 - (level + 10) / 5, 0, 5))
                run.append_scores(
                    ScoreRow(sample.id, sample.speaker, 0, name, f"{number}|v1", "ok", None, statistics)
                    for name, number, statistics in (
                        ("dnsmos", "dnsmos_p808", {c: 2 + place / 5 + (level + 10) / 10 + person / 100 for c in (
                            "p808", "sig", "bak", "ovrl")}),
                        ("wer_by_clip", "wer_by_clip", {"words": 5.0, "substitutions": wrong, "deletions": 0.0,
                            "insertions": 0.0, "characters": 9.0, "character_errors": 0.0, "transcript": ""}),
                        ("speaker_similarity", "speaker_similarity", {"cosine": 0.5 + place / 10 + person / 1000}),
                    )
                )  # fmt: skip


def painted(name: str, runs: Path) -> Figure:
    drawing = prepare(Material(FIGURES[name], Shelves(runs)))
    figure = Figure(figsize=(drawing.width, drawing.height))
    drawing.paint(figure)
    return figure


def circles(axes) -> set[tuple[float, float]]:
    found = [place for c in axes.collections if isinstance(c, PathCollection) for place in c.get_offsets()]
    return {(round(float(x), 3), round(float(y), 3)) for x, y in found}


def title(axes) -> str:
    return axes.get_title(loc="left") + axes.get_title()


# -- what there is -----------------------------------------------------------------------------------------------------


def test_all_figures_of_results_are_registered():
    assert {(figure.paper, figure.number) for figure in FIGURES.values()} == {
        (paper, number) for paper, numbers in ASKED.items() for number in numbers
    }


def test_a_figure_whose_method_is_not_built_says_so(tmp_path):
    assert not {figure.unbuilt for figure in FIGURES.values()} & {*registry.methods}, "it is built now: complete them"
    figure = replace(FIGURES["flowavse/1"], unbuilt="lip_reader")
    with pytest.raises(PrerequisiteError, match="method 'lip_reader' makes, which is not built here yet"):
        prepare(Material(figure, Shelves(tmp_path)))


@pytest.mark.parametrize("figure", BUILT, ids=lambda figure: figure.name)
def test_a_figure_without_its_runs_names_commands_that_work(figure, tmp_path):
    with pytest.raises(PrerequisiteError) as raised:
        prepare(Material(figure, Shelves(tmp_path)))
    named = re.findall(r"^  python -m benchmark (.+)$", str(raised.value), re.MULTILINE)
    every = [text for lack in figures.lacks(figure, Shelves(tmp_path)) for text in lack.commands]
    assert named and {f"python -m benchmark {words}" for words in named} <= set(every)
    for text in every:
        check(text.removeprefix("python -m benchmark "))
    assert ("so does --run" in str(raised.value)) == ("train" not in str(raised.value))


def test_an_unknown_figure_is_told_with_the_nearest():
    with pytest.raises(UnknownName, match="Unknown figure 'sf2f/7'. Did you mean 'sf2f/"):
        figures.find(["sf2f/7"])
    done = command("figure", "flowavs/4")
    assert done.returncode == 2 and "Did you mean 'flowavse/4'?" in done.stderr and not done.stdout
    with pytest.raises(UnknownName, match="Unknown figure 'foo'. Papers: sf2f, .*flowavse. List figures with: "):
        figures.find(["foo"])
    done = command("figure", "flowavse/4", "--format", "pngs")
    assert done.returncode == 2 and "expected one of png, pdf, svg. Did you mean 'png'?" in done.stderr


def test_without_a_name_the_figures_are_listed():
    listed = CliRunner().invoke(app, ["figure"])
    assert listed.exit_code == 0 and listed.stdout == CliRunner().invoke(app, ["list", "figures"]).stdout


def test_a_figure_that_the_project_has_says_where(tmp_path, monkeypatch):
    for there in (False, True):
        monkeypatch.setattr("benchmark.leaderboard.submissions.ROOT", tmp_path / "leaderboards")
        if there:
            (tmp_path / "leaderboards" / "figures").mkdir(parents=True)
            (tmp_path / "leaderboards" / "figures" / "flowavse-5.json").write_text("{}")
        done = CliRunner().invoke(app, ["figure", "flowavse/5", "--runs", str(tmp_path / "runs")])
        assert isinstance(done.exception, PrerequisiteError)
        assert ("leaderboards/index.html" in str(done.exception)) == there


def test_all_stands_for_every_figure_once():
    assert figures.find(["all", "sf2f/1"]) == list(FIGURES.values())
    of_paper = figures.find(["flowavse", "flowavse/1"])
    assert [each.name for each in of_paper] == ["flowavse/1", "flowavse/4", "flowavse/5"]


def test_a_file_is_no_folder_for_figures(tmp_path):
    (tmp_path / "a.png").touch()
    done = command("figure", "sf2f/5", "--out", tmp_path / "a.png")
    assert done.returncode == 2 and "expected a folder, got a file" in done.stderr


# -- what counts -------------------------------------------------------------------------------------------------------


def test_a_run_counts_only_as_its_command_would_make_it(tmp_path):
    need = RunNeeded("flowavse", "av_enhancement")
    good = made(need, tmp_path, si_sdr=1.0)
    plain = Kept(tmp_path / "plain", good)
    assert need.fits(plain)
    other = {"weights_sha256": "1" * 64, "split": "val", "dataset": "grid", "dataset_revision": "0"}
    other |= {"config": {**good.spec.config, "steps": 2}, "task": "av_separation", "seconds": 2.0}

    def changed(key: str, value: object) -> Kept:
        spec = good.spec.model_copy(update={key: value})
        return Kept(tmp_path / key, good.model_copy(update={"spec": spec}))

    assert fitting(need, [changed(*item) for item in other.items()]) == []
    assert fitting(need, [Kept(tmp_path, good.model_copy(update={"partial": True}))]) == []
    again, often = changed("seed", 1), changed("repeats", 2)
    assert fitting(need, [often, again, plain]) == [plain, again, often]
    two = RunNeeded("flowavse", "av_enhancement", ("steps=2",))
    assert fitting(two, [plain, Kept(tmp_path, made(two, tmp_path))]) == [Kept(tmp_path, made(two, tmp_path))]


def test_weights_that_a_user_trained_count_where_none_are_shipped(tmp_path):
    need = FIGURES["sf2f/6"].runs[0]
    RunDirectory(tmp_path / made(need, tmp_path).run_id).write_document("run.json", "{}")
    found = Shelves(tmp_path).find(need)
    assert found and found.result.spec.weights_sha256 == "f" * 64


def test_published_results_serve_where_numbers_suffice(tmp_path):
    number_only, pictures = (
        RunNeeded("flowavse", "av_enhancement"),
        RunNeeded("flowavse", "av_enhancement", outputs=True),
    )
    result = made(number_only, tmp_path / "elsewhere", si_sdr=2.0)
    deep = tmp_path / "published" / "av_enhancement" / "talkers" / "a.json"
    deep.parent.mkdir(parents=True)
    deep.write_text(result.model_dump_json())
    deep.with_name("b.json").write_text("{}")
    shelves = Shelves(tmp_path / "runs")
    assert shelves.find(number_only) and shelves.find(pictures) is None
    made(number_only, tmp_path / "runs", si_sdr=3.0)
    own = Shelves(tmp_path / "runs").find(number_only)
    assert own and own.result.aggregate("si_sdr").value == 3.0


def test_a_broken_report_of_speed_is_told(tmp_path):
    path = FIGURES["flowavse/1"].speeds[0].path(tmp_path)
    path.parent.mkdir()
    path.write_text("[]")
    with pytest.raises(UsageError, match="is no report of `speed`"):
        Shelves(tmp_path).speeds(FIGURES["flowavse/1"].speeds[0])
    assert [line.partition(" ")[0] for line in Shelves(tmp_path).unread] == [str(path)]


def test_a_report_of_speed_is_not_taken_for_a_broken_result(tmp_path):
    measured_speed(tmp_path)
    assert Shelves(tmp_path).unread == []


def test_what_is_missing_is_made_once(tmp_path, monkeypatch):
    asked = []

    class Told:
        notes, unwritten = (), ()

        def __init__(self, request, say, progress):
            asked.append((request.method, request.sets))

        def plans(self):
            return []

        def run(self, plans):
            return []

    monkeypatch.setattr("benchmark.runs.session.Session", Told)
    monkeypatch.setattr(figures, "measure_speed", lambda need, runs, say: asked.append(need))
    made(RunNeeded("noisy", "av_enhancement"), tmp_path)
    wanted = [FIGURES[name] for name in ("sf2f/5", "sf2f/6", "flowavse/1", "flowavse/4")]
    (line,) = figures.make_missing(wanted, Shelves(tmp_path), lambda line: None, lambda label: None)
    assert "not run: it needs a training at 128 x 128" in line and "train --method sf2f --preset paper-multi" in line
    assert len(asked) == len(set(asked)) == 2 + 10 + 1
    assert ("noisy", ()) not in asked


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_speed_size_and_quality_stand_beside_what_the_paper_reports(tmp_path):
    enhanced(tmp_path)
    measured_speed(tmp_path)
    left, right = painted("flowavse/1", tmp_path).axes
    assert title(left) == "reported: VoxCeleb2" and title(right) == "measured: Talkers"
    reported = {(1.308, 8.056), (1.532, 11.508), (0.07, 12.341), (0.073, 12.457), (0.085, 13.37)}
    assert circles(left) == reported
    assert circles(right) == {(0.5, 6.0), (8.0, 5.0)}
    lines = [line for c in right.collections if isinstance(c, LineCollection) for line in c.get_segments()]
    bars = {tuple(np.round(line, 3).ravel()) for line in lines}
    assert (0.5, 5.9, 0.5, 6.1) in bars and (0.25, 6.0, 1.0, 6.0) in bars


def test_a_name_has_room_between_its_circle_and_the_title(tmp_path):
    """Also where one method alone was measured, far above the mixture."""
    made(RunNeeded("flowavse", "av_enhancement"), tmp_path, si_sdr=9.0)
    made(RunNeeded("noisy", "av_enhancement"), tmp_path, si_sdr=0.0)
    measured_speed(tmp_path)
    figure = painted("flowavse/1", tmp_path)
    figure.canvas.draw()
    right = figure.axes[1]
    (name,) = [text for text in right.texts if text.get_text().startswith("flowavse")]
    assert name.get_window_extent().y1 <= right.get_window_extent().y1


def test_steps_have_a_row_of_reported_and_one_of_measured_numbers(tmp_path):
    enhanced(tmp_path)
    axes = painted("flowavse/4", tmp_path).axes
    assert title(axes[0]) == "reported: LRS3" and title(axes[3]) == "measured: Talkers"

    def curves(a) -> set[tuple[tuple[float, float], ...]]:
        lines = [
            line.get_xydata()
            for line in a.lines
            if line.get_marker() not in ("None", "_", "|") and len(line.get_xydata())
        ]
        return {tuple((float(x), round(float(y), 3)) for x, y in line) for line in lines}

    assert curves(axes[2]) == {((1.0, -16.746), (30.0, 12.587)), ((1.0, 14.353),)}
    steps = (1.0, 2.0, 5.0, 10.0, 30.0)
    assert curves(axes[5]) == {
        tuple(zip(steps, (6.0, 7.0, 8.0, 9.0, 10.0), strict=True)),
        tuple(zip(steps, (1.0, 2.0, 3.0, 4.0, 5.0), strict=True)),
    }


def test_numbers_over_the_snr_are_means_of_each_and_lipdiffusers_line_is_flat(tmp_path):
    spoken(tmp_path / "runs", tmp_path / "corpus", "sgmse")
    axes = painted("lipdiffuser/4", tmp_path / "runs").axes
    assert title(axes[0]) == "reported: LRS3-CHiME3" and title(axes[3]) == "measured: Talkers"

    def curves(panel) -> dict[str, list[tuple[float, float]]]:
        bars = {c.get_label(): c[0].get_xydata() for c in panel.containers}
        return {name: [(round(float(x), 2), round(float(y), 3)) for x, y in xy] for name, xy in bars.items()}

    reported = {name: points[0][1] for name, points in curves(axes[0]).items()}
    assert reported == {"noisy": 2.16, "SGMSE+": 3.04, "AV-Gen": 2.90, "LipDiffuser": 3.64}
    dnsmos, words = curves(axes[3]), curves(axes[4])
    assert dnsmos["noisy"] == [(level, round(2.2 + (level + 10) / 10 + 0.02, 3)) for level in SWEEP_DB]
    assert dnsmos["DeepFilterNet"] == [(x, round(y + 0.2, 3)) for x, y in dnsmos["noisy"]]
    assert words["noisy"] == [(-20.0, 0.6), (-15.0, 0.4), (-10.0, 0.2), (-5.0, 0.0), (0.0, 0.0), (5.0, 0.0)]
    flat = [line for line in axes[3].lines if line.get_label() == "LipDiffuser"]
    assert [tuple(np.round(line.get_ydata(), 3)) for line in flat] == [(2.27, 2.27)]  # 2 + 0.25 of all SNRs + 0.02
    assert "SGMSE+" not in dnsmos
    bars = axes[3].containers[0][2][0].get_segments()[2]
    half = 2.776 * np.std(np.arange(5) / 100, ddof=1) / np.sqrt(5)  # Student's t of 4 degrees of freedom
    assert bars[:, 1] == pytest.approx([2.22 - half, 2.22 + half], rel=5e-3)


def test_boxes_are_of_single_clips_and_the_caption_says_that_nobody_listened(tmp_path):
    spoken(tmp_path / "runs", tmp_path / "corpus")
    drawing = prepare(Material(FIGURES["lipdiffuser/3"], Shelves(tmp_path / "runs")))
    assert "listening test" in drawing.caption and "Nothing here can measure it" in drawing.caption
    left, right = painted("lipdiffuser/3", tmp_path / "runs").axes
    names = [text.get_text() for text in left.get_xticklabels()]
    assert names == ["noisy", "DeepFilterNet", "SGMSE+", "LipDiffuser", "clean"]
    level = [line.get_ydata() for line in right.lines if len(set(line.get_ydata())) == 1]
    medians = [y[0] for y in level if len(y)]
    own = {round(0.5 + place / 10 + 0.002, 3) for place in range(5)}
    assert own <= {round(float(y), 3) for y in medians}


def test_a_result_without_its_rows_is_no_source_of_boxes(tmp_path):
    spoken(tmp_path / "runs", tmp_path / "corpus")
    for path in (tmp_path / "runs").glob("lipdiffuser-*/scores*.jsonl"):
        path.unlink()
    with pytest.raises((PrerequisiteError, UsageError), match="score it again|make the run anew"):
        prepare(Material(FIGURES["lipdiffuser/3"], Shelves(tmp_path / "runs")))


def test_faces_stand_under_the_people_that_they_belong_to(tmp_path):
    figure = FIGURES["sf2f/5"]
    faces(tmp_path / "runs", tmp_path / "corpus", *figure.runs)
    axes = painted("sf2f/5", tmp_path / "runs").axes
    across = 5  # nine people in two blocks
    for person in range(9):
        block, column = divmod(person, across)
        true, ours, other = (axes[(3 * block + line) * across + column] for line in range(3))
        assert true.get_title() == f"p{person}"
        assert true.images[0].get_array()[0, 0, 0] == 10 + 10 * person
        for made_by in (ours, other):
            if person == 8:
                assert not made_by.images and made_by.texts[0].get_text() == "no output"
            else:
                assert made_by.images[0].get_array()[0, 0, 0] == 2 * (10 + 10 * person)


def test_faces_of_the_cascade_stand_beside_those_of_other_decoders_where_these_are_there(tmp_path):
    figure = FIGURES["speech2face_ddpm/1"]
    faces(tmp_path / "runs", tmp_path / "corpus", *figure.runs)
    axes = painted(figure.name, tmp_path / "runs").axes
    assert len(axes) == 2 * 8
    for true, ours in zip(axes[:7], axes[8:15], strict=True):
        assert ours.images[0].get_array()[0, 0, 0] == 2 * true.images[0].get_array()[0, 0, 0]
    faces(tmp_path / "runs", tmp_path / "again", *figure.further)
    assert len(painted(figure.name, tmp_path / "runs").axes) == 4 * 8


def test_confusions_are_of_ages_and_sexes_that_were_read(tmp_path):
    figure = FIGURES["speech2face_ddpm/5"]
    faces(tmp_path, tmp_path / "corpus", *figure.runs)
    run = RunDirectory(Shelves(tmp_path).find(figure.runs[0]).folder)
    scorer = Scorer(make_metrics(ddpm_figures.JUDGED, Networks(), {}))
    outputs = run.as_they_are(run.predictions())
    for place, (key, output) in enumerate(sorted(outputs.items())[:4]):
        woman, read = place < 3, place < 1  # of three women two are taken for men, and the man for one
        told = {
            "sex_agreement": {"read": float(not read), "face": float(not woman), "label": float(not woman)},
            "age_agreement": {"read": 25.0, "face": 25.0 + 10 * place, "label": 25.0},
        }
        run.append_scores(
            ScoreRow(*key[:1], key[0], key[1], name, scorer.signature(name), "ok", None, values, output.version,
                     scorer.sources[name])
            for name, values in told.items()
        )  # fmt: skip
    axes = {title(a): a for a in painted(figure.name, tmp_path).axes}
    assert set(axes) == {"age, %", "sex, %"}
    shares = axes["age, %"].images[0].get_array()
    assert (
        shares[:, 0].tolist() == [1, 1, 1, 1] and [t.get_text() for t in axes["age, %"].get_yticklabels()][0] == "20s"
    )
    assert sorted(np.round(axes["sex, %"].images[0].get_array().ravel(), 2).tolist()) == [0, 0.33, 0.67, 1]


def test_the_fuser_is_shown_by_windows_alone_and_by_the_runs_own_output(tmp_path):
    figure = FIGURES["sf2f/4"]
    faces(tmp_path / "runs", tmp_path / "corpus", *figure.runs)
    axes = painted("sf2f/4", tmp_path / "runs").axes
    assert [a.get_title() for a in axes[1:6]] == ["window 1", "window 2", "window 3", "fused", "true face"]
    assert all(a.images[0].get_array().shape == (64, 64, 3) for a in axes[1:4])
    assert axes[4].images[0].get_array()[0, 0, 0] == 2 * axes[5].images[0].get_array()[0, 0, 0]


def test_spectrograms_are_of_the_mixture_the_outputs_and_the_clean_speech(tmp_path):
    root, runs, rows = tmp_path / "corpus", tmp_path / "runs", []
    for place, noise in enumerate(("white", "pink")):
        tone = 0.3 * np.sin(2 * np.pi * 1000 * (place + 1) * np.arange(16_000) / 16_000)
        write_audio(root / f"m{place}.wav", Audio(tone.astype(np.float32), 16_000))
        rows.append(Row(f"m{place}", "a", {}, {"speech": (f"m{place}.wav",)}, {"noise": noise, "snr_db": 0.0}))
    write_manifest(root / "m", rows, dataset="talkers", revision="1", split="test", task="av_enhancement")
    need = FIGURES["flowavse/5"].runs[0]
    run = RunDirectory(runs / made(need, runs, HOSTILE, read_manifest(root / "m", root), si_sdr=1.0).run_id)
    for place in range(2):
        file = run.output_path(f"m{place}", 0, ".wav")
        (run.path / file).parent.mkdir(parents=True)
        tone = 0.3 * np.sin(2 * np.pi * 3000 * np.arange(16_000) / 16_000)
        write_audio(run.path / file, Audio(tone.astype(np.float32), 16_000))
        run.append_predictions([Prediction(f"m{place}", "a", 0, "ok", file)])
    drawing = prepare(Material(FIGURES["flowavse/5"], Shelves(runs)))
    figure = Figure(figsize=(drawing.width, drawing.height))
    drawing.paint(figure)
    loudest = [a.images[0].get_array().mean(1).argmax() * 16_000 / 510 for a in figure.axes[2:6]]
    kinds = {title(a).split("\n")[1]: place for place, a in enumerate(figure.axes[:2])}
    assert set(kinds) == {"white, 0 dB", "pink, 0 dB"}
    assert loudest[:2] == pytest.approx([3000, 3000], abs=20)
    assert loudest[2 + kinds["white, 0 dB"]] == pytest.approx(1000, abs=20)
    assert loudest[2 + kinds["pink, 0 dB"]] == pytest.approx(2000, abs=20)
    files = [write(FIGURES["flowavse/5"], drawing, tmp_path / name, ("png", "pdf", "svg")) for name in ("a", "b")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def everything(tmp_path) -> Path:
    runs = tmp_path / "runs"
    measured_speed(runs)
    enhanced(runs)
    avp_gan = (f"avp_gan/{number}" for number in (6, 7, 8, 9))
    drawn = ("sf2f/1", "sf2f/5", "sf2f/6", "speech2face_ddpm/1", *avp_gan)
    needs = {need for name in drawn for need in (*FIGURES[name].runs, *FIGURES[name].further)}
    faces(runs, tmp_path / "corpus", *sorted(needs, key=RunNeeded.commands))
    spoken(runs, tmp_path / "lips")
    return runs


@pytest.mark.parametrize(
    "name",
    ["sf2f/1", "sf2f/5", "sf2f/6", "speech2face_ddpm/1", "avp_gan/6", "flowavse/1", "flowavse/4"]
    + ["lipdiffuser/3", "lipdiffuser/4"],
)
def test_files_are_the_same_to_the_byte_and_hold_no_time(name, everything, tmp_path):
    kinds = ("png", "pdf", "svg")
    twice = []
    for attempt in range(2):
        drawing = prepare(Material(FIGURES[name], Shelves(everything)))
        twice.append([path.read_bytes() for path in write(FIGURES[name], drawing, tmp_path / str(attempt), kinds)])
    assert twice[0] == twice[1]
    png, pdf, svg = twice[0]
    assert png[:4] == b"\x89PNG" and b"tIME" not in png and b"Software" not in png
    assert pdf[:5] == b"%PDF-" and b"CreationDate" not in pdf and b"/Type3" not in pdf and b"/FontFile2" in pdf
    assert b"<text" not in svg and b"<dc:date>" not in svg


@pytest.mark.parametrize(
    "name", ["sf2f/1", "sf2f/5", "avp_gan/9", "flowavse/1", "flowavse/4", "lipdiffuser/3", "lipdiffuser/4"]
)
def test_text_is_legible_at_the_printed_width_and_colours_are_the_houses(name, everything, tmp_path, monkeypatch):
    seen = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *rest, **more: (seen.append(f), save(f, *rest, **more)))
    write(FIGURES[name], prepare(Material(FIGURES[name], Shelves(everything))), tmp_path / "out", ("png",))
    (figure,) = seen
    assert figure.get_figwidth() <= 7.2
    from matplotlib.colors import to_hex
    from matplotlib.text import Text

    sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()}
    assert sizes <= {TEXT, SMALL} and min(sizes) >= 7
    lines = {to_hex(line.get_color()) for a in figure.axes for line in a.lines}
    assert lines <= {colour.lower() for colour in (*COLOURS, INK, GREY)}


def test_colours_stay_apart_for_those_who_see_no_red_or_no_green():
    """Viénot, Brettel and Mollon 1999, in linear RGB; distances of what is then seen."""
    codes = np.array([[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in COLOURS])
    linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    for blind in ([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
                  [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]):  # fmt: skip
        seen = np.clip(linear @ np.array(blind).T, 0, 1) ** (1 / 2.4)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)
        assert apart[~np.eye(len(COLOURS), dtype=bool)].min() > 0.1


def test_no_two_lines_of_a_plot_look_alike():
    looks = [series(number) for number in range(24)]
    assert len({(look["color"], look["linestyle"]) for look in looks}) == 24


# -- names of others ---------------------------------------------------------------------------------------------------


def test_hostile_names_stay_text(tmp_path):
    made(RunNeeded("flowavse", "av_enhancement"), tmp_path, label=HOSTILE, si_sdr=2.0)
    measured_speed(tmp_path)
    drawing = prepare(Material(FIGURES["flowavse/1"], Shelves(tmp_path)))
    (path,) = write(FIGURES["flowavse/1"], drawing, tmp_path / "out", ("svg",))
    assert "<script" not in path.read_text() and "\x1b" not in path.read_text()
    page = figures.Page()
    page.add(FIGURES["flowavse/1"], [path], HOSTILE, [])
    page.leave_out(FIGURES["flowavse/4"], f"{HOSTILE}\n  python")
    assert "<script" not in page.text().replace("\\<script", "") and "[a](b)" not in page.text()
    assert "\x1b" not in page.text() and "$x^2$" not in page.text().replace("\\$", "")


def test_one_page_shows_what_was_drawn_and_says_why_the_rest_was_not(everything, tmp_path):
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["figure", "all", "--runs", str(everything), "--out", str(out), "-q"])
    assert done.exit_code == 0, done.output
    page = (out / "index.md").read_text()
    lacking = ("flowavse/5", "speech2face_ddpm/5")
    files = [out / f"{figure.stem}.png" for figure in BUILT if figure.name not in lacking]
    assert done.stdout.split() == [str(path) for path in (*files, out / "index.md")]
    for figure in FIGURES.values():
        assert f"### Figure {figure.number}: {figure.title}" in page
        drawn = (out / f"{figure.stem}.png").is_file()
        assert drawn == (f"]({figure.stem}.png)" in page) == (figure in BUILT and figure.name not in lacking)
    assert page.count("which is not built here yet") == sum(bool(figure.unbuilt) for figure in FIGURES.values())
    assert "score it with --metrics age_agreement,sex_agreement" in page
    assert "    python -m benchmark run --method flowavse" in page
