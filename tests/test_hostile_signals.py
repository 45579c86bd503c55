"""Samples of any size, however few and however held: each metric of speech answers with a finite number or a reason."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from carried import loaded

from metrics.metric import Failed, Metric, SpeechItem, Undefined
from metrics.networks import dnsmos_models, ge2e, recognisers
from metrics.speech.delay import DelayFound
from metrics.speech.dnsmos import Dnsmos, dnsmos
from metrics.speech.lip_sync import LipSync
from metrics.speech.lps import LevenshteinPhonemeSimilarity
from metrics.speech.pesq import PesqNb, PesqWb, pesq
from metrics.speech.rtf import RealTimeFactor
from metrics.speech.sdr import Sdr, sdr
from metrics.speech.si_sdr import SiSdr, SiSnr, si_sdr, si_snr
from metrics.speech.speaker_similarity import SpeakerSimilarity, speaker_similarity
from metrics.speech.stoi import Stoi, intelligibility
from metrics.speech.word_errors import WordErrors

RATE = 16_000

METRICS = {
    "si_sdr": SiSdr,
    "si_snr": SiSnr,
    "sdr": Sdr,
    "stoi": Stoi,
    "pesq_wb": PesqWb,
    "pesq_nb": PesqNb,
    "dnsmos": lambda: Dnsmos(dnsmos_models.load()),
    "speaker_similarity": lambda: SpeakerSimilarity(loaded(ge2e)),
    "wer": lambda: WordErrors.create(recognisers.load),
    "lps": lambda: LevenshteinPhonemeSimilarity.create(recognisers.load),
    "rtf": RealTimeFactor,
    "delay": DelayFound,
    "lip_sync": LipSync,
}
SCALE_FREE = ("si_sdr", "si_snr", "sdr", "stoi", "pesq_wb", "pesq_nb")


@lru_cache
def metric(name: str) -> Metric:
    return METRICS[name]()


def clean() -> np.ndarray:
    """Noise in the rhythm of syllables, 1.5 s, float64."""
    random = np.random.default_rng(0)
    return 0.2 * np.repeat(random.random(30), RATE // 20) * random.standard_normal(3 * RATE // 2)


def made() -> np.ndarray:
    return clean() + 0.05 * np.random.default_rng(1).standard_normal(3 * RATE // 2)


def impulse() -> np.ndarray:
    return np.eye(1, 3 * RATE // 2, RATE)[0]


PAIRS = {
    **{
        f"float32 times {gain:g}": ((clean() * gain).astype("f4"), (made() * gain).astype("f4"))
        for gain in (1e-44, 1e-40, 1e-20, 1e19, 1e30, 3e37)
    },
    **{f"float64 times {gain:g}": (clean() * gain, made() * gain) for gain in (1e-320, 1e-200, 1e100, 1e200, 1e307)},
    **{f"an estimate times {gain:g}": (clean(), made() * gain) for gain in (1e-200, 1e30, 1e200)},
    **{f"a reference times {gain:g}": (clean() * gain, made()) for gain in (1e-200, 1e30, 1e200)},
    **{f"{count} samples": (clean()[:count], made()[:count]) for count in (0, 1, 2, 15, 256, 600)},
    "float16": (clean().astype("f2"), made().astype("f2")),
    "int16": ((9000 * clean()).astype("i2"), (9000 * made()).astype("i2")),
    "the smallest int16": (np.full(RATE, -32768, "i2"), (9000 * made()[:RATE]).astype("i2")),
    "uint8": ((128 + 100 * clean()).clip(0, 255).astype("u1"), (128 + 100 * made()).clip(0, 255).astype("u1")),
    "big-endian": (clean().astype(">f8"), made().astype(">f4")),
    "silence": (0 * clean(), 0 * made()),
    "a silent estimate": (clean(), 0 * made()),
    "a silent reference": (0 * clean(), made()),
    "constants": (0 * clean() + 0.1, 0 * made() + 0.2),
    "a constant estimate": (clean(), 0 * made() + 0.1),
    "a constant reference": (0 * clean() + 0.1, made()),
    "impulses": (impulse(), impulse()),
    "an impulse as estimate": (clean(), impulse()),
    "an impulse as reference": (impulse(), made()),
    "a copy": (clean(), clean()),
    "NaN": (clean(), np.where(impulse() > 0, np.nan, made())),
    "infinity": (np.where(impulse() > 0, np.inf, clean()), made()),
    "complex": (clean() + 0j, made() + 0j),
    "objects": (clean().astype(object), made().astype(object)),
}


@pytest.mark.parametrize("pair", list(PAIRS))
@pytest.mark.parametrize("name", list(METRICS))
def test_a_row_is_finite_or_has_a_reason_and_leaves_its_neighbours_alone(name, pair):
    reference, estimate = PAIRS[pair]
    seen = {"opening": np.random.default_rng(2).random(38)}
    hostile = SpeechItem("x", estimate, RATE, reference, "set white in a two now", 1.0, **seen)
    good = SpeechItem("y", made().astype("f4"), RATE, clean().astype("f4"), "set white in a two now", 1.0, **seen)
    if name in ("wer", "lps", "dnsmos"):  # slow, and one by one anyway
        rows = metric(name).measure([hostile])
    else:
        first, row, last = metric(name).measure([good, hostile, good])
        (alone,) = metric(name).measure([good])
        for beside in (first, last):
            assert beside.keys() == alone.keys()
            for statistic, value in alone.items():
                np.testing.assert_allclose(beside[statistic], value, rtol=1e-12, err_msg=statistic)
        rows = [row]
    (row,) = rows
    if isinstance(row, Undefined | Failed):
        assert row.reason
        return
    for statistic, value in row.items():
        assert isinstance(value, str) or np.isfinite(value).all() or statistic in metric(name).lacking, statistic


@pytest.mark.parametrize("pair", [name for name in PAIRS if "times" in name and "e-44" not in name])
@pytest.mark.parametrize("name", ["si_sdr", "si_snr", "sdr"])
def test_ratios_are_those_of_the_signals_whatever_their_gain(name, pair):
    reference, estimate = PAIRS[pair]
    (found,) = metric(name).measure([SpeechItem("x", estimate, RATE, reference)])
    (expected,) = metric(name).measure([SpeechItem("x", made(), RATE, clean())])
    assert found[name] == pytest.approx(expected[name], abs=2e-3)  # the smallest are held in few bits


@pytest.mark.parametrize("gain", [1e19, 1e100, 1e200, 1e307])
def test_the_loudest_speech_is_as_intelligible_as_any(gain):
    (found,) = metric("stoi").measure([SpeechItem("x", made() * gain, RATE, clean() * gain)])
    (expected,) = metric("stoi").measure([SpeechItem("x", made(), RATE, clean())])
    assert found == pytest.approx(expected, abs=1e-9)


FUNCTIONS = {
    "si_sdr": si_sdr,
    "si_snr": si_snr,
    "sdr": sdr,
    "stoi": lambda **pair: intelligibility(**pair, rate=RATE),
    "pesq": lambda **pair: pesq(**pair, rate=RATE, workers=1),
    "dnsmos": lambda reference, estimate: dnsmos(estimate=estimate, rate=RATE, models=metric("dnsmos").models),
    "speaker_similarity": lambda **pair: speaker_similarity(
        **pair, rate=RATE, network=metric("speaker_similarity").network
    ),
}


@pytest.mark.parametrize("pair", [name for name, (x, _) in PAIRS.items() if x.dtype.kind == "f"])
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_a_value_is_finite_or_has_a_reason(name, pair):
    reference, estimate = (torch.from_numpy(x.astype(x.dtype.newbyteorder("=")))[None] for x in PAIRS[pair])
    values, (reason,) = FUNCTIONS[name](reference=reference, estimate=estimate)
    assert reason is not None or bool(values.isfinite().all())
    assert not values.isinf().any()


def test_dnsmos_names_what_its_networks_cannot_tell():
    (row,) = metric("dnsmos").measure([SpeechItem("x", (made() * 1e25).astype("f4"), RATE)])
    assert row == Failed("sig and bak and ovrl came out as NaN or infinity")
    values, (reason,) = dnsmos(estimate=torch.from_numpy(made() * 1e25).float(), models=metric("dnsmos").models)
    assert reason == row and values[0, 1:].isnan().all()


@pytest.mark.parametrize("seconds", [np.nan, np.inf])
def test_a_clock_that_has_no_time_fails(seconds):
    (row,) = metric("rtf").measure([SpeechItem("x", made(), RATE, seconds=seconds)])
    assert row == Failed("seconds came out as NaN or infinity")


def test_a_speaker_network_of_zeros_or_nan_gives_no_cosine(monkeypatch):
    network = loaded(ge2e)
    item = SpeechItem("x", made().astype("f4"), RATE, clean().astype("f4"))
    for answer, expected in (
        (torch.zeros, Undefined("the reference: the speaker network answers with zeros")),
        (lambda *shape: torch.full(shape, torch.nan), Failed("cosine came out as NaN or infinity")),
    ):
        monkeypatch.setattr(network, "forward", lambda mels, answer=answer: answer(len(mels), 256))
        assert SpeakerSimilarity(network).measure([item]) == [expected]
