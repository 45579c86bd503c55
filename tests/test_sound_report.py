"""The report of enhancement, on runs made by hand."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmark.datasets.manifest import Manifest
from benchmark.media import read_audio, read_image, write_audio
from benchmark.media.clips import mixture_clip
from benchmark.reports import sound_report
from benchmark.reports.parts import Parts
from benchmark.reports.run_report import write_report
from benchmark.reports.sound_report import by_condition_csv, by_condition_markdown, file_names, pick, read_rows
from benchmark.reports.spectrograms import Column, Panel, draw_gain, draw_spectrograms, log_magnitude
from benchmark.results.schema import Result, RunSpec
from benchmark.runs.directory import Prediction, RunDirectory
from benchmark.runs.evaluation import RunView, conclude
from benchmark.runs.scoring import Scorer
from benchmark.runs.session import notes_on
from benchmark.tasks import get_task
from benchmark.types import Audio, Sample
from metrics.metric import Metric, Report, SpeechItem, Undefined, weighted_mean, weighted_ratio
from metrics.speech.delay import DelayFound

RATE = 16_000
TASK = get_task("av_enhancement")


class Stored(Metric):
    """Aggregates of rows that the tests write; measures nothing."""

    def __init__(self, *reports: Report) -> None:
        self.reports = reports

    @classmethod
    def create(cls, networks: Any) -> Stored:
        return cls()

    def signature(self, report: str) -> str:
        return f"{report}|v1"

    def measure(self, items):
        pytest.fail("measured again")

    def defined(self, report, statistics):
        return np.isfinite(statistics[report]) if report in statistics else super().defined(report, statistics)

    def aggregate(self, statistics, weights):
        if "words" in statistics:
            return {"wer": weighted_ratio(statistics["errors"], statistics["words"], weights)}
        known = {r.name: self.defined(r.name, statistics) for r in self.reports}
        values = {name: np.where(known[name], statistics[name], 0.0) for name in known}
        return {name: weighted_ratio(values[name], known[name], weights) for name in known}


class BySpeaker(Stored):
    def aggregate(self, statistics, weights):
        return {"pesq_wb": weighted_mean(statistics["pesq_wb"], weights)}


SCORER = Scorer(
    {
        "pesq_wb": BySpeaker(Report("pesq_wb", "PESQ-WB", True, (1, 5), weigh="speaker")),
        "si_sdr": Stored(Report("si_sdr", "SI-SDR", True, (-np.inf, np.inf), unit="dB", weigh="sample")),
        "wer": Stored(Report("wer", "WER", False, (0, np.inf), unit="%", weigh="sample")),
    }
)


@dataclass
class Bench:
    """A split of mixtures and runs over it, their scores written by hand."""

    folder: Path
    samples: tuple[Sample, ...]
    repeats: int = 1

    def view(self, method: str, label: str | None = None) -> RunView:
        spec = RunSpec(
            task=TASK.name,
            task_version=1,
            method=method,
            config={"label": label},
            weights_sha256=None,
            dataset="tiny",
            dataset_revision="1",
            split="test",
            manifest_sha256="0" * 64,
            seconds=None,
            repeats=self.repeats,
            seed=0,
        )
        manifest = Manifest("tiny", "1", "test", TASK.name, self.samples, "0" * 64, Path("m"), self.folder)
        run = RunDirectory(self.folder / "runs" / spec.run_id())
        return RunView(run, TASK, spec, label or method, None, manifest, self.samples)

    def add(self, method: str, scores: dict, label: str | None = None, sound=None) -> tuple[RunView, Result]:
        """A run with `scores[metric][(sample, repeat)] = statistics`, and outputs `sound(sample)` where given."""
        view = self.view(method, label)
        for sample in self.samples:
            for repeat in range(self.repeats):
                samples = sound(sample) if sound and repeat == 0 else None
                file = None
                if samples is not None:
                    file = view.run.output_path(sample.id, repeat, ".wav")
                    write_audio(view.run.path / file, Audio(samples, RATE))
                status, reason = ("ok", None) if file else ("failed", "asked to fail")
                view.run.append_predictions([Prediction(sample.id, sample.speaker, repeat, status, file, reason)])
        outputs = view.run.as_they_are(view.run.predictions())
        for name, rows in scores.items():
            view.run.append_scores(
                replace(
                    SCORER.without_value(outputs[s.id, repeat], name, "ok", ""),
                    reason=None,
                    statistics=rows[s.id, repeat],
                )
                for s in self.samples
                for repeat in range(self.repeats)
                if (s.id, repeat) in rows
            )
        return view, conclude(view, SCORER)


def mixtures(folder: Path, conditions: list[tuple[str, float]], ids: list[str] | None = None) -> tuple[Sample, ...]:
    """A mixture per condition: a tone of its own pitch in noise; three speakers in turn."""
    samples = []
    for number, (noise, snr_db) in enumerate(conditions):
        path = folder / "corpus" / f"{number:03d}.wav"
        time = np.arange(RATE // 2) / RATE
        write_audio(path, Audio((0.3 * np.sin(2 * np.pi * (200 + 50 * number) * time)).astype(np.float32), RATE))
        key = ids[number] if ids else f"m{number:03d}"
        about = {"noise": noise, "snr_db": snr_db}
        other = {"noise": (samples[0].targets["speech"][0],)} if noise == "talker" else {}
        samples.append(Sample(key, f"p{number % 3}", other, {"speech": (path,)}, about))
    return tuple(samples)


def table(text: str) -> dict[tuple[str, ...], dict[str, str]]:
    """(method, metric, noise, snr) -> line of the CSV."""
    lines = csv.DictReader(io.StringIO(text))
    return {(row["method"], row["metric"], row["noise"], row["snr_db"]): row for row in lines}


def rows_of(view: RunView, results: list[Result]):
    return read_rows(view, results, SCORER)


GRID = [(noise, snr) for noise in ("white", "pink") for snr in (-10.0, -5.0, 0.0, 5.0, 10.0)] * 3


@pytest.fixture
def graded(tmp_path):
    """Thirty mixtures in two evaluation runs with random scores, some missing on either side -> bench, both scores."""
    bench = Bench(tmp_path, mixtures(tmp_path, GRID), repeats=2)
    random = np.random.default_rng(1)
    keys = [(sample.id, repeat) for sample in bench.samples for repeat in range(2)]

    def scores(lost: int) -> dict:
        kept = [key for number, key in enumerate(keys) if number % 7 != lost]
        return {
            "si_sdr": {key: {"si_sdr": random.normal(5, 3)} for key in kept},
            "pesq_wb": {key: {"pesq_wb": random.uniform(1, 4)} for key in kept},
            "wer": {key: {"errors": random.integers(0, 7), "words": random.integers(4, 9)} for key in kept},
        }

    return bench, scores(2), scores(4)


def direct(bench: Bench, name: str, rows: dict, keys: set) -> float:
    """The number over some outputs, by the textbook: mean over repeats of mean, mean of speakers' means, or ratio."""
    speaker = {sample.id: sample.speaker for sample in bench.samples}
    runs = []
    for repeat in range(bench.repeats):
        own = [key for key in keys if key[1] == repeat]
        if not own:
            continue
        if name == "wer":
            runs.append(sum(rows[k]["errors"] for k in own) / sum(rows[k]["words"] for k in own))
        elif name == "si_sdr":
            runs.append(sum(rows[k]["si_sdr"] for k in own) / len(own))
        else:
            people = sorted({speaker[k[0]] for k in own})
            means = [np.mean([rows[k]["pesq_wb"] for k in own if speaker[k[0]] == p]) for p in people]
            runs.append(np.mean(means))
    return float(np.mean(runs))


def test_every_cell_and_margin_is_the_direct_computation(graded):
    bench, own, floor = graded
    view, result = bench.add("flowavse", own)
    lines = table(by_condition_csv(view, rows_of(view, [result, bench.add("noisy", floor)[1]])))
    assert len(lines) == 2 * 3 * 3 * 6  # rows, numbers, kinds with margin, SNRs with margin
    for noise in ("white", "pink", "all"):
        for snr in ("-10", "-5", "0", "5", "10", "all"):
            keys = {
                (s.id, repeat)
                for s in bench.samples
                for repeat in range(2)
                if noise in (s.attributes["noise"], "all") and snr in (f"{s.attributes['snr_db']:g}", "all")
            }
            for name in ("si_sdr", "pesq_wb", "wer"):
                line = lines["flowavse", name, noise, snr]
                known, both = keys & own[name].keys(), keys & own[name].keys() & floor[name].keys()
                assert (int(line["scored"]), int(line["total"]), int(line["paired"])) == (
                    len(known),
                    len(keys),
                    len(both),
                )
                base = direct(bench, name, floor[name], both)
                assert float(line["value"]) == pytest.approx(direct(bench, name, own[name], known), abs=1e-6)
                assert float(line["noisy"]) == pytest.approx(base, abs=1e-6)
                assert float(line["difference"]) == pytest.approx(direct(bench, name, own[name], both) - base, abs=1e-6)
                assert lines["noisy", name, noise, snr]["difference"] == ""


def test_the_margin_of_all_is_the_number_of_the_table(graded):
    bench, own, floor = graded
    view, result = bench.add("flowavse", own)
    lines = table(by_condition_csv(view, rows_of(view, [result, bench.add("noisy", floor)[1]])))
    for item in result.aggregates:
        assert float(lines["flowavse", item.name, "all", "all"]["value"]) == pytest.approx(item.value, rel=1e-12)
        assert int(lines["flowavse", item.name, "all", "all"]["scored"]) == item.scored


def test_with_several_snrs_they_are_the_columns(graded):
    bench, own, floor = graded
    view, result = bench.add("flowavse", own)
    text = by_condition_markdown(view, rows_of(view, [result, bench.add("noisy", floor)[1]]))
    assert "| noise | method | -10 dB | -5 dB | 0 dB | 5 dB | 10 dB | all |" in text
    assert "| pink | 3 | 3 | 3 | 3 | 3 | 15 |" in text
    assert [line for line in text.split("\n") if line.startswith("## ")] == [
        "## Mixtures",
        "## PESQ-WB ↑",
        "## SI-SDR dB ↑",
        "## WER % ↓",
    ]
    lines = text[text.index("## WER") :].split("\n")
    assert [line.split(" | ")[:2] for line in lines[4:10]] == [
        [noise, f"{method} (partial)"]  # some outputs lack a score
        for noise, method in zip(
            ["| pink", "| ", "| white", "| ", "| all", "| "], ["flowavse", "noisy"] * 3, strict=True
        )
    ]
    assert "cannot be ranked" in text


def test_with_one_snr_the_methods_are_the_columns(tmp_path):
    bench = Bench(tmp_path, mixtures(tmp_path, [("white", 0.0), ("white", 0.0), ("babble", 0.0)]))
    own = {("m000", 0): {"si_sdr": 9.0}, ("m002", 0): {"si_sdr": 1.0}}
    floor = {("m000", 0): {"si_sdr": 0.5}, ("m001", 0): {"si_sdr": -0.5}, ("m002", 0): {"si_sdr": 2.25}}
    view, result = bench.add("flowavse", {"si_sdr": own})
    text = by_condition_markdown(view, rows_of(view, [result, bench.add("noisy", {"si_sdr": floor})[1]]))
    assert text[text.index("## SI-SDR") :].split("\n")[2:-1] == [
        "| noise, 0 dB | flowavse (partial) | noisy (partial) |",
        "|---|---:|---:|",
        "| babble | 1.000 (-1.250) | 2.250 |",
        "| white | 9.000 (+8.500) n 1/2 | 0.000 |",
        "| all | 5.000 (+3.625) n 2/3 | 0.750 |",
        *text[text.index("## SI-SDR") :].split("\n")[7:-1],
    ]


def test_without_the_floor_there_are_no_differences(graded):
    bench, own, _ = graded
    view, result = bench.add("flowavse", own)
    rows = rows_of(view, [result])
    assert "(+" not in by_condition_markdown(view, rows) and "In brackets" not in by_condition_markdown(view, rows)
    assert {line["difference"] for line in table(by_condition_csv(view, rows)).values()} == {""}


def test_numbers_of_another_definition_do_not_count(graded):
    bench, own, floor = graded
    view, result = bench.add("flowavse", own)
    _, other = bench.add("noisy", floor)
    renamed = [a.model_copy(update={"signature": f"{a.signature}|v2"}) for a in other.aggregates]
    lines = table(by_condition_csv(view, rows_of(view, [result, other.model_copy(update={"aggregates": renamed})])))
    assert lines["noisy", "si_sdr", "all", "all"]["value"] == ""
    assert lines["flowavse", "si_sdr", "all", "all"]["difference"] == ""


def test_only_the_samples_asked_for_count(graded):
    bench, own, floor = graded
    view, result = bench.add("flowavse", own)
    few = replace(view, samples=view.samples[:5])
    line = table(by_condition_csv(few, rows_of(few, [result])))["flowavse", "si_sdr", "all", "all"]
    keys = {key for key in own["si_sdr"] if key[0] in {s.id for s in few.samples}}
    assert float(line["value"]) == pytest.approx(direct(bench, "si_sdr", own["si_sdr"], keys), abs=1e-6)
    assert int(line["total"]) == 10


def heard(bench: Bench, gains: list[float], failing: set[str] = frozenset(), floor: bool = True):
    """Runs whose output is the mixture at half the level; gains in SI-SDR as given, over floors of random height."""
    heights = np.random.default_rng(0).normal(0, 20, len(gains))
    keys = [(sample.id, 0) for sample in bench.samples]
    own = {k: {"si_sdr": h + g} for k, h, g in zip(keys, heights, gains, strict=True) if k[0] not in failing}
    view, result = bench.add(
        "flowavse",
        {"si_sdr": own},
        sound=lambda s: None if s.id in failing else noisy(s) / 2,
    )
    below = {k: {"si_sdr": h} for k, h in zip(keys, heights, strict=True)}
    return view, [result, *([bench.add("noisy", {"si_sdr": below})[1]] if floor else [])]


def noisy(sample: Sample) -> np.ndarray:
    return mixture_clip(sample, None, RATE, 0).mixture.noisy


def test_the_mixture_of_median_gain_at_the_snr_nearest_0_db_is_picked(tmp_path):
    kinds = ("white", "pink", "music")
    conditions = [(kind, snr) for kind in (*kinds, "talker") for snr in (-5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 7.0)]
    bench = Bench(tmp_path, mixtures(tmp_path, conditions))
    gains = [-99, 3, 9, 1, 7, 5, 99] * 4
    view, results = heard(bench, gains, failing={"m005"})
    picked = {sample.attributes["noise"]: sample.id for sample in pick(view, rows_of(view, results))}
    # of white, the output of gain 5, the median, is lost: 3 and 7 are in the middle of the rest
    assert picked == {"white": "m004", "pink": "m012", "music": "m019", "talker": "m026"}


def test_one_kind_of_noise_gives_four_mixtures_over_its_ranking(tmp_path):
    bench = Bench(tmp_path, mixtures(tmp_path, [("white", 0.0)] * 8))
    view, results = heard(bench, [7, 6, 5, 4, 3, 2, 1, 0])
    assert [sample.id for sample in pick(view, rows_of(view, results))] == ["m006", "m004", "m002", "m000"]


def test_the_report_of_a_run_holds_its_sounds(tmp_path):
    ids = ["../../up", "..-..-UP", "<b>$x_1$\n", "plain"]
    bench = Bench(tmp_path, mixtures(tmp_path, [(k, 0.0) for k in ("white", "pink", "music", "white")], ids))
    view, results = heard(bench, [1.0, 2.0, 3.0, 4.0], failing={"plain"})
    clean = bench.add("clean", {}, sound=lambda s: mixture_clip(s, None, RATE, 0).mixture.clean)[1]
    peer = bench.add("peer", {}, "peer (video=shuffled_1) <i>", lambda s: noisy(s) / 3 if s.id != ids[1] else None)[1]
    stale = view.run.path / "report" / "audio" / "older_noisy.wav"
    write_audio(stale, Audio(np.ones(10, np.float32), RATE))
    folder = write_report(view, [*results, peer, clean], SCORER).folder

    assert not stale.exists()
    made = {path.name for path in (folder / "audio").glob("*.wav")}
    ending = "peer-video-shuffled-1-i"
    stems = {0: "up-2", 1: "UP", 2: "b-x_1"}  # music, pink, white: kinds stand in order of name
    whole = {f"{stem}_{end}.wav" for stem in stems.values() for end in ("noisy", "enhanced", "clean", ending)}
    assert made == whole - {f"UP_{ending}.wav"}
    assert not list(tmp_path.glob("*.wav")) and not list(tmp_path.glob("runs/*.wav"))
    for number, stem in stems.items():
        mixture = mixture_clip(bench.samples[number], None, RATE, 0).mixture
        sounds = {end: read_audio(folder / "audio" / f"{stem}_{end}.wav").samples for end in ("noisy", "clean")}
        np.testing.assert_array_equal(sounds["noisy"], mixture.noisy)
        np.testing.assert_array_equal(sounds["clean"], mixture.clean)
        enhanced = read_audio(folder / "audio" / f"{stem}_enhanced.wav").samples
        np.testing.assert_array_equal(enhanced, mixture.noisy / 2)

    page = (folder / "audio" / "index.html").read_text(encoding="utf-8")
    assert "<b>" not in page and "&lt;b&gt;$x_1$" in page and "<i>" not in page
    players = re.findall(r'src="([^"]+\.wav)"', page)
    assert set(players) == made and len(players) == len(made)
    assert page.count("no output") == 1 and "http" not in page
    assert read_image(folder / "spectrograms.png").shape[1] > 500
    assert read_image(folder / "gain.png").shape[1] > 500
    assert "by noise and SNR" in (folder / "by_condition.md").read_text(encoding="utf-8")


def test_labels_and_kinds_of_noise_are_shown_and_nothing_else(tmp_path):
    label, kind = "x|y\n\x1b[31m<b>", "=1|rain\x1b<i>"
    bench = Bench(tmp_path, mixtures(tmp_path, [(kind, 0.0), ("white", 0.0)]))
    view, result = bench.add(
        "flowavse", {"si_sdr": {("m000", 0): {"si_sdr": 1.0}}}, label, lambda s: np.ones(RATE // 2)
    )
    folder = write_report(view, [result], SCORER).folder
    texts = {
        path.name: path.read_text(encoding="utf-8") for path in folder.rglob("*.*") if path.suffix in (".md", ".html")
    }
    assert set(texts) == {"table.md", "by_condition.md", "index.html"}
    for text in texts.values():
        assert "\x1b" not in text and "\\x1b" in text
    assert "&lt;b&gt;" in texts["index.html"] and "<b>" not in texts["index.html"]
    assert r"x\|y" in texts["table.md"] and r"=1\|rain" in texts["by_condition.md"]
    (row, *_) = csv.DictReader(io.StringIO((folder / "by_condition.csv").read_text(encoding="utf-8")))
    assert row["method"] == r"x|y\n\x1b[31m<b>" and row["noise"] == r"'=1|rain\x1b<i>"


def test_a_run_without_outputs_gets_the_tables_alone(tmp_path):
    bench = Bench(tmp_path, mixtures(tmp_path, [("white", 0.0), ("pink", 0.0)]))
    view, result = bench.add("flowavse", {}, sound=lambda sample: None)
    (view.run.path / "report").mkdir()
    (view.run.path / "report" / "spectrograms.png").write_bytes(b"of an earlier report")
    folder = write_report(view, [result], SCORER).folder
    assert {path.name for path in folder.iterdir()} == {
        *("table.md", "table.csv", "table.tex", "by_condition.md", "by_condition.csv")
    }


def test_broken_and_missing_files_cost_their_panel_alone(tmp_path):
    bench = Bench(tmp_path, mixtures(tmp_path, [("white", 0.0), ("pink", 0.0)]))
    view, results = heard(bench, [1.0, 2.0], floor=False)
    (view.run.path / view.run.output_path("m000", 0, ".wav")).write_bytes(b"RIFF nonsense")
    bench.samples[1].targets["speech"][0].unlink()
    folder = write_report(view, results, SCORER).folder
    assert {path.name for path in (folder / "audio").iterdir()} == {"index.html", "m000_noisy.wav", "m000_clean.wav"}
    assert not (folder / "gain.png").exists()


def test_the_gain_of_every_output_is_drawn(tmp_path, monkeypatch):
    bench = Bench(tmp_path, mixtures(tmp_path, [("white", 0.0), ("pink", 5.0), ("white", 5.0), ("pink", 0.0)]))
    floor = {("m000", 0): {"si_sdr": 0.5}, ("m001", 0): {"si_sdr": 5.5}, ("m002", 0): {"si_sdr": 4.5}}
    own = {("m000", 0): {"si_sdr": 9.5}, ("m002", 0): {"si_sdr": 2.5}, ("m003", 0): {"si_sdr": 1.5}}
    view, result = bench.add("flowavse", {"si_sdr": own})
    results = [result, bench.add("noisy", {"si_sdr": floor})[1]]
    drawn = []
    monkeypatch.setattr("benchmark.reports.spectrograms.draw_gain", lambda points, *rest: drawn.append(points))
    sound_report.write_sound_report(view, results, SCORER, Parts(view.run.path / "report"))
    assert drawn == [{"white": [(0.5, 9.5), (4.5, 2.5)]}]


@pytest.mark.parametrize("spread", [0.1, 10.0])
def test_gains_are_strips_where_all_mixtures_begin_alike(tmp_path, monkeypatch, spread):
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda f, *rest, **more: (figures.append(f), save(f, *rest, **more)))
    points = {"white": [(0.0, 5.0), (spread, 4.0 + spread), (0.0, -2.0)], "pink": [(spread / 2, 6.0)], "none": []}
    assert draw_gain(points, "SI-SDR", "dB", "title", tmp_path / "gain.png")
    axes = figures[0].axes[0]
    drawn = {c.get_label(): np.asarray(c.get_offsets()) for c in axes.collections if c.get_label()[0] != "_"}
    assert list(drawn) == ["pink (n = 1, 0 worse)", "white (n = 3, 1 worse)"]
    if spread < 2:
        np.testing.assert_allclose(drawn["white (n = 3, 1 worse)"][:, 1], [-2, 4, 5])
        assert axes.get_ylabel() == "gain in SI-SDR, dB"
    else:
        np.testing.assert_allclose(drawn["white (n = 3, 1 worse)"], points["white"])


def test_no_points_no_figure(tmp_path):
    assert not draw_gain({"white": []}, "SI-SDR", "dB", "title", tmp_path / "gain.png")
    assert not (tmp_path / "gain.png").exists()


def test_without_a_scorer_the_report_is_the_table(graded):
    bench, own, _ = graded
    view, result = bench.add("flowavse", own)
    assert {path.name for path in write_report(view, [result]).folder.iterdir()} == {
        "table.md",
        "table.csv",
        "table.tex",
    }


@pytest.mark.parametrize("length", [1, 100, 128, 6000])
def test_the_spectrogram_is_the_short_time_fourier_transform_of_torch(length):
    import torch

    x = np.random.default_rng(0).normal(size=length)
    window = torch.hann_window(510, dtype=torch.float64)
    expected = torch.stft(
        torch.from_numpy(x), 510, 128, window=window, center=True, pad_mode="constant", return_complex=True
    )
    found = log_magnitude(x)
    assert found.shape == (256, 1 + length // 128)
    np.testing.assert_allclose(found, 20 * np.log10(np.maximum(expected.abs().numpy(), 1e-12)), atol=1e-6)


def test_a_silent_signal_is_drawn_at_the_floor():
    assert np.isfinite(log_magnitude(np.zeros(1000, np.float32))).all()


def test_high_pitches_and_late_sounds_lie_above_and_to_the_right(tmp_path):
    """A 6 kHz tone in the last quarter of a second of silence."""
    from matplotlib import colormaps

    time = np.arange(RATE) / RATE
    tone = np.where(time > 0.75, np.sin(2 * np.pi * 6000 * time), 0.0).astype(np.float32)
    path = tmp_path / "one.png"
    draw_spectrograms([Column("日本 $x$\n", "white, 0 dB", [Panel(tone)])], ["noisy"], RATE, "caption", path)
    image = read_image(path).astype(int)[:, : int(0.85 * read_image(path).shape[1])]  # left of the colour bar
    dark = np.argwhere(np.abs(image - 255 * np.array(colormaps["magma"](0.0)[:3])).sum(2) < 8)
    lit = np.argwhere(np.abs(image - 255 * np.array(colormaps["magma"](1.0)[:3])).sum(2) < 30)
    (top, left), (bottom, right) = dark.min(0), dark.max(0)
    row, column = lit.mean(0)
    assert (row - top) / (bottom - top) == pytest.approx(1 - 6 / 8, abs=0.03)
    assert (column - left) / (right - left) == pytest.approx(7 / 8, abs=0.05)


def test_file_names_are_safe_and_all_different():
    names = file_names(
        ["flowavse (video=shuffled)", "flowavse [video=shuffled]", "../../etc", "", "..", "A" * 300, "é/"]
    )
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,90}", name) for name in names)


# -- the delay of a whole method --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late", "told"), [(1760, True), (0, False)])
def test_a_method_that_is_late_throughout_is_told_of_and_not_shifted(tmp_path: Path, late: int, told: bool) -> None:
    """110 ms, by the rows of the metric `delay` alone; one clip says nothing."""
    bench = Bench(tmp_path, mixtures(tmp_path, [("white", 0.0)] * 5))
    scorer = Scorer({**SCORER.metrics, "delay": DelayFound()})
    view, result = bench.add("late", {"si_sdr": {(s.id, 0): {"si_sdr": 1.0} for s in bench.samples}})
    outputs = view.run.as_they_are(view.run.predictions())
    for number, sample in enumerate(bench.samples):
        speech = np.random.default_rng(number).normal(size=RATE)
        estimate = np.concatenate([np.zeros(late), speech])[:RATE] if number else np.ones(RATE)
        (row,) = DelayFound().measure([SpeechItem(sample.id, estimate, RATE, speech)])
        status = "undefined" if isinstance(row, Undefined) else "ok"
        stored = scorer.without_value(outputs[sample.id, 0], "delay", status, "")
        statistics = row.evidence if isinstance(row, Undefined) else row
        view.run.append_scores([replace(stored, reason=None, statistics=statistics)])
    result = conclude(view, scorer)
    line = "method delay of late: +110.0 ms [+110.0, +110.0], from 4 of 5 clips; not corrected: what compares in time"
    notes = notes_on(view, result, scorer)
    assert [note for note in notes if "delay" in note] == ([f"{line} suffers"] if told else [])
    text = by_condition_markdown(view, read_rows(view, [result], scorer))
    assert ("Method delay of late: +110.0 ms" in text) == told
    assert result.aggregate("si_sdr").value == 1.0
