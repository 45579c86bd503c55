"""A method that is one network: how it is built, placed on a device and freed."""

from __future__ import annotations

import torch
from torch import nn

from baselines.method import Method
from baselines.training import seeded


class NetworkMethod(Method):
    """What methods with `config.network()` have in common; `load` fills what `_place` builds."""

    memory_format: torch.memory_format = torch.contiguous_format
    network: nn.Module
    device: torch.device

    def load_random(self, device: str, seed: int = 0) -> None:
        """Build the network with random weights, to be timed."""
        self._place(device, seed)

    def close(self) -> None:
        del self.network

    def _place(self, device: str, seed: int = 0) -> None:
        with seeded(self.name, seed):
            network: nn.Module = self.config.network()
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=self.memory_format).eval()
