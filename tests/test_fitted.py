"""The table of a run: a row per method, fitted to the terminal; elsewhere whole and plain."""

import doctest
import re
import sys

import pytest
import typer.testing

from benchmark import registry
from benchmark.cli.main import app
from benchmark.cli.tables import check_columns, show_pairs, show_results
from benchmark.errors import UnknownName
from benchmark.reports import columns as columns_of_text
from benchmark.reports.fitted import fitted, sentences
from benchmark.results.schema import Aggregate, Failures, PairResult, PairSpec, Result, RunSpec
from benchmark.tasks import TASKS

NAMES = ("recall_at_10", "recall_at_1", "face_auc", "face_cosine", "face_l1", "vggface_score")
UNITS = {"recall_at_10": "%", "recall_at_1": "%"}


def made(method="sf2f", values=None, label=None, better=None, half=0.01, scored=None, reasons=None, **changes):
    """A result whose numbers are `values` +- `half`, each on 10 outputs or as `scored` says."""
    values = dict.fromkeys(NAMES, 0.5) | (values or {})
    spec = RunSpec(
        task="speech2face", task_version=1, method=method, config={}, weights_sha256=None, dataset="d",
        dataset_revision="1", split="test", manifest_sha256="m", seconds=5, repeats=3, seed=0,
    )  # fmt: skip
    aggregates = [
        Aggregate(
            name=name, title=name.replace("_", " "), metric=f"metric_of_{name}", value=value,
            low=None if value is None or half is None else value - half,
            high=None if value is None or half is None else value + half, spread=0.25 if value else None,
            scored=(scored or {}).get(name, 10), total=10, reasons=(reasons or {}).get(name, {}),
            signature=f"{name}|v1", higher_is_better=(better or {}).get(name, True), unit=UNITS.get(name, ""),
        )
        for name, value in values.items()
    ]  # fmt: skip
    return Result(
        run_id=f"{label or method}-d-0", label=label or method, spec=spec, partial=changes.pop("partial", False),
        samples=10, speakers=10, aggregates=aggregates, failures=Failures(), generation_seconds=1.0, provenance={},
        **changes,
    )  # fmt: skip


def table(results, width=None, names=NAMES, whole=False):
    return fitted(results, [results[0].aggregate(name) for name in names], width, whole)


def bold(results, name):
    """Labels of the rows whose value of one number is marked."""
    lines = table(results, None, [name]).lines
    return {"".join(s.text for s in line).split("  ")[0] for line in lines if any(span.best for span in line)}


def on_terminal(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def bare(text):
    return re.sub("\x1b\\[[0-9;]*m", "", text)


ROWS = [made("sf2f"), made("voice2face"), made("linear"), made("chance"), made("ground_truth")]


# -- rows ------------------------------------------------------------------------------------------------------------


def test_methods_stand_first_floors_and_ceilings_apart():
    given = [made("linear"), made("ground_truth"), made("sf2f"), made("chance"), made("mine")]
    lines = [line.split("  ")[0] for line in str(table(given)).splitlines()]
    body = [re.sub("-{3,}$", "", line).strip() for line in lines if line.strip()]
    assert body == ["-- methods", "sf2f", "mine", "-- floors", "linear", "chance", "-- ceiling", "ground_truth"]


def test_rows_of_one_kind_need_no_name_of_it():
    assert "--" not in str(table([made("sf2f"), made("voice2face")]))
    assert "--" not in str(table([made("noisy"), made("wiener")]))


def test_every_reference_row_of_a_task_has_its_role():
    roles = {name: registry.role(name) for task in TASKS.values() for name in task.references}
    assert roles == {
        "voice2face": "method", "sf2f": "method", "flowavse": "method", "linear": "floor", "chance": "floor",
        "mean_face": "floor", "mean_face_by_sex": "floor", "noisy": "floor", "wiener": "floor",
        "lipdiffuser": "method", "deepfilternet": "method",
        "talkers_oracle": "ceiling", "ground_truth": "ceiling", "clean": "ceiling",
    }  # fmt: skip
    assert registry.role("a method of somebody") == "method"
    for name, entry in registry.methods.builtin.items():  # said in the class as well
        assert registry.methods.load(name).title.startswith(("floor", "ceiling")) == (registry.role(name) != "method")
        assert entry.title.startswith(("floor", "ceiling")) == (registry.role(name) != "method")


def test_a_cell_is_value_and_interval_and_decimal_points_stand_below_each_other():
    rows = [made("sf2f", {"recall_at_10": 0.853}), made("voice2face", {"recall_at_10": 0.048})]
    first, second = str(table(rows, None, ["recall_at_10"])).splitlines()[-2:]
    assert first.endswith("85.3 [84.3, 86.3]") and second.endswith(" 4.8 [3.8, 5.8]")
    assert first.index(".") == second.index(".") and first.index("[") == second.index("[")


# -- widths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [20, 45, 60, 80, 100, 120, 200, 400])
def test_what_does_not_fit_is_left_out_from_the_end_and_told(width):
    found = table(ROWS, width)
    shown, left = [item.name for item in found.shown], [item.name for item in found.left_out]
    assert [*shown, *left] == list(NAMES) and shown
    assert len(shown) == 1 or max(map(len, str(found).splitlines())) <= width
    told = [line for line in sentences(found, ROWS, bold=True) if line.startswith("Left out")]
    assert len(told) == bool(left)
    assert all(name in told[0] and "--columns NAME,NAME" in told[0] and "--columns all" in told[0] for name in left)


def test_wider_terminals_show_no_less_and_the_widest_everything():
    counts = [len(table(ROWS, width).shown) for width in range(10, 200)]
    assert counts == sorted(counts) and counts[0] == 1 and counts[-1] == len(NAMES)


def test_one_place_fewer_than_a_column_needs_leaves_it_out():
    """The name has 12 places, each column 20 (as `0.500 [0.490, 0.510]`), and 2 lie between."""
    names = ["face_auc", "face_cosine"]
    for width, count in ((12 + 2 + 20 + 2 + 20, 2), (12 + 2 + 20 + 2 + 20 - 1, 1)):
        assert len(table(ROWS, width, names).shown) == count


@pytest.mark.parametrize("width", [20, 60, 80])
def test_columns_that_were_asked_for_are_all_shown_below_each_other(width):
    found = table(ROWS, width, whole=True)
    assert [item.name for item in found.shown] == list(NAMES) and not found.left_out
    lines = str(found).splitlines()
    assert len([line for line in lines if line.startswith("voice2face ")]) > 1
    assert sum(line.count("[49.0, 51.0]") + line.count("[0.490, 0.510]") for line in lines) == len(NAMES) * len(ROWS)


def test_without_a_width_a_row_is_one_line_with_everything():
    lines = str(table(ROWS)).splitlines()
    for row in ROWS:
        (line,) = [line for line in lines if line.startswith(row.label)]
        assert line.count("[") == len(NAMES)


def test_long_and_wide_names_break_and_columns_stay_in_line():
    names = ["flowavse (video=shuffled, prior=false, steps=30)", "中文" * 20, "x" * 90, "a b"]
    rows = [made("sf2f", label=name) for name in names]
    found = table(rows, 60)
    assert max(columns_of_text.cell_width(line) for line in str(found).splitlines()) <= 60
    starts = {columns_of_text.cell_width(line[: line.index("50.0")]) for line in str(found).splitlines() if "[" in line}
    assert len(starts) == 1
    text = re.sub(r"\s", "", "".join(line[: next(iter(starts))] for line in str(found).splitlines()))
    assert "x" * 90 in text


# -- the best group --------------------------------------------------------------------------------------------------


def test_bold_are_the_best_method_and_who_is_not_told_from_it():
    rows = [made("sf2f", {"face_auc": 0.80}), made("mine", {"face_auc": 0.79}), made("voice2face", {"face_auc": 0.7})]
    assert bold(rows, "face_auc") == {"sf2f", "mine"}
    assert bold(rows[1:], "face_auc") == {"mine"}


def test_less_is_better_where_it_is():
    rows = [made(name, {"face_l1": value}, better={"face_l1": False}) for name, value in (("a", 1.0), ("b", 3.0))]
    assert bold(rows, "face_l1") == {"a"}
    assert bold([made("a", {"face_l1": 1.0}), made("b", {"face_l1": 3.0})], "face_l1") == {"b"}


def test_floors_and_ceilings_do_not_compete_nor_does_what_cannot_be_ranked():
    rows = [made("sf2f", {"face_auc": 0.8}), made("mine", {"face_auc": 0.6})]
    more = [made("ground_truth", {"face_auc": 0.99}), made("chance", {"face_auc": 0.8})]
    assert bold([*rows, *more], "face_auc") == {"sf2f"}
    best = made("half", {"face_auc": 0.9}, partial=True)
    assert bold([*rows, best, made("third", {"face_auc": 0.5})], "face_auc") == {"sf2f"}


def test_nothing_is_bold_where_one_method_is_alone_or_intervals_are_missing():
    assert bold([made("sf2f"), made("chance", {"face_auc": 0.1})], "face_auc") == set()
    assert bold([made("sf2f", half=None), made("mine", half=None)], "face_auc") == set()


def test_a_number_by_another_definition_is_not_shown_and_does_not_compete():
    other = made("other", {"face_auc": 0.9})
    other.aggregate("face_auc").signature = "face_auc|v2"
    rows = [made("sf2f", {"face_auc": 0.8}), made("mine", {"face_auc": 0.1}), other]
    assert bold(rows, "face_auc") == {"sf2f"} and "0.900" not in str(table(rows))


# -- what stands below -----------------------------------------------------------------------------------------------


def test_bold_is_explained_where_it_can_be_seen():
    rows = [made("sf2f", {"face_auc": 0.8}), made("mine")]
    assert any(line.startswith("Bold") for line in sentences(table(rows), rows, bold=True))
    assert not any(line.startswith("Bold") for line in sentences(table(rows), rows, bold=False))
    alone = [made("sf2f"), made("chance")]
    assert not any(line.startswith("Bold") for line in sentences(table(alone), alone, bold=True))


def test_counts_are_said_once_where_they_are_alike_and_by_row_where_not():
    assert "Scored in every row: 10/10 outputs." in sentences(table(ROWS), ROWS, False)
    fewer = [made("sf2f"), made("mine", scored=dict.fromkeys(NAMES, 7))]
    text = str(table(fewer, 45))
    assert re.search(r"^sf2f +10/10 ", text, re.M) and re.search(r"^mine +7/10 ", text, re.M)
    assert not any(line.startswith("Scored") for line in sentences(table(fewer), fewer, False))


def test_a_number_on_fewer_outputs_says_so_in_its_head_or_cell():
    both = [made(name, scored={"face_auc": 8}) for name in ("sf2f", "mine")]
    text = str(table(both))
    assert "n 8" in text.splitlines()[1] and "(n 8)" not in text
    one = [made("sf2f", scored={"face_auc": 8}), made("mine")]
    assert "0.500 [0.490, 0.510] (n 8)" in str(table(one)) and str(table(one)).count("n 8") == 1


def test_the_spread_over_evaluation_runs_is_that_of_the_first_row():
    (line,) = [line for line in sentences(table(ROWS, 60), ROWS, False) if line.startswith("s.d.")]
    assert line == "s.d. of sf2f over its 3 evaluation runs: recall at 10 25.0, recall at 1 25.0."


# -- printed ---------------------------------------------------------------------------------------------------------


HOSTILE = "a|b<script>_\\input{x}%\n[red]x[/]\x1b[31m\u202e`[/nothing]"


@pytest.mark.parametrize("label", [HOSTILE, "[", "[/x]", "[bold]", ":smile:", "x\\", "a\nb", "two  spaces"])
def test_labels_are_shown_as_they_are(label, capsys, monkeypatch):
    visible = label.replace("\n", "\\n").replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    rows = [made("sf2f", label="first"), made("sf2f", label=label)]
    show_results(rows, NAMES, False)
    piped = capsys.readouterr().out
    assert visible in piped and not {"\x1b", "\u202e"} & set(piped)
    on_terminal(monkeypatch, 300)
    show_results(rows, NAMES, False)
    shown = capsys.readouterr().out
    assert visible in bare(shown) and "\u202e" not in shown
    assert set(re.findall("\x1b.{3}", shown)) <= {"\x1b[1m", "\x1b[0m"}


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_terminal_has_lines_that_fit_and_the_best_in_bold(width, capsys, monkeypatch):
    rows = [made("sf2f", {"recall_at_10": 0.8}), made("mine"), made("ground_truth", {"recall_at_10": 0.99})]
    on_terminal(monkeypatch, width)
    show_results(rows, NAMES, False)
    shown = capsys.readouterr().out
    assert max(map(len, bare(shown).splitlines())) <= width
    assert "\x1b[1m80.0\x1b[0m" in shown and "\x1b[1m99.0" not in shown
    assert ("--columns all" in " ".join(bare(shown).split())) == (width < 200)
    assert "Bold: the best method" in shown


def test_a_pipe_gets_every_row_and_column_plain_whatever_the_terminal_says(capsys, monkeypatch):
    printed = []
    for width in ("40", "200"):
        monkeypatch.setenv("COLUMNS", width)
        show_results(ROWS, NAMES, False)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "\x1b" not in printed[0] and "Bold" not in printed[0] and "Left out" not in printed[0]
    for row in ROWS:
        (line,) = [line for line in printed[0].splitlines() if line.startswith(f"{row.label} ") and "[" in line]
        assert line.count("[") == len(NAMES)


def test_columns_that_are_named_stand_there_alone_in_their_order(capsys):
    show_results(ROWS, NAMES, False, ["face_auc", "metric_of_face_l1", "recall_at_1"])
    lines = capsys.readouterr().out.splitlines()
    assert re.split(r"  +", lines[2].strip()) == ["face auc ↑", "face l1 ↑", "recall at 1 % ↑"]
    show_results(ROWS, NAMES[:2], False, ["face_l1", "all"])
    heads = re.split(r"  +", capsys.readouterr().out.splitlines()[2].strip())
    assert heads[0] == "face l1 ↑" and len(heads) == len(NAMES)


def test_a_list_of_one_result_takes_the_same_names(capsys):
    show_results([made()], NAMES, False, ["face_auc"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and " ".join(lines[2].split()) == "face auc ↑ 0.500 [0.490, 0.510] 0.250 10/10"


def test_files_scored_against_files_take_them_too(capsys):
    aggregates = made().aggregates
    pairs = PairResult(
        run_id="e-0", label="e", spec=PairSpec(estimate="/e", reference=None, align=False), pairs=10, speakers=10,
        clusters="files", reference_only=[], estimate_only=[], partial=False, aggregates=aggregates,
        failures=Failures(), undefined={}, provenance={},
    )  # fmt: skip
    for named, count in (((), len(NAMES)), (("face_l1", "recall_at_1"), 2)):
        show_pairs(pairs, False, named)
        assert len(capsys.readouterr().out.splitlines()) == 2 + count


def test_a_column_that_the_result_lacks_is_told_and_the_others_are_shown(capsys):
    show_results(ROWS, NAMES, False, ["face_auc", "face_aux", "wer"])
    shown = capsys.readouterr()
    assert "--columns face_aux: sf2f has no such number. Did you mean 'face_auc'?" in shown.err
    assert "--columns wer: sf2f has no such number." in shown.err and "face auc" in shown.out
    show_results(ROWS, NAMES, False, ["nothing"])
    assert "vggface score" in capsys.readouterr().out


def test_a_missing_value_is_a_dash_and_its_reason_stands_below(capsys):
    why = {"face_auc": {"undefined: all are alike": 10}}
    rows = [made(), made("mean_face", {"face_auc": None}, scored={"face_auc": 0}, reasons=why)]
    show_results(rows, NAMES, False)
    shown = capsys.readouterr().out
    assert "mean_face, undefined in 10: face auc: all are alike" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("mean_face ")]
    assert len(re.findall(r" -(?: |$)", line)) == 1 and line.count("[") == len(NAMES) - 1


def test_a_row_without_any_number_does_no_harm(capsys):
    empty = made("mine").model_copy(update={"aggregates": []})
    show_results([made(), empty], NAMES, False)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mine ")]
    assert line.split() == ["mine", *["-"] * (1 + len(NAMES))]
    show_results([empty, made()], NAMES, False)
    assert "sf2f" in capsys.readouterr().out


def test_a_terminal_without_bold_is_told_of_none(capsys, monkeypatch):
    on_terminal(monkeypatch, 100)
    monkeypatch.setenv("TERM", "dumb")
    show_results([made("sf2f", {"recall_at_10": 0.8}), made("mine")], NAMES, False)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "Bold" not in shown


# -- the command line ------------------------------------------------------------------------------------------------


def test_a_name_that_is_no_number_is_refused_before_anything_runs(tmp_path):
    for verb in ("run --method sf2f", "score nothing"):
        done = typer.testing.CliRunner().invoke(
            app, [*verb.split(), "--columns", "recal_at_1", "--runs", str(tmp_path)]
        )
        assert isinstance(done.exception, UnknownName) and "Did you mean 'recall_at_1'?" in str(done.exception)
    check_columns(["all", "retrieval", "recall_at_1", "wer", "chance_recall_at_5"])


def test_numbers_of_other_packages_are_not_refused(monkeypatch):
    mine = registry.Entry("mine:Mine", "", origin="mine 1.0")
    monkeypatch.setattr(registry.metrics, "_all", {**registry.metrics.builtin, "mine": mine})
    check_columns(["my_number"])


def test_examples_hold():
    for module in (columns_of_text, registry):
        done = doctest.testmod(module)
        assert done.attempted and not done.failed


def test_the_number_that_ranks_is_the_first_column_of_its_task():
    for task in TASKS.values():
        assert task.columns[0] == task.primary and len(set(task.columns)) == len(task.columns)
