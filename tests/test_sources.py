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
    touch("benchmark/media/video.py")  # what opens the inputs, and the outputs
    assert both()[0] != changed and both()[1] != metric
    for name in ("metrics/speech/octave_resample.py", "metrics/networks/dlib_faces.py", "metrics/speech/items.py"):
        before = both()[1]
        touch(name)  # networks are found by name, and every metric's items are read alike
        assert both()[1] != before


def test_a_package_without_an_init_file_counts(tmp_path, monkeypatch):
    folder = tmp_path / "bare_method"
    folder.mkdir()
    (folder / "method.py").write_text("class Mine:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        kind = importlib.import_module("bare_method.method").Mine
        first = fresh(sources.source_of_method, kind)
        (folder / "method.py").write_text("class Mine:\n    other = 1\n")
        assert first != fresh(sources.source_of_method, kind)
    finally:
        for name in ("bare_method.method", "bare_method"):
            sys.modules.pop(name, None)


def test_a_module_by_itself_counts_with_what_it_loads_from_beside_it(tmp_path, monkeypatch):
    (tmp_path / "flat_method.py").write_text("import flat_helper\n\n\nclass Mine:\n    pass\n")
    (tmp_path / "flat_helper.py").write_text("SIZE = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        kind = importlib.import_module("flat_method").Mine
        first = fresh(sources.source_of_method, kind)
        (tmp_path / "flat_helper.py").write_text("SIZE = 4\n")
        assert first != fresh(sources.source_of_method, kind)
    finally:
        for name in ("flat_method", "flat_helper"):
            sys.modules.pop(name, None)


def test_imports_are_found_wherever_they_stand(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import a.b\nfrom . import c\nfrom ..d import (\n    e,\n)\n\ndef f():\n    if True:\n        from g import h\n"
    )
    found = sources._imports(file, "top.inner")
    assert {"a.b", "top.inner.c", "top.d", "top.d.e", "g", "g.h"} <= set(found)
