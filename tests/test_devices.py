"""Every shipped method with networks makes on a GPU what it makes on a CPU."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.errors import MissingWeights
from benchmark.registry import methods
from benchmark.runs.evaluation import plan_method
from benchmark.runs.speed import make_example
from benchmark.tasks import get_task

NETWORKS = [name for name in methods if hasattr(methods.load(name), "load_random")]


def made(name: str, device: str, seconds: tuple[float, ...], sets: tuple[str, ...] = ()) -> list[np.ndarray]:
    """What a method makes on a device, with its default preset's weights, or random ones where that has none."""
    try:
        plan = plan_method(name, sets=sets)
    except MissingWeights:
        plan = plan_method(name, sets=sets, without_weights=True)
    method = plan.kind(plan.settings.config, plan.weights)
    if plan.weights is None:
        method.load_random(device)
    else:
        method.load(device)
    task = get_task(plan.kind.task)
    outputs = method.generate([make_example(task, length, number) for number, length in enumerate(seconds)])
    method.close()
    return [np.asarray(output, np.float64) for output in outputs]


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_has_all_that_the_comparison_needs(name: str) -> None:
    """So that a machine with a GPU compares every one of them; a step of those that take several is enough for this."""
    few = ("steps=1",) if hasattr(plan_method(name, without_weights=True).settings.config, "steps") else ()
    (output,) = made(name, "cpu", (1.3,), few)
    assert np.isfinite(output).all() and output.std() > 0


def test_every_method_with_networks_is_compared() -> None:
    assert {"sf2f", "voice2face", "avp_gan", "speech2face_ddpm", "flowavse", "sgmse", "lipdiffuser"} <= set(NETWORKS)


@pytest.mark.gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_a_gpu_makes_what_a_cpu_makes(name: str) -> None:
    """Pictures within two levels of 255, speech within a hundredth of its loudest sample; differences are printed."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    lengths = (1.3, 1.3, 2.04)
    pairs = list(zip(made(name, "cpu", lengths), made(name, "cuda", lengths), strict=True))
    is_picture = get_task(methods.load(name).task).output == "image"
    scale = [255.0 if is_picture else float(np.abs(cpu).max()) for cpu, _ in pairs]
    apart = [float(np.abs(cpu - gpu).max()) / one for (cpu, gpu), one in zip(pairs, scale, strict=True)]
    print(f"{name}: largest difference of each, in parts of full scale: {', '.join(f'{one:.2e}' for one in apart)}")
    assert max(apart) <= (2 / 255 if is_picture else 0.01)
