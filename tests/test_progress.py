"""What a user sees while a command works: at any usual width, and in a file."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from benchmark.cli.progress import Bars, Lines
from benchmark.datasets.talkers.build import Job, announced
from benchmark.datasets.talkers.identity import people

LOSSES = " ".join(f"loss_of_network_{number} {number / 7:.3g}" for number in range(9))
LABEL = "flowavse (steps=2, video=shuffled, prior=noisy, decoder_width=128)"


class Clock:
    """A clock that stands still until it is moved."""

    time_s = 1000.0

    def __call__(self) -> float:
        return self.time_s


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("about", ["", LOSSES])
def test_bar_count_and_times_are_on_the_screen_whatever_the_label_and_the_losses(width, about):
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=24)
    bars = Bars(console)
    for done in (0, 12_000, 24_000):
        bars.tell(LABEL, "encoder_decoder", done, 30_000, about)
    bars.tell("voice2face", "score", 3, 10)
    drawn = Console(file=io.StringIO(), width=width, height=24)
    drawn.print(bars._live.get_renderable())
    bars.close()
    first, second, *below = drawn.file.getvalue().splitlines()
    assert all(len(line) <= width for line in (first, second, *below))
    assert re.search(r"encoder_decoder ━{8,}[╸╺]? * 24000/30000 \d:\d\d:\d\d \d:\d\d:\d\d", first)
    assert first.startswith("flowavse")
    assert re.search(r"score +━+[╸╺]? +3/10 +\d:\d\d:\d\d -:--:--", second)
    assert "".join("".join(below).split()) == "".join(about.split())


def test_a_file_gets_a_line_of_each_running_stage_from_time_to_time(capsys):
    clock = Clock()
    lines = Lines(every_s=3600, now=clock)
    told = lambda: capsys.readouterr().err.splitlines()  # noqa: E731
    lines.tell("talkers test", "build", 0, 4, "faces of 4 people, about 2 minutes, once")
    assert told() == ["talkers test: build 0/4; faces of 4 people, about 2 minutes, once"]
    lines.tell("talkers test", "build", 4, 4, "faces of 4 people, about 2 minutes, once")
    assert told() == ["talkers test: build 4/4"]

    lines.tell("sf2f", "generate", 100, 500)
    lines.tell("sf2f", "score", 0, 500)
    clock.time_s += 30
    lines.tell("sf2f", "generate", 150, 500)
    clock.time_s += 60
    lines.tell("sf2f", "generate", 250, 500)
    assert told() == []
    lines.tell_running()
    # 100 in the 60 s since it first moved; 250 are left.
    assert told() == ["sf2f: generate 250/500 after 1:30, about 2:30 left"]
    clock.time_s += 30
    lines.tell_running()
    assert told() == ["sf2f: generate 250/500 after 2:00, about 3:45 left"], "nothing moved: a sign of life"
    lines.tell("sf2f", "score", 50, 500)
    lines.tell_running()
    assert told() == ["sf2f: score 50/500 after 2:00"]
    lines.tell("sf2f", "generate", 500, 500)
    lines.tell("sf2f", "generate", 500, 500)
    assert told() == ["sf2f: generate 500/500 after 2:00"], "once"
    lines.close()


def test_lines_come_by_themselves(capsys):
    lines = Lines(every_s=0.01)
    lines.tell("sf2f", "generate", 1, 5)
    heard = ""
    while "sf2f: generate 1/5" not in heard:
        heard += capsys.readouterr().err
    lines.close()


def test_losses_are_told_with_the_line(capsys):
    lines = Lines(every_s=3600, now=Clock())
    lines.tell("sf2f", "fuser", 0, 50)
    lines.tell("sf2f", "fuser", 10, 50, "l1 0.5")
    lines.tell_running()
    assert capsys.readouterr().err == "sf2f: fuser 10/50; l1 0.5\n"
    lines.close()


def test_a_stage_that_begins_anew_is_told_anew(capsys):
    lines = Lines(every_s=3600, now=Clock())
    for _ in range(2):
        lines.tell("folder train", "read", 0, 2)
        lines.tell("folder train", "read", 2, 2)
    assert capsys.readouterr().err == "folder train: read 2/2\n" * 2
    lines.close()


@pytest.mark.parametrize(
    ("kinds", "count", "workers", "text"),
    [
        (("speech", "face"), 100, 2, "speech and faces of 100 people, about 20 seconds on 2 free cores, once"),
        (("speech", "video"), 100, 1, "speech and video of 100 people, about 5 minutes on a free core, once"),
        (("face",), 1, 1, "faces of 1 people, about 10 seconds on a free core, once"),
    ],
)
def test_what_a_build_takes_is_said_before_it_begins(tmp_path, kinds, count, workers, text):
    jobs = [Job(tmp_path, kind, person) for person in people("test")[:count] for kind in kinds]
    assert announced(jobs, workers) == text
