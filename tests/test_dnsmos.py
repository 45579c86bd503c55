"""DNSMOS against the published script and its networks, and what it says of signals that cannot be judged."""

import importlib.metadata
import importlib.util
import pickle

import numpy as np
import pytest
import torch

from metrics.metric import Failed, SpeechItem, Undefined
from metrics.networks import dnsmos_models
from metrics.networks.mel import slaney_filters
from metrics.speech.dnsmos import Dnsmos, dnsmos, window_starts

RATE = 16_000


def voice(seconds: float, pitch_hz: float = 120.0) -> np.ndarray:
    """Something like a voice from formulas alone: harmonics under wandering formants, and a little noise."""
    count = round(seconds * RATE)
    t = np.arange(count) / RATE
    counters = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(6364136223846793005) + np.uint64(
        1442695040888963407
    )
    noise = (counters >> np.uint64(40)).astype(np.float64) / 2**23 - 1
    formants = (600 + 200 * np.sin(2 * np.pi * 2.3 * t), 1400 + 400 * np.sin(2 * np.pi * 1.7 * t), 2600.0)
    x = sum(
        np.exp(-(((k * pitch_hz - formant) / 150) ** 2)) * np.sin(2 * np.pi * k * pitch_hz * t)
        for k in range(1, 30)
        for formant in formants
    )
    return 0.15 * (0.55 - 0.45 * np.cos(2 * np.pi * 3 * t)) * x + 0.003 * noise


# What speechmos 0.0.1.1 with librosa 0.11.0 and onnxruntime 1.31.1 says: P.808, SIG, BAK, OVRL.
PUBLISHED = {
    "1 s, its windows all alike": (1.0, 1.0, [2.347118, 3.079273, 1.894545, 1.770833]),
    "repeated, not in whole frames": (49637 / RATE, 1.0, [2.528592, 2.990041, 1.657534, 1.717033]),
    "5 samples more than 1 s": (16005 / RATE, 1.0, [2.433700, 2.543143, 1.456109, 1.484596]),
    "repeated in whole frames": (24160 / RATE, 1.0, [2.450670, 2.958345, 1.846570, 1.671294]),
    "repeated in half frames": (12080 / RATE, 1.0, [2.408719, 2.390041, 1.428822, 1.473061]),
    "one window": (9.5, 1.0, [2.598302, 3.272524, 1.699848, 1.837866]),
    "windows left out from 7 s to 23 s": (34.0, 1.0, [2.539680, 3.317989, 1.597321, 1.847589]),
    "quiet": (4.0, 0.01, [2.474020, 2.514916, 3.189228, 1.827462]),
}


@pytest.fixture(scope="module")
def models():
    return dnsmos_models.load()


@pytest.mark.parametrize("case", PUBLISHED)
def test_equal_to_the_published_script(models, case):
    seconds, gain, expected = PUBLISHED[case]
    found = dnsmos(estimate=torch.from_numpy(gain * voice(seconds)), models=models)
    assert found.reasons == (None,)
    np.testing.assert_allclose(found.values[0], expected, atol=2e-5)


def test_windows_that_share_work_equal_windows_alone(models):
    """Against onnxruntime, window by window; a file of noise, where every frame differs."""
    onnxruntime = pytest.importorskip("onnxruntime")
    path = importlib.metadata.distribution("speechmos").locate_file("speechmos/dnsmos_models/sig_bak_ovr.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal(12 * RATE) * np.linspace(0.01, 0.3, 12 * RATE)
    starts = [0, RATE, 2 * RATE]
    found = models(x, starts, len(x))
    for start, row in zip(starts, found, strict=True):
        window = x[start : start + dnsmos_models.WINDOW].astype(np.float32)
        np.testing.assert_allclose(row[1:], session.run(None, {"input_1": window[None]})[0][0], atol=2e-5)


def test_blocks_do_not_show(models, monkeypatch):
    x = voice(14.0)
    starts = [0, RATE, 2 * RATE, 4 * RATE]
    whole = models(x, starts, len(x))
    monkeypatch.setattr(dnsmos_models, "_BLOCK", 2)
    np.testing.assert_allclose(models(x, starts, len(x)), whole, atol=2e-5)


def test_window_starts_are_the_published_ones():
    assert window_starts(144_160) == [0]
    assert window_starts(11 * RATE - 1) == [0]
    assert window_starts(11 * RATE) == [0, RATE]
    left_out = set(range(131)) - {start // RATE for start in window_starts(140 * RATE)}
    assert left_out == {*range(7, 24), *range(119, 123)}


def test_a_batch_equals_its_items(models):
    signals = [torch.from_numpy(voice(seconds)) for seconds in (1.0, 0.7)]
    padded = torch.zeros(3, RATE, dtype=torch.float64)
    padded[0], padded[1, : len(signals[1])] = signals[0], signals[1]
    padded[1, len(signals[1]) :] = torch.nan
    found = dnsmos(estimate=padded, lengths=[RATE, len(signals[1]), RATE], models=models)
    for row, signal in zip(found.values, signals, strict=False):
        assert torch.equal(row, dnsmos(estimate=signal[None], models=models).values[0])
    assert found.reasons[:2] == (None, None)
    assert isinstance(found.reasons[2], Undefined) and found.values[2].isnan().all()


def test_what_cannot_be_judged(models):
    def reason(x):
        found = dnsmos(estimate=torch.tensor(x), models=models)
        assert found.values.isnan().all()
        return found.reasons[0]

    assert reason([0.0] * 800) == Undefined("the estimate is silent")
    assert reason([]) == Failed("the estimate is empty")
    assert isinstance(reason([0.1, float("nan")]), Failed)
    assert isinstance(reason([0.1, float("inf")]), Failed)
    with pytest.raises(ValueError, match=r"\[B, T\]"):
        dnsmos(estimate=torch.zeros(1, 2, 800), models=models)
    assert Dnsmos(models).measure([SpeechItem("stereo", np.ones((800, 2), np.float32), RATE)]) == [
        Failed("expected a mono estimate [T], got shape [800, 2]")
    ]
    assert Dnsmos(models).measure([SpeechItem("tiny", np.ones(2, np.float32), 192_000)]) == [
        Failed("2 samples at 192000 Hz are less than one at 16000 Hz")
    ]


def test_p808_is_blind_to_level_and_p835_is_not(models):
    x = torch.from_numpy(voice(1.0))
    values = dnsmos(estimate=torch.stack([x, 0.5 * x, 4 * x]), models=models).values
    np.testing.assert_allclose(values[1:, 0], values[0, 0].expand(2), atol=1e-5)
    assert ((values[1:, 1:] - values[0, 1:]).abs() > 0.01).any(dim=1).all()


def test_neither_random_state_nor_pickling_matters(models):
    torch.manual_seed(3)
    before, numpys = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    x = torch.from_numpy(voice(0.5))
    first = dnsmos(estimate=x).values
    assert torch.equal(torch.random.get_rng_state(), before) and (np.random.get_state()[1] == numpys).all()
    assert torch.equal(dnsmos(estimate=x, models=pickle.loads(pickle.dumps(models))).values, first)


def test_the_metric(models):
    metric = Dnsmos.create({"dnsmos": models}.__getitem__)
    x = voice(1.0).astype(np.float32)
    soxr = pytest.importorskip("soxr")
    items = [
        SpeechItem("a", x, RATE),
        SpeechItem("b", np.zeros(RATE, np.float32), RATE),
        SpeechItem("c", soxr.resample(x, RATE, 48_000), 48_000),
    ]
    rows = metric.measure(items)
    assert isinstance(rows[1], Undefined)
    assert list(rows[0]) == ["p808", "sig", "bak", "ovrl"]
    assert rows[2] == pytest.approx(rows[0], abs=0.05)
    stacked = {key: np.array([rows[0][key], rows[2][key]]) for key in rows[0]}
    found = metric.aggregate(stacked, np.array([[1.0, 3.0], [0.0, 0.0]]))
    assert list(found) == [report.name for report in metric.reports]
    assert found["dnsmos_sig"][0] == pytest.approx((rows[0]["sig"] + 3 * rows[2]["sig"]) / 4)
    assert np.isnan(found["dnsmos_sig"][1])
    assert metric.signature("dnsmos_ovrl") == (
        "dnsmos_ovrl|fs:16000|resample:soxr-hq|norm:none|win:9.01/1|short:repeat|model:sig_bak_ovr-269fbebd|v1"
    )
    assert "model_v8-9246480c" in metric.signature("dnsmos_p808")


def test_mel_filters_are_librosas():
    filters = slaney_filters(RATE, 321, 120)
    assert filters.shape == (161, 120)
    assert filters.sum().item() == pytest.approx(2.3975032721295144, rel=1e-12)
    peaks = [2.1270395177667212e-05, 0.004205096114064175, 0.004452568560114113]
    np.testing.assert_allclose(filters.amax(dim=0)[[0, 40, 119]], peaks, rtol=1e-9)
    assert int(filters[:, 100].argmax()) == 96


def test_missing_and_wrong_files(models, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="holds no model_v8.onnx"):
        dnsmos_models.load(tmp_path)
    carried = importlib.metadata.distribution("speechmos").locate_file("speechmos/dnsmos_models")
    (tmp_path / "model_v8.onnx").write_bytes((carried / "model_v8.onnx").read_bytes())
    (tmp_path / "sig_bak_ovr.onnx").write_bytes((carried / "model_v8.onnx").read_bytes())
    with pytest.raises(ValueError, match="expected the weights of"):
        dnsmos_models.load(tmp_path)
    for content in (b"", b"\x3a\xff\xff\x01 cut off", b"<html>not found</html>"):
        (tmp_path / "sig_bak_ovr.onnx").write_bytes(content)
        with pytest.raises(ValueError, match="expected an ONNX model"):
            dnsmos_models.load(tmp_path)

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(ModuleNotFoundError, match="pip install speechmos"):
        dnsmos_models.load()


def test_real_speech_scores_above_its_noisy_copy(models, realdata):
    soundfile = pytest.importorskip("soundfile")
    folder = realdata / "speech_pair"
    values = {}
    for path in sorted(folder.glob("*.wav")):
        x, rate = soundfile.read(path)
        values[path.stem] = dnsmos(estimate=torch.from_numpy(x), rate=rate, models=models).values[0]
    assert (values["speech"] > values["speech_bab_0dB"]).all()
    np.testing.assert_allclose(values["speech"], [3.950929, 3.551809, 4.047450, 3.245820], atol=1e-4)
    np.testing.assert_allclose(values["speech_bab_0dB"], [2.513601, 1.204685, 1.168347, 1.088870], atol=1e-4)
