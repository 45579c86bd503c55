"""`score` of faces without a dataset: whose face is whose, tables, the numbers of a run, kept work, bad files."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from commands import ended
from PIL import Image

from benchmark.datasets.manifest import Row, read_manifest, write_manifest
from benchmark.errors import MissingWeights, PrerequisiteError, UsageError
from benchmark.media import read_image, write_audio, write_image
from benchmark.pairs import faces as faces_module
from benchmark.pairs.faces import find_faces
from benchmark.pairs.listing import FACES, listed, medium_of
from benchmark.pairs.people import read_people
from benchmark.pairs.scoring import PairRequest, Scores, score_pairs
from benchmark.results.schema import PairResult, PairSpec
from benchmark.runs.directory import Prediction, content_hash
from benchmark.runs.evaluation import read_result
from benchmark.runs.scoring import FaceReader, Scorer, Work, aggregate, gallery, make_metrics
from benchmark.types import Audio
from benchmark.weights.networks import Networks

FAST = ("face_similarity", "retrieval")


def picture(seed: int, side: int = 24) -> np.ndarray:
    """Coloured patches: no face, but of a descriptor of its own."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(patches).resize((side, side), Image.Resampling.NEAREST))


def put(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        write_image(path, picture(seed))
    else:
        Image.fromarray(picture(seed)).save(path)
    return path


def tree(root: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        put(root / name, seed)
    return root


@pytest.fixture
def people(tmp_path):
    """Six people: two true faces of each, two made ones that are near the first and the second, a table."""
    for number in range(6):
        for place in range(2):
            put(tmp_path / f"true/p{number}/{place}.png", 10 * number + place)
            near = picture(10 * number + place).astype(int) + np.random.default_rng(number).integers(-9, 9, (24, 24, 3))
            (tmp_path / f"made/p{number}").mkdir(parents=True, exist_ok=True)
            write_image(tmp_path / f"made/p{number}/m{place}.png", near.clip(0, 255).astype(np.uint8))
    rows = (f"p{number},{'fm'[number % 2]},{20 + number},{number / 2},g{number % 3}" for number in range(6))
    (tmp_path / "people.csv").write_text("person,sex,age,score,group\n" + "\n".join(rows) + "\n")
    return tmp_path


def scored(root: Path, **changes) -> Scores:
    request = {"estimate": root / "made", "reference": root / "true", "metrics": FAST, "workers": 0}
    return score_pairs(PairRequest(**{**request, "out": root / "scores", **changes}))


def table(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


def close(one: dict[str, dict[str, str]], two: dict[str, dict[str, str]]) -> bool:
    """Whether two tables are equal but for the rounding of a network that sees its pictures in other batches."""

    def alike(a: str, b: str) -> bool:
        try:
            return float(a) == pytest.approx(float(b), abs=2e-5)
        except ValueError:
            return a == b

    assert one.keys() == two.keys()
    return all(alike(value, two[key][name]) for key, row in one.items() for name, value in row.items())


def met(found) -> list[tuple[str, str]]:
    return [(pair.id, pair.speaker) for pair in found.pairs]


def held(found) -> dict[str, list[str]]:
    return {person.speaker: [path.name for path in person.targets["face"]] for person in found.people}


# -- whose face is whose ----------------------------------------------------------------------------------------------


def test_people_meet_by_folder_or_by_name_and_all_of_the_reference_are_in_the_gallery(tmp_path):
    true = tree(tmp_path / "true", "ann/1.png", "ann/deep/2.jpg", "bob.png", "cy/1.png")
    made = tree(tmp_path / "made", "ann.png", "bob/a.png", "bob/b.bmp", "dan/1.png")
    found = find_faces(made, true)
    assert met(found) == [("ann", "ann"), ("bob/a", "bob"), ("bob/b", "bob")]
    assert held(found) == {"ann": ["1.png", "2.jpg"], "bob": ["bob.png"], "cy": ["1.png"]}
    assert (found.reference_only, found.estimate_only, found.clusters) == (("cy",), ("dan",), "people")
    assert dict(found.judged) == {"ann": 1, "bob": 2}
    assert (
        found.notes[0].startswith("whose face is whose: by the top folder") and "3 faces of 2 people" in found.notes[0]
    )


def test_folders_that_differ_meet_by_name_where_it_is_unique(tmp_path):
    true = tree(tmp_path / "true", "f/ann.png", "m/bob.png")
    found = find_faces(tree(tmp_path / "made", "all/ann.jpg", "all/bob.jpg"), true)
    assert met(found) == [("ann", "ann"), ("bob", "bob")] and "by the name of each picture" in found.notes[0]
    with pytest.raises(UsageError, match="'ann' alone is not unique"):
        find_faces(tree(tmp_path / "more", "x/ann.jpg", "y/ann.jpg"), true)


def test_nobody_on_both_sides_is_told_with_the_ways_to_name_people(tmp_path):
    with pytest.raises(UsageError, match=r"Nobody is on both sides.*'zoe'.*'ann'.*PERSON.*--speakers"):
        find_faces(tree(tmp_path / "made", "zoe/1.png"), tree(tmp_path / "true", "ann/2.png"))


def test_names_that_differ_in_case_do_not_meet_and_it_is_told(tmp_path):
    found = find_faces(tree(tmp_path / "made", "Ann/1.png", "bob/1.png"), tree(tmp_path / "true", "ann.png", "bob.png"))
    assert met(found) == [("bob/1", "bob")]
    assert any("upper and lower case alone" in note and "'Ann' and 'ann'" in note for note in found.notes)


def test_two_pictures_meet_whatever_their_names(tmp_path):
    found = find_faces(put(tmp_path / "mine.png"), put(tmp_path / "true.jpg"))
    assert met(found) == [("mine", "mine")] and held(found) == {"mine": ["true.jpg"]}


def test_accents_are_one_whatever_their_form_and_odd_names_are_names(tmp_path):
    made = tree(tmp_path / "made", "Zoe\u0308/1.png", "a b#c/1.png")
    found = find_faces(made, tree(tmp_path / "true", "Zo\u00eb.png", "a b#c.png"))
    assert set(met(found)) == {("Zo\u00eb/1", "Zo\u00eb"), ("a b#c/1", "a b#c")}


def test_lists_give_one_person_several_pictures(tmp_path):
    files = tree(tmp_path / "files", "x.png", "y.png", "z.png", "w.png")
    (tmp_path / "true.csv").write_text("person,path\nann,files/x.png\nann,files/y.png\nbob,files/z.png\n")
    (tmp_path / "made.txt").write_text("ann files/w.png\nbob files/gone.png\n")
    found = find_faces(tmp_path / "made.txt", tmp_path / "true.csv")
    assert met(found) == [("ann", "ann"), ("bob", "bob")] and held(found) == {
        "ann": ["x.png", "y.png"],
        "bob": ["z.png"],
    }
    assert any("1 lines of" in note and "name no file" in note for note in found.notes)
    assert files.is_dir()


def test_a_list_of_paths_alone_is_read_as_the_folder_that_they_share(tmp_path):
    tree(tmp_path / "files", "true/ann/1.png", "true/ann/2.png", "true/bob/1.png", "made/ann/1.png", "made/bob/1.png")
    for side in ("true", "made"):
        names = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "files" / side).rglob("*.png"))
        (tmp_path / f"{side}.txt").write_text("\n".join(names) + "\n")
    found = find_faces(tmp_path / "made.txt", tmp_path / "true.txt")
    assert met(found) == [("ann/1", "ann"), ("bob/1", "bob")] and held(found)["ann"] == ["1.png", "2.png"]


@pytest.mark.parametrize("line", [".", "/", ".."])
def test_a_line_that_names_a_folder_is_a_lost_file_like_others(tmp_path, line):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    listing = tmp_path / "list.txt"
    listing.write_text(f"a.png\n{line}\n")
    found = listed(listing, "--estimate", FACES)
    assert len(found.files) == 2 and len(found.lost) == 1 and tmp_path / "a.png" in found.files.values()


def test_a_table_says_whose_each_picture_is(tmp_path):
    true = tree(tmp_path / "true", "1.png", "2.png", "3.png")
    made = tree(tmp_path / "made", "4.png", "5.png")
    (tmp_path / "who.csv").write_text("image,identity\n1.png,ann\n2.png,ann\n3.png,bob\n4.png,ann\n5.png,bob\n")
    found = find_faces(made, true, tmp_path / "who.csv")
    assert met(found) == [("4", "ann"), ("5", "bob")] and held(found) == {"ann": ["1.png", "2.png"], "bob": ["3.png"]}
    (tmp_path / "who.csv").write_text("image,identity\n1.png,ann\n4.png,ann\n")
    with pytest.raises(UsageError, match="names no speaker for 3 of 5 files: '5'"):
        find_faces(made, true, tmp_path / "who.csv")


@pytest.mark.parametrize("side", ["made", "true"])
def test_two_pictures_of_one_name_are_an_error_that_names_both(tmp_path, side):
    for each in ("made", "true"):
        tree(tmp_path / each, "ann/1.png")
    tree(tmp_path / side, "ann/1.bmp")
    with pytest.raises(UsageError, match=r"'ann/1': .*1\.bmp, .*1\.png"):
        find_faces(tmp_path / "made", tmp_path / "true")


def test_links_in_a_circle_and_folders_named_as_pictures_are_no_pictures(tmp_path):
    made = tree(tmp_path / "made", "ann/1.png")
    (made / "ann/2.png").mkdir()
    (made / "ann/up").symlink_to(made)
    assert met(find_faces(made, tree(tmp_path / "true", "ann.png"))) == [("ann/1", "ann")]


# -- faces or speech --------------------------------------------------------------------------------------------------


def test_what_is_judged_is_seen_from_the_files(tmp_path):
    faces, both = tree(tmp_path / "faces", "a.png"), tree(tmp_path / "both", "a.png", "b.png")
    sound = tmp_path / "sound"
    sound.mkdir()
    for path in (sound / "a.wav", both / "a.wav"):
        path.write_bytes(b"RIFF")
    (tmp_path / "faces.txt").write_text("x faces/a.png\n")
    assert medium_of(faces, None).judged == medium_of(faces / "a.png", None).judged == "faces"
    assert medium_of(tmp_path / "faces.txt", both).judged == "faces"
    assert medium_of(sound, both).judged == "speech"
    assert medium_of(both, None, "faces").judged == "faces" and medium_of(both, None, "speech").judged == "speech"
    with pytest.raises(UsageError, match=r"2 pictures and 1 sound files or videos, and one kind"):
        medium_of(both, faces)
    with pytest.raises(UsageError, match="holds pictures, --reference .* sound files or videos: faces are compared"):
        medium_of(faces, sound)
    with pytest.raises(UsageError, match="holds sound files or videos, --reference .* pictures"):
        medium_of(sound / "a.wav", faces)
    others = tmp_path / "others"
    others.mkdir()
    (others / "a.heic").write_bytes(b"x")
    assert medium_of(others, faces).judged == "faces"
    with pytest.raises(UsageError, match=r"holds no sound file, video or picture \(1 others\)"):
        medium_of(others, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ("pesq_wb",)}, "'pesq_wb' does not measure faces"),
        ({"metrics": ("face_cosin",)}, "Did you mean 'face_cosine'"),
        ({"align": True}, "--align is for speech"),
        ({"texts": "grid"}, "--texts is for speech"),
        ({"reference": None}, "'face_similarity' compares with true faces: give --reference"),
        ({"metric_sets": ("gallery=3",)}, "--metric-set gallery=3"),
        ({"face_network": "dlip"}, "Did you mean 'dlib'"),
    ],
)
def test_wrong_arguments_are_refused(people, changes, message):
    with pytest.raises(UsageError, match=message):
        scored(people, **changes)


def test_a_network_that_is_not_here_is_one_message(people):
    with pytest.raises(PrerequisiteError, match="facenet_vggface2"):
        scored(people, face_network="facenet140")


# -- the numbers ------------------------------------------------------------------------------------------------------


def test_cosines_ranks_and_areas_are_those_of_plain_numpy(people):
    result = scored(people).result
    embed = Networks()("dlib").embed
    names = [f"p{number}" for number in range(6)]
    true = [
        embed([read_image(p) for p in sorted((people / "true" / n).iterdir())]).vectors.astype(float) for n in names
    ]
    means = np.stack([vectors.mean(axis=0) for vectors in true])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    files = [(whose, path) for whose, n in enumerate(names) for path in sorted((people / "made" / n).iterdir())]
    made = embed([read_image(path) for _, path in files]).vectors.astype(float)
    cosines, own = made @ means.T, np.array([whose for whose, _ in files])
    matched = cosines[np.arange(len(own)), own]
    others = np.ones(cosines.shape, bool)
    others[np.arange(len(own)), own] = False
    rank = (cosines > matched[:, None]).sum(axis=1)
    expected = {
        "face_cosine": matched.mean(),
        "face_cosine_mismatched": cosines[others].mean(),
        "face_l1": np.abs(made - means[own]).sum(axis=1).mean(),
        "face_auc": (matched[:, None] > cosines[others][None]).mean(),
        "recall_at_1": (rank < 1).mean(),
        "recall_at_2": (rank < 2).mean(),
        "chance_recall_at_2": 2 / 6,
    }
    for name, value in expected.items():
        item = result.aggregate(name)
        assert item.value == pytest.approx(value, abs=1e-5), name
        assert (item.scored, item.total) == (12, 12)
    cosine = result.aggregate("face_cosine")
    assert cosine.low < cosine.value < cosine.high and result.speakers == 6 and result.judged == "faces"


def test_one_face_a_person_gives_the_numbers_of_a_run(people):
    """Rows, intervals and signatures: those of `benchmark.runs`, which read the same pictures from a run's folder."""
    made, names = people / "one", [f"p{number}" for number in range(6)]
    for number, name in enumerate(names):
        put(made / f"{name}.png", 10 * number)
    metrics = (*FAST, "vggface_score", "sex_agreement", "age_agreement", "face_detection_rate", "craniofacial")
    sets = ("classifier=face_heads:talkers", "splits=2")
    got = scored(people, estimate=made, metrics=metrics, metric_sets=sets, speakers=people / "people.csv")

    rows = [
        Row(name, name, {}, {"face": (f"true/{name}/0.png", f"true/{name}/1.png")}, {"sex": "fm"[n % 2], "age": 20 + n})
        for n, name in enumerate(names)
    ]
    write_manifest(people / "m.jsonl", rows, dataset="mine", revision="1", split="test", task="speech2face")
    samples = read_manifest(people / "m.jsonl", people).samples
    made_metrics = make_metrics(metrics, Networks("cpu", "mine"), {"classifier": "face_heads:talkers", "splits": 2})
    for metric in made_metrics.values():
        metric.prepare(gallery(samples)[0])
    scorer = Scorer(made_metrics, FaceReader())
    predictions = tuple(Prediction(name, name, 0, "ok", f"one/{name}.png") for name in names)
    measured: dict = {name: {} for name in metrics}
    for row in scorer.measure(Work(0, predictions, people, metrics)):
        measured[row.metric][row.key] = row
    expected = {item.name: item for item in aggregate(scorer, measured, samples, 1)}
    assert {item.name for item in got.result.aggregates} == set(expected) and len(expected) > 40
    for item in got.result.aggregates:
        assert item.model_dump() == expected[item.name].model_dump()
    assert got.result.aggregate("sex_agreement").scored == 6 and got.result.aggregate("age_error_label").value > 0


def test_people_without_a_face_stay_in_the_gallery_and_weigh_nothing(people):
    import shutil

    whole = scored(people).result
    shutil.rmtree(people / "made/p5")
    part = scored(people, out=people / "part").result
    assert part.speakers == 5 and part.pairs == 10 and part.reference_only == ["p5"]
    assert "gallery:6x1" in part.aggregate("recall_at_1").signature
    first = lines(people / "scores")
    cosines = [
        row["statistics"]["cosine"] for row in first if row["metric"] == "face_similarity" and row["speaker"] != "p5"
    ]
    assert part.aggregate("face_cosine").value == pytest.approx(np.mean(cosines), abs=1e-9)
    assert whole.aggregate("face_cosine").value != part.aggregate("face_cosine").value


def test_without_a_reference_faces_are_judged_alone(people):
    result = scored(people, reference=None, metrics=()).result
    assert {item.metric for item in result.aggregates} == {"vggface_score", "face_detection_rate"}
    assert result.aggregate("vggface_score").value > 1 and result.clusters == "people"
    assert result.aggregate("face_detection_rate").value == 0


def test_heads_of_a_named_dataset_are_taken_and_nobodys_are_refused():
    networks = Networks("cpu", "")
    assert networks("face_heads:talkers").dataset == "talkers"
    with pytest.raises(MissingWeights, match="say whose heads, as face_heads:talkers"):
        networks("face_heads")


def test_two_folders_of_scores_are_compared_by_speaker_and_by_recording(people):
    from benchmark.results.comparison import compare, find_scored

    for number in range(6):
        put(people / f"worse/p{number}/m0.png", 500 + number)
        put(people / f"worse/p{number}/m1.png", 600 + number)
    folders = scored(people).folder, scored(people, estimate=people / "worse", out=people / "less").folder
    (found,) = compare([find_scored(str(folder), people) for folder in folders], draws=50)
    names = {item.name for item in found.differences}
    assert {"face_cosine", "face_auc", "recall_at_1", "recall_at_1_by_recording"} <= names
    assert not {name for name in names if name.startswith(("chance_", "recall_at_20"))}
    (cosine,) = (item for item in found.differences if item.name == "face_cosine")
    assert cosine.first_is_ahead and cosine.low > 0


# -- what a table says ------------------------------------------------------------------------------------------------


def test_what_the_table_says_is_with_every_row_and_in_the_gallery(people):
    with (people / "people.csv").open("a") as file:
        file.write("stranger,f,20,,\n")
    (people / "people.csv").write_text((people / "people.csv").read_text().replace("p1,m,21", "p1,x,old"))
    scores = scored(people, speakers=people / "people.csv", metrics=("sex_agreement", "retrieval"))
    samples = read_manifest(scores.folder / "manifest.jsonl", scores.folder).samples
    about = {sample.id: dict(sample.attributes) for sample in samples}
    assert about["p2/m0"] == {"sex": "f", "age": 22.0, "score": 1.0, "group": "g2"}
    assert about["p1/m1"] == {"score": 0.5, "group": "g1"}
    assert {sample.speaker for sample in samples} == {f"p{n}" for n in range(6)}
    notes = "\n".join(scores.notes)
    assert "line 3: sex 'x' is not used" in notes and "line 3: age 'old' is not used" in notes
    assert "1 people of" in notes and "'stranger'" in notes
    sex = scores.result.aggregate("sex_agreement")
    assert (sex.scored, sex.total) == (10, 12) and scores.result.aggregate("sex_agreement_face").scored == 12
    assert scores.result.aggregate("recall_at_1_within").scored == 10


def test_of_one_person_it_is_said_that_nobody_else_is_there(tmp_path):
    put(tmp_path / "true/ann.png")
    put(tmp_path / "made/ann.png", 1)
    result = scored(tmp_path, metrics=("retrieval",)).result
    for name in ("recall_at_1", "recall_at_1_full"):
        (reason,) = result.aggregate(name).reasons
        assert "holds nobody else" in reason


def test_tables_that_are_none_are_refused_with_what_is_expected(tmp_path):
    def message(content: bytes, name: str = "t.csv") -> str:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError) as told:
            read_people(tmp_path / name)
        return str(told.value)

    assert "no column called person" in message(b"name,sex,age\nann,f,3\n")
    assert "a header and no row" in message(b"person,sex,age\n")
    assert "line 2: 4 cells, and the header has 3" in message(b"person,sex,age\nann,f,3,4\n")
    assert "line 2: byte 0xe9 is not UTF-8" in message("person,sex,age\nJos\xe9,f,3\n".encode("latin-1"))


def test_a_table_of_files_may_contradict_itself_and_the_first_line_counts(tmp_path):
    (tmp_path / "t.csv").write_text("id,person,sex,snr\na/1.png,ann,f,-5\na/2.png,ann,m,loud\nb,bob,,\n")
    table = read_people(tmp_path / "t.csv")
    assert table.of("ann", "a/1") == {"sex": "f", "snr": -5.0} and table.of("ann", "a/2") == {"sex": "f", "snr": "loud"}
    assert table.about("ann") == {"sex": "f"} and table.of("bob", "b") == {}
    (note,) = table.notes
    assert "line 3: sex 'm' of 'ann', and line 2 says 'f'" in note


# -- kept work --------------------------------------------------------------------------------------------------------


def test_a_replaced_face_is_measured_again_and_nothing_else(people):
    first = scored(people)
    count = len(lines(first.folder))
    scored(people)
    assert len(lines(first.folder)) == count
    before = table(first.folder)
    put(people / "made/p3/m0.png", 99)
    again = table(scored(people).folder)
    assert len(lines(first.folder)) == count + len(FAST)
    changed = {key for key in before if before[key] != again[key]}
    assert changed == {"p3/m0"}
    assert close(again, table(scored(people, out=people / "fresh").folder))


@pytest.mark.parametrize("change", ["pictures", "people", "sex", "faces"])
def test_a_change_of_the_gallery_makes_every_row_new(people, change):
    """Ranks and floors of everybody hang on it."""
    request = {"speakers": people / "people.csv", "metrics": ("retrieval",)}
    scored(people, **request)
    if change == "pictures":
        put(people / "true/p3/0.png", 99)
    elif change == "people":
        put(people / "true/new.png", 99)
    elif change == "sex":
        (people / "people.csv").write_text((people / "people.csv").read_text().replace("p1,m", "p1,f"))
    else:
        put(people / "made/p3/m2.png", 99)
    kept, fresh = scored(people, **request), scored(people, **request, out=people / "fresh")
    assert close(table(kept.folder), table(fresh.folder))


def test_work_goes_on_after_a_kill(people):
    whole = scored(people)
    rows = (whole.folder / "scores.jsonl").read_text()
    half = rows[: len(rows) // 2]
    (whole.folder / "scores.jsonl").write_text(half)
    again = scored(people)
    assert len(lines(whole.folder)) == 24
    for one, two in zip(again.result.aggregates, whole.result.aggregates, strict=True):
        assert (one.name, one.scored, one.value) == (two.name, two.scored, pytest.approx(two.value, abs=1e-6))
    assert (whole.folder / "scores.jsonl").read_text().startswith(half[: half.rindex("\n")])


def test_processes_measure_as_one_does(people):
    one, two = scored(people), scored(people, workers=2, out=people / "two")
    assert close(table(one.folder), table(two.folder))


# -- bad files --------------------------------------------------------------------------------------------------------


def bad(kind: str, path: Path) -> str:
    """Write a picture that has something wrong with it, and return what its row says of it."""
    image = Image.fromarray(picture(3, 64))
    if kind == "corrupt":
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("hello")
    elif kind == "cut short":
        image.save(path, "JPEG", quality=95)
        path.write_bytes(path.read_bytes()[:700])
    elif kind == "huge":
        Image.new("1", (9000, 9000)).save(path)
    elif kind == "floats":
        Image.fromarray(np.zeros((8, 8), np.float32)).save(path, "TIFF")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere.png")
    reasons = {"corrupt": "cut short", "empty": "0 bytes", "text": "not a readable picture"}
    reasons |= {"cut short": "cut short", "huge": "expected at most 64 million", "floats": "floating-point"}
    return reasons.get(kind, {"pipe": "not a regular file", "link": "does not exist"}.get(kind, ""))


BAD = ("corrupt", "empty", "text", "cut short", "huge", "floats", "pipe", "link")


def test_a_bad_face_is_one_failed_row_and_a_bad_true_face_is_told(people):
    good = {key: row["face_cosine"] for key, row in table(scored(people, out=people / "good").folder).items()}
    reasons = {f"p{number % 6}/{kind}": bad(kind, people / f"made/p{number % 6}/{kind}.png")
               for number, kind in enumerate(BAD)}  # fmt: skip
    scores = scored(people)
    rows = table(scores.folder)
    assert scores.result.failures.rows == len(BAD) and scores.result.aggregate("face_cosine").scored == 12
    for key, reason in reasons.items():
        assert "failed: " in rows[key]["reasons"] and reason in rows[key]["reasons"] and not rows[key]["face_cosine"]
    assert {key: rows[key]["face_cosine"] for key in good} == good
    (people / "true/p0/9.png").write_bytes(b"x")
    for path in (people / "true/p1").iterdir():
        path.write_bytes(b"")
    scores = scored(people, out=people / "again")
    notes = "\n".join(scores.notes)
    assert "9.png: not a readable picture" in notes and "'p1' has no readable face and is not in the gallery" in notes
    assert "identity 'p1' is not in the gallery" in table(scores.folder)["p1/m0"]["reasons"]
    assert table(scores.folder)["p2/m0"]["face_cosine"] == good["p2/m0"]


def test_forms_of_pictures_that_can_be_read_give_the_same_face(people):
    """Grey of one depth or another, an alpha that hides nothing, a picture that is stored on its side."""
    import shutil

    shutil.rmtree(people / "made")
    grey = Image.fromarray(picture(7, 48)).convert("L")
    forms = people / "made/p0"
    forms.mkdir(parents=True)
    grey.save(forms / "grey.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(forms / "deep.png")
    grey.convert("RGBA").save(forms / "alpha.png")
    grey.save(forms / "frames.gif", save_all=True, append_images=[grey.rotate(90)])
    turned = Image.Exif()
    turned[0x112] = 6
    grey.rotate(90).save(forms / "turned.png", exif=turned)
    Image.fromarray(picture(7, 8)).save(forms / "tiny.png")
    rows = table(scored(people).folder)
    values = {key: float(row["face_cosine"]) for key, row in rows.items()}
    assert len(values) == 6
    for name in ("deep", "alpha", "frames", "turned"):
        assert values[f"p0/{name}"] == pytest.approx(values["p0/grey"], abs=1e-6), name


def test_a_reference_without_a_readable_picture_is_refused(tmp_path):
    tree(tmp_path / "made", "ann.png")
    (tmp_path / "true").mkdir()
    (tmp_path / "true/ann.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="none of its pictures can be read: .*ann.png"):
        scored(tmp_path)


def test_copies_of_true_faces_are_told(people):
    (people / "made/p4/m1.png").write_bytes((people / "true/p4/0.png").read_bytes())
    assert any("1 faces are copies of true pictures" in note and "'p4/m1'" in note for note in scored(people).notes)


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_a_table_and_draws_what_was_compared(people):
    write_image(people / "made/p3/m1.png", np.full((24, 24, 3), (201, 11, 77), np.uint8))
    arguments = ["score", "-r", "true", "-e", "made", "--speakers", "people.csv", "--workers", "0"]
    done = ended(*arguments, "--metrics", "face_similarity,retrieval,sex_agreement", cwd=people)
    assert done.returncode == 0, done.stderr
    for text in ("12 faces, 6 people", "R@1 by speaker % (of 6, chance 16.7)", "95 % interval over people", "12/12"):
        assert text in " ".join(done.stdout.split()), "the head is broken into lines where its paths are long"
    (folder,) = (people / "scores").iterdir()
    report = folder / "report"
    assert {path.name for path in report.iterdir()} == {
        *("table.md", "table.csv", "table.tex", "distributions.png", "recall.png", "contact_sheet.png"),
        *("confusion.png", "confusion.csv"),
    }
    sheet = read_image(report / "contact_sheet.png").reshape(-1, 3)
    colours = {tuple(pixel) for pixel in sheet}
    for path in ("true/p0/0.png", "true/p5/1.png", "made/p3/m1.png"):
        assert tuple(read_image(people / path)[3, 3]) in colours, path
    (people / "made/p0/m0.png").write_bytes(b"")
    again = ended(*arguments, "--metrics", "face_similarity", "--quiet", "--json", cwd=people)
    assert again.returncode == 1 and json.loads(again.stdout)["judged"] == "faces"


def test_ages_of_the_table_are_shown_beside_sex(people):
    """In the order in which a table gives them; what no table gives is told once, below."""
    arguments = ["score", "-r", "true", "-e", "made", "--workers", "0", "--metrics", "sex_agreement,age_agreement"]
    done = ended(*arguments, "--speakers", "people.csv", cwd=people)
    assert done.returncode == 0, done.stderr
    heads = [line.split("  ")[0] for line in done.stdout.splitlines()]
    at = heads.index("sex % ↑")
    assert heads[at + 1 : at + 3] == ["age r, label ↑", "age error, label years ↓"]
    assert heads.index("age r, true face ↑") > at, "what the judge reads in true faces comes later"
    report = (next((people / "scores").iterdir()) / "report/table.md").read_text(encoding="utf-8")
    assert "| sex % ↑ | age r, label ↑ | age error, label years ↓ | age r, true face ↑ |" in report
    bare = ended(*arguments, "--out", "bare", cwd=people)
    assert "age r, label ↑" not in bare.stdout
    assert "undefined in 12: age r, label, age error, label: the speaker's age is not recorded" in bare.stdout


def test_real_portraits_find_their_people_and_shuffled_ones_find_chance(realdata, tmp_path):
    """Half of everybody's pictures against the other half, of ten people of ORL."""
    folders = sorted((realdata / "faces_orl").iterdir())[:10]
    for number, folder in enumerate(folders):
        for k in (1, 3):
            (tmp_path / "true" / folder.name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "true" / folder.name / f"{k}.pgm").symlink_to(folder / f"{k}.pgm")
        for side, whose in (("made", folder), ("wrong", folders[(number + 3) % 10])):
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / f"{folder.name}.pgm").symlink_to(whose / "2.pgm")
    right = scored(tmp_path).result
    wrong = scored(tmp_path, estimate=tmp_path / "wrong", out=tmp_path / "floor").result
    assert right.aggregate("recall_at_1").value >= 0.9 and right.aggregate("face_auc").value > 0.98
    assert wrong.aggregate("recall_at_1").value <= 0.1 and wrong.aggregate("face_auc").value < 0.7
    assert right.aggregate("chance_recall_at_1").value == pytest.approx(0.1)


# -- one folder with faces and speech ----------------------------------------------------------------------------------


@pytest.fixture
def both(people):
    """The six people, each with a recording beside the faces, on both sides."""
    for number in range(6):
        time = np.arange(16_000) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * (100 + 40 * number) * time).astype(np.float32)
        for side in ("true", "made"):
            write_audio(people / side / f"p{number}/voice.wav", Audio(tone, 16_000))
    return people


def test_faces_and_speech_of_one_folder_have_scores_of_their_own(both, monkeypatch):
    monkeypatch.chdir(both)
    faces = scored(Path(), out=None)
    speech = scored(Path(), out=None, metrics=("si_sdr",))
    assert faces.folder != speech.folder
    assert faces.result.judged == "faces" and speech.result.judged == "speech"
    assert read_result(faces.folder, PairResult) == faces.result, "the first is as it was"
    assert len(table(faces.folder)) == 12 and len(table(speech.folder)) == 6
    again = scored(Path(), out=None)
    assert again.folder == faces.folder and lines(again.folder) == lines(faces.folder)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_folder_that_is_named_takes_one_kind(both, legacy):
    faces = scored(both)
    if legacy:  # as written before the kind was kept
        about = json.loads((both / "scores/run.json").read_text())
        del about["judged"], about["spec"]["of_both"]
        (both / "scores/run.json").write_text(json.dumps(about))
    before = {path: path.read_bytes() for path in sorted((both / "scores").rglob("*")) if path.is_file()}
    with pytest.raises(UsageError, match="holds scores of the faces of these files; choose another folder"):
        scored(both, metrics=("si_sdr",))
    assert {path: path.read_bytes() for path in before} == before
    assert scored(both).result.aggregates == faces.result.aggregates


def test_folders_of_one_kind_keep_the_names_that_they_had(people):
    for spec in (scored(people).result.spec, PairSpec(estimate="/a/b", reference=None, align=True, limit=3)):
        old = {key: getattr(spec, key) for key in ("estimate", "reference", "align", "limit")}
        text = json.dumps(old, separators=(",", ":"), ensure_ascii=False)
        assert spec.run_id().rpartition("-")[2] == hashlib.sha256(text.encode()).hexdigest()[:10]


def test_scores_never_lie_among_the_files(people, monkeypatch):
    (people / "file").touch()
    with pytest.raises(UsageError, match=r"--out .*file is a file; expected the folder of the scores"):
        scored(people, out=people / "file")
    with pytest.raises(UsageError, match=r"lies in --estimate .*made.*: give --out a folder elsewhere"):
        scored(people, out=people / "made/scores")
    monkeypatch.chdir(people / "true")
    with pytest.raises(UsageError, match=r"^scores/made-.*lies in --reference \."):
        scored(people, reference=Path(), out=None)
    assert not (people / "true/scores").exists() and not (people / "made/scores").exists()


def test_each_picture_is_hashed_once(people, monkeypatch):
    hashed = Counter()

    def counting(path):
        hashed[path] += 1
        return content_hash(path)

    monkeypatch.setattr(faces_module, "content_hash", counting)
    scored(people)
    assert len(hashed) == 24 and set(hashed.values()) == {1}
