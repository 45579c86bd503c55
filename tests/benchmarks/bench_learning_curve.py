"""How much SF2F gains from more people: equal steps on 400, 2,000 and 8,000 of them; R@10 on 200 others, and a figure.

python tests/benchmarks/bench_learning_curve.py --out FOLDER --figure baselines/sf2f/learning_curve.png

Every training is the preset `talkers` without the fuser and with fewer steps. Its last measures on the validation
people are read from its log: of the voice encoder alone (what it tells of the face, no picture), and of the pictures.
The face network that teaches measures too, on its fixed crop, so the numbers are for comparison with each other.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmark.cli.console import bars
from benchmark.training import prepare

PEOPLE = (400, 2_000, 8_000)
STAGES = {"voice_encoder": "voice encoder alone", "encoder_decoder": "pictures"}


def last_measures(log: Path) -> dict[str, float]:
    """The last `validation` record of a training's log."""
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    measures: dict[str, float] = [record["validation"] for record in records if "validation" in record][-1]
    return measures


def measured(people: int, out: Path, steps: dict[str, int]) -> dict[str, dict[str, float]]:
    """Train on so many people; the last measures of each stage."""
    asked = (f"population.people={people}", "fuser=false", *(f"training.{name}={n}" for name, n in steps.items()))
    with bars(quiet=False) as progress:
        plan = prepare("sf2f", "talkers", None, asked, "talkers", None, out, progress)
        plan.train(seed=0, device="cpu", precision="no", resume=True, progress=progress("sf2f"))
    return {stage: last_measures(out / stage / "log.jsonl") for stage in STAGES}


def draw(rows: dict[int, dict[str, dict[str, float]]], chance: float, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.2), layout="constrained")
    for stage, label in STAGES.items():
        axes.plot(list(rows), [100 * row[stage]["recall_at_10"] for row in rows.values()], marker="o", label=label)
    axes.axhline(100 * chance, color="grey", linestyle=":", label="chance")
    axes.set(xscale="log", xlabel="training people", ylabel="R@10 of 200 validation people, %", ylim=(0, None))
    axes.set_xticks(list(rows), [f"{count:,}" for count in rows])
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the trainings; finished ones are kept")
    parser.add_argument("--figure", type=Path, required=True)
    parser.add_argument("--people", type=int, nargs="+", default=list(PEOPLE))
    parser.add_argument("--voice-encoder-steps", type=int, default=700)
    parser.add_argument("--steps", type=int, default=100)
    chosen = parser.parse_args()
    steps = {"voice_encoder_steps": chosen.voice_encoder_steps, "steps": chosen.steps}
    rows: dict[int, dict[str, Any]] = {}
    for people in chosen.people:
        rows[people] = measured(people, chosen.out / str(people), steps)
        told = "; ".join(
            f"{label}: R@1 {100 * rows[people][stage]['recall_at_1']:.1f} %, "
            f"R@10 {100 * rows[people][stage]['recall_at_10']:.1f} %"
            for stage, label in STAGES.items()
        )
        print(f"{people} people: {told}", flush=True)
    draw(rows, 10 / 200, chosen.figure)


if __name__ == "__main__":
    main()
