from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.datasets.audiovisual import AudioVisualCorpus, held_out
from benchmark.datasets.folder import Folder
from benchmark.datasets.grid import SPEAKERS, Grid
from benchmark.datasets.lrs3 import LRS3
from benchmark.datasets.manifest import Manifest
from benchmark.datasets.media_files import MediaFinder
from benchmark.datasets.noise_lists import noise_files, noise_list
from benchmark.datasets.pair_lists import Pair, read_pairs
from benchmark.datasets.voxceleb2 import VoxCeleb2
from benchmark.errors import MissingDataset, UsageError
from benchmark.media import read_audio, write_audio, write_video
from benchmark.types import Audio, Sample

MP4_HEAD = b"\0\0\0\x20ftypisom\0\0\0\0"


def speech(path: Path, seconds: float = 0.1) -> Path:
    write_audio(path, Audio(np.full(round(16_000 * seconds), 0.1, np.float32), 16_000))
    return path


def head(path: Path) -> Path:
    """A file that begins as mp4 and m4a do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(MP4_HEAD)
    return path


def clip(path: Path, sound: bool = True) -> Path:
    """A video that can be decoded."""
    audio = Audio(np.full(3200, 0.1, np.float32), 16_000) if sound else None
    write_video(path, np.zeros((5, 16, 16, 3), np.uint8), 25, audio)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def pickled(path: Path, pairs: list[tuple[str, str]], protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps([{"identifier1": a, "identifier2": b} for a, b in pairs], protocol=protocol))
    return path


def opened(
    kind: type[AudioVisualCorpus], root: Path, tmp_path: Path, split: str = "test", task: str = "av_enhancement"
) -> Manifest:
    return kind(root, tmp_path / "home").open(split, task)


def ids(manifest: Manifest) -> list[str]:
    return [sample.id for sample in manifest.samples]


def files(sample: Sample, root: Path) -> dict[str, list[str]]:
    """Field to files relative to the root, without the decoy, which is drawn."""
    fields = {**sample.inputs, **sample.targets}
    return {name: [p.relative_to(root).as_posix() for p in paths] for name, paths in fields.items() if name != "decoy"}


def has(manifest: Manifest, *words: str) -> bool:
    """One line of problems holds all the words."""
    return any(all(word in line for word in words) for line in manifest.problems)


# ---- VoxCeleb2


@pytest.fixture
def vox(tmp_path: Path) -> Path:
    """Three people of the test, two utterances each: speech as wav and m4a."""
    root = tmp_path / "corpora"
    for speaker in ("id00017", "id00061", "id00081"):
        for utterance in ("00001", "00002"):
            name = f"{speaker}/-Abc_{speaker[-2:]}/{utterance}"
            head(root / "test" / "mp4" / f"{name}.mp4")
            speech(root / "test" / "wav" / f"{name}.wav")
    return root


NAMES = tuple(f"{s}/-Abc_{s[-2:]}/{u}" for s in ("id00017", "id00061", "id00081") for u in ("00001", "00002"))
A1, A2, B1, B2, C1, C2 = NAMES


def plain(name: str) -> str:
    return name.replace("/", "_")


def test_voxceleb2_mixes_every_utterance_with_a_made_noise(vox: Path, tmp_path: Path) -> None:
    manifest = opened(VoxCeleb2, vox, tmp_path)
    assert len(manifest.samples) == 6 and manifest.problems == ()
    for sample, name in zip(manifest.samples, sorted(NAMES), strict=True):
        kind = sample.attributes["noise"]
        assert (sample.id, sample.speaker) == (f"{plain(name)}_{kind}", name[:7])
        found = files(sample, vox)
        assert found["speech"] == [f"test/wav/{name}.wav"] and found["video"] == [f"test/mp4/{name}.mp4"]
        assert sample.attributes == {"framing": "face", "noise": kind, "snr_db": 0.0}
        assert sample.inputs["decoy"][0].parts[-3] != sample.speaker
    # 6 mixtures over 4 kinds: each at least once
    assert {sample.attributes["noise"] for sample in manifest.samples} == {"white", "pink", "babble", "music"}


def test_voxceleb2_separates_other_people_only(vox: Path, tmp_path: Path) -> None:
    manifest = opened(VoxCeleb2, vox, tmp_path, task="av_separation")
    assert len(manifest.samples) == 6
    assert {sample.attributes["noise"] for sample in manifest.samples} == {"talker"}
    assert all(sample.inputs["noise"][0].parts[-3] != sample.speaker for sample in manifest.samples)


def test_the_grid_of_snrs_serves_enhancement_alone(vox: Path, tmp_path: Path) -> None:
    pickled(vox / "vox_test.pckl", [(A1, B1)])  # does not define this split
    manifest = opened(VoxCeleb2, vox, tmp_path, "test_snr")
    levels = {sample.attributes["snr_db"] for sample in manifest.samples}
    assert len(manifest.samples) == 6 and levels <= {-10.0, -5.0, 0.0, 5.0, 10.0} and len(levels) > 1
    with pytest.raises(UsageError, match="av_separation"):
        opened(VoxCeleb2, vox, tmp_path, "test_snr", "av_separation")
    with pytest.raises(UsageError, match="no split 'dev'"):
        opened(VoxCeleb2, vox, tmp_path, "dev")
    with pytest.raises(UsageError, match="does not serve task 'speech2face'"):
        opened(VoxCeleb2, vox, tmp_path, "test", "speech2face")


def test_voxceleb2_prefers_wav_to_aac_and_lies_below_vox2_too(vox: Path, tmp_path: Path) -> None:
    root = tmp_path / "all"
    root.mkdir()
    vox.rename(root / "vox2")
    head(root / "vox2" / "test" / "aac" / f"{A1}.m4a")
    (root / "vox2" / "test" / "wav" / f"{A2}.wav").unlink()
    head(root / "vox2" / "test" / "aac" / f"{A2}.m4a")
    manifest = opened(VoxCeleb2, root, tmp_path)
    assert [files(sample, root)["speech"][0] for sample in manifest.samples[:2]] == [
        f"vox2/test/wav/{A1}.wav",
        f"vox2/test/aac/{A2}.m4a",
    ]
    assert len(manifest.samples) == 6 and manifest.problems == ()


def test_voxceleb2_without_recordings_uses_the_sound_of_its_videos(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in (A1, B1):
        clip(root / "test" / "mp4" / f"{name}.mp4")
    clip(root / "test" / "mp4" / f"{C1}.mp4", sound=False)
    manifest = opened(VoxCeleb2, root, tmp_path, task="av_separation")
    assert len(manifest.samples) == 2 and has(manifest, C1, "no sound track")
    for sample in manifest.samples:
        assert sample.targets["speech"] == sample.inputs["video"]
        assert read_audio(sample.targets["speech"][0]).seconds > 0.1


def test_voxceleb2_keeps_some_speakers_of_dev_for_validation(tmp_path: Path) -> None:
    root = tmp_path / "root"
    people = [f"id{number:05d}" for number in range(12, 112)]
    for speaker in people:
        head(root / "dev" / "mp4" / speaker / "v" / "00001.mp4")
        head(root / "dev" / "aac" / speaker / "v" / "00001.m4a")
    split = {name: {s.speaker for s in opened(VoxCeleb2, root, tmp_path, name).samples} for name in ("train", "val")}
    assert split["val"] == {speaker for speaker in people if held_out("voxceleb2", speaker)}
    assert split["train"] | split["val"] == set(people) and not split["train"] & split["val"]
    assert 0 < len(split["val"]) < 8
    with pytest.raises(MissingDataset, match="No usable sample"):
        opened(VoxCeleb2, root, tmp_path, "test")


def test_one_speaker_in_fifty_is_held_out() -> None:
    kept = sum(held_out("voxceleb2", f"id{number:05d}") for number in range(20_000))
    assert abs(kept - 400) < 4 * np.sqrt(20_000 * 0.02 * 0.98)


def test_voxceleb2_names_what_it_leaves_out(vox: Path, tmp_path: Path) -> None:
    (vox / "test" / "wav" / f"{A1}.wav").unlink()
    (vox / "test" / "mp4" / f"{A2}.mp4").unlink()
    (vox / "test" / "wav" / f"{B1}.wav").write_bytes(b"")
    (vox / "test" / "mp4" / f"{B2}.mp4").write_bytes(b"<html>not found</html>")
    speech(vox / "test" / "wav" / "id00081" / "astray.wav")
    text(vox / "test" / "wav" / "README", "x")
    secret = head(tmp_path / "elsewhere" / "secret.mp4")
    (vox / "test" / "mp4" / "id00081" / "-Abc_81" / "00003.mp4").symlink_to(secret)
    manifest = opened(VoxCeleb2, vox, tmp_path)
    said = [files(sample, vox)["speech"][0] for sample in manifest.samples]
    assert said == [f"test/wav/{C1}.wav", f"test/wav/{C2}.wav"]
    for words in (
        (f"mp4/{A1}.mp4", "no usable recording"),
        (f"wav/{A2}.wav", "no usable video"),
        (f"wav/{B1}.wav", "0 bytes"),
        (f"mp4/{B1}.mp4", "no usable recording"),
        (f"mp4/{B2}.mp4", "begins with"),
        (f"wav/{B2}.wav", "no usable video"),
        ("astray.wav", "stray"),
        ("README", "stray"),
        ("00003.mp4", "outside the root"),
    ):
        assert has(manifest, *words), (words, manifest.problems)
    assert len(manifest.problems) == 9


def test_a_thousand_like_problems_are_counted(vox: Path, tmp_path: Path) -> None:
    for number in range(30):
        head(vox / "test" / "mp4" / "id00017" / "lonely's" / f"{number:05d}.mp4")
        path = vox / "test" / "mp4" / "id00017" / "broken" / f"{number:05d}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"page %03d" % number)
    manifest = opened(VoxCeleb2, vox, tmp_path)
    assert len(manifest.samples) == 6 and len(manifest.problems) == 22
    assert has(manifest, "and 20 more", "no usable recording") and has(manifest, "and 20 more", "begins with")


def test_ids_are_safe_and_unique(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("id1/Ab/1", "id1/aB/1", "id1/a b/1", "id2/ü\n;rm/1", "id 3/x/1"):
        head(root / "test" / "mp4" / f"{name}.mp4")
        speech(root / "test" / "wav" / f"{name}.wav")
    manifest = opened(VoxCeleb2, root, tmp_path, task="av_separation")
    found = [name.lower() for name in ids(manifest)]
    assert len(set(found)) == 5
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-") for name in found)
    assert {sample.speaker for sample in manifest.samples} == {"id1", "id2", "id_3"}


def test_one_person_alone_is_said_to_be_too_few(vox: Path, tmp_path: Path) -> None:
    for speaker in ("id00061", "id00081"):
        (vox / "test" / "mp4" / speaker).rename(tmp_path / speaker)
    with pytest.raises(MissingDataset, match=r"(?s)No usable sample.*of one person"):
        opened(VoxCeleb2, vox, tmp_path, task="av_separation")


# ---- lists of pairs


def test_pairs_give_two_mixtures_each(vox: Path, tmp_path: Path) -> None:
    pickled(vox / "vox_test.pckl", [(B2, C1), (A1, B1), (B2, A2)])
    manifest = opened(VoxCeleb2, vox, tmp_path, task="av_separation")
    assert [(s.id, files(s, vox)) for s in manifest.samples] == [
        (
            f"{number:05d}{side}_{plain(own)}",
            {
                "video": [f"test/mp4/{own}.mp4"],
                "noise": [f"test/wav/{other}.wav"],
                "speech": [f"test/wav/{own}.wav"],
            },
        )
        for number, first, second in ((1, B2, C1), (2, A1, B1), (3, B2, A2))
        for side, own, other in (("a", first, second), ("b", second, first))
    ]
    assert all(s.attributes == {"framing": "face", "noise": "talker", "snr_db": 0.0} for s in manifest.samples)
    assert manifest.problems == ()


def test_pair_i_has_the_noise_of_line_i(vox: Path, tmp_path: Path) -> None:
    pickled(vox / "vox_test.pckl", [(A1, B1), ("id09999/gone/00001", C1), (C2, A2), (B2, A1)])
    for number in (1, 2, 4):
        speech(vox / "audioset" / "eval" / f"n{number}.wav")
    text(vox / "audioset_test.txt", "".join(f"/mnt/x/audioset/eval/n{number}.wav\r\n" for number in (1, 2, 3, 4)))
    manifest = opened(VoxCeleb2, vox, tmp_path)
    assert [(s.id, files(s, vox)["noise"][0], files(s, vox)["speech"][0]) for s in manifest.samples] == [
        (f"{number:05d}{side}_{plain(own)}", f"audioset/eval/n{number}.wav", f"test/wav/{own}.wav")
        for number, side, own in ((1, "a", A1), (1, "b", B1), (2, "b", C1), (4, "a", B2), (4, "b", A1))
    ]
    assert all(s.attributes == {"framing": "face", "noise": "recorded", "snr_db": 0.0} for s in manifest.samples)
    assert has(manifest, "vox_test.pckl, pair 2, 'id09999/gone/00001'")
    assert has(manifest, "audioset_test.txt, line 3", "no such file")
    assert len(manifest.problems) == 2


def test_rows_of_a_pair_do_not_depend_on_the_pairs_before(vox: Path, tmp_path: Path) -> None:
    pickled(vox / "vox_test.pckl", [("nobody/x/1", A1), (B2, C1)])
    few = {s.id: s for s in opened(VoxCeleb2, vox, tmp_path, task="av_separation").samples}
    pickled(vox / "vox_test.pckl", [(B1, A1), (B2, C1)])
    many = {s.id: s for s in opened(VoxCeleb2, vox, tmp_path, task="av_separation").samples}
    assert len(few) == 2 and len(many) == 4 and all(many[name] == sample for name, sample in few.items())


def test_a_list_of_noises_that_is_too_short_is_said_to_be(vox: Path, tmp_path: Path) -> None:
    pickled(vox / "vox_test.pckl", [(A1, B1), (B2, C1)])
    speech(vox / "n.wav")
    text(vox / "audioset_test.txt", "n.wav\n")
    manifest = opened(VoxCeleb2, vox, tmp_path)
    assert len(manifest.samples) == 2 and has(manifest, "audioset_test.txt", "1 lines for the 2 pairs of vox_test.pckl")


def test_pairs_without_a_list_of_noises_say_what_is_expected(vox: Path, tmp_path: Path) -> None:
    pickled(vox / "vox_test.pckl", [(A1, B1)])
    speech(vox / "noise" / "test" / "n.wav")  # a folder has no lines
    with pytest.raises(MissingDataset, match=r"vox_test\.pckl.*expected .*audioset_test\.txt \(or noise_test\.txt\)"):
        opened(VoxCeleb2, vox, tmp_path)
    assert len(opened(VoxCeleb2, vox, tmp_path, task="av_separation").samples) == 2
    assert len(opened(VoxCeleb2, vox, tmp_path, "test_snr").samples) == 6


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_all_protocols_are_read(tmp_path: Path, protocol: int) -> None:
    path = pickled(tmp_path / "p.pckl", [("a/ü/1", "b/2/3"), ("a/ü/1", "c")], protocol)
    assert read_pairs(path) == [Pair("a/ü/1", "b/2/3"), Pair("a/ü/1", "c")]


def test_json_and_csv_hold_the_same(tmp_path: Path) -> None:
    expected = [Pair("a/b/1", "c/d/2"), Pair("e, f", "g")]
    entries = [{"identifier1": pair.first, "identifier2": pair.second} for pair in expected]
    assert read_pairs(text(tmp_path / "p.json", json.dumps(entries))) == expected
    table = 'identifier1,identifier2\na/b/1,c/d/2\n"e, f",g\n'
    assert read_pairs(text(tmp_path / "p.csv", table)) == expected
    with pytest.raises(MissingDataset, match="no column 'identifier2'"):
        read_pairs(text(tmp_path / "q.csv", "identifier1,other\na,b\n"))
    with pytest.raises(MissingDataset, match="pair 1"):
        read_pairs(text(tmp_path / "r.csv", "identifier1,identifier2\na,\n"))


class Hostile:
    """Unpickled in the ordinary way, it makes a file."""

    def __init__(self, call: object, argument: str) -> None:
        self.made = (call, (argument,))

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return self.made


@pytest.mark.parametrize("call", [os.system, eval, exec, os.mkdir], ids=lambda call: call.__name__)
def test_hostile_pickles_execute_nothing(vox: Path, tmp_path: Path, call: object) -> None:
    mark = tmp_path / "mark"
    arguments = {os.system: f"touch '{mark}'", os.mkdir: str(mark)}
    argument = arguments.get(call, f"__import__('os').mkdir({str(mark)!r})")
    for protocol in (0, 2, 4):
        content = pickle.dumps([{"identifier1": A1, "identifier2": Hostile(call, argument)}], protocol=protocol)
        (vox / "vox_test.pckl").write_bytes(content)
        with pytest.raises(MissingDataset, match="it asks for .*lists, dicts and text"):
            opened(VoxCeleb2, vox, tmp_path, task="av_separation")
        assert not mark.exists()
    pickle.loads(content)  # it does what it says where nobody stops it
    assert mark.exists()


def nested(depth: int) -> object:
    """Ten lists in each of ten lists ...: short as a pickle, endless as text."""
    inner: object = "x"
    for _ in range(depth):
        inner = [inner] * 10
    return inner


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        b"\x80\x04",
        pickle.dumps([{"identifier1": "a", "identifier2": "b"}])[:-5],
        b"\x80\x05]r\xff\xff\xff\xff.",  # a memo of 2**32 places
        b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # bytes of 2**63
        b"\x80\x04cos\nsystem\n.",
        b"\x80\x04Pid\n.",
        b"\x80\x04\x82\x01.",
        pickle.dumps([]),
        pickle.dumps({"identifier1": "a", "identifier2": "b"}),
        pickle.dumps(["ab"]),
        pickle.dumps([("a", "b")]),
        pickle.dumps([{"identifier1": "a"}]),
        pickle.dumps([{"identifier1": "a", "identifier2": 3}]),
        pickle.dumps([{"identifier1": "a", "identifier2": ""}]),
        pickle.dumps([{"identifier1": "a", "identifier2": "b" * 5000}]),
        pickle.dumps([{"identifier1": "a", "identifier2": nested(60)}]),
        pickle.dumps([nested(60)]),
    ],
    ids=range(19),
)
def test_broken_pickles_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.pckl").write_bytes(content)
    with pytest.raises(MissingDataset, match=r"p\.pckl.*expected a list of \{identifier1, identifier2\}"):
        read_pairs(tmp_path / "p.pckl")


TUPLES = b"K\x01" + b"2\x86" * 40  # (x, x) of (x, x) ...: 83 bytes, and a hash of 2**40 steps
COUNT = (1 << 29).to_bytes(8, "little")
SHORT_CLAIMS = {
    "array": b"\x80\x05\x96" + COUNT + b".",
    "bytes": b"\x80\x05\x8e" + COUNT + b".",
    "text": b"\x80\x05\x8d" + COUNT + b".",
    "old text": b"\x80\x02T\xff\xff\xff\x1f.",
    "number": b"\x80\x02\x8b\xff\xff\xff\x1f.",
    "frame": b"\x80\x04\x95" + COUNT + b".",
    "memo": b"\x80\x02]r\xff\xff\xff\xff.",
    "key": b"\x80\x02}" + TUPLES + b"K\x01s.",
    "set": b"\x80\x04\x8f(" + TUPLES + b"\x90.",
    "frozen set": b"\x80\x04(" + TUPLES + b"\x91.",
}


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and time are Linux's")
def test_a_few_bytes_claim_neither_memory_nor_time(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from benchmark.datasets.pair_lists import read_pairs
from benchmark.errors import MissingDataset

def peak_mib():  # ru_maxrss would begin with that of the process which started this one
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024

resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
for path in map(Path, sys.argv[1:]):
    print(path.stem, flush=True)
    before = peak_mib()
    try:
        read_pairs(path)
    except MissingDataset as error:
        assert "expected a list of {identifier1, identifier2}" in str(error)
    else:
        sys.exit("was read")
    if peak_mib() - before > 50:
        sys.exit(f"took {peak_mib() - before:.0f} MiB")
"""
    for name, content in SHORT_CLAIMS.items():
        (tmp_path / f"{name}.pckl").write_bytes(content)
    paths = [str(tmp_path / f"{name}.pckl") for name in SHORT_CLAIMS]
    line = [sys.executable, "-c", program, *paths]
    folder = Path(__file__).parent.parent
    done = subprocess.run(line, capture_output=True, text=True, cwd=folder, timeout=100, check=False)
    assert done.returncode == 0, (done.stdout.splitlines()[-1:], done.stderr)
    assert done.stdout.splitlines() == list(SHORT_CLAIMS)


def test_long_lists_are_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "p.pckl").open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(MissingDataset, match="over 64 MiB"):
        read_pairs(tmp_path / "p.pckl")
    with pytest.raises(MissingDataset, match="cannot be read"):
        read_pairs(tmp_path / "absent.pckl")
    with pytest.raises(MissingDataset, match="cannot be used"):
        read_pairs(text(tmp_path / "p.json", "[" * 100_000))


def test_identifiers_open_nothing(vox: Path, tmp_path: Path) -> None:
    strange = ["../../../etc/passwd", "/", ".", "\0", "a\nb\u2028", f"/anywhere/else/{A1}.wav"]
    pickled(vox / "vox_test.pckl", [(name, B1) for name in strange])
    manifest = opened(VoxCeleb2, vox, tmp_path, task="av_separation")
    assert ids(manifest) == [f"00006a_{plain(A1)}", f"00006b_{plain(B1)}"]
    assert len(manifest.problems) == 5
    assert all("\n" not in line and "\u2028" not in line and "\0" not in line for line in manifest.problems)


# ---- noise


@pytest.fixture
def noises(tmp_path: Path) -> MediaFinder:
    root = tmp_path / "noises"
    for name in (
        "audioset/eval/a b.wav",
        "audioset/eval/deep/c.wav",
        "audioset/d.wav",
        "audioset/eval/d.wav",
        "own/e.flac",
    ):
        speech(root / name)
    return MediaFinder(root, [])


def test_lines_are_found_from_the_root_or_by_their_last_parts(noises: MediaFinder) -> None:
    root = noises.root
    lines = [
        "own/e.flac",
        f"{root}/own/e.flac",
        "/mnt/datasets/audioset/eval/a b.wav",
        "/other/place/eval/deep/c.wav",
        "elsewhere/d.wav",
        "/mnt/eval/d.wav",
        "audioset/d.wav",
    ]
    text(root / "audioset_test.txt", "\ufeff" + "\n".join(lines) + "\n\n")
    found = noise_list(root, "test", noises)
    assert found is not None and noises.problems == []
    assert found.files == (
        "own/e.flac",
        "own/e.flac",
        "audioset/eval/a b.wav",
        "audioset/eval/deep/c.wav",
        "audioset/d.wav",
        "audioset/eval/d.wav",
        "audioset/d.wav",
    )
    assert noise_files(root, "test", noises) == list(found.files)
    assert noise_list(root, "train", noises) is None and noise_files(root, "train", noises) == []


def test_lines_without_a_usable_file_keep_their_place(noises: MediaFinder, tmp_path: Path) -> None:
    root = noises.root
    secret = speech(tmp_path / "secret.wav")
    (root / "audioset" / "out.wav").symlink_to(secret)
    (root / "audioset" / "empty.wav").touch()
    text(root / "list.txt", "x")
    bad = {
        "../secret.wav": "without ..",
        "audioset/../../secret.wav": "without ..",
        str(secret): "no such file",
        "audioset/out.wav": "outside the root",
        "audioset/empty.wav": "0 bytes",
        "": "an empty line",
        "own\\e.flac": "with / between",
        "own/\0.wav": "with / between",
        "list.txt": "suffix",
        "own": "suffix",
        "x" * 300 + ".wav": "no such file",
        "x/" * 3000 + "x.wav": "longer than",
        "/": "suffix",
    }
    text(root / "noise_test.txt", "\n".join(["audioset/d.wav", *bad, "own/e.flac"]))
    found = noise_list(root, "test", noises)
    assert found is not None and found.files == ("audioset/d.wav", *[None] * len(bad), "own/e.flac")
    assert noise_files(root, "test", noises) == ["audioset/d.wav", "own/e.flac"]
    for number, (line, reason) in enumerate(bad.items(), start=2):
        problem = noises.problems[number - 2]
        assert problem.startswith(f"noise_test.txt, line {number}, {line[:300]!r}: ") and reason in problem


def test_a_list_of_nothing_that_is_here_is_refused(noises: MediaFinder) -> None:
    root = noises.root
    text(root / "audioset_test.txt", "/mnt/audioset/eval/x.wav\n" * 3)
    with pytest.raises(MissingDataset, match=r"3 lines and none of them.*no such file"):
        noise_files(root, "test", noises)
    text(root / "audioset_test.txt", "")
    with pytest.raises(MissingDataset, match="none of them"):
        noise_files(root, "test", noises)
    (root / "audioset_test.txt").write_bytes(b"a.wav\nJos\xe9.wav\n")
    with pytest.raises(MissingDataset, match=r"audioset_test\.txt, line 2: byte 0xe9 is not UTF-8"):
        noise_files(root, "test", noises)


def test_folders_of_noise_serve_their_split_or_all(tmp_path: Path) -> None:
    shared, split = tmp_path / "shared", tmp_path / "split"
    speech(shared / "noise" / "street" / "a.wav")
    text(shared / "noise" / "README", "x")
    speech(split / "noise" / "test" / "a.wav")
    speech(split / "noise" / "train" / "deep" / "b.wav")
    finder = MediaFinder(shared, [])
    assert [noise_files(shared, part, finder) for part in ("train", "val", "test")] == [["noise/street/a.wav"]] * 3
    assert "'noise/README': not a kind" in finder.problems[0]
    found = [noise_files(split, part, MediaFinder(split, [])) for part in ("train", "val", "test")]
    assert found == [["noise/train/deep/b.wav"], [], ["noise/test/a.wav"]]


def test_recorded_noise_takes_the_place_of_made_noise(vox: Path, tmp_path: Path) -> None:
    speech(vox / "audioset" / "a.wav")
    text(vox / "audioset_test.txt", "a.wav\n")
    for split in ("test", "test_snr"):
        manifest = opened(VoxCeleb2, vox, tmp_path, split)
        assert {(s.attributes["noise"], files(s, vox)["noise"][0]) for s in manifest.samples} == {
            ("recorded", "audioset/a.wav")
        }


# ---- LRS3


@pytest.fixture
def lrs3(tmp_path: Path) -> Path:
    root = tmp_path / "lrs"
    for talk in ("0Fi83BHQsMA", "0akiEFwtkyA"):
        for number in (1, 2):
            name = f"test/{talk}/0000{number}"
            head(root / f"{name}.mp4")
            speech(root / f"{name}.wav")
            text(root / f"{name}.txt", f"Text:  WORD  NUMBER {number}\nConf:  3\n\nWORD START END\nWORD 0.1 0.2\n")
    return root


def test_lrs3_has_words_and_takes_a_talk_for_a_speaker(lrs3: Path, tmp_path: Path) -> None:
    manifest = opened(LRS3, lrs3, tmp_path)
    assert [(s.speaker, files(s, lrs3)["speech"], s.inputs["video"][0].name) for s in manifest.samples] == [
        (talk, [f"test/{talk}/0000{number}.wav"], f"0000{number}.mp4")
        for talk in ("0Fi83BHQsMA", "0akiEFwtkyA")
        for number in (1, 2)
    ]
    assert [s.attributes["text"] for s in manifest.samples] == ["WORD NUMBER 1", "WORD NUMBER 2"] * 2
    assert {s.attributes["framing"] for s in manifest.samples} == {"face"} and manifest.problems == ()


@pytest.mark.parametrize("name", ["lrs3_test.pckl", "lrs_test.pckl"])
def test_lrs3_pairs_are_absolute_paths_of_another_machine(lrs3: Path, tmp_path: Path, name: str) -> None:
    there = "/mnt/datasets/lip_reading/lrs3/test"
    pickled(lrs3 / name, [(f"{there}/0Fi83BHQsMA/00002.wav", f"{there}/0akiEFwtkyA/00001.wav")])
    manifest = opened(LRS3, lrs3, tmp_path, task="av_separation")
    assert ids(manifest) == ["00001a_0Fi83BHQsMA_00002", "00001b_0akiEFwtkyA_00001"]
    assert files(manifest.samples[0], lrs3)["noise"] == ["test/0akiEFwtkyA/00001.wav"]
    assert files(manifest.samples[1], lrs3)["noise"] == ["test/0Fi83BHQsMA/00002.wav"]


def test_lrs3_without_recordings_or_words(lrs3: Path, tmp_path: Path) -> None:
    test = lrs3 / "test"
    (test / "0Fi83BHQsMA" / "00001.wav").unlink()
    clip(test / "0Fi83BHQsMA" / "00001.mp4")
    (test / "0Fi83BHQsMA" / "00002.wav").unlink()
    clip(test / "0Fi83BHQsMA" / "00002.mp4", sound=False)
    (test / "0akiEFwtkyA" / "00001.txt").write_bytes(b"\xff\xfe")
    text(test / "0Fi83BHQsMA" / "00001.txt", "Conf:  3\nText:  WORDS\n")
    text(test / "0akiEFwtkyA" / "00002.txt", "WORDS\n")
    (test / "0akiEFwtkyA" / "00002.mp4").unlink()
    manifest = opened(LRS3, lrs3, tmp_path)
    first, second = manifest.samples
    assert first.targets["speech"] == first.inputs["video"] and second.targets["speech"][0].suffix == ".wav"
    assert "text" not in first.attributes and "text" not in second.attributes
    for words in (
        ("0Fi83BHQsMA/00002.mp4", "no sound track"),
        ("0Fi83BHQsMA/00001.mp4", "without its words"),
        ("0akiEFwtkyA/00001.mp4", "without its words"),
        ("0akiEFwtkyA/00002.wav", "no usable video"),
    ):
        assert has(manifest, *words), (words, manifest.problems)
    assert len(manifest.problems) == 4


def test_lrs3_trains_on_trainval_alone(lrs3: Path, tmp_path: Path) -> None:
    talks = [f"talk{number:03d}" for number in range(60)]
    for part in ("pretrain", "trainval"):
        for talk in talks:
            head(lrs3 / part / talk / "50001.mp4")
            speech(lrs3 / part / talk / "50001.wav")
    (tmp_path / "all").mkdir()
    lrs3 = lrs3.rename(tmp_path / "all" / "lrs3").parent
    split = {name: opened(LRS3, lrs3, tmp_path, name) for name in ("train", "val")}
    assert {s.speaker for s in split["val"].samples} == {talk for talk in talks if held_out("lrs3", talk)} != set()
    assert len(split["train"].samples) + len(split["val"].samples) == 60
    assert {s.targets["speech"][0].parts[-3] for m in split.values() for s in m.samples} == {"trainval"}
    assert has(split["train"], "and", "more of this kind", "without its words")


# ---- GRID


def test_grid_splits_by_speaker(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for number in (1, 2, 3, 4, 5, 20, 22, 34):
        place = root / f"s{number}" / ("video/mpg_6000" if number % 2 else "")
        clip(place / "bbaf2n.mp4")
        text(root / f"s{number}" / "align" / "bbaf2n.align", "0 1 sil\n")
    clip(root / "s35" / "bbaf2n.mp4")
    clip(root / "other" / "bbaf2n.mp4")
    found = {split: opened(Grid, root, tmp_path, split) for split in ("train", "val", "test", "test_snr")}
    people = {split: {sample.speaker for sample in manifest.samples} for split, manifest in found.items()}
    assert people["train"] == {"s5", "s34"} and people["val"] == {"s3", "s4"} == set(SPEAKERS["val"])
    assert people["test"] == people["test_snr"] == {"s1", "s2", "s20", "s22"}
    assert all(manifest.problems == () for manifest in found.values())
    about = found["val"].samples[0].attributes
    assert about["text"] == "bin blue at f two now" and about["framing"] == "scene"
    assert [name.rpartition("_")[0] for name in ids(found["val"])] == ["s3_bbaf2n", "s4_bbaf2n"]


def test_grid_reads_recordings_only_where_they_are_in_time(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for code, sound in (("bbaf2n", True), ("brbk7n", False), ("lbax4n", False), ("lwbsza", False)):
        clip(root / "s1" / f"{code}.mp4", sound)
    speech(root / "s1" / "bbaf2n.wav", 3.0)
    speech(root / "s1" / "brbk7n.wav", 2.95)
    speech(root / "audio" / "s1" / "lbax4n.wav", 3.05)
    speech(root / "audio" / "s1" / "swiz3n.wav", 3.0)
    speech(root / "audio_25k" / "s1" / "lwbsza.wav", 3.0)
    clip(root / "s2" / "pwij3p.mp4", sound=False)
    speech(root / "s2" / "pwij3p.wav", 1.6)
    manifest = opened(Grid, root, tmp_path)
    assert [files(sample, root)["speech"][0] for sample in manifest.samples] == [
        "s1/bbaf2n.mp4",
        "s1/brbk7n.wav",
        "audio/s1/lbax4n.wav",
    ]
    assert has(manifest, "s1/lwbsza.mp4", "no sound track")
    assert has(manifest, "s2/pwij3p.mp4", "s2/pwij3p.wav", "1.60 s")
    assert has(manifest, "audio/s1/swiz3n.wav", "no usable video")
    assert len(manifest.problems) == 3


def test_grid_takes_a_flat_folder_for_a_test(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("bbaf2n", "id2_vcd_swwp2s", "s3_BBAF2N", "s3_x_lbax4n", "take_brbk7n"):
        clip(root / f"{name}.mp4")
    clip(root / "holiday.mp4")
    clip(root / "bbaw2n.mp4")  # no letter w
    text(root / "empty_bbaf3n.mpg", "")
    text(root / "swwp2s.align", "0 1 sil\n")
    text(root / "folder" / "x.txt", "x")
    manifest = opened(Grid, root, tmp_path, task="av_separation")
    said = [(s.id.partition("_with_")[0], s.speaker, s.attributes["text"]) for s in manifest.samples]
    assert said == [
        ("bbaf2n", "bbaf2n", "bin blue at f two now"),
        ("id2_vcd_swwp2s", "id2", "set white with p two soon"),
        ("s3_BBAF2N", "s3", "bin blue at f two now"),
        ("s3_x_lbax4n", "s3", "lay blue at x four now"),
        ("take_brbk7n", "take_brbk7n", "bin red by k seven now"),
    ]
    assert has(manifest, "holiday.mp4", "no sentence") and has(manifest, "bbaw2n.mp4", "no sentence")
    assert has(manifest, "empty_bbaf3n.mpg", "0 bytes") and len(manifest.problems) == 3
    with pytest.raises(UsageError, match="only the split 'test', not 'val'"):
        opened(Grid, root, tmp_path, "val")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(MissingDataset, match=r"(?s)No usable sample of 'grid' \(train\).*s1/ \.\.\. s34/"):
        opened(Grid, tmp_path / "nothing", tmp_path, "train")


def test_grid_reads_the_real_clips(realdata: Path, tmp_path: Path) -> None:
    root = realdata / "grid"
    manifest = Grid(root, tmp_path).open("test", "av_enhancement")
    assert len(manifest.samples) == 11 and manifest.problems == ()
    texts = {sample.speaker: sample.attributes["text"] for sample in manifest.samples}
    assert texts["bbaf2n"] == "bin blue at f two now" and texts["id2"] == "set white with p two soon"
    sample = manifest.samples[0]
    assert read_audio(sample.targets["speech"][0]).seconds == pytest.approx(3, abs=0.1)
    with pytest.raises(UsageError, match="flat folder"):
        Grid(root, tmp_path).open("train", "av_enhancement")


# ---- all three


@pytest.mark.parametrize("kind", [VoxCeleb2, LRS3, Grid])
def test_an_empty_root_says_what_is_expected(kind: type[AudioVisualCorpus], tmp_path: Path) -> None:
    with pytest.raises(MissingDataset, match=r"(?s)No usable sample.*audioset_\{train,val,test\}\.txt"):
        opened(kind, tmp_path, tmp_path / "home")
    with pytest.raises(MissingDataset, match="is not a folder"):
        opened(kind, tmp_path / "absent", tmp_path)


@pytest.mark.parametrize("task", ["av_enhancement", "av_separation"])
def test_the_same_files_give_the_same_manifest_wherever_they_lie(vox: Path, tmp_path: Path, task: str) -> None:
    first = opened(VoxCeleb2, vox, tmp_path, task=task)
    moved = vox.rename(tmp_path / "elsewhere")
    assert opened(VoxCeleb2, moved, tmp_path, task=task).sha256 == first.sha256


# ---- names and encodings


NFC, NFD = "José\u00a01", "Jose\u0301\u00a01"


def test_lists_and_files_meet_in_one_normal_form(vox: Path, tmp_path: Path) -> None:
    head(vox / "test" / "mp4" / "id00017" / NFD / "00001.mp4")
    speech(vox / "test" / "wav" / "id00017" / NFC / "00001.wav")
    speech(vox / "audioset" / f"{NFD}.wav")
    pickled(vox / "vox_test.pckl", [(f"id00017/{NFC}/00001", B1), (A1, f"id00017/{NFD}/00001.wav")])
    text(vox / "audioset_test.txt", f"\ufeff/there/{NFC}.wav\r\n{NFC}.wav\r\n")
    manifest = opened(VoxCeleb2, vox, tmp_path)
    assert len(manifest.samples) == 4
    assert {sample.inputs["noise"][0].name for sample in manifest.samples} == {f"{NFD}.wav"}


def test_words_beside_a_video_are_utf8_of_the_same_name(tmp_path: Path) -> None:
    root = tmp_path / "people"
    clip(root / "Ann" / f"{NFC}.mkv")
    text(root / "Ann" / f"{NFD}.txt", "\ufeffset white\nnow")
    clip(root / "Ann" / "lrs.mkv")
    text(root / "Ann" / "lrs.txt", "Text:  LAY GREEN\nConf:  4\n")
    clip(root / "Ann" / "windows.mkv")
    (root / "Ann" / "windows.txt").write_bytes("bin blue".encode("utf-16"))
    manifest = opened(Folder, root, tmp_path)
    assert [sample.attributes.get("text") for sample in manifest.samples] == ["set white now", "LAY GREEN", None]
    assert has(manifest, "'Ann/windows.txt': line 1: this looks like UTF-16")


def test_lrs3_says_why_words_are_not_read(lrs3: Path, tmp_path: Path) -> None:
    (lrs3 / "test" / "0akiEFwtkyA" / "00001.txt").write_bytes("Text: CAFÉ".encode("latin-1"))
    manifest = opened(LRS3, lrs3, tmp_path)
    assert has(manifest, "00001.mp4", "without its words", "test/0akiEFwtkyA/00001.txt, line 1: byte 0xc9 is not UTF-8")
