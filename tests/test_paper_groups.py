"""A paper's table over groups: the numbers by hand, what says why it has none, and every format."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from commands import ended as command
from test_groups import known, row, run_of

from benchmark.cli.table import show_page
from benchmark.errors import UsageError
from benchmark.leaderboard import groups as samples
from benchmark.leaderboard.submissions import ROOT
from benchmark.papers import groups, tables
from benchmark.papers.beside import fill
from benchmark.papers.reported import table
from benchmark.results.finding import PUBLISHED, Kept, find_results
from benchmark.runs.directory import as_record

PEOPLE = 24


def faces(seed: int, better: float):
    """Cosines and L1 of two pictures of each person, those of women further up by `better`."""
    random, rows, cosines = np.random.default_rng(seed), [], {}
    for n in range(PEOPLE):
        cosines[f"p{n:02d}"] = random.normal(0.5 + better * (n % 2 == 0), 0.1, 2)
        for repeat, cosine in enumerate(cosines[f"p{n:02d}"]):
            held = {"cosine": float(cosine), "l1": 2.5, "mismatched": 0.1, "others": np.linspace(-0.9, 0.9, PEOPLE - 1)}
            rows.append(row("face_similarity", f"p{n:02d}", f"p{n:02d}", held, repeat))
    return rows, cosines


def attributes():
    return known({f"p{n:02d}": (f"p{n:02d}", {"sex": "fm"[n % 2], "age": 20 + n}) for n in range(PEOPLE)})


def kept(folder: Path, label: str, rows) -> Kept:
    """A result file with its rows beside it."""
    run = run_of(rows, repeats=2, label=label)
    about = run.result.spec.model_copy(update={"dataset": "talkers"})
    result = run.result.model_copy(update={"spec": about})
    path = folder / f"{label}.json"
    path.write_text(result.model_dump_json())
    lines = "".join(json.dumps(as_record(each)) + "\n" for each in rows)
    path.with_name(f"{label}.scores.jsonl").write_text(lines)
    return Kept(path, result)


@pytest.fixture
def filled(tmp_path):
    """SF2F's Table 3 with two rows measured, and of one of them a number of which no rows are kept."""
    one, two = faces(1, 0.2), faces(2, 0.0)
    given = {"SF2F, 5 sec": kept(tmp_path, "sf2f", one[0]), "voice2face, 5 sec": kept(tmp_path, "voice2face", two[0])}
    item = given["SF2F, 5 sec"].result.aggregates[0]
    lost = item.model_copy(update={"name": "recall_at_10", "metric": "retrieval", "signature": "gone", "value": 0.5})
    result = given["SF2F, 5 sec"].result
    more = result.model_copy(update={"aggregates": [*result.aggregates, lost]})
    given["SF2F, 5 sec"] = Kept(given["SF2F, 5 sec"].path, more)
    of = fill(table("sf2f", 3), [], given=given, columns=["cosine", "R@10"])
    return of, {"SF2F, 5 sec": one[1], "voice2face, 5 sec": two[1]}


def by_hand(cosines, those):
    """Mean over the speakers of a group, and half of Student's interval."""
    means = np.array([each.mean() for name, each in cosines.items() if those(int(name[1:]))])
    return means.mean(), scipy.stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / math.sqrt(len(means))


def test_groups_of_each_row_are_those_of_its_own_outputs(filled):
    of, cosines = filled
    told = groups.by_groups(of, "sex", lambda run: attributes())
    found = {(e["row"], e["column"], e["of"]): e for e in groups.records(told)}
    for label, own in cosines.items():
        sides = {"f": by_hand(own, lambda n: n % 2 == 0), "m": by_hand(own, lambda n: n % 2 == 1)}
        for sex, (mean, _) in sides.items():
            record = found[label, "cosine", sex]
            assert record["value"] == pytest.approx(mean)
            assert record["low"] < mean < record["high"]
            assert (record["scored"], record["total"], record["speakers"]) == (24, 24, 12)
            assert (record["by"], record["reported"]) == ("sex", {"S": 0.317, "v": 0.205}[label[0]])
        first = found[label, "cosine", "f"]
        assert first["difference"] == pytest.approx(sides["f"][0] - sides["m"][0])
        # The ends of the two sides add up in squares.
        second = found[label, "cosine", "m"]
        low = math.hypot(first["value"] - first["low"], second["high"] - second["value"])
        assert first["difference_low"] == pytest.approx(first["difference"] - low)
        assert second["difference"] is None
    assert found["SF2F, 5 sec", "cosine", "f"]["difference_low"] > 0.1
    assert found["random", "cosine", ""]["reason"] == "not measured yet"
    assert "no rows of single outputs" in found["SF2F, 5 sec", "R@10", ""]["reason"]


def test_two_groups_stand_beside_each_other_and_more_below_each_other(filled):
    of, _ = filled
    (block,) = groups.page(groups.by_groups(of, "sex", lambda run: attributes())).blocks
    assert block.heads[2:] == ("f (12)", "m (12)", "f less m")
    ((_, rows),) = block.parts
    assert [row[0].partition(" [")[0] for row in rows] == [row.label for row in of.table.rows]
    measured = next(row for row in rows if row[0].startswith("SF2F, 5 sec"))
    assert all(re.fullmatch(r"\+?\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", cell) for cell in measured[3:])
    page = groups.page(groups.by_groups(of, "age:26,33", lambda run: attributes()))
    ((_, rows),) = page.blocks[0].parts
    assert page.blocks[0].heads[2:] == ("age", "value", "less all others")
    place = next(n for n, row in enumerate(rows) if row[0].startswith("SF2F, 5 sec"))
    assert [row[3] for row in rows[place : place + 3]] == ["under 26 (6)", "26 to 33 (7)", "from 33 (11)"]
    assert [row[:3] for row in rows[place + 1 : place + 3]] == [("", "", "")] * 2
    assert any(line.startswith("Measured on talkers, by age, cut at 26, 33.") for line in page.remarks)


def test_the_page_says_that_the_paper_has_no_groups_and_what_has_none_here(filled, capsys):
    of, _ = filled
    told = groups.by_groups(of, "sex", lambda run: attributes())
    page = groups.page(told)
    assert page.title.endswith(", by sex") and not page.orders
    assert page.remarks[0].startswith("What the paper reports has no groups")
    assert any(line.startswith("No groups of R@10 % ↑: no rows of single outputs") for line in page.remarks)
    show_page(page)
    shown = capsys.readouterr().out
    written = {ending: make(told) for ending, make in groups.FORMATS.items()}
    for text in (shown, written[".md"], written[".tex"]):
        assert "f less m" in text and "has no groups" in text
    lines = list(csv.DictReader(io.StringIO(written[".csv"])))
    assert len(lines) == len(groups.records(told)) and set(lines[0]) == set(groups.FIELDS)
    assert json.loads(written[".json"])["cells"] == groups.records(told)


def test_a_table_without_rows_of_outputs_or_without_the_attribute_is_refused(filled, tmp_path):
    of, _ = filled
    with pytest.raises(UsageError, match="Did you mean 'sex'"):
        groups.by_groups(of, "sx", lambda run: attributes())
    with pytest.raises(UsageError, match=r"No number of sf2f/3 is measured"):
        groups.by_groups(fill(table("sf2f", 3), []), "sex", lambda run: attributes())
    for path in tmp_path.glob("*.scores.jsonl"):
        path.unlink()
    with pytest.raises(UsageError, match="has no rows of single outputs beside it"):
        groups.by_groups(of, "sex", lambda run: attributes())


def test_a_row_whose_samples_make_other_groups_says_so(filled):
    of, _ = filled

    def asked(run):
        some = attributes()
        return some if run.name == "voice2face" else {name: some[name] for name in list(some)[:20]}

    page = groups.page(groups.by_groups(of, "sex", asked))
    ((_, rows),) = page.blocks[0].parts
    own = next(row for row in rows if row[0].startswith("SF2F, 5 sec"))
    assert own[3:] == ("-", "-", "-")
    assert any("make other groups" in note for note in page.notes)


def published(run, *_):
    """What is published of the samples, in the place of the corpus, which would have to be built."""
    return samples.read(ROOT / samples.place_of(run.result))


@pytest.mark.parametrize(
    ("name", "number", "column", "row", "like"),
    [
        ("speech2face_ddpm", 3, "p-value", "Jaw width", r"< 0\.001"),
        ("lipdiffuser", 1, "DNSMOS", "Noisy", r"\d\.\d\d ± \d\.\d\d"),
    ],
)
def test_everybody_s_number_is_written_as_in_the_plain_table(name, number, column, row, like):
    of = fill(table(name, number), find_results([PUBLISHED]).kept, columns=[column])
    plain, told = tables.page(of), groups.page(groups.by_groups(of, "sex", published))
    everybody, grouped = (
        {line[0].partition(" [")[0]: line[2:] for block in page.blocks for _, rows in block.parts for line in rows}
        for page in (plain, told)
    )
    assert re.match(like, everybody[row][0])
    for label, (measured, *groups_of) in grouped.items():
        assert measured.partition(" [")[0] == everybody[label][0].partition(" [")[0]
        if column == "p-value":
            assert "0.000" not in groups_of and groups_of[-1] == "-"


def test_the_command_shows_published_numbers_by_groups(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmark.results.attributes.known_samples", published)
    asked = ("table", "sf2f/3", "--runs", tmp_path, "--columns", "cosine", "--quiet")
    ended = command(*asked, "--by", "sex")
    assert ended.returncode == 0, ended.stderr
    assert "f (50)" in ended.stdout and "f less m" in ended.stdout
    ended = command(*asked, "--by", "sex", "--by", "age", "--out", tmp_path / "x.md")
    assert ended.returncode == 2 and "2 tables want a folder" in ended.stderr
    ended = command(*asked, "--by", "sx")
    assert ended.returncode == 2 and "Did you mean 'sex'" in ended.stderr
    ended = command(*asked, "--by", "sex", "--by", "age", "--out", tmp_path / "told")
    assert ended.returncode == 0, ended.stderr
    endings = (".csv", ".json", ".md", ".tex")
    names = [f"sf2f-3.by_{name}{ending}" for name in ("age", "sex") for ending in endings]
    assert sorted(path.name for path in (tmp_path / "told").iterdir()) == names
