"""Words through QuartzNet (Kriman et al., ICASSP 2020) by NVIDIA's NeMo: greedy, lower case, no language model.

QuartzNet15x5Base-En is what lip-to-speech papers take their word error rates from.
"""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from metrics.networks.not_weights import not_weights
from metrics.networks.recognisers import checked
from metrics.plain import fresh, plain

LEAST_S = 0.1
"""Seconds; shorter signals get zeros behind them, because NeMo refuses those that hold no whole frame."""

_GET = (
    'python -c "from nemo.collections.asr.models import EncDecCTCModel as M; '
    "M.from_pretrained('QuartzNet15x5Base-En').save_to('QuartzNet15x5Base-En.nemo')\""
)


class QuartzNet:
    """A Recogniser of words by a CTC model in a `.nemo` file."""

    rate = 16_000
    units = "words"

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.path, self.device = path, device
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
        self.signature = f"quartznet-{digest},greedy"

    def __reduce__(self) -> tuple[type[QuartzNet], tuple[Path, str]]:
        return type(self), (self.path, self.device)

    def transcribe(self, signals: Sequence[np.ndarray]) -> list[str]:
        """As `Recogniser.transcribe`. NeMo reads files, so the signals go through a folder that is then deleted."""
        signals = checked(signals)
        if not signals:
            return []
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(Path(folder, f"{number:06d}.wav")) for number in range(len(signals))]
            for path, signal in zip(paths, signals, strict=True):
                whole = np.pad(signal, (0, max(int(LEAST_S * self.rate) - len(signal), 0)))
                soundfile.write(path, whole, self.rate, subtype="FLOAT")
            # One at a time: in a batch the zeros behind the shorter ones reach into them through the convolutions.
            with plain():
                found = self._network.transcribe(paths, batch_size=1, verbose=False)
        # NeMo 1 answers with strings, NeMo 2 with hypotheses that have a text.
        texts = [one if isinstance(one, str) else one.text for one in found]
        if len(texts) != len(signals):
            raise RuntimeError(f"expected {len(signals)} transcripts of NeMo, got {len(texts)}")
        return texts

    @cached_property
    def _network(self) -> Any:
        from nemo.collections.asr.models import EncDecCTCModel

        with fresh():
            return EncDecCTCModel.restore_from(str(self.path), map_location=torch.device(self.device)).eval()


def load(kind: str, model: str | None, device: str = "cpu") -> QuartzNet:
    """The recogniser from a `.nemo` file, which NeMo reads, and may unpickle: take one only from whom you trust.

    Raises:
        ModuleNotFoundError: NeMo is not installed.
        FileNotFoundError: there is no such file, or none was named.
        ValueError: the file is something else, or cut short.
    """
    if find_spec("nemo") is None:
        raise ModuleNotFoundError(f"The recogniser '{kind}' needs NeMo: pip install 'nemo_toolkit[asr]>=1.23'")
    if model is None or not Path(model).is_file():
        got = "none was named" if model is None else f"there is no {model}"
        raise FileNotFoundError(
            f"The recogniser '{kind}' needs a .nemo file, given as {kind}:FILE; {got}. Make one with: {_GET}"
        )
    _check(Path(model))
    return QuartzNet(Path(model), device)


def _check(path: Path) -> None:
    """A .nemo file is a tar archive, compressed or not, of a configuration and the weights.

    Raises:
        ValueError: it is something else, or cut short.
    """
    if what := not_weights(path):
        raise ValueError(f"{path}: expected a .nemo file, got {what}")
    try:
        with tarfile.open(path) as archive:
            names = {member.name.rpartition("/")[2] for member in archive}
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(f"{path}: expected a .nemo file, a whole tar archive, got another one ({error})") from error
    if missing := {"model_config.yaml", "model_weights.ckpt"} - names:
        raise ValueError(f"{path}: expected a .nemo file, but its archive has no {', no '.join(sorted(missing))}")
