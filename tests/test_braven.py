"""BRAVEn's video encoder against its formulas, and files of the official layout."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.checkpoints import export
from baselines.lipdiffuser.braven import LARGE, BRAVEn, Size, read_visual
from baselines.lipdiffuser.config import Config
from baselines.lipdiffuser.method import LipDiffuser
from benchmark.errors import InvalidConfig, MissingWeights

SMALL = Size(dim=16, heads=2, hidden=24, layers=2)
TRUNK = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))


def official(size: Size) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of the official encoder."""

    def norm(name: str, count: int) -> dict[str, tuple[int, ...]]:
        own = ("weight", "bias", "running_mean", "running_var")
        return {**{f"{name}.{part}": (count,) for part in own}, f"{name}.num_batches_tracked": ()}

    shapes = {"frontend.frontend3D.0.weight": (64, 1, 5, 7, 7), **norm("frontend.frontend3D.1", 64)}
    for number, (inputs, outputs, stride) in enumerate(TRUNK, start=1):
        for block, (a, b) in enumerate(((inputs, outputs), (outputs, outputs))):
            name = f"frontend.trunk.layer{number}.{block}"
            shapes |= {f"{name}.conv1.weight": (b, a, 3, 3), f"{name}.conv2.weight": (b, b, 3, 3)}
            shapes |= {**norm(f"{name}.bn1", b), **norm(f"{name}.bn2", b)}
            if stride == 2 and block == 0:
                shapes |= {f"{name}.downsample.0.weight": (b, a, 1, 1), **norm(f"{name}.downsample.1", b)}
    d = size.dim
    shapes |= {"embed.0.weight": (d, 512), "embed.0.bias": (d,), "after_norm.weight": (d,), "after_norm.bias": (d,)}
    for number in range(size.layers):
        name = f"encoders.{number}"
        for part in ("q", "k", "v", "out"):
            shapes |= {f"{name}.self_attn.linear_{part}.weight": (d, d), f"{name}.self_attn.linear_{part}.bias": (d,)}
        shapes |= {f"{name}.self_attn.linear_pos.weight": (d, d)}
        shapes |= {f"{name}.self_attn.pos_bias_{part}": (size.heads, d // size.heads) for part in "uv"}
        shapes |= {f"{name}.feed_forward.w_1.weight": (size.hidden, d), f"{name}.feed_forward.w_1.bias": (size.hidden,)}
        shapes |= {f"{name}.feed_forward.w_2.weight": (d, size.hidden), f"{name}.feed_forward.w_2.bias": (d,)}
        shapes |= {**norm(f"{name}.norm_ff", d), f"{name}.norm_mha.weight": (d,), f"{name}.norm_mha.bias": (d,)}
        shapes |= {f"{name}.gamma_ff": (d,), f"{name}.gamma_mha": (d,)}
    return shapes


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    tensors = {}
    for name, shape in official(SMALL).items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            tensors[name] = 0.5 + torch.rand(shape, generator=random)
        else:
            fan_in = math.prod(shape[1:]) if len(shape) > 1 else 4
            tensors[name] = torch.randn(shape, generator=random) * (1 / fan_in) ** 0.5
    return tensors


def reference(state: dict[str, Tensor], size: Size, video: Tensor) -> Tensor:
    """The official forward pass of one clip `[N, H, W]`, written out."""

    def normed(x: Tensor, name: str) -> Tensor:
        own = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *own)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))

    def swish(x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)

    x = ((video - 0.421) / 0.165)[None, None]
    x = F.conv3d(x, state["frontend.frontend3D.0.weight"], stride=(1, 2, 2), padding=(2, 3, 3))
    x = F.max_pool3d(swish(normed(x, "frontend.frontend3D.1")), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    x = x[0].transpose(0, 1)
    for number, (*_, first) in enumerate(TRUNK, start=1):
        for block, stride in enumerate((first, 1)):
            name = f"frontend.trunk.layer{number}.{block}"
            y = F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            y = F.conv2d(swish(normed(y, f"{name}.bn1")), state[f"{name}.conv2.weight"], padding=1)
            if f"{name}.downsample.0.weight" in state:
                x = normed(F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride), f"{name}.downsample.1")
            x = swish(normed(y, f"{name}.bn2") + x)
    x = linear(x.mean((2, 3)), "embed.0") * math.sqrt(size.dim)
    frames, each = len(x), size.dim // size.heads
    for number in range(size.layers):
        name = f"encoders.{number}"
        y = F.layer_norm(x, (size.dim,), state[f"{name}.norm_mha.weight"], state[f"{name}.norm_mha.bias"], 1e-12)
        q, k, v = (linear(y, f"{name}.self_attn.linear_{part}") for part in "qkv")
        heads = []
        for head in range(size.heads):
            own = slice(head * each, (head + 1) * each)
            u, w = (state[f"{name}.self_attn.pos_bias_{part}"][head] for part in "uv")
            scores = torch.empty(frames, frames)
            for i in range(frames):
                for j in range(frames):
                    code = torch.empty(size.dim)
                    for c in range(0, size.dim, 2):
                        angle = (i - j) / 10000 ** (c / size.dim)
                        code[c], code[c + 1] = math.sin(angle), math.cos(angle)
                    place = linear(code, f"{name}.self_attn.linear_pos")[own]
                    scores[i, j] = ((q[i, own] + u) @ k[j, own] + (q[i, own] + w) @ place) / math.sqrt(each)
            heads.append(scores.softmax(-1) @ v[:, own])
        x = x + state[f"{name}.gamma_mha"] * linear(torch.cat(heads, -1), f"{name}.self_attn.linear_out")
        y = normed(x, f"{name}.norm_ff")
        y = linear(linear(y, f"{name}.feed_forward.w_1").relu(), f"{name}.feed_forward.w_2")
        x = x + state[f"{name}.gamma_ff"] * y
    return F.layer_norm(x, (size.dim,), state["after_norm.weight"], state["after_norm.bias"], 1e-12)


@pytest.mark.parametrize("prefix", ["", "encoder.", "model.encoder."])
@torch.no_grad()
def test_official_files_give_the_official_features(tmp_path, state, prefix: str) -> None:
    further = {"ctc.ctc_lo.weight": torch.zeros(3, 16), "decoder.output_layer.bias": torch.zeros(3)} if prefix else {}
    tensors = {prefix + name: tensor for name, tensor in state.items()}
    before = prefix.removesuffix("encoder.")
    torch.save({**{before + name: tensor for name, tensor in further.items()}, **tensors}, tmp_path / "a.pth")
    encoder = Config(visual_weights=str(tmp_path / "a.pth"), visual_dim=16).visual_encoder()
    assert isinstance(encoder, BRAVEn) and encoder.dim == 16 and not encoder.training
    video = torch.rand(5, 40, 40, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(encoder(video[None])[0], reference(state, SMALL, video), atol=2e-4, rtol=1e-3)


@torch.no_grad()
def test_what_fills_a_batch_up_changes_nothing(state) -> None:
    encoder = BRAVEn(SMALL).eval()
    encoder.load_state_dict(state)
    random = torch.Generator().manual_seed(2)
    batch = torch.rand(2, 7, 40, 40, generator=random)
    seen = encoder(batch, torch.tensor([4, 7]))
    torch.testing.assert_close(seen[:1, :4], encoder(batch[:1, :4]), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(seen[1:], encoder(batch[1:]), atol=1e-4, rtol=1e-3)
    assert not seen[0, 4:].any()


def test_the_large_encoder_has_the_official_tensors() -> None:
    with torch.device("meta"):
        encoder = BRAVEn()
    assert {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()} == official(LARGE)


def test_other_files_are_refused_with_what_is_odd(tmp_path, state) -> None:
    def saved(name: str, tensors: dict[str, Tensor]) -> str:
        torch.save(tensors, tmp_path / name)
        return str(tmp_path / name)

    with pytest.raises(InvalidConfig, match=r"frontend3D\.0\.weight"):
        read_visual(saved("other.pth", {"encoder.weight": torch.zeros(3)}))
    audio = {name: tensor for name, tensor in state.items() if not name.startswith("encoders.")}
    with pytest.raises(InvalidConfig, match="no video encoder"):
        read_visual(saved("short.pth", audio))
    with pytest.raises(InvalidConfig, match=r"encoders\.1\.conv_module"):
        read_visual(saved("conformer.pth", {**state, "encoders.1.conv_module.norm.weight": torch.zeros(16)}))
    with pytest.raises(InvalidConfig, match=r"embed\.0\.weight"):
        read_visual(saved("wide.pth", {**state, "embed.0.weight": torch.zeros(16, 768)}))
    with pytest.raises(MissingWeights):
        read_visual(tmp_path / "nothing.pth")


@pytest.mark.parametrize("random", [False, True])
def test_the_method_sees_by_it(state, tmp_path, monkeypatch, random):
    torch.save(state, tmp_path / "braven.pth")
    monkeypatch.setattr(BRAVEn.__init__, "__defaults__", (SMALL,))
    config = Config(
        channels=8,
        multiples=(1, 2),
        blocks=1,
        attention=(False, False),
        head_channels=16,
        patch=8,
        speaker="talkers",
        visual_weights=str(tmp_path / "braven.pth"),
        visual_dim=SMALL.dim,
        vocoder_channels=16,
    )
    trained = {name: t for name, t in config.network().state_dict().items() if not name.startswith("visual.")}
    about = {"method": "lipdiffuser", "config": dataclasses.asdict(config)}
    made = LipDiffuser(config, export(tmp_path / "weights.safetensors", trained, about, half=False))
    if random:
        made.load_random("cpu")
    else:
        made.load("cpu")
    video = torch.rand(1, 4, 88, 88)
    with torch.no_grad():
        seen = made.network.see(video)
        assert seen.shape == (1, 4, SMALL.dim)
        if not random:
            torch.testing.assert_close(seen, read_visual(tmp_path / "braven.pth")(video), rtol=1e-4, atol=1e-5)
