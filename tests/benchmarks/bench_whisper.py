"""What reading by `whisper:tiny.en` costs: processor seconds a file for encoder and decoder, alone and in batches.

    python tests/benchmarks/bench_whisper.py --folder recordings --files 40

A batch saves time only in the decoder. The last columns say in how many files text and score are those of the file
alone: scores of a batch differ in their last digits, so a tie may fall the other way.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np


def windows(model: Any, folder: Path, count: int) -> list[np.ndarray]:
    """Features of the first 30 s of each recording."""
    from faster_whisper.audio import pad_or_trim

    from benchmark.media import is_audio, read_audio

    paths = sorted(path for path in folder.rglob("*") if is_audio(path))[:count]
    return [pad_or_trim(model.feature_extractor(read_audio(path, 16_000).samples)[:, :-1]) for path in paths]


def read(model: Any, batch: list[np.ndarray], beam: int) -> tuple[list[tuple[list[int], float]], float, float]:
    """Tokens and score of each window; processor seconds of the encoder and of the decoder."""
    prompt = [model.hf_tokenizer.token_to_id(name) for name in ("<|startoftranscript|>", "<|notimestamps|>")]
    start = time.process_time()
    encoded = model.encode(np.stack(batch))
    np.array(encoded)  # it is computed when it is asked for
    middle = time.process_time()
    found = model.model.generate(encoded, [prompt] * len(batch), beam_size=beam, return_scores=True)
    end = time.process_time()
    return [(one.sequences_ids[0], one.scores[0]) for one in found], middle - start, end - middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16])
    asked = parser.parse_args()
    from faster_whisper import WhisperModel

    from metrics.networks.whisper import carried

    print("precision  beam  batch  encoder s  decoder s  same text  same score")
    for precision in ("float32", "int8"):
        model = WhisperModel(str(carried()), device="cpu", compute_type=precision, cpu_threads=1, local_files_only=True)
        heard = windows(model, asked.folder, asked.files)
        for beam in (1, 5):
            alone = [read(model, [one], beam)[0][0] for one in heard]
            for size in asked.batches:
                found, encoder, decoder = [], 0.0, 0.0
                for first in range(0, len(heard), size):
                    part, encoding, decoding = read(model, heard[first : first + size], beam)
                    found, encoder, decoder = found + part, encoder + encoding, decoder + decoding
                texts = sum(one[0] == other[0] for one, other in zip(found, alone, strict=True))
                scores = sum(one == other for one, other in zip(found, alone, strict=True))
                each = f"{encoder / len(heard):9.2f}  {decoder / len(heard):9.2f}"
                print(f"{precision:9}  {beam:4}  {size:5}  {each}  {texts:9}  {scores:10}", flush=True)


if __name__ == "__main__":
    main()
