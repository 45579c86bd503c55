"""The training loop: resume after a kill, moving averages, divergence, and both methods from files to weights."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baselines import identity_network
from baselines.checkpoints import export, load_state, read
from baselines.ema import ExponentialAverage
from baselines.people import load_people
from baselines.sf2f import training as sf2f_training
from baselines.sf2f.config import Config as SF2FConfig
from baselines.sf2f.method import SF2F
from baselines.training import Loop, Recipe, Update, contact_sheet, frozen, train, train_stages
from baselines.voice2face import training as voice2face_training
from baselines.voice2face.config import Config as Voice2FaceConfig
from benchmark.errors import InvalidConfig, MethodError, MissingDataset
from benchmark.types import Sample

QUIET = Loop(device="cpu", progress=False, log_every=1, sample_every=4, checkpoint_every=3)


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


def test_moving_average_follows_its_formula() -> None:
    layer = nn.BatchNorm1d(1)
    average = ExponentialAverage({"m": layer}, 0.5)
    expected, mean = 1.0, 0.0
    for step, value in enumerate((2.0, 3.0, 5.0)):
        layer.weight.data.fill_(value)
        layer.running_mean.fill_(value)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        mean = decay * mean + (1 - decay) * value
    with average.applied():
        assert float(layer.weight.detach()) == pytest.approx(expected)
        assert float(layer.running_mean) == pytest.approx(mean)
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


def test_people_are_grouped_and_bad_files_are_named(tiny_corpus, tmp_path: Path) -> None:
    samples = list(tiny_corpus.samples)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    lost = Sample("lost", "lost", samples[0].inputs, {"face": (broken,)})
    people = load_people([*samples, lost], lambda audio: torch.zeros(40, 10), 32)
    assert [person.id for person in people.persons] == sorted({sample.speaker for sample in samples})
    assert people.persons[0].faces.shape[1:] == (3, 32, 32)
    assert any("broken.png" in line for line in people.problems)
    assert any(line.startswith("lost: no usable face") for line in people.problems)
    with pytest.raises(MissingDataset, match="broken.png"):
        load_people([lost], lambda audio: torch.zeros(40, 10), 32)


TINY = {"steps": 3, "batch": 4}


def test_sf2f_trains_from_files_in_three_stages_and_generates(tiny_corpus, tmp_path: Path) -> None:
    config = SF2FConfig(width=0.05, shortest_s=0.1)
    table = {**TINY, "fuser_steps": 2, "identity_steps": 2, "identity_width": 0.1, "discriminator_width": 0.1}
    table |= {"perceptual_network": "identity", "crop_frames": [20, 30], "fuser_seconds": [2, 3]}
    samples = list(tiny_corpus.samples)
    stages = sf2f_training.recipes(config, table, samples[:8], samples[8:])
    assert [stage.name for stage in stages] == ["identity_network", "encoder_decoder", "fuser"]
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
    train_stages(sf2f_training.recipes(config, table, samples[:8], samples[8:]), tmp_path, QUIET)
    assert path.stat().st_mtime_ns == before


def test_ablations_change_the_stages(tiny_corpus) -> None:
    def names(config: SF2FConfig, **table: object) -> list[str]:
        return [stage.name for stage in sf2f_training.recipes(config, table, tiny_corpus.samples)]

    assert names(SF2FConfig(), perceptual=0) == ["encoder_decoder", "fuser"]
    assert names(SF2FConfig(fuser=False), perceptual_network="identity") == ["identity_network", "encoder_decoder"]
    stage = sf2f_training.recipes(SF2FConfig(width=0.05), {}, tiny_corpus.samples)[0]
    with pytest.raises(InvalidConfig, match="facenet140"):
        stage.build(Path())
    with pytest.raises(InvalidConfig, match="training split is empty"):
        sf2f_training.recipes(SF2FConfig(), {}, [])


def test_a_second_encoder_stands_between_where_it_is_asked_for(tiny_corpus, tmp_path: Path) -> None:
    config = SF2FConfig(width=0.05, shortest_s=0.1)
    table = {**TINY, "second_encoder_steps": 2, "fuser_steps": 2, "perceptual": 0, "discriminator_width": 0.1}
    table |= {"crop_frames": [20, 30], "fuser_seconds": [2, 3]}
    samples = list(tiny_corpus.samples)
    stages = sf2f_training.recipes(config, table, samples[:8], samples[8:])
    assert [stage.name for stage in stages] == ["encoder_decoder", "second_encoder", "fuser"]
    path = train_stages(stages, tmp_path, QUIET)
    before, last = read(tmp_path / "second_encoder.safetensors", "sf2f")[0], read(path, "sf2f")[0]
    assert all(torch.equal(before[name], last[name]) for name in before)
    first = read(tmp_path / "encoder_decoder.safetensors", "sf2f")[0]
    assert not any(torch.equal(first[name], before[name]) for name in before if name.endswith("convolution.weight"))


def test_voice2face_trains_from_files_in_two_stages(tiny_corpus, tmp_path: Path) -> None:
    config = Voice2FaceConfig(width=0.05, vad=False, shortest_s=0.1)
    table = {**TINY, "voice_steps": 2, "crop_frames": [20, 30], "critic_width": 0.1}
    samples = list(tiny_corpus.samples)
    path = train_stages(voice2face_training.recipes(config, table, samples[:8], samples[8:]), tmp_path, QUIET)
    voice, whole = read(tmp_path / "voice_encoder.safetensors", "v")[0], read(path, "v")[0]
    for name, tensor in voice.items():
        torch.testing.assert_close(whole[f"encoder.{name}"], tensor, rtol=1e-3, atol=1e-3)


def test_the_identity_network_tells_colours_apart(tiny_corpus, tmp_path: Path) -> None:
    config = identity_network.Config(width=0.25)
    stages = identity_network.recipes(config, {"steps": 150, "batch": 12, "learning_rate": 3e-3}, tiny_corpus.samples)
    path = train_stages(stages, tmp_path, QUIET)
    assert logged(tmp_path / "identity_network")[-1]["accuracy"] >= 0.5  # type: ignore[operator]
    network = identity_network.load_identity_network(path)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = network.features(x)
    assert [tuple(f.shape[1:]) for f in features] == [(16, 16, 16), (32, 8, 8), (64, 4, 4), (128,)]
    torch.testing.assert_close(features[-1].norm(dim=1), torch.ones(2))
    assert network.features(torch.rand(1, 3, 128, 128))[0].shape == (1, 16, 16, 16)
