"""The discriminators of the image enhancement: of whole faces, of each eye and of mouths (GFP-GAN, Sec. 3.4)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from baselines.avp_gan.enhancement import SLOPE, ResidualBlock, channels, check_size
from baselines.layers.width import scaled

COMPONENTS = ("left_eye", "right_eye", "mouth")


class FaceDiscriminator(nn.Module):
    """Residual blocks of the U-Net down to 4 px and two linear maps, where GFPGAN has StyleGAN2's discriminator.

    Shape:
        `[B, 3, S, S]` -> logits `[B]`
    """

    def __init__(self, size: int, width: float = 1.0) -> None:
        super().__init__()
        widths = [channels(4 * 2**k, width, 1) for k in range(check_size(size) + 1)]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[-1], 1), nn.LeakyReLU(SLOPE)]
        layers += [
            ResidualBlock(large, small, 0.5) for small, large in reversed(list(zip(widths, widths[1:], strict=False)))
        ]
        layers += [nn.Conv2d(widths[0], widths[0], 3, padding=1), nn.LeakyReLU(SLOPE), nn.Flatten()]
        layers += [nn.Linear(16 * widths[0], widths[0]), nn.LeakyReLU(SLOPE), nn.Linear(widths[0], 1)]
        self.model = nn.Sequential(*layers)

    def forward(self, faces: Tensor) -> Tensor:
        return self.model(faces)[:, 0]


class ComponentDiscriminator(nn.Module):
    """Five convolutions, two of them of stride 2; the features behind each halving tell a region's style.

    Shape:
        `[B, 3, H, W]` -> logits `[B, 1, H/4, W/4]`, features `[B, C, H/2, W/2]` and `[B, 2C, H/4, W/4]`
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        one, two, four = (scaled(c, width) for c in (64, 128, 256))
        self.first = nn.Conv2d(3, one, 3, padding=1)
        self.halved = _halving(one, two)
        self.quartered = _halving(two, four)
        self.last = nn.Conv2d(four, 1, 3, padding=1)

    def forward(self, region: Tensor) -> tuple[Tensor, list[Tensor]]:
        half = self.halved(F.leaky_relu(self.first(region), SLOPE))
        quarter = self.quartered(half)
        return self.last(quarter), [half, quarter]


class EnhancementDiscriminators(nn.ModuleDict):
    """All four."""

    def __init__(self, size: int, width: float = 1.0) -> None:
        parts = {name: ComponentDiscriminator(width) for name in COMPONENTS}
        super().__init__({"face": FaceDiscriminator(size, width), **parts})


def _halving(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.LeakyReLU(SLOPE),
    )


def regions(
    faces: Tensor, eye_height: float, eye_distance: float, eye_side: float, mouth_height: float, mouth_side: float
) -> Mapping[str, Tensor]:
    """The squares of eyes and mouth in aligned faces `[B, 3, S, S]`; lengths are in parts of the side.

    Left and right are the picture's. Eyes lie symmetrically, the mouth in the middle; what would lie outside is
    left out.
    """
    centres = {
        "left_eye": (0.5 - eye_distance / 2, eye_height, eye_side),
        "right_eye": (0.5 + eye_distance / 2, eye_height, eye_side),
        "mouth": (0.5, mouth_height, mouth_side),
    }
    size = faces.shape[-1]
    cut = {}
    for name, (x, y, side) in centres.items():
        left, top = (max(0, round((place - side / 2) * size)) for place in (x, y))
        length = max(4, round(side * size))
        cut[name] = faces[..., top : top + length, left : left + length]
    return cut
