"""Training of FlowAVSE and AVDiffuSS: losses against their formulas, who learns from which, resuming, the export."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from test_flowavse_clips import film, record
from torch import Tensor, nn

from baselines.avdiffuss import training as avdiffuss
from baselines.avdiffuss.config import Config as DiffusionConfig
from baselines.avdiffuss.method import AVDiffuSS
from baselines.avdiffuss.training import AVDiffuSSRecipe
from baselines.checkpoints import export, load_state, read
from baselines.flowavse import training as flowavse
from baselines.flowavse import visual_training
from baselines.flowavse.clips import Clips
from baselines.flowavse.config import Config, EnhancerConfig, Training
from baselines.flowavse.method import FlowAVSE
from baselines.flowavse.network import FlowAVSENetwork, Seen
from baselines.flowavse.spectrogram import spectrogram
from baselines.flowavse.training import EnhancerRecipe, FlowAVSERecipe, squared_norm
from baselines.flowavse.visual_training import BANDS, VisualEncoderRecipe, band_energies
from baselines.settings import options
from baselines.training import Loop, Update, train, train_stages
from benchmark.errors import InvalidConfig, MissingDataset, MissingWeights
from benchmark.types import Audio, Example, FaceVideo, Sample

TINY = {"size": "small", "width": 0.03}
QUIET = Loop(device="cpu", log_every=1, sample_every=4, checkpoint_every=3)
BOTH = pytest.mark.parametrize(("recipe", "config"), [(FlowAVSERecipe, Config), (AVDiffuSSRecipe, DiffusionConfig)])


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Four people who say noise of changing loudness."""
    folder, random = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
    samples = []
    for number in range(4):
        loudness = np.abs(np.sin(np.arange(16_000) / (500 + 300 * number)))
        speech = record(folder / f"{number}.wav", 0.1 * random.standard_normal(16_000) * loudness)
        video = film(folder / f"{number}.mkv", 25)
        samples.append(Sample(f"s{number}", f"p{number}", {"video": (video,)}, {"speech": (speech,)}))
    return samples


def settings(**fields: object) -> Training:
    return Training(**{"frames": 32, "batch": 2, "learning_rate": 1e-3, **fields})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def few_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flowavse, "VALIDATION", 4)
    monkeypatch.setattr(visual_training, "VALIDATION", 4)


class Ideal(nn.Module):
    """In the network's place: a first stage with a fixed answer, a second one that is given as a function."""

    def __init__(self, estimate: Tensor | None = None, refine=None) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.estimate, self.answer = estimate, refine
        self.weight = nn.Parameter(torch.zeros(()))

    def see(self, video: Tensor) -> Seen:
        return Seen(video, video)

    def predict(self, noisy: Tensor, seen: Seen) -> Tensor:
        assert self.estimate is not None
        return self.estimate

    def refine(self, state: Tensor, estimate: Tensor, time: Tensor, seen: Seen) -> Tensor:
        return self.answer(state, estimate, time)


def made(kind: type[EnhancerRecipe], config: EnhancerConfig, people: list[Sample], **fields: object) -> EnhancerRecipe:
    return kind(config, settings(**fields), people, people[:2])


def losses(recipe: EnhancerRecipe, batch: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Of one step that changes nothing, gradients attached."""
    batch = batch or recipe.batch(np.random.default_rng(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return recipe.step(batch, lambda name, loss: None)


# ---- losses


def test_the_squared_norm_is_summed_over_bins_and_averaged_over_clips() -> None:
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 5))
    expected = np.mean([np.linalg.norm(item) ** 2 for item in x])
    assert float(squared_norm(torch.from_numpy(x))) == pytest.approx(expected, rel=1e-6)


@BOTH
def test_a_perfect_first_stage_has_no_loss_and_weights_are_those_of_equation_10(recipe, config, people) -> None:  # type: ignore[no-untyped-def]
    trained = made(recipe, config(**TINY), people, predictor_weight=0.3, refiner_weight=0.6)
    batch = trained.batch(np.random.default_rng(0))
    clean = spectrogram(batch["clean"])
    trained.network = Ideal(clean, lambda state, estimate, time: torch.ones_like(state))
    told: list[Tensor] = []
    found = trained.step(batch, lambda name, loss: told.append(loss))
    assert float(found["predictor"]) == 0 and float(found["refiner"]) > 0
    assert told == [found["total"]] and float(told[0]) == pytest.approx(0.6 * float(found["refiner"]))

    trained.network = Ideal(clean + 0.1, lambda state, estimate, time: torch.zeros_like(state))
    found = trained.step(batch, lambda name, loss: None)
    assert float(found["predictor"]) == pytest.approx(0.01 * clean[0].numel(), rel=1e-4)
    assert float(found["total"]) == pytest.approx(0.3 * float(found["predictor"]) + 0.6 * float(found["refiner"]))


def test_flow_matching_wants_the_difference_of_clean_speech_and_estimate(people: list[Sample]) -> None:
    """Eq. 8."""
    recipe = made(FlowAVSERecipe, Config(**TINY), people)
    clean, estimate = torch.randn(2, 50, 2, 16, 8, generator=torch.Generator().manual_seed(0))
    seen = Seen(clean, clean)
    recipe.network = Ideal(refine=lambda state, estimate, time: clean - estimate)
    assert float(recipe.refiner_loss(estimate, clean, seen)) == 0
    recipe.network = Ideal(refine=lambda state, estimate, time: torch.zeros_like(state))
    expected = float(((clean - estimate) ** 2).sum()) / 50
    assert float(recipe.refiner_loss(estimate, clean, seen)) == pytest.approx(expected, rel=1e-5)


def test_the_second_stage_is_shown_the_path_at_even_times(people: list[Sample]) -> None:
    recipe = made(FlowAVSERecipe, Config(**TINY, sigma=0.2, start=0.1), people)
    clean, estimate = torch.randn(2, 4000, 2, 4, 2, generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []

    def refine(state: Tensor, estimate: Tensor, time: Tensor) -> Tensor:
        seen.extend((state, time))
        return state

    recipe.network = Ideal(refine=refine)
    recipe.refiner_loss(estimate, clean, Seen(clean, clean))
    state, time = seen
    assert 0.1 <= float(time.min()) < 0.11 and 0.99 < float(time.max()) <= 1
    assert float(time.mean()) == pytest.approx(0.55, abs=5 * 0.9 / np.sqrt(12 * 4000))
    t = time[:, None, None, None]
    left = state - t * clean - (1 - t) * estimate
    # Of a complex bin; each part has half the variance.
    assert float(left.square().sum(1).mean().sqrt()) == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("part", [0.0, 0.75, 1.0])
def test_a_part_of_the_clips_learns_where_sampling_starts(people: list[Sample], part: float) -> None:
    recipe = made(FlowAVSERecipe, Config(**TINY, start=0.1), people, at_start=part)
    clean = torch.zeros(4000, 2, 1, 1)
    times: list[Tensor] = []

    def refine(state: Tensor, estimate: Tensor, time: Tensor) -> Tensor:
        times.append(time.double())
        return state

    recipe.network = Ideal(refine=refine)
    recipe.refiner_loss(clean, clean, Seen(clean, clean))
    (time,) = times
    elsewhere = time[time != np.float32(0.1)]
    assert 1 - len(elsewhere) / 4000 == pytest.approx(part, abs=5 * np.sqrt(0.25 / 4000) if 0 < part < 1 else 0)
    if part < 1:
        assert float(elsewhere.min()) < 0.11 and float(elsewhere.max()) > 0.99


def test_with_the_zero_prior_the_path_begins_at_normal_noise(people: list[Sample]) -> None:
    """Table 3; sigma is 0 here, so that a state tells the noise that it came from."""
    recipe = made(FlowAVSERecipe, Config(**TINY, sigma=0.0, prior="zero"), people)
    clean, estimate = torch.randn(2, 500, 2, 4, 2, generator=torch.Generator().manual_seed(0)).double()
    sources: list[Tensor] = []

    def refine(state: Tensor, estimate: Tensor, time: Tensor) -> Tensor:
        t = time.double()[:, None, None, None]
        sources.append((state - t * clean) / (1 - t))
        return clean - sources[-1]

    recipe.network = Ideal(refine=refine)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert float(recipe.refiner_loss(estimate, clean, Seen(clean, clean))) < 1e-6
    assert float(sources[0].square().sum(1).mean()) == pytest.approx(1, rel=0.05)
    assert abs(float((sources[0] * estimate).mean())) < 0.06


def test_diffusion_wants_the_score_of_the_noise_that_was_added(people: list[Sample]) -> None:
    config = DiffusionConfig(**TINY)
    recipe = made(AVDiffuSSRecipe, config, people)
    clean, estimate = torch.randn(2, 200, 2, 16, 8, generator=torch.Generator().manual_seed(0))
    times: list[Tensor] = []

    def exact(state: Tensor, estimate: Tensor, time: Tensor) -> Tensor:
        times.append(time)
        left = torch.exp(-1.5 * time)[:, None, None, None]
        variance = 0.05**2 * (100**time - torch.exp(-3 * time)) * np.log(10) / (1.5 + np.log(10))
        return -(state - left * clean - (1 - left) * estimate) / variance[:, None, None, None]

    recipe.network = Ideal(refine=exact)
    assert float(recipe.refiner_loss(estimate, clean, Seen(clean, clean))) < 1e-6 * clean[0].numel()
    assert 0.03 <= float(times[0].min()) < 0.1 and 0.9 < float(times[0].max()) <= 1
    # A score of zero leaves the noise itself: one for each complex bin.
    recipe.network = Ideal(refine=lambda state, estimate, time: torch.zeros_like(state))
    assert float(recipe.refiner_loss(estimate, clean, Seen(clean, clean))) == pytest.approx(128, rel=0.03)


def gradients(loss: Tensor, module: nn.Module | None) -> list[bool]:
    """Of each trained parameter, whether a gradient of the loss reaches it."""
    assert module is not None
    parameters = [p for p in module.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [gradient is not None for gradient in found]


@BOTH
@pytest.mark.parametrize("shared", [False, True])
def test_the_first_stage_learns_from_both_losses_and_the_second_from_its_own(recipe, config, people, shared) -> None:  # type: ignore[no-untyped-def]
    """As in the official code, the second stage's loss goes on through the estimate."""
    trained = made(recipe, config(**TINY, shared_encoder=shared), people)
    found, network = losses(trained), trained.network
    assert all(gradients(found["predictor"], network.predictor))
    assert not any(gradients(found["predictor"], network.refiner))
    assert all(gradients(found["refiner"], network.predictor))
    assert all(gradients(found["refiner"], network.refiner))
    assert all(gradients(found["predictor"], network.predictor_encoder))
    assert all(gradients(found["refiner"], network.predictor_encoder))
    if not shared:
        assert not any(gradients(found["predictor"], network.refiner_encoder))
        assert all(gradients(found["refiner"], network.refiner_encoder))


@BOTH
def test_steps_lower_the_losses_of_a_fixed_batch(recipe, config, people) -> None:  # type: ignore[no-untyped-def]
    # Divided by time, errors at its smallest are 33 times larger: too rough a loss for so few steps.
    rough = {"divide_by_time": False} if recipe is FlowAVSERecipe else {}
    trained = made(recipe, config(**TINY, **rough), people, learning_rate=3e-3)
    batch = trained.batch(np.random.default_rng(0))
    optimiser = trained.optimisers()["network"]

    def update(name: str, loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    history = []
    with torch.random.fork_rng():
        for _ in range(15):
            torch.manual_seed(0)
            found = trained.step(batch, update)
            history.append([float(found["predictor"].detach()), float(found["refiner"].detach())])
    (predictor, refiner), (last_predictor, last_refiner) = history[0], history[-1]
    assert last_predictor < 0.8 * predictor
    assert last_refiner < 0.95 * refiner


# ---- the loop


class Killed(Exception):
    pass


def killed_at(kind: type[EnhancerRecipe], steps: int) -> type[EnhancerRecipe]:
    class Killable(kind):  # type: ignore[misc, valid-type]
        calls = 0

        def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
            if self.calls == steps:
                raise Killed
            self.calls += 1
            return super().step(batch, update)

    return Killable


@BOTH
def test_a_killed_training_ends_like_one_that_was_not(recipe, config, people, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    loop = dataclasses.replace(QUIET, checkpoint_every=2, ema=0.9, clip=1e3, anneal=True)
    tiny = config(**TINY, shared_encoder=True) if recipe is FlowAVSERecipe else config(**TINY, steps=2)
    fields = {"talker_share": 0.5, "snr_low_db": -5.0, "snr_high_db": 5.0}
    whole = train(made(recipe, tiny, people, **fields), tmp_path / "whole", 4, loop)
    with pytest.raises(Killed):
        train(made(killed_at(recipe, 3), tiny, people, **fields), tmp_path / "killed", 4, loop)
    assert load_state(tmp_path / "killed" / "checkpoint.pt")["step"] == 2
    resumed = train(made(recipe, tiny, people, **fields), tmp_path / "killed", 4, loop)
    one, two = read(whole, recipe.name)[0], read(resumed, recipe.name)[0]
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    start = made(recipe, tiny, people).network.state_dict()
    trained = [name for name in one if "running_" not in name and "num_batches" not in name]
    assert sum(not torch.equal(one[name], start[name].half().float()) for name in trained) > 0.5 * len(trained)


@BOTH
def test_what_changes_nothing_of_a_training_does_not_keep_it_from_going_on(recipe, config, people, tmp_path) -> None:  # type: ignore[no-untyped-def]
    own = {"temperature": 0.5} if recipe is FlowAVSERecipe else {"corrector_snr": 0.0}
    other = {"video": "shuffled", "padding": "mirror", "longest_s": 5.0, "precision": "float16", "steps": 2, **own}
    train(made(recipe, config(**TINY), people), tmp_path, 1, QUIET)
    train(made(recipe, config(**TINY, **other), people, shards=False, visual_batch=3), tmp_path, 2, QUIET)
    deciding = {"sigma": 0.1} if recipe is FlowAVSERecipe else {"theta": 1.0}
    for name, changed in (
        ("config.shared_encoder", made(recipe, config(**TINY, shared_encoder=True), people)),
        (f"config.{next(iter(deciding))}", made(recipe, config(**TINY, **deciding), people)),
        ("training.talker_share", made(recipe, config(**TINY), people, talker_share=0.1)),
        ("clips", made(recipe, config(**TINY), people[:3])),
    ):
        with pytest.raises(InvalidConfig, match=f"another configuration or seed: {name} is [^;]*$"):
            train(changed, tmp_path, 3, QUIET)


def test_an_encoder_trained_ahead_is_part_of_what_a_training_is(people: list[Sample], tmp_path: Path) -> None:
    table = {"visual_steps": 2, "visual_batch": 2, "steps": 1, "batch": 2, "frames": 32}
    alone = {**table, "visual_steps": 0}
    train_stages(flowavse.recipes(Config(**TINY), alone, people, people[:1]), tmp_path, QUIET)
    with pytest.raises(InvalidConfig, match="steps_before.visual_encoder is unset there, 2 here"):
        train_stages(flowavse.recipes(Config(**TINY), {**table, "steps": 2}, people, people[:1]), tmp_path, QUIET)
    assert not (tmp_path / "visual_encoder").exists()
    first, joint = flowavse.recipes(Config(**TINY), table, people)
    train_stages([first], tmp_path, QUIET)
    with pytest.raises(InvalidConfig, match="encoder_ahead is False there, True here"):
        train(joint.build(tmp_path), tmp_path / "flowavse", 2, QUIET)
    # The encoder's own stage does not care for the rest of the training.
    changed = {**table, "learning_rate": 1e-2, "batch": 3, "talker_share": 0.2}
    again, _ = flowavse.recipes(Config(**TINY, sigma=0.1), changed, people)
    train_stages([again], tmp_path, QUIET)
    with pytest.raises(InvalidConfig, match="training.visual_batch is 2 there, 3 here"):
        train_stages(flowavse.recipes(Config(**TINY), {**table, "visual_batch": 3}, people)[:1], tmp_path, QUIET)


def test_measures_beside_a_training_do_not_change_it(people: list[Sample], tmp_path: Path) -> None:
    often = dataclasses.replace(QUIET, sample_every=1)
    one = train(FlowAVSERecipe(Config(**TINY), settings(), people, people[:2]), tmp_path / "one", 3, often)
    two = train(FlowAVSERecipe(Config(**TINY), settings(), people, ()), tmp_path / "two", 3, QUIET)
    one_tensors, two_tensors = read(one, "flowavse")[0], read(two, "flowavse")[0]
    assert all(torch.equal(one_tensors[name], two_tensors[name]) for name in one_tensors)
    lines = [json.loads(line) for line in (tmp_path / "one" / "log.jsonl").read_text().splitlines()]
    measured = [line["validation"] for line in lines if "validation" in line]
    assert len(measured) == 3
    # The same clips every time.
    assert len({row["si_sdr_noisy"] for row in measured}) == 1
    assert len({row["si_sdr_output"] for row in measured}) == 3
    assert (tmp_path / "one" / "samples" / "000003.png").is_file()
    assert not (tmp_path / "two" / "samples").exists()


@BOTH
def test_validation_measures_si_sdr_of_both_stages(recipe, config, people) -> None:  # type: ignore[no-untyped-def]
    """A first stage that errs by white noise; a second one of no steps, or of one that leaves all as it is."""
    tiny = config(**TINY, temperature=0.0) if recipe is FlowAVSERecipe else config(**TINY, steps=0)
    trained = made(recipe, tiny, people, batch=4)
    clips = Clips(people[:2], trained.training).batch(np.random.default_rng(0), 4)
    clean = clips["clean"].double().numpy()
    error = 0.02 * np.random.default_rng(0).standard_normal(clean.shape)
    estimate = spectrogram(torch.from_numpy(clean + error).float())
    trained.network = Ideal(estimate, lambda state, estimate, time: torch.zeros_like(state))
    found = trained.validate()

    def si_sdr(signals: np.ndarray) -> float:
        values = []
        for s, x in zip(signals, clean, strict=True):
            scaled = (s @ x) / (x @ x) * x
            values.append(10 * np.log10((scaled @ scaled) / ((s - scaled) @ (s - scaled))))
        return float(np.mean(values))

    assert found["si_sdr_noisy"] == pytest.approx(si_sdr(clips["noisy"].double().numpy()), abs=1e-3)
    assert found["si_sdr_estimate"] == pytest.approx(si_sdr(clean + error), abs=0.02)
    assert found["si_sdr_output"] == pytest.approx(found["si_sdr_estimate"], abs=0.02)
    pictures = trained.sample_images()
    assert pictures is not None and pictures.shape == (4, 3, 256, 32, 3) and pictures.dtype == np.uint8
    assert pictures.max() == 255 and pictures.std() > 10


def test_without_validation_people_nothing_is_measured(people: list[Sample]) -> None:
    recipe = FlowAVSERecipe(Config(**TINY), settings(), people, ())
    assert recipe.validate() == {} and recipe.sample_images() is None


# ---- weights in and out


@BOTH
def test_an_export_serves_the_method_and_another_training(recipe, config, people, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    tiny = config(**TINY) if recipe is FlowAVSERecipe else config(**TINY, steps=2)
    module = flowavse if recipe is FlowAVSERecipe else avdiffuss
    table = {"steps": 3, "batch": 2, "frames": 32, "learning_rate": 1e-2, "clip": 1e4, "anneal": True}
    (stage,) = module.recipes(tiny, table, people, people[:1])
    assert (stage.name, stage.steps, stage.ema, stage.clip, stage.anneal) == (recipe.name, 3, 0.999, 1e4, True)
    path = train_stages([stage], tmp_path, QUIET)
    tensors, about = read(path, recipe.name)
    assert about["method"] == recipe.name
    assert json.loads(about["config"])["width"] == 0.03 and json.loads(about["training"])["batch"] == 2

    method = (FlowAVSE if recipe is FlowAVSERecipe else AVDiffuSS)(tiny, path)
    method.load("cpu")
    for name, tensor in method.network.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name
    noisy = Audio(np.random.default_rng(0).standard_normal(4000).astype(np.float32) * 0.1, 16_000)
    video = FaceVideo(np.zeros((7, 112, 112), np.uint8))
    (output,) = method.generate([Example(people[0], 0, 1, {"noisy": noisy, "video": video})])
    assert isinstance(output, np.ndarray) and output.shape == (4000,) and np.isfinite(output).all()

    again = made(recipe, tiny, people, start_from=str(path))
    assert all(torch.equal(t, tensors[n]) for n, t in again.network.state_dict().items())
    fresh = made(recipe, tiny, people)
    assert not torch.equal(fresh.network.predictor.input.weight, again.network.predictor.input.weight)


def test_weights_to_start_from_have_to_fit(people: list[Sample], tmp_path: Path) -> None:
    path = made(FlowAVSERecipe, Config(**TINY), people).export(tmp_path / "w.safetensors")
    with pytest.raises(InvalidConfig, match="start_from wants weights of the same networks"):
        made(FlowAVSERecipe, Config(size="small", width=0.06), people, start_from=str(path))
    with pytest.raises(MissingWeights, match="not a file"):
        made(FlowAVSERecipe, Config(**TINY), people, start_from=str(tmp_path / "none.safetensors"))


def test_the_start_is_the_same_every_time(people: list[Sample]) -> None:
    state = torch.random.get_rng_state()
    one, two = (made(FlowAVSERecipe, Config(**TINY), people).network.state_dict() for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_frozen_parameters_are_left_to_themselves(people: list[Sample]) -> None:
    recipe = made(FlowAVSERecipe, Config(**TINY), people)
    optimised = {id(p) for group in recipe.optimiser.param_groups for p in group["params"]}
    names = {name for name, p in recipe.network.named_parameters() if id(p) not in optimised}
    assert {"predictor.time.frequencies", "refiner.time.frequencies"} <= names
    assert isinstance(recipe.network, FlowAVSENetwork)
    assert all(not p.requires_grad for n, p in recipe.network.named_parameters() if n in names)


# ---- one stage after the other

ALONE = {"steps": 2, "batch": 2, "frames": 32, "learning_rate": 1e-2, "predictor_steps": 2}


def moved(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    """The parts of a network of which a tensor changed."""
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


@BOTH
@pytest.mark.parametrize("shared", [True, False])
def test_the_first_stage_learns_alone_and_stays_while_the_second_does(recipe, config, shared, people, tmp_path) -> None:  # type: ignore[no-untyped-def]
    module = flowavse if recipe is FlowAVSERecipe else avdiffuss
    tiny = config(**TINY, shared_encoder=shared, **({} if recipe is FlowAVSERecipe else {"steps": 2}))
    table = {**ALONE, "joint": False, "ema": 0.5, "clip": 1e4, "anneal": True}
    first, second = module.recipes(tiny, table, people, people[:1])
    assert [(s.name, s.steps, s.ema, s.clip, s.anneal) for s in (first, second)] == [
        ("predictor", 2, 0.5, 1e4, True),
        (recipe.name, 2, 0.5, 1e4, True),
    ]
    untrained = first.build(tmp_path).network.state_dict()
    path = train_stages([first, second], tmp_path, QUIET)
    learnt, final = (read(p, recipe.name)[0] for p in (tmp_path / "predictor.safetensors", path))
    start = {
        name: t if "running_" in name or not t.is_floating_point() else t.half().float()
        for name, t in untrained.items()
    }
    assert moved(start, learnt) == {"predictor", "predictor_encoder"}
    # What stays does so to the last bit, statistics of normalisation included.
    assert moved(learnt, final) == ({"refiner"} if shared else {"refiner", "refiner_encoder"})
    lines = [json.loads(line) for line in (tmp_path / "predictor" / "log.jsonl").read_text().splitlines()]
    assert all("refiner" not in line for line in lines)


@BOTH
def test_each_stage_alone_has_its_own_part_of_the_loss(recipe, config, people) -> None:  # type: ignore[no-untyped-def]
    trained = {
        learns: recipe(config(**TINY), settings(predictor_weight=0.3, refiner_weight=0.6), people, (), learns=learns)
        for learns in ("both", "first", "second")
    }
    batch = trained["both"].batch(np.random.default_rng(0))
    clean = spectrogram(batch["clean"])
    for one in trained.values():
        one.network = Ideal(clean + 0.1, lambda state, estimate, time: torch.zeros_like(state))
        one._fixed = []
    both, first, second = (losses(trained[learns], batch) for learns in ("both", "first", "second"))
    assert float(first["total"]) == pytest.approx(0.3 * float(both["predictor"]))
    assert float(second["total"]) == pytest.approx(0.6 * float(both["refiner"]))
    assert "refiner" not in first and float(second["predictor"]) == pytest.approx(float(both["predictor"]))


def test_all_may_go_on_learning_after_the_first_stage(people: list[Sample], tmp_path: Path) -> None:
    stages = flowavse.recipes(
        Config(**TINY, shared_encoder=True), {**ALONE, "visual_steps": 2, "visual_batch": 2}, people
    )
    assert [stage.name for stage in stages] == ["visual_encoder", "predictor", "flowavse"]
    path = train_stages(stages, tmp_path, QUIET)
    seen, learnt, final = (read(tmp_path / f"{stage.name}.safetensors", "flowavse")[0] for stage in stages)
    assert moved(learnt, final) == {"predictor", "predictor_encoder", "refiner"}
    front = "front.weight"
    assert not torch.equal(seen[front], learnt[f"predictor_encoder.{front}"]) and path.is_file()


def test_a_first_stage_to_start_from_can_stay(people: list[Sample], tmp_path: Path) -> None:
    path = made(FlowAVSERecipe, Config(**TINY), people).export(tmp_path / "w.safetensors")
    table = {"steps": 2, "batch": 2, "frames": 32, "start_from": str(path), "joint": False}
    final = train_stages(avdiffuss.recipes(DiffusionConfig(**TINY, steps=2), table, people), tmp_path, QUIET)
    assert moved(read(path, "flowavse")[0], read(final, "avdiffuss")[0]) == {"refiner", "refiner_encoder"}


# ---- what is refused


def test_settings_are_checked(people: list[Sample]) -> None:
    with pytest.raises(InvalidConfig, match="Did you mean 'talker_share'"):
        flowavse.recipes(Config(**TINY), {"talkers_share": 0.3}, people)
    (stage,) = avdiffuss.recipes(DiffusionConfig(**TINY), {}, [])
    with pytest.raises(MissingDataset, match="No clean speech in the split"):
        stage.build(Path())
    (stage,) = flowavse.recipes(Config(**TINY), {"ema": 0.0, "talker_share": 1}, people[:1])
    assert stage.ema is None and stage.clip is None
    with pytest.raises(MissingDataset, match="more than one speaker"):
        stage.build(Path())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"frames": 100}, "frames must be a multiple of 8"),
        ({"frames": 24}, "of at least 32"),
        *[({name: 0}, f"{name} must be at least 1, got 0") for name in ("steps", "batch", "visual_batch")],
        *[({name: 0.0}, f"{name} must be above 0, got 0.0") for name in ("learning_rate", "visual_learning_rate")],
        *[
            ({name: -1}, f"{name} must be at least 0, got -1")
            for name in ("visual_steps", "predictor_steps", "clip", "predictor_weight", "refiner_weight")
        ],
        *[
            ({field.name: bad}, f"{field.name} must be a finite number, got {bad}")
            for field in dataclasses.fields(Training)
            for bad in (float("nan"), float("-inf"))
            if isinstance(field.default, float)
        ],
        ({"talker_share": 1.5}, "talker_share"),
        ({"snr_low_db": 1.0}, "snr_low_db must not exceed"),
        ({"ema": 1.0}, "ema"),
        ({"joint": False}, "joint = false wants a first stage that is trained"),
    ],
)
def test_impossible_settings_are_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        options(Training, table)


# ---- the visual encoder, ahead


def test_band_energies_are_those_of_mel_bands() -> None:
    """A tone is loud in its band alone; a stretch ten times as loud has 2 more."""
    time = np.arange(128 * 127) / 16_000
    edges = 700 * (10 ** (np.linspace(0, np.log10(1 + 8000 / 700), BANDS + 1)) - 1)
    for band in (3, 9, 15):
        tone = np.sin(2 * np.pi * (edges[band] + edges[band + 1]) / 2 * time) * np.where(time < time[-1] / 2, 0.1, 1)
        found = band_energies(torch.from_numpy(tone)[None].float(), 26)[0]
        assert found.shape == (26, BANDS) and (found[16:24].argmax(1) == band).all()
        assert float(found[18, band] - found[6, band]) == pytest.approx(2, abs=0.02)
    silent = band_energies(torch.zeros(1, 4096), 8)
    assert torch.equal(silent, torch.full((1, 8, BANDS), -4.0))


def test_the_visual_encoder_learns_when_speech_is_loud(people: list[Sample]) -> None:
    """Only what moves within a clip counts: a head that adds a constant per clip has the same loss."""
    recipe = VisualEncoderRecipe(Config(**TINY), settings(visual_batch=3), people, people)
    batch = recipe.batch(np.random.default_rng(0))
    assert set(batch) == {"clean", "video"} and len(batch["clean"]) == 3
    found: list[Tensor] = []
    recipe.step(batch, lambda name, loss: found.append(loss))
    spoken = band_energies(batch["clean"], batch["video"].shape[1])
    seen = recipe.head(recipe.encoder(batch["video"]))
    expected = (seen - seen.mean(1, keepdim=True) - spoken + spoken.mean(1, keepdim=True)).square().mean()
    assert float(found[0].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    recipe.head.bias.data += 3
    recipe.step(batch, lambda name, loss: found.append(loss))
    assert float(found[1].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)

    recipe.head.weight.data.zero_()
    with torch.no_grad():
        measured = recipe.validate()
    assert measured["correlation"] == pytest.approx(0, abs=1e-6) and measured["energies"] > 0
    recipe._seen = recipe._said  # type: ignore[method-assign]
    assert recipe.validate() == {"correlation": pytest.approx(1, abs=1e-5), "energies": 0}


@BOTH
@pytest.mark.parametrize("shared", [True, False])
def test_both_stages_begin_with_the_visual_encoder_trained_ahead(recipe, config, shared, people, tmp_path) -> None:  # type: ignore[no-untyped-def]
    module = flowavse if recipe is FlowAVSERecipe else avdiffuss
    table = {"visual_steps": 2, "visual_batch": 2, "steps": 1, "batch": 2, "frames": 32}
    first, joint = module.recipes(config(**TINY, shared_encoder=shared), table, people, people[:1])
    assert (first.name, first.steps, first.anneal, first.ema) == ("visual_encoder", 2, True, None)
    made = train(first.build(tmp_path), tmp_path / first.name, 2, QUIET, export=tmp_path / f"{first.name}.safetensors")
    learnt, about = read(made, "visual_encoder")
    assert about["method"] == "visual_encoder"
    network = joint.build(tmp_path).network
    encoders = [e for e in (network.predictor_encoder, network.refiner_encoder) if e is not None]
    assert len(encoders) == (1 if shared else 2)
    for encoder in encoders:
        assert all(torch.equal(tensor, learnt[name]) for name, tensor in encoder.state_dict().items())
    untrained = VisualEncoderRecipe(config(**TINY), settings(), people, []).encoder
    assert not torch.equal(untrained.front.weight, encoders[0].front.weight)


@pytest.mark.parametrize("name", ["visual_steps", "predictor_steps"])
def test_nothing_is_trained_ahead_of_weights_that_hold_it(name: str) -> None:
    with pytest.raises(InvalidConfig, match=f"{name} and start_from exclude each other"):
        options(Training, {name: 5, "start_from": "w.safetensors"})


@pytest.mark.parametrize("known", [True, False])
def test_settings_that_inference_shares_are_those_of_the_training(people: list[Sample], tmp_path: Path, known) -> None:
    """Also where the file is older than the setting: it was trained with its default."""
    recipe = made(FlowAVSERecipe, Config(**TINY, video_window=1.5 if known else 0.0), people)
    path = recipe.export(tmp_path / "w.safetensors")
    if not known:
        tensors, about = read(path, "flowavse")
        config = {name: value for name, value in json.loads(about["config"]).items() if name != "video_window"}
        export(path, tensors, {**about, "config": config})
    FlowAVSE(Config(**TINY, video_window=1.5 if known else 0.0, steps=3, sigma=0.1), path).load("cpu")
    with pytest.raises(InvalidConfig, match=f"was trained with video_window = {1.5 if known else 0.0}"):
        FlowAVSE(Config(**TINY, video_window=0.0 if known else 1.5), path).load("cpu")
    with pytest.raises(InvalidConfig, match="was trained with start = 0.03; expected that, got 0.1"):
        FlowAVSE(Config(**TINY, video_window=1.5 if known else 0.0, start=0.1), path).load("cpu")
