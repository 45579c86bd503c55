"""Shards: what is drawn from them, that they are the same however made, and everything that can be wrong with them."""

from __future__ import annotations

import dataclasses
import errno
import multiprocessing
import os
import resource
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from baselines import person_shards, shards
from baselines.people import People, Person, load_people
from baselines.sf2f.config import Config, Training
from baselines.sf2f.speech import FrontEnd, speech_features
from baselines.sf2f.training import EncoderDecoderRecipe
from baselines.shards import Part, Shard, Shards
from baselines.training import Loop, train
from benchmark import diagnosis
from benchmark.errors import MediaError, PrerequisiteError
from benchmark.media import read_audio, write_audio, write_image
from benchmark.processes import WorkerDied
from benchmark.types import Audio, Sample
from benchmark.weights.table import home

RATE = 16_000
VOICES, FACES = 3, 2


@dataclasses.dataclass(frozen=True)
class Levels:
    """A front-end that is quick, and different everywhere: 8 neighbouring samples a frame."""

    gain: float = 1.0

    def __call__(self, audio: Audio) -> Tensor:
        if not audio.samples.any():
            raise MediaError("silent")
        whole = audio.samples[: len(audio.samples) // 8 * 8]
        return self.gain * torch.from_numpy(whole.reshape(-1, 8).T.copy())


@dataclasses.dataclass(frozen=True)
class Bands:
    """40 bands, of which each frame is a sample repeated."""

    def __call__(self, audio: Audio) -> Tensor:
        return torch.from_numpy(np.arange(1, 41, dtype=np.float32)[:, None] * audio.samples[:200])


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Seven people, not in order of name, with recordings of 0.05 to 0.11 s and portraits of 40 x 30."""
    folder, rng = tmp_path_factory.mktemp("crowd"), np.random.default_rng(0)
    samples = []
    for number in (3, 0, 5, 1, 6, 2, 4):
        voices, faces = [], []
        for take in range(VOICES):
            voices.append(folder / f"{number}_{take}.wav")
            sound = rng.uniform(-0.5, 0.5, 800 + 300 * take + 10 * number).astype(np.float32)
            write_audio(voices[-1], Audio(sound, RATE))
        for take in range(FACES):
            faces.append(folder / f"{number}_{take}.png")
            write_image(faces[-1], rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
        samples.append(Sample(f"s{number}", f"p{number}", {"speech": tuple(voices)}, {"face": tuple(faces)}))
    return samples


def small_shards(monkeypatch: pytest.MonkeyPatch, people: int = 2) -> None:
    """Several for a crowd, made in this process; that others make the same ones is a test of its own."""
    monkeypatch.setattr(shards, "cores", lambda: 1)
    monkeypatch.setattr(person_shards, "FILES", people * (VOICES + FACES))


class Truth(NamedTuple):
    voices: list[np.ndarray]
    faces: list[np.ndarray]


def truths(samples: Sequence[Sample], features=None, side: int = 16) -> list[Truth]:  # type: ignore[no-untyped-def]
    """Features and faces straight from the files, people by name."""
    found = []
    for sample in sorted(samples, key=lambda sample: sample.speaker):
        voices = [(features or Levels())(read_audio(path, RATE)).numpy() for path in sample.inputs["speech"]]
        pictures = [Image.open(path).resize((side, side), Image.Resampling.BICUBIC) for path in sample.targets["face"]]
        found.append(Truth(voices, [np.asarray(picture).transpose(2, 0, 1) for picture in pictures]))
    return found


def files() -> list[Path]:
    return sorted((home() / "shards").rglob("*.safetensors"))


def test_draws_are_those_of_the_files_themselves(crowd: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch)
    people, known = load_people(crowd, Levels(), 16), truths(crowd)
    assert len(files()) == 4 and len(people) == 7
    rng, same = np.random.default_rng(5), np.random.default_rng(5)
    for _ in range(3):
        who = people.draw(rng, 5)
        np.testing.assert_array_equal(who, same.choice(7, 5, replace=False))

        expected = [known[i].faces[same.integers(FACES)] for i in who]
        np.testing.assert_array_equal(people.faces(who, rng).numpy(), expected)

        expected = []
        for i in who:
            voice = known[i].voices[same.integers(VOICES)]
            start = same.integers(voice.shape[1] - 90 + 1)
            expected.append(voice[:, start : start + 90])
        crops = people.crops(who, rng, 90)
        assert crops.is_contiguous() and crops.dtype == torch.float32
        np.testing.assert_array_equal(crops.numpy(), expected)

        expected = []
        for i in who:
            voice = known[i].voices[same.integers(VOICES)]
            if voice.shape[1] < 150:
                voice = np.pad(voice, ((0, 0), (0, 150 - voice.shape[1])), constant_values=-7.0)
                expected.append(voice)
            else:
                start = same.integers(voice.shape[1] - 150 + 1)
                expected.append(voice[:, start : start + 150])
        np.testing.assert_array_equal(people.crops(who, rng, 150, -7.0).numpy(), expected)

        expected = []
        for i in who:
            joined = np.zeros((8, 0), np.float32)
            while joined.shape[1] < 500:
                for take in same.permutation(VOICES):
                    joined = np.concatenate([joined, known[i].voices[take]], axis=1)
                    if joined.shape[1] >= 500:
                        break
            start = same.integers(joined.shape[1] - 500 + 1)
            expected.append(joined[:, start : start + 500])
        np.testing.assert_array_equal(people.long_crops(who, rng, 500).numpy(), expected)

        expected = []
        for i in who:
            long = [voice for voice in known[i].voices if voice.shape[1] > 60]
            pieces: list[np.ndarray] = []
            while len(pieces) < 4:
                for take in same.permutation(len(long)):
                    start = same.integers(long[take].shape[1] - 60)
                    ends = range(start + 60, long[take].shape[1] + 1, 60)
                    pieces += [long[take][:, end - 60 : end] for end in ends]
            expected.append(pieces[:4])
        segments = people.segments(who, rng, 4, 60)
        assert segments.is_contiguous()
        np.testing.assert_array_equal(segments.numpy(), expected)
        assert rng.bit_generator.state == same.bit_generator.state


def test_a_training_is_the_same_as_from_people_in_memory(
    crowd: list[Sample], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_shards(monkeypatch)
    held = [
        Person(f"p{n}", tuple(map(torch.from_numpy, truth.voices)), torch.from_numpy(np.array(truth.faces)))
        for n, truth in enumerate(truths(crowd, Bands(), 64))
    ]
    weights = []
    for name, people in {"held": People(held), "shards": load_people(crowd, Bands(), 64)}.items():
        settings = Training(batch=4, perceptual=0.0)
        recipe = EncoderDecoderRecipe(Config(width=0.05), settings, people, None, None)
        weights.append(load_file(train(recipe, tmp_path / name, 2, Loop(device="cpu"))))
    assert all(tensor.equal(weights[1][name]) for name, tensor in weights[0].items())


def test_mean_faces_and_counts(crowd: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch)
    fewer = [dataclasses.replace(s, targets={"face": s.targets["face"][:1]}) if s.speaker == "p1" else s for s in crowd]
    people, known = load_people(fewer, Levels(), 16, 2), truths(fewer)
    assert people.voice_counts.tolist() == [2] * 7 and people.face_counts.tolist() == [2, 1, 2, 2, 2, 2, 2]
    made = people.mean_faces(np.array([6, 1, 1]))
    assert made.shape == (3, 3, 16, 16) and made.dtype == torch.float32
    np.testing.assert_allclose(made, [np.mean(known[i].faces, axis=0, dtype=float) for i in (6, 1, 1)], atol=1e-4)
    held = People([Person("a", (), torch.tensor([0, 255, 255]).byte()[:, None, None, None].expand(3, 3, 2, 2))])
    assert held.mean_faces(np.array([0, 0])).eq(170).all()


def test_persons_are_a_sequence(crowd: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch, 3)
    people, known = load_people(crowd, Levels(), 16), truths(crowd)
    assert [person.id for person in people.persons] == [f"p{n}" for n in range(7)]
    assert [person.id for person in people.persons[5:]] == ["p5", "p6"] and people.persons[-1].id == "p6"
    with pytest.raises(IndexError):
        people.persons[7]
    voices = people.persons[4].voices
    for got, expected in zip(voices, known[4].voices, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert voices[-1].equal(voices[2]) and len(voices[1:]) == 2
    with pytest.raises(IndexError):
        voices[3]


def test_features_are_those_that_inference_computes(tmp_path: Path) -> None:
    time_s = np.arange(2 * RATE) / RATE
    sound = (0.3 * np.sin(2 * np.pi * 200 * time_s) * (1 + np.sin(2 * np.pi * 3 * time_s))).astype(np.float32)
    write_audio(tmp_path / "a.wav", Audio(sound, RATE))
    write_image(tmp_path / "f.png", np.zeros((64, 64, 3), np.uint8))
    sample = Sample("a", "a", {"speech": (tmp_path / "a.wav",)}, {"face": (tmp_path / "f.png",)})
    config = Config()
    (person,) = load_people([sample], FrontEnd(config.shortest_s, config.vad), 64).persons
    assert person.voices[0].equal(speech_features(read_audio(tmp_path / "a.wav", RATE), config))


def test_without_a_front_end_no_sound_is_read(crowd: list[Sample]) -> None:
    mute = [dataclasses.replace(s, inputs={"speech": (Path("nowhere.wav"),)}) for s in crowd]
    people = load_people(mute, None, 16)
    assert len(people) == 7 and not people.problems and len(people.persons[0].voices) == 0


def test_the_bytes_are_the_same_however_many_processes_make_them(
    crowd: list[Sample], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_shards(monkeypatch)
    made = []
    for workers in (1, 3):
        monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / str(workers)))
        monkeypatch.setattr(shards, "cores", lambda workers=workers: workers)
        told: list[tuple[int, int, str]] = []
        load_people(crowd, Levels(), 16, progress=lambda *report, told=told: told.append(report))
        assert told[0] == (0, 7, "people") and told[-1] == (7, 7, "people") and sorted(told) == told
        made.append({path.relative_to(home()): path.read_bytes() for path in files()})
    assert made[0] == made[1] and len(made[0]) == 4


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded."""
    opened: list[str] = []
    monkeypatch.setattr(shards, "cores", lambda: 1)
    for name in ("read_audio", "read_image"):
        read = getattr(person_shards, name)

        def noted(path: Path, *rest: object, read=read):  # type: ignore[no-untyped-def]
            opened.append(path.name)
            return read(path, *rest)

        monkeypatch.setattr(person_shards, name, noted)
    return opened


def test_shards_are_made_once_and_taken_over_by_a_larger_corpus(
    crowd: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shards(monkeypatch)
    opened = watched(monkeypatch)
    four = [sample for sample in crowd if sample.speaker < "p4"]
    load_people(four, Levels(), 16)
    assert len(opened) == len(set(opened)) == 4 * 5
    opened.clear()
    load_people(four, Levels(), 16)
    assert not opened
    load_people(crowd, Levels(), 16)
    assert {name[0] for name in opened} == {"4", "5", "6"} and len(opened) == 3 * 5


@pytest.mark.parametrize(
    "other",
    [
        {"features": Levels(2.0)},
        {"resolution": 8},
        {"recordings": 1},
        {"resampling": Image.Resampling.NEAREST},
    ],
)
def test_other_settings_have_shards_of_their_own(crowd: list[Sample], other: dict[str, object]) -> None:
    one = {"features": Levels(), "resolution": 16, "recordings": 0, "resampling": Image.Resampling.BICUBIC}
    load_people(crowd, **one)  # type: ignore[arg-type]
    load_people(crowd, **{**one, **other})  # type: ignore[arg-type]
    assert len(files()) == 2 and len({path.parent for path in files()}) == 2


def test_front_ends_of_other_code_have_shards_of_their_own() -> None:
    settings = [("shortest_s", float), ("vad", bool)]
    Other = dataclasses.make_dataclass(FrontEnd.__qualname__, settings, frozen=True)
    Other.__module__ = __name__
    makers = [
        person_shards.PersonMaker(front_end(1.0, True), 64, 0, Image.Resampling.BICUBIC)
        for front_end in (FrontEnd, Other)
    ]
    assert repr(makers[0]) == repr(makers[1])
    assert shards._key(makers[0]) != shards._key(makers[1])


def test_a_front_end_that_cannot_be_known_again_is_refused(crowd: list[Sample]) -> None:
    with pytest.raises(TypeError, match="expected a frozen dataclass, got <function"):
        load_people(crowd, lambda audio: torch.zeros(8, 10), 16)


def test_a_file_that_changes_costs_its_own_shard(
    crowd: list[Sample], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_shards(monkeypatch)
    copies = [
        dataclasses.replace(s, targets={"face": tuple(Path(shutil.copy(f, tmp_path)) for f in s.targets["face"])})
        for s in crowd
    ]
    before = load_people(copies, Levels(), 16).faces(np.array([4]), np.random.default_rng(0))
    opened = watched(monkeypatch)
    for path in tmp_path.glob("4_*.png"):
        write_image(path, np.full((40, 30, 3), 77, np.uint8))
    after = load_people(copies, Levels(), 16).faces(np.array([4]), np.random.default_rng(0))
    assert {name[0] for name in opened} == {"4", "5"}
    assert after.eq(77).all() and not before.eq(77).all()


def test_files_that_cannot_be_read_are_named_and_read_once_they_are_mended(
    crowd: list[Sample], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_shards(monkeypatch)
    quiet, absent = tmp_path / "quiet.wav", tmp_path / "absent.png"
    write_audio(quiet, Audio(np.zeros(900, np.float32), RATE))
    by_name = {sample.speaker: sample for sample in crowd}
    by_name["p2"] = dataclasses.replace(by_name["p2"], inputs={"speech": (quiet,)})
    by_name["p3"] = dataclasses.replace(by_name["p3"], targets={"face": (absent, *by_name["p3"].targets["face"])})
    by_name["p5"] = dataclasses.replace(by_name["p5"], targets={"face": (absent,)})
    for _ in range(2):  # as they are made, and as they are found
        people = load_people(list(by_name.values()), Levels(), 16)
        assert [person.id for person in people.persons] == ["p0", "p1", "p3", "p4", "p6"]
        assert people.problems[0] == f"{quiet}: silent"
        assert people.problems[1] == "p2: no usable recording"
        assert str(absent) in people.problems[2] and str(absent) in people.problems[3]
        assert people.problems[4:] == ("p5: no usable face",)
    write_image(absent, np.zeros((16, 16, 3), np.uint8))
    assert len(load_people(list(by_name.values()), Levels(), 16)) == 6


@pytest.mark.parametrize("harm", ["truncate", "extend", "empty", "zeros", "delete"])
def test_a_broken_shard_is_made_again(crowd: list[Sample], monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    small_shards(monkeypatch)
    load_people(crowd, Levels(), 16)
    paths = files()
    whole = [path.read_bytes() for path in paths]
    victim, content = paths[1], whole[1]
    if harm == "delete":
        victim.unlink()
    else:
        broken = {"truncate": content[:-9], "extend": content + b"!", "empty": b"", "zeros": bytes(len(content))}
        victim.write_bytes(broken[harm])
    opened = watched(monkeypatch)
    people = load_people(crowd, Levels(), 16)
    assert len({name[0] for name in opened}) <= 2
    assert [path.read_bytes() for path in paths] == whole
    assert len(people) == 7


def test_a_shard_that_goes_while_a_training_runs_is_told(crowd: list[Sample]) -> None:
    people = load_people(crowd, Levels(), 16)
    shutil.rmtree(home() / "shards")
    with pytest.raises(PrerequisiteError, match="was there when the training began.*makes it again"):
        people.faces(np.array([0]), np.random.default_rng(0))


# ---- makers with faults of their own


@dataclasses.dataclass(frozen=True)
class Slow:
    """Ones; each shard takes a moment, and leaves a mark where it was made."""

    kind: ClassVar[str] = "slow"
    otherwise: ClassVar[str] = ", or do without"
    marks: Path
    seconds: float = 0.0
    size: int = 1

    def __call__(self, content: int) -> Shard:
        time.sleep(self.seconds)
        (self.marks / f"{content}.{os.getpid()}").touch()
        return Shard({"ones": torch.ones(self.size)}, {"content": content})


@dataclasses.dataclass(frozen=True)
class Deadly:
    kind: ClassVar[str] = "deadly"
    otherwise: ClassVar[str] = ""

    def __call__(self, content: int) -> Shard:
        if content == 2 and multiprocessing.parent_process():
            os.kill(os.getpid(), signal.SIGKILL)
        return Shard({"ones": torch.ones(1)}, {})


def numbered(count: int) -> list[Part]:
    return [Part(number, (), 10) for number in range(count)]


def make_all(marks: Path, seconds: float) -> None:
    Shards(Slow(marks, seconds), numbered(8), "things", workers=1)


def started(marks: Path, seconds: float) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("spawn").Process(target=make_all, args=(marks, seconds))
    process.start()
    return process


def wait_for(marks: Path, count: int) -> None:
    while len(list(marks.iterdir())) < count:
        time.sleep(0.02)


def test_a_build_that_was_killed_is_continued(tmp_path: Path) -> None:
    process = started(tmp_path, 0.2)
    wait_for(tmp_path, 3)
    process.kill()
    process.join()
    (folder,) = (home() / "shards").iterdir()
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("[!.]*.safetensors")}
    assert 2 <= len(kept) < 8
    leftover = folder / f".{process.pid}.some.safetensors"
    leftover.write_bytes(b"half of one")
    told: list[tuple[int, int, str]] = []
    made = Shards(Slow(tmp_path, 0.2), numbered(8), "things", lambda *report: told.append(report), workers=1)
    assert told[0] == (10 * len(kept), 80, "things") and told[-1] == (80, 80, "things")
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
    assert [about["content"] for about in made.about] == list(range(8)) and not leftover.exists()


def test_two_processes_do_not_do_the_same_work(tmp_path: Path) -> None:
    first = started(tmp_path, 0.1)
    wait_for(tmp_path, 1)
    made = Shards(Slow(tmp_path, 0.1), numbered(8), "things", workers=1)
    first.join()
    assert first.exitcode == 0 and len(made) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{n}.{first.pid}" for n in range(8)]


def test_without_locks_shards_are_made_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(shards.fcntl, "flock", none)
    assert Shards(Slow(tmp_path), numbered(3), "things", workers=1)[2]["ones"].tolist() == [1]


def test_a_shard_that_kills_its_process_ends_the_build_and_the_others_stay() -> None:
    with pytest.raises(PrerequisiteError, match="cannot be made: the process died 3 times") as caught:
        Shards(Deadly(), numbered(4), "things", workers=2)
    assert isinstance(caught.value.__cause__, WorkerDied)
    assert files()


def test_too_little_room_is_told_after_the_first_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 250_000

    def disk(free: int) -> None:
        monkeypatch.setattr(shards.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, free))

    disk(8 << 20)
    asked = r"things need 0\.0 GiB more in .*slow-.*, where 0\.0 GiB are free.*larger disk, or do without$"
    with pytest.raises(PrerequisiteError, match=asked):
        Shards(Slow(tmp_path, size=size), numbered(10), "things", workers=1)
    assert len(files()) == 1
    disk(9 << 20)  # 9 more of a million bytes each
    assert len(Shards(Slow(tmp_path, size=size), numbered(10), "things", workers=1)) == 10


def test_a_disk_that_takes_no_more_is_told(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(PrerequisiteError, match=r"cannot be written in .*too large.*FACEVOICE_BENCH_HOME"):
            Shards(Slow(tmp_path, size=10_000), numbered(3), "things", workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((home() / "shards").rglob("*.safetensors"))


def test_a_shard_that_says_nothing_of_itself_is_found_again() -> None:
    Shards(Deadly(), numbered(1), "things")
    (path,) = files()
    before = path.stat()
    assert Shards(Deadly(), numbered(1), "things").about == [{}]
    assert path.stat() == before


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    with pytest.raises(PrerequisiteError, match="cannot be written"):
        Shards(Slow(tmp_path), numbered(3), "things", workers=1)


def test_few_shards_are_mapped_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MAPPED", 3)
    made = Shards(Slow(tmp_path, size=1 << 16), numbered(9), "things", workers=1)

    def mapped() -> int:
        return sum(str(made.folder) in line for line in Path("/proc/self/maps").read_text().splitlines())

    descriptors = len(os.listdir("/proc/self/fd"))
    for number in (*range(9), 0):
        assert made[number]["ones"].sum() == 1 << 16
    assert mapped() <= 3 and len(os.listdir("/proc/self/fd")) <= descriptors


def test_what_is_mapped_is_not_held(tmp_path: Path) -> None:
    """200 MB are looked at; the memory of the process that is not of files grows by a small part of it."""

    def anonymous() -> int:
        (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("RssAnon"))
        return 1024 * int(line.split()[1])

    made = Shards(Slow(tmp_path, size=12_500_000), numbered(4), "things", workers=1)
    before = anonymous()
    for number in range(4):
        assert int(made[number]["ones"].int().narrow(0, 0, 1000).sum()) == 1000
        assert float(made[number]["ones"].max()) == 1
    assert anonymous() - before < 20e6


def test_a_shard_is_an_ordinary_file_of_tensors(crowd: list[Sample]) -> None:
    load_people(crowd, Levels(), 16)
    (path,) = files()
    assert load_file(path)["faces"].shape == (14, 3, 16, 16)


def test_doctor_says_where_shards_are_and_that_they_may_go(crowd: list[Sample]) -> None:
    assert diagnosis._shards() == []
    load_people(crowd, Levels(), 16)
    (finding,) = diagnosis._shards()
    assert finding.state == "note" and str(home() / "shards") in finding.found
    assert "may be deleted whenever no training runs" in finding.remedy
