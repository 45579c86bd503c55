"""The leaderboards: what is published keeps the rules, and the tables are made of it; ranks come from what rows share;
runs are added, replaced and made again."""

from __future__ import annotations

import base64
import csv
import dataclasses
import gzip
import io
import itertools
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from published import MANIFEST, made, publish, run_directory, samples, submission
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.errors import InvalidConfig, SubmissionError
from benchmark.leaderboard import board, readme, refresh, rules
from benchmark.leaderboard.add import add
from benchmark.leaderboard.ranks import Place, ahead, places
from benchmark.leaderboard.submissions import ROOT, everything, pack, unpacked
from benchmark.registry import role
from benchmark.results.schema import Aggregate
from benchmark.results.statistics import INTERVALS
from benchmark.runs import provenance
from benchmark.runs.directory import ScoreRow, read_row
from benchmark.runs.evaluation import plan_method

PEOPLE = samples(20, 3)


def numbers(seed: int, shift: float = 0.0, noise: float = 0.0) -> dict[str, float]:
    """Speakers who differ by several dB, and a method that shifts all of them and adds noise of its own."""
    people = np.random.default_rng(0)
    own = {who: 4 * people.standard_normal() for who in dict.fromkeys(PEOPLE.values())}
    random = np.random.default_rng(seed)
    return {name: own[who] + shift + noise * random.standard_normal() for name, who in PEOPLE.items()}


def cli(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["leaderboard", *map(str, words)])
    assert done.exception is None or isinstance(done.exception, SystemExit | SubmissionError), done.exception
    return done.exit_code, done.output + str(done.exception or "")


# -- what is published -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published():
    found = everything()
    assert found
    return found


def test_published_results_keep_the_rules(published):
    against = rules.known(ROOT, published)
    assert {str(each.place): rules.faults(each, against) for each in published} == {
        str(each.place): [] for each in published
    }


def test_the_tables_are_those_of_the_published_results():
    assert board.differences() == []


def test_published_rows_belong_to_the_weights_that_are_shipped(published):
    for each in published:
        spec = each.result.spec
        if spec.weights_sha256:
            assert plan_method(spec.method).weights_sha256 == spec.weights_sha256


def test_a_command_is_known_for_each_published_row(published):
    every = refresh.commands()
    assert {str(row) for command in every for row in command.rows} == {
        str(refresh.Made.of(e.result)) for e in published
    }
    for command in every:
        assert CliRunner().invoke(app, [*command.run.split(), "--help"]).exit_code == 0


def test_published_files_are_small(published):
    assert sum(len(each.text) + len(each.packed) for each in published) < 8 << 20


# -- ranks -------------------------------------------------------------------------------------------------------------


def test_rows_are_told_apart_by_what_they_share_and_not_by_their_intervals(tmp_path):
    root = publish(
        tmp_path,
        made(numbers(1, 0.5, 0.3), PEOPLE, label="better"),
        made(numbers(2, 0.0, 0.3), PEOPLE, "wiener"),
        made(numbers(3, 0.0, 0.3), PEOPLE, label="as good"),
        made(numbers(4, 9.0), PEOPLE, "clean"),
    )
    (found,) = board.boards(everything(root))
    (section,) = found.sections
    stands = {row.result.label: row.place("si_sdr") for row in section.rows}
    assert stands["better"] == Place(1, 1, 1)
    assert stands["wiener"] == stands["as good"] == Place(2, 3, 2)
    assert stands["clean"] is None and section.rows[-1].role == "ceiling"
    # Alone, their means are uncertain by a good deal more than half a decibel.
    spread = np.std([value for value in numbers(1).values()]) / np.sqrt(20)
    assert spread > 0.5


def test_ranks_against_plain_loops():
    random = np.random.default_rng(3)
    people, rows, count = 12, 5, 400
    scores = (
        random.normal(size=(rows, people)) + np.array([0.0, 0.2, 1.5, 1.6, 3.0])[:, None] + random.normal(size=people)
    )
    picks = random.integers(0, people, size=(count, people))
    differences, draws = {}, {}
    for i, j in itertools.combinations(range(rows), 2):
        differences[i, j] = float(np.mean(scores[i]) - np.mean(scores[j]))
        draws[i, j] = np.array([np.mean(scores[i][pick]) - np.mean(scores[j][pick]) for pick in picks])
    spreads = {pair: np.sqrt(sum((x - np.mean(d)) ** 2 for x in d) / (count - 1)) for pair, d in draws.items()}
    largest = sorted(
        max(abs(draws[pair][draw] - differences[pair]) / spreads[pair] for pair in draws) for draw in range(count)
    )
    place = 0.95 * (count - 1)
    critical = largest[int(place)] + (place - int(place)) * (largest[int(place) + 1] - largest[int(place)])
    told = ahead(differences, draws, rows)
    for i, j in itertools.permutations(range(rows), 2):
        pair, sign = ((i, j), 1) if i < j else ((j, i), -1)
        assert told[i, j] == (sign * differences[pair] > critical * spreads[pair])
    assert told.any() and not told[np.triu_indices(rows)].all()
    means = scores.mean(axis=1)
    for row, stand in enumerate(places(means, told)):
        assert stand.first == 1 + sum(told[other, row] for other in range(rows))
        assert stand.last == rows - sum(told[row, other] for other in range(rows))
        assert stand.first <= 1 + sum(means > means[row]) <= stand.last
    best = int(np.argmax(means))
    assert {row for row, stand in enumerate(places(means, told)) if stand.group == 1} == {
        row for row in range(rows) if not told[best, row]
    }


def test_ranks_of_a_table_are_those_of_draws_made_elsewhere(tmp_path):
    """The same with other draws, and means made here from the numbers themselves."""
    shifts = {"a": 0.0, "b": 0.1, "c": 1.0, "d": 1.1}
    values = {label: numbers(number, shift, 0.8) for number, (label, shift) in enumerate(shifts.items())}
    root = publish(tmp_path, *(made(each, PEOPLE, label=label) for label, each in values.items()))
    ((section,),) = [found.sections for found in board.boards(everything(root))]
    random, who = np.random.default_rng(99), sorted(set(PEOPLE.values()))
    table = np.array([[[each[name] for name in PEOPLE if PEOPLE[name] == p] for p in who] for each in values.values()])
    picks = random.integers(0, len(who), size=(3000, len(who)))
    drawn = table.mean(axis=2)[:, picks].mean(axis=2)
    pairs = list(itertools.combinations(range(4), 2))
    told = ahead(
        {(i, j): float(table[i].mean() - table[j].mean()) for i, j in pairs},
        {(i, j): drawn[i] - drawn[j] for i, j in pairs},
        4,
    )
    expected = dict(zip(shifts, places(table.mean(axis=(1, 2)), told), strict=True))
    assert {row.result.label: row.place("si_sdr") for row in section.rows} == expected
    assert len({stand.group for stand in expected.values()}) > 1


def test_what_one_row_lacks_is_left_out_of_its_pairs_alone(tmp_path):
    """A method that is undefined where it is hard gains nothing by it."""
    full, other = numbers(1, 0.0, 0.01), numbers(2, 0.5, 0.01)
    hard = sorted(full, key=lambda name: full[name])[:20]
    lacking = {name: None if name in hard else value for name, value in full.items()}
    root = publish(tmp_path, made(lacking, PEOPLE, label="lacks"), made(other, PEOPLE, label="better"))
    ((section,),) = [found.sections for found in board.boards(everything(root))]
    stands = {row.result.label: row.place("si_sdr") for row in section.rows}
    assert section.rows[0].result.label == "lacks", "by what is printed it comes first"
    assert (stands["better"].first, stands["better"].last, stands["lacks"].first) == (1, 1, 2)


def test_rows_that_are_alike_share_their_place():
    pairs = {(0, 1): 0.0, (0, 2): 1.0, (1, 2): 1.0}
    draws = {pair: np.full(50, value) for pair, value in pairs.items()}
    told = ahead(pairs, draws, 3)
    assert places([1.0, 1.0, 0.0], told) == [Place(1, 2, 1), Place(1, 2, 1), Place(3, 3, 2)]
    assert not ahead({(0, 1): 1.0}, {(0, 1): np.full(50, np.nan)}, 2).any()


def test_few_speakers_have_no_ranks(tmp_path):
    few = samples(4, 5)
    one, two = ({name: float(n + shift) for n, name in enumerate(few)} for shift in (0, 9))
    root = publish(tmp_path, made(one, few, label="one"), made(two, few, label="two"))
    ((section,),) = [found.sections for found in board.boards(everything(root))]
    assert [row.place("si_sdr") for row in section.rows] == [None, None]
    assert "Without ranks: si_sdr, pesq_wb." in board.legend(section)


def face_row(method: str, value: float, better: bool = True) -> board.Row:
    """A row of R@1 within, whose galleries differ by speaker, and which not every output has."""
    about = {"title": "R@1 within", "metric": "retrieval", "low": None, "high": None, "spread": None, "total": 20}
    signature = "retrieval|gallery:2..14|v1"
    items = [
        Aggregate(name=name, value=value, scored=scored, signature=signature, higher_is_better=better, **about)
        for name, scored in (("recall_at_10", 20), ("recall_at_1_within", 18))
    ]
    result, _ = made(numbers(1), PEOPLE)
    result = result.model_copy(
        update={"aggregates": items, "label": method, "spec": result.spec.model_copy(update={"method": method})}
    )
    cells = {item.name: board.Cell(item, None) for item in items}
    return board.Row(submission(result, []), role(method), cells)


def face_legend(*rows: board.Row) -> str:
    question = dataclasses.replace(board.question_of(rows[0].result), task="speech2face")
    return "\n".join(board.plain_legend(board.Section(question, tuple(rows[0].result.aggregates), rows)))


def test_the_legend_explains_ranges_and_a_ceiling_that_is_passed():
    oracle = face_row("talkers_oracle", 0.8)
    text = face_legend(face_row("sf2f", 0.85), oracle)
    assert "R@1 within, of 2..14: a gallery has 2 to 14 people" in text
    assert "Outputs 18..20/20: of 20 that were asked for, each number of the row stands on 18 to 20" in text
    assert "A method may pass talkers_oracle" in text and "the best and the worst rank" in text
    assert "may pass" not in face_legend(face_row("sf2f", 0.75), oracle)
    assert "may pass" not in face_legend(face_row("chance", 0.85), oracle), "a floor is no method"
    assert "may pass" in face_legend(face_row("sf2f", 0.75, False), face_row("talkers_oracle", 0.8, False))
    assert "passes the ceiling clean" in face_legend(face_row("sf2f", 0.85), face_row("clean", 0.8))


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    found = publish(
        tmp_path / "leaderboards",
        made(numbers(1, 0.5, 0.3), PEOPLE),
        made(numbers(2, 0.0, 0.3), PEOPLE, "wiener"),
        made(numbers(3, 0.0, 0.3), PEOPLE, "wiener", repeats=1, seconds=2.0),
    )
    shutil.copytree(ROOT / "papers", found / "papers")
    return found


def test_the_tables_do_not_hang_on_the_order_of_files(root, tmp_path):
    every = everything(root)
    as_text = [
        [(board.markdown(each), board.long_csv(each)) for each in board.boards(order)] for order in (every, every[::-1])
    ]
    assert as_text[0] == as_text[1]
    other = tmp_path / "other"
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_file():
            (other / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, other / path.relative_to(root))
    assert board.files(root) == board.files(other)


def test_results_of_other_questions_stand_in_other_tables(root):
    (found,) = board.boards(everything(root))
    assert [section.question.title for section in found.sections] == [
        "test, whole recordings, 1 evaluation run",
        "test, 2 s of speech, 1 evaluation run",
    ]
    assert [len(section.rows) for section in found.sections] == [2, 1]
    lines = list(csv.DictReader(io.StringIO(board.long_csv(found))))
    assert len(lines) == 3 * 2
    first = next(line for line in lines if line["label"] == "noisy" and line["number"] == "si_sdr")
    assert float(first["value"]) == pytest.approx(np.mean(list(numbers(1, 0.5, 0.3).values())), abs=1e-12)
    assert (first["rank_first"], first["rank_last"], first["group"]) == ("1", "1", "1")


def test_reported_numbers_stand_apart_as_they_are_printed(root):
    made_files = board.files(root)
    lines = list(csv.DictReader(io.StringIO(made_files["speech2face/reported.csv"])))
    found = {(line["table"], line["row"], line["column"]): line for line in lines}
    line = found["sf2f/3", "SF2F, 5 sec", "Retrieval R@10 %"]
    assert (line["number"], line["dataset"]) == ("recall_at_10", "hq_voxceleb")
    assert "12.341 ± 0.109" in made_files["av_enhancement/reported.md"]
    assert "12.341" not in made_files["av_enhancement/talkers.md"]


def test_a_hostile_label_stays_text(tmp_path):
    label = "=1+1|<script>alert(1)</script>](x)"
    root = publish(tmp_path, made(numbers(1), PEOPLE, label=label), made(numbers(2, 1.0), PEOPLE, "wiener"))
    (found,) = board.boards(everything(root))
    text = board.markdown(found)
    assert "<script>" not in text.replace("\\<script", "") and re.search(r"[^\\]\|<|[^\\]\]\(x", text) is None
    assert "'=1+1" in board.long_csv(found)


@pytest.mark.parametrize(("what", "value"), [("dataset", "../../evil"), ("task", "singing"), ("method", "a/b")])
def test_no_table_is_made_of_a_result_with_a_hostile_name(tmp_path, what, value):
    root = publish(tmp_path / "leaderboards", made(numbers(1), PEOPLE))
    (file,) = (root / "results").rglob("*.json")
    result = json.loads(file.read_text())
    result["spec"][what] = value
    file.write_text(json.dumps(result))
    with pytest.raises(SubmissionError, match="expected"):
        board.build(root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["leaderboards"]


def test_the_neighbours_of_a_row_are_the_rows_beside_it(tmp_path):
    shifts = [3.0, 1.0, 2.0, 0.0]
    results = [made(numbers(n, shift), PEOPLE, label=f"method {n}") for n, shift in enumerate(shifts)]
    root = publish(tmp_path, *results)
    text = board.neighbours(submission(*results[1]), board.boards(everything(root)))
    assert re.findall(r"method \d", text) == ["method 2", "method 1", "method 3"]


def test_a_comment_on_a_new_row_calls_nobody(tmp_path):
    result, rows = made(numbers(1), PEOPLE)
    named = result.model_copy(update={"label": "@octocat/team #12"}), rows
    root = publish(tmp_path, made(numbers(2), PEOPLE, "wiener"), named)
    page = tmp_path / "beside.md"
    cli("validate", "--root", root, "--beside", page, root / submission(*named).place)
    text = page.read_text()
    assert "octocat/team" in text and "12" in text
    assert not re.search(r"@(?!&#8203;)|(?<!&)#(?!&#8203;)\d", text)


def test_check_fails_on_a_changed_byte_and_says_what_mends_it(root):
    assert cli("check", "--root", root)[0] == 1
    code, output = cli("build", "--root", root)
    assert code == 0 and "av_enhancement/talkers.md" in output
    assert cli("check", "--root", root)[0] == 0
    assert "as it was" in cli("build", "--root", root)[1]
    for name in ("av_enhancement/talkers.md", "av_enhancement/talkers.csv", "speech2face/reported.md"):
        page = root / name
        good = page.read_bytes()
        page.write_bytes(good.replace(b"e", b"E", 1))
        code, output = cli("check", "--root", root)
        assert code == 1 and name in output and "leaderboard build" in output
        page.write_bytes(good)
    (root / "av_enhancement" / "old.csv").write_text("left over\n")
    assert "old.csv" in cli("check", "--root", root)[1]
    assert cli("build", "--root", root)[0] == 0 and not (root / "av_enhancement" / "old.csv").exists()
    known = (root / "known.toml").read_text()
    (root / "known.toml").write_text(known.replace(MANIFEST, "b" * 64))
    code, output = cli("check", "--root", root)
    assert code == 1 and "hashes: expected" in output and "refresh --dry-run" in output


def test_the_tables_in_readme_are_made_anew(root, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("Before.\n\n<!-- table: av_enhancement/talkers noisy -->\n```\nold\n```\n\n```\ncode\n```\n")
    assert "README.md" in cli("check", "--root", root)[1]
    assert cli("build", "--root", root)[0] == 0
    text = page.read_text()
    assert text.startswith("Before.\n\n<!-- table: av_enhancement/talkers noisy -->\n```\nnoisy on talkers test")
    assert text.endswith("\n```\n\n```\ncode\n```\n") and "old" not in text
    row = next(line for line in text.splitlines() if line.startswith("wiener"))
    assert row.count("[") == 2
    assert cli("check", "--root", root)[0] == 0
    page.write_text(text.replace("talkers noisy", "talkers flowavse"))
    code, output = cli("check", "--root", root)
    assert code == 1 and "README asks for a table of flowavse (av_enhancement, talkers)" in output


def test_an_empty_block_in_readme_is_filled_and_what_follows_stays(published):
    after = "Text.\n\n```\ncode\n```\n"
    results = [each.result for each in published]
    empty = readme.rewritten(f"<!-- table: speech2face/talkers voice2face -->\n```\n```\n{after}", results)
    old = readme.rewritten(f"<!-- table: speech2face/talkers voice2face -->\n```\nold\n```\n{after}", results)
    assert empty == old and empty.endswith(f"\n```\n{after}") and "voice2face  " in empty


def test_a_table_in_readme_has_rows_of_one_question_only(published):
    text = "<!-- table: speech2face/talkers voice2face -->\n```\nold\n```\n"
    results = [each.result for each in published]
    both = {each.spec.seconds: each for each in results if each.label == "voice2face"}
    assert set(both) == {5.0, 1.25, 8.0}
    for order in (results, results[::-1]):
        (row,) = [line for line in readme.rewritten(text, order).splitlines() if line.startswith("voice2face  ")]
        assert f"{100 * both[5.0].aggregate('recall_at_10').value:.1f} [" in row
    with pytest.raises(SubmissionError, match="a table of voice2face"):
        readme.rewritten(text, [each for each in results if each is not both[5.0]])


def test_a_papers_table_in_readme_has_published_numbers_and_the_columns_asked_for(published):
    text = "Before.\n\n<!-- paper: sf2f/3 R@10 -->\nWritten before.\n<!-- /paper -->\n\nBehind.\n"
    results = [each.result for each in published]
    made = readme.rewritten(text, results)
    assert made.startswith("Before.\n\n<!-- paper: sf2f/3 R@10 -->\n**SF2F, Table 3 ")
    assert made.endswith("\n<!-- /paper -->\n\nBehind.\n") and "Written before" not in made
    assert "| **R@10" in made and "| **R@1 " not in made and "python -m benchmark run" not in made
    assert readme.rewritten(made, results) == made

    def row(page: str) -> list[str]:
        (line,) = [line for line in page.splitlines() if line.startswith("| SF2F, 5 sec")]
        return line.split(" | ")

    ours = next(each for each in results if each.label == "sf2f" and each.spec.seconds == 5)
    assert row(made)[1:3] == ["36.65", f"{100 * ours.aggregate('recall_at_10').value:.2f}"]
    without = readme.rewritten(text, [each for each in results if each is not ours])
    assert row(without)[1] == "36.65" and row(without)[2].startswith("- ")
    for wrong, told in (
        (text.replace("sf2f/3", "sf2f/9"), "README asks for sf2f/9: Unknown table"),
        (text.replace("R@10", "R@11"), "has no column 'R@11'"),
        (text.replace("<!-- /paper -->", ""), "with <!-- /paper --> below it"),
        (text.replace("sf2f/3", "sf2f 3"), "expected each to be"),
    ):
        with pytest.raises(SubmissionError, match=re.escape(told)):
            readme.rewritten(wrong, results)


# -- adding ------------------------------------------------------------------------------------------------------------


def test_a_run_is_added_once_and_takes_an_older_ones_place(tmp_path):
    root, runs = publish(tmp_path / "leaderboards"), tmp_path / "runs"
    first = run_directory(runs, *made(numbers(1), PEOPLE))
    found = add(str(first), runs, root)
    assert found.changed and not found.replaced
    files = {path: path.read_bytes() for path in (root / "results").rglob("*") if path.is_file()}
    assert sorted(path.name for path in files) == [f"{first.name}.json", f"{first.name}.scores.jsonl.gz"]
    assert next(iter(files)).parent == root / "results/av_enhancement/talkers/noisy"
    assert not add(first.name, runs, root).changed
    assert {path: path.read_bytes() for path in files} == files
    second = run_directory(runs, *made(numbers(2, 1.0), PEOPLE, seed=1))
    found = add(str(second), runs, root)
    assert [each.result.run_id for each in found.replaced] == [first.name]
    assert [each.result.run_id for each in everything(root)] == [second.name]
    other = run_directory(runs, *made(numbers(3), PEOPLE, seconds=2.0))
    assert not add(str(other), runs, root).replaced
    code, output = cli("add", other, "--root", root)
    assert code == 0 and "there already" in output


def test_intervals_are_computed_when_a_run_is_added(tmp_path):
    """Those that an older state of the code wrote are not published: Student's t on the speakers' means is."""
    root = publish(tmp_path / "leaderboards")
    result, rows = made(numbers(1), PEOPLE)
    old = [item.model_copy(update={"low": -99.0, "high": 99.0}) for item in result.aggregates]
    run = run_directory(tmp_path / "runs", result.model_copy(update={"aggregates": old}), rows)
    add(str(run), tmp_path / "runs", root)
    means = {who: np.mean([numbers(1)[name] for name in PEOPLE if PEOPLE[name] == who]) for who in PEOPLE.values()}
    half = 2.093024 * np.std(list(means.values()), ddof=1) / np.sqrt(20)  # t of 19 degrees of freedom
    item = everything(root)[0].result.aggregate("si_sdr")
    value = np.mean(list(means.values()))
    assert [item.value, item.low, item.high] == pytest.approx([value, value - half, value + half], rel=1e-5)
    (file,) = (root / "results").rglob("*.json")
    sound = file.read_bytes()
    file.write_text(file.read_text().replace(repr(item.low), repr(item.low - 1)))
    assert add(str(file), tmp_path / "runs", root).changed, "what is published can be added again"
    assert file.read_bytes() == sound


def test_the_same_rows_give_the_same_bytes():
    _, rows = made(numbers(1), PEOPLE)
    assert pack(rows) == pack(list(rows))
    text = unpacked(pack(rows))
    assert gzip.decompress(pack(rows)) == text and pack(rows)[4:8] == b"\0\0\0\0", "no time of packing"


def test_numbers_of_a_row_are_kept_byte_by_byte_and_those_of_older_runs_are_read():
    _, rows = made(numbers(1), PEOPLE)
    values = np.float32([[1.5, -2.0e-30, 3.0e38], [0.0, np.inf, 0.1]])
    old, new = dict(rows[0].statistics), dict(rows[0].statistics)
    new["x"] = values
    record = json.loads(unpacked(pack([dataclasses.replace(rows[0], statistics=new)])))
    planes = base64.b64decode(record["statistics"]["x"]["planes"])
    assert [planes[i::6] for i in range(6)] == [struct.pack(">f", number) for number in values.flat]
    record["statistics"]["old"] = {"f4": base64.b64encode(struct.pack("<2f", 0.5, -7)).decode(), "shape": [2]}
    _, row = read_row(record, ScoreRow)
    np.testing.assert_array_equal(row.statistics.pop("x"), values)
    np.testing.assert_array_equal(row.statistics.pop("old"), [0.5, -7])
    assert row.statistics == old


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"partial": True}, "complete: expected the whole split"),
        ({"sources": ["a", "b"]}, "mixed"),
        ({"speakers": 3}, "3 speakers, got 20"),
        ({"provenance": {"git": {"commit": "c" * 40, "dirty": True}}}, "committed code"),
    ],
    ids=str,
)
def test_a_run_that_is_not_whole_is_refused_and_nothing_is_written(tmp_path, change, words):
    root = publish(tmp_path / "leaderboards", made(numbers(1), PEOPLE))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    result, rows = made(numbers(2), PEOPLE, seed=1)
    run = run_directory(tmp_path / "runs", result.model_copy(update=change), rows)
    with pytest.raises(SubmissionError, match=words):
        add(str(run), tmp_path / "runs", root)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_run_whose_outputs_are_not_all_measured_is_refused(tmp_path):
    root = publish(tmp_path / "leaderboards")
    result, rows = made(numbers(2), PEOPLE)
    run = run_directory(tmp_path / "runs", result, rows[:-1])
    with pytest.raises(SubmissionError, match="pesq_wb for each of 60 outputs, got 59"):
        add(str(run), tmp_path / "runs", root)


def test_rows_that_are_too_wide_are_left_out(tmp_path):
    root = publish(tmp_path / "leaderboards")
    result, rows = made(numbers(2), PEOPLE)
    wide = [
        dataclasses.replace(row, statistics={**row.statistics, "spectrum": np.zeros(300)})
        if row.metric == "pesq_wb"
        else row
        for row in rows
    ]
    found = add(str(run_directory(tmp_path / "runs", result, wide)), tmp_path / "runs", root)
    assert found.left_out == ("pesq_wb",)
    assert {metric for metric, _ in everything(root)[0].rows} == {"si_sdr"}


# -- making again ------------------------------------------------------------------------------------------------------

COMMANDS = """
[[commands]]
run = "run --method noisy"
task = "av_enhancement"
dataset = "talkers"
labels = ["noisy", "wiener"]

[[commands]]
run = "run --method clean"
task = "av_enhancement"
dataset = "talkers"
labels = ["clean"]
"""


def test_what_is_not_current_is_listed_with_its_command(tmp_path):
    root = publish(tmp_path, made(numbers(1), PEOPLE), made(numbers(2), PEOPLE, "wiener", manifest_sha256="b" * 64))
    (root / "commands.toml").write_text(COMMANDS)
    rows = {row.name.rpartition(" ")[2]: row for row in refresh.stale(root)}
    assert set(rows) == {"wiener", "clean"}
    assert "known.toml" in rows["wiener"].why and rows["wiener"].command.run == "run --method noisy"
    assert "no result" in rows["clean"].why and rows["clean"].command.run == "run --method clean"
    code, output = cli("refresh", "--dry-run", "--root", root)
    assert code == 0 and "python -m benchmark run --method clean" in output
    assert {row.name.rpartition(" ")[2] for row in refresh.stale(root, code=True)} == {"noisy", "wiener", "clean"}


def test_refresh_runs_the_commands_and_adds_what_they_made(tmp_path, monkeypatch):
    root, runs = publish(tmp_path / "l", made(numbers(2), PEOPLE, manifest_sha256="b" * 64)), tmp_path / "runs"
    (root / "commands.toml").write_text(COMMANDS.partition('[[commands]]\nrun = "run --method clean')[0])
    called = []

    def runs_it(words, check):
        called.append(words)
        for method in ("noisy", "wiener"):
            run_directory(runs, *made(numbers(5), PEOPLE, method))
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(refresh.subprocess, "run", runs_it)
    found = refresh.refresh(refresh.stale(root), runs, root)
    start = [sys.executable, "-m", "benchmark", "run", "--method", "noisy", "--runs", str(runs)]
    assert [words[: len(start)] for words in called] == [start]
    assert sorted(each.submission.result.label for each in found) == ["noisy", "wiener"]
    assert [len(each.replaced) for each in found if each.submission.result.label == "noisy"] == [1]
    assert refresh.stale(root) == []


def test_what_only_lacks_new_intervals_is_added_again_and_not_run(tmp_path, monkeypatch):
    root = publish(tmp_path / "l", made(numbers(1), PEOPLE), made(numbers(2), PEOPLE, "wiener"))
    (root / "commands.toml").write_text(COMMANDS.partition('[[commands]]\nrun = "run --method clean')[0])
    assert refresh.stale(root) == []
    before = {each.result.label: each for each in everything(root)}
    path = root / before["noisy"].place
    document = json.loads(path.read_text())
    document["aggregates"][0]["low"] -= 0.5
    document["intervals"] = ""
    path.write_text(json.dumps(document))
    (row,) = refresh.stale(root)
    assert (row.name, row.published) == ("av_enhancement/talkers: noisy", path) and "low of si_sdr" in row.why
    assert f"leaderboard add {path}" in cli("refresh", "--dry-run", "--root", root)[1]
    monkeypatch.setattr(refresh.subprocess, "run", lambda *words, **more: pytest.fail("it was run"))
    (added,) = refresh.refresh([row], tmp_path / "none", root)
    assert added.changed and refresh.stale(root) == []
    now = {each.result.label: each for each in everything(root)}
    assert now["noisy"].result.aggregates == before["noisy"].result.aggregates
    assert now["noisy"].result.intervals == INTERVALS and now["noisy"].packed == before["noisy"].packed
    # Another number is no matter of intervals: it is to be run.
    document["aggregates"][0]["value"] += 0.25
    path.write_text(json.dumps(document))
    (row,) = refresh.stale(root)
    assert row.published is None and row.command.run == "run --method noisy"


def test_a_row_of_other_speech_is_another_row(published):
    whole = [each.result for each in published if each.result.label == "voice2face"]
    assert {str(refresh.Made.of(result)) for result in whole} == {
        "speech2face/talkers: voice2face",
        "speech2face/talkers: voice2face, 1.25 s",
        "speech2face/talkers: voice2face, 8 s",
    }
    faces = [each for each in published if each.result.spec.task == "speech2face"]
    (found,) = board.boards(faces, draws=2)
    assert [section.question.seconds for section in found.sections] == [5.0, 1.25, 8.0]


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[[commands]]\nrun = 3",
        '[[commands]]\nrun = "rm -r"\ntask = "t"\ndataset = "d"\nlabels = []',
        '[[commands]]\nrun = "run --set a=\'b"\ntask = "t"\ndataset = "d"\nlabels = []',
        COMMANDS + COMMANDS,
    ],
)
def test_a_broken_list_of_commands_is_told(tmp_path, text):
    root = publish(tmp_path)
    (root / "commands.toml").write_text(text)
    with pytest.raises(InvalidConfig, match=re.escape("commands.toml")):
        refresh.commands(root)


# -- what stands around it ---------------------------------------------------------------------------------------------


def test_the_page_lists_the_rules_as_they_are():
    page = (ROOT / "README.md").read_text()
    for name, about in rules.table():
        assert f"| `{name}` | {about[0].lower()}{about[1:].rstrip('.')} |" in page


def test_the_workflow_runs_no_code_of_a_pull_request_and_pins_what_it_uses():
    text = (ROOT.parent / ".github/workflows/leaderboards.yml").read_text()
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+\.\d+\.\d+", each) for each in re.findall(r"uses: (\S+)", text))
    assert "secrets." not in text and text.startswith("#") and "\npermissions: {}\n" in text
    jobs = dict(re.findall(r"(?m)^  (\w+):\n((?:    .*\n|\n)+)", text.partition("\njobs:\n")[2]))
    assert set(jobs) == {"validate", "comment", "build"}
    assert re.findall(r"\w+: (?:write|read)\n", jobs["validate"]) == ["contents: read\n"]
    assert "checkout" not in jobs["comment"] and "pull-requests: write" in jobs["comment"]
    assert "github.event_name == 'push'" in jobs["build"] and "pull_request" not in jobs["build"]
    # What a pull request names reaches a shell only through the environment.
    assert not re.search(r"run: .*\$\{\{", text)
    proposed = jobs["validate"].partition("path: proposed\n")[2]
    assert set(re.findall(r"proposed/\S+", proposed)) == {"proposed/leaderboards/results"}


def test_results_that_differ_from_those_before_are_named(tmp_path):
    script = ROOT.parent / ".ci" / "changed_results.py"
    before = publish(tmp_path / "before", made(numbers(1), PEOPLE), made(numbers(2), PEOPLE, "wiener")) / "results"
    now = tmp_path / "now"
    shutil.copytree(before, now)

    def changed() -> list[str]:
        line = [sys.executable, str(script), str(before), str(now)]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        return [Path(name).parent.name for name in done.stdout.split("\0")[:-1]]

    assert changed() == []
    next(now.rglob("noisy*.gz")).write_bytes(b"other")
    assert changed() == ["noisy"]
    publish(tmp_path / "more", made(numbers(3), PEOPLE, "clean"))
    shutil.copytree(tmp_path / "more" / "results", now, dirs_exist_ok=True)
    next(now.rglob("wiener*.json")).unlink()
    assert changed() == ["clean", "noisy"]


def test_results_state_the_commit_of_the_checkout():
    if not (ROOT.parent / ".git").exists():
        pytest.skip("not a checkout")
    line = ["git", "-C", str(ROOT.parent), "rev-parse", "HEAD"]
    head = subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()
    provenance.collect.cache_clear()
    assert provenance.collect()["git"]["commit"] == head
