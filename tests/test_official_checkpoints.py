"""Whole training checkpoints of the authors, as plain torch writes them, through `--weights` and `weights add`."""

import argparse
import re
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from baselines.sf2f.config import Config
from baselines.sf2f.method import SF2F
from baselines.voice2face.config import Config as Voice2FaceConfig
from baselines.voice2face.method import Voice2Face
from benchmark.cli.main import app
from benchmark.errors import MissingWeights
from benchmark.media import read_image, write_audio
from benchmark.types import Audio
from benchmark.weights import table as weights

TINY = Config(variant="official", width=0.05)
NAMES = (
    *(
        (rf"encoder\.model\.(\d)\.branches\.{i}\.", rf"encoder.model.\1.conv_k{k}.model.")
        for i, k in enumerate((2, 3, 5, 7))
    ),
    (r"fuser\.query", "encoder.attn_fuser.attention.linear_in"),
    (r"fuser\.output", "encoder.attn_fuser.attention.linear_out"),
    (r"decoder\.start", "decoder.fc"),
    (r"decoder\.low\.(\d)\.convolution", r"decoder.up_layers.\1.1"),
    (r"decoder\.low\.(\d)\.normalisation", r"decoder.up_layers.\1.2"),
    (r"decoder\.heads\.64", "decoder.gnet"),
)
"""Our names into the authors'."""


def official(name: str) -> str:
    for pattern, replacement in NAMES:
        name = re.sub(f"^{pattern}", replacement, name)
    return name


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = TINY.network()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


@pytest.fixture(params=["zip", "old"])
def checkpoint(request, tmp_path: Path, network: nn.Module) -> Path:
    """What the authors' training writes: everything that it knows, in one table."""
    state = OrderedDict((f"module.{official(name)}", tensor) for name, tensor in network.state_dict().items())
    state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    critic = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    optimiser = torch.optim.Adam(critic.parameters(), betas=(0.5, 0.999))
    critic(torch.ones(2, 3, 8, 8)).sum().backward()
    optimiser.step()
    losses = defaultdict(list, {"total_loss": [1.5, 0.5], "g_gan_img_loss": [np.float64(0.25), torch.tensor(1.0)]})
    content = {
        "args": argparse.Namespace(learning_rate=1e-4, path_opts="options/vox/sf2f.yaml").__dict__,
        "options": {"data": {"image_size": (64, 64)}, "optim": defaultdict(int, {"l1_pixel_loss_weight": 10})},
        "model_kwargs": {"encoder": OrderedDict(output_channel=512), "decoder": argparse.Namespace(noise_dim=512)},
        "train_losses": losses,
        "val_losses": defaultdict(list),
        "checkpoint_ts": [],
        "val_samples": [{"faces": np.zeros((2, 8, 8, 3), np.uint8), "log_mels": torch.ones(2, 40, 3)}],
        "val_inception": [(np.float32(1.5), np.float64(0.1))],
        "lr": [1e-4],
        "counters": {"t": 7, "epoch": np.int64(3), "best_vfs": (np.float32(1.5), 0.1), "best_L1": None},
        "model_state": state,
        "model_best_state": None,
        "optim_state": optimiser.state_dict(),
        "d_img_state_0": critic.state_dict(),
        "d_img_optim_state_0": optimiser.state_dict(),
        "d_ac_state_0": nn.DataParallel(critic).state_dict(),
    }
    path = tmp_path / "best_R10_with_model.pt"
    torch.save(content, path, _use_new_zipfile_serialization=request.param == "zip")
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(path, weights_only=True)
    return path


def test_a_whole_checkpoint_of_sf2f_gives_its_network(checkpoint: Path, network: nn.Module, tmp_path: Path) -> None:
    method = SF2F(TINY, checkpoint)
    method.load("cpu")
    found = method.network.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in network.state_dict().items())


def test_a_whole_checkpoint_of_sf2f_makes_faces(checkpoint: Path, tmp_path: Path) -> None:
    t = np.arange(32_000) / 16_000
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 30)) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))
    write_audio(tmp_path / "speech.wav", Audio((0.1 * buzz).astype(np.float32), 16_000))
    command = ["predict", "--method", "sf2f", "--preset", "official", "--set", "width=0.05", "--device", "cpu"]
    command += ["--input", str(tmp_path / "speech.wav"), "--output", str(tmp_path / "face.png")]
    result = CliRunner().invoke(app, [*command, "--weights", str(checkpoint)])
    assert result.exit_code == 0, result.output
    assert read_image(tmp_path / "face.png").shape == (64, 64, 3)


def test_weights_add_takes_what_weights_takes_and_refuses_what_it_refuses(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "page.pt").write_text("<html>quota exceeded</html>")
    torch.save({"epoch": 3, "args": argparse.Namespace()}, tmp_path / "empty.pt")
    for name, words in (("page.pt", "a web page"), ("empty.pt", "no table of tensors")):
        with pytest.raises(MissingWeights, match=words):
            weights.add("sf2f_official", tmp_path / name)
        with pytest.raises(MissingWeights, match=words):
            SF2F(TINY, tmp_path / name).load("cpu")
    assert not weights.is_here("sf2f_official")
    result = CliRunner().invoke(app, ["weights", "add", "sf2f_official", str(checkpoint)])
    assert result.exit_code == 0, result.output
    assert weights.locate("sf2f_official").read_bytes() == checkpoint.read_bytes()
    SF2F(TINY, weights.locate("sf2f_official")).load("cpu")


def test_voice2face_takes_parallel_and_wrapped_files(tmp_path: Path) -> None:
    config = Voice2FaceConfig()
    method = Voice2Face(config, None)
    method.load_random("cpu")
    state = method.network.state_dict()
    parts = {
        "voice_embedding.pth": {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")},
        "generator.pth": {k.removeprefix("decoder."): v for k, v in state.items() if k.startswith("decoder.")},
    }
    torch.save({f"module.{k}": v for k, v in parts["voice_embedding.pth"].items()}, tmp_path / "voice_embedding.pth")
    torch.save({"net": parts["generator.pth"], "loss": defaultdict(list)}, tmp_path / "generator.pth")
    again = Voice2Face(config, tmp_path)
    again.load("cpu")
    assert all(torch.equal(again.network.state_dict()[name], tensor) for name, tensor in state.items())
