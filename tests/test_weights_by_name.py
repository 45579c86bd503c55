"""What was taken in under a name of the table reaches the network or the method that is asked for by that name."""

from __future__ import annotations

import dataclasses
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from made_weights import take_in
from onnx_toys import write_pack
from test_braven import SMALL
from test_braven import state as braven_state  # noqa: F401 - a fixture
from test_lipdiffuser_vocoder import MELS, random_state, saved, under_speechbrain_names

from baselines.checkpoints import export
from baselines.lipdiffuser.braven import read_visual
from baselines.lipdiffuser.config import Config
from baselines.lipdiffuser.method import LipDiffuser
from baselines.lipdiffuser.vocoder import read_published
from benchmark.errors import MissingWeights
from benchmark.runs.evaluation import plan_method
from benchmark.weights import table
from benchmark.weights.networks import NETWORKS, Networks
from metrics.networks import facenet, insightface_pack, onnx_files, vggface2_resnet50


def test_networks_name_weights_that_are_in_the_table() -> None:
    assert {entry for _, entry in NETWORKS.values() if entry} <= set(table.TABLE)
    published = {table.TABLE[name].files[0].sha256[:8] for name in ("facenet_vggface2", "facenet_casia")}
    assert set(facenet.PUBLISHED) == published


def test_facenet_of_casia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = facenet.InceptionResnetV1()
    classifier = {"logits.weight": torch.zeros(10575, 512), "logits.bias": torch.zeros(10575)}
    made = saved(tmp_path / "download.pt", {**network.state_dict(), **classifier})
    assert take_in(monkeypatch, tmp_path, "facenet_casia", made).name == "20180408-102900-casia-webface.pt"
    embedder = Networks()("facenet160:facenet_casia")
    image = np.random.default_rng(0).integers(0, 256, (70, 60, 3), dtype=np.uint8)
    expected = facenet.FaceNet(network, "facenet160")
    assert np.array_equal(embedder.embed([image]).vectors, expected.embed([image]).vectors)
    assert embedder.signature == f"facenet-{table.sha256_of(made)[:8]}|crop:whole-160"
    assert expected.signature == "facenet-vggface2-20180402|crop:whole-160"


def by_python_2(arrays: dict[str, np.ndarray], more: bytes = b"") -> bytes:
    """A dict of float32 arrays as Python 2 pickled it: data as byte strings, which are read as latin1."""
    out = b"\x80\x02}("
    for name, array in arrays.items():
        dims = b"".join(b"J" + struct.pack("<i", size) for size in array.shape)
        data = array.astype("<f4").tobytes()
        out += b"U" + bytes([len(name)]) + name.encode()
        out += b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        out += b"(K\x01(" + dims + b"tcnumpy\ndtype\n(U\x02f4K\x00K\x01tR"
        out += b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        out += b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"
    return out + more + b"u."


def test_the_pickle_of_python_2_becomes_tensors_and_its_code_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = {"conv1.weight": np.arange(6, dtype=np.float32).reshape(1, 2, 3) - 2.5, "bn1.bias": np.float32([250, -1])}
    made = tmp_path / "resnet50_ft_weight.pkl"
    made.write_bytes(by_python_2(arrays))
    honest = pickle.loads(made.read_bytes(), encoding="latin1")
    assert all(np.array_equal(honest[name], array) for name, array in arrays.items()), "the bytes are sound"
    state = table.load_state(take_in(monkeypatch, tmp_path / "honest", "vggface2_resnet50", made))
    assert all(np.array_equal(state[name].numpy(), array) for name, array in arrays.items())

    trace = tmp_path / "trace"
    command = f"touch {trace}".encode()
    evil = b"U\x04evilcposix\nsystem\n(U" + bytes([len(command)]) + command + b"tR"
    made.write_bytes(by_python_2(arrays, evil))
    with pytest.raises(MissingWeights, match=r"evil is a pickled posix\.system"):
        take_in(monkeypatch, tmp_path / "evil", "vggface2_resnet50", made)
    with pytest.raises(ValueError, match=r"evil is a pickled posix\.system"):
        vggface2_resnet50.load(made)
    assert not trace.exists()
    pickle.loads(made.read_bytes(), encoding="latin1")
    assert trace.exists(), "the code is live"


def test_insightface_s_archive_is_read_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that would lie elsewhere are written nowhere, and one that is too large is not unpacked."""
    pack = write_pack(tmp_path / "pack")
    made = tmp_path / "download.zip"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in pack.iterdir():
            archive.write(path, f"buffalo_l/{path.name}")
        for name in ("../outside", "/tmp/../outside", "../../genderage.onnx.bak"):
            archive.writestr(name, b"x")
    kept = take_in(monkeypatch, tmp_path, "insightface_buffalo_l", made)
    before = sorted(tmp_path.rglob("*"))
    image = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    found = Networks()("arcface").embed([image]).vectors
    assert np.array_equal(found, insightface_pack.load(pack).embed([image]).vectors)
    assert Networks()("genderage").read([image]).age == insightface_pack.load(pack, kind="genderage").read([image]).age
    assert sorted(tmp_path.rglob("*")) == before and kept.name == "buffalo_l.zip"

    monkeypatch.setattr(onnx_files, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match=r"buffalo_l.zip, .*\.onnx: expected a network of at most 1000 bytes, got \d+"):
        Networks()("arcface")


def test_lipdiffuser_s_video_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, braven_state) -> None:  # noqa: F811
    config = Config(visual_weights="braven_large", visual_dim=SMALL.dim)
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    with pytest.raises(MissingWeights, match=r"drive\.google\.com.*weights add braven_large FILE"):
        config.visual_encoder()
    made = saved(tmp_path / "download.pth", braven_state)
    take_in(monkeypatch, tmp_path, "braven_large", made)
    video = torch.rand(1, 3, 88, 88)
    with torch.no_grad():
        assert torch.equal(config.visual_encoder()(video), read_visual(made)(video))


def test_lipdiffuser_s_vocoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(
        channels=8, multiples=(1, 2), blocks=1, attention=(False, False), head_channels=16, patch=8, visual="talkers",
        visual_dim=8, speaker="talkers", vocoder_channels=16, vocoder_weights="hifigan_16khz", framing="centred",
    )  # fmt: skip
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    random = LipDiffuser(config, None)
    random.load_random("cpu")
    about = {"method": "lipdiffuser", "config": dataclasses.asdict(config)}
    own = export(tmp_path / "own.safetensors", random.network.state_dict(), about, half=False)
    method = LipDiffuser(config, own)
    with pytest.raises(MissingWeights, match="weights fetch hifigan_16khz"):
        method.load("cpu")
    made = saved(tmp_path / "generator.ckpt", under_speechbrain_names(random_state(16)))
    take_in(monkeypatch, tmp_path, "hifigan_16khz", made)
    method.load("cpu")
    with torch.no_grad():
        torch.testing.assert_close(method.network.vocoder(MELS), read_published(made)[0](MELS))


@pytest.mark.parametrize(
    ("method", "preset", "name"),
    [
        ("sf2f", "official", "sf2f_official"),
        ("voice2face", None, "voice2face_official"),
        ("flowavse", "official", "flowavse_official"),
        ("avdiffuss", "official", "avdiffuss_official"),
        ("sgmse", None, "sgmse_official"),
    ],
)
def test_methods_take_their_official_weights_by_name(
    method: str, preset: str | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    with pytest.raises(MissingWeights, match=rf"weights (fetch|add) {name}"):
        plan_method(method, preset, weights=Path(name))
    with pytest.raises(MissingWeights, match=rf"is not a file\. Did you mean '{name}'"):
        plan_method(method, preset, weights=Path(name[:-1]))
    made = tmp_path / "download"
    made.mkdir()
    for file in table.TABLE[name].files:
        torch.save({"state_dict": {"model.weight": torch.zeros(2)}}, made / Path(file.name).name)
    one = made if table.TABLE[name].folder else made / Path(table.TABLE[name].files[0].name).name
    kept = take_in(monkeypatch, tmp_path, name, one)
    plan = plan_method(method, preset, weights=Path(name))
    assert plan.weights == kept == table.locate(name) and f"weights {plan.weights_sha256[:8]}" in plan.label
