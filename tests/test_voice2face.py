"""voice2face: layer counts, the wrapper, the official files, both stages of its training."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from test_frontends import speechlike

from baselines.checkpoints import export
from baselines.people import People, Person
from baselines.voice2face.config import Config, Training
from baselines.voice2face.method import Voice2Face, stretched
from baselines.voice2face.network import (
    DeconvolutionDecoder,
    FaceCritics,
    FaceEmbedding,
    PlainVoiceEncoder,
    Voice2FaceNetwork,
    disturbed,
)
from baselines.voice2face.training import FaceRecipe, VoiceRecipe
from benchmark.errors import InvalidConfig, MethodError, MissingWeights
from benchmark.types import Audio, Example, Sample

SMALL = Config(width=0.05, vad=False)
QUICK = Training(batch=4, crop_frames=(40, 60), critic_width=0.1)


@pytest.fixture(autouse=True, scope="module")
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def example(samples: np.ndarray) -> Example:
    return Example(Sample("a", "a", {}), 0, 1, {"speech": Audio(samples, 16000)})


def lively(network: Voice2FaceNetwork) -> Voice2FaceNetwork:
    """Weights large enough that faces differ visibly between voices."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in network.decoder.named_parameters():
        if name.endswith("weight"):
            torch.nn.init.kaiming_normal_(tensor, mode="fan_out", generator=generator)
            tensor.data *= 2
    return network


def people(count: int = 6) -> People:
    generator = torch.Generator().manual_seed(3)

    def person(index: int) -> Person:
        timbre = torch.randn(64, 1, generator=generator)
        voices = tuple(timbre + 0.5 * torch.randn(64, 1000, generator=generator) for _ in range(2))
        return Person(
            f"p{index}", voices, torch.randint(0, 256, (2, 3, 64, 64), generator=generator, dtype=torch.uint8)
        )

    return People(tuple(person(index) for index in range(count)))


def method(tmp_path: Path, config: Config = SMALL) -> Voice2Face:
    network = lively(Voice2FaceNetwork(config.width, config.embedding))
    made = Voice2Face(config, export(tmp_path / "w.safetensors", network.state_dict(), {}, half=False))
    made.load("cpu")
    return made


def test_networks_have_the_authors_sizes() -> None:
    channels = [64, 256, 384, 576, 864]
    voice = sum(3 * a * b + 2 * b for a, b in zip(channels, channels[1:], strict=False)) + 3 * 864 * 64 + 64
    assert parameters(PlainVoiceEncoder()) == voice
    assert round(voice / 1e6, 2) == 2.67
    channels = [64, 1024, 512, 256, 128, 64]
    generator = sum(16 * a * b + b for a, b in zip(channels, channels[1:], strict=False)) + 3 * 64 + 3
    assert parameters(DeconvolutionDecoder()) == generator
    assert round(generator / 1e6, 1) == 12.2
    channels = [32, 64, 128, 256, 512]
    face = 3 * 32 + 32 + sum(16 * a * b + b for a, b in zip(channels, channels[1:], strict=False)) + 16 * 512 * 64 + 64
    assert parameters(FaceEmbedding()) == face
    assert parameters(FaceCritics(924)) == 2 * face + 64 + 64 * 924


def test_shapes_and_unit_length() -> None:
    network = Voice2FaceNetwork(0.1)
    x = torch.randn(3, 64, 311, generator=torch.Generator().manual_seed(0))
    assert network(x).shape == (3, 3, 64, 64)
    embedding = network.encoder(x)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))
    noise = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    moved = disturbed(embedding, noise)
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(3))
    expected = (embedding + 0.05 * noise) / (embedding + 0.05 * noise).norm(dim=1, keepdim=True)
    torch.testing.assert_close(moved, expected)
    assert disturbed(embedding, None) is embedding


def test_an_output_does_not_depend_on_its_batch_and_is_deterministic(tmp_path: Path) -> None:
    v2f = method(tmp_path)
    examples = [example(speechlike(seconds, seed)) for seed, seconds in enumerate((5.0, 1.25, 12.0))]
    together = v2f.generate(examples)
    again = v2f.generate(examples)
    for one, first, second in zip(examples, together, again, strict=True):
        (alone,) = v2f.generate([one])
        assert isinstance(alone, np.ndarray)
        assert alone.shape == (64, 64, 3)
        np.testing.assert_array_equal(first, second)
        assert np.abs(alone.astype(int) - np.asarray(first).astype(int)).max() <= 1
    assert not np.array_equal(together[0], together[1])


def test_stretch_uses_the_whole_range_of_each_picture(tmp_path: Path) -> None:
    faces = torch.tensor([[-0.5, 0.0], [0.1, 0.3]]).view(2, 1, 1, 2)
    torch.testing.assert_close(stretched(faces).flatten(), torch.tensor([0.0, 1.0, 0.0, 1.0]))
    plain, wide = (method(tmp_path, dataclasses.replace(SMALL, stretch=s)) for s in (False, True))
    (a,), (b,) = (m.generate([example(speechlike(2.0))]) for m in (plain, wide))
    assert (np.min(b), np.max(b)) == (0, 255)
    assert not np.array_equal(a, b)


def test_unusable_speech_fails_alone(tmp_path: Path) -> None:
    good = speechlike(2.0)
    outputs = method(tmp_path).generate([example(x) for x in (good, 0 * good, good * np.nan, good[:400], good)])
    assert [isinstance(output, MethodError) for output in outputs] == [False, True, True, True, False]
    np.testing.assert_array_equal(outputs[0], outputs[4])
    offset = np.full(32000, 0.01, np.float32)
    (output,) = method(tmp_path, dataclasses.replace(SMALL, vad=True)).generate([example(offset)])
    assert isinstance(output, MethodError)
    assert "voiced" in str(output)


def test_official_files_give_the_same_outputs(tmp_path: Path) -> None:
    network = lively(Voice2FaceNetwork(0.05)).eval()
    torch.save(network.encoder.state_dict(), tmp_path / "voice_embedding.pth")
    torch.save(network.decoder.state_dict(), tmp_path / "generator.pth")
    assert {"model.0.weight", "model.12.bias"} <= set(network.encoder.state_dict())
    assert set(network.decoder.state_dict()) == {f"model.{i}.{p}" for i in range(0, 11, 2) for p in ("weight", "bias")}
    x = torch.randn(1, 64, 300, generator=torch.Generator().manual_seed(0))
    for path in (tmp_path, tmp_path / "generator.pth"):
        v2f = Voice2Face(SMALL, path)
        v2f.load("cpu")
        torch.testing.assert_close(v2f.network(x), network(x))


def test_official_files_are_checked(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="voice_embedding"):
        Voice2Face(SMALL, tmp_path).load("cpu")
    torch.save({"strange": torch.zeros(1)}, tmp_path / "voice_embedding.pth")
    with pytest.raises(InvalidConfig, match="strange"):
        Voice2Face(SMALL, tmp_path).load("cpu")


def apply(recipe: VoiceRecipe | FaceRecipe):  # type: ignore[no-untyped-def]
    def update(name: str, loss: torch.Tensor) -> None:
        optimiser = recipe.optimisers()[name]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return update


def test_the_voice_encoder_learns_its_speakers() -> None:
    recipe = VoiceRecipe(SMALL, dataclasses.replace(QUICK, voice_learning_rate=3e-3), people())
    first, last = 0.0, 0.0
    for step in range(40):
        losses = recipe.step(recipe.batch(np.random.default_rng(step)), apply(recipe))
        last = float(losses["speaker"].detach())
        first = first or last
    assert last < 0.5 * first


def test_the_generator_stage_leaves_the_voice_encoder_alone() -> None:
    recipe = FaceRecipe(SMALL, QUICK, people())
    before = {name: tensor.clone() for name, tensor in recipe.network.state_dict().items()}
    losses = recipe.step(recipe.batch(np.random.default_rng(0)), apply(recipe))
    assert set(losses) == {"adversarial", "classifier", "real", "identity"}
    changed = {name for name, tensor in recipe.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"decoder.{name}" for name, _ in recipe.network.decoder.named_parameters()}
    lengths = {recipe.batch(np.random.default_rng(seed))["voices"].shape[2] for seed in range(200)}
    assert (min(lengths), max(lengths)) == (40, 60)
