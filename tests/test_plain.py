"""No number depends on what the caller of a metric has set in torch, nor on how its samples are held in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import pytest
import torch
from carried import loaded

from metrics.faces.ranks import target_ranks
from metrics.metric import Failed, SpeechItem, Values
from metrics.networks import dlib_faces, dnsmos_models, facenet, ge2e
from metrics.networks.vggface2_resnet50 import ResNet50, VGGFace2Classifier
from metrics.plain import fresh, plain
from metrics.speech.dnsmos import dnsmos
from metrics.speech.pesq import pesq
from metrics.speech.sdr import sdr
from metrics.speech.si_sdr import SiSdr, si_sdr, si_snr
from metrics.speech.speaker_similarity import speaker_similarity
from metrics.speech.stoi import Stoi, estoi, intelligibility, stoi
from metrics.speech.word_errors import error_rate

RATE = 16_000


def voice(seconds: float = 1.5) -> torch.Tensor:
    """Harmonics under two formants that wander, three syllables a second, `[T]` float32."""
    t = torch.arange(round(seconds * RATE)) / RATE
    formants = (600 + 200 * torch.sin(14.4 * t), 1400 + 400 * torch.sin(10.7 * t))
    x = sum(
        torch.exp(-(((k * 120 - formant) / 150) ** 2)) * torch.sin(2 * torch.pi * k * 120 * t)
        for k in range(1, 30)
        for formant in formants
    )
    return 0.15 * (0.55 - 0.45 * torch.cos(18.85 * t)) * x


@lru_cache
def pair() -> dict[str, torch.Tensor]:
    """Two voices and copies of them in noise, `[2, T]`."""
    clean = torch.stack([voice(), voice().flip(0)])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return {"reference": clean, "estimate": clean + 0.02 * noise}


@lru_cache
def network(module):
    return loaded(module)


def of_dnsmos(reference: torch.Tensor, estimate: torch.Tensor) -> Values:
    return dnsmos(estimate=estimate, rate=RATE, models=network(dnsmos_models))


LEVEL_FREE = {
    "si_sdr": si_sdr,
    "si_snr": si_snr,
    "sdr": sdr,
    "stoi": lambda **pair: stoi(**pair, rate=RATE),
    "estoi": lambda **pair: estoi(**pair, rate=RATE),
    "intelligibility": lambda **pair: intelligibility(**pair, rate=RATE),
    "pesq": lambda **pair: pesq(**pair, rate=RATE, workers=1),
}
FUNCTIONS = {
    **LEVEL_FREE,
    "dnsmos": of_dnsmos,
    "speaker_similarity": lambda **pair: speaker_similarity(**pair, rate=RATE, network=network(ge2e)),
}


@lru_cache
def expected_of(function: str) -> Values:
    """Of the signals as they are, with nothing set."""
    return FUNCTIONS[function](**pair())


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device() -> Iterator[None]:
    """Of tensors without numbers, so that whatever lands there by mistake cannot be read."""
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def short_products() -> Iterator[None]:
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


CIRCUMSTANCES = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default float64": lambda: default_dtype(torch.float64),
    "default bfloat16": lambda: default_dtype(torch.bfloat16),
    "default device": default_device,
    "inference mode": torch.inference_mode,
    "short products": short_products,
}
circumstances = pytest.mark.parametrize("circumstance", list(CIRCUMSTANCES))
functions = pytest.mark.parametrize("function", list(FUNCTIONS))


@circumstances
@functions
def test_functions_give_the_same_whatever_is_set(function, circumstance):
    signals = pair()
    expected = expected_of(function)
    assert expected.reasons == (None, None)
    with CIRCUMSTANCES[circumstance]():
        found = FUNCTIONS[function](**signals)
    assert found.values.dtype == torch.float64 and found.reasons == (None, None)
    np.testing.assert_array_equal(found.values.numpy(), expected.values.numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@functions
def test_half_precision_is_that_float32(function, dtype):
    half = {name: signal.to(dtype) for name, signal in pair().items()}
    found = FUNCTIONS[function](**half).values
    expected = FUNCTIONS[function](**{name: signal.float() for name, signal in half.items()}).values
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


@functions
def test_double_precision_gradients_and_strides_change_nothing(function):
    signals = pair()
    expected = expected_of(function).values
    for change, tolerance in (
        (lambda x: x.double(), 1e-4),
        (lambda x: x.clone().requires_grad_(), 0),
        (lambda x: torch.stack([x, -x], -1)[..., 0], 0),
        (lambda x: x.numpy(), 0),
        (lambda x: x.numpy().astype(">f4"), 0),
        (lambda x: np.frombuffer(x.numpy().tobytes(), np.float32).reshape(x.shape), 0),  # not writable
    ):
        found = FUNCTIONS[function](**{name: change(signal) for name, signal in signals.items()}).values
        assert not found.requires_grad
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=tolerance, atol=0)


@pytest.mark.parametrize("function", list(LEVEL_FREE))
def test_whole_numbers_are_taken_where_the_level_does_not_count(function):
    steps = {name: (20_000 * signal).round().to(torch.int16) for name, signal in pair().items()}
    found = LEVEL_FREE[function](**steps).values
    expected = LEVEL_FREE[function](**{name: signal.double() for name, signal in steps.items()}).values
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize("function", ["dnsmos", "speaker_similarity"])
def test_whole_numbers_are_refused_where_the_level_counts(function):
    steps = {name: (20_000 * signal).round().to(torch.int16) for name, signal in pair().items()}
    with pytest.raises(ValueError, match=r"floating point with full scale 1\.0, got torch\.int16"):
        FUNCTIONS[function](**steps)


@functions
def test_complex_samples_are_refused(function):
    with pytest.raises(ValueError, match="Expected real numbers|Expected floating point"):
        FUNCTIONS[function](**{name: signal.to(torch.complex64) for name, signal in pair().items()})


@pytest.mark.parametrize("shape", [(0, 16_000), (0, 0)])
@functions
def test_an_empty_batch_has_no_values(function, shape):
    found = FUNCTIONS[function](reference=torch.empty(shape), estimate=torch.empty(shape))
    assert found.reasons == () and len(found.values) == 0


@circumstances
def test_rates_of_words_give_the_same_whatever_is_set(circumstance):
    with CIRCUMSTANCES[circumstance]():
        found = error_rate(reference=["set white now", ""], estimate=["set wide now", "a"])
    assert found.values.dtype == torch.float64
    np.testing.assert_array_equal(found.values.numpy(), [1 / 3, np.nan])


# -- metrics ----------------------------------------------------------------------------------------------------------


@circumstances
@pytest.mark.parametrize("metric", [SiSdr(), Stoi()])
def test_metrics_give_the_same_whatever_is_set(metric, circumstance):
    signals = pair()
    items = [
        SpeechItem("", e.numpy(), RATE, r.numpy())
        for r, e in zip(signals["reference"], signals["estimate"], strict=True)
    ]
    expected = metric.measure(items)
    with CIRCUMSTANCES[circumstance]():
        assert metric.measure(items) == expected


@pytest.mark.parametrize("dtype", [np.float16, ">f4", np.longdouble, np.int16])
@pytest.mark.parametrize("metric", [SiSdr(), Stoi()])
def test_metrics_take_samples_as_they_are_held(metric, dtype):
    signals = {name: (5000 * signal[0].numpy()).astype(dtype) for name, signal in pair().items()}
    (found,) = metric.measure([SpeechItem("", signals["estimate"], RATE, signals["reference"])])
    plainly = {name: signal.astype(np.float64) for name, signal in signals.items()}
    (expected,) = metric.measure([SpeechItem("", plainly["estimate"], RATE, plainly["reference"])])
    assert found == pytest.approx(expected, rel=1e-6)


def test_samples_that_are_no_real_numbers_fail():
    for wrong in (np.ones(9000, complex), np.ones(9000, object)):
        (found,) = SiSdr().measure([SpeechItem("", wrong, RATE, np.ones(9000))])
        assert found == Failed(f"expected real numbers as samples of the estimate, got {wrong.dtype}")


# -- networks ---------------------------------------------------------------------------------------------------------


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (96, 80, 3), np.uint8)


@circumstances
def test_carried_networks_are_made_and_answer_the_same_whatever_is_set(circumstance):
    sound = voice(2.0).numpy()

    def answers() -> list[np.ndarray]:
        windows = np.tile(sound, 5)
        return [
            loaded(ge2e).embed(sound),
            dnsmos_models.load()(windows, [0], len(windows)),
            dlib_faces.load().embed([picture()]).vectors,
        ]

    expected = [
        network(ge2e).embed(sound),
        network(dnsmos_models)(np.tile(sound, 5), [0], 5 * len(sound)),
        network(dlib_faces).embed([picture()]).vectors,
    ]
    with CIRCUMSTANCES[circumstance]():
        found = answers()
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def facenet_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "20180402-114759-vggface2.pt"
    torch.save(facenet.InceptionResnetV1().state_dict(), path)
    return path


@circumstances
def test_published_face_networks_are_made_and_answer_the_same_whatever_is_set(circumstance, facenet_file):
    torch.manual_seed(0)
    classifier = VGGFace2Classifier(ResNet50(classes=10))

    def answers() -> list[np.ndarray]:
        embedder = facenet.load(facenet_file)
        return [embedder.embed([picture()]).vectors, classifier.probabilities([picture(1)])]

    expected = answers()
    with CIRCUMSTANCES[circumstance]():
        found = answers()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@circumstances
def test_a_network_that_is_loaded_can_carry_gradients(circumstance, facenet_file):
    with CIRCUMSTANCES[circumstance]():
        network = facenet.load_network(facenet_file)
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    x = torch.zeros(1, 3, 96, 96, requires_grad=True)
    network(x).sum().backward()
    assert x.grad is not None


@circumstances
def test_ranks_are_the_same_whatever_is_set(circumstance):
    random = np.random.default_rng(0)
    queries, gallery = random.standard_normal((20, 8)), random.standard_normal((50, 8))
    labels = np.arange(50)
    expected = target_ranks(queries, gallery, labels[:20], labels)
    with CIRCUMSTANCES[circumstance]():
        found = target_ranks(queries, gallery, labels[:20], labels)
    np.testing.assert_array_equal(np.stack(found), np.stack(expected))


# -- the tool itself --------------------------------------------------------------------------------------------------


def settings() -> tuple:
    return (
        *(torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()),
        *(torch.is_autocast_enabled("cpu"), torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32),
        *(torch.backends.cudnn.benchmark, torch.is_inference_mode_enabled()),
    )


@circumstances
@pytest.mark.parametrize("tool", [plain, fresh])
def test_what_was_set_is_back_afterwards_even_if_something_raises(tool, circumstance):
    with CIRCUMSTANCES[circumstance]():
        before, random = settings(), torch.get_rng_state() if circumstance != "default device" else None
        with pytest.raises(KeyError), tool():
            assert torch.zeros(1).dtype == torch.float32
            assert torch.zeros(1).device.type == "cpu"
            assert not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
            raise KeyError
        assert settings() == before
        if random is not None:
            assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_products_on_a_gpu_are_those_of_float32():
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 256, 256, generator=random).cuda()
    exact = a.double() @ b.double()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cuda", torch.bfloat16), plain():
            found = a @ b
    finally:
        torch.set_float32_matmul_precision("highest")
    assert float((found - exact).abs().max()) < 1e-4
