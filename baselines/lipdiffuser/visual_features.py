"""Features of lips that were computed before: a file for each sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import MediaError


def read_features(folder: Path, sample: str, dim: int, frames: int) -> Tensor:
    """`[frames, dim]` float32 of the file `<sample>.npy` in a folder, whose rows are frames at 25 a second.

    One row more than there are frames is left out, for one less the last is held: programs count frames in different
    ways.

    Args:
        sample: its id; an id with slashes names folders in the folder.

    Raises:
        MediaError: no such file, one that is no array of numbers, of another shape, or with a value that is not finite.
    """
    path = folder / f"{sample}.npy"
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise MediaError(
            f"{path} is not there: expected features of each sample by its id, in the folder that visual_features names"
        ) from None
    except (OSError, ValueError, EOFError) as error:
        raise MediaError(f"{path} cannot be read as an array of numpy ({error})") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise MediaError(f"{path}: expected an array of numbers")
    if array.ndim != 2 or array.shape[1] != dim or abs(len(array) - frames) > 1 or not len(array):
        raise MediaError(
            f"{path}: expected features [{frames}, {dim}], of {frames} frames at 25 a second, got {list(array.shape)}"
        )
    features = torch.from_numpy(array.astype(np.float32))
    if not features.isfinite().all():
        raise MediaError(f"{path}: expected finite features")
    return features[np.minimum(np.arange(frames), len(features) - 1)]
