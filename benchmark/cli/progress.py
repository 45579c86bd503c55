"""How far a command is: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

EVERY_S = 30.0
"""How often a running stage gets a line where there are no bars."""
BAR = 30
"""Columns of a bar, where there is room for them."""


@dataclass
class Stage:
    """A stage of some row's work. Times are seconds of one monotonic clock."""

    label: str
    name: str
    began: float
    done: int
    total: int
    about: str
    moved: tuple[float, int] | None = None
    """When it first moved, and how far it was then; what came before may have been waiting."""

    def line(self, now: float) -> str:
        """`sf2f: generate 350/1000 after 1:30, about 2:47 left`."""
        text = f"{self.label}: {self.name} {self.done}/{self.total}"
        if now - self.began >= 1:
            text += f" after {clock(now - self.began)}"
        if self.moved and self.moved[1] < self.done < self.total:
            since, then = self.moved
            text += f", about {clock((now - since) * (self.total - self.done) / (self.done - then))} left"
        return text


class Display(ABC):
    """The stages that run. One that has finished is told in a line, once."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.running: dict[tuple[str, str], Stage] = {}
        self._finished: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def tell(self, label: str, name: str, done: int, total: int, about: str = "") -> None:
        """How far a stage is.

        Args:
            about: what else is to be known of it now: how long it takes, or the losses of a training.
        """
        key = label, name
        with self._lock:
            if key in self._finished:
                if done >= total:
                    return
                self._finished.remove(key)
            stage = self.running.get(key)
            if new := stage is None:
                stage = self.running[key] = Stage(label, name, self.now(), done, total, about)
            elif done > stage.done and not stage.moved:
                stage.moved = self.now(), done
            stage.done, stage.total, stage.about = done, total, about
            if done >= total > 0:
                self._finished.add(key)
                del self.running[key]
                self.finish(stage)
            else:
                self.show(stage, new)

    @abstractmethod
    def show(self, stage: Stage, new: bool) -> None:
        """A stage began, or moved."""

    @abstractmethod
    def finish(self, stage: Stage) -> None:
        """A stage reached its end."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more will be told."""


class Lines(Display):
    """A line for a stage that says something of itself when it begins, one every half minute, one at the end."""

    def __init__(self, every_s: float = EVERY_S, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(now)
        self._told: dict[tuple[str, str], tuple[int, str]] = {}
        self._last: tuple[str, str] | None = None
        self._over = threading.Event()
        self._every_s = every_s
        self._clock = threading.Thread(target=self._tell_from_time_to_time, daemon=True)
        self._clock.start()

    def show(self, stage: Stage, new: bool) -> None:
        self._last = stage.label, stage.name
        if new:
            self._told[self._last] = stage.done, stage.about
            if stage.about:
                self._print(f"{stage.line(self.now())}; {stage.about}")

    def finish(self, stage: Stage) -> None:
        self._print(stage.line(self.now()))

    def tell_running(self) -> None:
        """A line for each stage that moved since its last one; if none did, for the one that was last heard of."""
        with self._lock:
            moved = [key for key, stage in self.running.items() if stage.done != self._told[key][0]]
            for key in moved or [key for key in self.running if key == self._last]:
                stage = self.running[key]
                about = f"; {stage.about}" if stage.about and stage.about != self._told[key][1] else ""
                self._told[key] = stage.done, stage.about
                self._print(stage.line(self.now()) + about)

    def close(self) -> None:
        self._over.set()
        self._clock.join()

    def _tell_from_time_to_time(self) -> None:
        # A reader who went away is no reason to end the work; the next thing that the command itself prints will tell.
        with contextlib.suppress(BrokenPipeError):
            while not self._over.wait(self._every_s):
                self.tell_running()

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class Bars(Display):
    """A bar for each running stage, whatever the width: what does not fit beside it stands below it."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(now)
        self._live = _Live(console)
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def show(self, stage: Stage, new: bool) -> None:
        key = stage.label, stage.name
        if new:
            self._live.start()
            self._tasks[key] = self._live.add_task(
                stage.label, total=stage.total, completed=stage.done, stage=stage.name, about=stage.about
            )
        else:
            self._live.update(self._tasks[key], completed=stage.done, total=stage.total, about=stage.about)

    def finish(self, stage: Stage) -> None:
        task = self._tasks.pop((stage.label, stage.name), None)
        if task is not None:
            self._live.remove_task(task)
        self._live.console.print(Text(stage.line(self.now())))

    def close(self) -> None:
        self._live.stop()


class _Label(ProgressColumn):
    """What a stage belongs to, cut with an ellipsis where the line has no room for it."""

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class _Live(Progress):
    """Count, elapsed and remaining time keep their columns; label and bar share what is left of the line."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            _Label(),
            TextColumn("{task.fields[stage]}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(max_width=BAR)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            console=console,
            refresh_per_second=4,
            speed_estimate_period=3600,
            redirect_stdout=sys.stdout.isatty(),  # what goes into a pipe must stay there
        )

    def get_renderables(self) -> list[RenderableType]:
        tasks = self.tasks
        below = [Padding(Text(task.fields["about"]), (0, 0, 0, 2)) for task in tasks if task.fields["about"]]
        return [self.make_tasks_table(tasks), *below] if tasks else []


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are some.

    >>> clock(90.4), clock(3725)
    ('1:30', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
