"""Levenshtein phoneme similarity: the formula, its two units, and the metric around a recogniser."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from metrics.metric import Failed, SpeechItem, Undefined
from metrics.speech.lps import LevenshteinPhonemeSimilarity, lps, lps_char


def levenshtein(a, b) -> int:
    """The textbook's table (Wagner and Fischer 1974), a row at a time."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row, above = [i], row
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]


PHONES = ["p", "t", "tʃ", "dʒ", "iː", "aɪ", "ɚ", "s", "n", "ʌ"]


def sequences(count: int, seed: int) -> list[list[str]]:
    random = np.random.default_rng(seed)
    return [list(random.choice(PHONES, random.integers(1, 20))) for _ in range(count)]


def test_both_units_follow_the_formula():
    said, heard = sequences(60, 0), sequences(60, 1)
    tokens = [1 - levenshtein(h, s) / len(s) for s, h in zip(said, heard, strict=True)]
    joined = [("".join(s), "".join(h)) for s, h in zip(said, heard, strict=True)]
    characters = [1 - levenshtein(h, s) / len(s) for s, h in joined]
    assert lps(reference=said, estimate=heard).values.tolist() == pytest.approx(tokens)
    assert lps_char(reference=said, estimate=heard).values.tolist() == pytest.approx(characters)
    assert lps(reference=[" ".join(s) for s in said], estimate=heard).values.tolist() == pytest.approx(tokens)
    assert min(tokens) < 0


def test_a_phone_of_two_characters_counts_once_or_twice():
    said, heard = ["tʃ iː z"], ["z"]
    assert lps(reference=said, estimate=heard).values.item() == pytest.approx(1 / 3)
    assert lps_char(reference=said, estimate=heard).values.item() == pytest.approx(1 / 5)


def test_limits():
    assert lps(reference=["a b"], estimate=["a b"]).values.item() == 1
    assert lps(reference=["a b"], estimate=[""]).values.item() == 0
    assert lps(reference=["a"], estimate=["b c d"]).values.item() == -2
    found = lps(reference=["", "a"], estimate=["b", "a"])
    assert found.values.dtype == torch.float64 and torch.isnan(found.values).tolist() == [True, False]
    assert isinstance(found.reasons[0], Undefined) and found.reasons[1] is None
    assert lps(reference=[], estimate=[]).values.shape == (0,)


def test_bad_arguments_are_told():
    with pytest.raises(ValueError, match="got one string; put it into a list"):
        lps(reference="a b", estimate=["a b"])
    with pytest.raises(ValueError, match="as many references as estimates, got 1 and 2"):
        lps_char(reference=["a"], estimate=["a", "b"])


# -- the metric -------------------------------------------------------------------------------------------------------


class Scripted:
    """A recogniser that says what is written for a signal's first sample."""

    signature, rate = "scripted", 8_000

    def __init__(self, *lines: str, units: str = "ipa") -> None:
        self.lines, self.units, self.heard = lines, units, []

    def transcribe(self, signals):
        numbers = [round(float(signal[0])) for signal in signals]
        self.heard += numbers
        return [self.lines[number] for number in numbers]


def item(said: int, heard: int, **changes) -> SpeechItem:
    made = SpeechItem(
        "s", np.full(500 + heard, heard, np.float32), 8_000, reference=np.full(400 + said, said, np.float32)
    )
    return replace(made, **changes)


def stacked(rows):
    return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}


def test_rows_and_aggregate():
    metric = LevenshteinPhonemeSimilarity(Scripted("tʃ ɪ n", "t ɪ n", ""))
    rows = metric.measure([item(0, 1), item(0, 0), item(0, 2)])
    assert [row["lps"] for row in rows] == pytest.approx([2 / 3, 1, 0])
    assert [row["lps_char"] for row in rows] == pytest.approx([3 / 4, 1, 0])
    assert (rows[0]["phones"], rows[0]["reference_phones"]) == ("t ɪ n", "tʃ ɪ n")
    found = metric.aggregate(stacked(rows), np.array([[1, 1, 1], [0, 1, 0], [0, 0, 0]]))
    assert found["lps"][:2] == pytest.approx([5 / 9, 1])
    assert np.isnan(found["lps"][2])
    assert [report.name for report in metric.reports] == ["lps", "lps_char"]
    assert "unit:ipa" in metric.signature("lps") and "unit:char" in metric.signature("lps_char")
    alone = [metric.measure([one])[0] for one in (item(0, 1), item(0, 0), item(0, 2))]
    assert alone == rows


def test_characters_of_arpabet_names_are_not_reported():
    metric = LevenshteinPhonemeSimilarity(Scripted("CH IH N", "T IH N", units="arpabet"))
    assert [report.name for report in metric.reports] == ["lps"]
    assert metric.measure([item(0, 1)])[0]["lps"] == pytest.approx(2 / 3)
    assert set(metric.aggregate(stacked(metric.measure([item(0, 1)])), np.ones((1, 1)))) == {"lps"}


def test_each_item_gets_its_own_row_whatever_is_wrong_with_the_others():
    metric = LevenshteinPhonemeSimilarity(Scripted("a b", "", "a"))
    rows = metric.measure(
        [
            item(0, 2),
            item(1, 2),
            item(0, 2, reference=None),
            item(0, 2, estimate=np.array([np.inf], np.float32)),
            item(0, 2, reference=np.zeros((5, 2), np.float32)),
            item(0, 0),
        ]
    )
    kinds = [type(row).__name__ for row in rows]
    assert kinds == ["dict", "Undefined", "Undefined", "Failed", "Failed", "dict"]
    assert "no phones in the reference" in rows[1].reason and "no reference" in rows[2].reason
    assert [rows[0]["lps"], rows[5]["lps"]] == [0.5, 1]
    assert metric.measure([]) == []


def test_each_different_reference_is_recognised_once():
    metric = LevenshteinPhonemeSimilarity(Scripted("a b", "a"))
    metric.measure([item(0, 1), item(0, 1)])
    metric.measure([item(0, 1), item(1, 1)])
    assert metric.recogniser.heard.count(0) == 1
    assert metric.recogniser.heard.count(1) == 4 + 1
    again = pickle.loads(pickle.dumps(metric))
    again.measure([item(0, 1)])
    assert again.recogniser.heard[-1] == 0, "what it remembers stays here, and the worker listens itself"


def test_same_samples_at_another_rate_are_another_reference():
    metric = LevenshteinPhonemeSimilarity(Scripted("a b", "a"))
    metric.measure([item(0, 1), item(0, 1, rate=16_000)])
    assert metric.recogniser.heard.count(0) == 2


def test_a_recogniser_of_words_is_refused():
    with pytest.raises(ValueError, match="Expected a recogniser of phones, got one of words"):
        LevenshteinPhonemeSimilarity.create(lambda name: Scripted(units="words"), phoneme_recogniser="whisper")


def test_falls_with_noise_on_real_speech(realdata):
    """The clean signal reaches 1 by definition; more noise leaves fewer of its phones; silence leaves none."""
    import soundfile

    from metrics.networks.recognisers import load

    state = torch.get_rng_state()
    metric = LevenshteinPhonemeSimilarity.create(load)
    random = np.random.default_rng(0)
    paths = sorted((realdata / "librispeech").rglob("*.flac"))[:4]
    clean = [soundfile.read(path, dtype="float32")[0][: 3 * 16_000] for path in paths]
    means = []
    for snr_db in (np.inf, 20, 5, -5):
        items = []
        for x in clean:
            noise = random.standard_normal(len(x)) * np.sqrt(np.mean(x**2)) * 10 ** (-snr_db / 20)
            items.append(SpeechItem("s", (x + noise).astype(np.float32), 16_000, reference=x))
        means.append(np.mean([row["lps"] for row in metric.measure(items)]))
    assert means[0] == 1 and means == sorted(means, reverse=True)
    silent = metric.measure([SpeechItem("s", np.zeros(16_000, np.float32), 16_000, reference=clean[0])])[0]
    assert not isinstance(silent, Undefined | Failed) and silent["lps"] == 0
    assert torch.equal(state, torch.get_rng_state())
