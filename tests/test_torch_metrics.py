"""torchmetrics classes: means over what has a value, padding, reduction over processes, words across batches."""

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from metrics.speech.si_sdr import si_sdr
from metrics.speech.stoi import intelligibility
from metrics.speech.torch_metrics import Pesq, Sdr, SiSdr, SiSnr, Stoi, WordErrorRate


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
    assert sum(metric.reasons.values()) == 1


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


def _process(rank: int, address: str, results) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    clean, made = batch()
    made[1] = 0
    metric = SiSdr()
    part = slice(0, 3) if rank == 0 else slice(3, 4)
    metric.update(reference=clean[part], estimate=made[part])
    value = float(metric.compute())
    torch.distributed.destroy_process_group()
    results.put(value)


def test_processes_reduce_to_what_one_finds(tmp_path):
    results = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(_process, (f"file://{tmp_path / 'meeting'}", results), nprocs=2)
    clean, made = batch()
    rest = [0, 2, 3]
    expected = float(si_sdr(reference=clean[rest], estimate=made[rest]).values.mean())
    assert [results.get(), results.get()] == pytest.approx([expected, expected])
