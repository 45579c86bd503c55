"""AVP-GAN's training: the stages, the game, the prior, the enhancement's losses and what each of them moves."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baselines.avp_gan import training
from baselines.avp_gan.config import Config, Training
from baselines.avp_gan.method import AVPGAN
from baselines.avp_gan.training import (
    PLAIN,
    EnhancementRecipe,
    GameRecipe,
    PrincipalComponents,
    PriorRecipe,
    of_side,
    recipes,
    start_at_input,
)
from baselines.checkpoints import read
from baselines.people import People, Person
from baselines.training import Loop, train_stages
from baselines.voice2face.training import WarmUpRecipe
from benchmark.configuration import Presets, resolve
from benchmark.errors import InvalidConfig
from benchmark.types import Sample

SMALL = Config(
    width=0.05, resolution=32, prior_width=0.03125, prior_style=8, prior_mapping=1, prior_multiplier=1, vad=False
)
QUICK = Training(
    batch=3,
    crop_frames=(40, 60),
    critic_width=0.1,
    discriminator_width=0.03125,
    prior_batch=4,
    enhancement_batch=4,
    perceptual_network="dlib",
    identity_network="dlib",
)
GAME = dataclasses.replace(SMALL, enhance=False)


@pytest.fixture(autouse=True, scope="module")
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Eye(nn.Module):
    """A face network of a few numbers."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(4, 3, 5, 5, generator=generator), requires_grad=False)

    def features(self, faces: torch.Tensor) -> list[torch.Tensor]:
        layer = F.conv2d(faces, self.weight, stride=4)
        return [layer, layer.square(), layer.tanh(), F.normalize(layer.mean((2, 3)), dim=1)]


def people(count: int = 6, side: int = 32) -> People:
    generator = torch.Generator().manual_seed(3)

    def person(index: int) -> Person:
        timbre = torch.randn(64, 1, generator=generator)
        voices = tuple(timbre + 0.5 * torch.randn(64, 200, generator=generator) for _ in range(2))
        coarse = torch.rand(2, 3, 4, 4, generator=generator)
        faces = F.interpolate(255 * coarse, (side, side), mode="bilinear").round().to(torch.uint8)
        return Person(f"p{index}", voices, faces)

    return People(tuple(person(index) for index in range(count)))


def apply(recipe):  # type: ignore[no-untyped-def]
    def update(name: str, loss: torch.Tensor) -> None:
        optimiser = recipe.optimisers()[name]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return update


def numbers(losses: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(loss.detach()) for name, loss in losses.items()}


def test_the_game_is_equations_12_to_14() -> None:
    """Binary cross-entropy of D, and ln C of the true identity: by classes, as in the paper."""
    recipe = GameRecipe(GAME, dataclasses.replace(QUICK, noise=0.0), people(side=64))
    recipe.network.eval()
    batch = recipe.batch(np.random.default_rng(0))
    critics = copy.deepcopy(recipe.critics).train()
    true = (batch["faces"].float() - 127.5) / 127.5
    made = copy.deepcopy(recipe.network).train().decoder(recipe.network.encoder(batch["voices"]))
    made = made.detach()
    # each pass through spectral normalisation makes a step of its power iteration: the same passes in the same order
    real, known = critics(true)
    fake = critics.real(critics.discriminator(made))[:, 0]
    d, c = (x.detach().double().numpy() for x in (torch.stack([real, fake]), known.softmax(1)))
    sigmoid = 1 / (1 + np.exp(-d))
    l_d = np.log(1 - sigmoid[1]).mean() + np.log(sigmoid[0]).mean()
    l_c = np.mean([np.log(row[who]) for row, who in zip(c, batch["seen"], strict=True)])
    logit, answer = critics(made)
    chance = answer.detach().double().softmax(1).numpy()
    l_g = np.mean([np.log(row[who]) for row, who in zip(chance, batch["heard"], strict=True)])
    l_g += np.log(1 / (1 + np.exp(-logit.detach().double().numpy()))).mean()
    losses = numbers(recipe.step(batch, lambda name, loss: None))
    assert losses["real"] == pytest.approx(-l_d, rel=1e-3)
    assert losses["identity"] == pytest.approx(-l_c, rel=1e-3)
    assert losses["classifier"] + losses["adversarial"] == pytest.approx(-l_g, rel=1e-3)


@pytest.mark.parametrize("cbam", [True, False])
def test_the_game_begins_with_the_faces_of_the_warm_up(tmp_path: Path, cbam: bool) -> None:
    config = dataclasses.replace(GAME, cbam=cbam, width=0.2, reduction=2)  # in fewer channels all ReLUs may be at 0
    gentle = dataclasses.replace(QUICK, warm_up_learning_rate=1e-4)
    warm = WarmUpRecipe(dataclasses.replace(config, spectral=False), gentle, people(side=64))
    for seed in range(3):
        warm.step(warm.batch(np.random.default_rng(seed)), apply(warm))
    game = GameRecipe(config, QUICK, people(side=64))
    game.take(warm.export(tmp_path / "warm_up.safetensors"))
    x = people().persons[0].voices[0][None]
    with torch.no_grad():
        torch.testing.assert_close(game.network.eval()(x), warm.network.eval()(x), rtol=1e-3, atol=1e-5)
    assert any("parametrizations" in name for name, _ in game.network.decoder.named_parameters())
    game.step(game.batch(np.random.default_rng(0)), lambda name, loss: loss.backward())
    moved = {name for name, parameter in game.network.named_parameters() if parameter.grad is not None}
    assert moved == {f"decoder.{name}" for name, _ in game.network.decoder.named_parameters()}
    assert all(parameter.grad.abs().max() > 0 for parameter in game.network.decoder.parameters())


def test_principal_components_have_unit_variance_and_no_correlation() -> None:
    faces = torch.cat([person.faces for person in people(30).persons])
    codes = PrincipalComponents(faces, 5)(faces).double().numpy()
    np.testing.assert_allclose(codes.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(codes.T @ codes / len(codes), np.eye(5), atol=1e-2)
    few = PrincipalComponents(faces[:3], 5)(faces[:3])
    assert few[:, :2].abs().min() > 0
    assert few[:, 2:].abs().max() == 0


def test_the_prior_learns_to_draw_portraits() -> None:
    recipe = PriorRecipe(SMALL, dataclasses.replace(QUICK, prior_learning_rate=1e-2), people())
    seen = [numbers(recipe.step(recipe.batch(np.random.default_rng(0)), apply(recipe)))["l1"] for _ in range(30)]
    assert seen[-1] < 0.7 * seen[0]


def enhancement(training: Training, eye: Eye | None = None, config: Config = SMALL) -> EnhancementRecipe:
    eye = eye or Eye()
    return EnhancementRecipe(config, training, people(), people(3), eye, eye)


@pytest.mark.parametrize("form", ["paper", "gfpgan"])
def test_the_enhancements_loss_is_equation_11(form: str) -> None:
    eye = Eye()
    recipe = enhancement(dataclasses.replace(QUICK, adversarial_form=form, generated=0.5), eye)
    batch = recipe.batch(np.random.default_rng(0))
    truth = (batch["truth"].float() - 127.5) / 127.5
    critics = copy.deepcopy(recipe.critics)
    with torch.no_grad():
        made = recipe.enhancer(recipe.inputs(batch))
        two = [eye.features((faces + 1) / 2) for faces in (made, truth)]
        logits = {"realism": [critics["face"](made)]}
        logits["local"] = [critics[name](recipe.cut(made)[name])[0] for name in ("left_eye", "right_eye", "mouth")]
        grams = 0.0
        for name in ("left_eye", "right_eye", "mouth"):
            pairs = [critics[name](recipe.cut(faces)[name])[1] for faces in (made, truth)]
            for a, b in zip(*pairs, strict=True):
                both = [torch.einsum("bchw,bdhw->bcd", f, f) / f[0].numel() for f in (a, b)]
                grams += float((both[0] - both[1]).abs().mean())
    wrong = (lambda x: -F.softplus(x).mean()) if form == "paper" else (lambda x: F.softplus(-x).mean())
    expected = {name: float(sum(wrong(x) for x in each)) for name, each in logits.items()}
    expected |= {"l1": float((made - truth).abs().mean()), "style": grams}
    expected["perceptual"] = sum(
        weight * float((a - b).abs().mean()) for weight, a, b in zip((1 / 16, 1 / 8, 1 / 4), *two, strict=False)
    )
    expected["identity"] = float((two[0][3] - two[1][3]).abs().mean())
    told = {}
    losses = numbers(recipe.step(batch, lambda name, loss: told.__setitem__(name, float(loss.detach()))))
    for name, value in expected.items():
        assert losses[name] == pytest.approx(value, rel=1e-3, abs=1e-6), name
    weights = {"l1": 0.1, "perceptual": 1, "realism": 0.1, "local": 1, "style": 200, "identity": 10}
    assert told["enhancer"] == pytest.approx(sum(weights[k] * losses[k] for k in weights), rel=1e-4)
    assert told["critics"] == pytest.approx(sum(v for k, v in losses.items() if k.startswith("d_")), rel=1e-4)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_enhancement_leaves_generator_and_a_frozen_prior_alone(frozen: bool) -> None:
    recipe = enhancement(dataclasses.replace(QUICK, frozen_prior=frozen, generated=0.5, without_cbam=True))
    before = {name: tensor.clone() for name, tensor in recipe.network.state_dict().items()}
    critics = copy.deepcopy(recipe.critics.state_dict())
    recipe.step(recipe.batch(np.random.default_rng(0)), apply(recipe))
    state = recipe.network.state_dict()
    moved = {name for name in before if not torch.equal(state[name], before[name])}
    learning = {f"enhancer.{name}" for name, _ in recipe.enhancer.named_parameters()}
    # the mapping network is not in use, and the noise's strength has no gradient where the noise is not drawn
    mapping = {name for name in learning if ".mapping." in name}
    prior = {name for name in learning if ".prior." in name}
    assert moved <= learning - mapping
    assert moved >= learning - prior
    assert (len(moved & prior) == 0) is frozen
    assert any(not torch.equal(tensor, recipe.critics.state_dict()[name]) for name, tensor in critics.items())


def test_a_batch_has_generated_faces_before_degraded_ones() -> None:
    recipe = enhancement(dataclasses.replace(QUICK, generated=0.75, without_cbam=True))
    batches = [recipe.batch(np.random.default_rng(seed)) for seed in range(8)]
    assert {bool(batch["by_plain"]) for batch in batches} == {True, False}
    for batch in batches:
        assert (len(batch["truth"]), len(batch["voices"]), len(batch["degraded"])) == (4, 3, 1)
        network = recipe.plain if batch["by_plain"] else recipe.network
        with torch.no_grad():
            made = network.decoder(network.encoder(batch["voices"])).clamp(-1, 1)
        made = torch.where(batch["flip"], made.flip(3), made)
        given = recipe.inputs(batch)
        small = F.interpolate(made, (32, 32), mode="bilinear", align_corners=False)
        torch.testing.assert_close(given[:3], small)
        assert torch.equal(given[3:], batch["degraded"])
    alone = enhancement(QUICK).batch(np.random.default_rng(0))
    assert (len(alone["voices"]), len(alone["degraded"])) == (0, 4)


def test_validation_measures_and_shows_what_voices_give() -> None:
    recipe = enhancement(QUICK)
    recipe.network.eval()
    with torch.no_grad():
        measures, shown = recipe.validate(), recipe.sample_images()
    assert set(measures) == {"l1", "cosine", "cosine_other", "recall_at_10"}
    assert measures["recall_at_10"] == 1
    assert shown is not None
    assert shown.shape == (3, 3, 32, 32, 3)


def test_smaller_portraits_are_means_of_the_large() -> None:
    crowd = people(3, side=64)
    small = of_side(crowd, 32)
    for one, two in zip(crowd.persons, small.persons, strict=True):
        assert torch.equal(torch.stack(list(one.voices)), torch.stack(list(two.voices)))
        means = one.faces.float().unflatten(2, (32, 2)).unflatten(4, (32, 2)).mean((3, 5))
        # antialiased bilinear weighs the next neighbours too
        assert float((two.faces.float() - means).abs().max()) < 8
    assert small.mean_faces(np.arange(2)).shape == (2, 3, 32, 32)
    assert of_side(crowd, 64).persons[1].faces is not None


def test_stages_follow_the_settings(tmp_path: Path) -> None:
    sample = [Sample("p", "p", {})]

    def names(config: Config, settings: dict[str, object]) -> list[str]:
        return [stage.name for stage in recipes(config, settings, sample)]

    assert names(SMALL, {}) == ["voice_encoder", "generator", "enhancement"]
    assert names(GAME, {"warm_up_steps": 2}) == ["voice_encoder", "warm_up", "generator"]
    asked = {"warm_up_steps": 2, "without_cbam": True, "prior_steps": 3, "ready_recogniser": True}
    assert names(SMALL, asked) == [
        *("warm_up", "generator", "warm_up_no_cbam", "generator_no_cbam"),
        *("prior", "enhancement"),
    ]
    with pytest.raises(InvalidConfig, match="without_cbam"):
        recipes(GAME, {"without_cbam": True}, sample)
    with pytest.raises(InvalidConfig, match="adversarial_form"):
        recipes(SMALL, {"adversarial_form": "other"}, sample)


def test_a_whole_training_makes_a_file_that_the_method_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "load_both", lambda *a, **k: (people(), people(2)))
    settings = {
        **{name: getattr(QUICK, name) for name in ("batch", "crop_frames", "critic_width", "discriminator_width")},
        "voice_steps": 1,
        "voice_loss": "pairs",
        "warm_up_steps": 1,
        "steps": 1,
        "classifier_loss": "pairs",
        "without_cbam": True,
        "prior_steps": 1,
        "prior_batch": 2,
        "enhancement_steps": 2,
        "enhancement_batch": 2,
        "generated": 0.5,
        "perceptual": 0.0,
        "identity": 0.0,
        "ema": 0.9,
        "reconstruction": 1.0,
    }
    stages = recipes(SMALL, settings, [Sample("p", "p", {})])
    path = train_stages(stages, tmp_path, Loop(device="cpu"))
    assert path.name == "enhancement.safetensors"
    tensors, about = read(path, "avp_gan")
    assert about["method"] == "avp_gan"
    assert {name.partition(".")[0] for name in tensors} == {"encoder", "decoder", "enhancer", PLAIN}
    for cbam in (True, False):
        AVPGAN(dataclasses.replace(SMALL, cbam=cbam), path).load("cpu")


def test_the_paper_preset_builds_and_steps() -> None:
    """Forward, backward and a step of each optimiser at the paper's width; 512 px, which are slow, without numbers."""
    folder = Path(__file__).parents[1] / "baselines" / "avp_gan"
    settings = resolve(Config, Presets.beside(folder), "paper", None, ())
    config, training = settings.config, Training(**dict(settings.training) | {"crop_frames": (300, 800)})
    sizes = config.resolution, config.width, config.prior_width, config.prior_multiplier, training.steps
    assert sizes == (512, 1.0, 1.0, 2, 50_000)
    assert config.cbam and config.spectral and config.enhance
    given = (training.l1, training.perceptual, training.realism, training.local, training.style, training.identity)
    assert given == (0.1, 1, 0.1, 1, 200, 10)
    brief = dataclasses.replace(training, batch=2, crop_frames=(40, 60), enhancement_batch=1, perceptual_network="dlib")
    game = GameRecipe(dataclasses.replace(config, enhance=False), brief, people(3, side=64))
    losses = numbers(game.step(game.batch(np.random.default_rng(0)), apply(game)))
    assert all(np.isfinite(value) for value in losses.values())
    eye = Eye()
    with torch.device("meta"):
        enhancer = config.enhancer()
        made = enhancer(torch.empty(1, 3, 512, 512))
    made.mean().backward()
    assert made.shape == (1, 3, 512, 512)
    unused = {name for name, parameter in enhancer.named_parameters() if parameter.grad is None}
    assert all(name.startswith("prior.mapping.") for name in unused)
    small = dataclasses.replace(config, resolution=16)
    last = EnhancementRecipe(small, brief, people(2, side=16), None, eye, eye)
    losses = numbers(last.step(last.batch(np.random.default_rng(0)), apply(last)))
    assert all(np.isfinite(value) for value in losses.values())
    assert sum(p.numel() for p in last.optimiser.param_groups[0]["params"]) == sum(
        p.numel() for name, p in last.enhancer.named_parameters() if not name.startswith("prior.")
    )


def test_an_enhancer_can_begin_near_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Least squares: no linear map of the last layers' features, and no constant, takes more away of the error."""
    monkeypatch.setattr(training, "PIXELS", 1)
    torch.manual_seed(0)
    enhancer = dataclasses.replace(SMALL, prior_width=0.0625).enhancer()
    crowd = people(12).persons
    faces = torch.cat([(person.faces.float() - 127.5) / 127.5 for person in crowd])
    given, others = faces[:16], faces[16:]
    with torch.no_grad():
        before = float((enhancer(others) - others).abs().mean())
        start_at_input(enhancer, given)
        assert float((enhancer(others) - others).abs().mean()) < 0.5 * before
        missing = given - enhancer(given)
    np.testing.assert_allclose(missing.mean((0, 2, 3)), 0, atol=1e-3)
    begun = dataclasses.replace(QUICK, begin_at_inputs=True, generated=0.5)
    recipe = enhancement(begun)
    given = recipe.inputs(recipe.batch(np.random.default_rng(5)))
    with torch.no_grad():
        errors = [float((recipe.enhancer(given) - given).abs().mean())]
        recipe.begin_at_inputs()
        errors.append(float((recipe.enhancer(given) - given).abs().mean()))
    assert errors[1] < errors[0]
