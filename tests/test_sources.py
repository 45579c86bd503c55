"""A hash of code follows the code that matters, and no other."""

import importlib
import shutil
import sys

import pytest

from benchmark import sources


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A plug-in's package, importable."""
    folder = tmp_path / "outside_method"
    (folder / "parts").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "parts" / "__init__.py").write_text("")
    (folder / "parts" / "network.py").write_text("SIZE = 3\n")
    (folder / "method.py").write_text("class Mine:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
        del sys.modules[name]


def fresh(function, *arguments):
    for cached in (sources._files_behind, sources._imports, sources._foreign_files):
        cached.cache_clear()
    return function(*arguments)


def test_any_file_of_a_plug_in_counts(package):
    kind = importlib.import_module("outside_method.method").Mine
    first = fresh(sources.source_of_method, kind)
    assert first == fresh(sources.source_of_method, kind)
    (package / "parts" / "network.py").write_text("SIZE = 4\n")
    assert first != fresh(sources.source_of_method, kind)


def test_of_this_project_what_is_imported_counts_and_the_rest_does_not(tmp_path, monkeypatch):
    for name in ("benchmark", "baselines", "metrics"):
        shutil.copytree(sources.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors"))
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    from baselines.avdiffuss.method import AVDiffuSS
    from metrics.speech.stoi import Stoi

    def both():
        return fresh(sources.source_of_method, AVDiffuSS), fresh(sources.source_of_metric, Stoi)

    def touch(name):
        path = tmp_path / name
        path.write_text(path.read_text() + "\n# changed\n")

    method, metric = both()
    touch("baselines/sf2f/network.py")
    touch("metrics/speech/pesq.py")
    touch("benchmark/reports/tables.py")
    assert both() == (method, metric)
    touch("baselines/flowavse/ncsnpp.py")  # through the method's own modules
    changed, same = both()
    assert changed != method and same == metric
    touch("benchmark/media/video.py")  # what opens the inputs
    assert both()[0] != changed
    touch("metrics/speech/octave_resample.py")
    assert both()[1] != metric


def test_imports_are_found_wherever_they_stand(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import a.b\nfrom . import c\nfrom ..d import (\n    e,\n)\n\ndef f():\n    if True:\n        from g import h\n"
    )
    found = sources._imports(file, "top.inner")
    assert {"a.b", "top.inner.c", "top.d", "top.d.e", "g", "g.h"} <= set(found)
