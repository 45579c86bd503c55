"""What each normaliser makes of a text, and that its name and version are pinned."""

import pickle
from importlib.metadata import version

import pytest

from metrics.speech.normalisers import normaliser


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bin blue at f two now", "bin blue at f two now"),
        ("BIN BLUE AT F TWO NOW.", "bin blue at f two now"),
        ("Bin blue, at F2 now!", "bin blue at f two now"),
        ("Lay white by S 0 again", "lay white by s zero again"),
        ("sil place  green\tin zed 10 sp please sil", "place green in z one zero please"),
        ("don’t", "don't"),
        ("place a-b_c", "place a b c"),
        (" ... ", ""),
        ("", ""),
    ],
)
def test_grid(text, expected):
    normalise = normaliser("grid")
    assert normalise(text) == expected
    assert normalise(expected) == expected


def test_grid_keeps_every_sentence_of_the_grammar():
    from metrics.networks.sphinx import GRAMMAR

    for words in GRAMMAR:
        assert normaliser("grid")(" ".join(words).upper()).split() == list(words)


def test_whisper_english_is_the_packages():
    from whisper_normalizer.english import EnglishTextNormalizer

    text = "Mr. Brown's colour isn't [laughs] twenty-five dollars, hmm"
    assert normaliser("whisper_english")(text) == EnglishTextNormalizer()(text)
    assert normaliser("whisper_english")("Mr. Smith won't, uh, PAY") == "mister smith will not pay"
    assert normaliser("whisper_english").signature == f"norm:whisper_english-{version('whisper_normalizer')}"


def test_whisper_english_does_not_suit_spelled_letters():
    """The letter o before a digit is taken for a nought, and two words become one."""
    assert normaliser("whisper_english")("bin blue at o two now") == "bin blue at 02 now"
    assert normaliser("grid")("bin blue at o two now") == "bin blue at o two now"


def test_none_changes_nothing():
    assert normaliser("none")("  It's  5 O'Clock.") == "  It's  5 O'Clock."
    assert normaliser("none").signature == "norm:none-1"


def test_unknown_name_suggests_the_one_that_was_meant():
    with pytest.raises(ValueError, match=r"Unknown normaliser 'gird'\. Did you mean 'grid'\? .*whisper_english"):
        normaliser("gird")


@pytest.mark.parametrize("name", ["whisper_english", "grid", "none"])
def test_goes_through_pickle(name):
    assert pickle.loads(pickle.dumps(normaliser(name)))("Two x") == normaliser(name)("Two x")


def test_whisper_english_without_its_package_says_how_to_get_it(monkeypatch):
    import importlib.metadata

    from metrics.speech import normalisers

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    normalisers._whisper_version.cache_clear()
    with pytest.raises(ModuleNotFoundError, match="pip install whisper_normalizer"):
        normaliser("whisper_english")
