"""The networks of SF2F (Bai et al. 2020, Sec. 4 and App. D), and their official variants."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.layers.inception1d import Inception1D
from baselines.layers.upsampling import GatedUpBlock, UpBlock
from baselines.layers.width import scaled
from baselines.voice2face.network import DeconvolutionDecoder, PlainVoiceEncoder

BINS = 40
EMBEDDING = 512
INCEPTION_CHANNELS = (256, 384, 576, 864)
DECODER_CHANNELS = (1024, 512, 256, 128, 64, 32)
EPSILON = 1e-12
Variant = Literal["paper", "official"]


class VoiceEncoder(nn.Module):
    """1D Inception stack, mean over time, unit length (Table 9).

    `paper`: five Inception modules, 256, 384, 576, 864, 512. `official`: four, then a plain convolution to 512.

    Shape:
        `[B, 40, T]` -> `[B, embedding]`, T at least 1
    """

    def __init__(self, variant: Variant = "paper", width: float = 1.0) -> None:
        super().__init__()
        self.embedding = scaled(EMBEDDING, width)
        channels = [BINS, *(scaled(c, width) for c in INCEPTION_CHANNELS)]
        modules: list[nn.Module] = [Inception1D(a, b) for a, b in pairwise(channels)]
        if variant == "paper":
            modules.append(Inception1D(channels[-1], self.embedding))
        else:
            modules.append(nn.Conv1d(channels[-1], self.embedding, 3, stride=2, padding=1))
        self.model = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.model(x).mean(dim=2), dim=1, eps=EPSILON)


class EmbeddingFuser(nn.Module):
    """Self-attention over segment embeddings, a linear map, mean over segments (Sec. 4, Embedding Fuser).

    s(e_i, e_j) = e_i' W_a e_j, without scaling; beta = softmax over j; a_i = sum_j beta_ij e_j;
    f_i = W_f [a_i, e_i] + b_f; f = mean_i f_i. The official variant puts the mapped query W_a' e_i in the place of e_i
    in f_i, has no b_f, and gives f unit length afterwards.

    The paper does not say how the weights start. Here W_f starts as the average of a_i and e_i, so that the fuser
    begins at the mean of the segments, which the trained decoder can already draw, and improves on that. The official
    variant starts as torch's linear layers do.

    Shape:
        `[B, N, D]` -> `[B, D]`
    """

    def __init__(self, embedding: int = EMBEDDING, variant: Variant = "paper") -> None:
        super().__init__()
        self.query = nn.Linear(embedding, embedding, bias=False)
        """Holds the transpose of W_a: e_i' W_a e_j = (W_a' e_i)' e_j."""
        self.output = nn.Linear(2 * embedding, embedding, bias=variant == "paper")
        self.official = variant == "official"
        if not self.official:
            with torch.no_grad():
                self.output.weight.copy_(torch.eye(embedding).repeat(1, 2) / 2)
                self.output.bias.zero_()

    def forward(self, segments: Tensor) -> Tensor:
        queries = self.query(segments)
        beta = torch.softmax(queries @ segments.transpose(1, 2), dim=2)
        beside = queries if self.official else segments
        fused = self.output(torch.cat([beta @ segments, beside], dim=2)).mean(dim=1)
        return F.normalize(fused, dim=1, eps=EPSILON) if self.official else fused


class FaceDecoder(nn.Module):
    """Upsampling blocks from one point to a face, a linear 1x1 convolution at the end (Table 10, Fig. 8).

    Shape:
        `[B, embedding]` -> a list of `[B, 3, S, S]`, S = 64 or 128, both (in this order) where `multi_resolution`
    """

    def __init__(
        self, embedding: int, resolution: int = 64, multi_resolution: bool = False, width: float = 1.0
    ) -> None:
        super().__init__()
        channels = [scaled(c, width) for c in DECODER_CHANNELS]
        self.low = nn.Sequential(*(UpBlock(a, b) for a, b in pairwise([embedding, *channels])))
        self.high: UpBlock | None = None
        self.heads = nn.ModuleDict()
        if resolution == 64 or multi_resolution:
            self.heads["64"] = nn.Conv2d(channels[-1], 3, 1)
        if resolution == 128:
            self.high = UpBlock(channels[-1], scaled(16, width))
            self.heads["128"] = nn.Conv2d(scaled(16, width), 3, 1)

    def forward(self, embedding: Tensor) -> list[Tensor]:
        x = self.low(embedding[:, :, None, None])
        faces = [self.heads["64"](x)] if "64" in self.heads else []
        return faces if self.high is None else [*faces, self.heads["128"](self.high(x))]


class OfficialFaceDecoder(nn.Module):
    """The decoder of the official checkpoints: a linear map to 4x4, gated blocks, a two-layer head.

    At 128 px the official network is always multi-resolution.

    Shape:
        as FaceDecoder
    """

    def __init__(self, embedding: int, resolution: int = 64, width: float = 1.0) -> None:
        super().__init__()
        self.channels = scaled(EMBEDDING, width)
        self.start = nn.Sequential(
            nn.Linear(embedding, self.channels * 4 * 4 * 2, bias=False),
            nn.BatchNorm1d(self.channels * 4 * 4 * 2),
            nn.GLU(dim=1),
        )
        stages = [self.channels, *(scaled(c, width) for c in (256, 128, 64, 32))]
        self.low = nn.Sequential(*(GatedUpBlock(a, b) for a, b in pairwise(stages)))
        self.heads = nn.ModuleDict({"64": _two_layer_head(stages[-1])})
        self.high: GatedUpBlock | None = None
        if resolution == 128:
            self.high = GatedUpBlock(stages[-1], scaled(16, width))
            self.heads["128"] = _two_layer_head(scaled(16, width))

    def forward(self, embedding: Tensor) -> list[Tensor]:
        x = self.low(self.start(embedding).view(len(embedding), self.channels, 4, 4))
        faces = [self.heads["64"](x)]
        return faces if self.high is None else [*faces, self.heads["128"](self.high(x))]


class BaselineFaceDecoder(DeconvolutionDecoder):
    """voice2face's deconvolution decoder with SF2F's interface (Table 7, "Baseline Decoder"); 64 px only."""

    def forward(self, embedding: Tensor) -> list[Tensor]:  # type: ignore[override]
        return [super().forward(embedding)]


class LinearStart(nn.Module):
    """A linear map from an embedding to a picture, of low rank: what algebra alone draws (not in the paper).

    Shape:
        `[B, embedding]` -> `[B, 3, resolution, resolution]`
    """

    def __init__(self, embedding: int, rank: int, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.components = nn.Linear(embedding, rank, bias=False)
        self.picture = nn.Linear(rank, 3 * resolution * resolution)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.picture(self.components(embedding)).view(-1, 3, self.resolution, self.resolution)


class SF2FNetwork(nn.Module):
    """Voice encoder, embedding fuser and face decoder, as one: what a checkpoint holds.

    With `linear_start` above 0, a linear map of that rank draws a picture too, and the decoder adds what is missing.
    """

    def __init__(
        self,
        variant: Variant = "paper",
        width: float = 1.0,
        resolution: int = 64,
        multi_resolution: bool = False,
        encoder: Literal["inception", "baseline"] = "inception",
        decoder: Literal["upsampling", "baseline"] = "upsampling",
        fuser: bool = True,
        linear_start: int = 0,
    ) -> None:
        super().__init__()
        self.embedding = embedding = scaled(EMBEDDING, width)
        self.encoder: nn.Module = (
            PlainVoiceEncoder(BINS, embedding, width) if encoder == "baseline" else VoiceEncoder(variant, width)
        )
        self.fuser = EmbeddingFuser(embedding, variant) if fuser else None
        self.decoder: nn.Module
        if decoder == "baseline":
            self.decoder = BaselineFaceDecoder(embedding, width)
        elif variant == "official":
            self.decoder = OfficialFaceDecoder(embedding, resolution, width)
        else:
            self.decoder = FaceDecoder(embedding, resolution, multi_resolution, width)
        self.linear_start = LinearStart(embedding, linear_start, resolution) if linear_start else None

    def draw(self, embedding: Tensor) -> list[Tensor]:
        """Faces from embeddings `[B, D]`: one tensor `[B, 3, S, S]` for each resolution."""
        faces: list[Tensor] = self.decoder(embedding)
        return faces if self.linear_start is None else [face + self.linear_start(embedding) for face in faces]

    def fused(self, segments: Tensor) -> Tensor:
        """One embedding `[B, D]` per sequence of windows `[B, N, 40, T]`."""
        assert self.fuser is not None
        count, windows = segments.shape[:2]
        return self.fuser(self.encoder(segments.flatten(0, 1)).view(count, windows, -1))

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[B, D]` of log filter banks: `[B, 40, T]` without the fuser, `[B, N, 40, T]` through it."""
        embedding: Tensor = self.fused(x) if x.ndim == 4 else self.encoder(x)
        return embedding

    def forward(self, x: Tensor) -> list[Tensor]:
        """Faces from log filter banks, as `embed` takes them."""
        return self.draw(self.embed(x))


def _two_layer_head(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(channels, 3, 1))
