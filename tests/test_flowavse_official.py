"""Official FlowAVSE checkpoints: every tensor in its place, the moving average, and nothing in a file is run."""

import argparse
import collections
import enum
import io
import pathlib
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from baselines.checkpoints import fill
from baselines.flowavse.ncsnpp import CrossAttention, ResidualBlock, SelfAttention
from baselines.flowavse.network import FlowAVSENetwork
from baselines.flowavse.official import is_official, read_checkpoint
from benchmark.errors import InvalidConfig, MissingWeights

WIDTH = 0.07

# Our places of the official list of modules of the second stage, in order. The first stage has no 1 and 2.
MODULES = (
    *("time", "time.hidden", "time.output", "input"),
    *("down.0.block", "down.0.resample", "down.0.inject"),
    *("down.1.block", "down.1.attention", "down.1.resample", "down.1.inject"),
    *("down.2.block", "down.2.attention", "down.2.resample", "down.2.inject"),
    *("down.3.block", "down.3.attention", "middle.0", "middle.1", "middle.2"),
    *("up.0.blocks.0", "up.0.blocks.1", "up.0.attention", "up.0.norm", "up.0.draw", "up.0.resample"),
    *("up.1.blocks.0", "up.1.blocks.1", "up.1.attention", "up.1.norm", "up.1.draw", "up.1.resample"),
    *("up.2.blocks.0", "up.2.blocks.1", "up.2.attention", "up.2.norm", "up.2.draw", "up.2.resample"),
    *("up.3.blocks.0", "up.3.blocks.1", "up.3.norm", "up.3.draw"),
)
assert (MODULES[18], MODULES[25], MODULES[41]) == ("middle.1", "up.0.resample", "up.3.draw")


def lively(seed: int = 0) -> FlowAVSENetwork:
    """A network whose every tensor differs from its start, and whose frequencies need all of float32."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = FlowAVSENetwork("large", WIDTH)
        for parameter in network.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                module.num_batches_tracked += 7
    return network.eval()


def official(network: FlowAVSENetwork) -> OrderedDict[str, torch.Tensor]:
    """Its state as the official modules hold it, in their order, written from the structure of the official code."""
    state: OrderedDict[str, torch.Tensor] = OrderedDict()

    def put(name: str, module: nn.Module) -> None:
        for leaf, tensor in module.state_dict().items():
            state[f"{name}.{leaf}"] = tensor.clone()

    def block(name: str, module: ResidualBlock) -> None:
        put(f"{name}.GroupNorm_0", module.norm_in)
        put(f"{name}.Conv_0", module.conv_in)
        put(f"{name}.Dense_0", module.time)
        put(f"{name}.GroupNorm_1", module.norm_out)
        put(f"{name}.Conv_1", module.conv_out)
        if module.shortcut is not None:
            put(f"{name}.Conv_2", module.shortcut)

    def self_attention(name: str, module: SelfAttention) -> None:
        put(f"{name}.GroupNorm_0", module.norm)
        for i, linear in enumerate((module.query, module.key, module.value, module.output)):
            state[f"{name}.NIN_{i}.W"] = linear.weight.detach().T.clone()
            state[f"{name}.NIN_{i}.b"] = linear.bias.detach().clone()

    def cross_attention(name: str, module: CrossAttention) -> None:
        def attention(name: str, module: nn.Module) -> None:
            put(f"{name}.to_q", module.query)
            put(f"{name}.to_k", module.key)
            put(f"{name}.to_v", module.value)
            put(f"{name}.to_out.0", module.output)

        inner = f"{name}.transformer_blocks.0"
        put(f"{name}.norm", module.norm)
        attention(f"{inner}.attn1", module.own)
        put(f"{inner}.ff.net.0.proj", module.feed_in)
        put(f"{inner}.ff.net.2", module.feed_out)
        attention(f"{inner}.attn2", module.seen)
        put(f"{inner}.norm1", module.norm_own)
        put(f"{inner}.norm2", module.norm_seen)
        put(f"{inner}.norm3", module.norm_feed)
        put(f"{name}.proj1", module.enter)
        put(f"{name}.proj2", module.leave)

    for stage, unet, encoder, missing in (
        ("denoiser_net", network.predictor, network.predictor_encoder, 2),
        ("score_net", network.refiner, network.refiner_encoder, 0),
    ):
        put(f"{stage}.output_layer", unet.output)
        state[f"{stage}.all_modules.0.W"] = unet.time.frequencies.detach().clone()
        for number, place in list(enumerate(MODULES))[1 + missing :]:
            name, module = f"{stage}.all_modules.{number - missing}", unet.get_submodule(place)
            if isinstance(module, ResidualBlock):
                block(name, module)
            elif isinstance(module, SelfAttention):
                self_attention(name, module)
            elif isinstance(module, CrossAttention):
                cross_attention(name, module)
            else:
                put(f"{name}.Conv_0" if place.endswith("inject") else name, module)
        visual = f"{stage}.visual_encoder"
        state[f"{visual}.frontend3D.0.weight"] = encoder.front.weight.detach()[:, None].clone()
        put(f"{visual}.frontend3D.1", encoder.front_norm)
        for i, part in enumerate(encoder.stages):
            layer = f"{visual}.resnet.layer{i + 1}"
            put(f"{layer}.conv1a", part.conv_a1)
            put(f"{layer}.bn1a", part.norm_a1)
            put(f"{layer}.conv2a", part.conv_a2)
            put(f"{layer}.downsample", part.shortcut)
            put(f"{layer}.outbna", part.norm_a2)
            put(f"{layer}.conv1b", part.conv_b1)
            put(f"{layer}.bn1b", part.norm_b1)
            put(f"{layer}.conv2b", part.conv_b2)
            put(f"{layer}.outbnb", part.norm_b2)
        for i, part in enumerate(encoder.temporal):
            net = f"{visual}.visualTCN.net.{i}.net"
            put(f"{net}.1", part.norm)
            put(f"{net}.2", part.depthwise)
            put(f"{net}.3", part.activation)
            state[f"{net}.4.gamma"] = part.global_norm.weight.detach()[None, :, None].clone()
            state[f"{net}.4.beta"] = part.global_norm.bias.detach()[None, :, None].clone()
            put(f"{net}.5", part.pointwise)
        put(f"{visual}.visualConv1D.net.0", encoder.output)
        put(f"{visual}.visualConv1D.net.1", encoder.output_norm)
    return state


def parameters(state: OrderedDict[str, torch.Tensor]) -> list[str]:
    return [name for name in state if "running_" not in name and "num_batches" not in name]


def averaged(state: OrderedDict[str, torch.Tensor], names: list[str]) -> dict[str, object]:
    """What torch_ema keeps: a list."""
    return {"decay": 0.999, "num_updates": 5, "shadow_params": [state[n] for n in names], "collected_params": None}


def archive(path: pathlib.Path, content: dict[str, object], change) -> None:
    """Save, then change the pickle inside."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name.endswith("data.pkl") else old.read(name))


@pytest.fixture(scope="module")
def source() -> FlowAVSENetwork:
    return lively()


@pytest.fixture(scope="module")
def averages(source) -> OrderedDict[str, torch.Tensor]:
    state = official(source)
    assert len(state) == len(source.state_dict())
    return state


@pytest.fixture(scope="module")
def raw(averages) -> OrderedDict[str, torch.Tensor]:
    """The last weights of the training: not the average; the same statistics and frequencies."""
    trained = {n for n in parameters(averages) if not n.endswith("all_modules.0.W")}
    return OrderedDict((n, t + 1 if n in trained else t.clone()) for n, t in averages.items())


@pytest.fixture
def foreign():
    """Objects of a module that is gone when the file is read."""

    class Data:
        pass

    class Mode(enum.Enum):
        JOINT = "joint"

    class Table(dict):
        pass

    class Row(list):
        pass

    module = types.ModuleType("a_module_that_goes")
    for item in (Data, Mode, Table, Row):
        item.__module__, item.__qualname__ = module.__name__, item.__name__
        setattr(module, item.__name__, item)
    sys.modules[module.__name__] = module
    one = Data()
    one.gpus = 4
    yield {
        "data_module_cls": Data,
        "data": one,
        "mode": Mode.JOINT,
        "modes": {Mode.JOINT: 1, one: 2},
        "table": Table(lr=1e-4),
        "row": Row([1, 2]),
    }
    sys.modules.pop(module.__name__, None)


def assert_same(tensors: dict[str, torch.Tensor], network: FlowAVSENetwork) -> None:
    expected = network.state_dict()
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor), name


@pytest.mark.parametrize("form", ["zip", "old"])
def test_a_whole_checkpoint_becomes_the_network_of_its_average(tmp_path, source, averages, raw, foreign, form):
    raw = OrderedDict(raw)
    raw._metadata = OrderedDict({"": {"version": 1}})  # as nn.Module.state_dict leaves it
    content = {
        "epoch": 14,
        "pytorch-lightning_version": "1.9.0",
        "state_dict": raw,
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(2.1), "dirpath": pathlib.Path("logs")}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(3)}}, "param_groups": []}],
        "ema": averaged(averages, parameters(averages)),
        "hyper_parameters": {
            **foreign,
            "namespace": argparse.Namespace(gpus=4),
            "score": np.float64(2.1),
            "array": np.arange(3),
            "counts": collections.defaultdict(list, a=[1]),
            "queue": collections.deque([1, 2]),
            "names": {"a", "b"},
            "dtype": torch.float16,
            "device": torch.device("cpu"),
            "parameter": nn.Parameter(torch.ones(2)),
        },
    }
    path = tmp_path / "epoch=14.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    del sys.modules["a_module_that_goes"]
    with pytest.raises(ModuleNotFoundError):
        torch.load(path, weights_only=False)
    tensors = read_checkpoint(path)
    assert_same(tensors, source)
    assert not any(tensor.requires_grad for tensor in tensors.values())

    loaded = lively(seed=9)
    fill(loaded, tensors, path)
    generator = torch.Generator().manual_seed(1)
    video = torch.randint(0, 256, (2, 3, 32, 32), generator=generator, dtype=torch.uint8)
    x, y = torch.randn(2, 2, 2, 16, 8, generator=generator)

    @torch.inference_mode()
    def outputs(network: FlowAVSENetwork) -> torch.Tensor:
        seen = network.see(video)
        return torch.stack([network.predict(y, seen), network.refine(x, y, torch.tensor([0.03, 1.0]), seen)])

    expected = outputs(source)
    assert torch.equal(outputs(loaded), expected) and expected.isfinite().all() and expected.std() > 0


def test_without_an_average_the_plain_weights_count(tmp_path, source, averages):
    state = {n: nn.Parameter(t) if t.is_floating_point() else t for n, t in averages.items()}
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    tensors = read_checkpoint(tmp_path / "x.ckpt")
    assert_same(tensors, source)
    assert not any(tensor.requires_grad for tensor in tensors.values())
    assert not torch.equal(source.predictor.time.frequencies, source.predictor.time.frequencies.half().float())


def test_an_average_of_the_trained_parameters_alone_is_applied(tmp_path, source, averages, raw):
    trained = [n for n in parameters(averages) if not n.endswith("all_modules.0.W")]
    assert len(trained) == len(parameters(averages)) - 2
    torch.save({"state_dict": raw, "ema": averaged(averages, trained)}, tmp_path / "x.ckpt")
    assert_same(read_checkpoint(tmp_path / "x.ckpt"), source)


def test_the_order_of_the_stages_is_that_of_the_state_dict(tmp_path, source, averages, raw):
    def swapped(state):
        return OrderedDict(sorted(state.items(), key=lambda item: item[0].startswith("denoiser_net")))

    ema = averaged(swapped(averages), parameters(swapped(averages)))
    torch.save({"state_dict": swapped(raw), "ema": ema}, tmp_path / "x.ckpt")
    tensors = read_checkpoint(tmp_path / "x.ckpt")
    assert_same({name: tensors[name] for name in source.state_dict()}, source)


def test_half_precision_and_other_devices_are_read(tmp_path, averages):
    """Checkpoints come from a GPU; the pickle says so of every tensor."""
    halved = {n: t.half() if t.is_floating_point() else t for n, t in averages.items()}

    def moved(content: bytes) -> bytes:
        assert b"X\x03\x00\x00\x00cpu" in content
        return content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")

    archive(tmp_path / "x.ckpt", {"state_dict": halved}, moved)
    tensors = read_checkpoint(tmp_path / "x.ckpt")
    weight = tensors["refiner.input.weight"]
    assert weight.dtype == torch.float32 and weight.device.type == "cpu"
    assert torch.equal(weight, averages["score_net.all_modules.3.weight"].half().float())


# Files that do not fit


def test_an_average_of_the_wrong_number_is_refused(tmp_path, averages):
    names = parameters(averages)
    for wrong in (names[:-1], [*names, names[0]], []):
        torch.save({"state_dict": averages, "ema": averaged(averages, wrong)}, tmp_path / "x.ckpt")
        with pytest.raises(MissingWeights, match=f"average of {len(wrong)} tensors; expected {len(names)}.*or "):
            read_checkpoint(tmp_path / "x.ckpt")


def test_an_average_of_other_shapes_is_refused(tmp_path, averages):
    names = parameters(averages)
    torch.save({"state_dict": averages, "ema": averaged(averages, names[1:] + names[:1])}, tmp_path / "x.ckpt")
    with pytest.raises(MissingWeights, match="does not fit its state dict.*denoiser_net.output_layer.weight"):
        read_checkpoint(tmp_path / "x.ckpt")


@pytest.mark.parametrize("ema", [pathlib.Path("x"), {"decay": 0.9}, {"shadow_params": {}}, {"shadow_params": [1.0]}])
def test_a_malformed_average_is_refused(tmp_path, averages, ema):
    torch.save({"state_dict": averages, "ema": ema}, tmp_path / "x.ckpt")
    with pytest.raises(MissingWeights, match="shadow_params"):
        read_checkpoint(tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    "key",
    [
        "discriminator.weight",
        "score_net.all_modules.42.weight",
        "denoiser_net.all_modules.40.weight",
        "score_net.all_modules.4.Conv_3.weight",
        "score_net.all_modules",
        "predictor.input.weight",
    ],
)
def test_a_key_of_another_network_is_named(tmp_path, averages, key):
    torch.save({"state_dict": {**averages, key: torch.ones(1)}}, tmp_path / "x.ckpt")
    with pytest.raises(InvalidConfig, match=f"not an official.*: {key} in its state dict"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_a_missing_key_is_named_when_the_network_is_filled(tmp_path, averages):
    state = {n: t for n, t in averages.items() if n != "score_net.all_modules.18.NIN_2.W"}
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    with pytest.raises(InvalidConfig, match="refiner.middle.1.value.weight is missing"):
        fill(lively(), read_checkpoint(tmp_path / "x.ckpt"), tmp_path / "x.ckpt")


def test_values_that_are_no_tensors_or_not_finite_are_named(tmp_path, averages):
    name = "score_net.all_modules.3.bias"
    torch.save({"state_dict": {**averages, name: [0.0]}}, tmp_path / "list.ckpt")
    torch.save({"state_dict": {**averages, name: averages[name] * float("nan")}}, tmp_path / "nan.ckpt")
    with pytest.raises(MissingWeights, match=f"nothing but tensors with names, but {name} is a list"):
        read_checkpoint(tmp_path / "list.ckpt")
    with pytest.raises(InvalidConfig, match=f"not finite, in {name}"):
        read_checkpoint(tmp_path / "nan.ckpt")


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, {"state_dict": [1]}, [1], torch.ones(2), None])
def test_a_file_without_a_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(MissingWeights, match="expected a (table of tensors|state dict)"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_ours_are_safetensors_and_all_else_is_official(tmp_path):
    assert not is_official(tmp_path / "flowavse.safetensors")
    assert is_official(tmp_path / "epoch=14.ckpt") and is_official(tmp_path / "last.pt")
