"""FaceNet: the published file's names and shapes, the two crops, and what the perceptual loss needs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from metrics.networks import facenet
from metrics.networks.facenet import FaceNet, InceptionResnetV1, crop_box, load, load_network, prepare


def published() -> dict[str, tuple[int, ...]]:
    """Names and shapes of 20180402-114759-vggface2.pt, from the layers of Inception-ResNet v1."""
    units = {
        "conv2d_1a": (3, 32, 3, 3),
        "conv2d_2a": (32, 32, 3, 3),
        "conv2d_2b": (32, 64, 3, 3),
        "conv2d_3b": (64, 80, 1, 1),
        "conv2d_4a": (80, 192, 3, 3),
        "conv2d_4b": (192, 256, 3, 3),
        "mixed_6a.branch0": (256, 384, 3, 3),
        "mixed_6a.branch1.0": (256, 192, 1, 1),
        "mixed_6a.branch1.1": (192, 192, 3, 3),
        "mixed_6a.branch1.2": (192, 256, 3, 3),
        "mixed_7a.branch0.0": (896, 256, 1, 1),
        "mixed_7a.branch0.1": (256, 384, 3, 3),
        "mixed_7a.branch1.0": (896, 256, 1, 1),
        "mixed_7a.branch1.1": (256, 256, 3, 3),
        "mixed_7a.branch2.0": (896, 256, 1, 1),
        "mixed_7a.branch2.1": (256, 256, 3, 3),
        "mixed_7a.branch2.2": (256, 256, 3, 3),
    }
    plain: dict[str, tuple[int, ...]] = {}
    for block in (f"repeat_1.{n}" for n in range(5)):
        units |= {f"{block}.branch0": (256, 32, 1, 1), f"{block}.branch1.0": (256, 32, 1, 1)}
        units |= {f"{block}.branch1.1": (32, 32, 3, 3), f"{block}.branch2.0": (256, 32, 1, 1)}
        units |= {f"{block}.branch2.1": (32, 32, 3, 3), f"{block}.branch2.2": (32, 32, 3, 3)}
        plain |= {f"{block}.conv2d.weight": (256, 96, 1, 1), f"{block}.conv2d.bias": (256,)}
    for block in (f"repeat_2.{n}" for n in range(10)):
        units |= {f"{block}.branch0": (896, 128, 1, 1), f"{block}.branch1.0": (896, 128, 1, 1)}
        units |= {f"{block}.branch1.1": (128, 128, 1, 7), f"{block}.branch1.2": (128, 128, 7, 1)}
        plain |= {f"{block}.conv2d.weight": (896, 256, 1, 1), f"{block}.conv2d.bias": (896,)}
    for block in [f"repeat_3.{n}" for n in range(5)] + ["block8"]:
        units |= {f"{block}.branch0": (1792, 192, 1, 1), f"{block}.branch1.0": (1792, 192, 1, 1)}
        units |= {f"{block}.branch1.1": (192, 192, 1, 3), f"{block}.branch1.2": (192, 192, 3, 1)}
        plain |= {f"{block}.conv2d.weight": (1792, 384, 1, 1), f"{block}.conv2d.bias": (1792,)}
    shapes = dict(plain)
    for name, (channels_in, channels, height, width) in units.items():
        shapes[f"{name}.conv.weight"] = (channels, channels_in, height, width)
        shapes |= {f"{name}.bn.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"{name}.bn.num_batches_tracked"] = ()
    shapes["last_linear.weight"] = (512, 1792)
    shapes |= {f"last_bn.{part}": (512,) for part in ("weight", "bias", "running_mean", "running_var")}
    shapes["last_bn.num_batches_tracked"] = ()
    shapes |= {"logits.weight": (8631, 512), "logits.bias": (8631,)}
    return shapes


def is_learned(name: str) -> bool:
    return name.rsplit(".", 1)[1] in ("weight", "bias")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return InceptionResnetV1().eval().requires_grad_(False)


@pytest.fixture
def published_file(tmp_path, network):
    """A file as published: the embedding's tensors and the classifier's."""
    path = tmp_path / "20180402-114759-vggface2.pt"
    torch.save(
        {**network.state_dict(), "logits.weight": torch.zeros(8631, 512), "logits.bias": torch.zeros(8631)}, path
    )
    return path


def test_names_and_shapes_are_those_of_the_published_file(network):
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert own == {name: shape for name, shape in published().items() if not name.startswith("logits.")}


def test_parameter_counts():
    """27.9 million with the classifier of 8631 identities, as published; 23.5 million without."""
    learned = {name: int(np.prod(shape)) for name, shape in published().items() if is_learned(name)}
    assert sum(learned.values()) == 27_910_327
    assert sum(p.numel() for p in InceptionResnetV1().parameters()) == 27_910_327 - (8631 * 512 + 8631) == 23_482_624


def test_features_have_the_shapes_of_the_layers_and_the_embedding_norm_one(network):
    x = torch.randn(2, 3, 96, 96)
    features = network.features(x)
    assert [tuple(f.shape[:2]) for f in features] == [(2, 256), (2, 896), (2, 1792), (2, 512)]
    assert torch.linalg.vector_norm(features.embedding, dim=1) == pytest.approx(torch.ones(2).numpy(), abs=1e-5)
    assert torch.equal(network(x), features.embedding)


def test_features_carry_gradients_to_the_picture(network):
    x = torch.rand(1, 3, 64, 64) * 255
    x.requires_grad_(True)
    sum(f.abs().mean() for f in network.features(prepare(x, "facenet140"))).backward()
    assert x.grad[..., 12:59, 15:49].abs().sum() > 0
    outside = x.grad.clone()
    outside[..., 12:59, 15:49] = 0
    assert outside.abs().sum() == 0


def test_the_fixed_box_of_64_pixels_is_columns_15_to_48_and_rows_12_to_58():
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    cut = crop_box(torch.stack([x, y]))
    assert (cut[0].min().item(), cut[0].max().item()) == (15, 48)
    assert (cut[1].min().item(), cut[1].max().item()) == (12, 58)


def test_facenet140_is_scaled_and_its_corners_are_the_boxs_corners():
    x = torch.rand(1, 3, 64, 64) * 255
    found = prepare(x, "facenet140")
    assert found.shape == (1, 3, 140, 140)
    for there, here in (((0, 0), (12, 15)), ((139, 139), (58, 48)), ((0, 139), (12, 48))):
        assert found[0, :, *there].numpy() == pytest.approx(((x[0, :, *here] - 127.5) / 128).numpy(), abs=1e-5)


def test_facenet160_takes_the_whole_picture():
    x = torch.full((1, 3, 250, 250), 255.0)
    x[..., :125] = 0
    found = prepare(x, "facenet160")
    assert found.shape == (1, 3, 160, 160)
    assert found[0, 0, 0, 0].item() == pytest.approx(-127.5 / 128)
    assert found[0, 0, 0, -1].item() == pytest.approx(127.5 / 128)


def test_a_published_file_is_loaded_and_embeds(published_file, network):
    embedder = load(published_file, "cpu", protocol="facenet140")
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (size, size, 3), dtype=np.uint8) for size in (64, 90)]
    found = embedder.embed(images)
    assert (embedder.name, embedder.dim) == ("facenet140", 512)
    assert found.detected.all()
    for image, vector in zip(images, found.vectors, strict=True):
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        assert network(prepare(x, "facenet140"))[0].numpy() == pytest.approx(vector, abs=1e-5)
    assert pickle.loads(pickle.dumps(embedder)).embed(images[:1]).vectors == pytest.approx(found.vectors[:1], abs=1e-6)


def test_the_two_protocols_are_told_apart(network):
    one, two = FaceNet(network, "facenet140"), FaceNet(network, "facenet160")
    assert one.signature != two.signature
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert not np.allclose(one.embed([image]).vectors, two.embed([image]).vectors, atol=1e-4)
    with pytest.raises(ValueError, match="facenet140 or facenet160"):
        FaceNet(network, "facenet")
    with pytest.raises(ValueError, match="Picture 0"):
        one.embed([np.zeros((64, 64, 1), np.uint8)])


def test_another_network_is_refused_by_what_differs(tmp_path, network):
    state = network.state_dict()
    path = tmp_path / "other.pt"
    torch.save({**state, "last_linear.weight": torch.zeros(128, 1792)}, path)
    with pytest.raises(ValueError, match=r"last_linear.weight of \[128, 1792\], not \[512, 1792\]"):
        load_network(path)
    torch.save({name: value for name, value in state.items() if name != "last_bn.bias"}, path)
    with pytest.raises(ValueError, match="no last_bn.bias"):
        load_network(path)
    torch.save({**state, "extra": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="unknown extra"):
        load_network(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent.pt")
    with pytest.raises(FileNotFoundError, match="give the path"):
        load(None)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "evil.pt"
    torch.save({"x": torch.nn.Linear(2, 2)}, path)
    with pytest.raises(ValueError, match="expected a state dict, got x .a pickled torch.nn.modules.linear.Linear"):
        load_network(path)
    path.write_bytes(pickle.dumps({"x": print}))
    with pytest.raises(ValueError, match="expected a state dict, got x .a pickled builtins.print"):
        load_network(path)
    path.write_bytes(b"not weights at all")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        load_network(path)


def test_classes_and_box_are_those_of_the_papers():
    assert facenet.CLASSES == 8631
    assert facenet.BOX == (0.235, 0.195, 0.765, 0.915)
