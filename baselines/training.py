"""One training loop for all methods: a recipe says what a step is, the loop does the rest.

The batch of a step, and every random number drawn in it, is a function of (seed, step, process) alone. On a CPU a
training that was killed and resumed therefore ends in the same weights as one that was not. On a GPU some sums
are taken in no fixed order, and two runs of one command may differ.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from torch import Tensor, nn

from baselines.checkpoints import add_metadata, load_state, save_state
from baselines.ema import ExponentialAverage
from benchmark.errors import InvalidConfig, MethodError
from benchmark.files import naming, write_whole
from benchmark.types import derive_seed

Precision = Literal["no", "bf16", "fp16"]
Update = Callable[[str, Tensor], None]
"""update(optimiser, loss): clear its gradients, go backward, average over processes, clip, step."""
Progress = Callable[[str, int, int, str], object]
"""progress(stage, done, total, losses): a step was made; the losses as text."""


class Recipe(ABC):
    """What is trained, on what, by which losses."""

    name: str
    loaders: int = 1
    """Batches that are made at once, ahead of the step, in threads."""
    averages_statistics: bool = True
    """The moving average follows the statistics of normalisation too."""

    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """Every module that this training may change; moved to the device and kept in checkpoints."""

    @abstractmethod
    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        """One per adversary."""

    @abstractmethod
    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """A batch on the CPU, drawn with `rng` alone."""

    @abstractmethod
    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        """Compute the losses, call `update` for each optimiser, return the losses by name."""

    @abstractmethod
    def export(self, path: Path) -> Path:
        """Write what inference needs as safetensors."""

    def pace(self, step: int) -> float:
        """Times which the learning rates are at a step, counted from 0; beside the loop's own annealing."""
        return 1.0

    def carried(self) -> Sequence[nn.Module]:
        """Frozen networks that only serve losses: moved to the device, not kept in checkpoints."""
        return ()

    def averaged(self) -> Mapping[str, nn.Module]:
        """The modules that an exponential moving average follows, where one is asked for."""
        return {}

    def validate(self) -> dict[str, float]:
        """Measures on the validation people, with modules in evaluation mode."""
        return {}

    def sample_images(self) -> np.ndarray | None:
        """uint8 `[rows, columns, H, W, 3]`: truth and output side by side."""
        return None

    def description(self) -> Mapping[str, Any]:
        """What two runs must share for one to resume the other."""
        return {}


@dataclass(frozen=True)
class Loop:
    """How a recipe is run; the same for every method."""

    seed: int = 0
    device: str = "auto"
    """`auto` and `cuda` take what accelerate finds, `cuda:N` that GPU; `cpu` forces the CPU."""
    precision: Precision = "no"
    clip: float | None = None
    """Largest norm of each optimiser's gradients."""
    ema: float | None = None
    """Decay of the exponential moving average; exports and samples use the average."""
    anneal: bool = False
    """Learning rates fall to zero along half a cosine."""
    log_every: int = 20
    sample_every: int = 500
    checkpoint_every: int = 500
    resume: bool = True
    """False begins anew and removes what an earlier training left in the folder."""
    progress: Progress | None = None
    """Told of every step."""


@dataclass(frozen=True)
class Stage:
    """One of the trainings that a method needs, in order."""

    name: str
    steps: int
    build: Callable[[Path], Recipe]
    """Given the folder of the whole training, in which earlier stages left `<stage>.safetensors`, and `<stage>/`."""
    ema: float | None = None
    """The method's own decay, and its other choices; the loop's, where they are set, go before them."""
    anneal: bool = False
    clip: float | None = None


def train_stages(
    stages: Sequence[Stage],
    out: Path,
    loop: Loop | None = None,
    asked: Mapping[str, Any] | None = None,
    begin: Callable[[], object] = lambda: None,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Train every stage that is not finished yet; return the last export.

    A stage is finished where its export lies beside a checkpoint of all its steps. One with fewer steps continues.

    Args:
        asked: what the stages were built from. It is kept in checkpoints: a finished stage that was asked for in the
            same words need not be built to be known. Without it stages are built to compare their descriptions.
        begin: called once, on the main process, before the first step of all and after what could stand against it.
        notes: metadata of the last export, beside what its recipe writes.

    Raises:
        InvalidConfig: `out` holds a training with other settings, or of more steps, or one without its checkpoint.
        MethodError: a loss stopped being a number.
    """
    loop = loop or Loop()
    if not stages:
        raise InvalidConfig("Nothing to train: the method has no stages")
    orders = []
    earlier: dict[str, int] = {}
    for stage in stages:
        own = dataclasses.replace(
            loop,
            ema=loop.ema if loop.ema is not None else stage.ema,
            anneal=loop.anneal or stage.anneal,
            clip=loop.clip if loop.clip is not None else stage.clip,
        )
        order = _Order(out / stage.name, stage.steps, out / f"{stage.name}.safetensors", own, dict(earlier), asked)
        if loop.resume:
            order.check()
        orders.append(order)
        earlier[stage.name] = stage.steps
    begun = False
    for stage, order in zip(stages, orders, strict=True):
        if loop.resume and order.finished():
            continue
        run = _Run(stage.build(out), order)
        if not run.finished and not begun:
            begun = True
            if run.accelerator.is_main_process:
                if not loop.resume:  # a kill must not leave later stages of the training before
                    for later in orders:
                        later.clear()
                begin()
        _train(run)
    if notes and int(os.environ.get("RANK") or 0) == 0:
        add_metadata(orders[-1].export, notes)
    return orders[-1].export


def train(recipe: Recipe, out: Path, steps: int, loop: Loop | None = None, export: Path | None = None) -> Path:
    """Run `recipe` for `steps` steps in the folder `out`, from its last checkpoint if there is one.

    Writes `checkpoint.pt`, `log.jsonl`, `samples/<step>.png` under `out`, and at the end the safetensors at `export`
    (`out/<name>.safetensors` by default).

    Raises:
        InvalidConfig: the checkpoint in `out` belongs to another configuration, or has more steps.
        MethodError: a loss stopped being a number.
    """
    order = _Order(out, steps, export or out / f"{recipe.name}.safetensors", loop or Loop())
    return _train(_Run(recipe, order))


def _train(run: _Run) -> Path:
    recipe, loop, start, steps = run.recipe, run.loop, run.start, run.steps
    if run.finished:
        return run.order.export
    readers = _readers(recipe.loaders, run.accelerator.device)
    run.show(start)
    with _isolated_rng(run.accelerator.device), readers as pool:
        todo = iter(range(start, steps))
        upcoming = deque(pool.submit(run.batch, step) for step in itertools.islice(todo, recipe.loaders))
        for step in range(start, steps):
            batch = upcoming.popleft().result()
            upcoming.extend(pool.submit(run.batch, later) for later in itertools.islice(todo, 1))
            losses = run.step(step, batch)
            done = step + 1
            run.show(done, losses)
            if done % loop.log_every == 0 or done == steps:
                run.log(done, losses)
            if done % loop.sample_every == 0 or done == steps:
                run.sample(done)
            if done % loop.checkpoint_every == 0 or done == steps:
                run.checkpoint(done)
    if run.accelerator.is_main_process:
        with run.average():
            recipe.export(run.order.export)
    run.accelerator.wait_for_everyone()
    return run.order.export


@dataclass(frozen=True)
class _Order:
    """What one training is asked to do, and where; known before its recipe is built."""

    out: Path
    steps: int
    export: Path
    loop: Loop
    earlier: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Steps of the stages before it, on whose weights it builds."""
    asked: Mapping[str, Any] | None = None

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def text(self) -> str | None:
        """All that decides the weights, as far as it is known without the recipe."""
        if self.asked is None:
            return None
        # Of the moment alone, or without influence on weights.
        free = {"device", "log_every", "sample_every", "checkpoint_every", "resume", "progress"}
        loop = {name: value for name, value in vars(self.loop).items() if name not in free}
        processes = int(os.environ.get("WORLD_SIZE") or 1)
        every = {"asked": self.asked, "loop": loop, "steps": self.steps, "steps_before": self.earlier, "of": processes}
        return json.dumps(every, sort_keys=True, default=str)

    def finished(self) -> bool:
        """Whether the export is what was asked for, in the same words."""
        text = self.text()
        if text is None or not (self.export.is_file() and self.checkpoint.is_file()):
            return False
        state = load_state(self.checkpoint)
        return int(state["step"]) == self.steps and state.get("asked") == text

    def check(self) -> None:
        """Refuse what no recipe could continue.

        Raises:
            InvalidConfig: an export without its checkpoint; more steps than asked for; other stages before this one.
        """
        if not self.checkpoint.is_file():
            if self.export.is_file():
                raise InvalidConfig(
                    f"{self.export} lies there without {self.checkpoint}, so nothing tells how it was trained. Move it "
                    f"away, choose another folder (--out) or start anew (--no-resume)"
                )
            return
        state = load_state(self.checkpoint)
        self.check_steps(int(state["step"]))
        there = json.loads(state["description"]).get("steps_before", {})
        if there != self.earlier:
            raise _refused(self.checkpoint, {"steps_before": there}, {"steps_before": dict(self.earlier)})

    def clear(self) -> None:
        """Remove what a training could be continued from, and what it made."""
        for path in (self.export, self.checkpoint, self.out / "log.jsonl"):
            path.unlink(missing_ok=True)

    def check_steps(self, step: int) -> None:
        if step > self.steps:
            raise InvalidConfig(
                f"{self.checkpoint} already has {step} steps, expected at most {self.steps}. "
                f"Choose another folder (--out) or start anew (--no-resume)"
            )


class _Run:
    """The state of one running training, taken up from its checkpoint.

    Raises:
        InvalidConfig: as `train`.
    """

    def __init__(self, recipe: Recipe, order: _Order) -> None:
        if order.steps < 1:
            raise InvalidConfig(f"{recipe.name}: steps must be at least 1, got {order.steps}")
        self.recipe, self.order, self.out, self.loop, self.steps = recipe, order, order.out, order.loop, order.steps
        self.accelerator = _accelerator(self.loop)
        self.began = time.monotonic()
        self.about = ""
        """Losses, as text."""
        self.modules = recipe.modules()
        for module in (*self.modules.values(), *recipe.carried()):
            # Convolutions of the small presets run about twice as fast in this layout on CPUs.
            module.to(self.accelerator.device, memory_format=torch.channels_last)
        self.optimisers = {
            name: self.accelerator.prepare_optimizer(optimiser) for name, optimiser in recipe.optimisers().items()
        }
        self.rates = {name: [g["lr"] for g in o.param_groups] for name, o in self.optimisers.items()}
        self.ema = (
            ExponentialAverage(recipe.averaged(), self.loop.ema, recipe.averages_statistics)
            if self.loop.ema is not None
            else None
        )
        self.out.mkdir(parents=True, exist_ok=True)
        self.start = self.restore() if self.loop.resume else 0
        self.finished = self.start == self.steps and order.export.is_file()
        # All processes have read what lies there before one of them writes.
        self.accelerator.wait_for_everyone()
        if not self.loop.resume and self.accelerator.is_main_process:
            order.clear()

    def batch(self, step: int) -> dict[str, Tensor]:
        batch = self.recipe.batch(np.random.default_rng([self.loop.seed, step, self.accelerator.process_index]))
        if self.accelerator.device.type == "cuda":  # a copy from pinned memory need not be waited for
            batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
        return batch

    def step(self, step: int, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        torch.manual_seed(derive_seed("step", self.loop.seed, step, self.accelerator.process_index))
        part = self.recipe.pace(step)
        if self.loop.anneal:
            part *= (1 + math.cos(math.pi * step / self.steps)) / 2
        for name, optimiser in self.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * part
        device = self.accelerator.device
        with self.accelerator.autocast():
            losses = self.recipe.step({k: v.to(device, non_blocking=True) for k, v in batch.items()}, self.update)
        if self.ema is not None:
            self.ema.update()
        return {name: loss.detach() for name, loss in losses.items()}

    def update(self, name: str, loss: Tensor) -> None:
        optimiser = self.optimisers[name]
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        optimiser.zero_grad()
        # Gradients are averaged here rather than by wrapping modules: adversaries pass through each other's networks.
        with torch.autocast(self.accelerator.device.type, enabled=False):
            self.accelerator.backward(loss)
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.accelerator.num_processes > 1:
            flat = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))
        if self.loop.clip is not None:
            self.accelerator.unscale_gradients(optimiser)
            nn.utils.clip_grad_norm_(parameters, self.loop.clip)
        optimiser.step()
        # Casts made before the step would otherwise serve the forward passes after it.
        torch.clear_autocast_cache()

    def log(self, step: int, losses: Mapping[str, Tensor]) -> None:
        values = {name: float(loss) for name, loss in losses.items()}
        self.check(step, values)
        self.write({"step": step, "seconds": round(time.monotonic() - self.began, 2), **_rounded(values)})

    def check(self, step: int, values: Mapping[str, float]) -> None:
        bad = [name for name, value in values.items() if not np.isfinite(value)]
        if bad:
            raise MethodError(
                f"{self.recipe.name} diverged: {', '.join(bad)} is not a finite number at step {step}. "
                f"{self.out} keeps the last good checkpoint; resume with a smaller learning rate or gradient clipping"
            )

    def write(self, record: Mapping[str, Any]) -> None:
        if self.accelerator.is_main_process:
            path = self.out / "log.jsonl"
            with naming(path), path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    @torch.no_grad()
    def sample(self, step: int) -> None:
        if not self.accelerator.is_main_process:
            return
        modes = [(part, part.training) for module in self.modules.values() for part in module.modules()]
        for module in self.modules.values():
            module.eval()
        with self.average():
            images = self.recipe.sample_images()
            measures = self.recipe.validate()
        for part, mode in modes:
            part.training = mode
        if images is not None:
            sheet = Image.fromarray(contact_sheet(images))
            write_whole(self.out / "samples" / f"{step:06d}.png", sheet.save)
        if measures:
            self.write({"step": step, "validation": _rounded(measures)})

    def average(self) -> AbstractContextManager[None]:
        return self.ema.applied() if self.ema is not None else nullcontext()

    def checkpoint(self, step: int) -> None:
        for name, module in self.modules.items():
            if not all(torch.isfinite(p).all() for p in module.parameters()):
                self.check(step, {f"a weight of {name}": float("nan")})
        if not self.accelerator.is_main_process:
            return
        if step == self.steps:
            # An export beside a checkpoint of all steps was made from it, even where a kill comes between.
            self.order.export.unlink(missing_ok=True)
        state = {
            "step": step,
            "description": self.described(),
            "asked": self.order.text(),
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else None,
            "ema": self.ema.state() if self.ema is not None else None,
        }
        save_state(self.order.checkpoint, state)

    def restore(self) -> int:
        """Take up the last checkpoint; 0 where there is none."""
        path = self.order.checkpoint
        if not path.is_file():
            return 0
        state = load_state(path)
        if state["description"] != self.described():
            raise _refused(path, json.loads(state["description"]), json.loads(self.described()))
        self.order.check_steps(int(state["step"]))
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.restore(state["ema"])
        self.forget_after(int(state["step"]))
        return int(state["step"])

    def forget_after(self, step: int) -> None:
        """Drop log lines of steps that will be run again."""
        log = self.out / "log.jsonl"
        if log.is_file() and self.accelerator.is_main_process:
            lines = log.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
            text = "".join(f"{line}\n" for line in kept)
            write_whole(log, lambda partial: partial.write_text(text, encoding="utf-8"))

    def described(self) -> str:
        """What must agree between a checkpoint and the run that resumes it, as text."""
        loop: dict[str, Any] = {
            "seed": self.loop.seed,
            "precision": self.loop.precision,
            "ema": self.loop.ema,
            "clip": self.loop.clip,
        }
        if self.loop.anneal:
            loop["anneal"] = self.steps
        if self.order.earlier:
            loop["steps_before"] = dict(self.order.earlier)
        processes = self.accelerator.num_processes
        return json.dumps(
            {"recipe": self.recipe.name, **self.recipe.description(), **loop, "processes": processes},
            sort_keys=True,
            default=str,
        )

    def show(self, done: int, losses: Mapping[str, Tensor] | None = None) -> None:
        """Tell how far this training is; its losses as they were at the last multiple of `log_every`."""
        if not (self.loop.progress and self.accelerator.is_main_process):
            return
        if losses and done % self.loop.log_every == 0:  # to read a loss is to wait for the device
            self.about = " ".join(f"{name} {float(value):.3g}" for name, value in losses.items())
        self.loop.progress(self.order.export.stem, done, self.steps, self.about)


def _refused(checkpoint: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> InvalidConfig:
    one, two = _flat(there), _flat(here)
    differing = [
        f"{name} is {one.get(name, 'unset')} there, {two.get(name, 'unset')} here"
        for name in dict.fromkeys([*one, *two])
        if name not in one or name not in two or one[name] != two[name]
    ]
    return InvalidConfig(
        f"{checkpoint} was made with another configuration or seed: {'; '.join(differing)}. "
        f"Choose another folder (--out) or start anew (--no-resume)"
    )


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with dots in its keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _readers(count: int, device: torch.device) -> ThreadPoolExecutor:
    """Threads that pin memory for the GPU of this process: a new thread would do so for the first GPU."""
    if device.type != "cuda":
        return ThreadPoolExecutor(count)
    return ThreadPoolExecutor(count, initializer=torch.cuda.set_device, initargs=(torch.cuda.current_device(),))


def _accelerator(loop: Loop) -> Accelerator:
    on_cpu = loop.device == "cpu"
    shared = AcceleratorState._shared_state
    if shared and shared.get("num_processes", 1) == 1:
        # accelerate keeps a process's first device and precision for good; two trainings in one process may differ.
        AcceleratorState._reset_state(True)
    if loop.device.startswith("cuda:"):
        torch.cuda.set_device(int(loop.device.removeprefix("cuda:")))
    return Accelerator(mixed_precision=loop.precision, cpu=on_cpu)


@contextmanager
def _isolated_rng(device: torch.device) -> Iterator[None]:
    """Leave the caller's random state as it was, on the CPU and on the training's own GPU."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


@contextmanager
def seeded(*parts: object) -> Iterator[None]:
    """Draw initial weights reproducibly, leaving the caller's random state as it was."""
    with torch.random.fork_rng([]):
        # torch.manual_seed would seed all GPUs too, and leave them so.
        torch.random.default_generator.manual_seed(derive_seed(*parts))
        yield


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """No gradients for these modules' parameters, though they pass through."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def without_steps(settings: Any) -> dict[str, Any]:
    """A training's settings without its lengths: a longer training may continue a shorter one."""
    return {name: value for name, value in dataclasses.asdict(settings).items() if not name.endswith("steps")}


def contact_sheet(images: np.ndarray) -> np.ndarray:
    """`[rows, columns, H, W, 3]` side by side: `[rows * H, columns * W, 3]`."""
    rows, columns, height, width, channels = images.shape
    return images.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in values.items()}
