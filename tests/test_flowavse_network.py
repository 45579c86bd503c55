"""FlowAVSE's networks: counts, what the sizes differ in, resampling, attention, the visual encoder, both stages."""

import numpy as np
import pytest
import torch
from scipy.signal import upfirdn
from torch import nn
from torch.nn import functional as F

from baselines.flowavse.ncsnpp import Attention, CrossAttention, Double, Halve, NCSNpp, ResidualBlock, SelfAttention
from baselines.flowavse.network import FlowAVSENetwork, Seen
from baselines.flowavse.visual_encoder import ResidualStage, TemporalBlock, VisualEncoder

WIDTH = 0.07
BINS, SIDE = 16, 32
SIZES = ("small", "medium", "large")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def outline(size: str, **options) -> FlowAVSENetwork:
    """At the paper's width, shapes without memory."""
    with torch.device("meta"):
        return FlowAVSENetwork(size, **options)


def lively(build, seed: int = 0):
    """A network far from its start, where every branch is nearly zero, with statistics that are not 0 and 1."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build()
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.data += 0.1 * torch.randn_like(parameter)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
    return network.eval()


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def videos(count: int, frames: int = 6, seed: int = 2) -> torch.Tensor:
    shape = (count, frames, SIDE, SIDE)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.fixture(scope="module", params=SIZES)
def network(request) -> FlowAVSENetwork:
    return lively(lambda: FlowAVSENetwork(request.param, WIDTH))


# Sizes


@pytest.mark.parametrize(("size", "millions"), [("small", 28.6), ("medium", 39.4), ("large", 60.2)])
def test_sizes_have_the_papers_number_of_parameters(size, millions):
    assert round(count(outline(size)) / 1e6, 1) == millions


def test_large_is_the_official_network_part_by_part():
    large = outline("large")
    assert count(large.predictor) == 28_313_486
    assert count(large.refiner) == 28_727_450
    assert count(large.predictor_encoder) == count(large.refiner_encoder) == 1_580_037
    assert count(large) == 60_201_010
    without = [m for m in large.predictor.modules() if isinstance(m, CrossAttention)]
    assert len(without) == 6
    assert count(large.predictor) - sum(count(m) for m in without) == 27_342_350


def test_medium_lacks_second_convolutions_and_idle_shortcuts_and_nothing_else():
    large, medium = (
        {name: tuple(p.shape) for name, p in outline(size).named_parameters()} for size in ("large", "medium")
    )
    assert medium.items() < large.items()
    gone = set(large) - set(medium)
    assert all(".conv_out." in n or ".norm_out." in n or ".resample.shortcut." in n for n in gone)
    assert not any(".conv_out." in n or ".norm_out." in n or ".resample.shortcut." in n for n in medium)
    changing = {n for n in large if n.startswith("predictor.") and ".shortcut." in n and ".resample." not in n}
    assert changing <= set(medium)
    assert len(changing) == 2 * 9


def test_small_lacks_what_is_inside_level_4_and_nothing_else():
    medium, small = (
        {name: tuple(p.shape) for name, p in outline(size).named_parameters()} for size in ("medium", "small")
    )
    assert small.items() < medium.items()
    inside = ("down.3.", "middle.", "up.0.blocks.", "up.0.attention.")
    for stage in ("predictor.", "refiner."):
        gone = {n.removeprefix(stage) for n in set(medium) - set(small) if n.startswith(stage)}
        assert gone == {n.removeprefix(stage) for n in medium if n.removeprefix(stage).startswith(inside)}
    assert any(n.startswith("refiner.up.0.resample.") for n in small)
    assert any(n.startswith("refiner.down.2.resample.") for n in small)


def test_stages_differ_only_in_channels_and_in_the_use_of_time():
    large = outline("large")
    first = {n: p.shape for n, p in large.predictor.named_parameters()}
    second = {n: p.shape for n, p in large.refiner.named_parameters()}
    assert set(second) - set(first) == {f"time.{part}.{p}" for part in ("hidden", "output") for p in ("weight", "bias")}
    assert set(first) <= set(second)
    differing = {n.rsplit(".", 1)[0].split(".")[-1] for n in first if first[n] != second[n]}
    assert differing == {"input", "inject", "draw", "output"}


def test_a_shared_encoder_saves_one_encoder():
    assert count(outline("large")) - count(outline("large", shared_encoder=True)) == 1_580_037


@pytest.mark.parametrize("width", [0.03, 0.125, 0.3, 0.6, 0.75, 1.0])
def test_any_width_builds(width):
    for size in SIZES:
        outline(size, width=width)


# What the U-net computes


def test_halving_and_doubling_are_fir_filters_centred_on_the_input():
    x, taps = random(2, 3, 8, 12), np.array([1.0, 3.0, 3.0, 1.0])
    less = more = x.double().numpy()
    for axis, size in ((2, 8), (3, 12)):
        less = np.take(upfirdn(taps / 8, less, axis=axis), range(2, size + 2, 2), axis=axis)
        more = np.take(upfirdn(taps / 4, more, up=2, axis=axis), range(1, 2 * size + 1), axis=axis)
    torch.testing.assert_close(Halve()(x), torch.from_numpy(less).float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(Double()(x), torch.from_numpy(more).float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 7, 16, 37])
def test_any_number_of_frames_of_sound_and_video(network, frames):
    with torch.no_grad():
        seen = network.see(videos(2, frames=3))
        estimate = network.predict(random(2, 2, BINS, frames), seen)
        refined = network.refine(random(2, 2, BINS, frames), estimate, torch.tensor([0.1, 0.9]), seen)
    assert estimate.shape == refined.shape == (2, 2, BINS, frames)
    assert estimate.isfinite().all()
    assert refined.isfinite().all()


def test_frames_are_padded_with_silence_and_cropped(network):
    x, visual = random(1, 2, BINS, 13), random(1, 5, network.predictor_encoder.features)
    with torch.no_grad():
        padded = network.predictor(F.pad(x, (0, 3)), visual)[..., :13]
        torch.testing.assert_close(network.predictor(x, visual), padded, rtol=0, atol=0)


def test_items_of_a_batch_do_not_meet(network):
    noisy, state, video = random(3, 2, BINS, 11), random(3, 2, BINS, 11, seed=5), videos(3)
    time = torch.tensor([0.03, 0.5, 1.0])

    def run(rows: slice) -> torch.Tensor:
        seen = network.see(video[rows])
        estimate = network.predict(noisy[rows], seen)
        return torch.cat([estimate, network.refine(state[rows], estimate, time[rows], seen)], dim=1)

    with torch.no_grad():
        together = run(slice(None))
        apart = torch.cat([run(slice(i, i + 1)) for i in range(3)])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4 * float(apart.abs().max()))


def test_gradient_reaches_every_parameter_in_use():
    for size in SIZES:
        network = lively(lambda size=size: FlowAVSENetwork(size, WIDTH)).train()
        seen = network.see(videos(2))
        estimate = network.predict(random(2, 2, BINS, 11), seen)
        velocity = network.refine(random(2, 2, BINS, 11, seed=5), estimate, torch.tensor([0.2, 0.7]), seen)
        (velocity.square().mean() + estimate.square().mean()).backward()
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None and parameter.grad.abs().max() > 0, f"{size}: {name}"
            else:
                assert parameter.grad is None


def test_gradient_is_alive_at_the_start():
    torch.manual_seed(0)
    network = NCSNpp(2, conditioned=False, width=WIDTH)
    network(random(2, 2, BINS, 24), random(2, 3, 4)).square().mean().backward()
    dead = [n for n, p in network.named_parameters() if p.requires_grad and not p.grad.abs().max() > 0]
    assert dead == []


def test_only_parts_that_the_original_never_uses_are_frozen():
    for name, parameter in outline("large").named_parameters():
        idle = (
            name.endswith("time.frequencies")
            or (name.startswith("predictor.") and ".time." in name)
            or (".stages.0.shortcut." in name)
        )
        assert parameter.requires_grad != idle, name


def test_time_matters_and_scales_the_output():
    network = lively(lambda: NCSNpp(4, conditioned=True, width=WIDTH))
    x, visual = random(2, 4, BINS, 8), random(2, 3, 4)
    slow, fast = torch.tensor([0.05, 0.05]), torch.tensor([1.0, 1.0])
    with torch.no_grad():
        bias = network.output.bias[:, None, None]
        a, b = (t[0] * (network(x, visual, t) - bias) for t in (slow, fast))
        assert not torch.allclose(a, b, rtol=1e-2)
        for module in network.modules():
            if isinstance(module, ResidualBlock):
                module.time.weight.zero_()
        a, b = (t[0] * (network(x, visual, t) - bias) for t in (slow, fast))
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_time_is_given_exactly_where_it_is_used():
    x, visual = random(1, 2, BINS, 8), random(1, 3, 4)
    with pytest.raises(ValueError, match="Expected no time"):
        NCSNpp(2, conditioned=False, width=WIDTH)(x, visual, torch.ones(1))
    with pytest.raises(ValueError, match="Expected a time per item"):
        NCSNpp(2, conditioned=True, width=WIDTH)(x, visual)
    with pytest.raises(ValueError, match="multiple of 8 .* got 257"):
        NCSNpp(2, conditioned=False, width=WIDTH)(random(1, 2, 257, 8), visual)


def test_blocks_are_their_formulas():
    x, t = random(2, 8, 4, 6), random(2, 20)
    half = lively(lambda: ResidualBlock(8, 12, 20, single=False, resample="down"))
    h = half.conv_in(Halve()(F.silu(half.norm_in(x)))) + half.time(F.silu(t))[:, :, None, None]
    h = half.conv_out(F.silu(half.norm_out(h)))
    torch.testing.assert_close(half(x, t), (half.shortcut(Halve()(x)) + h) / 2**0.5)
    single = lively(lambda: ResidualBlock(8, 8, 20, single=True, resample="up"))
    torch.testing.assert_close(
        single(x, None), (Double()(x) + single.conv_in(Double()(F.silu(single.norm_in(x))))) / 2**0.5
    )
    around = lively(lambda: SelfAttention(8))
    points = around.norm(x).flatten(2)
    q, k, v = (m(points.transpose(1, 2)) for m in (around.query, around.key, around.value))
    mixed = around.output(torch.softmax(torch.einsum("bic,bjc->bij", q, k) / 8**0.5, dim=2) @ v)
    torch.testing.assert_close(around(x), (x + mixed.transpose(1, 2).reshape(x.shape)) / 2**0.5)


def test_every_level_gets_the_input_between_minus_one_and_one_halved_as_often(network):
    seen_by: list[torch.Tensor] = []
    parts = [network.predictor.input, *(level.inject for level in network.predictor.down if level.inject is not None)]
    hooks = [part.register_forward_pre_hook(lambda _, inputs: seen_by.append(inputs[0])) for part in parts]
    x = random(1, 2, BINS, 16)
    with torch.no_grad():
        network.predictor(x, random(1, 3, network.predictor_encoder.features))
    for hook in hooks:
        hook.remove()
    expected = 2 * x - 1
    assert len(seen_by) == 4
    for given in seen_by:
        torch.testing.assert_close(given, expected)
        expected = Halve()(expected)


@pytest.mark.parametrize("to_itself", [False, True])
def test_attention_is_softmax_attention(to_itself):
    layer = lively(lambda: Attention(10, 16 if to_itself else 12, head=4))
    x, context = random(2, 5, 10), None if to_itself else random(2, 7, 12)
    source = layer.query(x) if to_itself else context
    parts = []
    for head in range(4):
        rows = slice(4 * head, 4 * head + 4)
        q, k, v = (y @ m.weight[rows].T for y, m in ((x, layer.query), (source, layer.key), (source, layer.value)))
        parts.append(torch.softmax(q @ k.transpose(1, 2) / 4**0.5, dim=2) @ v)
    torch.testing.assert_close(layer(x, context), layer.output(torch.cat(parts, dim=2)))


def test_cross_attention_adds_one_sequence_over_time_to_all_bins():
    layer = lively(lambda: CrossAttention(8, 12, 16, head=4))
    x, visual = random(2, 8, 6, 5), random(2, 9, 12)
    added = layer(x, visual) - x
    torch.testing.assert_close(added, added[:, :, :1].expand_as(added), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer(x, visual.flip(1)), layer(x, visual), rtol=1e-5, atol=1e-5)
    assert (layer(x, visual.flip(0)) - layer(x, visual)).abs().max() > 1e-3


def test_a_window_keeps_attention_near_the_moment_of_the_sound():
    """What changes far away in the video is not seen; with a wide window it is as without one."""
    layers = {w: lively(lambda w=w: CrossAttention(8, 12, 16, head=4, window=w, pictures=0.5)) for w in (0.0, 0.7, 1e6)}
    x, visual = random(2, 8, 6, 20), random(2, 10, 12)
    torch.testing.assert_close(layers[1e6](x, visual), layers[0.0](x, visual))
    changed = visual.clone()
    changed[:, 7] += 3
    moved = (layers[0.7](x, changed) - layers[0.7](x, visual)).abs().amax(dim=(0, 1, 2))
    # Picture 7 is on screen in frames 14 and 15; ten frames, five pictures or seven deviations away nothing is left.
    assert moved[14:16].min() > 100 * moved[:5].max() and moved.argmax() in (14, 15)
    assert ((layers[0.0](x, changed) - layers[0.0](x, visual)).abs().amax(dim=(0, 1, 2)) > 1e-3).all()


# Video


def test_another_video_changes_the_output(network):
    noisy, video, time = random(2, 2, BINS, 11), videos(2), torch.tensor([0.5, 0.5])
    with torch.no_grad():
        seen = network.see(video)
        right = network.predict(noisy, seen)
        moved = network.refine(noisy, right, time, seen)
        for other in (network.see(video.flip(0)), network.see(video[:, [3, 0, 5, 1, 4, 2]])):
            for swapped, kept in (
                (network.predict(noisy, other), right),
                (network.refine(noisy, right, time, other), moved),
            ):
                assert ((swapped - kept).abs().amax(dim=(1, 2, 3)) > 1e-3 * kept.abs().max()).all()


def test_each_stage_looks_through_its_own_features(network):
    noisy, time = random(1, 2, BINS, 8), torch.tensor([0.5])
    with torch.no_grad():
        seen = network.see(videos(1))
        swapped = Seen(seen.refiner, seen.predictor)
        assert not torch.allclose(seen.predictor, seen.refiner)
        assert not torch.equal(network.predict(noisy, seen), network.predict(noisy, swapped))
        assert not torch.equal(network.refine(noisy, noisy, time, seen), network.refine(noisy, noisy, time, swapped))


def test_the_video_is_encoded_once_for_all_steps():
    network = lively(lambda: FlowAVSENetwork("small", WIDTH, shared_encoder=True))
    calls = []
    network.predictor_encoder.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        seen = network.see(videos(1))
        state = estimate = network.predict(random(1, 2, BINS, 8), seen)
        for _ in range(3):
            state = state + network.refine(state, estimate, torch.tensor([0.5]), seen)
    assert calls == [1]
    assert seen.predictor is seen.refiner


def test_the_first_convolution_is_three_dimensional():
    encoder = lively(lambda: VisualEncoder(WIDTH))
    video = videos(2, frames=4)
    x = (video.float() / 255 - 0.4161) / 0.1688
    volume = F.conv3d(x[:, None], encoder.front.weight[:, None], stride=(1, 2, 2), padding=(2, 3, 3))
    caught = []
    encoder.front.register_forward_hook(lambda _, __, output: caught.append(output))
    encoder(video)
    torch.testing.assert_close(caught[0].unflatten(0, (2, 4)).transpose(1, 2), volume, rtol=1e-4, atol=1e-4)


def test_visual_blocks_are_their_formulas():
    block, x = lively(lambda: TemporalBlock(8)), random(2, 8, 5)
    h = block.activation(block.depthwise(block.norm(F.relu(x))))
    mean, deviation = h.mean(dim=(1, 2), keepdim=True), h.std(dim=(1, 2), correction=0, keepdim=True)
    scale, shift = block.global_norm.weight[:, None], block.global_norm.bias[:, None]
    torch.testing.assert_close(block(x), x + block.pointwise(scale * (h - mean) / deviation + shift))
    for stride in (1, 2):
        stage, x = lively(lambda stride=stride: ResidualStage(8, 8, stride)), random(2, 8, 7, 7)
        first = stage.conv_a2(F.relu(stage.norm_a1(stage.conv_a1(x)))) + (x if stride == 1 else stage.shortcut(x))
        second = stage.conv_b2(F.relu(stage.norm_b1(stage.conv_b1(F.relu(stage.norm_a2(first)))))) + first
        torch.testing.assert_close(stage(x), F.relu(stage.norm_b2(second)))
        assert stage(x).shape[-1] == {1: 7, 2: 4}[stride]


def test_visual_features_are_one_per_frame_and_see_no_other_video():
    encoder = lively(lambda: VisualEncoder(WIDTH))
    video = videos(3, frames=5)
    with torch.no_grad():
        together = encoder(video)
        assert together.shape == (3, 5, encoder.features)
        torch.testing.assert_close(together, torch.cat([encoder(v[None]) for v in video]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together, encoder(video.float()), rtol=0, atol=0)
    with torch.device("meta"):
        assert VisualEncoder()(torch.empty(2, 51, 112, 112)).shape == (2, 51, 64)


# The whole


def test_the_second_stage_sees_the_state_and_the_estimate_with_the_sign_of_scores(network):
    state, estimate, time = random(1, 2, BINS, 8), random(1, 2, BINS, 8, seed=6), torch.tensor([0.4])
    with torch.no_grad():
        seen = network.see(videos(1))
        expected = -network.refiner(torch.cat([state, estimate], dim=1), seen.refiner, time)
        torch.testing.assert_close(network.refine(state, estimate, time, seen), expected, rtol=0, atol=0)


def test_full_size_shapes_for_the_papers_clip():
    network = outline("large").eval()
    with torch.device("meta"):
        seen = network.see(torch.empty(1, 51, 112, 112))
        noisy = torch.empty(1, 2, 256, 256)
        assert network.refine(noisy, network.predict(noisy, seen), torch.empty(1), seen).shape == noisy.shape


def test_initialisation_follows_the_seed():
    def build(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return FlowAVSENetwork("large", WIDTH).state_dict()

    with torch.random.fork_rng():
        a, b, c = build(1), build(1), build(2)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["predictor.input.weight"], c["predictor.input.weight"])
    frequencies = a["refiner.time.frequencies"]
    assert torch.equal(frequencies, frequencies.half().float())
    assert not any("filter" in name for name in a)


def test_channels_last_gives_the_same_and_stays_so():
    network = lively(lambda: FlowAVSENetwork("large", WIDTH))
    noisy, video, time = random(2, 2, BINS, 16), videos(2), torch.tensor([0.5, 0.5])

    def run() -> torch.Tensor:
        seen = network.see(video)
        return network.refine(noisy, network.predict(noisy, seen), time, seen)

    with torch.no_grad():
        before = run()
        network.to(memory_format=torch.channels_last)
        layouts = []
        for module in network.modules():
            if isinstance(module, ResidualBlock):
                module.register_forward_hook(
                    lambda _, __, output: layouts.append(output.is_contiguous(memory_format=torch.channels_last))
                )
        after = run()
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))
    assert all(layouts)
