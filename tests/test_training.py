"""The training loop: resume after a kill, moving averages, divergence, and both methods from files to weights."""

import dataclasses
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines import training
from baselines.checkpoints import export, load_state, read
from baselines.ema import ExponentialAverage
from baselines.people import load_people
from baselines.sf2f import training as sf2f_training
from baselines.sf2f.config import Config as SF2FConfig
from baselines.sf2f.method import SF2F
from baselines.training import Loop, Recipe, Stage, Update, contact_sheet, frozen, train, train_stages
from baselines.voice2face import training as voice2face_training
from baselines.voice2face.config import Config as Voice2FaceConfig
from benchmark.configuration import Settings
from benchmark.datasets.manifest import Manifest
from benchmark.errors import InvalidConfig, MethodError, MissingDataset, PrerequisiteError, UsageError
from benchmark.training import TrainingPlan
from benchmark.types import Audio, Sample, derive_seed
from benchmark.weights.networks import Networks

QUIET = Loop(device="cpu", log_every=1, sample_every=4, checkpoint_every=3)


@pytest.fixture(autouse=True, scope="module")
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Killed(Exception):
    pass


class Toy(Recipe):
    """Two optimisers, dropout and batch normalisation: everything that has a state to lose."""

    name = "toy"

    def __init__(self, kill_at: int | None = None, poison_at: int | None = None) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
            self.critic = nn.Linear(2, 1)
        self.first = torch.optim.Adam(self.network.parameters(), lr=0.01)
        self.second = torch.optim.Adam(self.critic.parameters(), lr=0.01)
        self.kill_at, self.poison_at, self.calls = kill_at, poison_at, 0

    def modules(self) -> Mapping[str, nn.Module]:
        return {"network": self.network, "critic": self.critic}

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"network": self.first, "critic": self.second}

    def averaged(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return {"x": torch.from_numpy(rng.standard_normal((6, 4), dtype=np.float32))}

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        if self.calls == self.kill_at:
            raise Killed
        self.network.train()
        made = self.network(batch["x"])
        critic = (self.critic(made.detach()) - 1).square().mean()
        update("critic", critic)
        with frozen(self.critic):
            loss = self.critic(made).square().mean() + made.square().mean()
            if self.calls == self.poison_at:
                loss = loss * float("nan")
            update("network", loss)
        self.calls += 1
        return {"loss": loss, "critic": critic}

    def validate(self) -> dict[str, float]:
        assert not self.network.training
        return {"norm": float(self.network(torch.ones(1, 4)).norm())}

    def sample_images(self) -> np.ndarray:
        return np.zeros((2, 3, 4, 5, 3), np.uint8)

    def export(self, path: Path) -> Path:
        return export(path, self.network.state_dict(), {}, half=False)


def logged(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


@pytest.mark.parametrize(("ema", "anneal"), [(None, False), (0.9, False), (0.9, True)])
def test_a_killed_training_ends_like_one_that_was_not(tmp_path: Path, ema: float | None, anneal: bool) -> None:
    loop = Loop(**{**QUIET.__dict__, "ema": ema, "clip": 1.0, "anneal": anneal})
    whole = train(Toy(), tmp_path / "whole", 11, loop)
    with pytest.raises(Killed):
        train(Toy(kill_at=8), tmp_path / "killed", 11, loop)
    assert load_state(tmp_path / "killed" / "checkpoint.pt")["step"] == 6
    resumed = train(Toy(), tmp_path / "killed", 11, loop)
    one, two = read(whole, "toy")[0], read(resumed, "toy")[0]
    assert set(one) == set(two)
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=0)
    assert logged(tmp_path / "whole") == logged(tmp_path / "killed")
    assert [row["step"] for row in logged(tmp_path / "whole") if "loss" in row] == list(range(1, 12))


def test_every_step_is_told_with_the_losses_of_the_last_logged_one(tmp_path: Path) -> None:
    told: list[tuple[str, int, int, str]] = []
    loop = Loop(**{**QUIET.__dict__, "log_every": 2, "progress": lambda *words: told.append(words)})
    train_stages(toy_stages(5)[:1], tmp_path, loop, {"of": 1})
    assert [words[:3] for words in told] == [("one", done, 5) for done in range(6)]
    losses = [
        f"loss {line['loss']:.3g} critic {line['critic']:.3g}" for line in logged(tmp_path / "one") if "loss" in line
    ]
    assert [words[3] for words in told] == ["", "", losses[0], losses[0], losses[1], losses[1]]
    train_stages(toy_stages(5)[:1], tmp_path, loop, {"of": 1})
    assert len(told) == 6, "a finished training has nothing to tell"


def test_annealed_rates_follow_half_a_cosine(tmp_path: Path) -> None:
    rates = []

    class Watched(Toy):
        def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
            rates.append((self.first.param_groups[0]["lr"], self.second.param_groups[0]["lr"]))
            return super().step(batch, update)

    train(Watched(), tmp_path, 4, Loop(**{**QUIET.__dict__, "anneal": True}))
    for step, pair in enumerate(rates):
        assert pair == pytest.approx((0.01 * np.cos(np.pi * step / 8) ** 2,) * 2)
    with pytest.raises(InvalidConfig, match="another configuration"):
        train(Toy(), tmp_path, 8, Loop(**{**QUIET.__dict__, "anneal": True}))


def test_the_seed_decides_and_the_callers_random_state_does_not(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()
    a = read(train(Toy(), tmp_path / "a", 4, QUIET), "toy")[0]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    torch.rand(3)
    b = read(train(Toy(), tmp_path / "b", 4, QUIET), "toy")[0]
    c = read(train(Toy(), tmp_path / "c", 4, Loop(**{**QUIET.__dict__, "seed": 1})), "toy")[0]
    assert torch.equal(a["0.weight"], b["0.weight"])
    assert not torch.equal(a["0.weight"], c["0.weight"])


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    train(Toy(), tmp_path, 3, QUIET)
    with pytest.raises(InvalidConfig, match="another configuration or seed"):
        train(Toy(), tmp_path, 6, Loop(**{**QUIET.__dict__, "seed": 5}))
    train(Toy(), tmp_path, 6, Loop(**{**QUIET.__dict__, "seed": 5, "resume": False}))


# ---- finished stages


def toy_stages(first: int = 3, second: int = 3, built: list[str] | None = None, **kwargs: int) -> list[Stage]:
    """Two stages; names of those that are built go into `built`."""

    def build(name: str, **own: int) -> Callable[[Path], Recipe]:
        def make(folder: Path) -> Recipe:
            (built if built is not None else []).append(name)
            return Toy(**own)

        return make

    return [Stage("one", first, build("one")), Stage("two", second, build("two", **kwargs))]


def exports(folder: Path) -> dict[str, tuple[int, dict[str, Tensor]]]:
    return {p.name: (p.stat().st_mtime_ns, read(p, "toy")[0]) for p in folder.glob("*.safetensors")}


def test_finished_stages_are_skipped_unbuilt_where_the_same_is_asked_for(tmp_path: Path) -> None:
    built: list[str] = []
    begun: list[int] = []
    train_stages(toy_stages(built=built), tmp_path, QUIET, {"batch": 4}, lambda: begun.append(len(built)))
    assert (built, begun) == (["one", "two"], [1])
    before = exports(tmp_path)
    path = train_stages(toy_stages(built=built), tmp_path, QUIET, {"batch": 4}, lambda: begun.append(0))
    assert (built, begun, path) == (["one", "two"], [1], tmp_path / "two.safetensors")
    # In other words the same: built to compare descriptions, and left alone.
    train_stages(toy_stages(built=built), tmp_path, QUIET, {"batch": 4, "memory": 1}, lambda: begun.append(0))
    train_stages(toy_stages(), tmp_path, QUIET)
    assert (built, begun) == (["one", "two"] * 2, [1])
    assert {n: time for n, (time, _) in exports(tmp_path).items()} == {n: time for n, (time, _) in before.items()}


@pytest.mark.parametrize("asked", [None, {"batch": 4}])
def test_a_finished_training_is_not_taken_for_another(tmp_path: Path, asked: dict[str, int] | None) -> None:
    train_stages(toy_stages(), tmp_path, QUIET, asked)
    before, begun = exports(tmp_path), []

    def refused(stages: list[Stage], message: str, **loop: object) -> None:
        with pytest.raises(InvalidConfig, match=message):
            train_stages(stages, tmp_path, dataclasses.replace(QUIET, **loop), asked, lambda: begun.append(1))  # type: ignore[arg-type]

    refused(toy_stages(), "seed is 0 there, 5 here.*--out.*--no-resume", seed=5)
    refused(toy_stages(), "clip is None there, 1.0 here", clip=1.0)
    refused(toy_stages(second=2), "already has 3 steps, expected at most 2.*--out")
    refused(toy_stages(first=5), "two.*steps_before.one is 3 there, 5 here")
    refused(toy_stages()[1:], "steps_before.one is 3 there, unset here")
    assert not begun
    assert {n: time for n, (time, _) in exports(tmp_path).items()} == {n: time for n, (time, _) in before.items()}
    train_stages(toy_stages(), tmp_path, dataclasses.replace(QUIET, seed=5, resume=False), asked)
    assert not torch.equal(
        exports(tmp_path)["one.safetensors"][1]["0.weight"], before["one.safetensors"][1]["0.weight"]
    )


def test_more_steps_continue_a_finished_stage(tmp_path: Path) -> None:
    train_stages(toy_stages(), tmp_path / "short", QUIET)
    train_stages(toy_stages(second=7), tmp_path / "short", QUIET)
    train_stages(toy_stages(second=7), tmp_path / "long", QUIET)
    short, long = exports(tmp_path / "short"), exports(tmp_path / "long")
    assert all(torch.equal(short["two.safetensors"][1][n], t) for n, t in long["two.safetensors"][1].items())
    steps = [row["step"] for row in logged(tmp_path / "short" / "two") if "loss" in row]
    assert steps == list(range(1, 8))


def test_an_export_without_its_checkpoint_is_not_built_on(tmp_path: Path) -> None:
    train_stages(toy_stages(), tmp_path, QUIET)
    (tmp_path / "one" / "checkpoint.pt").unlink()
    with pytest.raises(InvalidConfig, match="one.safetensors lies there without"):
        train_stages(toy_stages(), tmp_path, QUIET)


def test_a_training_begun_anew_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    train_stages(toy_stages(), tmp_path, QUIET)
    with pytest.raises(Killed):
        train_stages(toy_stages(kill_at=1), tmp_path, dataclasses.replace(QUIET, resume=False, seed=5))
    assert [p.name for p in tmp_path.glob("*.safetensors")] == ["one.safetensors"]
    train_stages(toy_stages(), tmp_path, dataclasses.replace(QUIET, seed=5))
    train_stages(toy_stages(), tmp_path / "straight", dataclasses.replace(QUIET, seed=5))
    for name, (_, tensors) in exports(tmp_path / "straight").items():
        assert all(torch.equal(exports(tmp_path)[name][1][n], t) for n, t in tensors.items())
    assert [row["step"] for row in logged(tmp_path / "one") if "loss" in row] == [1, 2, 3]


def test_an_export_beside_a_checkpoint_of_all_steps_was_made_from_it(tmp_path: Path) -> None:
    """Killed between the last checkpoint and the export, after a shorter training."""
    train_stages(toy_stages()[:1], tmp_path, QUIET, {})
    short = exports(tmp_path)["one.safetensors"][1]

    class Unexported(Toy):
        def export(self, path: Path) -> Path:
            raise Killed

    with pytest.raises(Killed):
        train_stages([Stage("one", 5, lambda folder: Unexported())], tmp_path, QUIET, {})
    train_stages(toy_stages(first=5)[:1], tmp_path, QUIET, {})
    assert not torch.equal(exports(tmp_path)["one.safetensors"][1]["0.weight"], short["0.weight"])


def plan(manifest: Manifest, out: Path, method: str = "toy", steps: int = 3) -> TrainingPlan:
    settings = Settings(None, SF2FConfig(), None, {"steps": steps})
    return TrainingPlan(method, settings, manifest, None, out, toy_stages(steps)[:1])


def test_the_record_of_a_training_tells_what_was_trained(tiny_corpus: Manifest, tmp_path: Path) -> None:
    how = {"device": "cpu", "precision": "no", "resume": True}
    out = tmp_path / "out"
    plan(tiny_corpus, out).train(seed=0, **how)
    record = (out / "training.json").read_bytes()
    assert {**json.loads(record), "provenance": None} == {
        **plan(tiny_corpus, out).describe(),
        "seed": 0,
        "precision": "no",
        "provenance": None,
    }
    plan(tiny_corpus, out).train(seed=0, **how)
    for other, seed, message in (
        (plan(tiny_corpus, out), 1, "seed is 0 there, 1 here"),
        (plan(tiny_corpus, out, steps=2), 0, "already has 3 steps"),
        (plan(tiny_corpus, out, method="other"), 0, "method is toy there, other here"),
        (plan(dataclasses.replace(tiny_corpus, sha256="0f"), out), 0, "manifest_sha256 is .* there, 0f here"),
    ):
        with pytest.raises(InvalidConfig, match=message):
            other.train(seed=seed, **how)
        assert (out / "training.json").read_bytes() == record
    plan(tiny_corpus, out, steps=4).train(seed=0, **how)
    assert json.loads((out / "training.json").read_bytes())["stages"] == {"one": 4}
    (out / "training.json").write_text("[]")
    with pytest.raises(InvalidConfig, match="training.json is not a training's"):
        plan(tiny_corpus, out, steps=4).train(seed=0, **how)
    plan(tiny_corpus, out, "other").train(seed=1, **{**how, "resume": False})
    assert json.loads((out / "training.json").read_bytes())["method"] == "other"


@pytest.mark.parametrize(
    ("device", "error", "message"),
    [
        ("banana", UsageError, "takes auto, cpu, cuda or cuda:N; got 'banana'"),
        ("cuda", PrerequisiteError, "sees no CUDA device"),
        ("cuda:1", PrerequisiteError, "sees no CUDA device"),
    ],
)
def test_a_device_that_is_not_there_is_an_error(
    tiny_corpus: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, error: type, message: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(error, match=message):
        plan(tiny_corpus, tmp_path / "out").train(seed=0, device=device, precision="no", resume=True)
    assert not (tmp_path / "out").exists()


def test_a_numbered_gpu_becomes_the_current_one_before_accelerate_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(torch.cuda, "set_device", calls.append)
    monkeypatch.setattr(training, "Accelerator", lambda **options: calls.append(options))
    for device in ("cuda:1", "cuda", "auto"):
        training._accelerator(Loop(device=device))
    found = {"mixed_precision": "no", "cpu": False}
    assert calls == [1, found, found, found]


def test_threads_pin_memory_for_the_gpu_of_their_process(monkeypatch: pytest.MonkeyPatch) -> None:
    current = threading.local()
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: setattr(current, "device", number))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: getattr(current, "device", 0))
    torch.cuda.set_device(3)
    for device, expected in (("cuda", 3), ("cpu", 0)):
        with training._readers(2, torch.device(device)) as pool:
            assert pool.submit(torch.cuda.current_device).result() == expected


def test_initial_weights_leave_gpus_random_state_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    reseeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded.append)
    before = torch.random.get_rng_state()
    with training.seeded("toy", 1):
        drawn = torch.rand(4)
    assert torch.equal(drawn, torch.rand(4, generator=torch.Generator().manual_seed(derive_seed("toy", 1))))
    assert torch.equal(torch.random.get_rng_state(), before) and not reseeded


def test_divergence_is_reported_and_never_saved(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="step 5"):
        train(Toy(poison_at=4), tmp_path, 9, QUIET)
    state = load_state(tmp_path / "checkpoint.pt")
    assert state["step"] == 3
    assert all(torch.isfinite(t).all() for t in state["modules"]["network"].values())


def test_samples_are_written_as_one_sheet(tmp_path: Path) -> None:
    train(Toy(), tmp_path, 8, QUIET)
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["000004.png", "000008.png"]
    tiles = np.arange(2 * 3 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 3, 2, 2, 3)
    sheet = contact_sheet(tiles)
    assert sheet.shape == (4, 6, 3)
    np.testing.assert_array_equal(sheet[2:4, 4:6], tiles[1, 2])


@pytest.mark.parametrize("statistics", [False, True])
def test_moving_average_follows_its_formula(statistics: bool) -> None:
    """That of torch_ema, of which the first decay is 2 / 11; it follows parameters alone."""
    layer = nn.BatchNorm1d(1)
    average = ExponentialAverage({"m": layer}, 0.2, statistics)
    expected, mean = 1.0, 0.0
    for step, value in enumerate((2.0, 3.0, 5.0), start=1):
        layer.weight.data.fill_(value)
        layer.running_mean.fill_(value)
        average.update()
        decay = min(0.2, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        mean = decay * mean + (1 - decay) * value
    with average.applied():
        assert float(layer.weight.detach()) == pytest.approx(expected)
        assert float(layer.running_mean) == pytest.approx(mean if statistics else 5)
    assert float(layer.weight.detach()) == 5


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_clipping_bounds_the_step(tmp_path: Path, precision: str) -> None:
    class Steep(Toy):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.optim.SGD(self.network.parameters(), lr=1.0)

        def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
            loss = 1000 * self.network(batch["x"]).sum()
            update("network", loss)
            return {"loss": loss}

    recipe = Steep()
    before = torch.cat([p.detach().flatten().clone() for p in recipe.network.parameters()])
    train(recipe, tmp_path, 1, Loop(**{**QUIET.__dict__, "clip": 0.25, "precision": precision}))
    after = torch.cat([p.detach().flatten() for p in recipe.network.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.25, rel=1e-3)


# ---- from files to weights


@dataclasses.dataclass(frozen=True)
class Silence:
    """A front-end that hears nothing in ten frames."""

    def __call__(self, audio: Audio) -> torch.Tensor:
        return torch.zeros(40, 10)


def test_people_are_grouped_and_bad_files_are_named(tiny_corpus, tmp_path: Path) -> None:
    samples = list(tiny_corpus.samples)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    lost = Sample("lost", "lost", samples[0].inputs, {"face": (broken,)})
    people = load_people([*samples, lost], Silence(), 32)
    assert [person.id for person in people.persons] == sorted({sample.speaker for sample in samples})
    assert people.persons[0].faces.shape[1:] == (3, 32, 32)
    assert any("broken.png" in line for line in people.problems)
    assert any(line.startswith("lost: no usable face") for line in people.problems)
    with pytest.raises(MissingDataset, match="broken.png"):
        load_people([lost], Silence(), 32)


TINY = {"steps": 3, "batch": 4}


def test_sf2f_trains_from_files_in_three_stages_and_generates(tiny_corpus, tmp_path: Path) -> None:
    config = SF2FConfig(width=0.05, shortest_s=0.1, linear_start=4)
    table = {**TINY, "fuser_steps": 2, "voice_encoder_steps": 2, "voice_encoder_batch": 4, "discriminator_width": 0.1}
    table |= {"perceptual_network": "dlib", "descriptor": 1.0, "crop_frames": [20, 30], "fuser_seconds": [2, 3]}
    samples = list(tiny_corpus.samples)
    stages = sf2f_training.recipes(config, table, samples[:8], samples[8:], Networks())
    assert [stage.name for stage in stages] == ["voice_encoder", "encoder_decoder", "fuser"]
    path = train_stages(stages, tmp_path, QUIET)
    assert path == tmp_path / "fuser.safetensors"
    # The frozen parts went through stage 2 unchanged.
    first, last = read(tmp_path / "encoder_decoder.safetensors", "sf2f")[0], read(path, "sf2f")[0]
    assert {name for name in last if name not in first} == {
        "fuser.query.weight",
        "fuser.output.weight",
        "fuser.output.bias",
    }
    assert all(torch.equal(first[name], last[name]) for name in first)
    method = SF2F(config, path)
    method.load("cpu")
    sample = samples[9]
    from benchmark.media import read_audio
    from benchmark.types import Example

    (face,) = method.generate([Example(sample, 0, 1, {"speech": read_audio(sample.inputs["speech"][0])})])
    assert isinstance(face, np.ndarray)
    # A second call finds everything done and trains nothing.
    before = path.stat().st_mtime_ns
    train_stages(sf2f_training.recipes(config, table, samples[:8], samples[8:], Networks()), tmp_path, QUIET)
    assert path.stat().st_mtime_ns == before


def test_ablations_change_the_stages(tiny_corpus) -> None:
    def names(config: SF2FConfig, **table: object) -> list[str]:
        return [stage.name for stage in sf2f_training.recipes(config, table, tiny_corpus.samples)]

    assert names(SF2FConfig(), perceptual=0) == ["encoder_decoder", "fuser"]
    assert names(SF2FConfig(fuser=False), voice_encoder_steps=3) == ["voice_encoder", "encoder_decoder"]
    stage = sf2f_training.recipes(SF2FConfig(width=0.05), {}, tiny_corpus.samples)[0]
    with pytest.raises(InvalidConfig, match="facenet140"):
        stage.build(Path())
    with pytest.raises(MissingDataset, match="None of 0 training speakers"):
        sf2f_training.recipes(SF2FConfig(), {}, [])[0].build(Path())


def test_voice2face_trains_from_files_in_two_stages(tiny_corpus, tmp_path: Path) -> None:
    config = Voice2FaceConfig(width=0.05, vad=False, shortest_s=0.1)
    table = {**TINY, "voice_steps": 2, "crop_frames": [20, 30], "critic_width": 0.1}
    samples = list(tiny_corpus.samples)
    path = train_stages(voice2face_training.recipes(config, table, samples[:8], samples[8:]), tmp_path, QUIET)
    voice, whole = read(tmp_path / "voice_encoder.safetensors", "v")[0], read(path, "v")[0]
    for name, tensor in voice.items():
        torch.testing.assert_close(whole[f"encoder.{name}"], tensor, rtol=1e-3, atol=1e-3)
