"""lip_sync: known shifts and unrelated speech, by true mouths of Talkers, by landmarks of them, by real videos.

python tests/benchmarks/bench_lip_sync.py                            # Talkers: speaks and films 40 people anew
python tests/benchmarks/bench_lip_sync.py --people 0 --grid FOLDER   # GRID's clips, video with sound
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metrics.metric import SpeechItem, Statistics, Undefined
from metrics.speech.lip_sync import REACH, STEPS, LipSync, peaks

RATE = 16_000
SHIFTS_MS = (-200, -120, -40, 0, 40, 120, 200)
NEAR_MS = 60
METRIC = LipSync.create(None)


class Clip(NamedTuple):
    speech: np.ndarray
    opening: np.ndarray


def talkers(people: int) -> dict[str, list[Clip]]:
    """One sentence by each of these people, who are not of Talkers' splits: true mouths, and those of landmarks."""
    from benchmark.datasets.talkers.identity import person
    from benchmark.datasets.talkers.lips import FPS, filmed, mouth_track
    from benchmark.datasets.talkers.sentences import sentences
    from benchmark.datasets.talkers.voice import speak
    from benchmark.media import write_video
    from benchmark.media.mouth_opening import mouth_opening

    true, seen = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(90_000, 90_000 + people):
            who = person(number)
            speech = speak(who, sentences(who.id, 1)[0])
            path = Path(folder) / f"{number}.mp4"
            write_video(path, filmed(who, speech), FPS, speech.audio)
            samples = speech.audio.samples
            true.append(Clip(samples, np.array([mouth.open for mouth in mouth_track(speech)])))
            seen.append(Clip(samples, mouth_opening(path)))
    return {"Talkers, true mouths": true, "Talkers, landmarks": seen}


def grid(folder: Path) -> list[Clip]:
    from benchmark.media import read_audio
    from benchmark.media.mouth_opening import mouth_opening

    return [Clip(read_audio(path, RATE).samples, mouth_opening(path)) for path in sorted(folder.glob("*.mpg"))]


def late(samples: np.ndarray, ms: int) -> np.ndarray:
    shift = ms * RATE // 1000
    around = np.concatenate([np.zeros(max(shift, 0)), samples, np.zeros(max(-shift, 0))])
    return around[max(-shift, 0) :][: len(samples)]


def rows(clips: Sequence[Clip]) -> list[Statistics]:
    found = METRIC.measure([SpeechItem("", clip.speech, RATE, opening=clip.opening) for clip in clips])
    return [row for row in found if not isinstance(row, Undefined)]


def pooled(each: Sequence[Statistics]) -> tuple[float, float]:
    """Offset in milliseconds, NaN where none stands out; and strength."""
    found = METRIC.aggregate({name: np.stack([row[name] for row in each]) for name in each[0]}, np.ones((1, len(each))))
    return float(found["lip_sync_ms"][0]), float(found["lip_sync_strength"][0])


def told(name: str, clips: Sequence[Clip], seed: int = 0) -> None:
    print(f"\n{name}: {len(clips)} clips, {sum(len(clip.speech) for clip in clips) / RATE:.0f} s")
    for ms in SHIFTS_MS:
        offset, strength = pooled(rows([clip._replace(speech=late(clip.speech, ms)) for clip in clips]))
        print(f"  speech {ms:+4d} ms late: found {offset:+7.1f} ms, strength {strength:.3f}")
    own = rows(clips)
    offset, _ = pooled(own)
    alone = 1000 / STEPS * peaks(np.stack([row["correlation"] for row in own]))[0] - offset
    print(f"  highest peak of single clips, less {offset:.1f} ms: median {np.median(alone):+.1f} ms, ", end="")
    print(f"quartiles {np.percentile(alone, 25):+.1f} to {np.percentile(alone, 75):+.1f}, ", end="")
    near, chance = np.mean(np.abs(alone) <= NEAR_MS), NEAR_MS * STEPS / 1000 / REACH
    print(f"within {NEAR_MS} ms {near:.0%} (by chance {chance:.0%})")
    random = np.random.default_rng(seed)
    for count in (4, 10, len(clips)):
        if count > len(clips):
            continue
        sets: dict[str, list[tuple[float, float]]] = {"own": [], "others": []}
        for _ in range(100):
            chosen = random.choice(len(clips), count, replace=False)
            sets["own"].append(pooled([own[n] for n in chosen]))
            mouths = [clips[n].opening for n in chosen]
            voices = [clips[n].speech for n in np.roll(chosen, 1 + random.integers(count - 1))]
            sets["others"].append(pooled(rows([Clip(*pair) for pair in zip(voices, mouths, strict=True)])))
        for whose, found in sets.items():
            offsets, strengths = np.array(found).T
            print(
                f"  sets of {count}, {whose} speech: strength {np.median(strengths):.3f}, 95 % below "
                f"{np.percentile(strengths, 95):.3f}; with an offset {np.isfinite(offsets).mean():.0%}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--grid", type=Path)
    chosen = parser.parse_args()
    for name, clips in talkers(chosen.people).items():
        if clips:
            told(name, clips)
    if chosen.grid:
        told("GRID, landmarks", grid(chosen.grid))


if __name__ == "__main__":
    main()
