"""torchmetrics classes: means over what has a value, padding, reduction over processes, words across batches."""

import pickle
from itertools import combinations

import pytest
import torch
import torch.distributed
import torch.multiprocessing
import torchmetrics

from metrics.metric import Values
from metrics.speech.si_sdr import si_sdr
from metrics.speech.stoi import intelligibility
from metrics.speech.torch_metrics import Dnsmos, Pesq, Sdr, SiSdr, SiSnr, SpeechMean, Stoi, WordErrorRate


def batch(count: int = 4, length: int = 16_000, seed: int = 0):
    random = torch.Generator().manual_seed(seed)
    envelope = torch.rand(count, 20, generator=random).repeat_interleave(length // 20, dim=1)
    clean = 0.1 * envelope * torch.randn(count, length, generator=random)
    return clean, clean + 0.03 * torch.randn(count, length, generator=random)


def test_batches_add_up_to_the_mean_of_their_items():
    clean, made = batch()
    metric = SiSdr()
    metric.update(reference=clean[:3], estimate=made[:3])
    metric.update(reference=clean[3:], estimate=made[3:])
    assert float(metric.compute()) == pytest.approx(float(si_sdr(reference=clean, estimate=made).values.mean()))
    assert metric.coverage() == (4, 4)
    metric.reset()
    assert metric.coverage() == (0, 0)
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert torch.isnan(metric.compute())


def test_what_has_no_value_is_counted_and_not_averaged():
    clean, made = batch()
    made[1] = 0
    metric = SiSdr()
    metric.update(reference=clean, estimate=made)
    rest = [0, 2, 3]
    assert float(metric.compute()) == pytest.approx(
        float(si_sdr(reference=clean[rest], estimate=made[rest]).values.mean())
    )
    assert metric.coverage() == (3, 4)
    assert metric.reasons == {"the estimate is silent": 1}


def test_padding_does_not_count():
    clean, made = batch(1)
    whole, padded = SiSnr(), SiSnr()
    whole.update(reference=clean[:, :9000], estimate=made[:, :9000])
    clean[:, 9000:], made[:, 9000:] = 0, 5.0
    padded.update(reference=clean, estimate=made, lengths=[9000])
    assert float(padded.compute()) == pytest.approx(float(whole.compute()))


def test_several_numbers_come_by_name():
    clean, made = batch(2, 32_000)
    metric = Stoi(rate=16_000)
    metric.update(reference=clean, estimate=made)
    expected = intelligibility(reference=clean, estimate=made, rate=16_000).values.mean(0)
    assert {name: float(value) for name, value in metric.compute().items()} == pytest.approx(
        {"stoi": float(expected[0]), "estoi": float(expected[1])}
    )


def test_pesq_and_sdr_give_what_their_functions_give():
    from metrics.speech.pesq import pesq
    from metrics.speech.sdr import sdr

    clean, made = batch(2, 32_000)
    for metric, values in (
        (Pesq(workers=1), pesq(reference=clean, estimate=made, rate=16_000, mode="wb", workers=1).values),
        (Sdr(), sdr(reference=clean, estimate=made).values),
    ):
        metric.update(reference=clean, estimate=made)
        assert float(metric.compute()) == pytest.approx(float(values.mean()))


def test_words_are_summed_before_they_are_divided():
    metric = WordErrorRate(normaliser="none")
    metric.update(reference=["a b c d e f g h i"], estimate=["a b c d e f g h i"])
    metric.update(reference=["a"], estimate=["b"])
    assert float(metric.compute()) == pytest.approx(0.1)


# -- identity ---------------------------------------------------------------------------------------------------------

SILENCE = {"reference": torch.zeros(2, 16_000), "estimate": torch.zeros(2, 16_000)}
DEFINITIONS = {
    "si_sdr": SiSdr,
    "si_snr": SiSnr,
    "sdr": Sdr,
    "pesq_wb": lambda: Pesq(workers=1),
    "pesq_nb": lambda: Pesq(mode="nb", workers=1),
    "stoi": Stoi,
    "stoi_as_if_8k": lambda: Stoi(8_000),
    "dnsmos": Dnsmos,
}


def speech_batches() -> dict[str, list[dict]]:
    """By what the first batch is: nothing, silence, without a mean, or all of one kind."""
    clean, made = batch(2, 32_000)
    second = {"reference": clean, "estimate": made + 0.05}
    empty = {name: signal[:0] for name, signal in second.items()}
    level = {"reference": clean - clean.mean(1, keepdim=True), "estimate": made - made.mean(1, keepdim=True)}
    return {"nothing": [empty, second], "silence": [SILENCE, second], "no mean": [level, second]}


def values_of(found) -> list[float]:
    return [float(value) for value in found.values()] if isinstance(found, dict) else [float(found)]


@pytest.mark.parametrize("first", ["nothing", "silence", "no mean"])
def test_in_a_collection_each_is_as_if_alone_whatever_the_first_batch(first):
    batches = speech_batches()[first]
    together = torchmetrics.MetricCollection({name: make() for name, make in DEFINITIONS.items()})
    for arguments in batches:
        together.update(**arguments)
    assert sorted(map(len, together.compute_groups.values())) == [1] * len(DEFINITIONS)
    together.compute()
    for name, make in DEFINITIONS.items():
        alone = make()
        for arguments in batches:
            alone.update(**arguments)
        assert values_of(together[name].compute()) == values_of(alone.compute())
        assert together[name].reasons == alone.reasons and together[name].coverage() == alone.coverage()


def test_normalisers_of_words_are_told_apart_after_a_batch_without_errors():
    together = torchmetrics.MetricCollection(
        {"whisper": WordErrorRate("whisper_english"), "raw": WordErrorRate("none")}
    )
    together.update(reference=["set white now"], estimate=["set white now"])
    together.update(reference=["It's colour number 2."] * 5, estimate=["it is color number two"] * 5)
    assert {name: float(value) for name, value in together.compute().items()} == {"whisper": 0.0, "raw": 20 / 23}


def test_reset_and_copies_of_a_collection_keep_them_apart():
    batches = speech_batches()["silence"]
    together = torchmetrics.MetricCollection({"a": SiSdr(), "b": SiSnr(), "c": SiSdr()})
    for round_ in range(2):
        for arguments in batches:
            together(**arguments) if round_ else together.update(**arguments)
        found = together.compute()
        assert found["a"] == found["c"] != found["b"]
        assert together["a"].reasons == together["c"].reasons == {"the reference is silent": 2}
        together.reset()
        assert not together["a"].reasons
        together = pickle.loads(pickle.dumps(together.clone()))


@pytest.mark.parametrize(
    ("one", "other"),
    [*combinations([SiSdr(), SiSnr(), Stoi(), Stoi(8_000), Pesq(), Pesq(mode="nb")], 2),
     (WordErrorRate(), WordErrorRate("none"))],
)  # fmt: skip
def test_states_of_other_definitions_do_not_merge(one, other):
    with pytest.raises(ValueError, match="Expected state variable|Expected incoming state"):
        one.merge_state(other)


def test_states_of_one_definition_merge_and_are_stored():
    clean, made = batch()
    parts = [SiSdr(), SiSdr()]
    parts[0].update(reference=clean[:3], estimate=made[:3])
    parts[1].update(reference=clean[3:], estimate=made[3:])
    parts[0].merge_state(parts[1])
    expected = float(si_sdr(reference=clean, estimate=made).values.mean())
    assert float(parts[0].compute()) == pytest.approx(expected)
    for part in (*parts, kept := SiSdr()):
        part.persistent(True)
    kept.load_state_dict(parts[0].state_dict())
    kept._update_count = 1
    assert float(kept.compute()) == pytest.approx(expected)
    (other := SiSnr()).persistent(True)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        other.load_state_dict(parts[0].state_dict())


# -- circumstances ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [SiSdr, SiSnr, Sdr, Pesq, Stoi, Dnsmos])
def test_an_empty_batch_is_nothing(metric):
    made = metric()
    made.update(reference=torch.empty(0, 16_000), estimate=torch.empty(0, 16_000))
    assert made.coverage() == (0, 0) and not made.reasons
    assert all(value != value for value in values_of(made.compute()))


def test_an_empty_batch_of_words_is_nothing():
    metric = WordErrorRate("none")
    metric.update(reference=[], estimate=[])
    metric.update(reference=["a b"], estimate=["a"])
    assert float(metric.compute()) == 0.5


class Trainee(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
        self.metric = SiSdr()
        self.words = WordErrorRate("none")


@pytest.mark.parametrize(
    "cast",
    [
        lambda module: module.half(),
        lambda module: module.bfloat16(),
        lambda module: module.to(torch.bfloat16),
        lambda module: module.to("cpu", torch.float16),
        lambda module: module.type(torch.float16),
        lambda module: module.double(),
    ],
)
def test_sums_keep_their_precision_where_the_module_is_cast(cast):
    clean, made = batch(1)
    module = Trainee()
    module.metric.update(reference=clean, estimate=made)
    module.words.update(reference=["a"] * 70_001, estimate=["a"] * 70_001)  # beyond float16, and no bfloat16
    before = float(module.metric.compute())
    cast(module)
    module.metric.set_dtype(torch.float16)
    assert module.layer.weight.dtype != torch.float32
    assert module.metric.total.dtype == torch.float64 and module.words.words.dtype == torch.int64
    assert float(module.metric.compute()) == before and int(module.words.words) == 70_001
    module.metric.reset()
    module.metric.update(reference=clean.half(), estimate=made.half())
    assert float(module.metric.compute()) == pytest.approx(before, abs=0.01)


def test_what_is_reset_under_inference_mode_goes_on_outside():
    clean, made = batch(2)
    with torch.inference_mode():
        metric, words = SiSdr(), WordErrorRate("none")
        metric.update(reference=clean, estimate=made)
        metric.reset()
    metric.update(reference=clean, estimate=made)
    words.update(reference=["a"], estimate=["b"])
    assert metric.coverage() == (2, 2) and float(words.compute()) == 1


def test_no_gradient_is_kept():
    clean, made = batch(2)
    metric = SiSdr()
    value = metric(reference=clean, estimate=made.requires_grad_())
    assert not value.requires_grad and not metric.total.requires_grad


def test_forward_gives_the_batch_and_keeps_all():
    clean, made = batch()
    made[1] = 0
    metric = SiSdr()
    values = si_sdr(reference=clean, estimate=made).values
    assert float(metric(reference=clean[:2], estimate=made[:2])) == pytest.approx(float(values[0]))
    assert float(metric(reference=clean[2:], estimate=made[2:])) == pytest.approx(float(values[2:].mean()))
    assert float(metric.compute()) == pytest.approx(float(values.nanmean()))
    assert metric.coverage() == (3, 4) and metric.reasons == {"the estimate is silent": 1}
    metric.reset()
    assert metric.coverage() == (0, 0) and not metric.reasons


def test_a_value_that_is_none_gets_a_reason_in_classes_of_ones_own():
    class Odd(SpeechMean):
        def values(self, *, numbers: torch.Tensor) -> Values:
            return Values(numbers, (None,) * len(numbers))

    metric = Odd()
    metric.update(numbers=torch.tensor([1.0, torch.inf, 3.0, torch.nan]))
    assert float(metric.compute()) == 2
    assert metric.reasons == {"Odd came out as NaN or infinity": 2}


# -- processes --------------------------------------------------------------------------------------------------------


def _process(rank: int, address: str, first: int, results) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    clean, made = batch()
    made[1] = 0
    metric, words = SiSdr(), WordErrorRate("none")
    part = slice(0, first) if rank == 0 else slice(first, 4)
    if part != slice(4, 4):
        metric.update(reference=clean[part], estimate=made[part])
        words.update(reference=["a b"] * len(clean[part]), estimate=["a"] * len(clean[part]))
    values = float(metric.compute()), float(words.compute())
    torch.distributed.destroy_process_group()
    results.put(values)


@pytest.mark.parametrize("first", [3, 4])
def test_processes_reduce_to_what_one_finds_even_where_one_has_seen_nothing(tmp_path, first):
    results = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(_process, (f"file://{tmp_path / 'meeting'}", first, results), nprocs=2)
    clean, made = batch()
    rest = [0, 2, 3]
    expected = float(si_sdr(reference=clean[rest], estimate=made[rest]).values.mean())
    for found in (results.get(), results.get()):
        assert found == pytest.approx((expected, 0.5))


def test_dnsmos_loads_its_networks_once(monkeypatch):
    from metrics.networks import dnsmos_models

    loaded, load = [], dnsmos_models.load
    monkeypatch.setattr(dnsmos_models, "load", lambda: loaded.append(1) or load())
    metric = Dnsmos()
    for _ in range(2):
        metric.update(estimate=torch.zeros(1, 800))
    assert loaded == [1] and metric.coverage() == (0, 2)
    assert not list(metric.children()), "the networks are not among what is saved or cast with a metric"
