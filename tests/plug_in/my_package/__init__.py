from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load_file

from baselines.method import Method
from benchmark.errors import MethodError


class MyMethod(Method):
    """A face that is linear in the spectrum of the voice."""

    name, task, title = "my_method", "speech2face", "My method (2026)"

    @dataclass(frozen=True)
    class Config:
        noise: float = 0.1  # a setting, as --set takes it

    def load(self, device):
        self.layer = load_file(self.weights)["layer"]  # [64 * 64 * 3, 257]

    def generate(self, examples):
        return [self.face(example.inputs["speech"], example.seed) for example in examples]

    def face(self, speech, seed):
        if speech.seconds < 0.5:
            return MethodError("less than 0.5 s of speech")
        spectrum = np.abs(np.fft.rfft(speech.samples[:512]))
        noise = np.random.default_rng(seed).normal(0, self.config.noise, 257)
        return (self.layer @ (spectrum + noise)).reshape(64, 64, 3).round().clip(0, 255).astype(np.uint8)
