"""The filter behind the vocoder gives a sound the log-mel spectrogram that was asked for."""

import pytest
import torch

from baselines.lipdiffuser.equaliser import Equaliser
from baselines.lipdiffuser.mel import LogMel

FRAMINGS = ("hifigan", "centred")


def hiss(seed: int = 0) -> torch.Tensor:
    return 0.05 * torch.randn(2, 40 * 256, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_sound_that_is_as_asked_stays(framing) -> None:
    sound = hiss()
    torch.testing.assert_close(Equaliser(framing, 3)(sound, LogMel(framing)(sound)), sound, atol=1e-5, rtol=0)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_level_is_made_up_for_at_once(framing) -> None:
    sound = hiss()
    made = Equaliser(framing, 1)(0.25 * sound, LogMel(framing)(sound))
    torch.testing.assert_close(made, sound, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_burst_and_a_tilt_are_brought_where_they_belong(framing) -> None:
    """What is asked for is loud for eight frames and dark elsewhere; the sound to be filtered is even noise."""
    wanted = hiss(1)
    wanted[:, 20 * 256 : 28 * 256] *= 8
    wanted[:, 1:] += 0.9 * wanted[:, :-1]
    log_mel = LogMel(framing)
    mels = log_mel(wanted)
    apart = [
        (log_mel(Equaliser(framing, passes)(hiss(2), mels)) - mels).abs()[:, :, 1:-1].mean().item()
        for passes in (0, 1, 4)
    ]
    assert apart[1] < 0.45 * apart[0] and apart[2] < 0.75 * apart[1]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_frames_are_filtered_where_they_were_measured(framing) -> None:
    """Half a hop to either side leaves more of a burst's edges wrong."""
    wanted = hiss(1)
    wanted[:, 20 * 256 : 28 * 256] *= 20
    log_mel = LogMel(framing)
    mels = log_mel(wanted)
    equaliser = Equaliser(framing, 6)
    ahead, apart = equaliser.ahead, {}
    for shift in (0, -128 if framing == "centred" else 128):
        equaliser.ahead = ahead + shift
        apart[shift] = (log_mel(equaliser(hiss(2), mels)) - mels).abs().mean().item()
    right, wrong = apart.values()
    assert right < 0.85 * wrong


def test_no_pass_leaves_the_sound_alone() -> None:
    sound = hiss()
    assert Equaliser()(sound, torch.zeros(2, 80, 40)) is sound


def test_it_adds_nothing_to_a_checkpoint() -> None:
    assert not Equaliser(passes=2).state_dict()
