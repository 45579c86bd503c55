"""VGGFace2's ResNet-50: the Caffe layout, its file formats, and its preprocessing."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from metrics.networks.vggface2_resnet50 import MEAN, ResNet50, VGGFace2Classifier, load, prepare
from metrics.networks.weight_files import read_weights


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ResNet50(classes=20).eval().requires_grad_(False)


def published() -> dict[str, tuple[int, ...]]:
    """Names and shapes of resnet50_ft_weight.pkl less the running counters, which Caffe does not keep."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (8631, 2048), "fc.bias": (8631,)}

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)

    norm("bn1", 64)
    channels_in = 64
    for layer, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, channels_in, 1, 1)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            shapes[f"{name}.conv3.weight"] = (4 * width, width, 1, 1)
            for number, channels in ((1, width), (2, width), (3, 4 * width)):
                norm(f"{name}.bn{number}", channels)
            if block == 0:
                shapes[f"{name}.downsample.0.weight"] = (4 * width, channels_in, 1, 1)
                norm(f"{name}.downsample.1", 4 * width)
            channels_in = 4 * width
    return shapes


def test_names_and_shapes_are_those_of_the_published_file():
    own = {name: tuple(v.shape) for name, v in ResNet50().state_dict().items() if "num_batches" not in name}
    assert own == published()


def test_parameter_count_is_that_of_resnet50_with_8631_classes():
    """25,557,032 with ImageNet's 1000 classes (He et al.); each class more or less has 2049 numbers."""
    assert sum(p.numel() for p in ResNet50().parameters()) == 25_557_032 + (8631 - 1000) * 2049


def test_blocks_stride_in_their_first_convolution_and_the_pooling_rounds_up(network):
    strides = {
        name: m.stride for name, m in network.named_modules() if isinstance(m, torch.nn.Conv2d) and m.stride[0] > 1
    }
    assert set(strides) == {"conv1"} | {f"layer{n}.0.{c}" for n in (2, 3, 4) for c in ("conv1", "downsample.0")}
    sizes = []
    hook = network.layer1.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[-1]))
    network(torch.zeros(1, 3, 224, 224))
    hook.remove()
    # conv1 leaves 112; pooling 3 by 3, stride 2, without padding gives 55 rounded down and 56 rounded up.
    assert sizes == [56]


def test_rgb_stays_rgb_unless_bgr_is_asked_for():
    x = torch.rand(1, 3, 64, 64) * 255
    rgb, bgr = prepare(x), prepare(x, "bgr")
    expected = torch.nn.UpsamplingBilinear2d(size=(224, 224))(x) - torch.tensor(MEAN).view(1, 3, 1, 1)
    assert rgb.numpy() == pytest.approx(expected.numpy(), abs=1e-3)
    assert torch.equal(rgb.flip(1), bgr)


def test_the_corners_of_a_picture_stay_in_the_corners():
    """Row i of 224 lies at i * (64 - 1) / (224 - 1) of 64: a ramp stays a ramp from its first to its last value."""
    ramp = torch.arange(64.0).expand(1, 3, 64, 64)
    expected = torch.arange(224) * 63 / 223
    for found in (prepare(ramp)[0], prepare(ramp.transpose(2, 3))[0].transpose(1, 2)):
        for channel, mean in zip(found, MEAN, strict=True):
            assert (channel + mean).numpy() == pytest.approx(expected.expand(224, 224).numpy(), abs=1e-3)


def test_probabilities_are_a_softmax_and_do_not_depend_on_the_batch(network):
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (size, size, 3), dtype=np.uint8) for size in (64, 90)]
    classifier = VGGFace2Classifier(network, batch_size=1)
    found = classifier.probabilities(images)
    assert found.shape == (2, 20) and found.dtype == np.float64
    assert found.sum(1) == pytest.approx(np.ones(2), abs=1e-12)
    for image, row in zip(images, found, strict=True):
        scores = network(prepare(torch.from_numpy(image).permute(2, 0, 1)[None].float()))
        assert row == pytest.approx(functional.softmax(scores[0].double(), 0).numpy(), rel=1e-4)
    assert "corners,rgb|in-v2" in classifier.signature
    assert VGGFace2Classifier(network, channel_order="bgr").signature != classifier.signature
    with pytest.raises(ValueError, match="rgb or bgr"):
        VGGFace2Classifier(network, channel_order="RGB")
    assert classifier.probabilities([]).shape == (0, 20)


def test_the_published_pickle_of_arrays_loads(tmp_path):
    state = {name: torch.full(shape, len(name) / 64) for name, shape in published().items()}
    path = tmp_path / "resnet50_ft_weight.pkl"
    path.write_bytes(pickle.dumps({name: value.numpy() for name, value in state.items()}, protocol=2))
    loaded = load(path).network.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def test_each_form_of_file_gives_the_same_tensors(tmp_path):
    state = {"a.weight": torch.rand(3, 4), "b": torch.arange(5)}
    arrays = {name: value.numpy() for name, value in state.items()}
    for protocol in (1, 2, 4):
        (tmp_path / f"p{protocol}.pkl").write_bytes(pickle.dumps(arrays, protocol=protocol))
    torch.save(state, tmp_path / "zip.pt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "x.safetensors")
    for path in tmp_path.iterdir():
        found = read_weights(path)
        assert all(torch.equal(found[name], value) for name, value in state.items()), path


def test_a_pickle_with_no_array_is_refused(tmp_path):
    path = tmp_path / "resnet50_ft_weight.pkl"
    path.write_bytes(pickle.dumps({"conv1.weight": pytest.approx}))
    with pytest.raises(ValueError, match="conv1.weight .a pickled _pytest"):
        load(path)
    with pytest.raises(FileNotFoundError, match="give the path"):
        load(None)
