"""The networks of AVP-GAN (Mao et al. 2024, Sec. 3): voice2face's, with attention and spectral normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from baselines.avp_gan.attention import CBAM
from baselines.avp_gan.enhancement import Enhancer
from baselines.voice2face.network import DeconvolutionDecoder, FaceEmbedding, PlainVoiceEncoder


def _attentive(
    layers: Sequence[nn.Module], activation: nn.Module, reduction: int | None, spectral: bool
) -> nn.Sequential:
    """Convolutions one after the other; spectral normalisation in all but the first and the last, attention behind
    the activation of all but the last (`reduction` None leaves it out)."""
    *hidden, last = layers
    model: list[nn.Module] = []
    for place, layer in enumerate(hidden):
        model += [spectral_norm(layer) if place and spectral else layer, activation]
        if reduction is not None:
            channels = layer.out_channels
            assert isinstance(channels, int)
            model.append(CBAM(channels, reduction))
    return nn.Sequential(*model, last)


class AttentiveDecoder(nn.Module):
    """voice2face's generator, spectral normalisation in layers 2 to 5, CBAM behind layers 1 to 5 (Fig. 4).

    Args:
        reduction: of CBAM's channel attention; None for no attention ("no CBAM" in Table 4).
        spectral: false leaves spectral normalisation to `normalise_spectra`.

    Shape:
        `[B, embedding]` -> `[B, 3, 64, 64]`, nominally in -1..1
    """

    def __init__(
        self, embedding: int = 64, width: float = 1.0, reduction: int | None = 16, spectral: bool = True
    ) -> None:
        super().__init__()
        plain = DeconvolutionDecoder(embedding, width).model
        layers = [layer for layer in plain if isinstance(layer, nn.ConvTranspose2d)]
        self.model = _attentive(layers, nn.ReLU(), reduction, spectral)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.model(embedding[:, :, None, None])


class AttentiveFaceEmbedding(FaceEmbedding):
    """voice2face's face network, spectral normalisation in all convolutions but the first and the last (Fig. 5).

    CBAM stands behind each hidden layer, as Algorithm 1 (line 4) has it in the discriminator.
    """

    def __init__(
        self, embedding: int = 64, width: float = 1.0, reduction: int | None = 16, spectral: bool = True
    ) -> None:
        super().__init__(embedding, width)
        layers = [layer for layer in self.model if isinstance(layer, nn.Conv2d)]
        self.model = _attentive(layers, nn.LeakyReLU(0.2), reduction, spectral)


@torch.no_grad()
def normalise_spectra(decoder: AttentiveDecoder) -> None:
    """Give a decoder without spectral normalisation its own, in place; it draws what it drew before.

    Of positive numbers a ReLU makes products: ReLU(c x) = c ReLU(x). What the normalisation of a layer divides by is
    therefore taken out of the biases behind it and put into the attentions, which see smaller features, and into the
    last layer, which is not normalised.
    """
    *hidden, last = decoder.model
    factor, first = 1.0, True
    for module in hidden:
        if isinstance(module, nn.ConvTranspose2d):
            if not first:
                before = module.weight.norm()
                spectral_norm(module).eval()
                factor = factor * float(module.weight.norm() / before)
            first = False
            assert module.bias is not None
            module.bias.mul_(factor)
        elif isinstance(module, CBAM):
            for attention in module:
                attention.rescale(1 / factor)
    last.weight.div_(factor)


class AVPGANNetwork(nn.Module):
    """Voice encoder, generator, and image enhancement where there is one: what a checkpoint holds."""

    def __init__(
        self,
        width: float = 1.0,
        embedding: int = 64,
        reduction: int | None = 16,
        enhancer: Enhancer | None = None,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = PlainVoiceEncoder(64, embedding, width)
        self.decoder = AttentiveDecoder(embedding, width, reduction, spectral)
        self.enhancer = enhancer

    def forward(self, x: Tensor) -> Tensor:
        """Faces in -1..1, of the generator `[B, 3, 64, 64]` or enhanced `[B, 3, S, S]`, from log-mel `[B, 64, T]`."""
        return self.enhanced(self.decoder(self.encoder(x)))

    def enhanced(self, faces: Tensor) -> Tensor:
        """The generator's faces after the image enhancement module; as they are where there is none."""
        if self.enhancer is None:
            return faces
        return self.enhancer(enlarged(faces.clamp(-1, 1), self.enhancer.size))


def enlarged(faces: Tensor, size: int) -> Tensor:
    """Faces as the enhancement module takes them: at its own size, by bilinear interpolation."""
    return F.interpolate(faces, size=(size, size), mode="bilinear", align_corners=False)
