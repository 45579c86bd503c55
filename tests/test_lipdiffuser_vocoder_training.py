"""The vocoder's training: losses against their equations, and a generator that learns from recordings in memory."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from baselines.checkpoints import read
from baselines.lipdiffuser import vocoder_training
from baselines.lipdiffuser.config import Config, Training
from baselines.lipdiffuser.vocoder import Generator
from baselines.lipdiffuser.vocoder_training import (
    SpeechFiles,
    VocoderRecipe,
    VocoderStartRecipe,
    critic_loss,
    disturbed,
    feature_distance,
    generator_loss,
    spectral_distance,
    stages,
)
from baselines.training import Loop, train_stages
from benchmark.errors import MediaError, MissingDataset
from benchmark.media import write_audio
from benchmark.types import Audio

CONFIG = Config(vocoder_channels=16)
TRAINING = Training(
    vocoder_steps=2,
    vocoder_start_steps=3,
    vocoder_start_learning_rate=5e-3,
    vocoder_batch=2,
    vocoder_frames=6,
    vocoder_critic_width=0.01,
    vocoder_spectra_weight=1.0,
    vocoder_decay=1.0,
)


def hum(number: int, samples: int = 3000) -> np.ndarray:
    random = np.random.default_rng(number)
    time = np.arange(samples) / 16000
    tones = sum(np.sin(2 * np.pi * random.uniform(100, 300) * k * time) / k for k in range(1, 6))
    return (0.1 * tones + 0.001 * random.standard_normal(samples)).astype(np.float32)


HUMS = [hum(number) for number in range(4)]

# Losses


def test_losses_are_those_of_the_paper_s_equations() -> None:
    true, made = torch.tensor([[0.9, 0.5]]), torch.tensor([[0.2, -0.4]])
    both = torch.cat([true, made])
    assert critic_loss(both).item() == pytest.approx((0.1**2 + 0.5**2) / 2 + (0.2**2 + 0.4**2) / 2)
    assert generator_loss(both).item() == pytest.approx((0.8**2 + 1.4**2) / 2)
    layers = [both[:, None], 3 * both[:, None]]
    assert feature_distance(layers).item() == pytest.approx((0.7 + 0.9) / 2 * (1 + 3))


def test_spectra_of_twice_the_level_are_as_far_apart_as_the_definition_says() -> None:
    sound = torch.randn(2, 4096, generator=torch.Generator().manual_seed(0))
    assert spectral_distance(sound, sound).item() == 0
    assert spectral_distance(sound, 2 * sound).item() == pytest.approx(1 + math.log(2), rel=1e-4)


def test_a_part_of_the_spectrograms_is_disturbed_and_the_rest_untouched() -> None:
    torch.manual_seed(0)
    mels = torch.randn(400, 80, 6)
    assert disturbed(mels, 0.0) is mels
    changed = (disturbed(mels, 0.25) != mels).flatten(1).any(1)
    assert 70 < changed.sum() < 130
    # What does not vary has nothing to smooth: noise of at most its largest deviation is all that is added.
    flat = disturbed(torch.zeros(400, 80, 6), 1.0)
    assert 0.3 * vocoder_training.NOISE < flat.std().item() < vocoder_training.NOISE
    # Blurring takes variance away.
    assert disturbed(10 * mels, 1.0).var() < 0.7 * (10 * mels).var()


# Recordings


class Faulty:
    """Of which every second recording cannot be read."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> np.ndarray:
        if number % 2:
            raise MediaError(f"{number}.wav: the recording holds no samples")
        return HUMS[number]


def test_crops_are_stretches_of_recordings_as_float() -> None:
    steps = (HUMS[0] * 32768).astype(np.int16)
    recipe = VocoderStartRecipe(CONFIG, TRAINING, [steps])
    for crop in recipe.batch(np.random.default_rng(0))["sound"]:
        first = next(n for n in range(len(steps)) if np.array_equal(crop * 32768, steps[n : n + 1536]))
        assert first + 1536 <= 3000


def test_a_short_recording_is_followed_by_zeros() -> None:
    recipe = VocoderStartRecipe(CONFIG, TRAINING, [HUMS[0][:700]])
    crop = recipe.crop(np.random.default_rng(0))
    np.testing.assert_array_equal(crop, np.pad(HUMS[0][:700], (0, 836)))


def test_what_cannot_be_read_is_passed_over_and_noted() -> None:
    recipe = VocoderStartRecipe(CONFIG, TRAINING, Faulty())
    for step in range(8):
        recipe.crop(np.random.default_rng(step))
    assert set(recipe.problems) <= {f"{n}.wav: the recording holds no samples" for n in (1, 3)} and recipe.problems


def test_nothing_to_read_ends_the_training_with_the_reason(tmp_path) -> None:
    with pytest.raises(MissingDataset, match="expected recordings"):
        VocoderStartRecipe(CONFIG, TRAINING, [])
    recipe = VocoderStartRecipe(CONFIG, TRAINING, SpeechFiles([tmp_path / "none.wav"]))
    with pytest.raises(MissingDataset, match=r"20 recordings in a row .*none\.wav"):
        recipe.crop(np.random.default_rng(0))


def test_files_are_read_at_16_khz(tmp_path) -> None:
    path = tmp_path / "a.flac"
    write_audio(path, Audio(HUMS[0], 16000))
    found = SpeechFiles([path])
    assert len(found) == 1
    np.testing.assert_allclose(found[0], HUMS[0], atol=1 / 32768)


# Training


def test_each_side_of_the_game_moves_its_own_weights_alone() -> None:
    recipe = VocoderRecipe(CONFIG, TRAINING, HUMS)
    moved = {}

    def update(name, loss) -> None:
        for module in recipe.modules().values():
            module.zero_grad()
        loss.backward()
        moved[name] = {
            part for part, module in recipe.modules().items() if any(p.grad is not None for p in module.parameters())
        }

    losses = recipe.step(recipe.batch(np.random.default_rng(0)), update)
    assert moved == {"critics": {"critics"}, "generator": {"generator"}}
    assert set(losses) == {"critics", "believed", "features", "mel", "spectra"}


def test_the_rate_falls_with_each_pass_over_the_recordings() -> None:
    recipe = VocoderRecipe(CONFIG, dataclasses.replace(TRAINING, vocoder_decay=0.5), HUMS)
    assert [recipe.pace(step) for step in range(5)] == [1, 1, 0.5, 0.5, 0.25]


def test_a_generator_alone_comes_closer_to_the_spectra() -> None:
    recipe = VocoderStartRecipe(CONFIG, TRAINING, HUMS[:1], HUMS[:1])
    optimiser = recipe.optimisers()["generator"]
    before = recipe.validate()["mel"]

    def update(name, loss) -> None:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    for step in range(12):
        recipe.step(recipe.batch(np.random.default_rng(step)), update)
    assert recipe.validate()["mel"] < 0.8 * before


def test_both_stages_train_and_leave_a_plain_generator(tmp_path) -> None:
    made = stages(CONFIG, TRAINING, HUMS, HUMS[:2])
    assert [stage.name for stage in made] == ["vocoder_start", "vocoder"]
    path = train_stages(made, tmp_path, Loop(device="cpu", sample_every=2, checkpoint_every=2))
    tensors, about = read(path, "lipdiffuser")
    assert about["method"] == "vocoder" and all(name.startswith("vocoder.") for name in tensors)
    generator = Generator(16)
    generator.load_state_dict({name.removeprefix("vocoder."): tensor for name, tensor in tensors.items()})
    # The start is where the first stage ended: with no steps of its own the second one says what that says.
    start = tmp_path / "vocoder_start.safetensors"
    begun = VocoderRecipe(CONFIG, TRAINING, HUMS, start=start)
    first, _ = read(start, "lipdiffuser")
    plain = Generator(16)
    plain.load_state_dict({name.removeprefix("vocoder."): tensor for name, tensor in first.items()})
    mels = begun.log_mel(torch.from_numpy(HUMS[0])[None])
    torch.testing.assert_close(begun.generator(mels), plain(mels), atol=1e-5, rtol=1e-4)
    assert not torch.equal(plain(mels), generator(mels))
    assert (tmp_path / "vocoder" / "samples" / "000002.png").is_file()


def test_the_paper_s_training_has_the_game_alone() -> None:
    paper = Training()
    (only,) = stages(Config(), paper, HUMS)
    assert only.name == "vocoder" and only.steps == 2_500_000 and not only.anneal
