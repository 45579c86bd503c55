from __future__ import annotations

import ctypes
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter, welch

from benchmark.datasets.talkers import espeak
from benchmark.datasets.talkers.espeak import Speaker, synthesise
from benchmark.datasets.talkers.identity import Person, people
from benchmark.datasets.talkers.sentences import (
    COUNT,
    DIGITS,
    GRAMMAR,
    LETTERS,
    PREPOSITIONS,
    Sentence,
    sentence,
    sentences,
)
from benchmark.datasets.talkers.voice import FRAME, PEAK, RATE, Speech, median_hz, melody, speak
from benchmark.errors import MediaError, MissingDependency, UsageError

BLUE = Sentence.parse("bbaf2n")
MAN = next(person for person in people("test") if person.sex == "m")
WOMAN = next(person for person in people("test") if person.sex == "f")


def made(person: Person, age: float = 30, **traits: float) -> Person:
    """The person with every trait of the voice at its mean but those given."""
    voice = replace(person.voice, tract_length=0, pitch=0, tilt=0, rate=0, pitch_range=0, breathiness=0)
    return replace(person, age=age, voice=replace(voice, **traits))


def track_f0(samples: np.ndarray, rate: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Fundamental frequency of the voiced frames, by autocorrelation (Boersma 1993: divided by that of the window)."""
    length = int(0.045 * rate)
    window = np.hanning(length)
    size = 4 * length
    own = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2, size)
    shortest, longest = int(rate / high_hz), int(rate / low_hz) + 1
    found = []
    for start in range(0, len(samples) - length, rate // 100):
        frame = samples[start : start + length]
        if frame.std() < 0.3 * samples.std():
            continue
        r = np.fft.irfft(np.abs(np.fft.rfft((frame - frame.mean()) * window, size)) ** 2, size)
        r = (r / r[0] / (own / own[0] + 1e-9))[shortest - 1 : longest + 2]
        peak = int(np.argmax(r[1:-1])) + 1
        if r[peak] > 0.75 and r[peak - 1] <= r[peak] >= r[peak + 1]:
            bend = r[peak - 1] - 2 * r[peak] + r[peak + 1]
            found.append(rate / (shortest - 1 + peak + 0.5 * (r[peak - 1] - r[peak + 1]) / bend))
    return np.array(found)


def formants(person: Person) -> np.ndarray:
    """Medians of the third and fourth formant, by linear prediction."""
    said = [speak(person, Sentence.parse(code)).audio.samples for code in ("bbaf2n", "srib2p", "lwal9s")]
    x = lfilter([1, -0.97], [1], np.concatenate(said))
    rows = []
    for start in range(0, len(x) - 480, 160):
        frame = x[start : start + 480] * np.hamming(480)
        if frame.std() < 0.003:
            continue
        r = np.correlate(frame, frame, "full")[479 : 479 + 19]
        r[0] *= 1 + 1e-6
        roots = np.roots(np.r_[1, -solve_toeplitz(r[:-1], r[1:])])
        roots = roots[roots.imag > 0]
        hz, width = np.angle(roots) * RATE / 2 / np.pi, -np.log(np.abs(roots)) * RATE / np.pi
        kept = np.sort(hz[(width < 500) & (hz > 150)])
        if len(kept) >= 4:
            rows.append(kept[2:4])
    return np.median(rows, axis=0)


def band_db(speech: Speech, low: float, high: float) -> float:
    hz, power = welch(speech.audio.samples, RATE, nperseg=512)
    return float(10 * np.log10(power[(hz >= low) & (hz < high)].mean()))


# sentences


def test_a_sentence_and_its_code_follow_grid() -> None:
    assert BLUE.text == "bin blue at f two now"
    assert BLUE.code == "bbaf2n"
    assert Sentence.parse("swwp2s").text == "set white with p two soon"
    assert Sentence.parse("lgwazp").words[3:5] == ("a", "zero")
    assert "w" not in LETTERS and len(LETTERS) == 25


def test_the_grammar_has_64000_different_sentences() -> None:
    assert int(np.prod([len(words) for words in GRAMMAR])) == COUNT
    some = [sentence(number) for number in range(0, COUNT, 7)]
    assert len({one.code for one in some}) == len(some)
    assert all(Sentence.parse(one.code) == one for one in some[::50])


def test_a_person_never_repeats_a_sentence_and_more_do_not_change_the_first() -> None:
    many = sentences("talker_00001", 500)
    assert len({one.code for one in many}) == 500
    assert sentences("talker_00001", 6) == many[:6]
    assert sentences("talker_00002", 6) != many[:6]


def test_what_is_not_in_the_grammar_is_refused() -> None:
    with pytest.raises(UsageError, match="bin blue"):
        Sentence(("bin", "blue", "at", "w", "two", "now"))
    for code in ("bbaw2n", "bbaf2", "bbaf0n"):
        with pytest.raises(UsageError, match="bbaf2n"):
            Sentence.parse(code)
    with pytest.raises(UsageError, match="63999"):
        sentence(COUNT)


# espeak


def test_what_was_said_before_does_not_matter() -> None:
    lines = [("bin blue at f two now", Speaker(82, 118)), ("set red by q nine again", Speaker(150, 220, 240, 9, 5))]
    lines.append(("place white in h four please", Speaker(70, 90, 120)))
    first = [synthesise(text, speaker).samples for text, speaker in lines]
    for order in ((2, 1, 0), (1, 1, 2), (0, 2, 2)):
        for place in order:
            np.testing.assert_array_equal(synthesise(*lines[place]).samples, first[place])


def test_phonemes_tile_the_utterance_and_are_those_of_the_text() -> None:
    said = synthesise(BLUE.spoken, Speaker(82, 118))
    assert [phone.ipa for phone in said.phonemes][:6] == ["b", "ɪ", "n", "b", "l", "uː"]
    assert all(a.end == b.start for a, b in zip(said.phonemes, said.phonemes[1:], strict=False))
    assert said.phonemes[-1].end == len(said.samples)
    assert np.abs(said.samples).max() <= 1 and said.samples.dtype == np.float32


def test_the_silence_before_a_stop_belongs_to_it() -> None:
    said = synthesise("lay blue by p four soon", Speaker(82, 118, 150))
    stop = next(phone for phone in said.phonemes if phone.ipa == "p")
    envelope = np.array([np.abs(said.samples[i : i + 110]).max() for i in range(stop.start, stop.end - 110, 55)])
    assert np.argmin(envelope) < 0.6 * len(envelope) and envelope[: len(envelope) // 3].max() < 0.05
    assert 0.06 < (stop.end - stop.start) / espeak.RATE < 0.16


def test_the_letter_a_is_named_not_read_as_an_article() -> None:
    letters = {
        letter: [phone.ipa for phone in speak(MAN, Sentence(("set", "red", "in", letter, "nine", "now"))).phonemes]
        for letter in "abz"
    }
    assert letters["a"][8:9] == ["eɪ"] and letters["b"][8:10] == ["b", "iː"] and letters["z"][8:10] == ["z", "iː"]


@pytest.mark.parametrize(
    "numbers", [(10, 100), (100, 100), (100, 700), (100, 150, 60), (100, 150, 150, 30), (100, 150, 150, 2, 8)]
)
def test_numbers_out_of_range_are_named(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="Expected .* but got"):
        Speaker(*numbers)


def test_a_text_without_sound_is_an_error() -> None:
    with pytest.raises(MediaError, match="no sound"):
        synthesise("", Speaker(82, 118))


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    espeak._files.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "espeakng_loader", None)
            with pytest.raises(MissingDependency, match="pip install espeakng_loader"):
                synthesise("now", Speaker(82, 118))
    finally:
        espeak._files.cache_clear()

    def broken(path: str) -> None:
        raise OSError("wrong ELF class")

    with monkeypatch.context() as patch:
        patch.setattr(ctypes, "CDLL", broken)
        with pytest.raises(MissingDependency, match="wrong ELF class.*pip install espeakng_loader"):
            synthesise("now", Speaker(82, 118))


# voice


def test_measured_pitch_is_the_stated_one() -> None:
    for person in people("val")[:12]:
        said = [speak(person, one) for one in sentences(person.id, 2)]
        wanted = float(np.exp(np.mean([np.log(one.f0_hz) for one in said])))
        measured = np.concatenate([track_f0(one.audio.samples, RATE, 0.6 * one.f0_hz, 1.7 * one.f0_hz) for one in said])
        assert np.median(measured) == pytest.approx(wanted, rel=0.03)


def test_pitch_follows_sex_trait_and_age() -> None:
    assert median_hz(made(MAN)) == pytest.approx(120)
    assert median_hz(made(WOMAN)) == pytest.approx(210)
    assert median_hz(made(MAN, pitch=1)) / median_hz(made(MAN)) == pytest.approx(np.exp(0.12))
    assert median_hz(made(WOMAN, age=80)) < median_hz(made(WOMAN)) < 211
    assert 1 < median_hz(made(MAN, age=80)) / median_hz(made(MAN)) < 1.1


def test_pitch_range_widens_the_melody_and_leaves_its_median() -> None:
    spread = []
    for value in (-2.0, 0.0, 2.0):
        said = speak(made(WOMAN, pitch_range=value), BLUE)
        hz = track_f0(said.audio.samples, RATE, 0.6 * said.f0_hz, 1.7 * said.f0_hz)
        assert np.median(hz) == pytest.approx(said.f0_hz, rel=0.03)
        spread.append(np.subtract(*np.percentile(np.log(hz), [90, 10])))
    assert spread[0] < 0.8 * spread[1] and spread[1] < 0.8 * spread[2]


def test_melody_inverts_its_measured_formula() -> None:
    for f0_hz in (75.0, 120.0, 190.0):
        low, high = melody(f0_hz, 0.5)
        assert 0.163 * low + 0.837 * high - 9 == pytest.approx(f0_hz, rel=0.01)


@pytest.mark.parametrize("person", [MAN, WOMAN], ids=["man", "woman"])
def test_a_longer_tract_lowers_all_resonances_in_proportion(person: Person) -> None:
    found = {length: formants(made(person, tract_length=length)) for length in (-2, 0, 2)}
    assert (found[-2] > found[0]).all() and (found[0] > found[2]).all()
    np.testing.assert_allclose(found[-2] / found[2], np.exp(0.2), rtol=0.03)  # 5 % a standard deviation


def test_womens_resonances_are_higher_by_a_sixth() -> None:
    np.testing.assert_allclose(formants(made(WOMAN)) / formants(made(MAN)), 1.17, rtol=0.03)


def test_pitch_and_rate_do_not_depend_on_the_tract() -> None:
    long, short = (speak(made(MAN, tract_length=length), BLUE) for length in (2.0, -2.0))
    assert len(long.audio.samples) == pytest.approx(len(short.audio.samples), rel=0.06)
    hz = [np.median(track_f0(one.audio.samples, RATE, 80, 180)) for one in (long, short)]
    assert hz[0] == pytest.approx(hz[1], rel=0.03)


def test_tilt_turns_the_spectrum_by_3_db_a_standard_deviation() -> None:
    """Turned about 1 kHz, half as far below 500 Hz: 4.5 db between 300 Hz and 4 kHz."""
    levels = [
        band_db(said, 3900, 4600) - band_db(said, 200, 480)
        for said in (speak(made(MAN, tilt=tilt, breathiness=-3), BLUE) for tilt in (0.0, 2.0))
    ]
    assert levels[0] - levels[1] == pytest.approx(9.0, abs=1.0)


def test_breath_adds_noise_between_the_harmonics() -> None:
    levels = [
        band_db(said, 6000, 7000) - band_db(said, 100, 1000)
        for said in (speak(made(MAN, breathiness=value), Sentence.parse("lrbm1n")) for value in (-2.0, 0.0, 2.0))
    ]
    assert levels[0] < levels[1] < levels[2] and levels[2] - levels[0] > 5


def test_old_voices_are_less_steady() -> None:
    """Roughness: neighbouring frames of the melody differ more, by a median over sentences."""

    def wobble(age: float) -> float:
        changes = []
        for one in sentences("x", 6):
            said = speak(made(MAN, age=age), one)
            hz = track_f0(said.audio.samples, RATE, 0.6 * said.f0_hz, 1.7 * said.f0_hz)
            changes.append(np.abs(np.diff(np.log(hz), n=2)))
        return float(np.median(np.concatenate(changes)))

    assert wobble(80) > 1.2 * wobble(50)


def test_rate_shortens_the_sentence() -> None:
    seconds = [speak(made(WOMAN, rate=rate), BLUE).audio.seconds - 0.17 for rate in (-2.0, 0.0, 2.0)]
    assert seconds[0] > seconds[1] > seconds[2]
    assert seconds[0] / seconds[2] == pytest.approx(np.exp(0.48), rel=0.12)


def test_an_utterance_has_its_level_its_silences_and_whole_frames() -> None:
    for person in people("val")[:6]:
        said = speak(person, BLUE)
        x = said.audio.samples
        assert said.audio.rate == RATE and x.dtype == np.float32 and len(x) % FRAME == 0
        assert np.abs(x).max() <= PEAK
        first, last = said.phonemes[0].start_s, said.phonemes[-1].end_s
        assert 0.05 <= first <= 0.1 and 0.05 <= said.audio.seconds - last <= 0.1
        voiced = x[round(first * RATE) : round(last * RATE)]
        assert 20 * np.log10(np.sqrt(np.mean(voiced**2)) / 0.06) == pytest.approx(0, abs=1.1)
        assert np.abs(x[: round(first * RATE) - 16]).max() < 0.003


def test_words_and_phonemes_lie_in_order_inside_the_sound() -> None:
    for person in (MAN, WOMAN):
        for one in sentences(person.id, 4):
            said = speak(person, one)
            assert tuple(word.text for word in said.words) == one.words
            assert all(a.end_s == b.start_s for a, b in zip(said.words, said.words[1:], strict=False))
            assert all(word.end_s - word.start_s > 0.02 for word in said.words)
            assert said.words[-1].end_s == pytest.approx(said.phonemes[-1].end_s)
            assert sum(said.durations) == pytest.approx(said.phonemes[-1].end_s - said.phonemes[0].start_s)


def test_every_letter_digit_and_preposition_can_be_said() -> None:
    for place, letter in enumerate(LETTERS):
        words = ("bin", "white", PREPOSITIONS[place % 4], letter, DIGITS[place % 10], "again")
        assert len(speak(WOMAN, Sentence(words)).words) == 6


def test_takes_differ_and_repeat_exactly() -> None:
    first, again, other = speak(MAN, BLUE), speak(MAN, BLUE), speak(MAN, BLUE, take=1)
    np.testing.assert_array_equal(first.audio.samples, again.audio.samples)
    assert first.f0_hz != other.f0_hz and first.f0_hz == pytest.approx(other.f0_hz, rel=0.15)


def test_the_callers_random_numbers_are_left_alone() -> None:
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    speak(MAN, BLUE)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
