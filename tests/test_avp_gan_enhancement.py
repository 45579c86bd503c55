"""AVP-GAN's image enhancement: GFPGAN's architecture by plain convolutions, its checkpoints, losses, degradations."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from baselines.avp_gan.config import Config
from baselines.avp_gan.degradation import blurred, degraded
from baselines.avp_gan.discriminators import COMPONENTS, EnhancementDiscriminators, regions
from baselines.avp_gan.enhancement import Enhancer, FacePrior, ModulatedConvolution, channel_split_transform, channels
from baselines.avp_gan.enhancement_losses import (
    discriminator_loss,
    feature_distance,
    gram,
    local_loss,
    realism_loss,
    style_distance,
)
from baselines.avp_gan.method import AVPGAN, weights_of
from baselines.avp_gan.official import from_gfpgan
from baselines.checkpoints import export
from benchmark.errors import InvalidConfig, MissingWeights

SIZE, STYLE = 16, 8
SMALL = Config(
    width=0.05, resolution=SIZE, prior_width=0.03125, prior_style=STYLE, prior_mapping=2, prior_multiplier=2, vad=False
)


@pytest.fixture(autouse=True)
def quiet():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(before)


def shapes(size: int, style: int, width: float, multiplier: int, mapping: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a released GFPGANv1Clean checkpoint of these settings, written down from its architecture."""

    def prior(side: int) -> int:
        table = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256 * multiplier, 128: 128 * multiplier, 256: 64 * multiplier}
        return int((table | {512: 32 * multiplier})[side] * width)

    def unet(side: int) -> int:
        return prior(side) // 2

    sides = [8 * 2**k for k in range(int(math.log2(size)) - 2)]
    found: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        found[f"{name}.weight"] = (outputs, inputs, kernel, kernel)
        if bias:
            found[f"{name}.bias"] = (outputs,)

    def residual(name: str, inputs: int, outputs: int) -> None:
        convolution(f"{name}.conv1", inputs, inputs, 3)
        convolution(f"{name}.conv2", inputs, outputs, 3)
        convolution(f"{name}.skip", inputs, outputs, 1, bias=False)

    def modulated(name: str, inputs: int, outputs: int, kernel: int) -> None:
        found[f"{name}.modulated_conv.weight"] = (1, outputs, inputs, kernel, kernel)
        found[f"{name}.modulated_conv.modulation.weight"] = (inputs, style)
        found[f"{name}.modulated_conv.modulation.bias"] = (inputs,)
        found[f"{name}.bias"] = (1, outputs, 1, 1)
        if kernel == 3:
            found[f"{name}.weight"] = (1,)

    convolution("conv_body_first", 3, unet(size), 1)
    for number, side in enumerate(reversed(sides)):
        residual(f"conv_body_down.{number}", unet(side), unet(side // 2))
    convolution("final_conv", unet(4), unet(4), 3)
    found["final_linear.weight"] = ((2 * len(sides) + 2) * style, 16 * unet(4))
    found["final_linear.bias"] = ((2 * len(sides) + 2) * style,)
    for number, side in enumerate(sides):
        residual(f"conv_body_up.{number}", unet(side // 2), unet(side))
        convolution(f"toRGB.{number}", unet(side), 3, 1)
        for kind in ("scale", "shift"):
            convolution(f"condition_{kind}.{number}.0", unet(side), unet(side), 3)
            convolution(f"condition_{kind}.{number}.2", unet(side), unet(side), 3)
    decoder = "stylegan_decoder"
    for number in range(mapping):
        found[f"{decoder}.style_mlp.{2 * number + 1}.weight"] = (style, style)
        found[f"{decoder}.style_mlp.{2 * number + 1}.bias"] = (style,)
    found[f"{decoder}.constant_input.weight"] = (1, prior(4), 4, 4)
    modulated(f"{decoder}.style_conv1", prior(4), prior(4), 3)
    modulated(f"{decoder}.to_rgb1", prior(4), 3, 1)
    found[f"{decoder}.noises.noise0"] = (1, 1, 4, 4)
    for number, side in enumerate(sides):
        modulated(f"{decoder}.style_convs.{2 * number}", prior(side // 2), prior(side), 3)
        modulated(f"{decoder}.style_convs.{2 * number + 1}", prior(side), prior(side), 3)
        modulated(f"{decoder}.to_rgbs.{number}", prior(side), 3, 1)
        for k in (1, 2):
            found[f"{decoder}.noises.noise{2 * number + k}"] = (1, 1, side, side)
    return found


def released(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes(SIZE, STYLE, 0.03125, 2, 2).items():
        fan = math.prod(shape[2:] if len(shape) == 5 else shape[1:]) or 1
        state[name] = torch.randn(shape, generator=generator) * fan**-0.5
    return state


def plain_gfpgan(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """GFPGANv1Clean from its published names: per-example weights, one example at a time, stored noise."""

    def convolved(name: str, x: torch.Tensor) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def resized(x: torch.Tensor, factor: float) -> torch.Tensor:
        return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)

    def leaky(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    def residual(name: str, x: torch.Tensor, factor: float) -> torch.Tensor:
        y = leaky(convolved(f"{name}.conv2", resized(leaky(convolved(f"{name}.conv1", x)), factor)))
        return y + convolved(f"{name}.skip", resized(x, factor))

    def modulated(name: str, x: torch.Tensor, style: torch.Tensor, demodulate: bool) -> torch.Tensor:
        own = f"{name}.modulated_conv"
        scale = state[f"{own}.modulation.weight"] @ style + state[f"{own}.modulation.bias"]
        weight = state[f"{own}.weight"][0] * scale[None, :, None, None]
        if demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

    def styled(name: str, x: torch.Tensor, style: torch.Tensor, noise: int, up: bool) -> torch.Tensor:
        y = modulated(name, resized(x, 2) if up else x, style, True) * 2**0.5
        y = y + state[f"{name}.weight"] * state[f"stylegan_decoder.noises.noise{noise}"] + state[f"{name}.bias"]
        return leaky(y)

    def picture(name: str, x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        return modulated(name, x, style, False) + state[f"{name}.bias"]

    levels = int(math.log2(SIZE)) - 2
    feature, skips = leaky(convolved("conv_body_first", x)), []
    for number in range(levels):
        feature = residual(f"conv_body_down.{number}", feature, 0.5)
        skips.append(feature)
    feature = leaky(convolved("final_conv", feature))
    codes = (state["final_linear.weight"] @ feature.flatten() + state["final_linear.bias"]).view(-1, STYLE)
    scales, shifts = [], []
    for number in range(levels):
        feature = residual(f"conv_body_up.{number}", feature + skips[levels - 1 - number], 2)
        for kind, kept in (("scale", scales), ("shift", shifts)):
            inner = leaky(convolved(f"condition_{kind}.{number}.0", feature))
            kept.append(convolved(f"condition_{kind}.{number}.2", inner))
    d = "stylegan_decoder"
    y = styled(f"{d}.style_conv1", state[f"{d}.constant_input.weight"], codes[0], 0, False)
    drawn = picture(f"{d}.to_rgb1", y, codes[1])
    for number in range(levels):
        y = styled(f"{d}.style_convs.{2 * number}", y, codes[2 * number + 1], 2 * number + 1, True)
        half = y.shape[1] // 2
        y = torch.cat([y[:, :half], y[:, half:] * scales[number] + shifts[number]], dim=1)
        y = styled(f"{d}.style_convs.{2 * number + 1}", y, codes[2 * number + 2], 2 * number + 2, False)
        drawn = resized(drawn, 2) + picture(f"{d}.to_rgbs.{number}", y, codes[2 * number + 3])
    return drawn


def test_a_checkpoint_under_the_published_names_draws_the_published_picture() -> None:
    state = released()
    enhancer = SMALL.enhancer()
    enhancer.load_state_dict(from_gfpgan({"params_ema": state}, Path("GFPGANv1.4.pth")))
    x = torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = torch.cat([plain_gfpgan(state, face[None]) for face in x])
    torch.testing.assert_close(enhancer(x), expected, rtol=1e-3, atol=1e-4)
    assert float((expected[0] - expected[1]).abs().max()) > 1e-2


@pytest.mark.parametrize("preset", [(512, 512, 1.0, 2, 8), (128, 64, 0.125, 1, 2)])
def test_names_and_shapes_are_those_of_released_checkpoints(preset: tuple[int, int, float, int, int]) -> None:
    with torch.device("meta"):
        enhancer = Enhancer(*preset)
        state = {name: torch.empty(shape) for name, shape in shapes(*preset).items()}
        ours = from_gfpgan({"params": state}, Path("x.pth"))
    own = {name: tuple(tensor.shape) for name, tensor in enhancer.state_dict().items()}
    assert {name: tuple(tensor.shape) for name, tensor in ours.items()} == own


def test_a_folder_with_a_gfpgan_checkpoint_enhances_our_faces(tmp_path: Path) -> None:
    state = released(3)
    torch.save({"params_ema": state}, tmp_path / "GFPGANv1.4.pth")
    with pytest.raises(MissingWeights, match="safetensors"):
        weights_of(tmp_path)
    with pytest.raises(MissingWeights, match="folder"):
        weights_of(tmp_path / "GFPGANv1.4.pth")
    network = SMALL.network().eval()
    export(tmp_path / "own.safetensors", network.state_dict(), {}, half=False)
    avp = AVPGAN(SMALL, tmp_path)
    avp.load("cpu")
    x = torch.randn(2, 64, 80, generator=torch.Generator().manual_seed(0))
    faces = network.decoder(network.encoder(x)).clamp(-1, 1)
    smaller = F.interpolate(faces, (SIZE, SIZE), mode="bilinear", align_corners=False)
    expected = torch.cat([plain_gfpgan(state, face[None]) for face in smaller])
    torch.testing.assert_close(avp.network(x), expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(InvalidConfig, match="strange"):
        from_gfpgan({"params_ema": state | {"strange": torch.zeros(1)}}, tmp_path)


def test_channels_are_those_of_gfpgan() -> None:
    assert [channels(4 * 2**k, 1.0, 2) for k in range(8)] == [512, 512, 512, 512, 512, 256, 128, 64]
    assert [channels(4 * 2**k, 0.5, 1) for k in range(8)] == [256, 256, 256, 256, 128, 64, 32, 16]


def test_demodulated_outputs_have_unit_variance() -> None:
    """StyleGAN2, Eq. 3: with inputs of unit variance, whatever the style."""
    torch.manual_seed(0)
    convolution = ModulatedConvolution(16, 8, 3, 4)
    y = convolution(torch.randn(1, 16, 96, 96), 5 * torch.randn(1, 4))[:, :, 1:-1, 1:-1]
    assert y.std(dim=(0, 2, 3)).tolist() == pytest.approx([1.0] * 8, rel=0.1)


def test_the_transform_changes_half_of_the_channels() -> None:
    x, scale, shift = torch.randn(2, 6, 3, 3), torch.randn(2, 3, 3, 3), torch.randn(2, 3, 3, 3)
    y = channel_split_transform(x, scale, shift)
    assert torch.equal(y[:, :3], x[:, :3])
    torch.testing.assert_close(y[:, 3:], x[:, 3:] * scale + shift)


def test_the_prior_alone_draws_by_mapped_vectors() -> None:
    torch.manual_seed(0)
    prior = FacePrior(16, 8, 0.03125, 2, 2)
    z = torch.randn(2, 8)
    styles = prior.mapped(z)
    assert styles.shape == (2, prior.styles, 8)
    torch.testing.assert_close(styles, prior.mapped(3 * z))
    assert prior(styles).shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match="power of two"):
        FacePrior(24, 8)


def test_losses_are_equations_7_to_10() -> None:
    rng = np.random.default_rng(0)
    a, b = ([torch.from_numpy(rng.standard_normal((2, c, 4, 3))) for c in (3, 5)] for _ in range(2))
    expected = sum(w * np.abs(x.numpy() - y.numpy()).mean() for w, x, y in zip((0.1, 1.0), a, b, strict=True))
    assert float(feature_distance(a, b, (0.1, 1.0))) == pytest.approx(expected)
    with pytest.raises(ValueError, match="2 layers"):
        feature_distance(a[:1], b, (0.1, 1.0))
    grams = [[np.einsum("bchw,bdhw->bcd", x, x) / (x.shape[1] * 12) for x in map(np.asarray, part)] for part in (a, b)]
    np.testing.assert_allclose(gram(a[1]).numpy(), grams[0][1])
    expected = sum(np.abs(x - y).mean() for x, y in zip(*grams, strict=True))
    assert float(style_distance(a, b)) == pytest.approx(expected)
    logits = torch.tensor([-2.0, 0.0, 3.0])
    d = 1 / (1 + np.exp(-logits.numpy()))
    assert float(realism_loss(logits, "paper")) == pytest.approx(-np.log1p(np.exp(logits.numpy())).mean(), rel=1e-5)
    assert float(realism_loss(logits, "gfpgan")) == pytest.approx(-np.log(d).mean(), rel=1e-5)
    assert float(local_loss(logits, "paper")) == pytest.approx(np.log(1 - d).mean(), rel=1e-5)
    assert float(local_loss(logits, "gfpgan")) == pytest.approx(-np.log(d).mean(), rel=1e-5)
    expected = -np.log(d).mean() - np.log(1 - d).mean()
    assert float(discriminator_loss(logits, logits)) == pytest.approx(expected, rel=1e-5)


def test_regions_are_where_eyes_and_mouth_are() -> None:
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    faces = torch.stack([rows, columns, rows])[None]
    cut = regions(faces, 0.5, 0.25, 0.125, 0.75, 0.25)
    assert tuple(cut) == COMPONENTS
    for name, (y, x, side) in {"left_eye": (32, 24, 8), "right_eye": (32, 40, 8), "mouth": (48, 32, 16)}.items():
        assert cut[name].shape == (1, 3, side, side)
        assert cut[name][0, :2].mean((1, 2)).tolist() == pytest.approx([y - 0.5, x - 0.5])
    critics = EnhancementDiscriminators(64, 0.03)
    assert critics["face"](faces).shape == (1,)
    logits, features = critics["mouth"](cut["mouth"])
    assert logits.shape[-2:] == (4, 4)
    assert [f.shape[-1] for f in features] == [8, 4]


def test_the_blur_is_a_gaussian_along_its_axes() -> None:
    point = torch.zeros(3, 33, 33)
    point[:, 16, 16] = 1
    place = torch.arange(33.0) - 16
    for deviations, angle, even, (wide, high) in (
        ((2.0, 9.0), 0.3, True, (2.0, 2.0)),
        ((3.0, 1.0), 0.0, False, (3.0, 1.0)),
        ((3.0, 1.0), math.pi / 2, False, (1.0, 3.0)),
    ):
        spread = blurred(point, np.array(deviations), angle, even)
        assert float(spread[0].sum()) == pytest.approx(1, rel=1e-4)
        assert float((spread[0].sum(0) * place**2).sum()) ** 0.5 == pytest.approx(wide, rel=0.05)
        assert float((spread[0].sum(1) * place**2).sum()) ** 0.5 == pytest.approx(high, rel=0.05)


def test_degraded_faces_are_their_faces_by_the_draw_alone() -> None:
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    face = torch.stack([rows, columns, 127 - rows]).mul(2).round().to(torch.uint8)
    faces = face.expand(6, -1, -1, -1)
    first, again = (degraded(faces, np.random.default_rng(0)) for _ in range(2))
    assert torch.equal(first, again)
    assert (first.shape, first.dtype) == (faces.shape, torch.float32)
    assert float(first.abs().max()) <= 1
    assert all(not torch.equal(one, first[0]) for one in first[1:])
    assert float((first - (faces.float() - 127.5) / 127.5).abs().mean()) < 0.15
