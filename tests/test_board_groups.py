"""Boards over groups: the numbers by hand, where what is known of samples comes from, and what makes them stale."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
import scipy.stats
from commands import ended as command
from published import KNOWN, MANIFEST, made, publish, run_directory, samples
from test_leaderboards import cli

from benchmark.datasets.manifest import Row, write_manifest
from benchmark.errors import SubmissionError, UsageError
from benchmark.leaderboard import board, groups
from benchmark.leaderboard.submissions import ROOT, everything
from benchmark.results.attributes import Known

PEOPLE = samples(20, 3)


def numbers(seed: int, of_women: float):
    random = np.random.default_rng(seed)
    own = {who: random.normal(of_women * is_f(who), 2) for who in dict.fromkeys(PEOPLE.values())}
    return {name: own[who] + random.normal() for name, who in PEOPLE.items()}


def is_f(who: str) -> bool:
    return int(who[1:]) % 2 == 0


def known(noises=("pink", "white", "babble")):
    return {
        name: Known(who, {"sex": "f" if is_f(who) else "m", "noise": noises[int(name[-1])], "text": "not published"})
        for name, who in PEOPLE.items()
    }


@pytest.fixture
def values():
    return {"noisy": numbers(1, 3.0), "wiener": numbers(2, 0.0)}


@pytest.fixture
def root(tmp_path, values):
    found = publish(tmp_path / "leaderboards", *(made(own, PEOPLE, label) for label, own in values.items()))
    path = found / groups.place("av_enhancement", "talkers", MANIFEST)
    path.parent.mkdir(parents=True)
    path.write_text(groups.text(known()))
    return found


def test_each_row_has_the_numbers_of_its_own_groups(root, values):
    made_files = board.files(root)
    lines = list(csv.DictReader(io.StringIO(made_files["av_enhancement/by_sex/talkers.csv"])))
    found = {(line["method"], line["metric"], line["group"]): line for line in lines}
    for label, own in values.items():
        sides = {}
        for sex in "fm":
            means = [
                np.mean([own[name] for name in own if PEOPLE[name] == who])
                for who in dict.fromkeys(PEOPLE.values())
                if is_f(who) == (sex == "f")
            ]
            half = scipy.stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / math.sqrt(len(means))
            line = found[label, "si_sdr", sex]
            assert [float(line[name]) for name in ("value", "low", "high")] == pytest.approx(
                [np.mean(means), np.mean(means) - half, np.mean(means) + half]
            )
            sides[sex] = np.mean(means), half
        difference, reach = sides["f"][0] - sides["m"][0], math.hypot(sides["f"][1], sides["m"][1])
        line = found[label, "si_sdr", "f"]
        assert [float(line[f"difference{end}"]) for end in ("", "_low", "_high")] == pytest.approx(
            [difference, difference - reach, difference + reach]
        )
    page = made_files["av_enhancement/by_sex/talkers.md"]
    assert "| | f (10) | m (10) | f less m |" in page.replace("|  |", "| |")
    assert "By sex. f: 30 samples of 10 speakers; m: 30 of 10." in page
    assert "[by sex](by_sex/talkers.md)" in made_files["av_enhancement/talkers.md"]
    assert "av_enhancement/by_noise/talkers.md" in made_files and "av_enhancement/by_text/talkers.md" not in made_files


def test_nothing_is_made_by_what_makes_one_group_or_of_what_nothing_is_known(root):
    path = root / groups.place("av_enhancement", "talkers", MANIFEST)
    path.write_text(groups.text(known(("pink", "pink", "pink"))))
    assert {name.split("/")[1] for name in board.files(root) if "/by_" in name} == {"by_sex"}
    path.unlink()
    assert not any("/by_" in name for name in board.files(root))


OTHER = "b" * 64


@pytest.mark.parametrize(
    "more",
    [
        {name: Known(who, {"sex": "f" if is_f(who) else "m"}) for name, who in PEOPLE.items()},
        {
            name: Known(who, {"sex": "f" if is_f(who) else "m", "noise": f"street {place % 30}"})
            for place, (name, who) in enumerate(PEOPLE.items())
        },
    ],
    ids=["absent", "too many"],
)
def test_a_table_whose_samples_make_no_groups_is_passed_over(tmp_path, values, more):
    other = made(numbers(3, 1.0), PEOPLE, "wiener", manifest_sha256=OTHER)
    found = publish(tmp_path / "leaderboards", made(values["noisy"], PEOPLE), other)
    (found / "known.toml").write_text(KNOWN + KNOWN.replace(MANIFEST, OTHER))
    for manifest, told in ((MANIFEST, known()), (OTHER, more)):
        path = found / groups.place("av_enhancement", "talkers", manifest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(groups.text(told))
    code, output = cli("build", "--root", found)
    assert code == 0, output
    pages = [(found / "av_enhancement" / f"by_{by}" / "talkers.md").read_text() for by in ("sex", "noise")]
    assert [page.count("\n## ") for page in pages] == [2, 1] and "street" not in pages[1]
    assert cli("check", "--root", found)[0] == 0
    (each,) = board.boards(everything(found))
    assert len(groups.by_groups(each, "noise", groups.Kept(found))) == 1
    (found / groups.place("av_enhancement", "talkers", MANIFEST)).write_text(groups.text(more))
    assert not any("/by_noise/" in name for name in board.files(found))
    with pytest.raises(UsageError, match="--by noise: "):  # asked for by name, it is told why there is none
        groups.by_groups(each, "noise", groups.Kept(found))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: text.replace("p00_0,p00", "p00_0,p01"), "got none 'p00_0' of 'p00'"),
        (lambda text: text.replace("p00_0,p00,f,pink\n", ""), "got none 'p00_0' of 'p00'"),
        (lambda text: text.replace("sample,speaker,sex", "sample,speaker,name"), "expected the columns"),
        (lambda text: text + text.splitlines()[1] + "\n", "expected 4 cells of another sample in line 62"),
        (lambda text: text + "x,y\n", "expected 4 cells of another sample in line 62"),
        (lambda text: text + "x" * (groups.MOST + 1), "expected a plain file of at most"),
    ],
)
def test_a_file_that_is_not_of_the_rows_is_refused(root, change, message):
    path = root / groups.place("av_enhancement", "talkers", MANIFEST)
    path.write_text(change(path.read_text()))
    with pytest.raises(SubmissionError, match=message):
        board.files(root)


def test_hostile_names_of_groups_stay_text(root):
    path = root / groups.place("av_enhancement", "talkers", MANIFEST)
    path.write_text(path.read_text().replace("pink", "=1+1 <script>|`"))
    made_files = board.files(root)
    page = made_files["av_enhancement/by_noise/talkers.md"]
    assert "<script" not in page.replace("\\<", "") and "=1+1" in page
    cells = [
        cell for line in csv.reader(io.StringIO(made_files["av_enhancement/by_noise/talkers.csv"])) for cell in line
    ]
    assert not any(cell.startswith("=") for cell in cells)


def test_check_finds_them_stale_and_build_takes_away_what_is_of_nothing(root):
    assert cli("build", "--root", root)[0] == 0 and cli("check", "--root", root)[0] == 0
    page = root / "av_enhancement/by_sex/talkers.md"
    page.write_text(page.read_text().replace("f (10)", "f (11)"))
    code, output = cli("check", "--root", root)
    assert code == 1 and "av_enhancement/by_sex/talkers.md" in output
    left = [root / "av_enhancement/by_age/talkers.md", root / groups.place("av_enhancement", "talkers", "b" * 64)]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("sample,speaker\n")
    assert all(path.name in cli("check", "--root", root)[1] for path in left)
    assert cli("build", "--root", root)[0] == 0
    assert not any(path.exists() for path in left) and "f (10)" in page.read_text()


def corpus(folder):
    """The manifest of a folder's rows, and a run of it."""
    rows = [Row(name, each.speaker, {}, {}, dict(each.attributes)) for name, each in known().items()]
    manifest = write_manifest(
        folder / "m.jsonl", rows, dataset="talkers", revision="1", split="test", task="av_enhancement"
    )
    result, scores = made(numbers(1, 0.0), PEOPLE, manifest_sha256=manifest.sha256)
    path = run_directory(folder / "runs", result, scores)
    about = {"run_id": result.run_id, "root": str(folder), "manifest": str(folder / "m.jsonl")}
    (path / "run.json").write_text(json.dumps(about))
    return manifest, (result, scores), path


def test_what_is_known_of_samples_is_kept_of_published_rows_of_known_data(tmp_path, monkeypatch):
    manifest, run, path = corpus(tmp_path)
    root = publish(tmp_path / "leaderboards", run)
    code, output = cli("samples", path, "--root", root)
    assert code != 0 and "data that known.toml lists" in output
    (root / "known.toml").write_text((root / "known.toml").read_text().replace(MANIFEST, manifest.sha256))
    code, output = cli("samples", path, "--root", root)
    written = root / groups.place("av_enhancement", "talkers", manifest.sha256)
    assert code == 0 and str(written) in output
    assert written.read_text() == groups.text(known()) and "not published" not in written.read_text()
    written.unlink()
    monkeypatch.setattr(groups, "MOST", 1 << 10)
    code, output = cli("samples", path, "--root", root)
    assert code != 0 and "at most 1 KiB of what is known of samples, got 2 KiB of 60 of 'talkers'" in output
    assert not written.exists()
    empty = publish(tmp_path / "empty")
    code, output = cli("samples", path, "--root", empty)
    assert code != 0 and "a run whose result is published" in output


def test_show_prints_a_board_by_anything_and_refuses_what_it_is_not(root, monkeypatch):
    monkeypatch.setattr("benchmark.results.attributes.known_samples", lambda *_: known())
    asked = ("leaderboard", "show", "av_enhancement/talkers", "--root", root, "--by", "sex")
    ended = command(*asked, "--columns", "si_sdr")
    assert ended.returncode == 0, ended.stderr
    assert "f less m" in ended.stdout and "noisy" in ended.stdout and "pesq" not in ended.stdout
    ended = command(*asked, "--columns", "si_sdx")
    assert ended.returncode == 2 and "has no such number. It has: si_sdr" in ended.stderr
    ended = command("leaderboard", "show", "av_enhancement/talker", "--by", "sex", "--root", root)
    assert ended.returncode == 2 and "Did you mean 'av_enhancement/talkers'" in ended.stderr


def test_what_is_published_of_samples_is_of_published_rows():
    kept = groups.Kept(ROOT)
    for each in everything():
        assert kept(each), each.place
    assert not groups.stale(everything())
