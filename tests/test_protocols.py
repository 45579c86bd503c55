"""The papers' protocols: all that they name is known here, what they state is the papers', and a run follows them."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from test_run import command, people  # noqa: F401

from benchmark import registry
from benchmark.datasets.places import VARIABLE, known_root
from benchmark.errors import InvalidConfig, MissingWeights, UnknownName, UsageError
from benchmark.papers import reported
from benchmark.papers.beside import fill
from benchmark.papers.figures import FIGURES
from benchmark.papers.making import Runner
from benchmark.preparation.steps import STEPS
from benchmark.protocols import book, telling
from benchmark.protocols.following import OPTIONS, Following, follow, on_this_machine
from benchmark.reports import fitted, tables
from benchmark.results.schema import FollowedProtocol
from benchmark.runs.session import Request
from benchmark.tasks import TASKS
from benchmark.weights.networks import NETWORKS

PRINTED = os.environ.get("FACEVOICE_PAPERS")
EVERY = book.names()
TABLES = [table for paper in reported.papers() for table in reported.load(paper).tables]


@pytest.fixture(autouse=True)
def no_corpora(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


# What the files hold


@pytest.mark.parametrize("name", EVERY)
def test_all_that_a_protocol_names_is_known_here(name):
    protocol = book.find(name)  # checks task, datasets, splits, numbers, lengths, enrolments
    assert protocol.task in TASKS and protocol.corpora and protocol.rules and protocol.place
    for corpus in protocol.corpora:
        adapter = registry.datasets.load(corpus.dataset)
        assert protocol.task in adapter.tasks and corpus.split in adapter.splits and corpus.place
    for judge in protocol.judges:
        assert judge.options and judge.place
        for option in judge.options:
            assert option.rpartition("=")[2].rpartition(" ")[2] in NETWORKS
    for rule in protocol.rules:
        assert rule.place or rule.paper == "not stated", rule.key
        # Each says what is done here: by an option, in words, or as a decision.
        assert rule.seconds or rule.repeats or rule.enrolment or rule.ours or rule.decided, rule.key


def test_every_table_of_results_has_its_protocol_and_shows_what_it_yields():
    of_tables = {table.name: table.protocol for table in TABLES}
    assert [name for name, protocol in of_tables.items() if protocol is None] == ["avp_gan/3", "sf2f/12"]
    for table in TABLES:
        if table.protocol is None:
            assert all(cell.reason for cell in table.cells()), "nothing is measured there"
            continue
        assert table.protocol.name == f"{table.paper}/table{table.number}"
        shown = {cell.number for cell in table.cells() if cell.column.number}
        shown |= {column.in_place for column in table.columns if column.in_place}
        shown = {number for number in shown if not number.endswith("_p")}  # with the number itself
        assert shown == set(table.protocol.numbers)
    named = {protocol.name for protocol in of_tables.values() if protocol}
    assert {name for name in EVERY if "/table" in name} == named
    assert {name.replace("figure", "") for name in EVERY if "/figure" in name} <= set(FIGURES)
    assert {"flowavse/figure4", "lipdiffuser/figure4"} <= set(EVERY)


def test_nothing_is_defined_that_no_protocol_uses():
    for key in book.books():
        known = book.load(key)
        text = tomllib.loads((book.FOLDER / f"{key}.toml").read_text(encoding="utf-8"))
        protocols = known.protocols.values()
        assert set(text["rules"]) == {rule.key for each in protocols for rule in each.rules}
        assert set(known.corpora) == {corpus.key for each in protocols for corpus in each.corpora}
        assert set(known.judges) == {judge.key for each in protocols for judge in each.judges}


@pytest.mark.parametrize(
    ("name", "setting", "of"),
    [
        ("sf2f/table3", "evaluation runs", ""),
        ("sf2f/table5", "evaluation runs", ""),
        ("sf2f/table8", "evaluation runs", ""),
        ("speech2face_ddpm/table2", "length of speech", ""),
        ("avp_gan/table4", "length of speech", ""),
    ],
)
def test_what_papers_state_of_settings_their_protocols_keep(name, setting, of):
    protocol = book.find(name)
    paper = reported.load(protocol.book)
    (value,) = [each.value for each in paper.settings if (each.name, each.of) == (setting, of)]
    assert value == (protocol.repeats if setting == "evaluation runs" else protocol.seconds[0])


@pytest.mark.parametrize("table", [table for table in TABLES if table.protocol], ids=lambda table: table.name)
def test_lengths_that_a_table_prints_are_its_protocols(table):
    """`5 sec`, `8 s`, or the middle of `1 - 1.5 sec`, by the printed labels of rows alone."""
    for row in table.rows:
        printed = re.search(r"(?:([\d.]+) - )?([\d.]+) s(?:ec)?$", row.label)
        if printed is None:
            continue
        ends = [float(end) for end in printed.groups() if end]
        kept = row.run.seconds if row.run.seconds is not None else table.protocol.seconds[0]
        assert kept in table.protocol.seconds
        assert kept == (ends[0] if len(ends) == 1 else sum(ends) / 2)


def test_sizes_of_splits_are_those_that_the_papers_state():
    for paper, corpus, setting in (
        ("sf2f", "hq_voxceleb", "people"),
        ("lipdiffuser", "lrs3_chime3", "test files"),
    ):
        (value,) = [each.value for each in reported.load(paper).settings if each.name == setting]
        known = book.load(paper).corpora[corpus]
        assert (known.speakers or known.samples) == (value[-1] if isinstance(value, tuple) else value)
    printed = reported.table("avp_gan", 3)
    (test,) = [row.values[0].value for row in printed.rows if row.label == "Test"]
    assert book.load("avp_gan").corpora["voxceleb1"].speakers == test == 189


@pytest.mark.parametrize("name", EVERY)
def test_what_a_method_sees_and_is_compared_with_is_said_of_every_protocol(name):
    """The crops, where the paper states them, and what `data prepare` makes them by."""
    crops = [rule for rule in book.find(name).rules if rule.key.startswith("crops")]
    assert crops
    for rule in crops:
        step, *preset = rule.prepare.split(" --preset ")
        assert preset and preset[0] in STEPS[step].presets
        text = telling.text(book.find(name))
        assert f"`python -m benchmark data prepare {rule.prepare}`" in text and (not rule.place or rule.place in text)


@pytest.mark.parametrize(
    ("name", "step", "words"),
    [
        ("flowavse/table1", {"size": 112}, "112 x 112"),
        ("lipdiffuser/table1", {"size": 96}, "88 x 88"),
        ("avp_gan/table4", {"size": 64}, "3 x 64 x 64"),
        ("speech2face_ddpm/table3", {"of_several": "refuse"}, "a single face"),
        ("sf2f/table3", {"background": "white"}, "white"),
    ],
)
def test_crops_are_those_of_the_paper(name, step, words):
    (rule,) = [rule for rule in book.find(name).rules if rule.key == "crops"]
    kind, _, preset = rule.prepare.partition(" --preset ")
    made = STEPS[kind].configured(preset)
    assert {key: getattr(made, key) for key in step} == step
    assert words in rule.paper
    if PRINTED:
        text = Path(PRINTED, f"{book.find(name).book}.md").read_text(encoding="utf-8")
        digits = re.compile(re.sub(r"\s*x\s*", r"\\W*(?:times)?\\W*", words))
        assert digits.search(text)


def test_true_faces_that_somebody_else_cuts_are_a_departure():
    own = plain("speech2face_ddpm/table2", dataset="avspeech").departures
    assert any("cut out by whoever fetched the clips" in line and "MediaPipe" in line for line in own)
    elsewhere = plain("speech2face_ddpm/table3").departures
    assert [line for line in elsewhere if "MediaPipe" in line] == [
        "true faces of this corpus as they are, where the paper has MediaPipe's crops of frames with a single face"
    ]


def test_both_lengths_that_avp_gan_states_of_its_comparison_keep_to_it():
    assert plain("avp_gan/figure8").options["seconds"] == 8
    for seconds, kept in ((6.0, True), (8.0, True), (4.0, False)):
        told = [line for line in plain("avp_gan/figure8", seconds=seconds).departures if "--seconds" in line]
        assert (told == []) is kept
    (rule,) = [rule for rule in book.find("avp_gan/figure8").rules if rule.seconds]
    assert rule.decided and "Sec. 4.2" in rule.place


def test_enrolments_and_snrs_are_those_of_the_paper():
    assert book.find("lipdiffuser/1").enrolments == book.find("lipdiffuser/2").enrolments == ("clean",)
    assert book.find("lipdiffuser/3").enrolments == ("clean", "other", "enhanced:deepfilternet", "noisy")
    (snrs,) = [each.value for each in reported.load("lipdiffuser").settings if each.name == "SNRs"]
    (rule,) = [
        rule
        for rule in book.find("lipdiffuser/figure4").rules
        if "SNR" in rule.ours + "".join(map(str, rule.elsewhere))
    ]
    assert set(map(int, re.findall(r"-?\d+(?=,| and| dB)", rule.paper))) == set(map(int, snrs))
    from benchmark.datasets.mixtures import LIP_SNRS_DB

    assert set(LIP_SNRS_DB) == set(snrs)


@pytest.mark.skipif(not PRINTED, reason="FACEVOICE_PAPERS is not set")
@pytest.mark.parametrize("name", EVERY)
def test_places_are_in_the_papers(name):
    """Sections, appendices, tables and figures that are named exist in the text."""
    protocol = book.find(name)
    text = Path(PRINTED or "", f"{protocol.book}.md").read_text(encoding="utf-8")
    places = [protocol.place, *(each.place for each in (*protocol.corpora, *protocol.judges, *protocol.rules))]
    for place in ", ".join(filter(None, places)).split(", "):
        for kind, number in re.findall(r"(Sec\.|App\.|Table|Fig\.) ([A-Z]?\.?\d*(?:\.\d+)*)", place):
            stated = {
                "Sec.": rf"(?m)^[#*\s]*{re.escape(number)}\.? ", "App.": rf"(?m)^#+ {re.escape(number)} ",
                "Table": rf"Table {number}\b", "Fig.": rf"(?:Figure|Fig\.) {number}\b",
            }[kind]  # fmt: skip
            assert re.search(stated, text), f"{name}: {place}"


# Following one


def plain(name: str, **given: object) -> Following:
    return follow(book.find(name), given)


def test_the_user_goes_before_the_protocol_and_that_before_the_default():
    """Of each option: what is filled in, what wins, and that it is told where it is not the protocol's."""
    default = {field.name: field.default for field in fields(Request) if field.name in OPTIONS}
    filled = plain("sf2f/table4").options
    assert (filled["seconds"], filled["repeats"]) == (1.25, 10) and default["seconds"] is default["repeats"] is None
    assert plain("lipdiffuser/table1").options["enrolment"] == "clean"
    assert "enrolment" not in filled and "metrics" not in filled, "a protocol fills what it has a say in"
    for given, told in (
        ({"seconds": 3.0}, "--seconds 3, where the protocol has 1.25 s or 0.75 s or 2.25 s or 4.5 s or 8 s"),
        ({"repeats": 2}, "--repeats 2, where the protocol has 10"),
        ({"split": "val"}, "--split val, where the protocol has test"),
        ({"limit": 5}, "--limit 5: the first samples alone"),
        ({"metrics": ("retrieval",)}, "not asked for: face_cosine, face_l1, vggface_score"),
    ):
        followed = plain("sf2f/table4", **given)
        assert told in followed.departures and told not in plain("sf2f/table4").departures
        assert all(followed.options[name] == value for name, value in given.items() if name != "limit")
    other = plain("lipdiffuser/table1", enrolment="other")
    assert "--enrolment other, where the protocol has clean" in other.departures
    with pytest.raises(UsageError, match="--task lip2speech: protocol sf2f/table3 is of speech2face"):
        plain("sf2f/table3", task="lip2speech")


def test_other_lengths_and_enrolments_of_a_protocol_keep_to_it():
    for seconds in (5.0, 1.25):
        assert plain("sf2f/table3", seconds=seconds).departures == plain("sf2f/table3").departures
    for enrolment in book.find("lipdiffuser/table3").enrolments:
        told = plain("lipdiffuser/table3", enrolment=enrolment).departures
        assert not any("where the protocol has" in line for line in told)
    assert plain("flowavse/table1", seconds=2.04).departures == plain("flowavse/table1").departures
    assert plain("flowavse/table1").options["seconds"] == 0, "whole recordings"


ENHANCER = "by what in the paper it does not say"
SIMILARITY, FIRST = "where the paper's text says the enrolment", "scores the first 2.04 s alone"


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("lipdiffuser/table3", {"dataset": "lrs3_chime3"}, set()),
        ("lipdiffuser/table3", {"dataset": "lrs3_chime3", "enrolment": "other"}, {SIMILARITY}),
        ("lipdiffuser/table3", {"dataset": "lrs3_chime3", "enrolment": "noisy"}, {SIMILARITY}),
        ("lipdiffuser/table3", {"enrolment": "enhanced:deepfilternet"}, {ENHANCER, SIMILARITY}),
        ("lipdiffuser/table3", {"enrolment": "enhanced:wiener"}, {SIMILARITY}),
        ("lipdiffuser/table3", {}, set()),
        ("lipdiffuser/table1", {"enrolment": "other"}, {SIMILARITY}),
        ("lipdiffuser/table1", {"dataset": "lrs3_chime3"}, set()),
        ("flowavse/table1", {"dataset": "lrs3"}, {FIRST}),
        ("flowavse/table1", {"dataset": "lrs3", "seconds": 5.0}, {FIRST}),
        ("flowavse/table1", {"dataset": "lrs3", "seconds": 2.04}, set()),
        ("flowavse/table2", {"dataset": "voxceleb2", "seconds": 2.04}, set()),
        ("speech2face_ddpm/table2", {}, {"5 s of speech", "on Talkers a judge"}),
        ("speech2face_ddpm/table2", {"dataset": "folder", "seconds": 6.0}, set()),
    ],
)
def test_what_hangs_on_an_option_is_told_where_that_is_taken_alone(name, given, told):
    text = "\n".join(plain(name, **given).departures)
    every = {ENHANCER, SIMILARITY, FIRST, "5 s of speech", "on Talkers a judge"}
    assert {words for words in every if words in text} == told


def test_nothing_is_missing_of_a_corpus_that_is_taken_whole():
    text = "\n".join(plain("lipdiffuser/table2", dataset="ntcd_timit").departures)
    assert "its files" not in text and "all noises" not in text


def test_a_length_of_other_corpora_is_taken_there_alone(tmp_path):
    assert plain("speech2face_ddpm/table2").options["seconds"] == 5
    assert "5 s of speech, where the paper takes up to 6 s" in plain("speech2face_ddpm/table2").departures
    own = plain("speech2face_ddpm/table2", data_root=tmp_path)
    assert own.options["seconds"] == 6 and own.options["dataset"] == "avspeech"
    assert not any("5 s" in line for line in own.departures)


def test_without_the_papers_corpus_talkers_takes_its_place_and_says_what_is_not_kept():
    followed = plain("sf2f/table3")
    assert (followed.options["dataset"], followed.options["split"]) == ("talkers", "test")
    assert followed.options["face_network"] == "dlib" and followed.options["metric_sets"] == ()
    told = "\n".join(followed.departures)
    for words in ("in place of HQ-VoxCeleb", "not by FaceNet", "not by the VGGFace classifier", "galleries of 100"):
        assert words in told
    note, networks = followed.notes
    assert "no hq_voxceleb is here" in note and "$FACEVOICE_BENCH_DATA/hq_voxceleb" in note
    assert "weights fetch facenet_vggface2" in networks
    assert plain("lipdiffuser/figure4").options["split"] == "test_snr"
    assert plain("lipdiffuser/table2").options["split"] == "test"


def test_with_the_papers_corpus_its_networks_are_asked_for(monkeypatch, tmp_path):
    (tmp_path / "hq_voxceleb").mkdir()
    by_folder = plain("sf2f/table3", data_root=tmp_path / "hq_voxceleb")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    by_variable = plain("sf2f/table3")
    assert known_root("hq_voxceleb") == tmp_path / "hq_voxceleb" and known_root("lrs3") is None
    assert by_folder.options == by_variable.options and by_folder.departures == by_variable.departures == ()
    assert by_folder.options["dataset"] == "hq_voxceleb" and by_folder.options["face_network"] == "facenet140"
    assert by_folder.options["metric_sets"] == ("classifier=vggface2_resnet50",)
    assert "on hq_voxceleb in" in by_folder.notes[0]
    # What the user names wins, also over the corpus that is here.
    assert plain("sf2f/table3", dataset="talkers").options["dataset"] == "talkers"
    named = plain("sf2f/table3", face_network="dlib", metric_sets=["classifier=face_heads", "splits=3"])
    assert named.options["face_network"] == "dlib"
    assert named.options["metric_sets"] == ("classifier=face_heads", "splits=3")
    assert any(line.endswith("recall_at_10: by dlib, not by FaceNet") for line in named.departures)
    assert any("vggface_score: by classifier=face_heads, not by" in line for line in named.departures)
    default = follow(book.find("sf2f/table3"), {}, default_networks=True)
    assert default.options["face_network"] == "dlib" and default.options["metric_sets"] == ()
    assert any("dlib's descriptor" in line for line in default.departures)
    # A protocol of two corpora takes the first that is here, and names the other.
    (tmp_path / "lrs3").mkdir()
    assert plain("flowavse/table1").options["dataset"] == "lrs3"
    assert "--dataset voxceleb2 takes the other corpus" in plain("flowavse/table1").notes[0]
    (tmp_path / "voxceleb2").mkdir()
    assert plain("flowavse/table1").options["dataset"] == "voxceleb2"


def test_a_network_that_is_not_here_stops_a_run_on_the_papers_corpus_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "empty"))
    own = plain("sf2f/table3", data_root=tmp_path)
    with pytest.raises(MissingWeights) as told:
        on_this_machine(own)
    for words in ("facenet_vggface2", "vggface2_resnet50", "weights fetch", "--default-networks"):
        assert words in str(told.value)
    assert str(told.value).count("weights fetch facenet_vggface2") == 1, "one reason, said once"
    for free in (plain("sf2f/table3"), follow(own.protocol, {"data_root": tmp_path}, default_networks=True)):
        assert on_this_machine(free) == free


def test_elsewhere_a_number_that_lacks_its_network_is_left_out_and_that_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "empty"))
    followed = on_this_machine(plain("lipdiffuser/table1"))
    assert set(followed.options["metrics"]) == {"dnsmos", "lps", "wer_by_clip", "speaker_similarity"}
    (left,) = followed.left_out
    assert left.startswith("nisqa_mos: not measured: ") and left in followed.departures
    # Those that the user names are his own affair.
    asked = plain("lipdiffuser/table1", metrics=("nisqa",))
    assert on_this_machine(asked).options["metrics"] == ("nisqa",)


# A table's rows are runs by its protocol


@pytest.mark.parametrize("table", [table for table in TABLES if table.protocol], ids=lambda table: table.name)
@pytest.mark.parametrize("own", [False, True], ids=["talkers", "own"])
def test_a_table_runs_its_rows_exactly_as_run_does_by_the_protocol(table, own, monkeypatch, tmp_path):
    """The request of `table --run` against that of `run --protocol` with the row's method, settings and length."""
    monkeypatch.setattr("benchmark.protocols.following.on_this_machine", lambda following, lenient=False: following)
    asked: list[Request] = []

    class Told:
        notes = ()
        unwritten = ()

        def __init__(self, request, say, progress):
            asked.append(request)

        def plans(self):
            return []

        def run(self, plans):
            return []

    monkeypatch.setattr("benchmark.runs.session.Session", Told)
    dataset = table.corpus.dataset if own else "talkers"
    given = {"dataset": dataset, **({"data_root": tmp_path} if own else {})}
    needs = fill(table, [], dataset=dataset).missing
    if own:  # weights of the papers' sizes are nobody's
        monkeypatch.setattr("benchmark.papers.needs.RunNeeded.lacking", "")
    needs = [need for need in needs if not need.lacking]
    Runner(tmp_path, data_root=tmp_path if own else None).run(needs)
    assert len(asked) == len(needs)
    rows = {row.label: row for row in table.rows}
    for need, request in zip(needs, asked, strict=True):
        row = rows[need.label]
        if own and need.own is False:  # a row of another corpus than the others
            continue
        words = dict(given)
        words |= {"seconds": row.run.seconds} if row.run.seconds is not None else {}
        words |= {"enrolment": row.run.enrolment} if row.run.enrolment else {}
        following = follow(table.protocol, words, default_networks=not own)
        expected = {"task": need.task, **following.options}
        for name in OPTIONS:
            if name == "enrolment" and request.enrolment is None:
                continue
            default = next(field.default for field in fields(Request) if field.name == name)
            assert getattr(request, name) == expected.get(name, default), (table.name, row.label, name)
        assert request.followed is not None and request.followed.name == table.protocol.name
        assert request.method == row.run.method and not request.references


def test_a_table_that_is_run_takes_the_papers_corpus_where_it_is_at_hand():
    three = reported.table("sf2f", 3)
    assert {section.dataset for section in fill(three, []).sections} == {"talkers"}, "no folder decides what is shown"
    at_hand = fill(three, [], at_hand={"hq_voxceleb"})
    assert {section.dataset for section in at_hand.sections} == {"hq_voxceleb"}
    assert {need.protocol for need in at_hand.missing} == {"sf2f/table3"}


# Files of the user's


OWN = """
[rules.lengths]
about = "length"
paper = "3 s"
seconds = 3

[mine]
title = "my evaluation"
task = "speech2face"
numbers = ["face_cosine"]
rules = ["lengths"]
"""


JUDGE = "[judges.j]\nname = 'x'\nnumbers = ['face_cosine']\noptions = ['OPTION']\nin_place = 'y'\n[mine]"


def own(folder: Path, text: str = OWN) -> str:
    (folder / "my.toml").write_text(text, encoding="utf-8")
    return str(folder / "my.toml")


def test_a_file_of_the_users_is_a_protocol_too(tmp_path):
    name = own(tmp_path)
    for asked in (name, f"{name}/mine"):
        protocol = book.find(asked)
        assert protocol.name == "my.toml/mine" and protocol.seconds == (3.0,)
        followed = follow(protocol, {})
        assert (followed.options["dataset"], followed.options["seconds"]) == ("talkers", 3.0)
        assert followed.departures == ()
    with pytest.raises(UsageError, match="say with --dataset, too"):
        follow(book.find(name), {"data_root": tmp_path})
    two = own(tmp_path, OWN + OWN[OWN.index("[mine]") :].replace("mine", "yours"))
    with pytest.raises(UsageError, match=r"holds several; name one: .*my.toml/mine, .*my.toml/yours"):
        book.find(two)
    with pytest.raises(UnknownName, match="Did you mean 'my.toml/yours'"):
        book.find(f"{two}/your")
    with pytest.raises(UsageError, match="nowhere.toml cannot be read"):
        book.find(str(tmp_path / "nowhere.toml"))


def test_remarks_of_a_users_file_hang_on_options_and_say_so(tmp_path):
    remarks = """differs = ["a", { text = "b", where = ["--seconds 3.0", "--seconds 4"] }]
elsewhere = { text = "c", unless = "--dataset talkers" }
seconds = 3"""
    protocol = book.find(own(tmp_path, OWN.replace("seconds = 3", remarks)))
    assert follow(protocol, {}).departures == ("a", "b")
    assert [line[0] for line in follow(protocol, {"seconds": 4.0}).departures] == ["-", "a", "b"]
    assert follow(protocol, {"seconds": 5.0, "dataset": "folder"}).departures[1:] == ("a", "c")
    shown = telling.text(protocol)
    assert "not the same: a; b (with --seconds 3.0 or --seconds 4)" in shown
    assert "on another corpus: c (not with --dataset talkers)" in shown


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("task = ", "tusk = ", "my.toml, mine: unknown key 'tusk'. Did you mean 'task'?"),
        ("title = 'my evaluation'\n", "", "my.toml, mine: lacks 'title'"),
        ("[mine]", "[mine", "my.toml is not TOML"),
        ("'speech2face'", "'speech2faces'", "mine: unknown task 'speech2faces'. Did you mean 'speech2face'?"),
        ("'face_cosine'", "'face_cosin'", "mine: Unknown metric 'face_cosin'. Did you mean 'face_cosine'?"),
        ("'face_cosine'", "'pesq_wb'", "mine: number 'pesq_wb' is of speech, not of speech2face"),
        ("['face_cosine']", "[]", "my.toml, mine: expected 'numbers', got none"),
        ("['lengths']", "['length']", "my.toml, mine: unknown rule 'length'. Did you mean 'lengths'?"),
        ("seconds = 3", "seconds = 'three'", "my.toml, rules.lengths: seconds = 'three' (str); expected float"),
        ("seconds = 3", "seconds = -3", "mine: --seconds -3.0: expected 0.1 to 3600"),
        ("seconds = 3", "repeats = 0", "mine: --repeats 0: expected 1 to 1000"),
        ("seconds = 3", "enrolment = 'clean'", "mine: --enrolment clean: speech2face is not told whose voice to give"),
        ("seconds = 3", "key = 'x'", "my.toml, rules.lengths: unknown key 'key'"),
        ("paper = '3 s'\n", "", "my.toml, rules.lengths: lacks 'paper'"),
        (
            "seconds = 3",
            "differs = { text = 'x', where = '--repeats 3' }",
            "rules.lengths: differs: expected --dataset or --seconds or --enrolment with a value, got '--repeats 3'",
        ),
        ("seconds = 3", "prepare = 'face'", "mine: Unknown step 'face'. Did you mean 'faces'?"),
        ("seconds = 3", "prepare = 'faces --preset sf2'", "mine: Unknown preset 'sf2'."),
        ("seconds = 3", "prepare = 'faces -p x'", "mine: prepare = 'faces -p x': expected a step, or one with"),
        ("seconds = 3", "differs = { txt = 'x' }", "rules.lengths: differs: unknown key 'txt'. Did you mean 'text'?"),
        ("seconds = 3", "differs = 3", "rules.lengths: differs: expected a table, got 3"),
        (
            "seconds = 3",
            "elsewhere = { text = 'x', unless = '--seconds three' }",
            "mine: --seconds three: expected seconds",
        ),
        (
            "seconds = 3",
            "elsewhere = { text = 'x', where = '--dataset talkrs' }",
            "mine: Unknown dataset 'talkrs'. Did you mean 'talkers'?",
        ),
        ("[rules.lengths]", "[[rules]]", "my.toml: expected [rules.KEY], got ["),
        ("[mine]", "[corpora.c]\nname = 'x'\n[mine]", "corpora.c: expected either 'dataset' or 'reason'"),
        ("numbers", "corpora = ['c']\nnumbers", "my.toml, mine: unknown corpus 'c'. The file defines: none"),
        (
            "[mine]",
            "[corpora.c]\nname = 'x'\ndataset = 'hq_voxcelb'\n[mine]\ncorpora = ['c']",
            "mine: Unknown dataset 'hq_voxcelb'. Did you mean 'hq_voxceleb'?",
        ),
        (
            "[mine]",
            "[corpora.c]\nname = 'x'\ndataset = 'hq_voxceleb'\nsplit = 'tset'\n[mine]\ncorpora = ['c']",
            "mine: Dataset 'hq_voxceleb' has no split 'tset'",
        ),
        (
            "[mine]",
            JUDGE.replace("OPTION", "--face-net x"),
            "my.toml, judges.j: expected options '--face-network NAME' or '--metric-set KEY=VALUE', got '--face-net x'",
        ),
        (
            "[mine]",
            JUDGE.replace("OPTION", "--face-network facenet14"),
            "judge 'j': unknown network 'facenet14'. Did you mean 'facenet140'?",
        ),
        (
            "[mine]",
            JUDGE.replace("OPTION", "--metric-set clasifier=x"),
            "--metric-set clasifier=x: expected KEY=VALUE",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path, old, new, said):
    old, new = old.replace("'", '"'), new.replace("'", '"')
    assert OWN.count(old) >= 1
    with pytest.raises((InvalidConfig, UnknownName)) as caught:
        book.find(own(tmp_path, OWN.replace(old, new, 1)))
    assert said in str(caught.value)
    assert "my.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sf2f/tabel3", "Did you mean 'sf2f/table3'?"),
        ("sf2f/6", "sf2f has: table2, table3"),
        ("sf2/table3", "Did you mean 'sf2f/table3'?"),
        ("ddpm/table2", "Did you mean 'speech2face_ddpm/table2'?"),
        ("sf2f", "name one of its evaluations: sf2f/table2, sf2f/table3"),
    ],
)
def test_an_unknown_protocol_is_refused_with_the_nearest(name, said):
    with pytest.raises(UnknownName, match=re.escape(said)):
        book.find(name)
    assert book.find("sf2f/3") == book.find("sf2f/table3")


# The command line


def test_protocols_are_listed_and_shown_with_what_differs():
    listed = json.loads(command("list", "protocols", "--json").stdout)
    assert [item["protocol"] for item in listed] == list(EVERY)
    text = command("show", "sf2f/table3").stdout
    for words in (
        "10 random pieces",
        "App. E.2",
        "--repeats 10",
        "--face-network facenet140",
        "the last 78 are in none",
    ):
        assert words in text
    shown = json.loads(command("show", "lipdiffuser/3", "--json").stdout)
    assert shown["name"] == "lipdiffuser/table3" and shown["kind"] == "protocol"
    assert any(part["about"] == "enrolment" for part in shown["parts"])
    assert "Did you mean 'sf2f/table3'" in command("show", "sf2f/tabel3", code=2).stderr
    for name in EVERY:
        for part in telling.parts(book.find(name)):
            assert part.about and part.paper and (part.here or part.decided)


def hq_voxceleb(root: Path, people: Path) -> Path:  # noqa: F811
    """The published layout with three people, whose rows of the table are of the test split."""
    base = root / "hq_voxceleb" / "VoxCeleb"
    lines = ["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"]
    lines += [f"id1{row:04d}\tPerson_{row:02d}\tm\tX\tdev" for row in range(30)]
    for row, person in zip((8, 18, 28), sorted(path for path in people.iterdir() if path.is_dir()), strict=True):
        voice, face = base / f"raw_wav/vox1/dev/id1{row:04d}/clip", base / f"vox1/masked_faces/Person_{row:02d}"
        for place, suffix in ((voice, ".flac"), (face, ".png")):
            place.mkdir(parents=True)
            for path in person.glob(f"*{suffix}"):
                shutil.copy(path, place)
    (base / "vox1" / "vox1_meta.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def test_a_run_takes_the_real_corpus_where_it_is_here_and_its_record_says_what_was_not_kept(
    people,  # noqa: F811
    monkeypatch,
    tmp_path,
):
    words = ["run", "-m", "sf2f", "--protocol", "sf2f/table3", "--runs", tmp_path / "runs", "--workers", 0]
    words += ["--no-references"]
    monkeypatch.setenv(VARIABLE, str(hq_voxceleb(tmp_path, people)))
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    for more in ((), ("--dry-run",)):
        stopped = command(*words, *more, code=2).stderr
        assert "facenet_vggface2" in stopped and "--default-networks" in stopped and not (tmp_path / "runs").exists()
    words += ["--default-networks"]
    (planned,) = json.loads(command(*words, "--dry-run").stdout)
    assert planned["spec"]["dataset"] == "hq_voxceleb" and planned["spec"]["repeats"] == 10
    assert (planned["protocol"]["options"]["face_network"], planned["protocol"]["options"]["seconds"]) == ("dlib", 5)
    words += ["--repeats", 2]
    done = command(*words)
    assert "on hq_voxceleb in" in done.stderr
    head = done.stdout[: done.stdout.index("value")]
    assert "Protocol sf2f/table3; not as the paper:" in head
    assert "- --repeats 2, where the protocol has 10" in head and "not by FaceNet" in head
    (folder,) = (tmp_path / "runs").iterdir()
    kept, made = (json.loads((folder / name).read_text()) for name in ("run.json", "result.json"))
    assert kept["protocol"] == made["protocol"] and made["protocol"]["name"] == "sf2f/table3"
    assert str(tmp_path) not in json.dumps(made["protocol"]), "published results tell nobody's folders"
    assert "3 speakers, where the paper has 378" in made["protocol"]["departures"]
    assert "--repeats 2, where the protocol has 10" in made["protocol"]["departures"]
    assert "Protocol sf2f/table3" in (folder / "report" / "table.md").read_text(encoding="utf-8")
    assert "Protocol sf2f/table3" in command("show", folder).stdout
    # Without the protocol it is the same run: outputs are kept, and the record is that of the last command.
    plain = ["run", "-m", "sf2f", "--dataset", "hq_voxceleb", *words[5:], "--json"]
    plain.remove("--default-networks")
    (again,) = json.loads(command(*plain).stdout)
    assert again["run_id"] == made["run_id"] == folder.name and again["protocol"] is None
    assert again["aggregates"] == made["aggregates"]


def test_departures_stand_in_the_heads_of_every_table():
    from test_paper_tables import kept

    (three,) = [table for table in TABLES if table.name == "sf2f/3"]
    found = kept(three, "SF2F, 5 sec", recall_at_10=0.5).result
    assert fitted.heading(found) == [fitted.caption(found)], "older results, and those of no protocol, are as they were"
    departed = FollowedProtocol(name="sf2f/table3", options={}, departures=["a <b>", "c"])
    told = found.model_copy(update={"protocol": departed})
    assert fitted.heading(told)[1:] == ["Protocol sf2f/table3; not as the paper:", "- a <b>", "- c"]
    whole = found.model_copy(update={"protocol": departed.model_copy(update={"departures": []})})
    assert fitted.heading(whole)[1:] == ["Protocol sf2f/table3, kept in full"]
    text = tables.markdown([told], ("recall_at_10",))
    assert text.startswith("Protocol sf2f/table3; not as the paper:\n\n- a ") and "<b>" not in text
    assert tables.markdown([found], ("recall_at_10",)).startswith("| method")
