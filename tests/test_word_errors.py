"""Word and character error rates against jiwer, and the metric around a recogniser."""

import pickle
import random
from dataclasses import replace
from importlib.metadata import version

import jiwer
import numpy as np
import pytest
import torch

from metrics.metric import Failed, SpeechItem, Undefined
from metrics.speech.normalisers import normaliser
from metrics.speech.word_errors import (
    Errors,
    WordErrors,
    WordErrorsByClip,
    cer,
    character_errors,
    error_rate,
    wer,
    word_errors,
)

VOCABULARY = (
    "the",
    "of",
    "and",
    "to",
    "a",
    "in",
    "is",
    "that",
    "it",
    "was",
    "bin",
    "blue",
    "at",
    "two",
    "soon",
    "again",
)


def corpus(count: int = 200, seed: int = 0) -> tuple[list[str], list[str]]:
    """Sentences and what a poor listener makes of them; some hypotheses are empty."""
    pick = random.Random(seed)
    said, heard = [], []
    for _ in range(count):
        words = pick.choices(VOCABULARY, k=pick.randint(1, 15))
        other = []
        for word in words:
            fate = pick.random()
            other += [] if fate < 0.1 else [pick.choice(VOCABULARY)] if fate < 0.25 else [word]
            other += [pick.choice(VOCABULARY)] if fate > 0.9 else []
        said.append(" ".join(words))
        heard.append("" if pick.random() < 0.05 else " ".join(other))
    return said, heard


def test_counts_and_rates_are_jiwers():
    said, heard = corpus()
    found = word_errors(reference=said, estimate=heard, normaliser="none")
    expected = jiwer.process_words(said, heard)
    totals = [sum(column) for column in zip(*found, strict=True)]
    assert totals == [
        expected.substitutions,
        expected.deletions,
        expected.insertions,
        expected.hits + expected.substitutions + expected.deletions,
    ]
    assert min(totals) > 0
    assert wer(reference=said, estimate=heard, normaliser="none") == pytest.approx(expected.wer, abs=1e-12)
    assert sum(errors.total for errors in found) / totals[3] == pytest.approx(expected.wer, abs=1e-12)


def test_characters_are_jiwers_spaces_counted():
    said, heard = corpus(seed=1)
    expected = jiwer.process_characters(said, heard)
    found = character_errors(reference=said, estimate=heard, normaliser="none")
    assert cer(reference=said, estimate=heard, normaliser="none") == pytest.approx(expected.cer, abs=1e-12)
    assert sum(errors.total for errors in found) == expected.substitutions + expected.deletions + expected.insertions
    assert cer(reference=["ab cd"], estimate=["abcd"], normaliser="none") == pytest.approx(1 / 5)
    assert cer(reference=["ab   cd"], estimate=[" ab cd"], normaliser="none") == 0


def test_each_sentence_is_jiwers_and_a_batch_its_items():
    said, heard = corpus(50, seed=2)
    values = error_rate(reference=said, estimate=heard, normaliser="none").values
    assert values.dtype == torch.float64
    assert values.tolist() == pytest.approx([jiwer.wer(r, h) for r, h in zip(said, heard, strict=True)], abs=1e-12)
    together = word_errors(reference=said, estimate=heard, normaliser="none")
    alone = [word_errors(reference=[r], estimate=[h], normaliser="none")[0] for r, h in zip(said, heard, strict=True)]
    assert together == alone


def test_closed_forms():
    def one(said: str, heard: str) -> Errors:
        return word_errors(reference=[said], estimate=[heard], normaliser="none")[0]

    assert one("a b c", "a b c") == (0, 0, 0, 3)
    assert one("a b c", "") == (0, 3, 0, 3)
    assert one("", "a b") == (0, 0, 2, 0)
    assert one("", "") == (0, 0, 0, 0)
    assert one("a b c", "x y z") == (3, 0, 0, 3)
    assert one("a", "a b c") == (0, 0, 2, 1)
    assert wer(reference=["a"], estimate=["b c d"], normaliser="none") == 3.0


def test_the_corpus_rate_weighs_words_and_not_sentences():
    said, heard = ["a", "a b c d e f g h i"], ["x", "a b c d e f g h i"]
    assert wer(reference=said, estimate=heard, normaliser="none") == pytest.approx(0.1)
    assert error_rate(reference=said, estimate=heard, normaliser="none").values.mean() == pytest.approx(0.5)


def test_an_empty_reference_has_no_rate_of_its_own_but_its_insertions_count():
    found = error_rate(reference=["", "a b", ""], estimate=["x y", "a b", ""], normaliser="none")
    assert torch.isnan(found.values).tolist() == [True, False, True]
    assert isinstance(found.reasons[0], Undefined) and found.reasons[1] is None
    assert isinstance(found.reasons[2], Undefined)
    corpus_rate = wer(reference=["", "a b"], estimate=["x y", "a b"], normaliser="none")
    assert corpus_rate == jiwer.wer(["", "a b"], ["x y", "a b"]) == 1.0
    assert np.isnan(wer(reference=[""], estimate=["x y"], normaliser="none"))
    assert np.isnan(wer(reference=[], estimate=[], normaliser="none"))
    assert np.isnan(cer(reference=[""], estimate=["x"], normaliser="none"))


def test_normalisers_decide():
    said, heard = ["He'll pay twenty-five dollars, Mr. Brown."], ["he will pay $25 mister brown"]
    assert wer(reference=said, estimate=heard) == 0
    assert wer(reference=said, estimate=heard, normaliser="none") == jiwer.wer(said, heard) > 0.5
    assert wer(reference=["bin blue at f two now"], estimate=["Bin Blue at F2, now."], normaliser="grid") == 0
    assert word_errors(reference=["hmm"], estimate=["um"]) == [(0, 0, 0, 0)]


def test_the_order_of_the_sentences_does_not_matter():
    said, heard = corpus(40, seed=3)
    assert wer(reference=said[::-1], estimate=heard[::-1]) == wer(reference=said, estimate=heard)


@pytest.mark.parametrize(
    ("said", "heard", "message"),
    [
        ("a b", ["a b"], "Expected a list of sentences as reference, got one string"),
        (["a"], "a", "Expected a list of sentences as estimate, got one string"),
        (["a", "b"], ["a"], "as many references as estimates, got 2 and 1"),
        (["a", "b"], ["a", None], "Expected strings as estimate, got NoneType at 1"),
    ],
)
def test_bad_arguments_are_told(said, heard, message):
    for function in (wer, cer, error_rate, word_errors, character_errors):
        with pytest.raises(ValueError, match=message):
            function(reference=said, estimate=heard)


# -- the metric -------------------------------------------------------------------------------------------------------


class Scripted:
    """A recogniser that says what is written for a signal's first sample."""

    signature, rate, units = "scripted", 8_000, "words"

    def __init__(self, *lines: str) -> None:
        self.lines, self.heard = lines, 0

    def transcribe(self, signals):
        self.heard += len(signals)
        assert all(signal.ndim == 1 for signal in signals)
        return [self.lines[round(float(signal[0]))] for signal in signals]


def item(number: int, text: str | None, **changes) -> SpeechItem:
    made = SpeechItem(f"s{number}", np.full(400 + 7 * number, number, np.float32), 8_000, text=text)
    return replace(made, **changes)


def made(*lines: str, name: str = "none") -> WordErrors:
    return WordErrors(Scripted(*lines), normaliser(name))


def stacked(rows):
    return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}


def test_rows_keep_the_raw_transcript_and_can_be_scored_again():
    metric = made("Set WHITE, in A2 now", name="grid")
    row = metric.measure([item(0, "set white in a two now")])[0]
    assert row["transcript"] == "Set WHITE, in A2 now"
    assert (row["words"], row["substitutions"], row["deletions"], row["insertions"]) == (6, 0, 0, 0)
    again = WordErrors(Scripted(), normaliser("none")).rows(["set white in a two now"], [row["transcript"]])[0]
    assert again["substitutions"] + again["deletions"] == 4
    assert metric.rows(["set white in a two now"], metric.transcripts([item(0, None)])) == [row]


def test_aggregate_is_the_corpus_rate_under_any_weights():
    said, heard = corpus(30, seed=4)
    metric = made(*heard)
    rows = metric.measure([item(number, text) for number, text in enumerate(said)])
    assert [row["transcript"] for row in rows] == heard
    draws = np.random.default_rng(0).integers(0, 4, (5, 30))
    found = metric.aggregate(stacked(rows), np.vstack([np.ones((1, 30)), draws, np.zeros((1, 30))]))
    assert set(found) == {report.name for report in metric.reports}
    expected = jiwer.process_words(said, heard)
    assert found["wer"][0] == pytest.approx(expected.wer)
    assert found["cer"][0] == pytest.approx(jiwer.cer(said, heard))
    for part in ("substitutions", "deletions", "insertions"):
        length = expected.hits + expected.substitutions + expected.deletions
        assert found[f"wer_{part}"][0] == pytest.approx(getattr(expected, part) / length)
    for draw, value in zip(draws, found["wer"][1:6], strict=True):
        chosen = [number for number, times in enumerate(draw) for _ in range(times)]
        assert value == pytest.approx(jiwer.wer([said[n] for n in chosen], [heard[n] for n in chosen]))
    assert all(np.isnan(values[-1]) for values in found.values())
    assert all(not report.higher_is_better and report.unit == "%" for report in metric.reports)


def test_the_rate_by_clip_is_the_mean_of_jiwers_rates_of_each():
    said, heard = corpus(60, seed=4)
    metric = WordErrorsByClip(Scripted(*heard), normaliser("none"))
    rows = metric.rows([*said, ""], [*heard, "a"])
    assert rows[-1] == Undefined("the reference has no words")
    statistics = {name: np.stack([np.asarray(row[name]) for row in rows[:-1]]) for name in rows[0]}
    each = [jiwer.wer(*pair) for pair in zip(said, heard, strict=True)]
    weights = np.random.default_rng(0).integers(0, 4, (5, len(said)))
    found = metric.aggregate(statistics, np.concatenate([np.ones((1, len(said))), weights]))
    assert list(found) == ["wer_by_clip"]
    assert found["wer_by_clip"] == pytest.approx([np.mean(each), *(weights @ each / weights.sum(axis=1))])
    assert abs(np.mean(each) - jiwer.wer(said, heard)) > 0.01  # here the two are not the same number
    corpus_rate = WordErrors(Scripted(*heard), normaliser("none"))
    assert metric.signature("wer_by_clip") == corpus_rate.signature("wer").replace("agg:corpus", "agg:mean-of-clips")


def test_each_item_gets_its_own_row_whatever_is_wrong_with_the_others():
    items = [
        item(0, "a b"),
        item(1, None),
        item(2, "a b", estimate=np.array([0.0, np.nan], np.float32)),
        item(3, "a b", estimate=np.zeros(0, np.float32)),
        item(4, "a b", estimate=np.zeros((2, 100), np.float32)),
        item(1, "a b"),
        item(2, ""),
    ]
    metric = made("a b", "b", "x")
    rows = metric.measure(items)
    kinds = [type(row).__name__ for row in rows]
    assert kinds == ["dict", "Undefined", "Failed", "Failed", "Failed", "dict", "dict"]
    assert "--texts" in rows[1].reason and "NaN" in rows[2].reason and "empty" in rows[3].reason
    assert "mono" in rows[4].reason
    assert metric.recogniser.heard == 3, "an item without its words is not worth recognising"
    assert (rows[5]["deletions"], rows[6]["insertions"], rows[6]["words"]) == (1, 1, 0)
    assert metric.aggregate(stacked([rows[0], rows[5], rows[6]]), np.ones((1, 3)))["wer"][0] == pytest.approx(2 / 4)
    assert metric.measure([]) == []


def test_signals_of_other_rates_reach_the_recogniser_at_its_own():
    class Listening(Scripted):
        def transcribe(self, signals):
            self.lengths = [len(signal) for signal in signals]
            return ["a"] * len(signals)

    metric = WordErrors(Listening(), normaliser("none"))
    metric.measure([item(0, "a", estimate=np.zeros(n, np.float32), rate=r) for n, r in ((800, 8_000), (4410, 44_100))])
    assert metric.recogniser.lengths == [800, 800]


def test_signatures_pin_what_changes_the_number():
    metric = made(name="whisper_english")
    norm = f"norm:whisper_english-{version('whisper_normalizer')}"
    assert metric.signature("wer") == f"asr:scripted|fs:8000|resample:soxr-hq|{norm}|agg:corpus|v1"
    assert "chars:spaces" in metric.signature("cer")
    assert f"align:rapidfuzz-{version('rapidfuzz')}" in metric.signature("wer_deletions")
    assert made(name="grid").signature("wer") != metric.signature("wer")


def test_create_chooses_recogniser_and_normaliser():
    asked = []

    def networks(name):
        asked.append(name)
        return Scripted()

    assert WordErrors.create(networks).normaliser.name == "grid"
    assert WordErrors.create(networks, recogniser="whisper:/models/a").normaliser.name == "whisper_english"
    assert WordErrors.create(networks, recogniser="sphinx_grid", normaliser="none").normaliser.name == "none"
    assert asked == ["sphinx_grid", "whisper:/models/a", "sphinx_grid"]
    with pytest.raises(ValueError, match="Did you mean 'grid'"):
        WordErrors.create(networks, normaliser="grd")
    phones = Scripted()
    phones.units = "ipa"
    with pytest.raises(ValueError, match="Expected a recogniser of words, got one of ipa phones"):
        WordErrors(phones, normaliser("grid"))


def test_with_a_real_recogniser_silence_is_all_deletions_and_random_state_is_left_alone():
    from metrics.networks.recognisers import load

    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    metric = pickle.loads(pickle.dumps(WordErrors.create(load)))
    silent = item(0, "bin blue at f two now", estimate=np.zeros(16_000, np.float32), rate=16_000)
    rows = metric.measure([silent])
    assert not isinstance(rows[0], Undefined | Failed)
    assert (rows[0]["transcript"], rows[0]["deletions"]) == ("", 6)
    assert metric.aggregate(stacked(rows), np.ones((1, 1)))["wer"][0] == 1.0
    assert torch.equal(before[0], torch.get_rng_state()) and random.getstate() == before[2]
    assert (before[1] == np.random.get_state()[1]).all()
