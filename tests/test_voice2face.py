"""voice2face: layer counts, the wrapper, the official files, both stages of its training."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_frontends import halting, plain_collector, plain_sphinx_mel, speechlike
from torch.nn import functional as F

from baselines.checkpoints import export
from baselines.people import People, Person
from baselines.voice2face.config import Config, Training
from baselines.voice2face.method import Voice2Face, stretched
from baselines.voice2face.network import (
    DeconvolutionDecoder,
    FaceCritics,
    FaceEmbedding,
    PlainVoiceEncoder,
    Voice2FaceNetwork,
    disturbed,
)
from baselines.voice2face.speech import speech_features
from baselines.voice2face.training import FaceRecipe, VoiceRecipe, WarmUpRecipe, recipes
from benchmark.errors import InvalidConfig, MethodError, MissingWeights
from benchmark.media import write_audio, write_image
from benchmark.types import Audio, Example, Sample

SMALL = Config(width=0.05, vad=False)
QUICK = Training(batch=4, crop_frames=(40, 60), critic_width=0.1)


@pytest.fixture(autouse=True, scope="module")
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def example(samples: np.ndarray) -> Example:
    return Example(Sample("a", "a", {}), 0, 1, {"speech": Audio(samples, 16000)})


def lively(network: Voice2FaceNetwork) -> Voice2FaceNetwork:
    """Weights large enough that faces differ visibly between voices."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in network.decoder.named_parameters():
        if name.endswith("weight"):
            torch.nn.init.kaiming_normal_(tensor, mode="fan_out", generator=generator)
            tensor.data *= 2
    return network


def people(count: int = 6) -> People:
    generator = torch.Generator().manual_seed(3)

    def person(index: int) -> Person:
        timbre = torch.randn(64, 1, generator=generator)
        voices = tuple(timbre + 0.5 * torch.randn(64, 1000, generator=generator) for _ in range(2))
        return Person(
            f"p{index}", voices, torch.randint(0, 256, (2, 3, 64, 64), generator=generator, dtype=torch.uint8)
        )

    return People(tuple(person(index) for index in range(count)))


def method(tmp_path: Path, config: Config = SMALL) -> Voice2Face:
    network = lively(Voice2FaceNetwork(config.width, config.embedding))
    made = Voice2Face(config, export(tmp_path / "w.safetensors", network.state_dict(), {}, half=False))
    made.load("cpu")
    return made


def test_networks_have_the_authors_sizes() -> None:
    channels = [64, 256, 384, 576, 864]
    voice = sum(3 * a * b + 2 * b for a, b in zip(channels, channels[1:], strict=False)) + 3 * 864 * 64 + 64
    assert parameters(PlainVoiceEncoder()) == voice
    assert round(voice / 1e6, 2) == 2.67
    channels = [64, 1024, 512, 256, 128, 64]
    generator = sum(16 * a * b + b for a, b in zip(channels, channels[1:], strict=False)) + 3 * 64 + 3
    assert parameters(DeconvolutionDecoder()) == generator
    assert round(generator / 1e6, 1) == 12.2
    channels = [32, 64, 128, 256, 512]
    face = 3 * 32 + 32 + sum(16 * a * b + b for a, b in zip(channels, channels[1:], strict=False)) + 16 * 512 * 64 + 64
    assert parameters(FaceEmbedding()) == face
    assert parameters(FaceCritics(924)) == 2 * face + 64 + 64 * 924
    assert parameters(FaceCritics(924, shared=True)) == face + 64 + 64 * 924
    assert round(face / 1e6, 2) == 3.31


def test_shapes_and_unit_length() -> None:
    network = Voice2FaceNetwork(0.1)
    x = torch.randn(3, 64, 311, generator=torch.Generator().manual_seed(0))
    assert network(x).shape == (3, 3, 64, 64)
    embedding = network.encoder(x)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))
    noise = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    moved = disturbed(embedding, noise)
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(3))
    expected = (embedding + 0.05 * noise) / (embedding + 0.05 * noise).norm(dim=1, keepdim=True)
    torch.testing.assert_close(moved, expected)
    assert disturbed(embedding, None) is embedding


def test_an_output_does_not_depend_on_its_batch_and_is_deterministic(tmp_path: Path) -> None:
    v2f = method(tmp_path)
    examples = [example(speechlike(seconds, seed)) for seed, seconds in enumerate((5.0, 1.25, 12.0))]
    together = v2f.generate(examples)
    again = v2f.generate(examples)
    for one, first, second in zip(examples, together, again, strict=True):
        (alone,) = v2f.generate([one])
        assert isinstance(alone, np.ndarray)
        assert alone.shape == (64, 64, 3)
        np.testing.assert_array_equal(first, second)
        assert np.abs(alone.astype(int) - np.asarray(first).astype(int)).max() <= 1
    assert not np.array_equal(together[0], together[1])


def test_stretch_uses_the_whole_range_of_each_picture(tmp_path: Path) -> None:
    faces = torch.tensor([[-0.5, 0.0], [0.1, 0.3]]).view(2, 1, 1, 2)
    # torchvision 0.3, which the authors name, divides by the range plus 1e-5.
    expected = torch.tensor([0.0, 0.5 / 0.50001, 0.0, 0.2 / 0.20001])
    torch.testing.assert_close(stretched(faces).flatten(), expected)
    plain, wide = (method(tmp_path, dataclasses.replace(SMALL, stretch=s)) for s in (False, True))
    (a,), (b,) = (m.generate([example(speechlike(2.0))]) for m in (plain, wide))
    assert (np.min(b), np.max(b)) == (0, 255)
    assert not np.array_equal(a, b)


def test_unusable_speech_fails_alone(tmp_path: Path) -> None:
    good = speechlike(2.0)
    outputs = method(tmp_path).generate([example(x) for x in (good, 0 * good, good * np.nan, good[:400], good)])
    assert [isinstance(output, MethodError) for output in outputs] == [False, True, True, True, False]
    np.testing.assert_array_equal(outputs[0], outputs[4])
    offset = np.full(32000, 0.01, np.float32)
    (output,) = method(tmp_path, dataclasses.replace(SMALL, vad=True)).generate([example(offset)])
    assert isinstance(output, MethodError)
    assert "voiced" in str(output)


def test_official_files_give_the_same_outputs(tmp_path: Path) -> None:
    network = lively(Voice2FaceNetwork(0.05)).eval()
    torch.save(network.encoder.state_dict(), tmp_path / "voice_embedding.pth")
    torch.save(network.decoder.state_dict(), tmp_path / "generator.pth")
    assert {"model.0.weight", "model.12.bias"} <= set(network.encoder.state_dict())
    assert set(network.decoder.state_dict()) == {f"model.{i}.{p}" for i in range(0, 11, 2) for p in ("weight", "bias")}
    x = torch.randn(1, 64, 300, generator=torch.Generator().manual_seed(0))
    for path in (tmp_path, tmp_path / "generator.pth"):
        v2f = Voice2Face(SMALL, path)
        v2f.load("cpu")
        torch.testing.assert_close(v2f.network(x), network(x))


def test_files_in_the_authors_form_draw_the_authors_picture(tmp_path: Path) -> None:
    """Voice activity, features, both networks and the stretched picture, from the authors' own names."""
    generator = torch.Generator().manual_seed(5)

    def saved(network: torch.nn.Module, name: str) -> dict[str, torch.Tensor]:
        state = {}
        for key, tensor in network.state_dict().items():
            values = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim > 1:
                values *= (tensor[0].numel() if "weight" in key and "encoder" in name else tensor.shape[0]) ** -0.5
            state[key] = values.abs() + 0.5 if "running_var" in key else values.to(tensor.dtype)
        torch.save(state, tmp_path / f"{name}.pth")
        return state

    small = Voice2FaceNetwork(0.05)
    voice, face = saved(small.encoder, "voice_embedding"), saved(small.decoder, "generator")
    speech = halting(3)
    x = torch.from_numpy(plain_sphinx_mel(plain_collector(speech, 2, 20, 2, again=True))).float()
    x = (x - x.mean(1, keepdim=True)) / (x.std(1, correction=0, keepdim=True) + np.finfo(np.float32).eps)
    x = x.repeat(1, 1000)[None, :, :1000]
    for number in (0, 3, 6, 9):
        x = F.conv1d(x, voice[f"model.{number}.weight"], stride=2, padding=1)
        norm = [voice[f"model.{number + 1}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        x = F.relu(F.batch_norm(x, *norm))
    x = F.conv1d(x, voice["model.12.weight"], voice["model.12.bias"], stride=2, padding=1)
    x = F.normalize(x.mean(2))[:, :, None, None]
    for number, stride in ((0, 1), (2, 2), (4, 2), (6, 2), (8, 2)):
        weight, bias = (face[f"model.{number}.{part}"] for part in ("weight", "bias"))
        x = F.relu(F.conv_transpose2d(x, weight, bias, stride, stride - 1))
    x = F.conv_transpose2d(x, face["model.10.weight"], face["model.10.bias"])[0].clamp(-1, 1)
    levels = ((x - x.min()) / (x.max() - x.min() + 1e-5) * 255).permute(1, 2, 0).numpy()
    v2f = Voice2Face(dataclasses.replace(SMALL, vad=True, stretch=True), tmp_path)
    v2f.load("cpu")
    (picture,) = v2f.generate([example(speech)])
    assert ((levels > 0) & (levels < 254)).mean() > 0.3
    assert np.abs(picture - levels).max() < 0.5 + 1e-2
    asked_once = Voice2Face(dataclasses.replace(SMALL, stretch=True), tmp_path)
    asked_once.load("cpu")
    (other,) = asked_once.generate([example(plain_collector(speech, 2, 20, 2, again=False))])
    assert np.abs(picture.astype(int) - other).max() > 1


def test_official_files_are_checked(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="voice_embedding"):
        Voice2Face(SMALL, tmp_path).load("cpu")
    torch.save({"strange": torch.zeros(1)}, tmp_path / "voice_embedding.pth")
    with pytest.raises(InvalidConfig, match="strange"):
        Voice2Face(SMALL, tmp_path).load("cpu")


def apply(recipe: VoiceRecipe | WarmUpRecipe | FaceRecipe):  # type: ignore[no-untyped-def]
    def update(name: str, loss: torch.Tensor) -> None:
        optimiser = recipe.optimisers()[name]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return update


@pytest.mark.parametrize("loss", ["classes", "pairs"])
def test_the_voice_encoder_learns_its_speakers(loss: str) -> None:
    settings = dataclasses.replace(QUICK, voice_learning_rate=3e-3, voice_loss=loss)
    recipe = VoiceRecipe(SMALL, settings, people())
    first, last = 0.0, 0.0
    for step in range(40):
        losses = recipe.step(recipe.batch(np.random.default_rng(step)), apply(recipe))
        last = float(losses["speaker"].detach())
        first = first or last
    assert last < 0.5 * first


def softmax_loss(logits: np.ndarray) -> float:
    """Mean over rows of -log softmax at the diagonal."""
    return float(np.mean([-(row[i] - np.log(np.exp(row).sum())) for i, row in enumerate(logits)]))


def cosines(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    a, b = (x.detach().double().numpy() for x in (first, second))
    return np.array([[x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) for y in b] for x in a])


def test_pairs_of_voices_are_told_from_the_others_of_the_batch() -> None:
    crowd = people()
    settings = dataclasses.replace(QUICK, voice_batch=5, voice_loss="pairs", voice_scale=7.0)
    recipe = VoiceRecipe(SMALL, settings, crowd)
    batch = recipe.batch(np.random.default_rng(0))
    assert len(batch["voices"]) == len(batch["others"]) == 5
    for one, two in zip(batch["voices"], batch["others"], strict=True):
        (owner, sources) = next(found for found in (where(one, two, crowd)) if found)
        assert sources[0] != sources[1], owner
    encoder = copy.deepcopy(recipe.network.encoder).train()
    embedded = encoder(torch.cat([batch["voices"], batch["others"]]))
    expected = 7 * cosines(embedded[:5], embedded[5:])
    loss = recipe.step(batch, lambda name, loss: None)["speaker"]
    assert float(loss.detach()) == pytest.approx((softmax_loss(expected) + softmax_loss(expected.T)) / 2, rel=1e-4)
    assert set(recipe.modules()) == {"encoder"}
    lonely = People((Person("p", crowd.persons[0].voices[:1], crowd.persons[0].faces),))
    assert VoiceRecipe(SMALL, settings, lonely).batch(np.random.default_rng(0))["others"].shape[0] == 5


def where(one: torch.Tensor, two: torch.Tensor, crowd: People):  # type: ignore[no-untyped-def]
    """The person whose recordings two crops were cut from, and which recordings."""
    for person in crowd.persons:
        places = []
        for piece in (one, two):
            frames = piece.shape[1]
            for number, voice in enumerate(person.voices):
                starts = (voice[0, : 1001 - frames] == piece[0, 0]).nonzero()[:, 0]
                if any(torch.equal(voice[:, start : start + frames], piece) for start in starts.tolist()):
                    places.append(number)
        yield (person.id, places) if len(places) == 2 else None


def test_normalised_crops_look_as_recordings_of_their_length_do_in_use() -> None:
    """A crop, away from its first frame, is what inference computes from that stretch of sound."""
    sound = speechlike(4.0)
    sound = sound * np.geomspace(0.01, 1, len(sound), dtype=np.float32)
    whole = speech_features(Audio(sound, 16000), SMALL)[:, :401]
    crowd = People((Person("p", (whole[:, 100:299],), torch.zeros((1, 3, 64, 64), dtype=torch.uint8)),))
    settings = dataclasses.replace(QUICK, batch=1, crop_frames=(199, 199), normalised_crops=True)
    (crop,) = FaceRecipe(SMALL, settings, crowd).batch(np.random.default_rng(0))["voices"]
    cut = sound[100 * 160 : 298 * 160 + 400]
    used = speech_features(Audio(cut, 16000), SMALL)[:, :199]
    torch.testing.assert_close(crop.mean(1), torch.zeros(64), atol=1e-4, rtol=0)
    assert float((crop - used)[:, 1:].abs().mean()) < 0.03
    assert float((whole[:, 100:299] - used)[:, 1:].abs().mean()) > 0.1


def coloured(count: int) -> People:
    """Each person has two portraits, in plain colours."""
    colours = torch.tensor([[20, 90, 200], [60, 30, 220]], dtype=torch.uint8)
    return People(
        tuple(
            Person(person.id, person.voices, (colours + 10 * number)[:, :, None, None].repeat(1, 1, 64, 64))
            for number, person in enumerate(people(count).persons)
        )
    )


def regressed(recipe: WarmUpRecipe | FaceRecipe, embedding: torch.Tensor, gain: float) -> np.ndarray:
    """Ridge regression of mean portraits by embeddings, differences from their mean times `gain`: `[B, 3]`."""
    known = recipe.embeddings.double().numpy()
    pictures = np.array([p.faces.double().mean((0, 2, 3)).numpy() for p in recipe.people.persons]) / 127.5 - 1
    centre, mean = known.mean(0), pictures.mean(0)
    covariance = (known - centre).T @ (known - centre) / len(known)
    strength = 1e-3 * np.trace(covariance) / len(covariance)
    cross = (known - centre).T @ (pictures - mean) / len(known)
    slope = np.linalg.solve(covariance + strength * np.eye(len(covariance)), cross)
    return mean + gain * (embedding.double().numpy() - centre) @ slope


def test_the_warm_up_learns_what_regression_expects_and_leaves_the_voice_encoder_alone(tmp_path: Path) -> None:
    settings = dataclasses.replace(QUICK, batch=3, warm_up_learning_rate=3e-3, warm_up_gain=2.0)
    recipe = WarmUpRecipe(SMALL, settings, coloured(5))
    before = {name: tensor.clone() for name, tensor in recipe.network.state_dict().items()}
    batch = recipe.batch(np.random.default_rng(0))
    embedding = recipe.embeddings[batch["people"]]
    target = regressed(recipe, embedding, 2.0)
    made = recipe.network.decoder(embedding).detach().double().numpy()
    expected = float(((made - target[:, :, None, None]) ** 2).mean())
    first = float(recipe.step(batch, apply(recipe))["l2"].detach())
    assert first == pytest.approx(expected, rel=1e-3)
    for _ in range(60):
        last = float(recipe.step(batch, apply(recipe))["l2"].detach())
    assert last < 0.7 * first
    changed = {name for name, tensor in recipe.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"decoder.{name}" for name, _ in recipe.network.decoder.named_parameters()}
    game = FaceRecipe(SMALL, settings, recipe.people)
    game.take(recipe.export(tmp_path / "warm_up.safetensors"))
    for name, tensor in game.network.state_dict().items():
        assert torch.equal(tensor, recipe.network.state_dict()[name]), name


def test_the_game_of_comparisons_weighs_its_losses() -> None:
    settings = dataclasses.replace(
        QUICK,
        batch=4,
        classifier_loss="pairs",
        classifier_scale=9.0,
        real_target=0.9,
        adversarial=0.3,
        classifier=0.7,
        reconstruction=5.0,
    )
    recipe = FaceRecipe(SMALL, settings, coloured(6))
    critics = copy.deepcopy(recipe.critics)
    assert not any(name.startswith("identity") for name, _ in critics.named_parameters())
    batch = recipe.batch(np.random.default_rng(0))
    assert not torch.equal(batch["faces"], batch["others"])
    true, others = ((batch[name].float() - 127.5) / 127.5 for name in ("faces", "others"))
    embedding = disturbed(recipe.network.eval().encoder(batch["voices"]), batch["noise"]).detach()
    fake = recipe.network.decoder(embedding).detach()
    target = torch.from_numpy(regressed(recipe, embedding, 1.0))[:, :, None, None]
    real_logit, known = critics(torch.cat([true, others]))
    told, seen = {}, {}

    def update(name: str, loss: torch.Tensor) -> None:
        told[name] = float(loss.detach())

    losses = {name: float(loss.detach()) for name, loss in recipe.step(batch, update).items()}
    table = 9 * cosines(known[:4], known[4:])
    assert losses["identity"] == pytest.approx((softmax_loss(table) + softmax_loss(table.T)) / 2, rel=1e-4)
    fake_logit, answer = critics(fake)
    softplus = F.softplus
    seen["real"] = 0.9 * softplus(-real_logit).mean() + 0.1 * softplus(real_logit).mean() + softplus(fake_logit).mean()
    seen["adversarial"] = softplus(-fake_logit).mean()
    for name, value in seen.items():
        assert losses[name] == pytest.approx(float(value.detach()), rel=1e-4), name
    assert losses["classifier"] == pytest.approx(softmax_loss(9 * cosines(answer, known[:4])), rel=1e-4)
    assert losses["reconstruction"] == pytest.approx(float(((fake - target) ** 2).mean()), rel=1e-3)
    assert told["critics"] == pytest.approx(losses["real"] + losses["identity"], rel=1e-5)
    whole = 0.3 * losses["adversarial"] + 0.7 * losses["classifier"] + 5 * losses["reconstruction"]
    assert told["decoder"] == pytest.approx(whole, rel=1e-5)


def test_settings_of_the_curriculum_are_checked() -> None:
    for wrong in ({"voice_loss": "both"}, {"classifier_loss": "none"}, {"real_target": 0.2}):
        with pytest.raises(InvalidConfig, match=next(iter(wrong))):
            recipes(SMALL, wrong, [Sample("p", "p", {})])
    with pytest.raises(InvalidConfig, match="drawn_by_file"):
        recipes(SMALL, {"classifier_loss": "pairs", "drawn_by_file": True}, [Sample("p", "p", {})])
    sample = [Sample("p", "p", {})]
    assert [stage.name for stage in recipes(SMALL, {}, sample)] == ["voice_encoder", "generator"]
    warmed = recipes(SMALL, {"warm_up_steps": 3, "anneal": True}, sample)
    assert [(stage.name, stage.anneal) for stage in warmed] == [
        ("voice_encoder", True),
        ("warm_up", True),
        ("generator", True),
    ]


@pytest.mark.parametrize("shared", [False, True])
def test_critics_learn_from_their_own_losses_on_one_network_or_two(shared: bool) -> None:
    recipe = FaceRecipe(SMALL, dataclasses.replace(QUICK, shared_critics=shared), people())
    critics = copy.deepcopy(recipe.critics)
    batch = recipe.batch(np.random.default_rng(0))
    true = (batch["faces"].float() - 127.5) / 127.5
    fake = recipe.network.eval().decoder(disturbed(recipe.network.encoder(batch["voices"]), batch["noise"])).detach()
    known = (critics.discriminator if shared else critics.classifier)(true)
    loss = F.softplus(-critics.real(critics.discriminator(true))).mean()
    loss = loss + F.softplus(critics.real(critics.discriminator(fake))).mean()
    loss = loss + F.cross_entropy(critics.identity(known), batch["seen"])
    loss.backward()
    gradients = {}

    def update(name: str, loss: torch.Tensor) -> None:
        loss.backward()
        if name == "critics":
            gradients.update({key: p.grad.clone() for key, p in recipe.critics.named_parameters()})

    recipe.step(batch, update)
    expected = {key: p.grad for key, p in critics.named_parameters()}
    assert gradients.keys() == expected.keys()
    assert any("classifier" in key for key in gradients) is not shared
    for key, gradient in expected.items():
        torch.testing.assert_close(gradients[key], gradient, rtol=1e-3, atol=1e-6, msg=key)


def test_drawn_by_file_voices_and_faces_are_of_other_people_and_labelled_as_such() -> None:
    """Each file is drawn as often as any other; the generator answers for the voices, the classifier for the faces."""

    def person(index: int, voices: int, faces: int) -> Person:
        sound = tuple(torch.full((64, 100), float(index)) for _ in range(voices))
        return Person(f"p{index}", sound, torch.full((faces, 3, 64, 64), index, dtype=torch.uint8))

    crowd = People((person(0, 1, 3), person(1, 3, 1)))
    settings = dataclasses.replace(QUICK, batch=64, drawn_by_file=True)
    recipe = FaceRecipe(SMALL, settings, crowd)
    batches = [recipe.batch(np.random.default_rng(seed)) for seed in range(20)]
    for batch in batches:
        assert torch.equal(batch["voices"][:, 0, 0], batch["heard"].float())
        assert torch.equal(batch["faces"][:, 0, 0, 0], batch["seen"].to(torch.uint8))
    heard, seen = (torch.cat([batch[name] for batch in batches]).float().mean() for name in ("heard", "seen"))
    assert float(heard) == pytest.approx(3 / 4, abs=0.05)
    assert float(seen) == pytest.approx(1 / 4, abs=0.05)
    together = FaceRecipe(SMALL, dataclasses.replace(settings, drawn_by_file=False), crowd)
    batch = together.batch(np.random.default_rng(0))
    assert torch.equal(batch["heard"], batch["seen"])
    made = recipe.step(batches[0], lambda name, loss: None)["classifier"]
    faces = recipe.network.decoder(disturbed(recipe.network.encoder(batches[0]["voices"]), batches[0]["noise"]))
    torch.testing.assert_close(made, F.cross_entropy(recipe.critics(faces)[1], batches[0]["heard"]))


@pytest.mark.parametrize("how", ["bicubic", "nearest"])
def test_training_faces_are_resized_as_asked(tmp_path: Path, how: str) -> None:
    large = np.random.default_rng(0).integers(0, 256, (100, 90, 3), dtype=np.uint8)
    write_image(tmp_path / "f.png", large)
    write_audio(tmp_path / "a.wav", Audio(speechlike(2.0), 16000))
    sample = Sample("p", "p", {"speech": (tmp_path / "a.wav",)}, {"face": (tmp_path / "f.png",)})
    (first, _) = recipes(SMALL, {"face_resampling": how}, [sample])
    (face,) = first.build(tmp_path).people.persons[0].faces
    expected = np.asarray(Image.fromarray(large).resize((64, 64), Image.Resampling[how.upper()]))
    np.testing.assert_array_equal(face.permute(1, 2, 0).numpy(), expected)
    with pytest.raises(InvalidConfig, match="face_resampling"):
        recipes(SMALL, {"face_resampling": "lanczos"}, [sample])


def test_the_generator_stage_leaves_the_voice_encoder_alone() -> None:
    recipe = FaceRecipe(SMALL, QUICK, people())
    before = {name: tensor.clone() for name, tensor in recipe.network.state_dict().items()}
    losses = recipe.step(recipe.batch(np.random.default_rng(0)), apply(recipe))
    assert set(losses) == {"adversarial", "classifier", "real", "identity"}
    changed = {name for name, tensor in recipe.network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"decoder.{name}" for name, _ in recipe.network.decoder.named_parameters()}
    lengths = {recipe.batch(np.random.default_rng(seed))["voices"].shape[2] for seed in range(200)}
    assert (min(lengths), max(lengths)) == (40, 60)
