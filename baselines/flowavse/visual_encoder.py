"""The visual encoder of FlowAVSE (Sec. 3.2): TalkNet's visual front-end at reduced width."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from baselines.layers.width import scaled

STAGES = (64, 64, 64, 128, 128)
"""Channels of the first convolution and of the four ResNet stages; TalkNet itself has 64, 64, 128, 256, 512."""
FEATURES = 64
TEMPORAL_BLOCKS = 5
FRAMES = 5
"""Neighbouring frames that the first convolution sees."""
GREY_MEAN, GREY_DEVIATION = 0.4161, 0.1688


class VisualEncoder(nn.Module):
    """3D convolution, ResNet18, temporal convolutions, 1D convolution (Sec. 3.2; Tao et al. 2021).

    The 5x7x7 convolution over grey frames is computed as a 2D one over five neighbouring frames as channels, which is
    the same sum and stays in channels-last layout. Time is padded for each video alone: the official code lays the
    videos of a batch end to end first, so that a video's first and last frames there mix with its neighbours'.

    Shape:
        `[B, N, H, W]` grey frames at 25 fps, 0..255, any dtype, H = W = 112 as in the paper (any size of at least
        32 works) -> `[B, N, features]`
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        channels = [scaled(c, width) for c in STAGES]
        self.features = scaled(FEATURES, width)
        self.front = nn.Conv2d(FRAMES, channels[0], 7, stride=2, padding=3, bias=False)
        self.front_norm = _norm(channels[0])
        self.stages = nn.ModuleList(
            ResidualStage(a, b, stride=1 if i == 0 else 2) for i, (a, b) in enumerate(pairwise(channels))
        )
        self.temporal = nn.Sequential(*(TemporalBlock(channels[-1]) for _ in range(TEMPORAL_BLOCKS)))
        self.output = nn.Conv1d(channels[-1], self.features, 5, padding=2)
        self.output_norm = nn.BatchNorm1d(self.features)

    def forward(self, video: Tensor) -> Tensor:
        count, frames = video.shape[:2]
        x = (video.to(self.front.weight.dtype) / 255 - GREY_MEAN) / GREY_DEVIATION
        windows = F.pad(x, (0, 0, 0, 0, FRAMES // 2, FRAMES // 2)).unfold(1, FRAMES, 1).movedim(-1, 2)
        x = F.relu(self.front_norm(self.front(windows.flatten(0, 1))))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for stage in self.stages:
            x = stage(x)
        x = x.mean(dim=(2, 3)).view(count, frames, -1).transpose(1, 2)
        x = F.relu(self.output_norm(self.output(self.temporal(x))))
        return x.transpose(1, 2)


class ResidualStage(nn.Module):
    """Two residual blocks with normalisation after each sum (TalkNet's form of a ResNet18 stage).

    The sum before its normalisation, not the output of the first block, goes around the second block.

    With stride 1 the first block's shortcut is the identity. The 1x1 convolution that TalkNet builds there all the
    same is kept, frozen, so that published counts and checkpoints fit.

    Shape:
        `[B, inputs, H, W]` -> `[B, outputs, ceil(H / stride), ceil(W / stride)]`
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv_a1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm_a1 = _norm(outputs)
        self.conv_a2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
        self.norm_a2 = _norm(outputs)
        self.conv_b1 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm_b1 = _norm(outputs)
        self.conv_b2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm_b2 = _norm(outputs)
        self.halves = stride == 2
        if not self.halves:
            self.shortcut.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        around = self.shortcut(x) if self.halves else x
        x = self.conv_a2(F.relu(self.norm_a1(self.conv_a1(x)))) + around
        y = F.relu(self.norm_a2(x))
        y = self.conv_b2(F.relu(self.norm_b1(self.conv_b1(y))))
        return F.relu(self.norm_b2(x + y))


class TemporalBlock(nn.Module):
    """ReLU, batch normalisation, depthwise convolution over 3 frames, PReLU, global normalisation, pointwise; added.

    Global normalisation is over channels and time together.

    Shape:
        `[B, C, N]` -> `[B, C, N]`
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.depthwise = nn.Conv1d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.activation = nn.PReLU()
        self.global_norm = nn.GroupNorm(1, channels, eps=1e-8)
        self.pointwise = nn.Conv1d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.depthwise(self.norm(F.relu(x))))
        return x + self.pointwise(self.global_norm(y))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
