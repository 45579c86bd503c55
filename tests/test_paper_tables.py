"""A paper's table beside measured numbers: each in its place, of its own definition, or with the reason why not."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import kendalltau
from test_advice import check
from test_run import command, people  # noqa: F401
from test_tables import HOSTILE
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.cli.table import show_page
from benchmark.errors import MissingDataset, UnknownName, UsageError
from benchmark.papers import needs, tables
from benchmark.papers.beside import Filled, Line, fill, named, needed
from benchmark.papers.making import Runner
from benchmark.papers.reported import Table, table
from benchmark.results.finding import Kept
from benchmark.results.schema import Aggregate, Failures, Result, RunSpec
from benchmark.runs.evaluation import plan_method, protocol_for
from benchmark.runs.speed import count_parameters
from benchmark.tasks import get_task
from benchmark.weights.table import parameters

DLIB = "embed:dlib-resnet-v1|gallery:100x1|v1"
FACENET = "embed:facenet-vggface2-20180402|crop:box140|gallery:100x3|v1"
EVERY = named("all")


def kept(of: Table, label: str, dataset: str = "talkers", signature: str = DLIB, spec=(), about=(), **numbers) -> Kept:
    """A result of the run that a row wants, with `number=value` and intervals of 1 % of it to each side.

    Args:
        spec, about: what is otherwise in its spec, and in itself.
    """
    cells = [cell for cell in of.cells() if cell.row.label == label and not cell.reason]
    own = [cell for cell in cells if cell.corpus and cell.corpus.dataset == dataset]
    run = needed(own or cells, dataset)
    task = get_task(run.task)
    protocol = protocol_for(run.plan.kind, task, run.seconds, enrolment=run.enrolment or None)
    made = RunSpec(
        task=task.name, task_version=task.version, method=run.method, config=run.config,
        weights_sha256=run.plan.weights_sha256 or ("ab" * 32 if run.lacking else None), dataset=dataset,
        dataset_revision="1", split="test", manifest_sha256="m", seconds=protocol.seconds, repeats=protocol.repeats,
        seed=0, enrolment=protocol.enrolment,
    ).model_copy(update=dict(spec))  # fmt: skip
    items = [
        Aggregate(
            name=name, title=name, metric=name, value=value, low=None if value is None else value - abs(value) / 100,
            high=None if value is None else value + abs(value) / 100, spread=0.001, scored=10, total=10,
            reasons={"undefined: infinite": 10} if value is None else {}, signature=signature, higher_is_better=True,
        )
        for name, value in numbers.items()
    ]  # fmt: skip
    result = Result(
        run_id=made.run_id(), label=made.method, spec=made, partial=False, samples=100, speakers=100, aggregates=items,
        failures=Failures(), generation_seconds=1.0, provenance={},
    )  # fmt: skip
    return Kept(Path(f"{label}.json"), result.model_copy(update=dict(about)))


def at(filled: Filled, label: str, head: str = "R@10") -> Line:
    found = [
        line
        for section in filled.sections
        if section.column.head == head
        for line in section.lines
        if line.cell.row.label == label
    ]
    assert len(found) == 1
    return found[0]


def test_a_measured_number_stands_beside_the_row_whose_run_it_is_and_nowhere_else():
    three = table("sf2f", 3)
    for label in ("voice2face, 1.25 sec", "SF2F (no fuser), 1.25 sec", "SF2F (no fuser), 5 sec", "SF2F, 5 sec"):
        filled = fill(three, [kept(three, label, recall_at_10=0.5)])
        have = {line.cell.row.label for line in filled.lines if line.value is not None}
        assert have == {label}
        assert at(filled, label).value == 50 and at(filled, label).low == pytest.approx(49.5)
        assert at(filled, "random").reason == "not measured yet"


def test_a_small_p_value_is_printed_as_the_paper_prints_it():
    three = table("speech2face_ddpm", 3)
    made = kept(three, "Jaw width", craniofacial_jaw_width=0.6, craniofacial_jaw_width_p=0.0)
    (section,) = [each for each in fill(three, [made]).sections if each.column.head == "p-value"]
    (line,) = [line for line in section.lines if line.cell.row.label == "Jaw width"]
    assert line.value == 0 and section.value(line) == "< 0.001"


@pytest.mark.parametrize(
    "changed",
    [
        {"seconds": 4.0}, {"seconds": None}, {"dataset": "folder"}, {"split": "val"}, {"task_version": 99},
        {"method": "voice2face"}, {"config": {}}, {"weights_sha256": "cd" * 32}, {"weights_sha256": None},
    ],
)  # fmt: skip
def test_a_result_of_other_settings_data_or_weights_is_not_taken(changed):
    three = table("sf2f", 3)
    filled = fill(three, [kept(three, "SF2F, 5 sec", spec=changed, recall_at_10=0.5)])
    assert all(line.value is None for line in filled.lines)


@pytest.mark.parametrize("about", [{"partial": True}, {"changed": 3}, {"sources": ["a", "b"]}])
def test_a_result_that_cannot_be_ranked_is_not_taken_and_the_reason_says_so(about):
    three = table("sf2f", 3)
    filled = fill(three, [kept(three, "SF2F, 5 sec", about=about, recall_at_10=0.5)])
    line = at(filled, "SF2F, 5 sec")
    assert line.value is None and "cannot be ranked" in line.reason


def test_the_difference_is_taken_where_the_definition_is_the_papers_and_only_there():
    three = table("sf2f", 3)
    other = at(fill(three, [kept(three, "SF2F, 5 sec", recall_at_10=0.5)]), "SF2F, 5 sec")
    assert (other.same, other.difference) == (False, None)
    same = at(fill(three, [kept(three, "SF2F, 5 sec", signature=FACENET, recall_at_10=0.5)]), "SF2F, 5 sec")
    assert same.same and same.difference == pytest.approx(50 - 36.65)
    told = tables.page(fill(three, [kept(three, "SF2F, 5 sec", recall_at_10=0.5)]))
    assert any("another definition" in note and "--face-network facenet140" in note for note in told.notes)


def test_numbers_of_two_definitions_never_share_a_column():
    three = table("sf2f", 3)
    results = [
        kept(three, "SF2F, 5 sec", signature=FACENET, recall_at_10=0.5),
        kept(three, "voice2face, 5 sec", recall_at_10=0.4),
        kept(three, "random", recall_at_10=0.1),
    ]
    filled = fill(three, results)
    assert at(filled, "SF2F, 5 sec").value == 50  # the paper's definition goes before the more frequent one
    assert at(filled, "random").value is None and DLIB in at(filled, "random").reason
    assert at(fill(three, results[1:]), "random").value == pytest.approx(10)


def test_lps_is_counted_in_characters_where_its_network_spells_and_in_phones_elsewhere():
    """The published script joins the spelling of the phones and counts code points."""
    one = table("lipdiffuser", 1)
    spells = "phones:wav2vec2-0123456789ab,transformers5.1,greedy|fs:16000|resample:soxr-hq|ref:clean-signal|unit:{}|v1"
    carried = "phones:sphinx_allphone-pocketsphinx5.1.1|fs:16000|ref:clean-signal|unit:arpabet|v1"
    theirs = kept(one, "Noisy", "lrs3_chime3", spells.format("char"), lps_char=0.2)
    theirs.result.aggregates.append(theirs.result.aggregates[0].model_copy(
        update={"name": "lps", "value": 0.4, "signature": spells.format("ipa")}
    ))  # fmt: skip
    line = at(fill(one, [theirs]), "Noisy", "LPS")
    assert line.value == 0.2 and line.same and line.difference == pytest.approx(0.2 - 0.11)
    filled = fill(one, [kept(one, "Noisy", signature=carried, lps=0.3)])
    line = at(filled, "Noisy", "LPS")
    assert line.value == 0.3 and not line.same and line.difference is None
    assert {record["number"] for record in tables.records(filled) if record["measured"]} == {"lps"}
    assert any("counts the characters" in note for note in tables.page(filled).notes)
    for name in ("lps", "lps_char"):
        assert len(fill(one, [], columns=[name]).sections) == 1
    # phones of the network that spells are no number of the paper's either
    alone = kept(one, "Noisy", "lrs3_chime3", spells.format("ipa"), lps=0.4)
    assert not at(fill(one, [alone]), "Noisy", "LPS").same


def test_data_that_changed_never_share_a_column():
    three = table("sf2f", 3)
    labels = ("random", "voice2face, 5 sec", "SF2F, 5 sec")
    results = [kept(three, label, recall_at_10=0.5) for label in labels]
    old = kept(three, labels[2], spec={"manifest_sha256": "old" * 5}, recall_at_10=0.9)
    line = at(fill(three, [old, *results[:2]]), labels[2])
    assert line.value is None and "other data" in line.reason and "oldoldoldold" in line.reason
    assert at(fill(three, [old, *results]), labels[2]).value == 50


def test_a_number_without_value_says_why():
    one = table("flowavse", 1)
    line = at(fill(one, [kept(one, "Ours (Small), 1", rtf=None)]), "Ours (Small), 1", "RTF")
    assert line.value is None and line.reason == "undefined: infinite"


def test_percentages_are_scaled_and_parts_of_one_are_not():
    one = table("lipdiffuser", 1)
    assert at(fill(one, [kept(one, "Noisy", wer_by_clip=0.6)]), "Noisy", "WER").value == 0.6


def test_deviations_stand_as_the_paper_prints_them_where_they_are_over_outputs_too():
    """Of a corpus rate, and of a result that does not know its own, there is none; that over parts is another thing."""
    one = table("lipdiffuser", 1)
    noisy = kept(one, "Noisy", dnsmos_p808=2.1, wer_by_clip=0.6)
    noisy.result.aggregates[0].sd = 0.1449
    filled = fill(one, [noisy])
    shown = {section.head: section.value(at(filled, "Noisy", section.column.head)) for section in filled.sections}
    assert shown["DNSMOS ↑"] == "2.10 ± 0.14" and shown["WER ↓"] == "0.60" and shown["NISQA ↑"] == "-"
    record = next(r for r in tables.records(filled) if (r["row"], r["column"]) == ("Noisy", "DNSMOS"))
    assert (record["spread"], record["reported_spread"]) == (0.1449, 0.14)
    told = " ".join(tables.page(filled).remarks)
    assert "± of measured numbers: the same of their outputs" in told
    of_runs = fill(table("sf2f", 3), [kept(table("sf2f", 3), "SF2F, 5 sec", recall_at_10=0.5)])
    (recall,) = [record for record in tables.records(of_runs) if record["measured"] is not None]
    assert recall["spread"] == pytest.approx(0.1)  # of evaluation runs, per cent
    assert "± of measured" not in " ".join(tables.page(of_runs).remarks)


def test_whose_voice_is_given_tells_the_rows_of_a_method_apart():
    """Rows of LipDiffuser's Table 3 are runs that differ by the enrolment alone; who hears none has no such setting."""
    three, one = table("lipdiffuser", 3), table("lipdiffuser", 1)
    enrolments = {
        "Same utterance": "clean", "Other utterance": "other",
        "Enhanced utterance (-10dB)": "enhanced:deepfilternet", "Noisy utterance (-10dB)": "noisy",
    }  # fmt: skip
    assert [row.label for row in three.rows] == list(enrolments)
    for label, enrolment in enrolments.items():
        result = kept(three, label, spec={"enrolment": enrolment}, dnsmos_p808=3.0)
        filled = fill(three, [result])
        assert {line.cell.row.label for line in filled.lines if line.value is not None} == {label}
        (run,) = at(filled, label, "WER").need.commands()[-1:]
        said = "" if enrolment == "other" else f" --enrolment {enrolment}"  # the task's own needs no word
        assert re.search(r" --enrolment \S+", run + " --enrolment none")[0] == (said or " --enrolment none")
        in_one = at(fill(one, [result]), "Lip-to-Speech, LipDiffuser (ours), V+E", "DNSMOS")
        assert (in_one.value is not None) == (enrolment == "clean")
    noisy = fill(one, [kept(one, "Noisy", dnsmos_p808=2.0)])
    assert at(noisy, "Noisy", "DNSMOS").value == 2.0
    wrong = fill(one, [kept(one, "Noisy", spec={"enrolment": "clean"}, dnsmos_p808=2.0)])
    assert at(wrong, "Noisy", "DNSMOS").value is None


def test_the_dataset_is_the_papers_where_it_is_measured_talkers_else_and_said():
    three = table("sf2f", 3)
    on_talkers, on_own = (kept(three, "SF2F, 5 sec", place, recall_at_10=0.5) for place in ("talkers", "hq_voxceleb"))
    assert on_own.result.spec.config != on_talkers.result.spec.config, "the paper's size belongs to the paper's data"
    for results, dataset, expected in (
        ([on_talkers], None, "talkers"),
        ([on_talkers, on_own], None, "hq_voxceleb"),
        ([on_talkers, on_own], "talkers", "talkers"),
        ([on_talkers], "hq_voxceleb", "hq_voxceleb"),
    ):
        filled = fill(three, results, dataset=dataset)
        (section,) = [section for section in filled.sections if section.column.head == "R@10"]
        assert section.dataset == expected
        (block,) = [b for b in tables.page(filled).blocks if any("R@10" in head for head, _ in b.parts)]
        assert "HQ-VoxCeleb" in block.of[0] and expected in block.of[1]
    with pytest.raises(UnknownName, match="Did you mean 'talkers'"):
        fill(three, [], dataset="talker")
    filled = fill(three, [], dataset="lrs3")
    assert "does not serve task 'speech2face'" in at(filled, "SF2F, 5 sec").reason


def test_published_numbers_stand_where_the_user_has_none_and_the_table_says_which_they_are():
    three = table("sf2f", 3)
    labels = ("random", "voice2face, 5 sec", "SF2F, 5 sec")
    published = [replace(kept(three, label, recall_at_10=0.5), published=True) for label in labels]
    own = kept(three, "SF2F, 5 sec", recall_at_10=0.9)

    def told(results: list[Kept]) -> tuple[dict[str, float], tables.Page]:
        filled = fill(three, results, columns=["R@10"])
        return {label: at(filled, label).value for label in labels}, tables.page(filled)

    values, page = told(published)
    assert set(values.values()) == {50.0} and tables.PUBLISHED not in page.notes
    assert any("All measured numbers are published" in line for line in page.remarks)
    values, page = told([own, *published])
    assert values == {**dict.fromkeys(labels, 50.0), "SF2F, 5 sec": 90.0}
    mark = f"[{1 + page.notes.index(tables.PUBLISHED)}]"
    measured = {row[0].partition(" [")[0]: row[2] for block in page.blocks for _, rows in block.parts for row in rows}
    assert [mark in measured[label] for label in labels] == [True, True, False]
    assert not any("published" in line for line in page.remarks)
    _, page = told([own])
    assert not any("published" in line for line in (*page.notes, *page.remarks))


def test_columns_of_two_corpora_stand_in_two_tables():
    blocks = tables.page(fill(table("flowavse", 1), [])).blocks
    assert ["VoxCeleb2" in block.of[0] for block in blocks] == [True, False]
    assert "LRS3" in blocks[1].of[0] and len(blocks[1].parts) == 3


def test_tau_is_of_the_rows_that_are_reported_and_measured():
    three = table("sf2f", 3)
    values = {
        "voice2face, 1.25 sec": 0.3, "SF2F (no fuser), 1.25 sec": 0.9, "voice2face, 5 sec": 0.4,
        "SF2F, 5 sec": 0.8,
    }  # fmt: skip
    filled = fill(three, [kept(three, label, recall_at_10=value) for label, value in values.items()])
    (section,) = [section for section in filled.sections if section.column.head == "R@10"]
    reported = [20.33, 32.80, 20.82, 36.65]
    assert section.order.rows == 4
    assert section.order.tau == pytest.approx(kendalltau(reported, list(values.values())).statistic)
    assert section.order.low <= section.order.tau <= section.order.high
    few = fill(three, [kept(three, label, recall_at_10=values[label]) for label in list(values)[:2]])
    (section,) = [section for section in few.sections if section.column.head == "R@10"]
    assert section.order.tau is None and section.order.rows == 2 and "3 rows" in section.order.reason


def test_floors_and_ceilings_are_in_no_order_with_methods_but_with_each_other():
    three, two = table("sf2f", 3), table("sf2f", 2)
    found = fill(three, [kept(three, row.label, recall_at_10=0.01 * n) for n, row in enumerate(three.rows, 1)])
    (section,) = [section for section in found.sections if section.column.head == "R@10"]
    assert at(found, "random").value == 1 and section.order.rows == 5
    found = fill(two, [kept(two, row.label, vggface_score=20.0 + n) for n, row in enumerate(two.rows)])
    assert [section.order.rows for section in found.sections] == [0, 3]


def test_a_row_of_other_people_is_in_no_order_with_the_others():
    seven = table("sf2f", 7)
    results = [kept(seven, label, recall_at_10=0.5) for label in ("Full Model", "Baseline Encoder")]
    filled = fill(seven, results, given={"LQ. Dataset": kept(seven, "LQ. Dataset", recall_at_10=0.4)})
    (section,) = [section for section in filled.sections if section.column.head == "R@10"]
    assert sum(line.value is not None for line in section.lines) == 3 and section.order.rows == 2


def test_weights_trained_otherwise_are_only_known_by_name():
    seven = table("sf2f", 7)
    without = kept(seven, "w/o L_1", recall_at_10=0.25)
    assert all(line.value is None for line in fill(seven, [without]).lines)
    assert "--row" in at(fill(seven, [without]), "w/o L_1").reason
    filled = fill(seven, [], given={"W/O l_1": without})
    assert at(filled, "w/o L_1").value == 25
    assert [line.cell.row.label for line in filled.lines if line.value is not None] == ["w/o L_1"]
    with pytest.raises(UnknownName, match="Did you mean 'w/o L_1'"):
        fill(seven, [], given={"w/o L1": without})
    elsewhere = kept(seven, "w/o L_1", spec={"dataset": "folder"}, recall_at_10=0.25)
    with pytest.raises(UsageError, match=r"on folder, test split.*expected speech2face on talkers"):
        fill(seven, [], given={"w/o L_1": elsewhere})
    assert at(fill(seven, [], given={"w/o L_1": elsewhere}, dataset="folder"), "w/o L_1").value == 25
    part = kept(seven, "w/o L_1", about={"partial": True}, recall_at_10=0.25)
    assert any("cannot be ranked: partial" in n for n in tables.page(fill(seven, [], given={"w/o L_1": part})).notes)


def test_a_system_that_is_not_built_here_is_measured_by_the_run_that_is_named_for_it():
    one, label = table("lipdiffuser", 1), "Lip-to-Speech, LipVoicer, V"
    spec = {"method": "outputs", "config": {"folder": "files"}, "weights_sha256": None, "enrolment": None}
    theirs = kept(one, "Noisy", spec=spec, about={"label": "LipVoicer"}, dnsmos_p808=3.1, nisqa_mos=3.4)
    filled = fill(one, [], given={label: theirs})
    assert (at(filled, label, "DNSMOS").value, at(filled, label, "NISQA").value) == (3.1, 3.4)
    assert at(filled, label, "WER").reason == "no result of this row has this number"
    others = [line for line in filled.lines if line.cell.row.label != label]
    assert all(line.value is None for line in others)
    answers = dict(tables.page(filled).commands)
    assert answers[label] == ("measured by LipVoicer, the run that --row names",)
    untold = answers["Lip-to-Speech, DiffV2S, V"][0]
    assert "`run --method outputs --task lip2speech --set folder=FOLDER`" in untold and "--row" in untold
    check("run --method outputs --task lip2speech --set folder=FOLDER")
    # another dataset, task or split is another table's
    for changed in ({"dataset": "folder"}, {"task": "av_enhancement"}, {"split": "val"}):
        foreign = kept(one, "Noisy", spec={**spec, **changed}, dnsmos_p808=3.1)
        with pytest.raises(UsageError, match="expected lip2speech on talkers, test split"):
            fill(one, [], given={label: foreign})


def test_a_named_system_is_in_order_with_the_methods_of_the_table():
    one = table("lipdiffuser", 1)
    labels = ("Lip-to-Speech, LipVoicer, V", "Lip-to-Speech, DiffV2S, V", "SE, AV-Gen, A+V")
    given = {label: kept(one, "Noisy", dnsmos_p808=value) for label, value in zip(labels, (3, 2, 1), strict=True)}
    assert fill(one, [], given=given, columns=["DNSMOS"]).sections[0].order.rows == 3


def test_what_no_number_here_measures_stays_so_for_a_named_run():
    one, label = table("flowavse", 1), "AV-Gen [4], 30"
    filled = fill(one, [], given={label: kept(one, "AVDiffuSS [26], 30", pesq_wb=1.5)}, columns=["Params (M)", "PESQ"])
    assert at(filled, label, "Params (M)").value is None and at(filled, label, "Params (M)").reason
    assert [line.value for line in filled.lines if line.cell.row.label == label and line.value] == [1.5, 1.5]


def test_a_table_of_a_part_of_the_test_is_measured_on_that_part_of_the_papers_corpus_alone():
    """Table 3 takes all four rows of the files of speakers with several."""
    three, label = table("lipdiffuser", 3), "Same utterance"
    whole = kept(three, label, "lrs3_chime3", wer_by_clip=0.5)
    several = kept(three, label, "lrs3_chime3", spec={"split": "test_several"}, wer_by_clip=0.4)
    filled = fill(three, [whole, several])
    assert at(filled, label, "WER").value == 0.4 and at(filled, label, "WER").split == "test_several"
    assert all("--split test_several" in line.need.commands()[-1] for line in filled.lines)
    assert tables.page(filled).blocks[0].of[1].startswith("measured: lrs3_chime3, test_several split")
    assert {record["split"] for record in tables.records(filled)} == {"test_several"}
    assert at(fill(three, [], given={label: several}), label, "WER").value == 0.4
    with pytest.raises(UsageError, match="expected lip2speech on lrs3_chime3, test_several split"):
        fill(three, [], given={label: whole}, dataset="lrs3_chime3")
    assert {line.split for line in fill(three, []).lines} == {"test"}  # Talkers' speakers have several, all of them


def test_a_named_run_that_is_another_than_the_rows_says_how():
    three, label = table("lipdiffuser", 3), "Same utterance"
    steps = {"config": kept(three, label).result.spec.config | {"steps": 3}}
    for changed, told in (
        ({"enrolment": "other"}, "enrolment other, not clean"),
        (steps, "steps 3, not 8"),
        ({"method": "outputs", "config": {}}, "method outputs, not lipdiffuser"),
        ({"seconds": 2.0}, "seconds 2.0, not whole"),
        ({}, ""),
    ):
        made = kept(three, label, spec=changed, about={"preset": "talkers"}, wer_by_clip=0.5)
        notes = tables.page(fill(three, [], given={label: made})).notes
        ends = [note.partition("is another: ")[2] for note in notes if "named for this row" in note]
        assert ends == ([told] if told else [])


def test_a_table_is_called_as_its_protocol_is():
    assert named("sf2f/table3") == named("sf2f/3")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sf2/3", "Did you mean 'sf2f'"), ("sf2f/33", "Did you mean 'sf2f/3'"), ("sf2f/", "sf2f/2, sf2f/3"),
        ("sf2f/three", "sf2f/2, sf2f/3"), ("", "Papers: avp_gan"), ("../sf2f/3", "Papers: avp_gan"),
    ],
)  # fmt: skip
def test_an_unknown_table_is_refused_with_the_nearest(name, message):
    with pytest.raises(UnknownName, match=re.escape(message)):
        named(name)


def test_columns_are_chosen_by_head_key_or_number():
    three = table("sf2f", 3)
    for name in ("r@10", "r10", "recall_at_10"):
        assert [section.column.head for section in fill(three, [], columns=[name]).sections] == ["R@10"]
    with pytest.raises(UnknownName, match=r"no column 'R@11'.*Did you mean"):
        fill(three, [], columns=["R@11"])


@pytest.mark.parametrize("of", EVERY, ids=lambda of: of.name)
def test_every_place_is_measured_or_says_what_would_or_why_nothing_does(of):
    filled = fill(of, [])
    assert len(filled.lines) == len(of.rows) * len(of.columns)
    for line in filled.lines:
        assert line.value is None and line.reason
        assert bool(line.need) == (not line.cell.reason)
        for text in line.need.commands() if line.need else ():
            assert text.startswith("python -m benchmark ")
            check(text.removeprefix("python -m benchmark "))
    told = "; ".join(rows for rows, _ in tables.page(filled).commands)
    assert all(row.label in told for row in of.rows)


def test_each_training_has_a_folder_of_its_own():
    seven = fill(table("sf2f", 7), [])
    commands = {line.need.commands() for line in seven.lines if line.need and line.need.trained}
    folders = [train.split("--out ")[1] for train, _ in commands]
    assert len(set(folders)) == len(folders) == 7
    assert all(run.endswith("--weights FILE") for _, run in commands)


@pytest.mark.parametrize("dataset", ["hq_voxceleb", "vggface_voxceleb1"])
def test_on_the_papers_own_data_a_row_is_of_the_papers_size_and_definition(dataset):
    eight = table("sf2f", 8)
    line = at(fill(eight, [], dataset=dataset), "SF2F, 5 sec")
    own = dataset == "vggface_voxceleb1"
    assert (
        "--preset paper" in line.need.commands()[-1],
        "--face-network facenet140" in line.need.commands()[-1],
    ) == (
        own,
        own,
    )
    assert "weights of preset 'paper'" in line.reason if own else line.reason == "not measured yet"


# What is written


def filled_with_everything() -> list[Filled]:
    three = table("sf2f", 3)
    labels = ("random", "voice2face, 5 sec", "SF2F (no fuser), 5 sec", "SF2F, 5 sec")
    results = [kept(three, label, recall_at_10=0.2 * n, face_cosine=0.9) for n, label in enumerate(labels, 1)]
    return [fill(of, results) for of in EVERY]


def hostile() -> Filled:
    """Every text of a table and of a result is what markup, terminals and spreadsheets take for their own."""
    of = table("sf2f", 3)
    label = f"=1+1 {HOSTILE}"
    row = replace(of.rows[0], setting={"Method": label}, note=HOSTILE, run=replace(of.rows[0].run, differs=HOSTILE))
    column = replace(of.columns[5], head=HOSTILE, note=HOSTILE, differs=HOSTILE, group=HOSTILE)
    columns = (*of.columns[:5], column, of.columns[6])
    evil = replace(of, title=HOSTILE, place=HOSTILE, note=HOSTILE, rows=(row, *of.rows[1:]), columns=columns)
    found = kept(of, "random", signature=HOSTILE, recall_at_10=0.1, about={"label": HOSTILE})
    return fill(evil, [found])


def test_latex_compiles_whatever_the_names_are(tmp_path):
    """With nothing but booktabs, by the program itself where it is installed."""
    written = [tables.latex(filled) for filled in [*filled_with_everything(), hostile()]]
    for text in written:
        assert text.isascii()
        bare = re.sub(r"\\([a-zA-Z]+|.)", "", text)
        assert not set(bare) & set("%#_~") and bare.count("{") == bare.count("}")
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") > 0
        for rows in re.findall(r"\\midrule\n(?:\\multicolumn.*\n)((?:.*\\\\\n)+)", text):
            assert {len(re.findall(r"(?<!\\)&", line)) for line in rows.splitlines()} in ({3}, {4})
    if not shutil.which("pdflatex") or not shutil.which("kpsewhich"):
        pytest.skip("pdflatex is not installed")
    if subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode:
        pytest.skip("booktabs is not installed")
    head = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
    (tmp_path / "t.tex").write_text(head + r"\clearpage".join(written) + r"\end{document}", encoding="utf-8")
    line = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "t.tex"]
    done = subprocess.run(
        line, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_csv_and_json_hold_every_place_in_full():
    filled = filled_with_everything()[[of.name for of in EVERY].index("sf2f/3")]
    lines = list(csv.DictReader(io.StringIO(tables.as_csv(filled))))
    cells = json.loads(tables.as_json(filled))["cells"]
    assert len(lines) == len(cells) == 42 and tuple(lines[0]) == tables.FIELDS == tuple(cells[0])
    for line, cell in zip(lines, cells, strict=True):
        for name in ("reported", "measured", "low", "difference", "tau"):
            assert line[name] == ("" if cell[name] is None else repr(cell[name]))
    (one,) = [cell for cell in cells if (cell["row"], cell["column"]) == ("SF2F, 5 sec", "R@10")]
    assert (one["reported"], one["measured"], one["same_definition"]) == (36.65, pytest.approx(80), False)
    assert one["signature"] == DLIB and one["measured_on"] == "talkers" and "HQ-VoxCeleb" in one["reported_on"]
    (spread,) = [cell for cell in cells if (cell["row"], cell["column"]) == ("SF2F, 5 sec", "VFS")]
    assert (spread["reported"], spread["reported_spread"]) == (19.49, 0.59)
    assert "standard deviation over 5 parts" in spread["reported_spread_is"]


def test_hostile_names_stay_text(capsys):
    filled = hostile()
    show_page(tables.page(filled))
    for text in (capsys.readouterr().out, tables.markdown(filled), tables.as_csv(filled), tables.as_json(filled)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert "<script" not in re.sub(r"\\<", "", tables.markdown(filled))
    for line in csv.reader(io.StringIO(tables.as_csv(filled))):
        assert not any(cell.startswith(("=", "+", "@")) for cell in line)


def test_markdown_is_a_table_of_five_columns_or_of_four_without_differences():
    for filled in filled_with_everything():
        text = tables.markdown(filled)
        for line in text.splitlines():
            if line.startswith("|"):
                assert len(re.findall(r"(?<!\\)\|", line)) in (5, 6) or "tau" in text
        assert re.search(r"^## ", text)


def test_differences_have_a_column_where_there_is_one_and_csv_has_it_always(capsys):
    three = table("sf2f", 3)
    for signature, there in ((DLIB, False), (FACENET, True)):
        filled = fill(three, [kept(three, "SF2F, 5 sec", signature=signature, recall_at_10=0.5)])
        (block,) = tables.page(filled).blocks
        assert ("difference" in block.heads) == there
        assert all(len(row) == len(block.heads) + 1 for _, rows in block.shown for row in rows)
        show_page(tables.page(filled))
        head = re.search(r"^.*95 % interval.*$", capsys.readouterr().out, re.M)
        rows = re.findall(r"^\| (?:row|SF2F, 5).*$", tables.markdown(filled), re.M)
        (columns,) = set(re.findall(r"begin\{tabular\}\{@\{\}(l[lr]+)@", tables.latex(filled)))
        assert head and ("difference" in head[0]) == there
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6 if there else 5}
        assert columns == ("lrrrr" if there else "lrrr")
        assert "difference" in next(csv.reader(io.StringIO(tables.as_csv(filled))))


def test_a_row_of_another_size_than_the_papers_is_marked_with_its_parameters():
    one = table("flowavse", 1)
    measured = kept(one, "Ours (Medium), 1", si_sdr=8.7)
    page = tables.page(fill(one, [measured]))
    plan = needed([cell for cell in one.cells() if cell.row.label == "Ours (Medium), 1" and not cell.reason], "talkers")
    method = plan.plan.kind(plan.plan.settings.config, plan.plan.weights)
    method.load("cpu")
    count = count_parameters(vars(method))
    assert parameters(plan.plan.weights) == count and parameters(None) is None
    note = f"measured with preset talkers, {count / 1e6:.2g} M parameters, where the paper's network has 39.4 M"
    mark = f" [{page.notes.index(note) + 1}]"
    rows = [(head, row) for block in page.blocks for head, part in block.parts for row in part]
    assert {row[0] for head, row in rows if row[2] == "8.700"} == {f"Ours (Medium), 1{mark}"}
    assert not any(mark in row[0] for head, row in rows if row[2] != "8.700")
    assert page.remarks[0].startswith("Reported and measured numbers are of different people and networks of another")
    # Weights that are not those shipped are not counted, and of a preset that was asked for no size is known.
    for about, told in (
        ({"spec": measured.result.spec.model_copy(update={"weights_sha256": "0" * 64})}, "talkers, smaller than the"),
        ({"preset": "large"}, "large, where the paper's is medium"),
    ):
        given = {"Ours (Medium), 1": Kept(Path("x.json"), measured.result.model_copy(update=about))}
        (line, *_) = [each for each in fill(one, [], given=given).lines if each.item is not None]
        assert f"measured with preset {told}" in tables.size(line)
    # On the paper's data it is of the paper's size.
    own = fill(one, [kept(one, "Ours (Medium), 1", "voxceleb2", si_sdr=8.7)], dataset="voxceleb2")
    assert {tables.size(line) for line in own.lines} == {""}


def test_one_note_tells_all_definitions_that_are_not_the_papers():
    three = table("sf2f", 3)
    result = kept(three, "SF2F, 5 sec", face_cosine=0.9, recall_at_1=0.2, recall_at_10=0.8)
    (note,) = [each for each in tables.page(fill(three, [result])).notes if "another definition" in each]
    assert note.count("measured by another definition") == 1 and ". R@1, R@10: dlib's" in note and ". cosine:" in note


def test_each_row_has_the_command_that_counts_its_own_size():
    notes = tables.page(fill(table("flowavse", 1), [])).notes
    asked = [found[1] for note in notes if (found := re.search(r"speed --method (\S+) --random-weights", note))]
    assert asked == ["avdiffuss:paper", "flowavse:small", "flowavse:medium", "flowavse:large"]
    for name in asked:
        plan_method(*name.split(":"), without_weights=True)


def test_the_order_of_rows_stands_under_the_table():
    filled = filled_with_everything()[[of.name for of in EVERY].index("sf2f/3")]
    assert re.search(r"\| R@10 % ↑ \| 1\.00 \| \\\[.*\\\] \| 0\.33 \| 3 \|", tables.markdown(filled))
    assert "No Kendall's tau" in tables.markdown(fill(table("sf2f", 3), []))


@pytest.mark.parametrize("columns", [40, 60, 80, 170])
def test_no_number_is_cut_however_narrow_a_terminal_is(columns, monkeypatch, capsys):
    monkeypatch.setattr("benchmark.cli.console.WIDTH", columns)
    filled = filled_with_everything()[[of.name for of in EVERY].index("sf2f/3")]
    show_page(tables.page(filled))
    out = capsys.readouterr().out
    assert "…" not in out
    for line in filled.lines:
        assert line.cell.printed.text in out
    for text in ("[79.20, 80.80]", "80.00", "python -m benchmark run --method sf2f --set fuser=false --seconds 1.25\n"):
        assert text in out


def test_a_folder_has_every_table_in_every_format_and_an_index_that_leads_to_them(tmp_path):
    tables.write_folder([fill(of, []) for of in EVERY[:3]], tmp_path / "out")
    index = (tmp_path / "out" / "index.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", index)
    assert sorted(links) == sorted(path.name for path in (tmp_path / "out").iterdir() if path.name != "index.md")
    assert len(links) == 3 * len(tables.FORMATS)
    with pytest.raises(UsageError, match=r"\.md, \.csv, \.tex, \.json"):
        tables.write(fill(EVERY[0], []), tmp_path / "table.docx")


# What is run


def test_what_is_missing_is_run_once_and_a_run_that_fails_costs_its_row_alone(monkeypatch, tmp_path):
    asked = []

    class Told:
        notes = ("a note",)
        unwritten = ()

        def __init__(self, request, say, progress):
            asked.append(request)

        def plans(self):
            if asked[-1].method == "voice2face":
                raise MissingDataset("it is not there\nmore lines")
            return []

        def run(self, plans):
            return []

    monkeypatch.setattr("benchmark.runs.session.Session", Told)
    three = table("sf2f", 3)
    filled = fill(three, [kept(three, "random", **{item.number: 0.1 for item in three.columns})])
    runner = Runner(tmp_path)
    runner.run([*filled.missing, *filled.missing])
    assert [(item.method, item.seconds, item.sets) for item in asked] == [
        ("voice2face", 1.25, ()),
        ("sf2f", 1.25, ("fuser=false",)),
        ("voice2face", 5, ()),
        ("sf2f", 5, ("fuser=false",)),
        ("sf2f", 5, ()),
    ]
    assert all(not item.references and item.runs == tmp_path and item.dataset == "talkers" for item in asked)
    assert "voice2face, 5 sec is not measured: it is not there" in runner.notes
    assert "SF2F, 5 sec: a note" in runner.notes
    needy = Runner(tmp_path)
    needy.run(fill(table("sf2f", 5), [], columns=["R@10"]).missing)
    assert any("is not run: it needs a training at 128 x 128" in line for line in needy.notes)


def test_on_the_papers_data_its_definitions_are_asked_for(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        "benchmark.runs.session.Session",
        lambda request, say, progress: asked.append(request) or (_ for _ in ()).throw(MissingDataset("no")),
    )
    two = table("sf2f", 2)
    Runner(tmp_path, tmp_path).run(fill(two, [], dataset="hq_voxceleb").missing)
    assert {item.metric_sets for item in asked} == {("classifier=vggface2_resnet50",)}
    assert {item.sets for item in asked} >= {("resolution=128",), ("resolution=256",)} and len(asked) == 3
    assert {item.data_root for item in asked} == {tmp_path}


def test_the_command_runs_what_is_missing_and_then_shows_it(people, tmp_path):  # noqa: F811
    one = sorted(path for path in people.iterdir() if path.is_dir())[0]
    shutil.copytree(one, tmp_path / "people" / one.name)
    shutil.copy(people / "people.csv", tmp_path / "people")
    words = [
        "table",
        "avp_gan/4",
        "--dataset",
        "folder",
        "--data-root",
        tmp_path / "people",
        "--runs",
        tmp_path / "runs",
    ]
    done = command(*words, "--run", "--workers", 0, "--json", "--quiet")
    (found,) = json.loads(done.stdout)
    values = {cell["row"]: cell["measured"] for cell in found["cells"]}
    assert values["Voice2Face, 4 s"] != values["Voice2Face, 8 s"]
    for label in values:
        assert 0 < values[label] < 1
    # The number is that of the run's own file, and the command finds it again without running.
    results = {path: json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/result.json")}
    assert sorted(
        item["value"] for one in results.values() for item in one["aggregates"] if item["name"] == "face_cosine"
    ) == sorted(values.values())
    out = command(*words, "--out", tmp_path / "t.csv").stdout
    assert out == "" and repr(values["Voice2Face, 8 s"]) in (tmp_path / "t.csv").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("table", "sf2f/33"), "Did you mean 'sf2f/3'"),
        (("table", "sf2f/3", "--row", "SF2F"), "LABEL=RUN"),
        (("table", "sf2f/3", "--row", "SF2F, 5 sec=nowhere"), "No run 'nowhere'"),
        (("table", "all", "--out", "x.md"), "want a folder"),
        (("table", "sf2f/3", "--out", "x.docx"), ".md, .csv, .tex, .json"),
        (("table", "all", "--data-root", "x"), "say with --dataset"),
        (("table", "sf2f/3", "--columns", "R@11"), "Columns: cosine"),
    ],
)
def test_mistakes_are_refused_with_a_sentence(words, message):
    ended = CliRunner().invoke(app, words)
    assert isinstance(ended.exception, UsageError) and message in str(ended.exception)


def test_without_a_name_the_tables_are_listed():
    listed = json.loads(CliRunner().invoke(app, ["table", "--json"]).stdout)
    assert [item["table"] for item in listed] == [of.name for of in EVERY]
    assert json.loads(CliRunner().invoke(app, ["list", "tables", "--json"]).stdout) == listed


def test_published_results_lie_where_they_are_looked_for():
    assert needs.PUBLISHED.is_dir()
