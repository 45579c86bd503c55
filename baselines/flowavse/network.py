"""FlowAVSE's two stages and their visual encoders, as one (Sec. 2.1, Fig. 2); AVDiffuSS has the same networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.flowavse.ncsnpp import NCSNpp, Size
from baselines.flowavse.visual_encoder import VisualEncoder


@dataclass(frozen=True)
class Seen:
    """Visual features of a batch of videos, once for all stages and sampling steps."""

    predictor: Tensor
    """`[B, N, features]`, for the first stage."""
    refiner: Tensor
    """`[B, N, features]`, for the second stage."""


class FlowAVSENetwork(nn.Module):
    """Predictor P_theta, refiner G_phi, visual encoder: what a checkpoint holds.

    The paper draws one visual embedding for both stages. Its 60.2 M parameters, and the official code, have an encoder
    per stage; that is what stands here. `shared_encoder` gives the drawing's single one (58.6 M in the large size).

    Spectrograms are real tensors `[B, 2, F, T]`: real part, imaginary part.

    Args:
        size: see NCSNpp.
        width: multiplies every number of channels; 1 is the paper's.
        shared_encoder: both stages look through one visual encoder.
        divide_by_time: the second stage's U-net divides by time, as in score models.
        video_window: see CrossAttention; 0 for none.
    """

    def __init__(
        self,
        size: Size = "large",
        width: float = 1.0,
        shared_encoder: bool = False,
        divide_by_time: bool = True,
        video_window: float = 0.0,
    ) -> None:
        super().__init__()
        self.predictor = NCSNpp(2, conditioned=False, size=size, width=width, video_window=video_window)
        self.predictor_encoder = VisualEncoder(width)
        self.refiner = NCSNpp(
            4, conditioned=True, size=size, width=width, divide_by_time=divide_by_time, video_window=video_window
        )
        self.refiner_encoder = None if shared_encoder else VisualEncoder(width)

    def see(self, video: Tensor) -> Seen:
        """Look at the video, once. Shape: `[B, N, 112, 112]` grey, 0..255, 25 fps -> two of `[B, N, features]`."""
        first = self.predictor_encoder(video)
        return Seen(first, first if self.refiner_encoder is None else self.refiner_encoder(video))

    def predict(self, noisy: Tensor, seen: Seen) -> Tensor:
        """P_theta(y, f_v), the first estimate. Shape: `[B, 2, F, T]` -> `[B, 2, F, T]`."""
        return self.predictor(noisy, seen.predictor)

    def refine(self, state: Tensor, estimate: Tensor, time: Tensor, seen: Seen) -> Tensor:
        """The velocity v_phi of flow matching (Eq. 8), or AVDiffuSS's score, at `state`.

        The U-net's output with its sign turned, the custom of score models, which the official flow model keeps. The
        second stage gets the first estimate and not the noisy spectrogram.

        Args:
            time: above 0; its logarithm is taken, and the U-net divides by it.

        Shape:
            state, estimate `[B, 2, F, T]`, time `[B]` -> `[B, 2, F, T]`
        """
        return -self.refiner(torch.cat([state, estimate], dim=1), seen.refiner, time)
