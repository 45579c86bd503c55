"""VGG-19 and GFPGAN's face recogniser, from files under their published names, against plain convolutions."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from baselines.layers import arcface18, vgg19
from benchmark.errors import InvalidConfig

GENERATOR = 0


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(GENERATOR)
    state = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            values *= (2 / values[0].numel()) ** 0.5
        state[name] = values.abs() + 0.5 if name.endswith(("running_var", "bn.weight")) else values
    return state


def test_vgg19_from_torchvisions_names(tmp_path: Path) -> None:
    channels = [3, 64, 64, 128, 128, *(256,) * 4, *(512,) * 8]
    places = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    shapes: dict[str, tuple[int, ...]] = {}
    for place, inputs, outputs in zip(places, channels, channels[1:], strict=False):
        shapes |= {f"features.{place}.weight": (outputs, inputs, 3, 3), f"features.{place}.bias": (outputs,)}
    state = drawn(shapes)
    torch.save(state | {"classifier.0.weight": torch.zeros(2, 2)}, tmp_path / "vgg19-dcbb9e9d.pth")
    network = vgg19.load(tmp_path / "vgg19-dcbb9e9d.pth", "cpu")
    faces = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    x = (faces - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    seen = network.features(faces)
    expected = []
    for place in places:
        if place in (5, 10, 19, 28):
            x = F.max_pool2d(x, 2)
        x = F.conv2d(x, state[f"features.{place}.weight"], state[f"features.{place}.bias"], padding=1)
        if place in (2, 7, 16, 25, 34):
            expected.append(x)
        x = F.relu(x)
    assert [tuple(one.shape[1:]) for one in seen] == [
        *((64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)),
    ]
    for one, other in zip(seen, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    torch.save({"strange": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InvalidConfig, match="is missing"):
        vgg19.load(tmp_path / "other.pth", "cpu")


def test_the_recogniser_from_gfpgans_names(tmp_path: Path) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        made = arcface18.ArcFace18()
    state = drawn({name: tuple(tensor.shape) for name, tensor in made.state_dict().items() if tensor.ndim})
    state = {name: tensor.abs() + 0.5 if name.endswith("running_var") else tensor for name, tensor in state.items()}
    counts = {name: tensor for name, tensor in made.state_dict().items() if not tensor.ndim}
    assert {
        "conv1.weight",
        "layer1.0.prelu.weight",
        "layer2.0.downsample.1.bias",
        "layer4.1.bn0.weight",
    } <= state.keys()
    assert state["fc5.weight"].shape == (512, 512 * 64)
    torch.save({f"module.{k}": v for k, v in (state | counts).items()}, tmp_path / "a.pth")
    network = arcface18.load(tmp_path / "a.pth", "cpu")
    faces = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))

    def normalised(name: str, x: torch.Tensor) -> torch.Tensor:
        mean, variance, weight, bias = (
            state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, weight, bias)

    def prelu(name: str, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x, state[f"{name}.prelu.weight"] * x)

    grey = 0.2989 * faces[:, :1] + 0.5870 * faces[:, 1:2] + 0.1140 * faces[:, 2:]
    # grey of 2 f - 1, whose weights add up to 0.9999
    x = F.interpolate(2 * grey - 0.9999, (128, 128), mode="bilinear", align_corners=False)
    x = normalised("bn1", F.conv2d(x, state["conv1.weight"], padding=1))
    x = F.max_pool2d(torch.where(x > 0, x, state["prelu.weight"] * x), 2)
    for layer in range(1, 5):
        for number in range(2):
            name, stride = f"layer{layer}.{number}", 2 if layer > 1 and number == 0 else 1
            y = F.conv2d(normalised(f"{name}.bn0", x), state[f"{name}.conv1.weight"], padding=1)
            y = prelu(name, normalised(f"{name}.bn1", y))
            y = normalised(f"{name}.bn2", F.conv2d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1))
            if stride == 2:
                kept = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=2)
                x = normalised(f"{name}.downsample.1", kept)
            x = prelu(name, y + x)
    flat = normalised("bn4", x).flatten(1)
    expected = normalised("bn5", F.linear(flat, state["fc5.weight"], state["fc5.bias"]))
    (told,) = network.features(faces)
    scale = float(expected.abs().max())
    torch.testing.assert_close(told / scale, expected / scale, rtol=1e-3, atol=1e-4)
