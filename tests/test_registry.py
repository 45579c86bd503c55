import sys

import pytest

from benchmark import registry
from benchmark.errors import MissingDependency, UnknownName


@pytest.mark.parametrize("book", [registry.methods, registry.metrics, registry.datasets], ids=lambda book: book.kind)
def test_every_name_loads_and_carries_its_own_name(book):
    for name in book.builtin:
        assert book.load(name).name == name


def test_a_slip_names_the_nearest():
    with pytest.raises(UnknownName, match="Unknown method 'sf2'. Did you mean 'sf2f'"):
        registry.methods.load("sf2")


def test_a_missing_package_is_a_prerequisite(monkeypatch):
    book = registry.Registry("method", {"x": registry.Entry("not_a_package_at_all.x:X", "x")})
    with pytest.raises(MissingDependency, match="pip install not_a_package_at_all"):
        book.load("x")


def test_a_plug_in_cannot_replace_a_built_in(monkeypatch):
    class Point:
        name, value, dist = "sf2f", "elsewhere:SF2F", None

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Point()])
    book = registry.Registry("method", dict(registry.methods.builtin))
    assert book.entry("sf2f").target.startswith("baselines.")
    assert "elsewhere" not in sys.modules
