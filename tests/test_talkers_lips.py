from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmark.datasets.talkers.identity import people
from benchmark.datasets.talkers.lips import BILABIAL, FPS, REST, filmed, hold, mouth_track, visemes
from benchmark.datasets.talkers.sentences import LETTERS, Sentence, sentences
from benchmark.datasets.talkers.voice import FRAME, RATE, Phone, Speech, speak
from benchmark.errors import MediaError
from benchmark.types import Audio

MAN, WOMAN = people("test")[1], people("test")[0]


def utterance(*phones: tuple[float, float, str], seconds: float = 2.0) -> Speech:
    """Phonemes at given times, without sound."""
    silent = Audio(np.zeros(round(seconds * RATE), np.float32), RATE)
    return Speech(silent, tuple(Phone(*phone) for phone in phones), (), 120.0, Sentence.parse("bbaf2n"))


def test_phonemes_have_the_shapes_of_their_class() -> None:
    assert visemes("p") == visemes("b") == visemes("m") == (BILABIAL,)
    assert visemes("f")[0].teeth == 1 and visemes("θ")[0].tongue == 1
    wide, round_, spread = visemes("ɑːɹ")[0], visemes("uː")[0], visemes("iː")[0]
    assert wide.open > 0.8 > round_.open and round_.spread < -0.8 and spread.spread > 0.8
    assert len(visemes("aɪ")) == 2 and visemes("h") == () and visemes("") == (REST,)


def test_an_unknown_phoneme_is_named() -> None:
    with pytest.raises(MediaError, match="ʘ"):
        visemes("ʘ")


def test_every_phoneme_of_the_grammar_has_a_shape() -> None:
    for letter in LETTERS:
        mouth_track(speak(WOMAN, Sentence(("place", "green", "with", letter, "three", "please"))))


@pytest.mark.parametrize("offset_s", np.arange(0, 0.04, 0.008))
@pytest.mark.parametrize("stop", ["p", "b", "m"])
def test_lips_are_closed_in_the_frame_of_a_closure_however_short(stop: str, offset_s: float) -> None:
    start = 0.5 + float(offset_s)
    speech = utterance((0.1, start, "ɑː"), (start, start + 0.04, stop), (start + 0.04, 1.5, "ɑː"))
    track = mouth_track(speech)
    frame = int(sum(hold(speech.phonemes[1])) / 2 * FPS)
    assert track[frame].open == 0
    assert track[frame - 4].open > 0.7 and track[frame + 4].open > 0.7


def test_a_long_closure_is_closed_from_end_to_end() -> None:
    track = mouth_track(utterance((0.1, 0.6, "ɑː"), (0.6, 1.0, "m"), (1.0, 1.6, "ɑː")))
    assert all(track[frame].open == 0 for frame in range(16, 24))
    assert track[12].open > 0.6 and track[28].open > 0.6


def test_the_mouth_rests_in_silence_and_moves_smoothly() -> None:
    for person in (MAN, WOMAN):
        for one in sentences(person.id, 3):
            speech = speak(person, one)
            track = mouth_track(speech)
            assert len(track) == len(speech.audio.samples) // FRAME
            assert track[0].open < 0.15 and track[-1].open < 0.15
            rows = np.array([(m.open, m.spread, m.teeth, m.tongue) for m in track])
            assert rows.min() >= -1 and rows.max() <= 1 and rows[:, [0, 2, 3]].min() >= 0
            assert np.abs(np.diff(rows[:, 0])).max() < 0.75


def test_a_diphthong_moves_from_its_first_to_its_second_shape() -> None:
    track = mouth_track(utterance((0.1, 0.5, "s"), (0.5, 1.1, "aʊ"), (1.1, 1.4, "s")))
    assert track[14].open > 0.8 and track[14].spread > 0
    assert track[25].open < 0.5 and track[25].spread < -0.5


def test_lips_are_in_step_with_the_sound() -> None:
    """In the real sound of p and b between vowels, the quietest moment falls in the hold, to within a frame."""
    found = []
    for person in people("val")[:8]:
        for one in sentences(person.id, 5):
            speech = speak(replace(person, voice=replace(person.voice, breathiness=-2)), one)
            power = np.convolve(speech.audio.samples**2, np.hanning(160), mode="same")
            for before, phone in zip(speech.phonemes, speech.phonemes[1:], strict=False):
                if phone.ipa in ("p", "b") and before.ipa[-1:] in tuple("ɪiæɛː"):
                    low, high = (round(time * RATE) for time in (phone.start_s - 0.06, phone.end_s + 0.06))
                    quiet_s = (low + int(np.argmin(power[low:high]))) / RATE
                    start_s, end_s = hold(phone)
                    found.append(max(start_s - quiet_s, quiet_s - end_s, 0))
    assert len(found) > 5
    assert max(found) < 1 / FPS and float(np.median(found)) < 0.005


def test_openness_follows_loudness() -> None:
    """Vowels are loud and open, closures quiet and closed: over utterances the two go together."""
    correlations = []
    for one in sentences(MAN.id, 4):
        speech = speak(MAN, one)
        level = np.sqrt((speech.audio.samples.reshape(-1, FRAME) ** 2).mean(axis=1))
        correlations.append(np.corrcoef(level, [mouth.open for mouth in mouth_track(speech)])[0, 1])
    assert np.mean(correlations) > 0.3


def test_a_film_is_as_long_as_its_sound_and_repeats_exactly() -> None:
    speech = speak(WOMAN, Sentence.parse("pbbm4p"))
    film = filmed(WOMAN, speech)
    assert film.shape == (len(speech.audio.samples) // FRAME, 112, 112, 3) and film.dtype == np.uint8
    np.testing.assert_array_equal(film, filmed(WOMAN, speech))
    assert not np.array_equal(film[0], film[-1])
