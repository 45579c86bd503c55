"""`score --reference --estimate`: right numbers, one row per bad file, resuming, clusters, delays, what is printed."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.errors import BenchmarkError, PrerequisiteError, UsageError
from benchmark.media import write_audio
from benchmark.pairs.scoring import PairRequest, score_pairs
from benchmark.results.schema import PairResult
from benchmark.results.statistics import INTERVALS
from benchmark.types import Audio

RATE = 16_000
FAST = ("si_sdr", "stoi", "delay")


def speechlike(seed: int, seconds: float = 1.5, rate: int = RATE) -> np.ndarray:
    """Noise with the rhythm of syllables: enough for correlations, delays and silence removal."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    knots = np.arange(0, seconds + 0.2, 0.1)
    slow = np.interp(time, knots, random.uniform(0.02, 1, len(knots)))
    carrier = np.convolve(random.standard_normal(len(time)), np.hanning(9), "same")
    return (0.05 * slow * carrier).astype(np.float32)


def noisy(clean: np.ndarray, db: float, seed: int = 99) -> np.ndarray:
    """`clean` plus noise at exactly `db`, orthogonal to it: its SI-SDR is `db` by construction."""
    noise = np.random.default_rng(seed).standard_normal(len(clean))
    clean64 = clean.astype(np.float64)
    noise -= clean64 * (noise @ clean64) / (clean64 @ clean64)
    noise *= np.linalg.norm(clean64) / np.linalg.norm(noise) / 10 ** (db / 20)
    return (clean64 + noise).astype(np.float32)


def put(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, Audio(np.asarray(samples, np.float32), rate))
    return path


@pytest.fixture
def folders(tmp_path):
    """Four pairs at 0, 5, 10 and 15 dB, two of each of two speakers."""
    for number in range(4):
        name = f"s{number % 2}/{number}.wav"
        clean = speechlike(number)
        put(tmp_path / "clean" / name, clean)
        put(tmp_path / "made" / name, noisy(clean, 5.0 * number))
    return tmp_path


def scored(root: Path, **changes):
    request = PairRequest(
        **{
            "estimate": root / "made",
            "reference": root / "clean",
            "metrics": FAST,
            "workers": 0,
            "out": root / "scores",
            **changes,
        }
    )
    return score_pairs(request)[:3]


def table(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_values_of_every_file_and_their_mean_are_those_of_the_construction(folders):
    folder, result, notes = scored(folders)
    rows = table(folder)
    for number in range(4):
        assert float(rows[f"s{number % 2}/{number}"]["si_sdr"]) == pytest.approx(5.0 * number, abs=0.01)
    mean = result.aggregate("si_sdr")
    assert mean.value == pytest.approx(7.5, abs=0.01)
    assert (mean.scored, mean.total) == (4, 4)
    assert (mean.low, mean.high) == (None, None), "two speakers are too few for an interval"
    assert (mean.no_interval, result.intervals) == ("fewer than 5 speakers", INTERVALS)
    assert (result.pairs, result.speakers, result.clusters) == (4, 2, "folders")
    assert result.failures.rows == 0 and notes == []


def test_what_is_measured_is_kept_and_a_changed_file_is_measured_again(folders, monkeypatch):
    scored(folders)
    lines = (folders / "scores" / "scores.jsonl").read_text().splitlines()
    scored(folders)
    assert (folders / "scores" / "scores.jsonl").read_text().splitlines() == lines
    put(folders / "made/s0/0.wav", noisy(speechlike(0), 20.0))
    folder, _, _ = scored(folders)
    assert float(table(folder)["s0/0"]["si_sdr"]) == pytest.approx(20, abs=0.01)
    assert len((folders / "scores" / "scores.jsonl").read_text().splitlines()) == len(lines) + len(FAST)


def test_processes_give_what_one_gives(folders):
    one = scored(folders)[1].aggregates
    two = scored(folders, workers=2, out=folders / "two")[1].aggregates
    assert [item.model_dump() for item in one] == [item.model_dump() for item in two]


def test_every_bad_file_is_one_row_with_its_reason(folders):
    clean = speechlike(7)
    bad = {
        "silent": np.zeros_like(clean),
        "short": clean[:800],
        "longer": np.concatenate([clean, clean]),
    }
    for name, samples in bad.items():
        put(folders / "clean/s0" / f"{name}.wav", clean)
        put(folders / "made/s0" / f"{name}.wav", samples)
    for name, content in {"torn": b"RIFF\x00\x00", "empty": b"", "text": b"hello"}.items():
        put(folders / "clean/s0" / f"{name}.wav", clean)
        (folders / "made/s0" / f"{name}.wav").write_bytes(content)
    put(folders / "clean/s0/noreference.wav", clean).write_bytes(b"")
    put(folders / "made/s0/noreference.wav", clean)
    import soundfile

    put(folders / "clean/s0/nan.wav", clean)
    soundfile.write(folders / "made/s0/nan.wav", np.full(8000, np.nan, np.float32), RATE, subtype="FLOAT")
    put(folders / "clean/s1/alone.wav", clean)
    folder, result, notes = scored(folders)
    rows = table(folder)
    assert len(rows) == 4 + 8
    good = result.aggregate("si_sdr")
    assert (good.scored, good.total) == (4, 12) and good.value == pytest.approx(7.5, abs=0.01)
    assert "undefined" in rows["s0/silent"]["reasons"] and "si_sdr" in rows["s0/silent"]["reasons"]
    assert "differ by" in rows["s0/longer"]["reasons"] and "at most 0.1 s is cut" in rows["s0/longer"]["reasons"]
    for name in ("torn", "empty", "text", "nan"):
        assert "failed" in rows[f"s0/{name}"]["reasons"] and rows[f"s0/{name}"]["si_sdr"] == ""
    assert "reference: " in rows["s0/noreference"]["reasons"]
    assert any("1 files of the reference have no partner" in note and "s1/alone" in note for note in notes)
    assert result.failures.rows > 0


def test_a_delay_is_warned_of_and_taken_out_when_asked(folders):
    for path in sorted((folders / "made").rglob("*.wav")):
        import soundfile

        samples, _ = soundfile.read(path, dtype="float32")
        put(path, np.concatenate([np.zeros(1600, np.float32), samples])[: len(samples)])
    _, late, notes = scored(folders)
    assert any("4 of 4 estimates are shifted" in note and "+100.0 ms" in note and "--align" in note for note in notes)
    _, aligned, notes = scored(folders, align=True, out=folders / "aligned")
    assert any("aligned: 4 of 4" in note for note in notes)
    assert late.aggregate("si_sdr").value < -5
    assert aligned.aggregate("si_sdr").value == pytest.approx(7.5, abs=0.5)
    assert aligned.aggregate("stoi").value > late.aggregate("stoi").value + 0.2
    how = "|delay:corrected-v2,own-else-common"
    assert aligned.aggregate("stoi").signature.endswith(how)
    assert aligned.aggregate("si_sdr").signature == late.aggregate("si_sdr").signature + how


def shifted(samples: np.ndarray, by: int) -> np.ndarray:
    return np.concatenate([np.zeros(max(by, 0)), samples, np.zeros(max(-by, 0))])[max(-by, 0) :][: len(samples)]


def put_late(root: Path, milliseconds: dict[str, float]) -> None:
    """Pairs at 20 dB, each late by its own time, in place of what is there."""
    for number, (name, late) in enumerate(milliseconds.items()):
        clean = speechlike(number)
        put(root / "clean" / f"{name}.wav", clean)
        put(root / "made" / f"{name}.wav", shifted(noisy(clean, 20.0), round(late * RATE / 1000)))


def test_what_shows_no_delay_is_not_among_the_aligned_numbers(tmp_path):
    put_late(tmp_path, {"late": 100.0})
    for number in (5, 6):
        put(tmp_path / f"clean/{number}.wav", speechlike(number))
        put(tmp_path / f"made/{number}.wav", speechlike(number + 10))
    put(tmp_path / "clean/silent.wav", speechlike(7))
    put(tmp_path / "made/silent.wav", 0 * speechlike(7))
    put(tmp_path / "clean/torn.wav", speechlike(8))
    put(tmp_path / "made/torn.wav", speechlike(8)).write_bytes(b"RIFF\x00\x00")
    folder, result, notes = scored(tmp_path, align=True)
    rows = table(folder)
    for name in ("stoi", "estoi", "si_sdr", "delay_ms"):
        assert (result.aggregate(name).scored, result.aggregate(name).total) == (1, 5)
    assert result.aggregate("si_sdr").reasons["undefined: not aligned: no delay stands out"] == 2
    assert result.aggregate("si_sdr").reasons["undefined: not aligned: the estimate is silent"] == 1
    assert result.failures.rows == 1 and "failed: not aligned: " in rows["torn"]["reasons"]
    assert rows["5"]["aligned_ms"] == rows["5"]["aligned_by"] == rows["5"]["stoi"] == ""
    assert (rows["late"]["aligned_ms"], rows["late"]["aligned_by"]) == ("100", "own")
    assert any("aligned: 1 of 5 by a delay of their own; 4 without a delay are not counted" in note for note in notes)
    assert not any("method delay" in note for note in notes)


def test_a_clip_that_does_not_show_its_delay_is_aligned_by_its_methods(tmp_path):
    put_late(tmp_path, {str(number): 100.0 for number in range(5)})
    put(tmp_path / "clean/poor.wav", speechlike(5))
    put(tmp_path / "made/poor.wav", shifted(speechlike(15), 1600))
    folder, result, notes = scored(tmp_path, align=True)
    poor = table(folder)["poor"]
    assert (poor["aligned_by"], float(poor["aligned_ms"])) == ("common", pytest.approx(100.0, abs=0.01))
    put(tmp_path / "shifted/poor.wav", speechlike(15)[:-1600])
    put(tmp_path / "cut/poor.wav", speechlike(5)[:-1600])
    by_hand, _, _ = scored(tmp_path, estimate=tmp_path / "shifted", reference=tmp_path / "cut", out=tmp_path / "hand")
    assert float(poor["si_sdr"]) == pytest.approx(float(table(by_hand)["poor"]["si_sdr"]), abs=1e-4)
    assert result.aggregate("si_sdr").scored == 6 and result.aggregate("delay_ms").scored == 5
    assert "method delay: +100.0 ms [+100.0, +100.0], from 5 of 6 clips" in notes
    assert any("aligned: 5 of 6 by a delay of their own, 1 by the method's" in note for note in notes)

    put_late(tmp_path, {str(number): 50.0 for number in range(5)})
    again, _, notes = scored(tmp_path, align=True)
    fresh, _, _ = scored(tmp_path, align=True, out=tmp_path / "fresh")
    assert table(again) == table(fresh) and "method delay: +50.0 ms [+50.0, +50.0], from 5 of 6 clips" in notes
    lines = (again / "scores.jsonl").read_text()
    scored(tmp_path, align=True)
    assert (again / "scores.jsonl").read_text() == lines


@pytest.mark.parametrize("align", [False, True])
def test_delays_that_cancel_are_told_by_their_sizes(tmp_path, align):
    put_late(tmp_path, {"a": -13.0, "b": -5.0, "c": 6.0, "d": 22.0})
    _, _, notes = scored(tmp_path, align=align)
    assert any("-13.0 to +22.0 ms, median size 9.5 ms" in note for note in notes)


def test_aligning_needs_a_reference(folders):
    with pytest.raises(UsageError, match="give --reference"):
        scored(folders, reference=None, metrics=("dnsmos",), align=True)


def test_processes_align_as_one_does(tmp_path):
    put_late(tmp_path, {str(number): 10.0 * number for number in range(4)})
    one = scored(tmp_path, align=True)[1].aggregates
    two = scored(tmp_path, align=True, workers=2, out=tmp_path / "two")[1].aggregates
    assert [item.model_dump() for item in one] == [item.model_dump() for item in two]


def test_what_is_cut_is_counted(folders):
    clean = speechlike(0)
    put(folders / "made/s0/0.wav", noisy(clean, 0.0)[:-800])
    _, result, notes = scored(folders)
    assert result.aggregate("si_sdr").scored == 4
    assert any(note.startswith("1 pairs differ in length, by up to 50.0 ms") for note in notes)


def test_rates_meet_at_the_lower_one(tmp_path):
    time = np.arange(48_000) / 48_000
    tone = 0.2 * np.sin(2 * np.pi * 440 * time) * np.hanning(48_000)
    put(tmp_path / "clean/a.wav", tone, 48_000)
    put(tmp_path / "made/a.wav", tone[::3] * 0.5, 16_000)
    _, result, _ = scored(tmp_path, metrics=("si_sdr",))
    assert result.aggregate("si_sdr").value > 60


def test_a_number_is_asked_for_by_its_own_name(folders):
    _, result, _ = scored(folders, metrics=("estoi",))
    assert [item.name for item in result.aggregates] == ["stoi", "estoi", "delay_ms"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ("retrieval",)}, "does not measure speech"),
        ({"metrics": ("si_sdrr",)}, "Did you mean 'si_sdr'"),
        ({"reference": None, "metrics": ("si_sdr",)}, "give --reference"),
        ({"limit": 0}, "--limit 0"),
        ({"metric_sets": ("tap=3",)}, "--metric-set tap=3"),
    ],
)
def test_wrong_arguments_are_refused(folders, changes, message):
    with pytest.raises(BenchmarkError, match=message):
        scored(folders, **changes)


def test_words_of_grid_are_heard_by_its_grammar(realdata, tmp_path):
    """The sound tracks of GRID's own clips; the transcripts stay in the rows, so that scoring can be repeated."""
    request = PairRequest(realdata / "grid", texts="grid", metrics=("wer",), workers=0, limit=3, out=tmp_path / "grid")
    folder, result, notes = score_pairs(request)[:3]
    assert any(note.startswith("words by sphinx_grid: all texts are sentences") for note in notes)
    assert result.aggregate("wer").value < 0.3 and "sphinx_grid" in result.aggregate("wer").signature
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert all(len(row["statistics"]["transcript"].split()) == 6 for row in rows)


def test_other_words_are_heard_by_whisper_or_not_at_all(folders, monkeypatch):
    """What is installed never chooses the recogniser: without Whisper there is no number, and a note says why."""
    from metrics.networks import whisper

    (folders / "texts.tsv").write_text("0\tto be or not to be\n")
    request = {"texts": str(folders / "texts.tsv"), "reference": None}
    monkeypatch.setattr(whisper, "find_spec", lambda name: None)
    _, result, notes = scored(folders, **request, metrics=())
    assert result.aggregate("wer") is None
    assert any("words by whisper:tiny.en: not every text is a GRID sentence" in note for note in notes)
    assert any("metric wer is left out" in note and "pip install 'faster-whisper" in note for note in notes)
    with pytest.raises(PrerequisiteError, match="'whisper:tiny.en' needs faster-whisper"):
        scored(folders, **request, metrics=("wer",))
    _, result, notes = scored(folders, **request, metrics=("wer",), metric_sets=("recogniser=sphinx_grid",))
    assert "asr:sphinx_grid" in result.aggregate("wer").signature and not any("words by" in note for note in notes)


def test_nothing_is_heard_twice(folders, monkeypatch):
    """Other texts and another normaliser take the transcripts that are kept, in another folder of scores too."""
    from metrics.networks.sphinx import Sphinx

    heard: list[int] = []
    listen = Sphinx.transcribe
    monkeypatch.setattr(Sphinx, "transcribe", lambda self, signals: heard.append(len(signals)) or listen(self, signals))

    def measured(words: str, out: str, *sets: str) -> tuple[PairResult, int]:
        (folders / "texts.tsv").write_text("".join(f"{n}\t{words}\n" for n in range(9)))
        heard.clear()
        options = {"metric_sets": ("recogniser=sphinx_grid", *sets), "out": folders / out, "reference": None}
        result = scored(folders, texts=str(folders / "texts.tsv"), metrics=("wer",), **options)[1]
        return result, sum(heard)

    first, count = measured("bin blue at f two now", "one")
    assert count == first.pairs
    assert measured("set red by q three soon", "one")[1] == 0
    again, count = measured("bin blue at f two now", "two", "normaliser=none")
    assert count == 0 and again.aggregate("wer").signature != first.aggregate("wer").signature
    kept = list(Path(os.environ["FACEVOICE_BENCH_HOME"], "transcripts").rglob("*.txt"))
    assert len(kept) == first.pairs
    kept[0].unlink()
    assert measured("set red by q three soon", "three")[1] == 1


def test_other_words_are_scored_anew(folders):
    request = {"texts": str(folders / "texts.tsv"), "metrics": ("wer",)}

    def measured(words: str) -> int:
        (folders / "texts.tsv").write_text(f"0\t{words}\n")
        folder, _, _ = scored(folders, **request)
        rows = map(json.loads, (folder / "scores.jsonl").read_text().splitlines())
        return sum(row["metric"] == "wer" and row["sample"] == "s0/0" for row in rows)

    assert measured("bin blue at f two now") == measured("bin blue at f two now") == 1
    assert measured("set red by q three soon") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("recogniser=sphinx_allphone",), "recogniser: network 'sphinx_allphone' is of another kind. It takes: "),
        (("recogniser=sphinks",), "network 'sphinks' is unknown. Did you mean 'sphinx_lm'"),
        (("normaliser=nome",), "normaliser"),
    ],
)
def test_wrong_recognisers_and_normalisers_are_usage_errors(folders, options, message):
    (folders / "texts.tsv").write_text("0\tbin blue at f two now\n")
    with pytest.raises(UsageError, match=message):
        scored(folders, texts=str(folders / "texts.tsv"), metrics=("wer",), metric_sets=options)


def test_a_folder_of_scores_belongs_to_one_comparison(folders):
    scored(folders)
    with pytest.raises(UsageError, match="holds scores of something else"):
        scored(folders, align=True)


def test_names_cannot_become_formulas(tmp_path):
    clean = speechlike(1)
    put(tmp_path / "clean/=1+1.wav", clean)
    put(tmp_path / "made/=1+1.wav", noisy(clean, 3.0))
    folder, _, _ = scored(tmp_path, metrics=("si_sdr",))
    assert "'=1+1" in (folder / "scores.csv").read_text()


def test_the_command_prints_a_table_and_leaves_with_one_where_a_row_failed(folders, monkeypatch):
    monkeypatch.chdir(folders)
    arguments = ["score", "-r", "clean", "-e", "made", "--metrics", "si_sdr", "--workers", "0"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "SI-SDR" in done.output and "4/4" in done.output and "scores.csv" in done.output
    (folder,) = (folders / "scores").iterdir()
    assert (folder / "report" / "distributions.png").is_file() and (folder / "report" / "table.tex").is_file()
    (folders / "made/s0/0.wav").write_bytes(b"")
    assert CliRunner().invoke(app, [*arguments, "--quiet"]).exit_code == 1
    assert CliRunner().invoke(app, [*arguments, "--quiet", "--fail-on-error", "1"]).exit_code == 0
    printed = CliRunner().invoke(app, [*arguments, "--quiet", "--json"])
    assert json.loads(printed.stdout)["failures"]["scoring"]


@pytest.mark.parametrize("arguments", [[], ["some-run", "--estimate", "made"], ["some-run", "--texts", "grid"]])
def test_a_run_or_files_but_not_both(folders, monkeypatch, arguments):
    monkeypatch.chdir(folders)
    done = CliRunner().invoke(app, ["score", *arguments])
    assert isinstance(done.exception, UsageError)


def test_the_reference_pair_has_its_known_pesq(realdata, tmp_path):
    """1.0832337 (wide band) and 1.6072081 (narrow band) are the package's own published values of this pair."""
    folder = realdata / "speech_pair"
    files = sorted(folder.glob("*.wav"))
    clean = next(path for path in files if "bab" not in path.name and "noisy" not in path.name)
    noisy_one = next(path for path in files if path != clean)
    request = PairRequest(noisy_one, clean, metrics=("pesq_wb", "pesq_nb"), workers=0, out=tmp_path / "out")
    _, result, _ = score_pairs(request)[:3]
    assert result.aggregate("pesq_wb").value == pytest.approx(1.0832337, abs=1e-6)
    assert result.aggregate("pesq_nb").value == pytest.approx(1.6072081, abs=1e-6)
