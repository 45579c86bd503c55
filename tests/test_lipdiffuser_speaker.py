"""Speaker embeddings: unit vectors that tell voices apart, and messages where they cannot be had."""

import numpy as np
import onnx_toys
import pytest
import torch

from baselines.lipdiffuser.speaker import SpeakerEncoder
from benchmark.datasets.talkers.identity import person
from benchmark.datasets.talkers.sentences import sentences
from benchmark.datasets.talkers.voice import speak
from benchmark.errors import MethodError, MissingDependency, MissingWeights
from metrics.networks import ge2e


@pytest.fixture(scope="module")
def voices() -> list[np.ndarray]:
    """Two sentences each of four people."""
    people = [person(number) for number in (90_001, 90_002, 90_005, 90_006)]
    return [speak(who, said).audio.samples for who in people for said in sentences(who.id, 2)]


def test_the_shipped_recogniser_tells_people_apart(voices) -> None:
    encoder = SpeakerEncoder("talkers")
    found = encoder.embed(voices)
    assert found.shape == (8, encoder.dim) and found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(8))
    first, second = found[::2], found[1::2]
    assert (first @ second.T).argmax(1).tolist() == [0, 1, 2, 3]


def test_a_training_may_learn_from_embeddings(voices) -> None:
    layer = torch.nn.Linear(64, 1)
    layer(SpeakerEncoder("talkers").embed(voices[:2])).sum().backward()
    assert layer.weight.grad is not None


def test_an_embedding_does_not_depend_on_its_neighbours(voices) -> None:
    encoder = SpeakerEncoder("talkers")
    longer = np.tile(voices[1], 8)
    together = encoder.embed([voices[0], longer, voices[2]])
    for row, alone in zip(together, (voices[0], longer, voices[2]), strict=True):
        torch.testing.assert_close(row, encoder.embed([alone])[0])


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        (np.zeros(16000, np.float32), "got silence"),
        (np.ones(4000, np.float32), "at least 0.5 s"),
        (np.full(16000, np.nan, np.float32), "finite"),
    ],
)
def test_what_is_no_enrolment_is_refused(voices, recording, message) -> None:
    with pytest.raises(MethodError, match=message):
        SpeakerEncoder("talkers").embed([voices[0], recording])


def toy(path, numbers: int):
    """An ONNX network of WeSpeaker's form: features `[B, T, 80]`, squared, their mean over time, times a matrix."""
    mixing = np.random.default_rng(0).standard_normal((80, numbers)).astype(np.float32)
    nodes = [
        onnx_toys.node("Mul", ["feats", "feats"], "squares"),
        onnx_toys.node("ReduceMean", ["squares"], "means", axes=[1], keepdims=0),
        onnx_toys.node("MatMul", ["means", "mixing"], "embs"),
    ]
    onnx_toys.write_onnx(path, nodes, {"mixing": mixing}, ("feats", ["B", "T", 80]), {"embs": ["B", "D"]})
    return path


def test_wespeaker_is_taken_from_its_file_whatever_its_length(tmp_path, voices) -> None:
    encoder = SpeakerEncoder("wespeaker", toy(tmp_path / "resnet.onnx", 24))
    found = encoder.embed(voices[:2])
    assert encoder.dim == 24 and found.shape == (2, 24)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("", "weights fetch wespeaker_resnet221"),
        ("wespeaker_resnet34", "weights add wespeaker_resnet34 FILE"),
        ("nowhere/model.onnx", "nowhere/model.onnx is not there"),
    ],
)
def test_wespeaker_without_its_file_says_what_to_give(model, words) -> None:
    with pytest.raises(MissingWeights, match=rf"{words}(.|\n)*--set speaker_model=FILE\.onnx"):
        SpeakerEncoder("wespeaker", model)


def test_a_page_in_the_place_of_wespeaker_s_file_is_named(tmp_path) -> None:
    (tmp_path / "model.onnx").write_text("<html><title>Sign in</title>")
    with pytest.raises(MissingWeights, match=r"expected an ONNX model, got a web page \('Sign in'\)"):
        SpeakerEncoder("wespeaker", tmp_path / "model.onnx")


def test_ge2e_without_its_package_says_what_to_install(monkeypatch) -> None:
    def nothing() -> None:
        raise ModuleNotFoundError("GE2E's weights come with resemblyzer: pip install --no-deps resemblyzer")

    monkeypatch.setattr(ge2e, "carried_file", nothing)
    with pytest.raises(MissingDependency, match="pip install --no-deps resemblyzer"):
        SpeakerEncoder("ge2e")


def test_ge2e_speaks_of_a_recording_without_a_voice(monkeypatch, tmp_path) -> None:
    network = ge2e.Ge2e().eval().requires_grad_(False)
    monkeypatch.setattr(ge2e, "load", lambda path, device: network)
    encoder = SpeakerEncoder("ge2e")
    assert encoder.dim == 256
    hiss = 0.001 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    with pytest.raises(MethodError, match=r"a voice in the enrolment: .* s of voice"):
        encoder.embed([hiss])
