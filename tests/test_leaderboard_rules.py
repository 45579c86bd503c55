"""What breaks a rule of the leaderboards is refused with the reason; nothing that anybody sends ends in a traceback."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published import CLEAN, MANIFEST, made, publish, samples
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.errors import InvalidConfig, SubmissionError
from benchmark.leaderboard import refresh, rules
from benchmark.leaderboard.submissions import MOST_RESULT, MOST_ROWS, MOST_UNPACKED, Submission, everything, read

PEOPLE = samples(6, 2)
VALUES = {name: float(number) for number, name in enumerate(PEOPLE)}
OTHER = {name: value + 1 for name, value in VALUES.items()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return publish(tmp_path / "leaderboards", made(VALUES, PEOPLE), made(OTHER, PEOPLE, "wiener"))


def the_file(root: Path, method: str = "noisy") -> Path:
    (path,) = (root / "results/av_enhancement/talkers" / method).glob("*.json")
    return path


def rows_of(path: Path) -> Path:
    return path.with_name(path.stem + ".scores.jsonl.gz")


def told(root: Path, path: Path) -> list[rules.Fault]:
    return rules.faults(read(path, root), rules.known(root, everything(root)))


def test_sound_results_have_no_fault(root):
    assert [told(root, the_file(root, method)) for method in ("noisy", "wiener")] == [[], []]


def test_every_rule_explains_itself():
    assert len(dict(rules.table())) == len((*rules.FIRST, *rules.RULES)) and all(about for _, about in rules.table())


# -- a value of the result is another one ------------------------------------------------------------------------------


def at(*where: str | int, value: Any) -> Callable[[dict], None]:
    """Set a place of the result."""

    def change(result: dict) -> None:
        for step in where[:-1]:
            result = result[step]
        result[where[-1]] = value

    change.__name__ = f"{'.'.join(map(str, where))} = {str(value)[:30]!r}"
    return change


def without(*where: str | int) -> Callable[[dict], None]:
    def change(result: dict) -> None:
        for step in where[:-1]:
            result = result[step]
        del result[where[-1]]

    change.__name__ = f"without {'.'.join(map(str, where))}"
    return change


WRONG = [
    (at("samples", value="12"), "schema", "samples"),
    (at("partial", value=0), "schema", "partial"),
    (at("aggregates", value={}), "schema", "aggregates"),
    (at("spec", "config", value=[]), "schema", "config"),
    (at("spec", "seconds", value=True), "schema", "seconds"),
    (at("schema_version", value=9), "schema", "schema_version"),
    (at("malice", value=1), "schema", "malice"),
    (without("spec", "method"), "schema", "method"),
    (without("sources"), "complete", "got 0"),
    (at("spec", "seed", value=10**400), "schema", "2\\*\\*53"),
    (at("label", value="x" * MOST_RESULT), "size", "at most 256 KiB"),
    (at("label", value="two\nlines"), "names", "printable"),
    (at("label", value="left\u202eright"), "names", "printable"),
    (at("aggregates", 0, "title", value="\x1b[31mred"), "names", "title"),
    (at("spec", "method", value="../../.github"), "names", "method"),
    (at("spec", "dataset", value="a/b"), "names", "dataset"),
    (at("spec", "task", value=".."), "names", "task"),
    (at("spec", "task", value="singing"), "path", "one of the tasks"),
    (at("run_id", value="../../../evil"), "path", "run id noisy-talkers-"),
    (at("run_id", value="noisy-talkers-0000000000"), "path", "run id noisy-talkers-"),
    (at("spec", "seed", value=1), "path", "run id noisy-talkers-"),
    (at("partial", value=True), "complete", "partial"),
    (at("changed", value=3), "complete", "3 outputs changed"),
    (at("sources", value=["a", "b"]), "complete", "mixed"),
    (at("generated_by", value=[]), "complete", "record of what made"),
    (at("provenance", value={**CLEAN, "git": {"commit": "c" * 40, "dirty": True}}), "complete", "committed code"),
    (at("provenance", value={**CLEAN, "git": None}), "complete", "committed code"),
    (at("generated_by", 0, value={"git": "yes"}), "complete", "committed code"),
    (at("speakers", value=7), "complete", "7 speakers, got 6"),
    (at("samples", value=13), "complete", "each of 13 outputs, got 12"),
    (at("aggregates", 0, "total", value=11), "coverage", "of 12 outputs"),
    (at("aggregates", 0, "scored", value=-1), "coverage", "got -1"),
    (at("aggregates", 0, "scored", value=11), "coverage", "1 have neither"),
    (at("aggregates", 0, "reasons", value={"a": -5, "b": 5}), "coverage", "neither"),
    (at("aggregates", 0, "reasons", value={"not measured": 1}), "coverage", "not measured|lack it"),
    (without("aggregates", 0), "coverage", "si_sdr, which ranks"),
    (at("failures", "rows", value=2), "coverage", "at most 5%"),
    (at("failures", "rows", value=-1), "coverage", "at most 5%"),
    (at("samples", value=0), "finite", "samples"),
    (at("speakers", value=-4), "finite", "speakers"),
    (at("generation_seconds", value=-1.0), "finite", "seconds"),
    (at("aggregates", 0, "spread", value=1e300), "finite", "spread"),
    (at("aggregates", 1, "value", value=7.5), "bounds", "pesq_wb from"),
    (at("aggregates", 0, "low", value=9e9), "bounds", "low <= high"),
    (at("aggregates", 0, "higher_is_better", value=False), "bounds", "direction"),
    (at("aggregates", 0, "unit", value="%"), "bounds", "unit"),
    (at("aggregates", 0, "value", value=5.51), "rows_agree", "si_sdr as 5.51, got rows that give 5.5"),
    (at("aggregates", 0, "low", value=5.4), "intervals_agree", "the low of si_sdr as 5.4, got rows that give"),
    (at("aggregates", 0, "high", value=None), "intervals_agree", "the high of si_sdr as nan"),
    (at("aggregates", 0, "value", value=None), "rows_agree", "si_sdr as nan"),
    (at("aggregates", 0, "metric", value="made_up"), "signatures", "'made_up'"),
    (at("aggregates", 0, "signature", value="si_sdr|fs:own|v0"), "signatures", "version 1, got 0"),
    (at("aggregates", 0, "signature", value="mine"), "signatures", "version 1, got none"),
    (at("aggregates", 0, "signature", value="si_sdr|fs:8000|v1"), "signatures", "definition of the other rows"),
    (at("spec", "task_version", value=0), "settings", "version 1 of av_enhancement, got 0"),
    (at("spec", "config", value={"loudness": 3}), "settings", "loudness"),
    (at("spec", "manifest_sha256", value="f" * 64), "hashes", "known.toml"),
    (at("spec", "training_sha256", value="f" * 64), "hashes", "train"),
    (at("spec", "weights_sha256", value="f" * 64), "hashes", "weights"),
    (at("label", value="wiener"), "label", "expected the label noisy of these settings, got 'wiener'"),
    (at("label", value="super"), "label", "expected the label noisy of these settings, got 'super'"),
    (at("label", value="noisy (x=2)"), "label", "expected the label noisy of these settings"),
    (at("preset", value="large"), "label", "preset 'large'"),
]


@pytest.mark.parametrize(("change", "rule", "words"), WRONG, ids=lambda item: getattr(item, "__name__", None))
def test_a_result_with_one_wrong_value_is_refused_with_its_reason(root, change, rule, words):
    path = the_file(root)
    result = json.loads(path.read_text())
    change(result)
    path.write_text(json.dumps(result))
    try:
        found = told(root, path)
    except SubmissionError as error:
        found = [rules.Fault("size", str(error))]
    assert any(fault.rule == rule and re.search(words, fault.told) for fault in found), found
    for fault in found:
        assert "expected" in fault.told and (";" in fault.told), fault


def named(
    label: str,
    method: str = "sf2f",
    preset: str | None = "talkers",
    weights: str | None = None,
    given: str | None = None,
    **changed: Any,
):
    """What the rule says of a label, without all else that a result holds."""
    from benchmark.leaderboard.submissions import place_of
    from benchmark.runs.evaluation import plan_method

    result, _ = made(VALUES, PEOPLE)
    config = plan_method(method, preset).settings.as_dict() if method == "sf2f" else {}
    about = {"method": method, "config": config | changed, "weights_sha256": weights, "label": given}
    new = result.model_copy(
        update={"spec": result.spec.model_copy(update=about), "preset": preset, "label": label}
    ).model_dump_json()
    sent = Submission(place_of(result), new.encode(), None)
    return list(rules.label(sent, rules.Known()))


@pytest.mark.parametrize(
    ("label", "about"),
    [
        ("sf2f", {}),
        ("sf2f (fuser=false)", {"fuser": False}),
        ("sf2f (width=1.0, fuser=false)", {"fuser": False, "width": 1}),
        ("sf2f (weights ffffffff)", {"weights": "f" * 64}),
        ("sf2f (fuser=false, weights ffffffff)", {"fuser": False, "weights": "f" * 64}),
    ],
)
def test_a_label_states_what_is_not_the_default(label, about):
    assert named(label, **about) == []
    for other in ("sf2f", "sf2f (fuser=false)", "super", "voice2face", "sf2f (best)"):
        assert bool(named(other, **about)) == (other != label)


def test_a_row_of_a_method_that_is_not_known_here_is_called_by_it():
    assert named("mine", "mine", None) == named("mine (x=1)", "mine", None) == []
    for label in ("sf2f", "mine (", "minerva", "the best"):
        (why,) = named(label, "mine", None)
        assert "expected the label mine" in why and "unchanged" in why


def test_a_system_from_elsewhere_is_called_as_its_author_says():
    files = {"folder": "", "command": "", "weights": "f" * 64}
    assert named("Speech2Face", "outputs", None, given="Speech2Face", **files) == []
    assert named("My method", "mine", None, given="My method") == [], "a plug-in, too"
    for stated, given, words in (
        ("outputs (faces)", None, "expected a name of the system.* --label"),
        ("Speech2Face", "Other", "expected the label Other that was given"),
        ("sf2f", "sf2f", "expected a name that --label takes"),
        ("x" * 61, "x" * 61, "expected a name that --label takes"),
    ):
        (why,) = named(stated, "outputs", None, given=given, **files)
        assert re.search(words, why) and ";" in why
    (why,) = named("Mine", "sf2f", given="Mine")
    assert "expected a row of sf2f to be called by it" in why


# -- files that are none -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "JSON"),
        (b"not json", "JSON"),
        (b"[1, 2]", "dictionary|Result"),
        (b"null", "dictionary|Result"),
        (b"\xff\xfe{}", "JSON"),
        (b'{"a": NaN}', "the number NaN"),
        (b'{"a": [1, -Infinity]}', "the number -Infinity"),
        (b'{"a": 1e999}', "beyond double precision"),
        (b'{"a": ' + b"9" * 9000 + b"}", "JSON"),
        (b'{"a": ' + b"9" * 300 + b"}", "2\\*\\*53"),
        (b'{"a": 1, "a": 2}', "doubled|twice"),
        (b"[" * 100_000 + b"]" * 100_000, "nesting"),
        (b"[" * 40 + b"]" * 40, "12 levels"),
        (b'{"run_id": "\\ud800"}', "result"),
    ],
    ids=lambda item: repr(item[:20]),
)
def test_hostile_json_is_refused(root, text, words):
    path = the_file(root)
    path.write_bytes(text)
    (fault,) = told(root, path)
    assert fault.rule == "schema" and re.search(words, fault.told)


def line(**changes: Any) -> bytes:
    row = {
        "sample": "p00_0",
        "speaker": "p00",
        "repeat": 0,
        "metric": "si_sdr",
        "signature": "si_sdr|v1",
        "status": "ok",
        "statistics": {"si_sdr": 1.0},
    }
    return json.dumps({**row, **changes}).encode() + b"\n"


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (b"no gzip", "unpacked"),
        (gzip.compress(line())[:-9], "unpacked"),
        (gzip.compress(b"\0" * (MOST_UNPACKED + 1)), "at most 64 MiB"),
        (gzip.compress(b"[]\n"), "line 1"),
        (gzip.compress(line() + b"{\n"), "line 2"),
        (gzip.compress(line() + line()), "two of si_sdr"),
        (gzip.compress(line(status="fine")), "status"),
        (gzip.compress(line(speaker=3)), "line 1"),
        (gzip.compress(line(repeat="0")), "line 1"),
        (gzip.compress(line(number=[])), "line 1"),
        (gzip.compress(line(malice=1)), "line 1"),
        (gzip.compress(line(statistics=[1])), "line 1"),
        (gzip.compress(line(statistics={"x": {"f4": "AAAA", "shape": [10**9]}})), "line 1"),
        (gzip.compress(line(statistics={"x": {"f4": "!"}})), "line 1"),
        (gzip.compress(line(statistics={"x": {"planes": "AAAA", "shape": [1]}})), "line 1"),
        (gzip.compress(line(statistics={"x": {"planes": "AAAAAA==", "shape": [10**9]}})), "line 1"),
        (gzip.compress(b'{"statistics": {"x": NaN}}\n'), "NaN"),
        (gzip.compress(b"[" * 50_000 + b"\n"), "nesting"),
    ],
    ids=range(18),
)
def test_hostile_rows_are_refused(root, packed, words):
    rows_of(the_file(root)).write_bytes(packed)
    (fault,) = told(root, the_file(root))
    assert fault.rule == "schema" and re.search(words, fault.told), fault


def test_large_files_are_not_read(root):
    rows_of(the_file(root)).write_bytes(os.urandom(MOST_ROWS + 1))
    with pytest.raises(SubmissionError, match="at most 2048 KiB"):
        read(the_file(root), root)


def rewritten(root: Path, change: Callable[[list[dict]], Any]) -> list[rules.Fault]:
    """The faults once the rows are changed."""
    path = rows_of(the_file(root))
    rows = [json.loads(text) for text in gzip.decompress(path.read_bytes()).splitlines()]
    changed = change(rows)
    rows = rows if changed is None else changed
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return told(root, the_file(root))


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        (lambda rows: rows[1:], "complete", "each of 12 outputs, got 11"),
        (lambda rows: [], "complete", "got none"),
        (lambda rows: rows[3].update(signature="si_sdr|v1"), "complete", "others of 'si_sdr'"),
        (lambda rows: rows[3].update(speaker="p05"), "complete", "one speaker of"),
        (lambda rows: [row.update(speaker="p00") for row in rows] and None, "complete", "6 speakers, got 1"),
        (lambda rows: rows[3].update(statistics={"si_sdr": 99.0, "cut_s": 0.0}), "rows_agree", "si_sdr as 5.5"),
        (lambda rows: rows[3].update(statistics={"si_sdr": None, "cut_s": 0.0}), "signatures", "finite"),
        (lambda rows: [row.update(statistics={"other": 1.0}) for row in rows] and None, "signatures", "cannot read"),
        (lambda rows: rows[3].update(statistics={"si_sdr": "loud", "cut_s": 0.0}), "signatures", "cannot read"),
    ],
    ids=range(9),
)
def test_rows_that_do_not_fit_are_refused(root, change, rule, words):
    found = rewritten(root, change)
    assert any(fault.rule == rule and re.search(words, fault.told) for fault in found), found


def test_a_result_without_rows_is_refused(root):
    rows_of(the_file(root)).unlink()
    (fault,) = told(root, the_file(root))
    assert fault.rule == "schema" and "leaderboard add RUN" in fault.told


def test_a_link_is_refused_wherever_it_is(root, tmp_path):
    path = the_file(root)
    secret = tmp_path / "secret.json"
    path.rename(secret)
    path.symlink_to(secret)
    with pytest.raises(SubmissionError, match="got a link"):
        read(path, root)
    path.unlink()
    secret.rename(path)
    folder = path.parent
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SubmissionError, match="got a link"):
        read(path, root)


def test_a_file_in_the_wrong_place_is_refused(root):
    path = the_file(root)
    wrong = path.parent.parent / "wiener" / path.name
    path.rename(wrong)
    rows_of(path).rename(rows_of(wrong))
    assert [fault.rule for fault in told(root, wrong)] == ["path"]


def test_a_second_result_of_a_row_is_refused(root):
    publish(root, made(VALUES, PEOPLE, seed=5))
    first, second = sorted((root / "results/av_enhancement/talkers/noisy").glob("*.json"))
    for path, other in ((first, second), (second, first)):
        (fault,) = told(root, path)
        assert fault.rule == "duplicate" and other.name in fault.told


def test_what_known_toml_lists_may_be_used(root):
    path = the_file(root)
    result, rows = made(VALUES, PEOPLE, label="noisy (weights ffffffff)", weights_sha256="f" * 64)
    path.unlink()
    rows_of(path).unlink()
    publish(root, (result, rows))
    assert [fault.rule for fault in told(root, the_file(root))] == ["hashes"]
    (root / "known.toml").write_text(
        (root / "known.toml").read_text()
        + f'[[weights]]\nmethod = "noisy"\nsha256 = "{"f" * 64}"\nsource = "https://example.org/weights"\n'
    )
    assert told(root, the_file(root)) == []


@pytest.mark.parametrize("text", ["[", "manifests = 3", "[[manifests]]\nsplit = 3", "[[manifests]]\nx = 1", "y = 1"])
def test_a_broken_list_of_what_is_known_is_told(root, text):
    (root / "known.toml").write_text(text)
    with pytest.raises(InvalidConfig, match=re.escape("known.toml")):
        rules.known(root)


def test_random_damage_never_ends_in_anything_but_a_reason(root):
    """Bytes of a sound file are overwritten, cut and doubled."""
    random = np.random.default_rng(0)
    published = everything(root)
    against = rules.known(root, published)
    sound = published[0]
    refused = 0
    for _ in range(150):
        text = bytearray(sound.text)
        place = int(random.integers(len(text)))
        kind = random.integers(3)
        if kind == 0:
            text[place] = int(random.integers(256))
        elif kind == 1:
            del text[place : place + int(random.integers(1, 40))]
        else:
            text[place:place] = text[place : place + int(random.integers(1, 40))]
        refused += bool(rules.faults(Submission(sound.place, bytes(text), sound.packed), against))
    assert refused > 75


def test_the_command_prints_reasons_and_the_row_with_its_neighbours(root, tmp_path):
    good, bad = the_file(root, "wiener"), the_file(root)
    publish(root, made({name: -value for name, value in VALUES.items()}, PEOPLE, "clean"))
    bad.write_text(bad.read_text().replace(MANIFEST, "f" * 64))
    words = [
        "leaderboard",
        "validate",
        str(good),
        str(bad),
        "--root",
        str(root),
        "--beside",
        str(tmp_path / "beside.md"),
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert f"{good}: fine" in done.output and f"{bad}: refused" in done.output and "hashes: expected" in done.output
    beside = (tmp_path / "beside.md").read_text()
    assert "refused" in beside and re.search(r"\| wiener \(floor\) .*\n\| - \| clean \(ceiling\)", beside)
    assert CliRunner().invoke(app, [*words[:3], "--root", str(root)]).exit_code == 0


def test_a_file_that_is_not_there_or_elsewhere_is_told_before_anything_is_read(root, tmp_path, monkeypatch):
    copy = tmp_path / "copy.json"
    copy.write_bytes(the_file(root).read_bytes())
    nothing = tmp_path / "nothing.json"

    def none_read(folder: Path) -> list[Submission]:
        raise AssertionError("what is published is read for nothing")

    monkeypatch.setattr("benchmark.leaderboard.submissions.readable", none_read)
    done = CliRunner().invoke(app, ["leaderboard", "validate", str(nothing), str(copy), "--root", str(root)])
    assert done.exit_code == 1
    first, second = re.findall(r"^  (.*)", done.output, re.MULTILINE)
    assert first.startswith("path: expected a file, got no such file") and str(nothing) in first
    assert second.startswith(f"path: expected a file in {root}") and "--root" in second


def test_a_hint_names_the_leaderboards_that_were_asked_of(root):
    path = the_file(root)
    result = json.loads(path.read_text())
    result["aggregates"][0]["low"] -= 1
    path.write_text(json.dumps(result))
    done = CliRunner().invoke(app, ["leaderboard", "check", "--root", str(root)])
    assert f"leaderboard add {path} --root {root}" in done.output
    assert f"leaderboard refresh --dry-run --root {root}" in done.output
    (line,) = [each.line for each in refresh.stale(root)]
    assert line == f"python -m benchmark leaderboard add {path} --root {root}"
    (why,) = rules.intervals_agree(read(path, root), rules.Known())
    assert f"leaderboard add leaderboards/{path.relative_to(root)}" in why and "--root" not in why
