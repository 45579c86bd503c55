"""The page of the leaderboards: whole without a script, closed to the network, text where anybody may write; and in a
browser it sorts, filters and explains."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from published import MANIFEST, made, publish, run_directory, samples
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.errors import SubmissionError
from benchmark.leaderboard import board, drawings, examples, figures, page
from benchmark.leaderboard.submissions import ROOT, everything
from benchmark.results.schema import Aggregate
from benchmark.runs.directory import Prediction, RunDirectory
from benchmark.runs.evaluation import read_result
from benchmark.types import Sample

PEOPLE = samples(12, 2)
HOSTILE = "<script>alert(1)</script>\"' onload=alert(2) x"
TITLES = ("javascript:alert(3)", "</style><img src=x onerror=alert(4)>")
VOID = {"meta", "path", "use", "img", "input", "wbr", "br", "link"}


class Element:
    """A tag with its attributes, its text and what is in it."""

    def __init__(self, tag: str, about: dict[str, str], parent: Element | None) -> None:
        self.tag, self.about, self.parent = tag, about, parent
        self.inside: list[Element | str] = []

    @property
    def text(self) -> str:
        return "".join(each if isinstance(each, str) else each.text for each in self.inside)

    def all(self, tag: str = "", **about: str) -> list[Element]:
        found = []
        for each in self.inside:
            if isinstance(each, Element):
                same = all(each.about.get(name.rstrip("_")) == value for name, value in about.items())
                found += [each] if same and tag in ("", each.tag) else []
                found += each.all(tag, **about)
        return found


class Tree(HTMLParser):
    """A parser that holds tags to be closed in order, and ids to be there once."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.top = self.here = Element("", {}, None)
        self.feed(text)
        self.close()
        assert self.here is self.top, f"{self.here.tag} is not closed"
        ids = [each.about["id"] for each in self.top.all() if "id" in each.about]
        assert len(ids) == len(set(ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        new = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.inside.append(new)
        if tag not in VOID:
            self.here = new

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.here.inside.append(Element(tag, {name: value or "" for name, value in attrs}, self.here))

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.here.tag, f"</{tag}> where {self.here.tag} is open"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.inside.append(data)


def numbers(shift: float, seed: int = 0) -> dict[str, float]:
    random = np.random.default_rng(seed)
    return {name: shift + float(random.standard_normal()) for name in PEOPLE}


def html(root: Path) -> str:
    return page.html(board.boards(everything(root), draws=200), root)


def results() -> list[Any]:
    """Two methods, two floors and a ceiling; labels as somebody may send them."""
    return [
        made(numbers(9.0), PEOPLE, "flowavse", "fine"),
        made(numbers(3.0, 1), PEOPLE, "flowavse", HOSTILE),
        made(numbers(5.0, 2), PEOPLE, "wiener"),
        made(numbers(0.0, 3), PEOPLE, "noisy"),
        made(numbers(40.0, 4), PEOPLE, "clean"),
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """In a project of its own, where one method has a card."""
    project = tmp_path_factory.mktemp("project")
    found = publish(project / "leaderboards", *results())
    (project / "baselines" / "flowavse").mkdir(parents=True)
    (project / "baselines" / "flowavse" / "README.md").write_text("# FlowAVSE\n")
    (found / "commands.toml").write_text(
        '[[commands]]\nrun = "run --method flowavse"\ntask = "av_enhancement"\ndataset = "talkers"\n'
        'labels = ["fine", "noisy"]\n'
    )
    return found


@pytest.fixture(scope="module")
def text(root) -> str:
    return html(root)


@pytest.fixture(scope="module")
def tree(text) -> Element:
    return Tree(text).top


# -- without a browser -------------------------------------------------------------------------------------------------


def test_every_row_stands_in_the_table_with_its_numbers(root, tree):
    (table,) = tree.all("table", class_="scores")
    rows = {row.about["data-label"]: row for row in table.all("tr") if "data-label" in row.about}
    assert list(rows) == ["fine", "wiener", HOSTILE, "noisy", "clean"], "best first, the ceiling behind them"
    assert [row.about["data-role"] for row in rows.values()] == ["method", "floor", "method", "floor", "ceiling"]
    assert rows["clean"].parent is not rows["fine"].parent
    heads = [head.text.split()[0] for head in table.all("thead")[0].all("th")]
    assert heads == ["method", "rank", "si_sdr", "pesq_wb", "outputs"]
    for submission in everything(root):
        item = submission.result.aggregate("si_sdr")
        cell = rows[submission.result.label].all("td")[1]
        assert float(cell.about["data-v"]) == item.value
        digits = 3 if abs(item.value) < 10 else 2
        assert (
            cell.text == f"{item.value:.{digits}f}[{item.low:.{digits}f}, {item.high:.{digits}f}]" or abs(item.low) < 10
        )
    assert rows["clean"].all("td")[0].text == "–" and rows["fine"].all("td")[0].text == "1"
    assert rows["fine"].all("b") and not rows["noisy"].all("b")


def test_intervals_are_drawn_on_the_scale_of_their_column(root, tree):
    items = {each.result.label: each.result.aggregate("si_sdr") for each in everything(root)}
    low, high = min(item.low for item in items.values()), max(item.high for item in items.values())

    def x(value: float) -> float:
        return 4 + 92 * (value - low) / (high - low)

    (table,) = tree.all("table", class_="scores")
    for row in table.all("tr"):
        if item := items.get(row.about.get("data-label", "")):
            drawing = row.all("td")[1].all("svg")[0]
            line, dot = (
                drawing.all("path", class_="line")[0].about["d"],
                drawing.all("path", class_="dot")[0].about["d"],
            )
            assert list(map(float, re.findall(r"[\d.]+", line)[::2])) == pytest.approx(
                [x(item.low), x(item.high)], abs=0.06
            )
            assert float(re.findall(r"[\d.]+", dot)[0]) == pytest.approx(x(item.value), abs=0.06)
    mark = drawing.all("use")[0].about["href"].removeprefix("#")
    (behind,) = tree.all("symbol", id=mark)
    ends = {each.about["class"]: re.findall(r"[\d.]+", each.about["d"]) for each in behind.all("path")}
    assert float(ends["band"][0]) == pytest.approx(x(items["fine"].low), abs=0.06)
    assert float(ends["band"][2]) == pytest.approx(x(items["fine"].high), abs=0.06)
    assert float(ends["at floor"][0]) == pytest.approx(x(items["wiener"].value), abs=0.06)
    assert float(ends["at ceiling"][0]) == pytest.approx(x(items["clean"].value), abs=0.06)


def test_a_row_leads_to_its_command_card_and_files(root, tree):
    (sheet,) = [each for each in tree.all("div", class_="sheet") if each.all("h4")[0].text.strip() == "fine"]
    assert sheet.all("code")[0].text == "python -m benchmark run --method flowavse"
    (floor,) = [each for each in tree.all("div", class_="sheet") if each.all("h4")[0].text.split()[0] == "noisy"]
    told = [each.text.strip() for each in floor.all("p")]
    place = told.index("Made beside flowavse by:")
    assert told[place + 1].startswith("python -m benchmark run --method flowavse") and "Made beside" not in sheet.text
    links = [each.about["href"] for each in sheet.all("a")]
    assert links[0] == "../baselines/flowavse/README.md"
    assert all((root / unquote(link)).is_file() for link in links) and len(links) == 3
    targets = {each.about["popovertarget"] for each in tree.all("button") if "popovertarget" in each.about}
    assert targets == {each.about["id"] for each in tree.all("div", class_="sheet")}, "each can be opened"


def test_each_number_is_explained(tree):
    sheet = next(each for each in tree.all("div", class_="sheet") if each.all("h4")[0].text.startswith("pesq_wb"))
    assert "MOS-LQO" in sheet.text and "higher is better; 0.999 to 4.644" in sheet.text
    assert sheet.all("code")[0].text.startswith("pesq_wb|fs:16000|")


def test_nothing_is_asked_of_the_network_and_nothing_else_may_be(tree):
    closed(tree)


def closed(tree: Element) -> None:
    """Assert that a page loads nothing but what is inside it, and that its policy says so."""
    (policy,) = [each.about["content"] for each in tree.all("meta") if "http-equiv" in each.about]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == rules["media-src"] == "data:" and set(rules) >= {"style-src", "script-src"}
    for tag in ("style", "script"):
        (only,) = tree.all(tag)
        sha256 = base64.b64encode(hashlib.sha256(only.text.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{sha256}'" and not only.about
        assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp|innerHTML|eval\(", only.text)
    ids = {each.about["id"] for each in tree.all() if "id" in each.about}
    for each in tree.all():
        assert each.tag not in ("link", "base", "iframe", "object", "embed", "video", "source")
        assert not {name for name in each.about if name.startswith("on") or name in ("style", "srcset", "action")}
        assert each.about.get("src", "data:").startswith("data:")
        link = each.about.get("href", "#main")
        if link.startswith("https://"):
            assert each.tag == "a" and re.match(r"https://(doi\.org/10\.|arxiv\.org/abs/\d)", link)
        elif link.startswith("#"):
            assert link[1:] in ids
        else:
            assert each.tag == "a" and re.fullmatch(r"(\.\./)?[\w./%-]+", link)


def test_hostile_names_stay_text(root, tmp_path, text, tree):
    assert HOSTILE in tree.all("table", class_="scores")[0].text and text.count("<script") == 1
    folder = shutil.copytree(root, tmp_path / "leaderboards")
    for path, title in zip(
        sorted((folder / "results").rglob("*.json")), [*TITLES, "\u202egnp.exe", "{{ 7 * 7 }}"], strict=False
    ):
        result = json.loads(path.read_text())
        for item in result["aggregates"]:
            item["title"] = title
        result["label"] = f"{title} {result['label']}"
        path.write_text(json.dumps(result))
    command = json.dumps("run --method '\"><script>alert(5)</script>'")
    (folder / "commands.toml").write_text(
        f'[[commands]]\nrun = {command}\ntask = "av_enhancement"\ndataset = "talkers"\n'
        f"labels = [{json.dumps(TITLES[0] + ' clean')}]\n"
    )
    hostile = html(folder)
    found = Tree(hostile).top
    closed(found)
    assert len(found.all("script")) == 1 and not [each for each in found.all("img") if "onerror" in each.about]
    assert "{{ 7 * 7 }}" in found.text and TITLES[1] in found.text and "alert(5)" in found.text
    assert "\u202e" not in hostile and "\\u202egnp.exe" in found.text


def test_the_same_files_give_the_same_bytes_anywhere(root, tmp_path, text):
    other = tmp_path / "elsewhere" / "boards"
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_file():
            (other / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, other / path.relative_to(root))
    shutil.copytree(root.parent / "baselines", other.parent / "baselines")
    assert html(other) == text
    every = everything(root)
    assert page.html(board.boards(every[::-1], draws=200), root) == text


def test_check_finds_a_page_that_is_not_of_the_results(tmp_path):
    root = publish(tmp_path / "leaderboards", *results()[2:])

    def cli(verb: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["leaderboard", verb, "--root", str(root)])
        return done.exit_code, done.output

    assert cli("build")[0] == 0 and cli("check")[0] == 0
    path = root / page.NAME
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"wiener", b"winner", 1))
    code, output = cli("check")
    assert code == 1 and page.NAME in output and "leaderboard build" in output
    path.unlink()
    assert page.NAME in cli("check")[1]
    assert cli("build")[0] == 0 and path.read_bytes() == sound


def test_the_published_page_is_small_and_its_links_lead_somewhere():
    content = (ROOT / page.NAME).read_bytes()
    assert len(content) < 3 << 20
    found = Tree(content.decode()).top
    closed(found)
    for each in found.all("a"):
        link = unquote(each.about["href"])
        if not link.startswith(("#", "https:")):
            assert (ROOT / link).is_file(), link
    for tag, count in (("audio", 8), ("img", 24)):
        assert len(found.all(tag)) >= count


def test_what_papers_report_stands_in_columns_of_its_own(root, tmp_path):
    folder = shutil.copytree(root, tmp_path / "leaderboards")
    shutil.copytree(ROOT / "papers", folder / "papers")
    found = Tree(html(folder)).top
    closed(found)
    tables = found.all("table", class_="reported")
    row = next(
        row for table in tables for row in table.all("tr") if row.text.startswith("SF2F, 5 sec") and "36.65" in row.text
    )
    cells = [cell.text for cell in row.all("td")]
    assert cells[0] == "36.65" and cells[1:3] == ["- [1]", "-"] or cells[1].startswith("-")
    for table in found.all("table", class_="scores"):
        assert "SF2F, 5 sec" not in table.text
    says = " ".join(found.all("div", class_="says")[0].text.split())
    assert "In the ranked tables they are never mixed with what papers report" in says
    assert "tables below set both side by side, each in a column of its own. And a generated face" in says
    links = {each.about["href"] for each in found.all("a")}
    assert {"https://doi.org/10.1145/3503161.3547850", "https://arxiv.org/abs/2006.05888"} <= links


# -- drawings ----------------------------------------------------------------------------------------------------------


def number(value: float | None, low: float | None = None, high: float | None = None) -> Aggregate:
    about = {"name": "n", "title": "n", "metric": "n", "spread": None, "scored": 1, "total": 1, "signature": "s"}
    return Aggregate(**about, value=value, low=low, high=high, higher_is_better=True)


def test_a_scale_goes_from_the_lowest_to_the_highest():
    own = drawings.scale([number(1.0, 0.5, 2.0), number(3.0), number(None)])
    assert own == drawings.Scale(0.5, 3.0)
    assert drawings.scale([number(None)]) is None
    assert drawings.Scale(2.0, 2.0).x(2.0) == "50", "one number alone stands in the middle"
    assert drawings.interval(own, number(None)) == "" and "line" not in drawings.interval(own, number(1.0))


def test_recall_is_drawn_over_the_logarithm_of_k():
    points = [(1, 0.2, 0.1, 0.3), (10, 0.5, 0.4, 0.6), (100, 1.0, 0.9, 1.0)]
    plot = drawings.recall([drawings.Curve("a", "method", points), drawings.Curve("b", "floor", points[:1])])
    (curve,) = plot.curves
    places = [tuple(map(float, pair.split())) for pair in curve.path.removeprefix("M").split("L")]
    assert places[1][0] == pytest.approx((places[0][0] + places[2][0]) / 2, abs=0.06)
    assert (places[0][1] - places[1][1]) / (places[0][1] - places[2][1]) == pytest.approx(0.3 / 0.8, abs=0.01)
    assert list(plot.x_ticks.values()) == ["1", "10", "100"]
    assert drawings.recall([]) is None


def test_names_beside_lines_do_not_cover_each_other():
    points = [(1, 0.5, 0.4, 0.6), (50, 0.99, 0.9, 1.0)]
    plot = drawings.recall([drawings.Curve(str(place), "method", points) for place in range(20)])
    heights = sorted(float(curve.label_y) for curve in plot.curves)
    assert np.diff(heights).min() >= 14.9 and heights[-1] <= plot.height


# -- examples ----------------------------------------------------------------------------------------------------------


def sample(name: str, speaker: str, **attributes: Any) -> Sample:
    return Sample(name, speaker, {}, {}, attributes)


def test_examples_are_chosen_by_the_split_alone():
    faces = [sample(f"s{n:02d}", f"p{n // 2:02d}") for n in range(40)]
    assert [each.id for each in examples.chosen(faces[::-1], "image")] == [f"s{2 * n:02d}" for n in range(8)]
    mixtures = [
        sample(f"m{n:02d}", f"p{n // 4}", noise=kind, snr_db=snr)
        for n, (kind, snr) in enumerate((kind, snr) for kind in ("white", "babble") * 6 for snr in (-5.0, 0.0))
    ]
    picked = examples.chosen(mixtures, "audio")
    assert sorted(each.attributes["noise"] for each in picked) == ["babble", "white"]
    assert {each.attributes["snr_db"] for each in picked} == {0.0} and len({each.speaker for each in picked}) == 2
    alike = [sample(f"m{n}", f"p{n // 3}", noise="talker") for n in range(9)]
    assert [each.id for each in examples.chosen(alike, "audio")] == ["m0", "m3", "m6"]


def test_a_spectrogram_shows_a_tone_where_it_is():
    rate, hz = 16_000, 2000
    picture = examples.spectrum(np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32))
    assert picture.shape == (examples.SPECTRUM_HEIGHT, 1 + rate // 128, 3) and picture.dtype == np.uint8
    bright = picture[:, 60].astype(int).sum(axis=1)
    assert abs((examples.SPECTRUM_HEIGHT - 1 - bright.argmax() + 0.5) / examples.SPECTRUM_HEIGHT * 8000 - hz) < 100
    assert bright[:20].max() < bright.max() / 3


@pytest.fixture
def shown(tmp_path) -> tuple[Path, Path, RunDirectory]:
    """Leaderboards, runs, and a run of one sound for each output, whose result is published."""
    from benchmark.media import write_audio
    from benchmark.types import Audio

    result, rows = made(numbers(3.0), PEOPLE, "noisy")
    root, runs = publish(tmp_path / "leaderboards", (result, rows)), tmp_path / "runs"
    run = RunDirectory(run_directory(runs, result, rows))
    random = np.random.default_rng(0)
    for name, who in PEOPLE.items():
        sound = 0.3 * random.standard_normal(4000).clip(-3, 3).astype(np.float32)
        write_audio(run.path / "outputs" / name / "000.wav", Audio(4 * sound if name == "p00_0" else sound, 16_000))
        run.append_predictions([Prediction(name, who, 0, "ok", f"outputs/{name}/000.wav")])
    return root, runs, run


def test_examples_are_written_from_a_run_and_shown(shown, monkeypatch):
    root, runs, run = shown
    monkeypatch.setattr("benchmark.datasets.manifest.read_manifest", lambda path, folder: Listed())
    run.write_document("run.json", json.dumps({"run_id": run.path.name, "manifest": "m", "root": "r"}))
    done = CliRunner().invoke(app, ["leaderboard", "examples", str(run.path), "--root", str(root)])
    assert done.exit_code == 0, done.output
    (submission,) = everything(root)
    found = examples.read(submission, root)
    assert [each.sample for each in found.examples] == ["p00_0", "p01_0", "p02_0"]
    first, second = found.examples[:2]
    assert first.turned_down_db > 0 and second.turned_down_db == 0
    heard, rate = soundfile.read(io.BytesIO(examples.content(submission, second.file, root)[1]))
    made_there, _ = soundfile.read(run.path / "outputs" / "p01_0" / "000.wav")
    assert rate == 16_000 and np.abs(heard - made_there).max() < 1e-4
    assert second.sha256 == hashlib.sha256((run.path / "outputs/p01_0/000.wav").read_bytes()).hexdigest()
    text = html(root)
    sounds = Tree(text).top.all("audio")
    assert len(sounds) == 3 and all(each.about["src"].startswith("data:audio/flac;base64,") for each in sounds)
    assert f"{numbers(3.0)['p01_0']:.3f}" in Tree(text).top.all("div", class_="clips")[1].text
    assert f"turned down by {first.turned_down_db:g} dB" in text
    before = {path: path.read_bytes() for path in (root / "examples").rglob("*") if path.is_file()}
    examples.write(str(run.path), runs, root)
    assert {path: path.read_bytes() for path in before} == before


class Listed:
    sha256 = MANIFEST
    samples = tuple(sample(name, who, noise="white", snr_db=0.0, text="bin blue") for name, who in PEOPLE.items())


def test_examples_are_of_published_runs_and_go_with_them(shown, monkeypatch):
    root, runs, run = shown
    monkeypatch.setattr("benchmark.datasets.manifest.read_manifest", lambda path, folder: Listed())
    run.write_document("run.json", json.dumps({"run_id": run.path.name, "manifest": "m", "root": "r"}))
    folder = examples.write(str(run.path), runs, root)
    board.build(root)
    assert folder.is_dir() and board.differences(root) == []
    for path in (root / "results").rglob("*.*"):
        path.unlink()
    publish(root, made(numbers(1.0), PEOPLE, "wiener"))
    with pytest.raises(SubmissionError, match="whose result is published"):
        examples.write(str(run.path), runs, root)
    assert any("about.json" in each for each in board.differences(root))
    board.build(root)
    assert not list((root / "examples").rglob("*.*")) and board.differences(root) == []


def test_example_files_are_what_they_should_be(shown, tmp_path):
    root, _, _ = shown
    (submission,) = everything(root)
    folder = root / examples.folder_of(submission)
    folder.mkdir(parents=True)
    (tmp_path / "secret.webp").write_bytes(b"secret")
    (folder / "link.webp").symlink_to(tmp_path / "secret.webp")
    (folder / "page.svg").write_text("<svg/>")
    (folder / "large.webp").write_bytes(bytes(examples.MOST + 1))
    for name in ("../../secret.webp", "link.webp", "page.svg", "large.webp", "none.webp"):
        with pytest.raises(SubmissionError, match="expected"):
            examples.content(submission, name, root)
    about = {"run_id": "x", "label": "x", "weights_sha256": None, "manifest_sha256": "", "command": "", "examples": []}
    for wrong, words in (
        (about, "expected examples of noisy"),
        (about | {"examples": [{}]}, "examples.0"),
        ([], "leaderboard examples"),
    ):
        (folder / examples.ABOUT).write_text(json.dumps(wrong))
        with pytest.raises(SubmissionError, match=words):
            examples.read(submission, root)


# -- figures -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawable(shown, monkeypatch) -> tuple[Path, Path, RunDirectory]:
    """One figure, which needs one run."""
    from benchmark.papers import figures as paper_figures
    from benchmark.papers.needs import Shelves
    from benchmark.results.finding import Kept

    _, _, run = shown
    need = paper_figures.RunNeeded("noisy", "av_enhancement")
    one = paper_figures.PaperFigure("flowavse", 4, "One <line>", "test_page:line", runs=(need,))
    monkeypatch.setattr(paper_figures, "FIGURES", {one.name: one, "flowavse/5": replace(one, number=5, unbuilt="x")})
    kept = Kept(run.path / "result.json", read_result(run.path / "result.json"))
    monkeypatch.setattr(Shelves, "find", lambda self, asked: kept)
    return shown


def line(material: Any) -> Any:
    from benchmark.papers.figures import Drawing

    return Drawing(3.5, 2.0, lambda canvas: canvas.add_subplot().plot([0, 1], [0, 1]), "What is <seen>.")


def test_figures_are_kept_of_published_runs_and_go_with_them(drawable):
    root, runs, run = drawable
    shutil.copytree(ROOT / "papers", root / "papers")
    done = CliRunner().invoke(app, ["leaderboard", "figures", "all", "--runs", str(runs), "--root", str(root)])
    assert done.exit_code == 0 and "cannot be drawn" in done.output
    ((figure, picture),) = figures.read(root)
    assert figure.runs == (run.path.name,) and picture[8:12] == b"WEBP"
    board.build(root)
    found = Tree((root / page.NAME).read_text()).top
    closed(found)
    (shown,) = found.all("details", class_="paper drawn")
    assert "Figure 4, drawn here: One <line>" in shown.text and "What is <seen>." in shown.text
    for path in (root / "results").rglob("*.*"):
        path.unlink()
    publish(root, made(numbers(1.0), PEOPLE, "wiener"))
    with pytest.raises(SubmissionError, match="expected published runs behind figure flowavse/4"):
        figures.write(["flowavse/4"], runs, root)
    assert any(each.startswith("figures/flowavse-4.webp") for each in board.differences(root))
    board.build(root)
    assert not list((root / "figures").iterdir()) and "drawn here" not in (root / page.NAME).read_text()


# -- in a browser ------------------------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if CHROMIUM is None:
        pytest.skip("needs a browser (Debian's package chromium)")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield found
        found.close()


@pytest.fixture
def opened(chromium) -> Iterator[Any]:
    """Opens a file; asserts at the end that there was neither an error nor a request that left it."""
    asked: list[str] = []
    wrong: list[str] = []
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda message: wrong.append(message.text))
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("dialog", lambda dialog: wrong.append(dialog.message) or dialog.dismiss())
    tab = context.new_page()

    def open_(path: Path, **size: int) -> Any:
        if size:
            tab.set_viewport_size(size)
        tab.goto(path.as_uri())
        return tab

    yield open_
    context.close()
    assert wrong == []
    assert asked and all(url.startswith(("file://", "data:")) for url in asked)


@pytest.fixture(scope="module")
def file(text, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(text)
    return path


def labels(tab: Any) -> list[str]:
    """Of the rows that are seen, from top to bottom."""
    return tab.locator(".scores tbody tr").evaluate_all(
        "rows => rows.filter(row => row.checkVisibility()).map(row => row.dataset.label)"
    )


def head(tab: Any, text: str) -> Any:
    return tab.locator(".scores thead th").filter(has_text=re.compile(text))


def test_a_browser_sorts(opened, file):
    tab = opened(file)
    best_first = ["fine", "wiener", HOSTILE, "noisy", "clean"]
    assert labels(tab) == best_first
    si_sdr = head(tab, "si_sdr")
    si_sdr.get_by_role("button").first.click()
    assert labels(tab) == best_first and si_sdr.get_attribute("aria-sort") == "descending"
    si_sdr.get_by_role("button").first.click()
    assert labels(tab) == [*best_first[3::-1], "clean"], "ceilings stay apart"
    assert si_sdr.get_attribute("aria-sort") == "ascending"
    assert tab.locator(".said").inner_text() == "sorted by si_sdr dB, worst first"
    for words in ("best", "worst"):
        head(tab, "^rank").get_by_role("button").click()
        assert tab.locator(".said").inner_text() == f"sorted by rank, {words} first"
        assert (labels(tab)[0] == "fine") == (words == "best")
    head(tab, "^method").get_by_role("button").click()
    assert labels(tab) == [HOSTILE, "fine", "noisy", "wiener", "clean"]
    assert tab.locator("[aria-sort]").count() == 1


def test_a_browser_filters_rows_and_columns(opened, file):
    tab = opened(file)
    tab.get_by_label("Find").fill("WIEN")
    assert labels(tab) == ["wiener"] and tab.locator(".said").inner_text() == "1 of 5 rows"
    tab.get_by_label("Find").fill("<script>")
    assert labels(tab) == [HOSTILE]
    tab.get_by_label("Find").fill("")
    tab.get_by_label("floors").uncheck()
    assert labels(tab) == ["fine", HOSTILE, "clean"]
    tab.get_by_label("ceilings").uncheck()
    assert labels(tab) == ["fine", HOSTILE]
    tab.get_by_text("columns (2 of 2)").click()
    tab.get_by_role("checkbox", name="pesq_wb").uncheck()
    assert not head(tab, "pesq_wb").is_visible() and head(tab, "si_sdr").is_visible()
    assert tab.locator(".scores tbody tr").first.locator("td:visible").count() == 3
    tab.get_by_role("button", name="all", exact=True).click()
    assert head(tab, "pesq_wb").is_visible()


def test_a_browser_explains_by_keyboard(opened, file):
    tab = opened(file)
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    seen = []
    for _ in range(60):
        tab.keyboard.press("Tab")
        seen.append(
            tab.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent")
        )
        if "What si_sdr" in seen[-1]:
            break
    assert "si_sdr dB" in seen[-2], "the head that sorts comes before its explanation"
    tab.keyboard.press("Enter")
    sheet = tab.locator(".sheet:popover-open")
    assert "Scale-invariant SDR" in sheet.inner_text() and "higher is better" in sheet.inner_text()
    tab.keyboard.press("Escape")
    assert sheet.count() == 0
    head(tab, "si_sdr").get_by_role("button").first.focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Space")
    assert head(tab, "si_sdr").get_attribute("aria-sort") == "ascending"


def test_a_browser_shows_hostile_names_as_text(opened, file):
    tab = opened(file)
    tab.get_by_role("button", name=HOSTILE).click()
    assert tab.locator(".sheet:popover-open h4").inner_text().strip() == HOSTILE
    assert tab.locator("script").count() == 1


def test_a_command_is_copied(opened, file):
    tab = opened(file)
    from playwright.sync_api import expect

    tab.get_by_role("button", name="fine").click()
    button = tab.locator(".sheet:popover-open .copy")
    button.click()
    # The clipboard answers when it likes.
    expect(button).to_have_text(re.compile("^(copied|selected)$"))


def test_light_and_dark(opened, file):
    tab = opened(file)
    tab.emulate_media(color_scheme="dark")

    def bright() -> float:
        return float(re.findall(r"\d+", tab.evaluate("getComputedStyle(document.body).backgroundColor"))[0])

    assert bright() < 60
    tab.locator("#theme").click()
    assert bright() > 200 and tab.locator("#theme").inner_text() == "dark"
    tab.reload()
    assert bright() > 200, "the choice is kept"


@pytest.mark.parametrize("width", [390, 1280])
def test_the_published_page_fits_the_window(opened, width):
    tab = opened(ROOT / page.NAME, width=width, height=844)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for frame in tab.locator(".board > .frame").all():
        frame.evaluate("frame => { frame.scrollLeft = 1e4 }")
        name = frame.locator("tbody th").first.bounding_box()
        assert 0 <= name["x"] < 40, "names stay where they are seen"
    bar = tab.locator(".top").bounding_box()
    for link in tab.locator(".top nav a").all():
        box = link.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, "the whole menu is seen"
        assert box["y"] + box["height"] <= bar["y"] + bar["height"]
    for line in tab.locator(".clips").all():
        tops = {round(each.bounding_box()["y"]) for each in line.locator("img").all()}
        rows = -(
            -line.locator("img").count() // len(line.evaluate("e => getComputedStyle(e).gridTemplateColumns").split())
        )
        assert len(tops) == rows, "spectrograms of a line stand side by side"
    if width == 1280:
        inner, outer = (frame.evaluate(f"frame => frame.{what}") for what in ("scrollWidth", "clientWidth"))
        assert inner <= outer, "columns are as many as fit"


def test_the_published_sounds_and_pictures_are_read(opened):
    tab = opened(ROOT / page.NAME)
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    seconds = tab.locator("audio").evaluate_all(
        """sounds => Promise.all(sounds.map(sound => new Promise(done => {
            sound.addEventListener("loadedmetadata", () => done(sound.duration));
            sound.addEventListener("error", () => done(-1));
            sound.preload = "metadata";
            sound.load();
        })))"""
    )
    assert seconds and min(seconds) > 0.5


def test_everything_is_there_without_a_script_and_on_paper(chromium, file):
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(file.as_uri())
    assert tab.locator(".scores tbody tr:visible").count() == 5 and tab.locator(".scores thead th:visible").count() == 5
    assert tab.locator(".controls:visible").count() == 0 and tab.locator(".sort button").count() == 0
    tab.get_by_role("button", name="What si_sdr").click()
    assert "Scale-invariant" in tab.locator(".sheet:popover-open").inner_text()
    tab.keyboard.press("Escape")
    tab.emulate_media(media="print")
    assert tab.get_by_text("python -m benchmark run --method flowavse", exact=True).first.is_visible()
    assert tab.locator("button:visible").count() == 5, "the names of rows, and no control"
    context.close()
