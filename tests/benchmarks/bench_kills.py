"""Kill runs at random moments, parents and workers, while they start and while they work.

Every one must end in the numbers of an undisturbed run, and none may hang.

    python tests/benchmarks/bench_kills.py --kills 50

Each round runs `python -m benchmark run` on a small folder of Talkers. A killed parent is started again by the same
command; after a killed worker the command has to end by itself. When a run is through, its result is compared, and the
next one begins anew (`--fresh`). Needs Linux (/proc).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

PEOPLE = 8
LIMIT_S = 300.0
"""A command that takes longer hangs."""
VICTIMS = ("parent", "worker", "starting worker")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="facevoice-kills-") as name:
        folder = Path(name)
        make_people(folder)
        begun = time.monotonic()
        expected = undisturbed(folder)
        usual_s = time.monotonic() - begun
        print(f"undisturbed: {usual_s:.1f} s, {len(expected)} numbers", flush=True)
        told: Counter[str] = Counter()
        fresh = True
        kills = rounds = 0
        while kills < arguments.kills:
            victim = VICTIMS[rounds % len(VICTIMS)]
            killed, ended = one_round(folder, fresh, victim, chance.uniform(0, 0.6 * usual_s), chance)
            rounds, kills = rounds + 1, kills + bool(killed)
            told[killed or "came too late"] += 1
            if not ended:  # the parent is dead: the next command continues
                fresh = False
                print(f"{kills:3}  {killed}", flush=True)
                continue
            equal = numbers(folder) == expected
            told["runs that ended in the same numbers" if equal else "RUNS WITH OTHER NUMBERS"] += 1
            print(f"{kills:3}  {killed or '-'}; the run ended, numbers equal: {equal}", flush=True)
            fresh = True
        finish = one_round(folder, False, None, 0.0, chance)[1]
        told["runs that ended in the same numbers" if finish and numbers(folder) == expected else "BAD END"] += 1
    for what, count in sorted(told.items()):
        print(f"{count:4}  {what}")


def make_people(folder: Path) -> None:
    """A `folder` dataset of the first Talkers."""
    from benchmark.datasets.talkers.corpus import Talkers

    manifest = Talkers(None, folder / "home", limit=PEOPLE).open("test", "speech2face")
    for sample in manifest.samples:
        home = folder / "people" / sample.id
        home.mkdir(parents=True)
        for path in (*sample.inputs["speech"], *sample.targets["face"]):
            shutil.copy(path, home)


def command(folder: Path, fresh: bool) -> list[str]:
    return [
        *(sys.executable, "-m", "benchmark", "run", "--method", "sf2f", "--dataset", "folder"),
        *("--data-root", str(folder / "people"), "--runs", str(folder / "runs"), "--repeats", "4"),
        *("--no-references", "--workers", "2", "--batch-size", "4", "--quiet", "--seconds", "2"),
        *(["--fresh"] if fresh else []),
    ]


def started(folder: Path, fresh: bool) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "FACEVOICE_BENCH_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(folder, fresh),
        env=environment,
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def undisturbed(folder: Path) -> dict[str, list[float | None]]:
    process = started(folder, False)
    _, said = process.communicate(timeout=LIMIT_S)
    if process.returncode:
        raise SystemExit(f"The undisturbed run failed: {said.decode()}")
    return numbers(folder)


def numbers(folder: Path) -> dict[str, list[float | None]]:
    """Every value and interval of the run's result; none where there is none."""
    (run,) = (folder / "runs").iterdir()
    try:
        result = json.loads((run / "result.json").read_text())
    except FileNotFoundError:
        return {}
    found = {item["name"]: [item["value"], item["low"], item["high"], item["scored"]] for item in result["aggregates"]}
    found["failed rows"] = [result["failures"]["rows"]]
    return found


def one_round(
    folder: Path, fresh: bool, victim: str | None, after_s: float, chance: random.Random
) -> tuple[str | None, bool]:
    """What was killed, and whether the command came to its end; SystemExit where it hangs or fails."""
    process = started(folder, fresh)
    killed = None
    if victim == "parent":
        time.sleep(after_s)
    if victim == "parent" and process.poll() is None:
        process.kill()
        process.communicate()
        return "parent killed", False
    while victim in ("worker", "starting worker") and process.poll() is None and killed is None:
        if workers := workers_of(process.pid):
            # Anywhere in its imports, or behind them.
            time.sleep(chance.uniform(0, 0.5) if victim == "starting worker" else 0.5 + 0.5 * after_s)
            with suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
                killed = f"{victim} killed"
        time.sleep(0.01)
    try:
        _, said = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise SystemExit(f"HANGS: {killed}, after {after_s:.1f} s") from None
    if process.returncode:
        raise SystemExit(f"{killed}: exit {process.returncode}: {said.decode()}")
    return killed, True


def workers_of(parent: int) -> list[int]:
    """The worker processes of a parent."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z" and b"spawn_main" in words:
            found.append(int(entry.name))
    return sorted(found)


if __name__ == "__main__":
    main()
