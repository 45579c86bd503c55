"""SF2F: shapes and counts of Tables 9 to 11, the fuser's equations, ablations, the wrapper, official checkpoints."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_frontends import speechlike
from torch.nn import functional as F

from baselines.checkpoints import export
from baselines.layers.inception1d import Inception1D
from baselines.layers.log_filter_banks import log_filter_banks
from baselines.layers.perceptual import BoxedDlib, BoxedFaceNet, perceptual_loss
from baselines.layers.pixels import imagenet_to_unit, official_pictures, to_imagenet, to_pictures, to_unit
from baselines.people import People, Person
from baselines.settings import options
from baselines.sf2f.config import Config, Training
from baselines.sf2f.descriptors import Descriptors
from baselines.sf2f.discriminators import Adversaries, Discriminator
from baselines.sf2f.linear_start import reduced_rank_ridge
from baselines.sf2f.method import SF2F
from baselines.sf2f.network import EmbeddingFuser, FaceDecoder, SF2FNetwork, VoiceEncoder
from baselines.sf2f.official import from_official
from baselines.sf2f.training import EncoderDecoderRecipe, FuserRecipe, VoiceEncoderRecipe, blurred, recipes, shaken
from benchmark.datasets.talkers.face import portrait, views
from benchmark.datasets.talkers.identity import person
from benchmark.errors import InvalidConfig, MethodError, MissingWeights
from benchmark.media import write_audio, write_image
from benchmark.types import Audio, Example, Sample
from metrics.networks import dlib_faces

SMALL = Config(width=0.05)


@pytest.fixture(autouse=True, scope="module")
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def people(count: int = 6, resolution: int = 64) -> People:
    generator = torch.Generator().manual_seed(3)

    def person(index: int) -> Person:
        voices = tuple(torch.randn(40, length, generator=generator) for length in (90, 200, 240))
        faces = torch.randint(0, 256, (2, 3, resolution, resolution), generator=generator, dtype=torch.uint8)
        return Person(f"p{index}", voices, faces)

    return People(tuple(person(index) for index in range(count)))


def example(samples: np.ndarray, name: str = "a") -> Example:
    return Example(Sample(name, name, {}), 0, 1, {"speech": Audio(samples, 16000)})


class Recogniser(torch.nn.Module):
    """Three layers and an embedding of unit length, as FaceNet gives them, at random."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.layers = torch.nn.ModuleList(torch.nn.Conv2d(a, b, 3, 2) for a, b in ((3, 8), (8, 8), (8, 8)))
            self.project = torch.nn.Linear(8, 16)
        self.eval().requires_grad_(False)

    def features(self, faces: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for layer in self.layers:
            faces = layer(faces).relu()
            maps.append(faces)
        return [*maps, F.normalize(self.project(faces.mean((2, 3))), dim=1)]


def initialised(config: Config, seed: int = 0) -> SF2FNetwork:
    """A network whose statistics are not those of the start, so that a mix-up shows, and that answers to its input."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = config.network()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
                torch.nn.init.uniform_(module.running_var, 0.01, 0.03)
        return network.eval()


def method(tmp_path: Path, config: Config = SMALL) -> SF2F:
    path = export(tmp_path / "w.safetensors", initialised(config).state_dict(), {"method": "sf2f"}, half=False)
    made = SF2F(config, path)
    made.load("cpu")
    return made


# ---- architecture


def test_voice_encoder_has_the_sizes_of_table_9() -> None:
    encoder = VoiceEncoder()
    x = torch.randn(2, 40, 125, generator=torch.Generator().manual_seed(0))
    sizes = []
    for module in encoder.model:
        x = module(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(256, 63), (384, 32), (576, 16), (864, 8), (512, 4)]
    # Weights of kernels 2 + 3 + 5 + 7 = 17 into a quarter of the channels each, and two per channel of normalisation.
    channels = [40, 256, 384, 576, 864, 512]
    expected = sum(a * b // 4 * 17 + 2 * b for a, b in zip(channels, channels[1:], strict=False))
    assert parameters(encoder) == expected == 5_401_664


@pytest.mark.parametrize("frames", [1, 2, 7, 100, 125, 150])
def test_embeddings_have_unit_length_for_any_duration(frames: int) -> None:
    x = torch.randn(3, 40, frames, generator=torch.Generator().manual_seed(0))
    embedding = VoiceEncoder(width=0.1).eval()(x)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))


def test_inception_concatenates_four_kernels_at_stride_two() -> None:
    module = Inception1D(3, 8).eval()
    x = torch.randn(1, 3, 10, generator=torch.Generator().manual_seed(0))
    out = module(x)
    assert out.shape == (1, 8, 5)
    for index, kernel in enumerate((2, 3, 5, 7)):
        weight = module.branches[index][0].weight
        assert weight.shape == (2, 3, kernel)
        padded = torch.nn.functional.pad(x, (kernel // 2, kernel // 2))
        # Frame 2 of each branch, written out: its window starts at 4 of the padded input.
        expected = torch.relu((weight * padded[:, :, 4 : 4 + kernel]).sum(dim=(1, 2)) / np.sqrt(1 + 1e-5))
        torch.testing.assert_close(out[0, 2 * index : 2 * index + 2, 2], expected)


def test_face_decoder_has_the_sizes_of_table_10() -> None:
    decoder = FaceDecoder(512)
    x = torch.randn(2, 512, 1, 1, generator=torch.Generator().manual_seed(0))
    sizes = []
    for block in decoder.low:
        x = block(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(1024, 2, 2), (512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32), (32, 64, 64)]
    channels = [512, 1024, 512, 256, 128, 64, 32]
    blocks = sum(9 * a * b + 3 * b for a, b in zip(channels, channels[1:], strict=False))
    assert parameters(decoder) == blocks + 3 * 32 + 3 == 11_010_051
    block7 = 9 * 32 * 16 + 3 * 16
    assert parameters(FaceDecoder(512, 128)) == blocks + block7 + 3 * 16 + 3
    assert parameters(FaceDecoder(512, 128, True)) == blocks + block7 + 3 * 32 + 3 + 3 * 16 + 3


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        (Config(width=0.05), [64]),
        (Config(width=0.05, resolution=128), [128]),
        (Config(width=0.05, resolution=128, multi_resolution=True), [64, 128]),
        (Config(width=0.05, variant="official"), [64]),
        (Config(width=0.05, variant="official", resolution=128), [64, 128]),
        (Config(width=0.05, encoder="baseline", decoder="baseline"), [64]),
    ],
)
def test_outputs_have_the_configured_resolutions(config: Config, sizes: list[int]) -> None:
    faces = config.network().eval()(torch.zeros(2, 3, 40, 125))
    assert [tuple(face.shape) for face in faces] == [(2, 3, size, size) for size in sizes]


@pytest.mark.parametrize(("outputs", "resolution", "convolutions"), [(2, 64, 3), (2890, 64, 3), (2, 128, 4)])
def test_discriminators_have_the_sizes_of_table_11(outputs: int, resolution: int, convolutions: int) -> None:
    network = Discriminator(outputs, resolution)
    x = network.convolutions(torch.zeros(2, 3, resolution, resolution))
    channels = [3, 64, 128, 256, 512][: convolutions + 1]
    assert x.shape == (2, channels[-1], 8, 8)
    expected = sum(16 * a * b + 3 * b for a, b in zip(channels, channels[1:], strict=False))
    expected += channels[-1] * 1024 + 1024 + 1024 * outputs + outputs
    assert parameters(network) == expected
    assert network(torch.zeros(2, 3, resolution, resolution)).shape == (2, outputs)


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_fuser_is_the_papers_equations(variant: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        fuser = EmbeddingFuser(8, variant)
    for tensor in fuser.parameters():
        torch.nn.init.normal_(tensor, generator=torch.Generator().manual_seed(2))
    e = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    # In f_i the official variant writes W_a' e_i where the paper writes e_i.
    w_a, w_f = fuser.query.weight.T.detach().double().numpy(), fuser.output.weight.detach().double().numpy()
    b_f = np.zeros(8) if variant == "official" else fuser.output.bias.detach().double().numpy()
    x = e.double().numpy()
    f = np.zeros(8)
    for i in range(5):
        s = np.array([x[i] @ w_a @ x[j] for j in range(5)])
        beta = np.exp(s) / np.exp(s).sum()
        a = sum(beta[j] * x[j] for j in range(5))
        f += (w_f @ np.concatenate([a, w_a.T @ x[i] if variant == "official" else x[i]]) + b_f) / 5
    if variant == "official":
        f /= np.linalg.norm(f)
    np.testing.assert_allclose(fuser(e[None])[0].detach().numpy(), f, rtol=1e-4, atol=1e-5)


def test_the_fuser_starts_as_the_mean_where_attention_is_even() -> None:
    fuser = EmbeddingFuser(16)
    torch.nn.init.zeros_(fuser.query.weight)
    e = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fuser(e), e.mean(dim=1))


def test_fusion_does_not_depend_on_the_order_of_windows() -> None:
    fuser = EmbeddingFuser(16)
    e = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fuser(e), fuser(e[:, torch.randperm(7, generator=torch.Generator().manual_seed(1))]))


@pytest.mark.parametrize(
    "fields",
    [
        {"resolution": 96},
        {"multi_resolution": True},
        {"decoder": "baseline", "resolution": 128},
        {"width": 0.0},
        {"overlap": 1.0},
        {"window_frames": 1},
        {"shortest_s": 0.0},
        {"linear_start": -1},
        {"linear_start": 64, "width": 0.1},
    ],
)
def test_impossible_configurations_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Config(**fields)


# ---- training


def losses(config: Config = SMALL, **settings: float) -> dict[str, float]:
    training = Training(batch=4, discriminator_width=0.1, **settings)
    crowd = people(resolution=config.resolution)
    perceptual = Recogniser() if training.perceptual or training.descriptor else None
    descriptors = Descriptors.of(perceptual, crowd) if perceptual else None
    recipe = EncoderDecoderRecipe(config, training, crowd, None, perceptual, descriptors)
    values = recipe.step(recipe.batch(np.random.default_rng(0)), lambda name, loss: None)
    return {name: float(value.detach()) for name, value in values.items()}


def test_total_is_the_weighted_sum_of_the_four_losses() -> None:
    parts = losses()
    expected = 10 * parts["l1"] + parts["adversarial"] + 0.05 * parts["classifier"] + 100 * parts["perceptual"]
    assert parts["total"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("ablated", "gone"),
    [
        ("l1", {"l1"}),
        ("adversarial", {"adversarial", "real_64"}),
        ("classifier", {"classifier", "identity_64"}),
        ("perceptual", {"perceptual"}),
    ],
)
def test_a_weight_of_zero_removes_its_loss_and_its_adversary(ablated: str, gone: set[str]) -> None:
    assert set(losses()) - set(losses(**{ablated: 0.0})) == gone


def test_our_own_losses_are_squared_pixels_and_the_angle_between_directions() -> None:
    """Held against plain numpy: differences from the mean person, by cosine; pixels against the portrait."""
    settings = {"l1": 0.0, "adversarial": 0.0, "classifier": 0.0, "perceptual": 0.0}
    training = Training(batch=4, l2=2.0, descriptor=3.0, **settings)
    crowd, network = people(), Recogniser()
    recipe = EncoderDecoderRecipe(SMALL, training, crowd, None, network, Descriptors.of(network, crowd))
    batch = recipe.batch(np.random.default_rng(0))
    values = {name: float(loss.detach()) for name, loss in recipe.step(batch, lambda name, loss: None).items()}
    made = recipe.network(batch["speech"])[0].detach()
    who = batch["people"].numpy()

    def described(faces: torch.Tensor) -> np.ndarray:
        return network.features(faces)[-1].detach().double().numpy()

    everyone = np.stack([described(to_unit(person.faces)).mean(0) for person in crowd.persons])
    wanted, own = everyone[who] - everyone.mean(0), described(imagenet_to_unit(made)) - everyone.mean(0)
    cosine = (wanted * own).sum(1) / np.linalg.norm(wanted, axis=1) / np.linalg.norm(own, axis=1)
    assert values["descriptor"] == pytest.approx(1 - cosine.mean(), rel=1e-4)
    truth = to_imagenet(batch["faces"]).double().numpy()
    pixels = made.double().numpy() - truth
    assert values["l2"] == pytest.approx((pixels**2).mean(), rel=1e-4)
    assert values["total"] == pytest.approx(2 * values["l2"] + 3 * values["descriptor"], rel=1e-5)


@pytest.mark.parametrize(("rank", "gain"), [(2, 1.0), (5, 1.7)])
def test_the_linear_start_is_the_best_low_rank_part_of_ridge_regression(rank: int, gain: float) -> None:
    """Held against numpy: ridge in one piece, and the singular vectors of its predictions."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 5)) @ rng.standard_normal((5, 5)) + 3
    y = x @ rng.standard_normal((5, 12)) + rng.standard_normal((300, 12)) + 7
    batches = [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in zip(np.split(x, 6), np.split(y, 6), strict=True)]
    codes, pictures, constant = (t.numpy() for t in reduced_rank_ridge(batches, rank, gain))
    centred, wanted = x - x.mean(0), y - y.mean(0)
    gram = centred.T @ centred
    slope = np.linalg.solve(gram + 1e-3 * gram.trace() / 5 * np.eye(5), centred.T @ wanted)
    predicted = centred @ slope
    _, _, directions = np.linalg.svd(predicted, full_matrices=False)
    best = predicted @ directions[:rank].T @ directions[:rank]
    np.testing.assert_allclose(x @ codes.T @ pictures.T + constant, y.mean(0) + gain * best, rtol=1e-2, atol=2e-2)
    np.testing.assert_allclose((centred @ codes.T).std(0), 1, atol=5e-2)


def test_where_all_pictures_are_alike_the_linear_start_draws_that_picture() -> None:
    embeddings = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 8)))
    alike = torch.full((50, 12), 3.0, dtype=torch.float64)
    codes, pictures, constant = reduced_rank_ridge([(embeddings, alike)], 2)
    drawn = embeddings @ (pictures @ codes).T + constant
    assert torch.allclose(drawn, alike, atol=1e-6)


def test_a_setting_that_says_nothing_leaves_initial_weights_as_they_were() -> None:
    from baselines.sf2f.training import _without_defaults

    assert "linear_start" not in _without_defaults(Config())
    assert _without_defaults(Config(linear_start=5)) == str(Config(linear_start=5))


def test_the_decoder_adds_to_the_linear_start_and_begins_with_nothing() -> None:
    config = dataclasses.replace(SMALL, linear_start=3)
    recipe = EncoderDecoderRecipe(config, Training(batch=4, perceptual=0.0, linear_gain=2.0), people(), None, None)
    recipe.start_linearly()
    network = recipe.network.eval()
    speech = recipe.batch(np.random.default_rng(0))["speech"]
    embeddings = network.encoder(speech)
    algebra = F.linear(
        F.linear(embeddings, network.linear_start.components.weight), *network.linear_start.picture.parameters()
    )
    torch.testing.assert_close(network(speech)[0].flatten(1), algebra, rtol=1e-4, atol=1e-4)
    before = [p.clone() for p in network.linear_start.parameters()]

    def update(name: str, loss: torch.Tensor) -> None:
        optimiser = recipe.optimisers()[name]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    recipe.step(recipe.batch(np.random.default_rng(0)), update)
    assert not any(torch.equal(a, b) for a, b in zip(before, network.linear_start.parameters(), strict=True))
    assert not torch.equal(network.eval()(speech)[0].flatten(1), algebra)


def test_faces_are_held_against_the_linear_start_as_the_stage_found_it() -> None:
    config = dataclasses.replace(SMALL, linear_start=3)
    none = {"adversarial": 0.0, "classifier": 0.0, "perceptual": 0.0, "l1": 0.0}
    training = Training(batch=4, target="linear", l2=1.0, frozen_encoder=True, **none)
    recipe = EncoderDecoderRecipe(config, training, people(), None, None)
    recipe.start_linearly()
    recipe.begin_at_the_reference()
    encoder = {name: tensor.clone() for name, tensor in recipe.network.encoder.state_dict().items()}
    with torch.no_grad():
        recipe.network.linear_start.picture.bias.add_(0.5)

    def update(name: str, loss: torch.Tensor) -> None:
        recipe.generator_optimiser.zero_grad()
        loss.backward()
        recipe.generator_optimiser.step()

    # The decoder adds nothing yet, so the picture differs from the reference by the shift alone.
    loss = recipe.step(recipe.batch(np.random.default_rng(0)), update)["l2"]
    assert float(loss.detach()) == pytest.approx(0.25, rel=1e-4)
    assert all(torch.equal(tensor, encoder[name]) for name, tensor in recipe.network.encoder.state_dict().items())
    with pytest.raises(InvalidConfig, match="linear_start above 0"):
        EncoderDecoderRecipe(SMALL, training, people(), None, None)


def test_the_face_network_sees_faces_through_a_blur() -> None:
    dot = torch.zeros(1, 3, 7, 7)
    dot[:, :, 3, 3] = 16.0
    taps = np.array([1.0, 2.0, 1.0])
    expected = np.zeros((7, 7))
    expected[2:5, 2:5] = np.outer(taps, taps)
    for channel in blurred(dot, 1)[0]:
        np.testing.assert_allclose(channel, expected, atol=1e-6)
    wide = np.convolve(taps, taps)
    np.testing.assert_allclose(blurred(dot, 2)[0, 0, 1:6, 1:6], np.outer(wide, wide) / 16, atol=1e-6)
    assert torch.equal(blurred(dot, 0), dot)
    recipe = EncoderDecoderRecipe(SMALL, Training(perceptual=0.0, blurs=2), people(), None, None)
    expected = [blurred(dot, passes) for passes in range(3)]
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        face = recipe.seen_again(dot)
        seen |= {passes for passes, blurry in enumerate(expected) if torch.equal(face, blurry)}
    assert seen == {0, 1, 2}


def test_the_face_network_sees_faces_moved_a_little() -> None:
    """Pictures whose levels are their own coordinates tell where each was moved."""
    side = 64
    ramp = (torch.arange(side) + 0.5) / side
    rows, columns = torch.meshgrid(ramp, ramp, indexing="ij")
    faces = torch.stack([columns, rows, torch.zeros_like(rows)]).expand(500, 3, side, side).contiguous()
    torch.manual_seed(0)
    seen = shaken(faces, 0.01)[:, :2, 16:48, 16:48]
    centre = seen.mean((2, 3)) - 0.5
    assert centre.std(0).tolist() == pytest.approx([0.01, 0.01], rel=0.15)
    scale = (seen[:, 0, :, -1] - seen[:, 0, :, 0]).mean(1) / (31 / side)
    assert float(scale.std()) == pytest.approx(0.01, rel=0.15)
    assert abs(float(scale.mean()) - 1) < 2e-3


def test_descriptors_are_directions_from_the_mean_person() -> None:
    crowd, network = people(), Recogniser()
    known = Descriptors.of(network, crowd)
    torch.testing.assert_close(known.persons.norm(dim=1), torch.ones(len(crowd)))
    torch.testing.assert_close(known.others(network, crowd).persons, known.persons)
    there = known.centre + 0.3 * known.persons
    assert float(known.unlikeness(there, known.persons)) == pytest.approx(0, abs=1e-5)
    assert float(known.unlikeness(there, -known.persons)) == pytest.approx(2, abs=1e-5)


def test_the_voice_encoder_learns_to_tell_directions_and_hands_over(tmp_path: Path) -> None:
    """Each person's recordings are one constant; what was learnt about them comes into stage 1 unchanged."""
    crowd = people()
    constant = tuple(
        dataclasses.replace(p, voices=(torch.full((40, 200), float(i)),)) for i, p in enumerate(crowd.persons)
    )
    crowd, network = People(constant), Recogniser()
    training = Training(voice_encoder_batch=6, batch=4, perceptual=0.0, voice_encoder_learning_rate=3e-3)
    recipe = VoiceEncoderRecipe(
        SMALL, training, crowd, crowd, Descriptors.of(network, crowd), Descriptors.of(network, crowd)
    )

    def update(name: str, loss: torch.Tensor) -> None:
        recipe.optimiser.zero_grad()
        loss.backward()
        recipe.optimiser.step()

    lessons = [recipe.step(recipe.batch(np.random.default_rng(n)), update)["descriptor"].item() for n in range(60)]
    assert lessons[-1] < 0.5 * lessons[0]
    recipe.network.eval()
    with torch.no_grad():
        assert set(recipe.validate()) == {"descriptor", "recall_at_1", "recall_at_10"}
    path = recipe.export(tmp_path / "voice_encoder.safetensors")
    second = EncoderDecoderRecipe(SMALL, training, crowd, None, None)
    second.start_from(path)
    for name, tensor in recipe.network.encoder.state_dict().items():
        assert torch.equal(tensor, second.network.encoder.state_dict()[name])


def test_dlib_sees_the_box_that_its_own_alignment_cuts_out() -> None:
    """Talkers portraits: the fixed crop's descriptor against detection, landmarks and alignment."""
    faces = np.stack([portrait(p, views(p, 1)[0], 64).image for p in map(person, range(700_000, 700_006))])
    judge = dlib_faces.load()
    boxed = BoxedDlib(judge.network)
    pictures = torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 255
    *layers, seen = boxed.features(pictures)
    found = judge.embed(list(faces))
    assert found.detected.all()
    assert [layer.shape[1] for layer in layers] == [32, 64, 128]
    cosine = (seen.numpy() * found.vectors).sum(1)
    assert cosine.min() > 0.985
    pictures.requires_grad_(True)
    boxed.features(pictures)[-1][:, 0].sum().backward()
    inside = pictures.grad[:, :, 20:52, 16:48].abs().sum()
    assert inside > 0
    assert pictures.grad[:, :, :14].abs().sum() == 0


def test_both_resolutions_are_judged() -> None:
    parts = losses(Config(width=0.05, resolution=128, multi_resolution=True))
    assert {"real_64", "real_128", "identity_64", "identity_128"} <= set(parts)


def test_baselines_of_table_7_replace_encoder_and_decoder() -> None:
    paper = SMALL.network()
    encoder = dataclasses.replace(SMALL, encoder="baseline").network()
    decoder = dataclasses.replace(SMALL, decoder="baseline").network()
    assert type(encoder.encoder) is not type(paper.encoder)
    assert type(encoder.decoder) is type(paper.decoder)
    assert type(decoder.decoder) is not type(paper.decoder)
    assert {len(losses(dataclasses.replace(SMALL, **{k: "baseline"}))) for k in ("encoder", "decoder")} == {7}


def test_adversaries_reward_being_right() -> None:
    adversaries = Adversaries(3, 64, "paper", 0.1).eval()
    logits = torch.tensor([[0.0, 5.0]])
    adversaries.real = torch.nn.Sequential(torch.nn.Flatten(), _Constant(logits))
    faces = torch.zeros(1, 3, 64, 64)
    assert float(adversaries.judge(faces, real=True)) == pytest.approx(float(np.log1p(np.exp(-5))), rel=1e-3)
    assert float(adversaries.judge(faces, real=False)) == pytest.approx(5 + float(np.log1p(np.exp(-5))), rel=1e-3)


class _Constant(torch.nn.Module):
    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.value


def test_facenet_sees_the_official_box_at_140_pixels() -> None:
    class Recorder(torch.nn.Module):
        def features(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (x, x, x, x)

    column = (torch.arange(64) / 63).expand(1, 3, 64, 64)
    (seen, *_) = BoxedFaceNet(Recorder()).features(column)
    assert seen.shape == (1, 3, 140, 140)
    # Columns 15 to 48 of 64, both included.
    expected = (255 * torch.tensor([15 / 63, 48 / 63]) - 127.5) / 128
    torch.testing.assert_close(seen[0, 0, 0, [0, -1]], expected)
    (rows, *_) = BoxedFaceNet(Recorder()).features(column.transpose(2, 3))
    expected = (255 * torch.tensor([12 / 63, 58 / 63]) - 127.5) / 128
    torch.testing.assert_close(rows[0, 0, [0, -1], 0], expected)


def test_perceptual_loss_weighs_layers_as_the_official_one() -> None:
    class Steps(torch.nn.Module):
        def features(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [x, 2 * x, 3 * x, 4 * x]

    loss = perceptual_loss(Steps(), torch.full((1, 3, 2, 2), 0.75), torch.full((1, 3, 2, 2), 0.25))
    assert float(loss) == pytest.approx(0.5 * (1 / 16 + 2 / 8 + 3 / 4 + 4))


def plain_critic(layers: list[int], module: torch.nn.Module) -> torch.nn.Sequential:
    """The authors' convolutions, filled in order from `module`: BN and LeakyReLU before all but the first."""
    plain: list[torch.nn.Module] = []
    for inputs, outputs in zip(layers, layers[1:], strict=False):
        if plain:
            plain += [torch.nn.BatchNorm2d(inputs), torch.nn.LeakyReLU(0.1)]
        plain.append(torch.nn.Conv2d(inputs, outputs, 4, 2))
    network = torch.nn.Sequential(*plain)
    state = dict(zip(network.state_dict(), module.state_dict().values(), strict=True))
    network.load_state_dict(state)
    return network


@pytest.mark.parametrize(("resolution", "layers"), [(64, [3, 64, 128, 256]), (128, [3, 64, 128, 256, 512])])
def test_official_adversaries_are_the_authors_networks(resolution: int, layers: list[int]) -> None:
    adversaries = Adversaries(7, resolution, "official")
    faces = torch.randn(2, 3, resolution, resolution, generator=torch.Generator().manual_seed(0))
    score, classifier = adversaries.real, adversaries.identity
    maps = plain_critic(layers, score.convolutions)(faces)
    expected = (maps * score.score.weight[0]).sum(1, keepdim=True) + score.score.bias
    torch.testing.assert_close(score(faces), expected, rtol=1e-4, atol=1e-5)
    trunk = plain_critic(layers, classifier.convolutions)(faces).mean((2, 3)) @ classifier.trunk.weight.T
    trunk = trunk + classifier.trunk.bias
    assert trunk.shape == (2, 1024)
    real, identity = classifier(faces)
    torch.testing.assert_close(real, trunk @ classifier.real.weight[0] + classifier.real.bias, rtol=1e-4, atol=1e-5)
    expected = trunk @ classifier.identity.weight.T + classifier.identity.bias
    torch.testing.assert_close(identity, expected, rtol=1e-4, atol=1e-5)


class Pixels(torch.nn.Module):
    """A face network for tests: the picture itself, four times."""

    def features(self, faces: torch.Tensor) -> list[torch.Tensor]:
        return [faces, faces, faces, faces]


@pytest.mark.parametrize("resolution", [64, 128])
def test_an_official_step_is_the_authors(resolution: int) -> None:
    """Generator first, then the adversaries on the same faces, with the authors' targets and losses."""
    config = Config(variant="official", width=0.05, resolution=resolution)
    training = Training(batch=4, discriminator_width=0.1, learning_rate=1e-2)
    crowd = people(resolution=resolution)
    recipe = EncoderDecoderRecipe(config, training, crowd, None, Pixels())
    for head in recipe.network.decoder.heads.values():
        # So that pixels leave their range, to which the face network's input is clamped.
        head[2].weight.data *= 30
    batch = recipe.batch(np.random.default_rng(0))
    network, adversaries = copy.deepcopy(recipe.network), copy.deepcopy(recipe.adversaries)
    who, names = batch["people"], [str(size) for size in (64, 128) if size <= resolution]
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    full = (batch["faces"] / 255 - mean) / deviation
    truth = {"64": full[..., :: resolution // 64, :: resolution // 64], "128": full}

    made = dict(zip(names, network(batch["speech"]), strict=True))
    total = torch.zeros(())
    for name, face in made.items():
        score, (real, identity) = adversaries[name].real(face), adversaries[name].identity(face)
        # The face network sees 0..255, so 0..1 here, and nothing beyond.
        seen, wanted = face * deviation + mean, truth[name] * deviation + mean
        assert seen.min() < -0.1 and seen.max() > 1.1
        seen = seen.clamp(0, 1)
        total = total + 10 * (face - truth[name]).abs().mean() + F.softplus(-score).mean()
        total = total + 0.05 * (F.cross_entropy(identity, who) + F.softplus(-real).mean())
        total = total + 100 * (1 / 16 + 1 / 8 + 1 / 4 + 1) * (seen - wanted).abs().mean()
    total.backward()
    adversaries.zero_grad()
    lessons = torch.zeros(())
    for name, face in made.items():
        fake, true = face.detach(), truth[name]
        judge, (real, identity) = adversaries[name].real, adversaries[name].identity(true)
        lessons = lessons + F.softplus(judge(fake)).mean() + F.softplus(-judge(true)).mean()
        lessons = lessons + F.softplus(-real).mean() + F.softplus(adversaries[name].identity(fake)[0]).mean()
        lessons = lessons + F.cross_entropy(identity, who)
    lessons.backward()

    order, gradients = [], {}

    def update(name: str, loss: torch.Tensor) -> None:
        order.append(name)
        optimiser = recipe.optimisers()[name]
        optimiser.zero_grad()
        loss.backward()
        learner = getattr(recipe, name)
        gradients[name] = {key: p.grad.clone() for key, p in learner.named_parameters() if p.grad is not None}
        optimiser.step()

    losses = recipe.step(batch, update)
    assert order == ["network", "adversaries"]
    assert float(losses["total"].detach()) == pytest.approx(float(total.detach()), rel=1e-4)
    taught = sum(float(losses[f"{kind}_{name}"].detach()) for kind in ("real", "identity") for name in names)
    assert taught == pytest.approx(float(lessons.detach()), rel=1e-4)
    for learner, plain in (("network", network), ("adversaries", adversaries)):
        expected = {key: p.grad for key, p in plain.named_parameters() if p.grad is not None}
        assert gradients[learner].keys() == expected.keys()
        for key, gradient in expected.items():
            torch.testing.assert_close(gradients[learner][key], gradient, rtol=1e-3, atol=1e-5, msg=key)


def test_the_papers_step_teaches_the_adversaries_first_and_averages_small_targets() -> None:
    order: list[str] = []
    config = Config(width=0.05, resolution=128, multi_resolution=True)
    training = Training(batch=4, discriminator_width=0.1, perceptual=0.0)
    recipe = EncoderDecoderRecipe(config, training, people(resolution=128), None, None)
    batch = recipe.batch(np.random.default_rng(0))
    losses = recipe.step(batch, lambda name, loss: order.append(name))
    assert order == ["adversaries", "network"]
    small = F.interpolate(batch["faces"].float(), (64, 64), mode="bilinear", antialias=True).round()
    made = recipe.network(batch["speech"])
    expected = sum(
        (face - to_imagenet(truth.to(torch.uint8))).abs().mean()
        for face, truth in zip(made, (small, batch["faces"]), strict=True)
    )
    torch.testing.assert_close(losses["l1"], expected, rtol=1e-4, atol=1e-5)


def test_the_official_fuser_learns_from_twenty_pieces_that_do_not_overlap() -> None:
    ramps = tuple(torch.arange(float(length)).expand(40, length) + 1000 * n for n, length in enumerate((300, 700, 100)))
    crowd = People((Person("a", ramps, torch.zeros(1, 3, 64, 64, dtype=torch.uint8)),) * 2)
    config = Config(variant="official", width=0.05)
    training = options(Training, {"batch": 2, "perceptual": 0.0, "fuser_seconds": [25.0, 25.0]})
    recipe = FuserRecipe(config, training, crowd, None, None)
    assert recipe.critic_optimiser.param_groups[0]["lr"] == training.fuser_critic_learning_rate
    speech = recipe.batch(np.random.default_rng(0))["speech"]
    assert speech.shape == (2, 20, 40, 125)
    starts = speech[:, :, 0, 0]
    assert torch.equal(speech, starts[:, :, None, None] + torch.arange(125.0).expand(40, 125))
    # Of the third recording, shorter than a piece, nothing; of the others, pieces end to end from a random frame.
    assert set((starts // 1000).unique().tolist()) == {0.0, 1.0}
    steps = starts.diff(dim=1)
    assert ((steps == 125) | (starts[:, 1:] % 1000 < 575)).all() and (steps == 125).any()


@pytest.mark.parametrize(("variant", "how"), [("official", "BILINEAR"), ("paper", "BICUBIC")])
def test_training_faces_are_resized_as_the_variant_says(tmp_path: Path, variant: str, how: str) -> None:
    large = np.random.default_rng(0).integers(0, 256, (100, 90, 3), dtype=np.uint8)
    write_image(tmp_path / "f.png", large)
    write_audio(tmp_path / "a.wav", Audio(speechlike(2.0), 16000))
    sample = Sample("p", "p", {"speech": (tmp_path / "a.wav",)}, {"face": (tmp_path / "f.png",)})
    (first, *_) = recipes(Config(variant=variant, width=0.05), {"perceptual": 0.0, "batch": 1}, [sample])
    expected = Image.fromarray(large).resize((64, 64), Image.Resampling[how])
    (face,) = first.build(tmp_path).people.persons[0].faces
    np.testing.assert_array_equal(face.permute(1, 2, 0).numpy(), np.asarray(expected))


def test_stage_one_takes_one_crop_length_of_1_to_1_5_seconds() -> None:
    recipe = EncoderDecoderRecipe(SMALL, Training(batch=4, perceptual=0.0), people(), None, None)
    lengths = {recipe.batch(np.random.default_rng(seed))["speech"].shape[2] for seed in range(300)}
    assert min(lengths) == 100
    assert max(lengths) == 150
    same = [recipe.batch(np.random.default_rng(5))["speech"] for _ in range(2)]
    torch.testing.assert_close(*same, rtol=0, atol=0)


def test_stage_two_changes_the_fuser_alone() -> None:
    training = Training(batch=4, perceptual=0.0, discriminator_width=0.1, fuser_seconds=(3.0, 4.0))
    recipe = FuserRecipe(SMALL, training, people(), None, None)
    before = {name: tensor.clone() for name, tensor in recipe.network.state_dict().items()}
    batch = recipe.batch(np.random.default_rng(0))
    assert batch["speech"].shape[1:] == ((batch["speech"].shape[1]), 40, 125)
    assert batch["speech"].shape[1] in (3, 4, 5)

    def update(name: str, loss: torch.Tensor) -> None:
        optimiser = recipe.optimisers()[name]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    recipe.step(batch, update)
    changed = {name for name, tensor in recipe.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"fuser.query.weight", "fuser.output.weight", "fuser.output.bias"}


def test_training_settings_are_checked() -> None:
    assert options(Training, {"crop_frames": [50, 60], "l1": 0}).crop_frames == (50, 60)
    with pytest.raises(InvalidConfig, match="Did you mean 'fuser_steps'"):
        options(Training, {"fuser_step": 3})
    with pytest.raises(InvalidConfig, match="steps"):
        options(Training, {"steps": "many"})


# ---- inference


def test_pictures_survive_the_way_through_imagenet_space() -> None:
    faces = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    np.testing.assert_array_equal(to_pictures(imagenet_to_unit(to_imagenet(faces))), to_pictures(to_unit(faces)))
    assert float(to_imagenet(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8))[0, 0]) == pytest.approx(
        (1 - 0.485) / 0.229
    )


@pytest.mark.parametrize("fuser", [True, False])
def test_an_output_does_not_depend_on_its_batch(tmp_path: Path, fuser: bool) -> None:
    sf2f = method(tmp_path, dataclasses.replace(SMALL, fuser=fuser))
    examples = [example(speechlike(seconds, seed)) for seed, seconds in enumerate((5.0, 1.25, 0.7, 3.0))]
    together = sf2f.generate(examples)
    backwards = sf2f.generate(examples[::-1])[::-1]
    for one, (a, b) in zip(examples, zip(together, backwards, strict=True), strict=True):
        (alone,) = sf2f.generate([one])
        assert isinstance(alone, np.ndarray)
        assert alone.shape == (64, 64, 3)
        assert alone.dtype == np.uint8
        for other in (a, b):
            assert np.abs(alone.astype(int) - np.asarray(other).astype(int)).max() <= 1


def test_different_voices_give_different_faces(tmp_path: Path) -> None:
    a, b = method(tmp_path).generate([example(speechlike(2.0)), example(np.diff(speechlike(2.0)))])
    assert not np.array_equal(a, b)


def test_unusable_speech_fails_alone(tmp_path: Path) -> None:
    good = speechlike(2.0)
    bad = [np.zeros(32000, np.float32), np.full(32000, np.nan, np.float32), good[:1000]]
    outputs = method(tmp_path).generate([example(x) for x in [good, *bad, good]])
    assert all(isinstance(output, MethodError) for output in outputs[1:4])
    assert isinstance(outputs[0], np.ndarray)
    np.testing.assert_array_equal(outputs[0], outputs[4])
    assert method(tmp_path).generate([]) == []


def test_speech_without_a_voiced_frame_is_refused(tmp_path: Path) -> None:
    sf2f = method(tmp_path, dataclasses.replace(SMALL, vad=True))
    (output,) = sf2f.generate([example(np.full(32000, 0.01, np.float32))])
    assert isinstance(output, MethodError)
    assert "voiced" in str(output)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = export(tmp_path / "w.safetensors", SMALL.network().state_dict(), {})
    with pytest.raises(InvalidConfig, match="does not fit"):
        SF2F(Config(width=0.1), path).load("cpu")
    with pytest.raises(MissingWeights, match="train --method sf2f"):
        SF2F(SMALL, tmp_path / "none.safetensors").load("cpu")
    with pytest.raises(MissingWeights, match="names no weights"):
        SF2F(SMALL).load("cpu")
    (tmp_path / "broken.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(MissingWeights, match="cannot be read"):
        SF2F(SMALL, tmp_path / "broken.safetensors").load("cpu")


def test_weights_with_a_fuser_also_serve_without(tmp_path: Path) -> None:
    path = export(tmp_path / "w.safetensors", initialised(SMALL).state_dict(), {})
    sf2f = SF2F(dataclasses.replace(SMALL, fuser=False), path)
    sf2f.load("cpu")
    assert sf2f.network.fuser is None


def test_half_precision_export_keeps_statistics(tmp_path: Path) -> None:
    network = initialised(SMALL)
    network.encoder.model[0].branches[0][1].running_var.fill_(1e6)
    path = export(tmp_path / "w.safetensors", network.state_dict(), {"config": {"width": 0.05}})
    sf2f = SF2F(SMALL, path)
    sf2f.load("cpu")
    assert float(sf2f.network.encoder.model[0].branches[0][1].running_var[0]) == 1e6
    torch.testing.assert_close(sf2f.network.fuser.query.weight, network.fuser.query.weight, atol=1e-3, rtol=1e-3)


# ---- official checkpoints

OFFICIAL_PREFIXES = {
    "branches": "conv_k",
    "fuser.query": "encoder.attn_fuser.attention.linear_in",
    "fuser.output": "encoder.attn_fuser.attention.linear_out",
}


def official_name(ours: str, resolution: int) -> str:
    """Our names back into the authors', written independently of the rules under test."""
    part = ours.split(".")
    if part[0] == "fuser":
        return OFFICIAL_PREFIXES[".".join(part[:2])] + "." + ".".join(part[2:])
    if part[0] == "encoder" and "branches" in part:
        kernel = {"0": 2, "1": 3, "2": 5, "3": 7}[part[4]]
        return f"encoder.model.{part[2]}.conv_k{kernel}.model.{part[5]}.{part[6]}"
    low, head = ("up_low_layers", "gnet_low") if resolution == 128 else ("up_layers", "gnet")
    if part[1] == "start":
        return "decoder.fc." + ".".join(part[2:])
    if part[1] == "low":
        return f"decoder.{low}.{part[2]}.{ {'convolution': 1, 'normalisation': 2}[part[3]] }.{part[4]}"
    if part[1] == "high":
        return f"decoder.up_mid_layer.{ {'convolution': 1, 'normalisation': 2}[part[2]] }.{part[3]}"
    if part[1] == "heads":
        return f"decoder.{head if part[2] == '64' else 'gnet_mid'}.{part[3]}.{part[4]}"
    return ours


@pytest.mark.parametrize("resolution", [64, 128])
def test_official_checkpoint_gives_the_same_outputs(tmp_path: Path, resolution: int) -> None:
    config = Config(variant="official", width=0.05, resolution=resolution)
    network = initialised(config)
    state = {f"module.{official_name(k, resolution)}": v for k, v in network.state_dict().items()}
    assert "module.encoder.model.0.conv_k2.model.0.weight" in state
    assert "module.encoder.model.4.bias" in state
    path = tmp_path / "best_R10_with_model.pt"
    torch.save({"model_state": state, "optim_state": {"step": 3}, "counters": {"t": 7}}, path)
    sf2f = SF2F(config, path)
    sf2f.load("cpu")
    x = torch.randn(2, 3, 40, 125, generator=torch.Generator().manual_seed(0))
    for mine, theirs in zip(sf2f.network(x), network(x), strict=True):
        torch.testing.assert_close(mine, theirs)
    (picture,) = sf2f.generate([example(speechlike(2.0))])
    assert isinstance(picture, np.ndarray)
    assert picture.shape == (resolution, resolution, 3)


def normalised(x: torch.Tensor, state: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    """Batch normalisation in evaluation."""
    mean, variance, weight, bias = (
        state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, variance, weight, bias)


def official_faces(state: dict[str, torch.Tensor], segments: torch.Tensor, resolution: int) -> torch.Tensor:
    """`[N, 40, T]` to `[1, 3, S, S]` as the authors' checkpoint is meant, from its own names."""
    x = segments
    for block in range(4):
        outs = []
        for kernel, padding in ((2, 1), (3, 1), (5, 2), (7, 3)):
            name = f"encoder.model.{block}.conv_k{kernel}.model"
            y = F.conv1d(x, state[f"{name}.0.weight"], stride=2, padding=padding)
            outs.append(F.relu(normalised(y, state, f"{name}.1")))
        x = torch.cat([y[..., : outs[1].shape[-1]] for y in outs], 1)
    x = F.conv1d(x, state["encoder.model.4.weight"], state["encoder.model.4.bias"], stride=2, padding=1)
    e = F.normalize(x.mean(2))
    query = e @ state["encoder.attn_fuser.attention.linear_in.weight"].T
    context = torch.softmax(query @ e.T, 1) @ e
    fused = torch.cat([context, query], 1) @ state["encoder.attn_fuser.attention.linear_out.weight"].T
    x = F.normalize(fused.mean(0, keepdim=True)) @ state["decoder.fc.0.weight"].T
    x = F.glu(normalised(x, state, "decoder.fc.1"), 1)
    x = x.view(1, x.shape[1] // 16, 4, 4)
    up = [f"decoder.{'up_layers' if resolution == 64 else 'up_low_layers'}.{number}" for number in range(4)]
    for name in up + ["decoder.up_mid_layer"] * (resolution == 128):
        x = F.conv2d(x.repeat_interleave(2, 2).repeat_interleave(2, 3), state[f"{name}.1.weight"], padding=1)
        x = F.glu(normalised(x, state, f"{name}.2"), 1)
    head = "decoder.gnet" if resolution == 64 else "decoder.gnet_mid"
    x = F.leaky_relu(F.conv2d(x, state[f"{head}.0.weight"], state[f"{head}.0.bias"], padding=1))
    return F.conv2d(x, state[f"{head}.2.weight"], state[f"{head}.2.bias"])


@pytest.mark.parametrize("resolution", [64, 128])
def test_a_checkpoint_in_the_authors_form_draws_the_authors_picture(tmp_path: Path, resolution: int) -> None:
    config = Config(variant="official", width=0.05, resolution=resolution)
    generator = torch.Generator().manual_seed(resolution)
    state = {}
    for ours, tensor in config.network().state_dict().items():
        values = torch.randn(tensor.shape, generator=generator)
        if tensor.dtype == torch.int64:
            values = tensor
        elif "running_var" in ours:
            values = values.abs() + 0.5
        elif tensor.ndim > 1:
            values = values * tensor[0].numel() ** -0.5
        state[official_name(ours, resolution)] = values
    # Far from even, attention and the query beside its context both matter.
    state["encoder.attn_fuser.attention.linear_in.weight"] *= 8
    path = tmp_path / "best_R10_with_model.pt"
    torch.save({"model_state": {f"module.{name}": tensor for name, tensor in state.items()}}, path)
    sf2f = SF2F(config, path)
    sf2f.load("cpu")
    speech = speechlike(3.0)
    banks = log_filter_banks(torch.from_numpy(speech))
    segments = torch.stack([banks[:, start : start + 125] for start in range(0, banks.shape[1] - 124, 63)])
    face = official_faces(state, segments, resolution)[0]
    mean, deviation = torch.tensor([[[0.485]], [[0.456]], [[0.406]]]), torch.tensor([[[0.229]], [[0.224]], [[0.225]]])
    levels = ((face * deviation + mean) * 255).clamp(0, 255).permute(1, 2, 0).numpy()
    assert ((levels > 0) & (levels < 255)).mean() > 0.3
    (picture,) = sf2f.generate([example(speech)])
    # Cut, not rounded: but for the last bits of the sums, a pixel lies between 0 and 1 below its value.
    below = levels - picture
    assert picture.shape == levels.shape and below.min() > -1e-2 and below.max() < 1 + 1e-2
    assert 0.4 < below[(levels > 1) & (levels < 254)].mean() < 0.6


def test_official_pictures_cut_fractions_off_and_keep_whole_numbers() -> None:
    faces = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    for fraction, offset in ((0.01, 0), (0.5, 0), (0.99, 0), (-0.01, -1)):
        expected = (faces.numpy().astype(int) + offset).clip(0, 255).transpose(0, 2, 3, 1)
        found = official_pictures(to_imagenet(faces) + fraction / 255 / deviation)
        np.testing.assert_array_equal(found, expected)


def test_official_checkpoints_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="--preset official"):
        from_official({"model_state": {}}, SMALL)
    with pytest.raises(InvalidConfig, match="strange"):
        from_official({"model_state": {"strange.weight": torch.zeros(1)}}, Config(variant="official"))
