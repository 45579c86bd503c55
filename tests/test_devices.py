"""Every shipped method with networks makes on a GPU what it makes on a CPU."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.registry import methods
from benchmark.runs.evaluation import plan_method
from benchmark.runs.speed import make_example
from benchmark.tasks import get_task

NETWORKS = [name for name in methods if hasattr(methods.load(name), "load_random")]


@pytest.mark.gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_a_gpu_makes_what_a_cpu_makes(name: str) -> None:
    """Pictures within two levels of 255, speech within a hundredth of its loudest sample; differences are printed."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    plan = plan_method(name)
    task = get_task(plan.kind.task)
    examples = [make_example(task, seconds, number) for number, seconds in enumerate((1.3, 1.3, 2.04))]
    made = {}
    for device in ("cpu", "cuda"):
        method = plan.kind(plan.settings.config, plan.weights)
        method.load(device)
        made[device] = method.generate(examples)
    pairs = [
        (np.asarray(cpu, np.float64), np.asarray(gpu, np.float64))
        for cpu, gpu in zip(made["cpu"], made["cuda"], strict=True)
    ]
    scale = [255.0 if task.output == "image" else float(np.abs(cpu).max()) for cpu, _ in pairs]
    apart = [float(np.abs(cpu - gpu).max()) / one for (cpu, gpu), one in zip(pairs, scale, strict=True)]
    print(f"{name}: largest difference of each, in parts of full scale: {', '.join(f'{one:.2e}' for one in apart)}")
    assert max(apart) <= (2 / 255 if task.output == "image" else 0.01)
