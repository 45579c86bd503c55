from dataclasses import dataclass
from typing import Literal

import pytest

from benchmark.configuration import Presets, resolve
from benchmark.datasets.population import Population
from benchmark.errors import InvalidConfig, UnknownName


@dataclass(frozen=True)
class Config:
    width: float = 1.0
    steps: int = 3
    fuser: bool = True
    variant: Literal["paper", "official"] = "paper"
    note: str | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError("steps must be at least 1")


@pytest.fixture
def presets(tmp_path):
    (tmp_path / "presets.toml").write_text(
        'default = "small"\n[paper]\nwidth = 2.0\n'
        '[small]\nwidth = 0.5\nweights = "small.safetensors"\n[small.training]\nlr = 0.1\n'
    )
    return Presets.beside(tmp_path)


def test_later_layers_win(presets, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("width = 0.7\nsteps = 5\n[training]\nlr = 0.2\n")
    settings = resolve(Config, presets, None, file, ["steps=9", "fuser=false", "variant=official", "training.lr=0.3"])
    assert settings.config == Config(0.7, 9, False, "official")
    assert settings.training == {"lr": 0.3}
    assert settings.weights == tmp_path / "small.safetensors"


@pytest.mark.parametrize(
    ("given", "text"),
    [("123", "123"), ("2026-11-27", "2026-11-27"), ('"1 2"', "1 2"), ("a b", "a b"), ("true", "true")],
)
def test_whatever_is_given_for_a_text_is_one(given, text):
    @dataclass(frozen=True)
    class Place:
        folder: str = ""

    assert resolve(Place, Presets(None), sets=[f"folder={given}"]).config.folder == text


def test_an_integer_serves_for_a_float(presets):
    assert resolve(Config, presets, sets=["width=2"]).config.width == 2.0


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("widht=1", "unknown key 'widht'. Did you mean 'width'"),
        ("steps=1.5", "expected int"),
        ("steps=true", "expected int"),
        ("fuser=1", "expected bool"),
        ("variant=other", "'paper', 'official'"),
        ("steps=0", "at least 1"),
        ("steps", "takes key=value"),
    ],
)
def test_a_wrong_setting_says_what_was_expected(presets, item, message):
    with pytest.raises(InvalidConfig, match=message):
        resolve(Config, presets, sets=[item])


def test_an_unknown_preset_names_the_nearest(presets):
    with pytest.raises(UnknownName, match="Did you mean 'paper'"):
        resolve(Config, presets, "papr")


def test_the_population_of_a_preset_is_layered_like_its_other_settings(tmp_path):
    (tmp_path / "presets.toml").write_text("[small]\n[small.population]\npeople = 50\nportraits = 3\nsentences = 2\n")
    presets = Presets.beside(tmp_path)
    file = tmp_path / "mine.toml"
    file.write_text("[population]\nportraits = 4\nsentences = 5\n")
    settings = resolve(Config, presets, None, file, ["population.sentences=6"])
    assert settings.population == Population(people=50, portraits=4, sentences=6)
    assert resolve(Config, presets).population == Population(people=50, portraits=3, sentences=2)
    file.write_text("[population]\nportrait = 4\n")
    with pytest.raises(InvalidConfig, match="mine.toml, population: unknown key 'portrait'. Did you mean 'portraits'"):
        resolve(Config, presets, None, file)
