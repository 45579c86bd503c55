"""The papers' numbers are as printed, where the papers are at hand; presets keep to them; a wrong file is refused."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from test_advice import OPTIONS

import baselines.avp_gan.config
import baselines.flowavse.config
import baselines.lipdiffuser.config
import baselines.lipdiffuser.diffusion
import baselines.lipdiffuser.mel
import baselines.sf2f.config
import baselines.sgmse.config
import baselines.speech2face_ddpm.config
import baselines.voice2face.config
from benchmark import registry
from benchmark.configuration import checked_fields
from benchmark.datasets.mixtures import LIP_SNRS_DB
from benchmark.errors import InvalidConfig, UnknownName
from benchmark.media.mouth_video import CENTRE
from benchmark.papers.reported import FOLDER, Cell, Paper, Table, load, papers, table
from benchmark.protocols import book
from benchmark.registry import metric_of
from benchmark.runs.evaluation import plan_method
from benchmark.runs.scoring import metric_options
from benchmark.tasks import TASKS

PRINTED = os.environ.get("FACEVOICE_PAPERS")
TABLES = {
    "avp_gan": (3, 4),
    "flowavse": (1, 2, 3),
    "lipdiffuser": (1, 2, 3),
    "sf2f": (2, 3, 4, 5, 7, 8, 12),
    "speech2face_ddpm": (2, 3),
}
"""All tables of results of the five papers, and AVP-GAN's table of its data."""
EVERY = [f"{paper}/{number}" for paper, numbers in TABLES.items() for number in numbers]
TRAINING = {
    "avp_gan": baselines.avp_gan.config.Training,
    "avdiffuss": baselines.flowavse.config.Training,
    "flowavse": baselines.flowavse.config.Training,
    "lipdiffuser": baselines.lipdiffuser.config.Training,
    "sf2f": baselines.sf2f.config.Training,
    "sgmse": baselines.sgmse.config.Training,
    "speech2face_ddpm": baselines.speech2face_ddpm.config.Training,
    "voice2face": baselines.voice2face.config.Training,
}


def found(name: str) -> Table:
    paper, _, number = name.partition("/")
    return table(paper, int(number))


# What the files hold


def test_every_table_of_every_paper_is_there():
    assert papers() == tuple(TABLES)
    assert {paper: tuple(table.number for table in load(paper).tables) for paper in papers()} == TABLES


def test_a_cell_says_everything_about_itself():
    cell = list(table("sf2f", 3).cells())[-1]
    assert cell.where == "sf2f/3, SF2F, 5 sec: Quality VFS"
    assert (cell.printed.text, cell.printed.value, cell.printed.spread) == ("19.49 ± 0.59", 19.49, 0.59)
    assert (cell.printed.decimals, cell.column.higher_is_better, cell.column.scale) == (2, True, 1.0)
    assert (cell.row.method, cell.row.setting) == ("SF2F", {"Method": "SF2F", "Len.": "5 sec"})
    assert (cell.column.number, cell.task, cell.reason) == ("vggface_score", "speech2face", "")
    assert cell.corpus is not None and cell.corpus.dataset == "hq_voxceleb"
    assert (cell.row.run.method, cell.row.run.preset) == ("sf2f", "paper")
    assert cell.table.protocol is not None and cell.table.protocol.name == "sf2f/table3"


def test_rows_of_different_measures_have_numbers_of_their_own():
    cells = [
        cell for cell in table("speech2face_ddpm", 3).cells() if cell.row.label in ("Jaw width", "Random baseline")
    ]
    numbers = [f"craniofacial_{measure}{p}" for measure in ("jaw_width", "random_pairs") for p in ("", "_p")]
    assert [cell.number for cell in cells] == numbers


def test_digits_bounds_and_gaps_stay_as_they_are_printed():
    cells = {cell.where: cell.printed for paper in papers() for cell in load(paper).cells()}
    first = cells["sf2f/3, random: Retrieval R@10"]
    assert (first.text, first.value, first.decimals) == ("10.00", 10.0, 2)
    gap = cells["sf2f/3, random: Quality VFS"]
    assert (gap.text, gap.value, gap.decimals) == ("-", None, None)
    bound = cells["speech2face_ddpm/3, Jaw width: p-value"]
    assert (bound.text, bound.relation, bound.value, bound.decimals) == ("< 0.002", "<", 0.002, 3)
    below = cells["lipdiffuser/2, Lip-to-Speech, Lip2Speech, V+E: SpkSim"]
    assert (below.text, below.value, below.decimals) == ("-0.02 ± 0.08", -0.02, 2)
    assert cells["sf2f/12, Embedding Fuser: Space Complexity"].text == "O(t^2)"


def test_a_percentage_is_printed_times_a_hundred():
    recall = next(cell for cell in table("sf2f", 3).cells() if cell.column.number == "recall_at_10")
    assert recall.printed.value is not None
    assert recall.printed.value * recall.column.scale == pytest.approx(0.1)
    wer = next(cell for cell in table("lipdiffuser", 1).cells() if cell.column.number == "wer_by_clip")
    assert wer.printed.value == 0.09 and wer.column.scale == 1.0


def test_columns_of_two_corpora_are_told_apart():
    cells = {cell.where: cell for cell in table("flowavse", 1).cells()}
    vox, lrs3 = (cells[f"flowavse/1, Ours (Large), 1: {corpus} SI-SDR"] for corpus in ("VoxCeleb2", "LRS3"))
    assert (vox.printed.value, lrs3.printed.value) == (13.37, 14.353)
    assert (vox.corpus.dataset, lrs3.corpus.dataset) == ("voxceleb2", "lrs3")
    assert vox.column.number == lrs3.column.number == "si_sdr"


def test_definitions_agree_only_where_the_signature_says_so():
    cosine = next(column for column in table("sf2f", 3).columns if column.number == "face_cosine")
    assert not cosine.agrees("embed:dlib-resnet-v1|detect:hog,side160,border0.15|agg:identity-mean|v1")
    assert cosine.agrees(
        "embed:facenet-vggface2-20180402|crop:box0.235,0.195,0.765,0.915-140|agg:identity-mean|v1",
    )
    pesq, rtf = (next(c for c in table("flowavse", 1).columns if c.number == name) for name in ("pesq_wb", "rtf"))
    assert pesq.agrees("pesq_wb|fs:16000|v1")
    assert not rtf.agrees("rtf|time:wall|v1")


def test_our_networks_sign_as_the_columns_expect():
    from metrics.networks.facenet import FaceNet, InceptionResnetV1

    with torch.device("meta"):
        signature = FaceNet(InceptionResnetV1(), "facenet140", "meta").signature
    assert {c.signature for c in table("sf2f", 3).columns if "--face-network facenet140" in c.options} == {
        signature[: len("facenet-vggface2-20180402|crop:box")]
    }


# What they say of this project


def cells() -> Iterator[Cell]:
    for paper in papers():
        yield from load(paper).cells()


@pytest.mark.parametrize("name", EVERY)
def test_what_measures_a_row_exists_here(name):
    for cell in found(name).cells():
        run = cell.row.run
        if not run.method:
            assert cell.reason
            continue
        assert cell.task in TASKS
        plan = plan_method(run.method, run.preset or None, sets=run.set, without_weights=True)
        assert TASKS[cell.task].name in registry.methods.entry(run.method).task.split(", ")
        if run.method in TRAINING:
            TRAINING[run.method](**checked_fields(TRAINING[run.method], plan.settings.training, cell.where))
        else:
            assert not plan.settings.training
        # Of the default preset weights are shipped; trainings change what they were trained with.
        if not run.needs:
            assert not any(item.startswith("training.") for item in run.set)
            plan_method(run.method, sets=run.set)  # its tables tell of another size themselves


@pytest.mark.parametrize("name", EVERY)
def test_numbers_options_and_corpora_exist_here(name):
    for cell in found(name).cells():
        if cell.corpus is not None and cell.corpus.dataset:
            assert cell.corpus.dataset in registry.datasets
        if not cell.number:
            continue
        metric = metric_of(cell.number)
        networks, sets = ["dlib"], []
        for option in cell.column.options:
            verb, _, value = option.partition(" ")
            assert verb in OPTIONS
            {"--face-network": networks, "--metric-set": sets}[verb].append(value)
        assert metric_options([metric], networks[-1], sets)


def test_directions_are_those_of_published_results():
    written = [json.loads(path.read_text("utf-8")) for path in FOLDER.with_name("results").rglob("*.json")]
    directions = {item["name"]: item["higher_is_better"] for result in written for item in result["aggregates"]}
    numbers = {cell.number for cell in cells() if cell.number}
    numbers -= {name for name in numbers if metric_of(name) == "craniofacial"}
    assert numbers - set(directions) <= {"lps_char", "nisqa_mos"}
    for cell in cells():
        # random pairs are a baseline, of which neither side is better
        if cell.number and cell.column.better != "neither" and cell.number != "craniofacial_random_pairs":
            assert cell.column.higher_is_better == directions.get(cell.number, True), cell.where


def test_nothing_is_defined_that_no_table_uses():
    for path in FOLDER.glob("*.toml"):
        written = tomllib.loads(path.read_text(encoding="utf-8"))
        tables = written["tables"]
        rows = [row for table in tables for row in table["rows"]]
        columns = [column for table in tables for column in table["columns"]]
        assert set(written["columns"]) == {column.rpartition(":")[2] for column in columns}
        assert set(written["runs"]) == {row["run"] for row in rows}
        # A corpus is one of a protocol's, and what is measured elsewhere says where.
        known = book.load(path.stem)
        used = {corpus.key for each in known.protocols.values() for corpus in each.corpora}
        assert {item["corpus"] for item in (*tables, *rows) if "corpus" in item} <= set(known.corpora)
        assert used <= set(known.corpora)


# Presets against the papers


def kept() -> Iterator[tuple[str, str, str, object, str]]:
    """Method, preset, key, what it has to be, and where that is said."""
    for paper in papers():
        for setting in load(paper).settings:
            for preset in setting.presets:
                for key in setting.keys:
                    expected = setting.value if setting.ours is None else setting.ours
                    yield setting.method, preset, key, expected, f"{paper}: {setting.name}, {setting.of}"


def held(method: str, preset: str, key: str) -> object:
    """What a preset holds, defaults included."""
    settings = plan_method(method, preset, without_weights=True).settings
    counted, _, part = key.partition(".")
    if counted == "parameters":
        with torch.device("meta"):
            network = settings.config.network(published=False) if method == "lipdiffuser" else settings.config.network()
            return round(sum(p.numel() for p in network.get_submodule(part).parameters()) / 1e6, 1)
    if key.startswith("training."):
        training = TRAINING[method](**checked_fields(TRAINING[method], settings.training, preset))
        return getattr(training, key.removeprefix("training."))
    return getattr(settings.config, key)


def test_what_no_setting_holds_of_lipdiffuser_is_built_as_its_paper_states_it():
    built = {
        "sampling rate": baselines.lipdiffuser.mel.RATE,
        "length of the Fourier transform": baselines.lipdiffuser.mel.N_FFT,
        "hop": baselines.lipdiffuser.mel.HOP,
        "feature rate": baselines.lipdiffuser.mel.RATE / baselines.lipdiffuser.mel.HOP,
        "mel bins": baselines.lipdiffuser.mel.BANDS,
        "dimension of a speaker embedding": baselines.lipdiffuser.config.SPEAKER_DIMS["wespeaker"],
        "frame rate": baselines.lipdiffuser.mel.RATE / baselines.lipdiffuser.diffusion.VIDEO_FRAME,
        "side of the lip region": CENTRE,
        "SNRs": LIP_SNRS_DB,
    }
    stated = {setting.name: setting.value for setting in load("lipdiffuser").settings}
    assert {name: stated[name] for name in built} == built


@pytest.mark.parametrize("method", sorted({method for method, *_ in kept()}))
def test_presets_keep_to_their_papers(method):
    checked = 0
    for of, preset, key, expected, where in kept():
        if of == method:
            checked += 1
            assert held(method, preset, key) == expected, f"{where}: {method}, preset {preset}, {key}"
    assert checked >= 4


def test_each_preset_at_a_papers_size_is_held_to_it():
    """Those with weights of their own, and those for released code, follow something else; what the papers only compare
    with is held to its own paper."""
    mentioned = {(method, preset) for method, preset, *_ in kept()}
    for method in TRAINING:
        folder = Path(FOLDER.parents[1], "baselines", method)
        presets = tomllib.loads((folder / "presets.toml").read_text(encoding="utf-8"))
        presets.pop("default")
        for preset in presets:
            if not preset.startswith(("talkers", "official")) and method not in ("voice2face", "sgmse"):
                assert (method, preset) in mentioned, f"{method}, {preset}: no paper states anything of it"


def test_voice2face_is_measured_by_its_own_papers_size_in_two_others():
    """Its hyper-parameters stand in a paper that is none of the five; as a comparison it is a row of two of them."""
    rows = [cell.row for cell in cells() if cell.row.run.method == "voice2face"]
    assert {row.run.preset for row in rows} == {"paper"}
    assert {row.method for row in rows} == {"voice2face", "Voice2Face"}
    assert not any(method == "voice2face" for method, *_ in kept())


def test_a_setting_stands_once():
    for paper in papers():
        stated = [(setting.name, setting.of) for setting in load(paper).settings]
        assert len(set(stated)) == len(stated)


# What is printed


class Grid(NamedTuple):
    """A printed table."""

    caption: str
    heads: list[tuple[str, str]]
    """What stands above each column: the group, where there is one, and its own head."""
    rows: list[list[str]]


class Cells(HTMLParser):
    """Rows of an HTML table, with cells repeated over what they span, and how many of the rows are heads."""

    def __init__(self) -> None:
        super().__init__()
        self.grid: dict[tuple[int, int], str] = {}
        self.row, self.heads, self.span, self.text = -1, 0, (1, 1), None

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.row += 1
        elif tag in ("td", "th"):
            given = dict(attrs)
            self.span, self.text = (int(given.get("rowspan", 1)), int(given.get("colspan", 1))), ""
            self.heads = self.row + 1 if tag == "th" else self.heads
        elif tag == "br" and self.text is not None:
            self.text += "\n"

    def handle_data(self, data):
        if self.text is not None:
            self.text += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            column = next(n for n in range(99) if (self.row, n) not in self.grid)
            for down in range(self.span[0]):
                for across in range(self.span[1]):
                    self.grid[self.row + down, column + across] = self.text
            self.text = None

    def rows(self) -> list[list[str]]:
        wide = max(column for _, column in self.grid) + 1
        return [[self.grid.get((row, column), "") for column in range(wide)] for row in range(self.row + 1)]


def plain(text: str) -> str:
    """LaTeX, tags and marks of the best taken away."""
    text = re.sub(r"</?(?:b|i|math|sup)>|\*\*|[$&↑↓]|\\(?:up|down)arrow", "", text)
    for written, meant in {r"\times": " x ", r"\pm": "±", r"\checkmark": "yes", r"\Omega": "Ω", "μ": "mu"}.items():
        text = text.replace(written, meant)
    text = re.sub(r"\\(?:textbf|boldsymbol|mathbf|mathrm|begin|end)\{([^{}]*)\}", r"\1", text.replace("{c}", ""))
    text = re.sub(r"\\\\|\barray\b|\baligned\b", " ", text)
    return re.sub(r" +", " ", text.replace("\\theta", "theta")).strip()


def letters(text: str) -> str:
    """Letters and digits alone, small."""
    return re.sub(r"[\W_]", "", plain(text)).lower()


def printed(paper: str, number: int) -> Grid:
    """The table as the paper's text has it: of HTML, of bars or of tabs."""
    assert PRINTED
    lines = Path(PRINTED, f"{paper}.md").read_text(encoding="utf-8").splitlines()
    captions = [n for n, line in enumerate(lines) if re.search(rf"(?:^|[.*])Table {number}:", line)]
    assert len(captions) == 1, f"{paper}: {len(captions)} captions of Table {number}"
    start = captions[0] + 1
    while not lines[start].startswith("<table") and lines[start].count("\t") < 1 and not lines[start].startswith("|"):
        start += 1
    if lines[start].startswith("<table"):
        cells = Cells()
        cells.feed("\n".join(lines[start : lines.index("</table>", start)]).replace("\n", ""))
        found, heads = cells.rows(), cells.heads
    else:
        end = next(n for n in range(start, len(lines)) if not lines[n].strip() and lines[n].count("\t") == 0)
        mark = "|" if lines[start].startswith("|") else "\t"
        found = [line.strip("|").split(mark) for line in lines[start:end] if not re.fullmatch(r"[|\-\s]+", line)]
        heads = 2 if (paper, number) in {("flowavse", 1), ("avp_gan", 4)} else 1
        for row in found[: heads - 1]:  # a group's name stands above the first of its columns
            for column in range(1, len(row)):
                row[column] = row[column] if row[column].strip() else row[column - 1]
    above = []
    for column in range(len(found[0])):
        parts = [plain(part) for row in found[:heads] for part in row[column].split("\n") if plain(part)]
        above.append((parts[0] if len(parts) > 1 else "", parts[-1] if parts else ""))
    return Grid(lines[captions[0]], above, [[plain(cell) for cell in row] for row in found[heads:]])


def columns_of(grid: Grid, turned: bool) -> list[tuple[str, str, list[str]]]:
    """Group, head and cells of each column; of each row, and of the heads, in a table that stands the other way."""
    if not turned:
        return [(*above, [row[n] for row in grid.rows]) for n, above in enumerate(grid.heads)]
    columns, group = [("", grid.heads[0][1], [head for _, head in grid.heads[1:]])], ""
    for head, *cells in grid.rows:
        if any(cells):
            columns.append((group, head, cells))
            group = ""
        else:
            group = head
    return columns


def tokens(texts: Iterable[str]) -> list[str]:
    """Numbers with their signs and relations, and dashes that stand alone, in order."""
    return re.findall(r"[<>±]|-?\d+(?:\.\d+)?|(?<!\S)-(?!\S)", " ".join(texts))


GARBLED = {"lipdiffuser/1", "lipdiffuser/2"}
"""Names of rows have run together in the text, and some lost their beginning; the numbers are whole."""


@pytest.mark.skipif(not PRINTED, reason="FACEVOICE_PAPERS is not set")
@pytest.mark.parametrize("name", EVERY)
def test_a_table_is_as_it_is_printed(name):
    """Every number in its column and order, with its digits, and nothing else; what rows are called; the title."""
    table = found(name)
    grid = printed(table.paper, table.number)
    assert letters(table.title) in letters(grid.caption)
    left = columns_of(grid, table.turned)
    for number, column in enumerate(table.columns):
        same = [
            item
            for item in left
            if letters(item[1]) == letters(column.head) and letters(column.group) in ("", letters(item[0]))
        ]
        assert len(same) == 1, f"{name}: {len(same)} printed columns {column.group} {column.head}"
        left.remove(same[0])
        ours = [row.values[number].text for row in table.rows]
        if column.kind == "text":
            assert [plain(text) for text in same[0][2]] == ours
        else:
            assert tokens(same[0][2]) == tokens(ours), f"{name}: {column.head}"
    assert len(left) == len(table.heads)
    for (_, head, cells), ours in zip(left, table.heads, strict=True):
        assert letters(head) in ("", letters(ours))
        if name not in GARBLED:
            assert [letters(cell) for cell in cells] == [letters(row.setting[ours]) for row in table.rows]
    at, labels = 0, " ".join(text for row in table.rows for text in row.setting.values())
    for word in " ".join(cell for row in grid.rows for cell in row[: len(left)]).split() if name in GARBLED else ():
        if len(word) > 3:
            at = labels.index(word, at) + len(word)


@pytest.mark.skipif(not PRINTED, reason="FACEVOICE_PAPERS is not set")
@pytest.mark.parametrize("paper", TABLES)
def test_what_a_setting_states_stands_in_the_paper(paper):
    assert PRINTED
    text = Path(PRINTED, f"{paper}.md").read_text(encoding="utf-8")
    text = re.sub(r"\$|<[^<>]*>", "", text).replace(" \\times ", "\\times")
    for setting in load(paper).settings:
        for value in setting.value if isinstance(setting.value, tuple) else (setting.value,):
            if isinstance(value, str) or setting.unit == "weeks":
                continue
            assert any(re.search(rf"(?<![\d.])(?<!\d,){re.escape(way)}(?![\d]|\.\d)", text) for way in ways(value)), (
                f"{paper}: {setting.name} {setting.of}, {value}"
            )


def ways(value: float) -> Iterator[str]:
    """How a number may be printed."""
    yield from (f"{value:g}", f"{value}", f"{value:,}")
    if value and abs(value) < 0.01:
        digits, _, power = f"{value:e}".partition("e")
        yield from (f"{float(digits):g}e{int(power)}", f"{float(digits):g}\\times10^{{{int(power)}}}")
        yield f"10^{{{int(power)}}}"
    if value >= 1000:
        yield from (f"{value / 1e3:g} k", f"{value / 1e6:g} M")


# Files that are wrong


GOOD = """
name = "P"
title = "A paper"
authors = "A. Author"
year = 2020
source = "a journal"
presets.sf2f = ["paper"]
settings = [
  { name = "batch", value = 256, place = "Sec. 1", method = "sf2f", keys = ["training.batch"] },
]
[columns.cosine]
head = "cos"
better = "higher"
number = "face_cosine"
spread = "standard deviation"
[columns.p]
head = "p"
reason = "not taken here"
[columns.order]
head = "order"
kind = "text"
reason = "no measurement"
[runs.ours]
method = "sf2f"
preset = "paper"
[[tables]]
number = 1
title = "Results"
place = "Sec. 2"
protocol = "table1"
heads = ["Method", "Len."]
columns = ["cosine", "p", "order"]
rows = [
  { row = ["A", "1 sec"], values = [[0.50, 0.10], "< 0.01", "O(t)"], run = "ours" },
  { row = ["B", "-"], values = [0.250, "-", ""], run = "ours" },
]
"""


PROTOCOLS = """
[corpora.c]
name = "a corpus"
dataset = "talkers"
[rules.lengths]
about = "length of speech"
paper = "5 s and 2 s"
seconds = [5, 2]
[table1]
title = "Results"
task = "speech2face"
corpora = ["c"]
numbers = ["face_cosine"]
rules = ["lengths"]
"""


def read(folder: Path, text: str) -> Paper:
    load.cache_clear()
    book.load.cache_clear()
    (folder / "p.toml").write_text(text, encoding="utf-8")
    (folder / "protocols").mkdir(exist_ok=True)
    (folder / "protocols" / "p.toml").write_text(PROTOCOLS, encoding="utf-8")
    return load("p", folder, folder / "protocols")


def test_a_good_file_is_read(tmp_path):
    paper = read(tmp_path, GOOD)
    assert [cell.printed.text for cell in paper.cells()] == ["0.50 ± 0.10", "< 0.01", "O(t)", "0.250", "-", ""]
    assert paper.settings[0].presets == ("paper",)
    assert {hash(cell) for cell in paper.cells()} == {hash(cell) for cell in read(tmp_path, GOOD).cells()}


def test_a_small_number_keeps_its_digits(tmp_path):
    first = next(read(tmp_path, GOOD.replace("[0.50, 0.10]", "[0.00000010, 1]")).cells()).printed
    assert (first.text, first.decimals, first.spread) == ("0.00000010 ± 1", 8, 1.0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("year = 2020", "year = '2020'", "p.toml: year = '2020' (str); expected int"),
        ("year = 2020\n", "", "p.toml: lacks 'year'"),
        ("year = 2020", "yeer = 2020", "p.toml: unknown key 'yeer'. Did you mean 'year'?"),
        ("year = 2020", "year = ", "p.toml is not TOML"),
        ("better = ", "beter = ", "p.toml, columns.cosine: unknown key 'beter'. Did you mean 'better'?"),
        ("better = 'higher'", "better = 'up'", "p.toml, columns.cosine: better = 'up'; expected one of"),
        ("number = 1\n", "number = 1\nnotes = 'x'\n", "p.toml, Table 1: unknown key 'notes'. Did you mean 'note'?"),
        ("number = 1\n", "", "p.toml, Table ?: lacks 'number'"),
        ("'cosine', 'p'", "'cosin', 'p'", "p.toml, Table 1: unknown column 'cosin'. Did you mean 'cosine'?"),
        (
            "'cosine', 'p'",
            "'cosine', 'cosine'",
            "p.toml, Table 1: expected each column once, got ['cosine', 'cosine', ",
        ),
        (
            "'cosine', 'p'",
            "'c:cosine', 'p'",
            "p.toml, corpora.c: lacks 'head', to stand above column 'cosine' of p.toml",
        ),
        ("better = ", "options = ['--face-network dlib']\nbetter = ", "p.toml, columns.cosine: unknown key 'options'"),
        (
            "'face_cosine'",
            "'face_l1'",
            "p.toml, Table 1: protocol p/table1 yields no 'face_l1'. It yields: face_cosine",
        ),
        ("'table1'", "'tabel1'", "p.toml, Table 1: unknown protocol 'tabel1'. Did you mean 'table1'?"),
        ("preset = ", "seconds = 3\npreset = ", "run 'ours' has seconds = 3.0, and protocol p/table1 5.0, 2.0"),
        (
            "preset = ",
            "enrolment = 'clean'\npreset = ",
            "run 'ours' has enrolment = 'clean', and protocol p/table1 none",
        ),
        ("better = ", "corpus = 'c'\nbetter = ", "p.toml, columns.cosine: unknown key 'corpus'"),
        ("preset = ", "key = 'x'\npreset = ", "p.toml, runs.ours: unknown key 'key'"),
        ("'cosine', 'p'", "'d:cosine', 'p'", "p.toml, Table 1, column 'd:cosine': unknown corpus 'd'."),
        ("number = 1\n", "number = 1\ncorpus = 'd'\n", "p.toml, Table 1: unknown corpus 'd'. The file defines: c"),
        ("protocol = 'table1'\n", "", "p.toml, Table 1: expected 'corpus' of the table"),
        ("protocol = 'table1'\n", "corpus = 'c'\n", "p.toml, Table 1: something here measures it, so expected 'protoc"),
        ("'O(t)'], run = 'ours'", "'O(t)'], run = 'our'", "p.toml, Table 1, row 1: unknown run 'our'."),
        ("'O(t)'], run", "'O(t)'], runs", "p.toml, Table 1, row 1: unknown key 'runs'. Did you mean 'run'?"),
        (", run = 'ours' },\n  { row = ['B'", " },\n  { row = ['B'", "p.toml, Table 1, row 1: lacks 'run'"),
        ("0.250, '-', ''", "0.250, '-'", "p.toml, Table 1, row 2: expected 3 in 'values', got 2: [0.250, '-']"),
        ("['B', '-']", "['B']", "p.toml, Table 1, row 2: expected 2 in 'row', got 1: ['B']"),
        ("['B', '-']", "['B', 5]", "p.toml, Table 1, row 2: row = 5 (int); expected str"),
        ("run = 'ours' }", "run = 'ours', measure = 'nose' }", "row 1: no number of a column names {measure}"),
        ("number = '", "number = '{measure}_", "p.toml, Table 1, row 1: expected 'measure'"),
        ("['B', '-']", "['A', '1 sec']", "p.toml, Table 1, row 2: 'A, 1 sec' stands there twice"),
        ("0.250", "nan", "p.toml, Table 1, row 2 (B, -), column 'cosine': expected a finite number, got NaN"),
        ("0.250", "-inf", "p.toml, Table 1, row 2 (B, -), column 'cosine': expected a finite number, got -Infinity"),
        ("0.10]", "inf]", "p.toml, Table 1, row 1 (A, 1 sec), column 'cosine': expected a finite number"),
        ("0.10]", "-0.10]", "p.toml, Table 1, row 1 (A, 1 sec), column 'cosine': expected a spread of 0 or more"),
        ("0.10]", "0.10, 1]", "column 'cosine': expected [number, spread], got [0.50, 0.10, 1]"),
        ("0.250", "true", "column 'cosine': expected a number, got True"),
        ("0.250", "'0.250'", "column 'cosine': expected a number, [number, spread], '< number'"),
        ("'< 0.01'", "'< nan'", "column 'p': expected a finite number, got NaN"),
        ("'< 0.01'", "'<= 0.01'", "column 'p': expected a number, [number, spread], '< number'"),
        ("'< 0.01'", "[0.01, 0.001]", "column 'p': [0.01, 0.001] has a spread, but the column does not say what of"),
        ("'O(t)'", "3", "column 'order': expected text, got 3"),
        ("reason = 'not taken here'\n", "", "p.toml, columns.p: expected either 'number' or 'reason'"),
        (
            "number = 'face_cosine'",
            "number = 'face_cosine'\nreason = 'x'",
            "p.toml, columns.cosine: expected either 'number' or 'reason', and only one of them",
        ),
        ("preset = 'paper'\n", "reason = 'x'\n", "p.toml, runs.ours: expected either 'method' or 'reason'"),
        ("keys = ['training.batch']", "keys = []", "p.toml, setting 'batch': expected 'method', 'presets' and 'keys'"),
        ("value = 256", "value = nan", "p.toml, setting 'batch': expected a finite number, got NaN"),
        ("value = 256", "value = 256, ours = 12", "p.toml, setting 'batch': 'ours' wants 'presets' that hold it"),
        ("['paper']", "'paper'", "p.toml: expected 'presets.METHOD' to be a list of names"),
        ("[columns.p]", "[columns]\np = 1\n[colums.p]", "p.toml"),
        ("[runs.ours]", "[[runs]]", "p.toml: expected [runs.KEY], got ["),
        ("[[tables]]", "[tables]", "p.toml: expected a list of tables 'tables', got {"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path, old, new, said):
    old, new = (text.replace("'", '"') if "Author" not in text else text for text in (old, new))
    assert GOOD.count(old) >= 1
    with pytest.raises(InvalidConfig) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert said in str(caught.value)


def test_tables_come_in_order_and_once(tmp_path):
    again = GOOD[GOOD.index("[[tables]]") :]
    with pytest.raises(InvalidConfig, match=r"each once, got \[1, 1\]"):
        read(tmp_path, GOOD + again)
    with pytest.raises(InvalidConfig, match=r"expected rows, got none"):
        read(tmp_path, GOOD[: GOOD.index("rows = [")] + "rows = []\n")


def test_unknown_papers_and_tables_are_named(tmp_path):
    with pytest.raises(UnknownName, match="Unknown paper 'sf2'. Did you mean 'sf2f'"):
        load("sf2")
    with pytest.raises(UnknownName, match="No Table 1 of 'sf2f'. Its tables of results: 2, 3, 4, 5, 7, 8, 12"):
        table("sf2f", 1)
