"""NISQA through torchmetrics' own loader, with a checkpoint of random weights; and what is said where it is absent."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_plain import CIRCUMSTANCES, circumstances

from benchmark.errors import MissingWeights
from benchmark.weights import table
from benchmark.weights.networks import Networks
from benchmark.weights.published import File
from metrics.metric import Failed, SpeechItem, Undefined
from metrics.networks import nisqa_model
from metrics.speech.nisqa import Nisqa, nisqa

RATE = 16_000

# The published spectrogram and a network of the published kind, narrower.
ARGS = dict(
    **dict(ms_n_fft=4096, ms_hop_length=0.01, ms_win_length=0.02, ms_n_mels=48, ms_fmax=20_000),
    **dict(ms_seg_length=15, ms_seg_hop_length=4, ms_max_segments=1300),
    **dict(cnn_c_out_1=2, cnn_c_out_2=3, cnn_c_out_3=4, cnn_kernel_size=[3, 3], cnn_dropout=0.2),
    **dict(cnn_pool_1=[24, 7], cnn_pool_2=[12, 5], cnn_pool_3=[6, 3]),
    **dict(td_sa_d_model=8, td_sa_nhead=1, td_sa_num_layers=1, td_sa_h=8, td_sa_dropout=0.1),
    **dict(pool_att_h=8, pool_att_dropout=0.1),
)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A checkpoint in the folder of weights and where torchmetrics looks for one, and no way to fetch another."""
    pytest.importorskip("librosa")
    pytest.importorskip("requests")
    library = pytest.importorskip("torchmetrics.functional.audio.nisqa")
    monkeypatch.setattr(library, "NISQA_DIR", str(tmp_path / "home" / "weights"))
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(table.TABLE, "nisqa", replace(table.TABLE["nisqa"], files=(File("nisqa.tar"),)))
    monkeypatch.setattr(library, "_download_weights", lambda: pytest.fail("a download"))
    library._load_nisqa_model.cache_clear()
    torch.manual_seed(0)
    checkpoint(library, tmp_path / "home" / "weights")
    yield library
    library._load_nisqa_model.cache_clear()


def checkpoint(library, folder):
    folder.mkdir(parents=True)
    torch.save({"args": ARGS, "model_state_dict": library._NISQADIM(ARGS).state_dict()}, folder / "nisqa.tar")


def sound(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.2 * np.sin(2 * np.pi * (200 + 50 * t) * t)).astype(np.float32)


def test_equal_to_torchmetrics_one_by_one(weights):
    a, b = torch.from_numpy(sound(1.0)), torch.from_numpy(sound(0.6))
    batch = torch.full((2, len(a)), torch.nan)
    batch[0], batch[1, : len(b)] = a, b
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    found = nisqa(estimate=batch, rate=RATE, lengths=[len(a), len(b)])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert found.reasons == (None, None) and found.values.dtype == torch.float64
    for signal, row in zip((a, b), found.values, strict=True):
        expected = weights.non_intrusive_speech_quality_assessment(signal, RATE)
        np.testing.assert_array_equal(row.float(), expected)
    assert (found.values[0] != found.values[1]).all()


@circumstances
def test_the_same_whatever_is_set(weights, circumstance):
    x = torch.from_numpy(sound(0.8))
    expected = nisqa(estimate=x, rate=RATE)
    weights._load_nisqa_model.cache_clear()
    with CIRCUMSTANCES[circumstance]():
        found = nisqa(estimate=x.clone().requires_grad_(circumstance != "inference mode"), rate=RATE)
    assert found.reasons == (None,) and not found.values.requires_grad
    np.testing.assert_array_equal(found.values.numpy(), expected.values.numpy())


def test_what_cannot_be_judged(weights):
    items = [
        SpeechItem("good", sound(0.5), RATE),
        SpeechItem("silent", np.zeros(RATE, np.float32), RATE),
        SpeechItem("short", sound(0.05), RATE),
        SpeechItem("long", np.ones(53 * RATE, np.float32), RATE),
        SpeechItem("empty", np.empty(0, np.float32), RATE),
        SpeechItem("nan", np.array([0.1, np.nan], np.float32), RATE),
        SpeechItem("48 kHz", sound(1.0), 48_000),
    ]
    metric = Nisqa.create(Networks())
    rows = metric.measure(items)
    assert list(rows[0]) == ["mos", "noi", "dis", "col", "loud"] and np.isfinite(list(rows[0].values())).all()
    assert rows[1] == Undefined("the estimate is silent")
    assert isinstance(rows[2], Undefined) and rows[2].reason.startswith("0.05 s are too short")
    assert isinstance(rows[3], Undefined) and rows[3].reason.startswith("53.0 s are too long")
    assert isinstance(rows[4], Failed) and isinstance(rows[5], Failed)
    assert np.isfinite(list(rows[6].values())).all()
    stacked = {key: np.array([rows[0][key], rows[6][key]]) for key in rows[0]}
    found = metric.aggregate(stacked, np.array([[1.0, 1.0]]))
    assert list(found) == [report.name for report in metric.reports]
    assert found["nisqa_dis"][0] == pytest.approx(stacked["dis"].mean())
    assert "fs:own|norm:none|model:nisqa-" in metric.signature("nisqa_mos")


def test_nothing_is_fetched(weights, tmp_path):
    (tmp_path / "home" / "weights" / "nisqa.tar").rename(tmp_path / "elsewhere")
    with pytest.raises(MissingWeights, match=r"weights fetch nisqa(.|\n)*weights add nisqa FILE"):
        Nisqa.create(Networks())
    with pytest.raises(FileNotFoundError, match="expected NISQA's weights, nisqa.tar"):
        nisqa(estimate=torch.ones(RATE), rate=RATE)


def test_another_place_is_another_network(weights, tmp_path):
    x = torch.from_numpy(sound(0.5))
    first = nisqa_model.load(tmp_path / "home" / "weights" / "nisqa.tar")
    torch.manual_seed(1)
    checkpoint(weights, tmp_path / "other")
    second = Networks()(f"nisqa:{tmp_path}/other/nisqa.tar")
    found = [nisqa(estimate=x, rate=RATE, network=network).values for network in (first, second, first)]
    assert torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])
    assert first.signature != second.signature


def test_what_is_no_checkpoint_of_it_is_refused_when_it_is_opened(weights, tmp_path):
    path = tmp_path / "nisqa.tar"
    path.write_text("<html><title>404</title>")
    with pytest.raises(ValueError, match=r"a web page \('404'\)"):
        nisqa_model.load(path)
    whole = (tmp_path / "home" / "weights" / "nisqa.tar").read_bytes()
    path.write_bytes(whole[:-300])
    with pytest.raises(ValueError, match="cut short"):
        nisqa_model.load(path)
    torch.save({"model_state_dict": {}}, path)
    with pytest.raises(ValueError, match="expected its args"):
        nisqa_model.load(path)
    with pytest.raises(ValueError, match="a file called nisqa.tar"):
        nisqa_model.load(path.rename(tmp_path / "nisqa(1).tar"))


def test_missing_packages_are_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("librosa", "requests") else find(name)
    )
    with pytest.raises(ModuleNotFoundError, match="NISQA needs librosa and requests: pip install librosa requests"):
        nisqa_model.load()
    with pytest.raises(ValueError, match=r"\[B, T\]"):
        nisqa(estimate=torch.zeros(1, 2, 3), rate=RATE)
