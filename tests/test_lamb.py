"""LAMB against a few lines of numpy."""

import copy

import numpy as np
import torch

from baselines.lamb import Lamb


def test_steps_are_adams_scaled_to_the_length_of_each_tensor() -> None:
    rng = np.random.default_rng(0)
    start = {"a": rng.normal(size=(3, 4)), "b": np.zeros(5), "c": rng.normal(size=2)}
    gradients = {name: rng.normal(size=(3, *value.shape)) for name, value in start.items()}
    gradients["c"][1] = 0  # a step without a gradient still moves by the mean of the earlier ones
    lr, first, second, eps, decay = 0.1, 0.8, 0.95, 1e-6, 0.01
    tensors = {name: torch.nn.Parameter(torch.from_numpy(value.copy())) for name, value in start.items()}
    optimiser = Lamb(tensors.values(), lr=lr, betas=(first, second), eps=eps, weight_decay=decay)
    expected = {name: value.copy() for name, value in start.items()}
    mean = {name: np.zeros_like(value) for name, value in start.items()}
    square = {name: np.zeros_like(value) for name, value in start.items()}
    for step in range(3):
        for name, x in expected.items():
            tensors[name].grad = torch.from_numpy(gradients[name][step])
            g = gradients[name][step]
            mean[name] = first * mean[name] + (1 - first) * g
            square[name] = second * square[name] + (1 - second) * g**2
            m, v = mean[name] / (1 - first ** (step + 1)), square[name] / (1 - second ** (step + 1))
            r = m / (np.sqrt(v) + eps) + decay * x
            ratio = np.linalg.norm(x) / np.linalg.norm(r) if np.linalg.norm(x) else 1.0
            expected[name] = x - lr * ratio * r
        optimiser.step()
        for name, x in expected.items():
            np.testing.assert_allclose(tensors[name].detach().numpy(), x, atol=1e-12)


def test_a_tensor_without_a_gradient_stays_and_state_survives_a_checkpoint() -> None:
    def pair() -> tuple[list[torch.nn.Parameter], Lamb]:
        tensors = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))]
        return tensors, Lamb(tensors, lr=0.1)

    (one, still), optimiser = pair()
    one.grad = torch.tensor([1.0, -2.0])
    optimiser.step()
    assert torch.equal(still.detach(), torch.ones(2)) and not torch.equal(one.detach(), torch.ones(2))

    (again, other), resumed = pair()
    with torch.no_grad():
        again.copy_(one)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for parameter, each in ((one, optimiser), (again, resumed)):
        parameter.grad = torch.tensor([0.5, 0.5])
        each.step()
    assert torch.equal(one.detach(), again.detach())
