"""What the harness costs: wall time of generating through `evaluate` over the same work done bare, on a method that
does almost nothing; and the bare time of reading, writing and measuring.

    python tests/benchmarks/bench_harness.py --samples 200
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from toys import Brightness, Painter  # noqa: E402

from benchmark.configuration import Settings  # noqa: E402
from benchmark.datasets.manifest import Manifest, Row, read_manifest, write_manifest  # noqa: E402
from benchmark.media import read_image, write_audio, write_image  # noqa: E402
from benchmark.runs.evaluation import MethodPlan, RunPlan, conclude, evaluate  # noqa: E402
from benchmark.runs.scoring import Scorer, gallery  # noqa: E402
from benchmark.runs.workers import WorkerPool  # noqa: E402
from benchmark.tasks import Protocol, get_task  # noqa: E402
from benchmark.types import Audio, Example  # noqa: E402
from metrics.metric import FaceItem  # noqa: E402


def corpus(folder: Path, people: int) -> Manifest:
    """People with 2 s of tone and a grey face of 64 px."""
    rows = []
    for number in range(people):
        name = f"p{number:05d}"
        (folder / name).mkdir()
        tone = 0.3 * np.sin(2 * np.pi * (100 + number % 100) * np.arange(32_000) / 16_000).astype(np.float32)
        write_audio(folder / name / "a.wav", Audio(tone, 16_000))
        write_image(folder / name / "f.png", np.full((64, 64, 3), number % 200, np.uint8))
        rows.append(Row(name, name, {"speech": (f"{name}/a.wav",)}, {"face": (f"{name}/f.png",)}))
    write_manifest(folder / "m.jsonl", rows, dataset="tones", revision="1", split="test", task="speech2face")
    return read_manifest(folder / "m.jsonl", folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    task, protocol = get_task("speech2face"), Protocol(1.0, chosen.repeats)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        manifest = corpus(folder, chosen.samples)
        metric = Brightness.create(None)
        metric.prepare(gallery(manifest.samples)[0])

        start = time.perf_counter()
        method = Painter(Painter.Config())
        method.load("cpu")
        for repeat in range(chosen.repeats):
            for number, sample in enumerate(manifest.samples):
                example = task.open(sample, repeat, protocol, 0, "none")
                shown = Example(sample.without_targets(), repeat, example.seed, example.inputs)
                path = folder / f"bare-{repeat}-{number}.png"
                write_image(path, method.generate([shown])[0])
                metric.measure([FaceItem(sample.speaker, read_image(path))])
        bare = time.perf_counter() - start

        settings = Settings(None, Painter.Config(), None, {})
        plan = RunPlan(
            MethodPlan("painter", Painter, settings, None, None, "painter"),
            task, protocol, manifest, None, 0, None, (1, 1), 50, "cpu", folder / "runs",
        )  # fmt: skip
        pool = WorkerPool(Scorer({"brightness": metric}), 0)
        start = time.perf_counter()
        evaluate(plan, pool)
        through = time.perf_counter() - start
        start = time.perf_counter()
        conclude(plan.view, pool.scorer)
        concluding = time.perf_counter() - start
    count = chosen.samples * chosen.repeats
    print(f"{count} outputs, scoring in this process")
    print(f"bare loop:         {bare:6.2f} s   {1000 * bare / count:.2f} ms an output")
    print(
        f"through evaluate:  {through:6.2f} s   {1000 * through / count:.2f} ms an output   ratio {through / bare:.2f}"
    )
    print(f"intervals and the result: {concluding:.2f} s")


if __name__ == "__main__":
    main()
