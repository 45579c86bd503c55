import csv
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from benchmark.cli.console import note, print_json
from benchmark.cli.tables import show_results
from benchmark.registry import NUMBERS
from benchmark.reports import tables
from benchmark.reports.sheets import contact_sheet
from benchmark.results.schema import Aggregate, Failures, Result, RunSpec
from benchmark.results.statistics import INTERVALS
from benchmark.tasks import get_task


def result(label="sf2f", value=0.1234, signature="s1", scored=10, partial=False, further=()):
    """A row of R@10, and of further numbers given as (name, title, metric, value, scored, signature)."""
    spec = RunSpec(
        task="speech2face", task_version=1, method="sf2f", config={}, weights_sha256=None, dataset="d",
        dataset_revision="1", split="test", manifest_sha256="m", seconds=5, repeats=1, seed=0,
    )  # fmt: skip
    number = Aggregate(
        name="recall_at_10", title="R@10", metric="retrieval", value=value, low=0.1, high=0.2, spread=0.01,
        scored=scored, total=10, signature=signature, higher_is_better=True, unit="%",
    )  # fmt: skip
    more = [
        number.model_copy(
            update=dict(zip(("name", "title", "metric", "value", "scored", "signature"), each, strict=True))
        )
        for each in further
    ]
    return Result(
        run_id=spec.run_id(), label=label, spec=spec, partial=partial, samples=10, speakers=10,
        aggregates=[number, *more], failures=Failures(), generation_seconds=1.0, provenance={},
    )  # fmt: skip


def test_values_carry_interval_and_coverage():
    text = tables.markdown([result()], ["recall_at_10"])
    assert "12.3 [10.0, 20.0]" in text
    assert "10/10" in text
    assert "`s1`" in text


def test_a_small_p_value_is_never_printed_as_zero(capsys):
    made = []
    for value in (0.00002, 0.0004999, 0.0006, 0.3):
        one = result()
        p = one.aggregates[0].model_copy(
            update={"name": "craniofacial_jaw_width_p", "title": "jaw width p", "unit": "", "value": value, "low": None}
        )
        made.append(one.model_copy(update={"aggregates": [p]}))
    shown = ["< 0.001", "< 0.001", "0.001", "0.300"]
    assert [tables.value(one.aggregates[0]) for one in made] == shown
    for one, text in zip(made, shown, strict=True):
        assert f"| {text} |" in tables.markdown([one], []) and f"${text}$" in tables.latex([one], [])
        show_results([one], [], signatures=False)
        assert f" {text} " in capsys.readouterr().out
    other = made[0].aggregates[0].model_copy(update={"name": "face_cosine"})
    assert tables.value(other) == "0.000", "a cosine may be 0"


def test_a_number_without_value_says_why():
    row = result("clean", None, scored=0)
    number = row.aggregates[0].model_copy(update={"reasons": {"failed: late": 1, "undefined: infinite": 9}})
    text = tables.markdown([row.model_copy(update={"aggregates": [number]})], ["recall_at_10"])
    assert "| clean | undefined: infinite | 0/10 |" in text


def test_numbers_of_another_definition_never_share_a_column():
    text = tables.markdown([result(), result("other", 0.9, signature="s2")], ["recall_at_10"])
    assert "90.0" not in text
    assert "| other | - |" in text


HOSTILE = "a|b<script>_\\input{x}%\n[red]x[/]\x1b[31m\u202e`[/nothing]"


def test_hostile_labels_are_escaped():
    text = tables.markdown([result(HOSTILE)], ["recall_at_10"])
    (line,) = [line for line in text.splitlines() if "script" in line]
    assert "<script>" not in text and "\x1b" not in text and "\u202e" not in text
    # What GitHub's Markdown splits a row at: a bar without a backslash of its own before it.
    cells = re.split(r"(?<!\\)(?:\\\\)*\|", line.strip("|"))
    assert len(cells) == 3 and cells[2].strip() == "10/10"
    assert r"\textbackslash{}input\{x\}\%" in tables.latex([result(HOSTILE)], ["recall_at_10"])
    assert len(list(csv.reader(io.StringIO(tables.long_csv([result(HOSTILE)]))))) == 2


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", " =1", "\t=1", "\r=1"])
def test_no_label_is_a_formula_of_a_spreadsheet(cell):
    (row,) = csv.DictReader(io.StringIO(tables.long_csv([result(cell)])))
    assert row["method"].lstrip()[0] not in "=+-@\t\r"
    assert row["value"] == "0.1234"


@pytest.mark.parametrize("label", [HOSTILE, "[", "[/x]", "[bold]", ":smile:", "x\\", "a\nb"])
def test_a_terminal_shows_labels_as_they_are(label, capsys, monkeypatch):
    monkeypatch.setattr("benchmark.cli.console.WIDTH", 400)
    show_results([result(label)], ["recall_at_10"], True)
    shown = capsys.readouterr().out
    visible = label.replace("\n", "\\n").replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert visible in shown
    assert not {"\x1b", "\u202e"} & set(shown)
    assert len(shown.splitlines()) == 3 + 2  # title, heads, one number; then the signature under its head


@pytest.mark.parametrize("width", [40, 53, 54, 56, 57, 80, 200])
def test_a_list_of_numbers_breaks_its_names_and_then_continues_below(width, capsys, monkeypatch):
    monkeypatch.setattr("benchmark.cli.console.WIDTH", width)
    show_results([result(signature="e|gallery:100x1")], ["recall_at_10"], False)
    title, *lines = capsys.readouterr().out.splitlines()
    lines = [line for line in lines if "10 speakers" not in line]
    text = "\n".join(lines)
    assert all(whole in text for whole in ("R@10", "12.3", "[10.0, 20.0]", "1.0", "10/10", "(of", "100)"))
    assert max(map(len, lines)) <= width
    (at,) = [line for line in lines if "12.3" in line]
    assert ("10/10" in at) == (width >= 54)  # 14 for the name, 5 + 13 + 8 + 6 for numbers, 4 gaps of 2
    assert at.startswith("R@10 % (of 100) ↑") == (not 54 <= width < 57)  # 17 for the whole name


def test_notes_and_errors_reach_the_terminal_on_one_line(capsys):
    note("cannot read 'a\n\x1b]0;x\x07.wav'")
    print_json({"name": "\x9b31m\u2028\udcff é"})
    shown = capsys.readouterr()
    assert shown.err == "cannot read 'a\\n\\x1b]0;x\\x07.wav'\n"
    assert json.loads(shown.out) == {"name": "\x9b31m\u2028\udcff é"}
    assert "é" in shown.out and not {"\x9b", "\u2028"} & set(shown.out)


def test_what_is_scored_is_of_the_numbers_shown():
    hidden = ("recall_at_10_within", "R@10 within", "retrieval", 0.5, 4, "s2")
    assert "| 10/10 |" in tables.markdown([result(further=[hidden])], ["recall_at_10"])
    assert r"& 10/10 \\" in tables.latex([result(further=[hidden])], ["recall_at_10"])


def test_a_number_on_fewer_outputs_says_so_in_its_cell():
    fewer = ("recall_at_1_within", "R@1 within", "retrieval", 0.5, 8, "s2")
    text = tables.markdown([result(further=[fewer])], ["recall_at_10", "recall_at_1_within"])
    assert "| sf2f | 12.3 [10.0, 20.0] | 50.0 [10.0, 20.0] (n 8) | 8..10/10 |" in text
    assert "(n 8)" in tables.latex([result(further=[fewer])], ["recall_at_10", "recall_at_1_within"])


def test_a_row_beside_says_where_it_stands_on_other_counts(capsys):
    further = [("other", "Other", "other", 0.5, 10, "s2")]
    rows = [result(further=further), result("other", 0.9, scored=7, further=further), result("third", 0.8)]
    show_results(rows, ["recall_at_10"], False)
    shown = capsys.readouterr().out
    assert "90.0 [10.0, 20.0] (n 7)" in shown and "(n 10)" not in shown


def test_numbers_that_were_asked_for_are_shown_though_no_column_names_them():
    other = ("sdr", "SDR", "sdr", 0.5, 10, "s2")
    assert [item.name for item in tables.chosen([result(further=[other])], ["recall_at_10"])] == ["recall_at_10", "sdr"]


def recalls(label="sf2f", chance=0.1, size="100x3"):
    signature = f"embed:x|gallery:{size}|v1"
    further = [
        ("chance_recall_at_10", "chance R@10", "retrieval", chance, 10, signature),
        ("recall_at_1", "R@1", "retrieval", 0.02, 10, signature),
        ("chance_recall_at_1", "chance R@1", "retrieval", 0.01, 10, signature),
        ("recall_at_1_within", "R@1 within", "retrieval", 0.3, 10, "embed:x|gallery:sex+10y,2..14,over-k|v1"),
    ]
    return result(label, signature=signature, further=further)


COLUMNS = ["recall_at_10", "recall_at_1", "recall_at_1_within"]


def test_every_recall_states_its_gallery_and_its_chance(capsys):
    heads = ["R@10 % (of 100, chance 10.0) ↑", "R@1 % (of 100, chance 1.0) ↑", "R@1 within % (of 2..14) ↑"]
    text = tables.markdown([recalls()], COLUMNS)
    assert text.splitlines()[0] == f"| method | {' | '.join(heads)} | scored |"
    show_results([recalls()], COLUMNS, False)
    shown = capsys.readouterr().out
    assert all(head in shown for head in heads)
    assert r"\shortstack[r]{R@1 \% $\uparrow$\\of 100, chance 1.0}" in tables.latex([recalls()], COLUMNS)
    rows = {row["metric"]: row for row in csv.DictReader(io.StringIO(tables.long_csv([recalls()])))}
    assert (rows["recall_at_1"]["gallery"], rows["recall_at_1"]["chance"]) == ("100", "0.01")
    assert (rows["recall_at_1_within"]["gallery"], rows["recall_at_1_within"]["chance"]) == ("2..14", "")


def test_a_row_of_another_chance_says_so(capsys):
    text = tables.markdown([recalls(), recalls("other", 0.2)], COLUMNS)
    assert "| other | 12.3 [10.0, 20.0] (chance 20.0) | 2.0 [10.0, 20.0] |" in text
    show_results([recalls(), recalls("other", 0.2)], COLUMNS, False)
    assert "12.3 [10.0, 20.0] (chance 20.0)" in capsys.readouterr().out


def test_a_recall_by_recording_states_its_own_floor_in_every_form(capsys):
    signature = "embed:x|gallery:100x3|by:recording|v1"
    row = recalls()
    name, title = "recall_at_1_by_recording", "R@1 by recording"
    for number, head, value in ((name, title, 0.03), (f"chance_{name}", f"chance {title}", 0.02)):
        like = row.aggregates[0].model_copy(
            update={"name": number, "title": head, "value": value, "signature": signature}
        )
        row.aggregates.append(like)
    head = "R@1 by recording % (of 100, chance 2.0)"
    columns = [*COLUMNS, name]
    show_results([row], columns, True)
    shown = capsys.readouterr().out
    assert head in shown and "|by:recording|" in shown and "R@1 % (of 100, chance 1.0)" in shown
    assert head in tables.markdown([row], columns)
    assert r"R@1 by recording \% $\uparrow$\\of 100, chance 2.0" in tables.latex([row], columns)
    found = {line["metric"]: line for line in csv.DictReader(io.StringIO(tables.long_csv([row])))}
    assert (found[name]["gallery"], found[name]["chance"], found[name]["signature"]) == ("100", "0.02", signature)
    assert json.loads(row.model_dump_json())["aggregates"][-1]["title"] == f"chance {title}"


def test_every_recall_of_the_default_table_has_its_chance():
    for name in get_task("speech2face").columns:
        assert not name.startswith("recall_") or NUMBERS[f"chance_{name}"] == "retrieval"


def test_latex_has_intervals_and_the_mark_of_a_partial_run():
    text = tables.latex([result(), result("half", partial=True)], ["recall_at_10"])
    assert r"sf2f & $12.3$ {\scriptsize [10.0, 20.0]} & 10/10 \\" in text
    assert r"half (partial) & $12.3$" in text and "cannot be ranked" in text
    assert "cannot be ranked" not in tables.latex([result()], ["recall_at_10"])


ODD = [chr(number) for number in (*range(128), *range(0xA0, 0x250), 0x2028, 0x4E2D, 0x1F600, 0xDC80)]


def test_latex_compiles_whatever_the_labels_are(tmp_path):
    """With nothing but booktabs, by the program itself where it is installed."""
    labels = [HOSTILE, "[1ex]", "* star", "".join(ODD), *(f"{mark}{mark}" for mark in ODD[32:127])]
    rows = [result(name, partial=name == HOSTILE) for name in labels]
    table = tables.latex([recalls(), *rows], COLUMNS)
    assert table.isascii()
    bare = re.sub(r"\\([a-zA-Z]+|.)", "", table)
    assert not set(bare) & set("%#_~") and bare.count("{") == bare.count("}")
    assert all(line.count(" & ") == 4 for line in table.splitlines() if line.endswith(r"10/10 \\"))
    if not shutil.which("pdflatex") or not shutil.which("kpsewhich"):
        pytest.skip("pdflatex is not installed")
    if subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode:
        pytest.skip("booktabs is not installed")
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + table + r"\end{document}"
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    line = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "t.tex"]
    done = subprocess.run(
        line, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_csv_keeps_full_precision():
    rows = list(csv.DictReader(io.StringIO(tables.long_csv([result(value=1 / 3)]))))
    assert float(rows[0]["value"]) == 1 / 3


def test_undefined_is_a_dash_and_partial_is_said():
    text = tables.markdown([result(value=None, scored=0, partial=True)], ["recall_at_10"])
    assert "| sf2f (partial) | - [" in text and "| 0/10 |" in text
    assert "cannot be ranked" in text
    (row,) = csv.DictReader(io.StringIO(tables.long_csv([result(partial=True)])))
    assert row["partial"] == "true"


def test_a_number_that_cannot_exist_does_not_lower_the_coverage():
    row = result(scored=9)
    never = row.aggregates[0].model_copy(update={"name": "si_sdr", "value": None, "scored": 0})
    both = row.model_copy(update={"aggregates": [*row.aggregates, never]})
    assert tables.coverage(both, both.aggregates) == "9/10"
    assert tables.coverage(row.model_copy(update={"aggregates": [never]}), [never]) == "0/10"


def test_latex_heads_have_units():
    assert r"R@10 \% $\uparrow$" in tables.latex([result()], ["recall_at_10"])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_contact_sheet_shows_every_picture(count):
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    sheet = contact_sheet([(f"p{n}", [red, None]) for n in range(count)], ["true", "made"], side=20)
    assert sheet.dtype == np.uint8
    assert int(np.all(sheet == (255, 0, 0), axis=2).sum()) == count * 400


def test_rows_with_older_intervals_and_numbers_without_one_are_told():
    older = result()
    number = older.aggregates[0].model_copy(update={"low": None, "high": None, "no_interval": "nothing differs <b>"})
    now = result("new").model_copy(update={"intervals": INTERVALS, "aggregates": [number]})
    text = tables.markdown([older, now], ["recall_at_10"])
    assert "The intervals of 1 of 2 rows are of an older kind, too narrow for few speakers: score them again." in text
    (line,) = [line for line in text.splitlines() if "no interval" in line]
    assert "R@10" in line
    assert "<b>" not in line
    assert "older kind" not in tables.markdown([now], ["recall_at_10"])
    few = now.model_copy(update={"speakers": 4})
    assert tables.without_interval(few, few.aggregates) == []
