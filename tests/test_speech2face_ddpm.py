"""The DDPM cascade: front end, networks at the paper's sizes, diffusion and guidance, trainings, the method."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from test_frontends import speechlike

from baselines.checkpoints import export, read
from baselines.lamb import Lamb
from baselines.people import People, Person
from baselines.settings import options
from baselines.speech2face_ddpm.config import Config, Training
from baselines.speech2face_ddpm.diffusion import Diffusion, guided, noised
from baselines.speech2face_ddpm.encoder import SHORTEST, SpeechEncoder
from baselines.speech2face_ddpm.method import Speech2FaceDDPM
from baselines.speech2face_ddpm.network import Cascade, shrunk
from baselines.speech2face_ddpm.pictures import Faces, looker
from baselines.speech2face_ddpm.sampling import draw_faces, enlarge_faces
from baselines.speech2face_ddpm.speech import FrontEnd, repeated, spectrogram
from baselines.speech2face_ddpm.training import DecoderRecipe, EncoderRecipe, SuperResolutionRecipe, recipes
from baselines.training import Loop, train, train_stages
from benchmark.configuration import Presets, resolve
from benchmark.errors import InvalidConfig, MethodError, MissingDependency, MissingWeights
from benchmark.media import write_audio, write_image
from benchmark.training import _check_size
from benchmark.types import Audio, Example, Sample

FOLDER = Path(__file__).parents[1] / "baselines" / "speech2face_ddpm"
SMALL = Config(
    embedding=4,
    encoder_width=0.05,
    encoder_hidden=8,
    decoder_dim=16,
    decoder_multiples=(1, 2),
    decoder_blocks=(0, 1),
    decoder_attention=(False, True),
    decoder_groups=4,
    decoder_patch=4,
    super_dim=16,
    super_multiples=(1, 2),
    super_blocks=(0, 0),
    super_attention=(False, True),
    super_groups=4,
    super_patch=4,
    heads=2,
    head_dim=4,
    large=128,
    prediction="v",
    resolution=64,
    solver="dpm",
    steps=3,
    super_steps=2,
)
QUICK = Training(
    encoder_steps=2, decoder_steps=2, super_steps=2, encoder_batch=2, decoder_batch=4, super_batch=2, seconds=2.7
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def talkers() -> Config:
    return resolve(Config, Presets.beside(FOLDER)).config


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def lively(network: Cascade) -> Cascade:
    """Weights that let every part of the networks matter: some begin as zeros."""
    torch.manual_seed(5)
    with torch.no_grad():
        for tensor in network.parameters():
            if not tensor.any():
                tensor.normal_(std=0.05)
    return network.eval()


def example(samples: np.ndarray, seed: int = 1) -> Example:
    return Example(Sample("a", "a", {}), 0, seed, {"speech": Audio(samples, 16000)})


def method(tmp_path: Path, config: Config = SMALL) -> Speech2FaceDDPM:
    made = Speech2FaceDDPM(config, export(tmp_path / "w.safetensors", lively(config.network()).state_dict(), {}))
    made.load("cpu")
    return made


def people(count: int = 6, side: int = 128) -> People:
    """Two faces and one recording each; the left half of every second face is bright, of the others the right."""
    rng = np.random.default_rng(0)

    def person(number: int) -> Person:
        faces = torch.full((2, 3, side, side), 60, dtype=torch.uint8)
        half = slice(side // 2) if number % 2 else slice(side // 2, side)
        faces[..., half] = 200
        speech = torch.from_numpy(rng.integers(-3000, 3000, (1, 30_000)).astype(np.int16))
        return Person(f"p{number}", [speech], faces + torch.tensor([0, number], dtype=torch.uint8)[:, None, None, None])

    return People([person(number) for number in range(count)])


def look(faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A face network that sees which half is brighter, and none that begins with a level of 62."""
    bright = faces.float()[..., : faces.shape[-1] // 2].mean((1, 2, 3)) > 120
    told = torch.stack([torch.ones(len(faces)), bright * 2.0 - 1, torch.zeros(len(faces)), torch.zeros(len(faces))], 1)
    return torch.nn.functional.normalize(told, dim=1), faces[:, 0, 0, 0] != 62


# -- speech ------------------------------------------------------------------------------------------------------------


def test_spectrograms_are_compressed_parts_of_frames_that_lie_within_the_speech() -> None:
    samples = torch.from_numpy(speechlike(6.0)).float()
    made = spectrogram(samples[None])
    assert made.shape == (1, 2, 598, 257)
    window = np.hanning(401)[:400]  # periodic: the transform's own window has one sample more
    frame = np.fft.rfft(samples[160 * 7 : 160 * 7 + 400].numpy().astype(np.float64) * window, 512)
    for part, expected in zip(made[0, :, 7], (frame.real, frame.imag), strict=True):
        np.testing.assert_allclose(part, np.sign(expected) * np.abs(expected) ** 0.3, atol=2e-2)


def test_short_speech_is_repeated_and_long_speech_cut() -> None:
    short = torch.arange(30_000.0)
    assert torch.equal(repeated(short)[30_000:60_000], short) and len(repeated(short)) == 96_000
    long = torch.arange(100_000.0)
    assert torch.equal(repeated(long), long[:96_000])


def test_the_front_end_keeps_samples_as_16_bits_and_refuses_silence() -> None:
    samples = np.array([0.5, -1.0, 1.0, 0.25] * 4000, np.float32)
    assert FrontEnd(0.5)(Audio(samples, 16000))[0, :4].tolist() == [16384, -32768, 32767, 8192]
    with pytest.raises(MethodError, match="audible"):
        FrontEnd(0.5)(Audio(np.zeros(16000, np.float32), 16000))


# -- networks ----------------------------------------------------------------------------------------------------------


def test_the_encoder_has_speech2faces_sizes() -> None:
    with torch.device("meta"):
        encoder = SpeechEncoder(512)
        sizes = []
        for layer in encoder.convolutions:
            if isinstance(layer, torch.nn.Conv2d):
                layer.register_forward_hook(lambda module, args, out: sizes.append(tuple(out.shape[1:])))
        assert encoder(torch.zeros(1, 2, 598, 257)).shape == (1, 512)
    times, bands = [595, 592, 589, 291, 142, 68, 31, 14, 6], [254, 251, 248, 245, 242, 239, 236, 117, 57]
    assert sizes == list(zip((64, 64, 128, 128, 128, 256, 512, 512, 512), times, bands, strict=True))
    assert parameters(encoder.output[0]) == (57 * 512 + 1) * 4096


def test_embeddings_have_unit_length_for_any_duration() -> None:
    encoder = SpeechEncoder(8, width=0.05, hidden=8).eval()
    for frames in (SHORTEST, 300):
        assert torch.allclose(encoder(torch.randn(2, 2, frames, 257)).norm(dim=1), torch.ones(2))
    with pytest.raises(RuntimeError):
        encoder(torch.randn(1, 2, SHORTEST - 1, 257))


def test_the_papers_networks_build_and_take_a_step() -> None:
    """Without memory or arithmetic: sizes alone, of forward, backward and the optimiser."""
    with torch.device("meta"):
        config = Config()
        network = config.network()
        assert [round(parameters(part) / 1e6, 1) for part in network.children()] == [133.4, 395.5, 592.4]
        assert config.decoder_shape().blocks == (3, 3, 3, 3) and config.super_shape().efficient
        faces, time = torch.zeros(2, 3, 64, 64), torch.zeros(2)
        told = network.denoise(faces, time, network.encoder(torch.zeros(2, 2, 598, 257)), config.guidance)
        large = torch.zeros(1, 3, 512, 512)
        drawn = network.super_resolution(large, time[:1], low=large, level=time[:1])
        assert told.shape == faces.shape and drawn.shape == large.shape
        for part, loss in ((network.decoder, told.mean()), (network.super_resolution, drawn.mean())):
            optimiser = Lamb(part.parameters(), lr=2e-4)
            loss.backward(retain_graph=True)
            assert all(p.grad is not None and p.grad.shape == p.shape for p in part.parameters())
            optimiser.step()


def test_the_card_states_the_sizes() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    with torch.device("meta"):
        for config, digits in ((Config(), 1), (talkers(), 2)):
            for part in config.network().children():
                assert f"{parameters(part) / 1e6:.{digits}f}" in card


def test_presets_keep_to_the_paper_and_fit_their_fields() -> None:
    tables = tomllib.loads((FOLDER / "presets.toml").read_text())
    for name in ("talkers", "paper"):
        settings = resolve(Config, Presets.beside(FOLDER), name)
        options(Training, settings.training)
        assert settings.weights is None or settings.weights == FOLDER / "talkers.safetensors"
    paper, training = resolve(Config, Presets.beside(FOLDER), "paper").config, Training()
    assert (paper.diffusion_steps, paper.prediction, paper.solver, paper.steps) == (2000, "epsilon", "ddpm", 2000)
    assert (training.drop, training.decoder_rate, training.super_rate) == (0.1, 2e-4, 5e-5)
    assert tables["talkers"]["population"]["portrait_size"] == talkers().large


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"resolution": 100}, "resolution must be 64"),
        ({"decoder_blocks": (1,)}, "one entry a level"),
        ({"decoder_dim": 18}, "multiple of decoder_groups"),
        ({"super_patch": 3}, "super_patch"),
        ({"steps": 2001}, "steps"),
        ({"guidance": -1.0}, "guidance"),
        ({"solver": "euler"}, "solver"),
    ],
)
def test_impossible_configurations_are_refused(fields: dict[str, object], about: str) -> None:
    with pytest.raises(ValueError, match=about):
        dataclasses.replace(SMALL, **fields)


def test_portraits_smaller_than_what_is_to_be_drawn_are_refused() -> None:
    settings = resolve(Config, Presets.beside(FOLDER), sets=("population.portrait_size=64",))
    with pytest.raises(InvalidConfig, match="faces of 128 pixels"):
        _check_size(settings, "speech2face")


def test_a_denoiser_sees_its_embedding_its_time_and_the_small_picture() -> None:
    network = lively(SMALL.network())
    x, time, e = torch.randn(1, 3, 64, 64), torch.full((1,), 0.5), torch.tensor([[1.0, 0, 0, 0]])
    one = network.decoder(x, time, e)
    assert not torch.allclose(one, network.decoder(x, time, -e), atol=1e-4)
    assert not torch.allclose(one, network.decoder(x, time / 2, e), atol=1e-4)
    large, low = torch.randn(1, 3, 128, 128), torch.randn(1, 3, 128, 128)
    two = network.super_resolution(large, time, low=low, level=time)
    assert not torch.allclose(two, network.super_resolution(large, time, low=-low, level=time), atol=1e-4)
    assert not torch.allclose(two, network.super_resolution(large, time, low=low, level=time / 2), atol=1e-4)


# -- diffusion ---------------------------------------------------------------------------------------------------------


def test_the_schedule_is_the_cosine_of_diffusers() -> None:
    from diffusers.schedulers import DDPMScheduler

    ours = Diffusion(2000)
    known = DDPMScheduler(2000, beta_schedule="squaredcos_cap_v2")
    np.testing.assert_allclose(ours.betas(), known.betas, rtol=1e-4)
    np.testing.assert_allclose(ours.signal(), known.alphas_cumprod, atol=1e-5)
    share = ours.signal()[500]
    picture, noise = torch.full((1, 3, 2, 2), 0.3), torch.full((1, 3, 2, 2), -0.7)
    x, _ = ours.noisy(picture, noise, torch.tensor([500]))
    assert torch.allclose(x, share.sqrt() * picture + (1 - share).sqrt() * noise)
    # a level is a time: as much noise as after as many steps of the whole
    assert torch.allclose(noised(picture, noise, torch.tensor([501 / 2000])), x, atol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize(("solver", "steps"), [("ddpm", 40), ("ddim", 7), ("dpm", 4)])
def test_a_denoiser_that_knows_the_picture_leads_to_it(prediction: str, solver: str, steps: int) -> None:
    process = Diffusion(100, prediction)  # type: ignore[arg-type]
    picture = torch.rand(1, 3, 4, 4) * 2 - 1

    def knowing(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        share = process.signal()[(time * 100).round().long()][:, None, None, None]
        noise = (x - share.sqrt() * picture) / (1 - share).sqrt()
        return noise if prediction == "epsilon" else share.sqrt() * noise - (1 - share).sqrt() * picture

    for threshold in (1.0, 0.99):
        made = process.sample(knowing, (3, 4, 4), generators(0, 1), solver, steps, threshold)  # type: ignore[arg-type]
        assert torch.allclose(made, picture.expand_as(made), atol=1e-4)


def test_ancestral_sampling_draws_the_distribution_of_the_data() -> None:
    """Of pixels that are normal around 0.3, whose best denoiser is known in closed form."""
    mean, deviation, process = 0.3, 0.2, Diffusion(200, "epsilon")

    def best(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        share = process.signal()[(time * 200).round().long()][:, None, None, None]
        gain = share.sqrt() * deviation**2 / (share * deviation**2 + 1 - share)
        picture = mean + gain * (x - share.sqrt() * mean)
        return (x - share.sqrt() * picture) / (1 - share).sqrt()

    made = process.sample(best, (3, 8, 8), generators(*range(60)), "ddpm", 200)
    assert abs(float(made.mean()) - mean) < 0.01 and abs(float(made.std()) - deviation) < 0.015


def test_guidance_goes_on_from_the_unconditional_through_the_conditional() -> None:
    one, zero = torch.tensor([2.0]), torch.tensor([1.0])
    assert guided(one, zero, 0.0) == 2 and guided(one, zero, 4.0) == 6
    network = lively(SMALL.network())
    x, time = torch.randn(2, 3, 64, 64), torch.full((2,), 0.4)
    e = torch.nn.functional.normalize(torch.randn(2, 4), dim=1)
    conditional, free = network.decoder(x, time, e), network.decoder(x, time, torch.zeros(2, 4))
    assert torch.allclose(network.denoise(x, time, e, 3.0), 4 * conditional - 3 * free, atol=1e-4)
    assert torch.equal(network.denoise(x, time, e, 0.0), conditional)


# -- training ----------------------------------------------------------------------------------------------------------


def test_faces_are_those_that_the_network_sees_less_everybodys_mean() -> None:
    known = people()
    faces = Faces.of(known, look, centred=True)
    assert len(faces) == 11  # one begins with 62
    assert [2, 1] not in faces.where.tolist()
    told = torch.stack([look(person.faces)[0].mean(0) for person in known.persons])
    assert torch.allclose(faces.centre, told.mean(0))
    expected = torch.nn.functional.normalize(told - told.mean(0), dim=1)
    who, directions = faces.persons()
    assert torch.equal(who, torch.arange(6)) and torch.allclose(directions, expected, atol=1e-6)
    assert torch.equal(Faces.of(known, look).centre, torch.zeros(4))
    pictures, descriptors = faces.draw(np.random.default_rng(0), 11)
    assert torch.allclose(descriptors[:, 1].sign(), (pictures[:, 0, 0, 0] > 120).float() * 2 - 1)


def test_a_face_network_with_a_detector_looks_at_pictures() -> None:
    class Network:
        def embed(self, images):  # type: ignore[no-untyped-def]
            from metrics.networks.face_embedder import Embeddings

            assert images[0].shape == (8, 8, 3) and images[0].dtype == np.uint8
            return Embeddings(np.eye(len(images), 4, dtype=np.float32), np.array([True] * (len(images) - 1) + [False]))

    told, found = looker("arcface", Network())(torch.zeros(3, 3, 8, 8, dtype=torch.uint8))
    assert told.shape == (3, 4) and found.tolist() == [True, True, False]


def test_the_decoder_learns() -> None:
    """One batch with the same noise again and again."""
    settings = dataclasses.replace(QUICK, optimiser="adam", decoder_rate=5e-3, decoder_batch=2)
    recipe = DecoderRecipe(SMALL, settings, Faces.of(people(6, 64), look, centred=True))
    batch = recipe.batch(np.random.default_rng(0))
    losses = []

    def update(name: str, loss: torch.Tensor) -> None:
        recipe.optimiser.zero_grad()
        loss.backward()
        recipe.optimiser.step()
        losses.append(float(loss.detach()))

    for _ in range(60):
        torch.manual_seed(0)
        recipe.step(batch, update)
    assert losses[-1] < 0.93 * losses[0]


def test_the_decoders_loss_is_the_squared_error_of_what_is_to_be_told() -> None:
    recipe = DecoderRecipe(SMALL, dataclasses.replace(QUICK, drop=0.0), Faces.of(people(6, 64), look))
    batch = recipe.batch(np.random.default_rng(0))
    lively(recipe.network)
    torch.manual_seed(3)
    loss = recipe.loss(batch)
    torch.manual_seed(3)
    pictures = batch["faces"].float() / 127.5 - 1
    steps = torch.randint(2000, (4,))
    noise = torch.randn_like(pictures)
    angle = torch.pi / 2 * ((steps + 1) / 2000 + 0.008) / 1.008
    share = (angle.cos() / torch.cos(torch.tensor(torch.pi / 2 * 0.008 / 1.008))).square()[:, None, None, None]
    x, wanted = (
        share.sqrt() * pictures + (1 - share).sqrt() * noise,
        share.sqrt() * noise - (1 - share).sqrt() * pictures,
    )
    told = recipe.network.decoder(x, steps / 2000, batch["descriptors"])
    assert torch.allclose(loss, (told - wanted).square().mean(), rtol=1e-3)


def test_a_part_of_the_embeddings_is_withheld_and_withheld_means_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = DecoderRecipe(SMALL, dataclasses.replace(QUICK, drop=0.25), Faces.of(people(), look))
    seen = []
    monkeypatch.setattr(recipe.network.decoder, "forward", lambda x, time, e: seen.append(e) or torch.zeros_like(x))
    torch.manual_seed(0)
    pictures, descriptors = recipe.faces.take(np.zeros(400, int))
    recipe.loss({"faces": pictures[:, :, ::2, ::2], "descriptors": descriptors})
    zero = (seen[0] == 0).all(1)
    assert 60 < int(zero.sum()) < 140 and torch.equal(seen[0][~zero], descriptors[~zero])


def test_super_resolution_is_told_how_noisy_its_small_picture_is(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = SuperResolutionRecipe(SMALL, dataclasses.replace(QUICK, augmentation=0.3), Faces.of(people(), look))
    seen = {}

    def forward(x: torch.Tensor, time: torch.Tensor, low: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        seen.update(x=x, low=low, level=level)
        return torch.zeros_like(x)

    monkeypatch.setattr(recipe.network.super_resolution, "forward", forward)
    torch.manual_seed(0)
    faces = recipe.faces.take(np.zeros(40, int))[0]
    recipe.loss({"faces": faces})
    assert seen["low"].shape == seen["x"].shape == (40, 3, 128, 128)
    assert float(seen["level"].min()) >= 0 and 0.2 < float(seen["level"].max()) <= 0.3
    clean = shrunk((faces.float() - 127.5) / 127.5, 64).repeat_interleave(2, 2).repeat_interleave(2, 3)
    errors = (seen["low"] - clean)[..., 64:].std((1, 2, 3))
    assert np.corrcoef(errors, seen["level"])[0, 1] > 0.9


def test_rates_warm_up_over_epochs_and_the_encoders_decays() -> None:
    faces = Faces.of(people(), look)
    assert len(faces) == 11
    settings = dataclasses.replace(QUICK, warm_up=20, decoder_batch=2, decay=0.95, decay_every=10)
    decoder = DecoderRecipe(SMALL, settings, faces)
    assert decoder.pace(0) == 0.1 and decoder.pace(55) == pytest.approx(0.1 + 0.9 * 0.5) and decoder.pace(1000) == 1
    assert EncoderRecipe(SMALL, settings, faces).pace(25) == pytest.approx(0.95**2)
    assert isinstance(decoder.optimiser, Lamb)


def test_the_loop_keeps_to_a_recipes_pace(tmp_path: Path) -> None:
    rates = []

    class Watched(DecoderRecipe):
        def pace(self, step: int) -> float:
            return 1 / (1 + step)

        def step(self, batch, update):  # type: ignore[no-untyped-def]
            rates.append(self.optimiser.param_groups[0]["lr"])
            return super().step(batch, update)

    recipe = Watched(SMALL, QUICK, Faces.of(people(4, 64), look))
    train(recipe, tmp_path, 2, Loop(device="cpu"))
    assert rates == [2e-4, 1e-4]


def test_the_encoder_learns_whose_face_a_voice_belongs_to() -> None:
    faces = Faces.of(people(), look, centred=True)
    recipe = EncoderRecipe(SMALL, dataclasses.replace(QUICK, optimiser="adam", encoder_batch=6), faces, faces)
    batch = recipe.batch(np.random.default_rng(0))
    assert batch["speech"].shape == (6, 43_200) and batch["speech"].dtype == torch.int16
    losses = []

    def update(name: str, loss: torch.Tensor) -> None:
        recipe.optimiser.zero_grad()
        loss.backward()
        recipe.optimiser.step()
        losses.append(float(loss.detach()))

    for _ in range(12):
        recipe.step(batch, update)
    assert losses[-1] < 0.7 * losses[0]
    recipe.part.eval()
    with torch.no_grad():
        assert set(recipe.validate()) == {"loss", "recall_at_1", "recall_at_10"}


def corpus(folder: Path, count: int = 4) -> list[Sample]:
    samples = []
    for number, person in enumerate(people(count).persons):
        name = f"p{number}"
        (folder / name).mkdir(parents=True)
        write_audio(folder / name / "a.wav", Audio(speechlike(1.5 + number / 10).astype(np.float32), 16000))
        write_image(folder / name / "f.png", person.faces[0].permute(1, 2, 0).contiguous().numpy())
        samples.append(Sample(name, name, {"speech": (folder / name / "a.wav",)}, {"face": (folder / name / "f.png",)}))
    return samples


class Network:
    def embed(self, images):  # type: ignore[no-untyped-def]
        from metrics.networks.face_embedder import Embeddings

        told, _ = look(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
        return Embeddings(told.numpy(), np.ones(len(images), bool))


SETTINGS = {k: v for k, v in vars(QUICK).items() if v != getattr(Training(), k)}


def test_stages_train_apart_and_the_last_export_holds_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    samples = corpus(tmp_path / "corpus")
    stages = recipes(SMALL, SETTINGS, samples, samples[:2], lambda name: Network())
    assert [stage.name for stage in stages] == ["encoder", "decoder", "super_resolution"]
    weights = train_stages(stages, tmp_path / "out", Loop(device="cpu"))
    made = Speech2FaceDDPM(dataclasses.replace(SMALL, resolution=128), weights)
    made.load("cpu")
    (face,) = made.generate([example(speechlike(2.0))])
    assert face.shape == (128, 128, 3) and face.dtype == np.uint8
    assert (tmp_path / "out" / "decoder" / "samples" / "000002.png").is_file()

    # Pictures alone retrain the decoder; the other parts come from the weights before.
    silent = [Sample(s.id, s.speaker, {}, s.targets) for s in samples]
    more = {**SETTINGS, "encoder_steps": 0, "super_steps": 0, "decoder_rate": 0.1, "start_from": str(weights)}
    (stage,) = recipes(SMALL, more, silent, (), lambda name: Network())
    again, _ = read(train_stages([stage], tmp_path / "again", Loop(device="cpu")), "speech2face_ddpm")
    before, _ = read(weights, "speech2face_ddpm")
    assert again.keys() == before.keys()
    for name, tensor in again.items():
        if not name.startswith("decoder."):
            assert torch.equal(tensor, before[name])
    assert any(not torch.equal(tensor, before[name]) for name, tensor in again.items() if name.startswith("decoder."))


def test_descriptors_of_another_length_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    samples = corpus(tmp_path / "corpus", 2)
    (stage, *_) = recipes(dataclasses.replace(SMALL, embedding=8), SETTINGS, samples, (), lambda name: Network())
    with pytest.raises(InvalidConfig, match="--set embedding=4"):
        stage.build(tmp_path)


def test_a_training_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="nothing to train"):
        recipes(SMALL, {"encoder_steps": 0, "decoder_steps": 0, "super_steps": 0}, ())


# -- the method --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("solver", "resolution"), [("dpm", 128), ("ddpm", 64), ("ddim", 64)])
def test_an_output_does_not_depend_on_its_batch_or_order(tmp_path: Path, solver: str, resolution: int) -> None:
    made = method(tmp_path, dataclasses.replace(SMALL, solver=solver, resolution=resolution, guidance=2.0))
    voices = [example(speechlike(1.0 + n), seed=n) for n in range(3)]
    together = made.generate(voices)
    backwards = made.generate(voices[::-1])[::-1]
    alone = [made.generate([voice])[0] for voice in voices]
    for one, two, three in zip(together, backwards, alone, strict=True):
        assert one.shape == (resolution, resolution, 3)
        assert np.abs(one.astype(int) - two).max() <= 1 and np.abs(one.astype(int) - three).max() <= 1
    (other,) = made.generate([dataclasses.replace(voices[0], seed=99)])
    assert np.abs(together[0].astype(int) - other).mean() > 5


def test_unusable_speech_fails_alone(tmp_path: Path) -> None:
    made = method(tmp_path)
    bad = [np.zeros(20_000, np.float32), np.full(20_000, np.nan, np.float32), speechlike(0.2)]
    outputs = made.generate([example(samples) for samples in (bad[0], speechlike(1.0), *bad[1:])])
    assert [isinstance(output, MethodError) for output in outputs] == [True, False, True, True]
    assert made.generate([]) == []


def test_broken_weights_give_a_reason_and_not_a_picture(tmp_path: Path) -> None:
    made = method(tmp_path)
    with torch.no_grad():
        made.network.decoder.last.bias.fill_(torch.nan)
    (output,) = made.generate([example(speechlike(1.0))])
    assert isinstance(output, MethodError) and "finite" in str(output)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="names no weights"):
        Speech2FaceDDPM(SMALL).load("cpu")
    weights = method(tmp_path).weights
    with pytest.raises(InvalidConfig, match="Set embedding, encoder_"):
        Speech2FaceDDPM(dataclasses.replace(SMALL, decoder_dim=20), weights).load("cpu")


def test_small_faces_are_enlarged_with_noise_of_their_own() -> None:
    network = lively(SMALL.network())
    low = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        both = enlarge_faces(network, SMALL, low, generators(3, 4))
        alone = enlarge_faces(network, SMALL, low[1:], generators(4))
    assert both.shape == (2, 3, 128, 128) and torch.allclose(both[1:], alone, atol=1e-4)


def test_shipped_weights_draw_the_faces_that_descriptors_tell() -> None:
    """Of people nobody trained on; whose picture it is shows in dlib's descriptor, and more so with guidance."""
    from baselines.layers.perceptual import BoxedDlib
    from benchmark.datasets.talkers.face import portrait, views
    from benchmark.datasets.talkers.identity import person
    from benchmark.weights.networks import Networks

    boxed = BoxedDlib(Networks()("dlib").network)
    known = [person(number) for number in range(90_300, 90_312)]
    truth = np.stack([portrait(who, views(who, 1)[0], 64).image for who in known])
    described = boxed.features(torch.from_numpy(truth).permute(0, 3, 1, 2).contiguous() / 255)[-1]
    told = torch.nn.functional.normalize(described - described.mean(0), dim=1)
    settings = resolve(Config, Presets.beside(FOLDER))
    made = Speech2FaceDDPM(settings.config, settings.weights)
    made.load("cpu")
    own = []
    for guidance in (0.0, 1.0):
        config = dataclasses.replace(settings.config, guidance=guidance)
        with torch.inference_mode():
            faces = draw_faces(made.network, config, told, generators(*range(len(told))))
            seen = boxed.features((faces + 1) / 2)[-1]
        cosine = torch.nn.functional.normalize(seen - described.mean(0), dim=1) @ told.T
        others = (cosine.sum() - cosine.trace()) / (cosine.numel() - len(cosine))
        assert float(cosine.diagonal().mean() - others) > 0.3
        own.append(float(cosine.diagonal().mean()))
    assert own[1] > own[0]


def test_without_the_package_of_the_solvers_loading_says_so(monkeypatch):
    monkeypatch.setattr("baselines.speech2face_ddpm.method.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="pip install diffusers"):
        Speech2FaceDDPM(SMALL).load("cpu")
