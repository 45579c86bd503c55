"""Speaker embeddings against the packages that define them, and the cosine between them."""

import importlib.metadata
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from carried import loaded
from test_dnsmos import voice

from benchmark.errors import MissingWeights
from benchmark.weights import table
from benchmark.weights.networks import Networks
from metrics.metric import Failed, SpeechItem, Undefined
from metrics.networks import ge2e, wespeaker
from metrics.networks.mel import kaldi_fbank
from metrics.speech.speaker_similarity import SpeakerSimilarity, speaker_similarity

RATE = 16_000


@pytest.fixture(scope="module")
def network():
    return loaded(ge2e)


# Samples left after trimming and the six largest of 256 numbers, from resemblyzer 0.1.4 with librosa 0.11.0.
PAUSED = 0.01 * np.concatenate([voice(1.5), np.zeros(2 * RATE), voice(1.5, 180.0)])
PUBLISHED = {
    "less than a window": (
        voice(1.2),
        19_200,
        {133: 0.280951, 67: 0.242013, 62: 0.224295, 143: 0.217897, 163: 0.215798, 127: 0.212913},
    ),
    "several windows": (
        voice(4.7, 210.0),
        74_880,
        {62: 0.302581, 109: 0.222308, 138: 0.201236, 133: 0.195517, 2: 0.194822, 67: 0.1828},
    ),
    "quiet, with a long pause": (
        PAUSED,
        50_880,
        {127: 0.273145, 67: 0.2556, 62: 0.221434, 163: 0.200031, 44: 0.199945, 133: 0.197724},
    ),
}


@pytest.mark.parametrize("case", PUBLISHED)
def test_ge2e_equals_resemblyzer(network, case):
    samples, kept, largest = PUBLISHED[case]
    samples = samples.astype(np.float32)
    assert len(ge2e.without_pauses(ge2e.raised(samples))) == kept
    vector = network.embed(samples)
    assert vector.shape == (256,) and np.linalg.norm(vector) == pytest.approx(1)
    np.testing.assert_allclose(vector[list(largest)], list(largest.values()), atol=2e-5)
    assert set(np.argsort(-vector)[:6]) == set(largest)


def test_windows_of_ge2e():
    """By hand: 160 frames each, 77 apart, the last one at least three quarters full."""
    assert ge2e.window_starts(8_000) == [0]
    assert ge2e.window_starts(25_600) == [0]
    assert ge2e.window_starts((77 + 120) * 160 - 1) == [0]
    assert ge2e.window_starts((77 + 120) * 160) == [0, 77]


def test_level_is_only_raised():
    loud, quiet = 0.1 * np.ones(100), 0.001 * np.ones(100)
    assert ge2e.raised(loud) is loud
    np.testing.assert_allclose(ge2e.raised(quiet), 10 ** (-30 / 20))
    assert not ge2e.raised(np.zeros(5)).any()


def test_same_voices_are_nearer_than_others(network, realdata):
    soundfile = pytest.importorskip("soundfile")
    files = sorted((realdata / "librispeech").glob("*/*.flac"))
    vectors = np.stack([network.embed(soundfile.read(path, dtype="float32")[0]) for path in files])
    people = np.array([path.parent.name for path in files])
    first, second = np.triu_indices(len(files), 1)
    cosines, same = (vectors @ vectors.T)[first, second], (people[first] == people[second])
    area = (cosines[same][:, None] > cosines[~same]).mean()
    assert area > 0.99
    assert cosines[same].mean() > cosines[~same].mean() + 0.25
    # Two pairs by resemblyzer itself.
    by_name = {path.stem: vector for path, vector in zip(files, vectors, strict=True)}
    own = by_name["1688-142285-0000"]
    assert own @ by_name["1688-142285-0001"] == pytest.approx(0.9569216, abs=1e-5)
    assert own @ by_name["1998-15444-0000"] == pytest.approx(0.6633593, abs=1e-5)


def test_the_function(network):
    a, b = voice(1.2), voice(2.0, 210.0)
    batch = torch.zeros(2, len(b), dtype=torch.float64)
    batch[0, : len(a)], batch[1] = torch.from_numpy(a), torch.from_numpy(b)
    batch[0, len(a) :] = torch.nan
    lengths = [len(a), len(b)]
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    found = speaker_similarity(
        reference=batch.flip(0), estimate=batch, rate=RATE, lengths=lengths, reference_lengths=lengths[::-1]
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert found.values.dtype == torch.float64 and found.reasons == (None, None)
    alone = speaker_similarity(reference=torch.from_numpy(b), estimate=torch.from_numpy(a), rate=RATE, network=network)
    expected = network.embed(a) @ network.embed(b)
    np.testing.assert_allclose(found.values, [expected, expected], rtol=1e-12)
    assert alone.values[0] == found.values[0]
    assert 0 < expected < 0.95
    # Below -30 dBFS level makes no difference; above it does, for the network sees powers, not their logarithms.
    quiet = speaker_similarity(reference=0.02 * batch[1:], estimate=0.002 * batch[1:], rate=RATE, network=network)
    assert quiet.values[0] == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="Expected a reference"):
        speaker_similarity(reference=batch, estimate=batch[:1], rate=RATE, network=network)


def test_what_cannot_be_judged(network):
    good = voice(1.0).astype(np.float32)
    silent, nan = np.zeros(RATE, np.float32), np.full(RATE, np.nan, np.float32)

    def item(estimate, reference=good, rate=RATE):
        return SpeechItem("x", estimate, rate, reference)

    rows = SpeakerSimilarity(network).measure(
        [
            item(good),
            item(silent),
            item(good, silent),
            item(good[:3000]),
            item(np.empty(0, np.float32)),
            item(nan),
            item(good, np.stack([good, good])),
            item(good, None),
            item(good, good, 0),
        ]
    )
    assert rows[0]["cosine"] == pytest.approx(1)
    assert rows[1] == Undefined("the estimate: 0.00 s of voice; the speaker network needs 0.4 s")
    assert isinstance(rows[2], Undefined) and rows[2].reason.startswith("the reference")
    assert isinstance(rows[3], Undefined) and rows[3].reason.startswith("the estimate: 0.1")
    assert rows[4] == Failed("the estimate is empty")
    assert isinstance(rows[5], Failed) and isinstance(rows[6], Failed) and isinstance(rows[8], Failed)
    assert rows[7] == Undefined("there is no reference")


def test_a_reference_is_embedded_once(network, monkeypatch):
    metric = SpeakerSimilarity.create({"ge2e": network}.__getitem__)
    soxr = pytest.importorskip("soxr")
    good = voice(1.0).astype(np.float32)
    seen = []
    embed = network.embed
    monkeypatch.setattr(network, "embed", lambda x: (seen.append(len(x)), embed(x))[1])
    rows = metric.measure([SpeechItem(str(n), voice(0.8 + n / 10).astype(np.float32), RATE, good) for n in range(3)])
    assert seen == [16_000, 12_800, 14_400, 16_000]
    wide = [soxr.resample(x, RATE, 48_000) for x in (voice(0.8), voice(1.0))]
    again = metric.measure([SpeechItem("48 kHz", wide[0].astype(np.float32), 48_000, wide[1].astype(np.float32))])
    assert again[0]["cosine"] == pytest.approx(rows[0]["cosine"], abs=0.01)
    stacked = {"cosine": np.array([row["cosine"] for row in rows])}
    found = metric.aggregate(stacked, np.array([[1.0, 1.0, 1.0]]))
    assert found["speaker_similarity"][0] == pytest.approx(stacked["cosine"].mean())
    assert "ge2e-resemblyzer" in metric.signature("speaker_similarity")
    monkeypatch.undo()
    copy = pickle.loads(pickle.dumps(metric))
    item = SpeechItem("0", voice(0.8).astype(np.float32), RATE, good)
    assert copy.measure([item]) == [rows[0]]


def test_missing_and_wrong_files(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="pretrained.pt"):
        ge2e.load(tmp_path / "none.pt")
    (tmp_path / "page.pt").write_text("<html>")
    with pytest.raises(ValueError, match="expected GE2E's pretrained.pt"):
        ge2e.load(tmp_path / "page.pt")
    torch.save({"model_state": {"linear.weight": torch.zeros(2, 2)}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="expected the weights of Ge2e"):
        ge2e.load(tmp_path / "other.pt")
    with pytest.raises(MissingWeights, match="weights fetch wespeaker_resnet221"):
        SpeakerSimilarity.create(Networks(), "wespeaker")
    with pytest.raises(MissingWeights, match="weights fetch wespeaker_resnet34"):
        SpeakerSimilarity.create(Networks(), "wespeaker", "wespeaker_resnet34")
    with pytest.raises(FileNotFoundError, match="is not there"):
        SpeakerSimilarity.create(Networks(), "wespeaker", str(tmp_path / "none.onnx"))
    with pytest.raises(ValueError, match="got 'ecapa'"):
        SpeakerSimilarity.create(None, "ecapa")
    with pytest.raises(ValueError, match="with a model"):
        SpeakerSimilarity.create(None, "ge2e", "some.onnx")

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps resemblyzer"):
        ge2e.load()


def test_features_equal_kaldis():
    """Against kaldi-native-fbank 1.22.5 (Hamming, no dither), single precision there."""
    found = kaldi_fbank(torch.from_numpy(voice(1.0)) * 32768, RATE, 80).numpy()
    assert found.shape == (98, 80)
    assert found.mean() == pytest.approx(16.08647, abs=1e-4)
    np.testing.assert_allclose(found[0, ::20], [10.598552, 17.515009, 11.950831, 13.114476], atol=1e-3)
    np.testing.assert_allclose(found[50, ::20], [13.999979, 22.063028, 15.030273, 16.479485], atol=1e-3)
    np.testing.assert_allclose(found[97, ::20], [5.491854, 17.644382, 9.725759, 12.573323], atol=1e-3)
    assert kaldi_fbank(torch.zeros(399), RATE, 80).shape == (0, 80)
    assert np.isfinite(kaldi_fbank(torch.zeros(400), RATE, 80).numpy()).all()


def model_file(path: Path, mixing: np.ndarray, bands: int = 80) -> Path:
    """Write an ONNX model: mean over time of the squared features, times a matrix. Protobuf by hand."""

    def varint(value: int) -> bytes:
        out = b""
        while value > 127:
            out += bytes([value & 127 | 128])
            value >>= 7
        return out + bytes([value])

    def field(number: int, value: int | bytes | str) -> bytes:
        if isinstance(value, int):
            return varint(number << 3) + varint(value)
        value = value.encode() if isinstance(value, str) else value
        return varint(number << 3 | 2) + varint(len(value)) + value

    def node(kind: str, inputs: str, output: str, attributes: bytes = b"") -> bytes:
        names = b"".join(field(1, name) for name in inputs.split())
        return field(1, names + field(2, output) + field(4, kind) + attributes)

    def value_info(number: int, name: str, shape: tuple[int | str, ...]) -> bytes:
        dims = b"".join(field(1, field(1, d) if isinstance(d, int) else field(2, d)) for d in shape)
        return field(number, field(1, name) + field(2, field(1, field(1, 1) + field(2, dims))))

    axes = field(5, field(1, "axes") + field(8, 1) + field(20, 7))
    keep = field(5, field(1, "keepdims") + field(3, 0) + field(20, 2))
    matrix = field(1, mixing.shape[0]) + field(1, mixing.shape[1]) + field(2, 1) + field(8, "mixing")
    matrix += field(9, struct.pack(f"<{mixing.size}f", *mixing.ravel()))
    graph = (
        node("Mul", "feats feats", "squares")
        + node("ReduceMean", "squares", "means", axes + keep)
        + node("MatMul", "means mixing", "embs")
        + field(2, "speaker")
        + field(5, matrix)
        + value_info(11, "feats", ("B", "T", bands))
        + value_info(12, "embs", ("B", mixing.shape[1]))
    )
    path.write_bytes(field(1, 7) + field(7, graph) + field(8, field(2, 11)))
    return path


def test_wespeaker(tmp_path):
    pytest.importorskip("onnxruntime")
    mixing = np.random.default_rng(0).standard_normal((80, 5)).astype(np.float32)
    path = model_file(tmp_path / "small.onnx", mixing)
    network = wespeaker.load(path)
    x = voice(0.9).astype(np.float32)
    energies = kaldi_fbank(torch.from_numpy(x).double() * 32768, RATE, 80).numpy()
    expected = energies.var(axis=0) @ mixing
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(network.embed(x), expected, atol=1e-5)
    # The mean of log energies is taken away, so that gain makes no difference.
    np.testing.assert_allclose(network.embed(0.25 * x), expected, atol=1e-3)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(network)).embed(x), network.embed(x))
    assert network.embed(x[:6000]) == Undefined("0.38 s of sound; the speaker network needs 0.4 s")
    assert isinstance(network.embed(np.zeros(RATE)), Undefined)

    metric = SpeakerSimilarity.create(Networks(), "wespeaker", str(path))
    (row,) = metric.measure([SpeechItem("x", voice(1.0, 200.0), RATE, x)])
    assert row["cosine"] == pytest.approx(network.embed(voice(1.0, 200.0)) @ expected, abs=1e-5)
    assert metric.signature("speaker_similarity") == (
        f"speaker_similarity|embed:{network.signature}|resample:soxr-hq|v1"
    )
    assert network.signature.startswith("wespeaker-") and len(network.signature.split("|")[0]) == 18


def test_wespeaker_refuses_what_it_cannot_run(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match=r"expected a model with one input \[1, T, 80\]"):
        wespeaker.load(model_file(tmp_path / "narrow.onnx", np.ones((40, 5), np.float32), bands=40))
    (tmp_path / "page.onnx").write_text("<html>")
    with pytest.raises(ValueError, match="expected an ONNX model, got a web page"):
        wespeaker.load(tmp_path / "page.onnx")
    whole = model_file(tmp_path / "whole.onnx", np.ones((80, 5), np.float32)).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cut.onnx: expected an ONNX model"):
        wespeaker.load(tmp_path / "cut.onnx")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        path = model_file(tmp_path / "small.onnx", np.ones((80, 5), np.float32))
        with pytest.raises(RuntimeError, match="onnxruntime-gpu"):
            wespeaker.load(path, "cuda")


@pytest.mark.parametrize(
    ("model", "entry"), [("", "wespeaker_resnet221"), ("wespeaker_resnet34", "wespeaker_resnet34")]
)
def test_wespeaker_is_found_by_its_name_in_the_table(model, entry, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path))
    item = table.TABLE[entry]
    monkeypatch.setitem(table.TABLE, entry, replace(item, files=(replace(item.files[0], sha256=None, size=None),)))
    made = model_file(tmp_path / "download.onnx", np.random.default_rng(2).standard_normal((80, 7)).astype(np.float32))
    assert table.add(entry, made).name == f"voxceleb_resnet{entry[16:]}_LM.onnx"
    metric = SpeakerSimilarity.create(Networks(), "wespeaker", model)
    assert metric.network.signature == wespeaker.load(made).signature
