"""LipDiffuser's denoiser in training: what it draws, what it learns from video, and what it exports."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from baselines.checkpoints import read
from baselines.lipdiffuser.config import Config, Training
from baselines.lipdiffuser.denoiser_training import AudioRecipe, DenoiserRecipe, own_tensors
from baselines.lipdiffuser.utterances import SILENCE, Utterances
from baselines.post_hoc_ema import Kept, kept_in
from baselines.training import Loop, train
from benchmark.papers.reported import load

TINY = Config(channels=8, multiples=(1, 2), blocks=1, attention=(False, False), head_channels=16, patch=8)
FEATURES = 6
QUICK = Training(audio_steps=4, steps=4, batch=3, frames=16, ramp_up=0, snapshots=2)


@pytest.fixture(autouse=True, scope="module")
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def utterances(count: int = 6, pictures: int = 12, views: int = 1, video: bool = True) -> Utterances:
    """Log-mels whose level follows the first feature; each speaker has two utterances."""
    rng = np.random.default_rng(0)
    seen = torch.from_numpy(rng.standard_normal((count, 1, pictures, FEATURES)).astype(np.float32))
    levels = seen[:, 0, :, 0].repeat_interleave(5, 1)[:, ::2][:, : pictures * 5 // 2]
    mels = [-6 + 3 * level.expand(80, -1) for level in levels]
    speakers = [f"p{number // 2}" for number in range(count)]
    voices = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((count, 4))), dim=1)
    shown = [part.expand(views, -1, -1).half() for part in seen] if video else None
    return Utterances(mels, speakers, voices, speakers, shown)


def recipe(tmp_path, kind=DenoiserRecipe, training=QUICK, **more) -> DenoiserRecipe:  # type: ignore[no-untyped-def]
    known = utterances(video=kind is DenoiserRecipe)
    return kind(TINY, training, known, known, FEATURES, tmp_path / "averages", **more)


def test_a_draw_takes_sound_and_pictures_of_one_moment():
    known = utterances()
    batch = known.draw(np.random.default_rng(0), 4, 16)
    assert batch["mels"].shape == (4, 80, 16) and batch["seen"].shape == (4, FEATURES, 16)
    level, feature = (batch["mels"][:, 0] + 6) / 3, batch["seen"][:, 0]
    # Frames at the middle of a picture have its feature; five mel frames are two pictures.
    assert np.corrcoef(level.flatten(), feature.flatten())[0, 1] > 0.8
    assert known.draw(np.random.default_rng(0), 9, 16)["mels"].shape[0] == 9


def test_a_short_utterance_is_followed_by_silence_and_its_last_picture():
    known = utterances(pictures=4)  # 10 mel frames
    batch = known.take([1], np.random.default_rng(0), 16)
    assert torch.equal(batch["mels"][0, :, 10:], torch.full((80, 6), SILENCE))
    torch.testing.assert_close(batch["seen"][0, :, 10:], known.seen[1][0, -1].float()[:, None].expand(-1, 6))
    assert torch.equal(batch["mels"][0, :, :10], known.mels[1])


def test_voices_are_the_speakers_own_and_all_of_them():
    known = utterances()
    rng = np.random.default_rng(0)
    drawn = {tuple(known.take([2], rng, 8)["voices"][0].tolist()) for _ in range(20)}
    assert drawn == {tuple(known.voices[number].tolist()) for number in (2, 3)}


def test_views_are_drawn():
    known = utterances()
    known.seen = [torch.cat([part, part + 100]) for part in known.seen]
    rng = np.random.default_rng(0)
    assert {bool(known.take([0], rng, 8)["seen"].mean() > 50) for _ in range(20)} == {True, False}


def test_statistics_are_those_of_all_bins():
    known = utterances()
    every = torch.cat([mel.flatten() for mel in known.mels]).double()
    assert known.statistics() == pytest.approx((float(every.mean()), float(every.std(correction=0))))


@pytest.mark.parametrize("lacking", ["speakers", "voices", "seen", "somebody"])
def test_what_does_not_fit_together_is_refused(lacking):
    known = utterances()
    given = [list(known.mels), list(known.speakers), known.voices, list(known.speakers), list(known.seen)]
    if lacking == "speakers":
        given[1] = given[1][:-1]
    elif lacking == "voices":
        given[2] = given[2][:-1]
    elif lacking == "seen":
        given[4] = given[4][:-1]
    else:
        given[3] = ["p0"] * 6
    with pytest.raises(ValueError, match="got none of p1, p2" if lacking == "somebody" else "expected as many"):
        Utterances(*given)


def test_learning_rates_rise_and_fall(tmp_path):
    training = dataclasses.replace(QUICK, batch=4, ramp_up=40, decay_after=100)
    made = recipe(tmp_path, training=training)
    assert made.pace(0) == pytest.approx(0.1) and made.pace(4) == pytest.approx(0.5) and made.pace(50) == 1
    assert made.pace(400) == pytest.approx(0.5)


def test_audio_then_video_is_trained_kept_and_exported(tmp_path):
    loop = Loop(device="cpu", log_every=2)
    audio = recipe(tmp_path / "a", AudioRecipe)
    first = train(audio, tmp_path / "a", 4, loop)
    tensors, about = read(first, "lipdiffuser")
    assert set(tensors) == {f"denoiser.{name}" for name in audio.denoiser.state_dict()}
    assert about["method"] == "lipdiffuser" and about["steps"] == "4"
    mean, deviation = audio.utterances.statistics()
    assert float(tensors["denoiser.mean"]) == pytest.approx(mean, rel=1e-3)
    assert float(tensors["denoiser.deviation"]) == pytest.approx(deviation, rel=1e-3)
    start, further = own_tensors(tensors, "denoiser."), {"vocoder.x": torch.ones(2)}
    made = recipe(tmp_path / "v", start=start, further=further)
    torch.testing.assert_close(made.denoiser.state_dict()["unet.enter.weight"], start["unet.enter.weight"])
    second = train(made, tmp_path / "v", 4, loop)
    tensors, _ = read(second, "lipdiffuser")
    assert tensors["vocoder.x"].tolist() == [1, 1]
    average = made.averages.networks[1].state_dict()
    for name, tensor in own_tensors(tensors, "denoiser.").items():
        torch.testing.assert_close(tensor, average[name].half().float() if "unet" in name else tensor)
    assert set(kept_in(tmp_path / "v" / "averages")) == {Kept(s, w) for s in (2, 4) for w in (0.05, 0.1)}


def test_speech_alone_leaves_what_hears_video_as_it_was(tmp_path):
    made = recipe(tmp_path, AudioRecipe)
    before = {name: p.detach().clone() for name, p in made.denoiser.named_parameters() if ".film." in name}
    train(made, tmp_path, 2, Loop(device="cpu"))
    after = dict(made.denoiser.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_measuring_changes_no_weight(tmp_path):
    made = recipe(tmp_path)
    with torch.no_grad():
        for parameter in made.averages.parameters():
            parameter.mul_(3)
    before = [tensor.clone() for tensor in made.averages.state_dict().values()]
    made.validate()
    assert all(map(torch.equal, before, made.averages.state_dict().values()))


def test_an_average_of_another_width_is_exported(tmp_path):
    made = recipe(tmp_path, training=dataclasses.replace(QUICK, ema=0.15))
    tensors, _ = read(train(made, tmp_path, 4, Loop(device="cpu")), "lipdiffuser")
    weight = own_tensors(tensors, "denoiser.")["unet.enter.weight"]
    assert weight.isfinite().all()
    assert not torch.equal(weight, made.averages.networks[1].state_dict()["unet.enter.weight"].half().float())


@pytest.mark.parametrize("kind", [DenoiserRecipe, AudioRecipe])
def test_a_step_is_taken_by_equation_2(tmp_path, kind):
    """The loss and the gradients of both networks, with the very noise that the step draws."""
    training = dataclasses.replace(QUICK, noise_mean=-0.7, noise_deviation=0.9)
    made = recipe(tmp_path, kind, training)
    with torch.no_grad():
        for name, parameter in made.denoiser.named_parameters():
            if name.endswith("gain"):
                parameter.fill_(0.5)
    batch = made.batch(np.random.default_rng(0))
    assert ("seen" in batch) == (kind is DenoiserRecipe)
    taken: list[tuple[str, torch.Tensor, dict[str, torch.Tensor]]] = []

    def update(name: str, loss: torch.Tensor) -> None:
        made.optimisers()[name].zero_grad()
        loss.backward()
        taken.append((name, loss.detach(), gradients()))

    def gradients() -> dict[str, torch.Tensor]:
        modules = {name: made.modules()[name] for name in ("denoiser", "uncertainty")}
        named = {f"{of}.{name}": p for of, module in modules.items() for name, p in module.named_parameters()}
        return {name: p.grad.clone() for name, p in named.items() if p.grad is not None}

    torch.manual_seed(5)
    measures = made.step(batch, update)

    torch.manual_seed(5)
    count = len(batch["mels"])
    sigma = (-0.7 + 0.9 * torch.randn(count)).exp()
    mean, deviation = made.utterances.statistics()
    clean = (batch["mels"] - mean) / deviation * 0.5
    noisy = clean + sigma[:, None, None] * torch.randn_like(clean)
    made.optimisers()["denoiser"].zero_grad()
    said = made.denoiser.unet.modulations(batch["seen"]) if "seen" in batch else None
    error = ((made.denoiser(noisy, sigma, batch["voices"], said) - clean) ** 2).mean((1, 2))
    weight = (sigma**2 + 0.25) / (0.5 * sigma) ** 2
    u = made.uncertainty(sigma)
    loss = (weight * error / u.exp() + u).mean()
    loss.backward()

    (name, given, found), expected = taken[0], gradients()
    assert len(taken) == 1 and name == "denoiser"
    torch.testing.assert_close(given, loss.detach())
    assert float(measures["loss"].detach()) == float(given)
    assert float(measures["error"].detach()) == pytest.approx(float((weight * error).detach().mean()))
    assert found.keys() == expected.keys() and "uncertainty.linear.weight" in found
    assert found["uncertainty.linear.weight"].abs().max() > 1e-4
    assert any(".film." in name for name in found) == (kind is DenoiserRecipe)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-6)


def test_adam_has_the_papers_betas_and_moves_both_networks(tmp_path):
    made = recipe(tmp_path)
    (optimiser,) = made.optimisers().values()
    assert type(optimiser) is torch.optim.Adam
    stated = {item.name: item.value for item in load("lipdiffuser").settings}
    (group,) = optimiser.param_groups
    assert group["betas"] == (stated["beta 1 of Adam"], stated["beta 2 of Adam"]) == (0.9, 0.99)
    assert stated["optimizer"] == "Adam" and group["lr"] == QUICK.learning_rate and group["weight_decay"] == 0
    moved = {id(parameter) for parameter in group["params"]}
    assert moved == {id(p) for module in (made.denoiser, made.uncertainty) for p in module.parameters()}


def test_a_training_that_was_cut_off_ends_in_the_same_averages(tmp_path):
    whole = recipe(tmp_path / "whole")
    train(whole, tmp_path / "whole", 4, Loop(device="cpu"))
    half = recipe(tmp_path / "half")
    train(half, tmp_path / "half", 2, Loop(device="cpu"))
    again = recipe(tmp_path / "half")
    train(again, tmp_path / "half", 4, Loop(device="cpu"))
    for one, other in zip(whole.averages.state_dict().values(), again.averages.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_the_loss_falls_with_the_right_video_alone(tmp_path):
    """The level of every frame stands in the video: what is learnt of it is lost with another one's."""
    training = Training(steps=80, batch=6, frames=16, ramp_up=0, learning_rate=3e-2, snapshots=1)
    made = recipe(tmp_path, training=training)
    train(made, tmp_path, 80, Loop(device="cpu", sample_every=1000))
    measures = made.validate()
    assert set(measures) == {f"error_{s}{kind}" for s in (0.2, 0.5, 1.0, 2.0) for kind in ("", "_shuffled")}
    assert measures["error_2.0"] < 0.7 * measures["error_2.0_shuffled"]
    assert made.sample_images().shape == (4, 2, 80, 16, 3)
