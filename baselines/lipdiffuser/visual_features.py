"""Features of lips that were computed before: a file for each sample."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import MediaError

NAMES = "<video's path>.npy or <id>.npy"
"""What files of features are called, for messages."""


def feature_files(folder: Path, sample: str, video: Path | None = None) -> list[Path]:
    """Where the features of a sample may lie, the first that is there counts.

    As programs that extract features leave them: where its video lies, with another suffix, below another root. The
    root is not known, so ends of the video's path are tried, the longest first, down to two names, as a last one alone
    is rarely one video's. All samples of a video, in whatever noise, have one file so. Then by the sample's id.

    Args:
        sample: its id; an id with slashes names folders in the folder.
        video: of the sample, where it has one.
    """
    parts = Path(os.path.abspath(video)).with_suffix("").parts[1:] if video is not None else ()
    ends = ["/".join(parts[start:]) for start in range(len(parts) - 1)]
    return [folder / f"{name}.npy" for name in (*ends, sample)]


def read_features(folder: Path, sample: str, dim: int, frames: int, video: Path | None = None) -> Tensor:
    """`[frames, dim]` float32 of the sample's file in a folder (`feature_files`), whose rows are frames at 25 a second.

    One row more than there are frames is left out, for one less the last is held: programs count frames in different
    ways.

    Raises:
        MediaError: no such file, one that is no array of numbers, of another shape, or with a value that is not finite.
    """
    files = feature_files(folder, sample, video)
    path = next(filter(Path.is_file, files), None)
    if path is None:
        of_video = f", nor {files[-2].relative_to(folder)}" if len(files) > 1 else ""
        raise MediaError(
            f"{files[-1]} is not there{of_video}: expected, in the folder that visual_features names, features of each "
            "sample by its video's path without suffix or by its id"
        )
    try:
        array = np.load(path, allow_pickle=False)
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
