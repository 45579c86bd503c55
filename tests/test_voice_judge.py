"""The recogniser of Talkers' voices as the judge of speaker similarity, and who is asked where nobody says."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmark.runs.session import Request, Session
from benchmark.tasks import get_task, with_protocol
from benchmark.types import Audio, Sample
from benchmark.weights.networks import Networks
from metrics.metric import SpeechItem, Undefined
from metrics.speech.speaker_similarity import SpeakerSimilarity

RATE = 16_000


@pytest.fixture(scope="module")
def voices():
    """Two sentences by each of four people of Talkers."""
    from benchmark.datasets.talkers.identity import person
    from benchmark.datasets.talkers.sentences import sentences
    from benchmark.datasets.talkers.voice import speak

    people = [person(number) for number in range(90_000, 90_004)]
    return [[speak(who, sentence).audio.samples for sentence in sentences(who.id, 2)] for who in people]


def test_everyone_is_most_like_oneself_whatever_is_said(voices):
    metric = SpeakerSimilarity.create(Networks(), "talkers")
    cosines = np.array(
        [
            [metric.measure([SpeechItem("", own[0], RATE, other[1])])[0]["cosine"] for other in voices]
            for own in voices
        ]
    )  # fmt: skip
    strangers = cosines[~np.eye(len(voices), dtype=bool)]
    assert np.diag(cosines).min() > 0.8 > 0.5 > strangers.mean()
    assert (cosines.argmax(axis=1) == np.arange(len(voices))).all()


def test_it_is_the_encoder_of_voice2face_and_travels_to_workers(voices):
    from baselines.voice2face.speech import speech_features

    network = Networks()("talkers_voices")
    found = network.embed(voices[0][0])
    encoder = network.encoder
    with torch.inference_mode():
        features = speech_features(Audio(voices[0][0], RATE), encoder._settings)
        expected = encoder._encoder(features[None])[0].double().numpy()
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)
    assert np.linalg.norm(found) == pytest.approx(1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(network)).embed(voices[0][0]), found)
    assert network.signature.startswith("voice2face-talkers:") and network.signature.endswith("fs:16000")


@pytest.mark.parametrize("samples", [np.zeros(RATE, np.float32), 0.1 * np.ones(100, np.float32)])
def test_what_is_no_voice_has_no_embedding(samples):
    found = Networks()("talkers_voices").embed(samples)
    assert isinstance(found, Undefined) and found.reason


@pytest.mark.parametrize(
    ("dataset", "sets", "judge"),
    [
        ("talkers", (), "talkers_voices"),
        ("talkers", ("speaker_network=ge2e",), "ge2e"),
        ("lrs3", (), "ge2e"),
    ],
)
def test_the_dataset_decides_who_judges_unless_the_user_does(dataset, sets, judge, monkeypatch):
    asked = []
    monkeypatch.setattr(Networks, "_load", lambda self, name: asked.append(name))
    sample = Sample("a", "a", {}, {"speech": (Path("a.wav"),)}, {"text": "set white"})
    manifest = SimpleNamespace(dataset=dataset, samples=(sample,))
    task = get_task("lip2speech")
    session = Session(Request("noisy", metrics=("speaker_similarity",), metric_sets=sets))
    session.scorer(task, manifest, with_protocol(task, None, None))
    assert asked == [judge]
    assert any("recogniser of the voices" in note for note in session.notes) == (judge == "talkers_voices")
