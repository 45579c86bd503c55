"""Our modules against the authors' own code, at equal random weights: the largest difference of what comes out.

python tests/benchmarks/bench_official_parity.py --repositories FOLDER
python tests/benchmarks/bench_official_parity.py --repositories FOLDER --recordings speech/ --only voice2face

FOLDER holds the authors' repositories under their own names: `SF2F_PyTorch` (BAI-Yeqi) and
`reconstructing_faces_from_voices` (cmu-mlsp). A row whose repository, or a package that its code needs, is not there
says so. The exit status is 1 where a difference is larger than the row allows.

A row is a function under `@check`. It is given a `Bench`, makes the authors' object (`bench.module("models.fusers")`)
and ours with the same weights (`filled`), and returns what each of them gives, official first: one array, or a list.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import tempfile
import types
import warnings
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from baselines.layers.vad import SF2F_VAD, VOICE2FACE_VAD
from benchmark.media import read_audio
from benchmark.types import Audio, Example, Sample

RATE = 16_000
Outputs = np.ndarray | Tensor | Sequence[np.ndarray | Tensor]
UNUSED = (
    *("pydub", "requests", "requests.adapters", "glog", "pyprind", "torchvision", "torchvision.models"),
    *("utils.bilinear", "utils.box_utils", "scripts.compute_inception_score"),
)
"""What the authors' files import and the compared parts never call: replaced by dummies where it cannot be imported."""
PACKAGES = ("models", "utils", "datasets", "scripts")
"""The authors' packages whose own beginnings import everything; only the wanted modules inside are imported."""


@dataclass(frozen=True)
class Bench:
    """What a row is given."""

    repository: Path
    scratch: Path
    recordings: Sequence[Audio]

    def module(self, name: str) -> types.ModuleType:
        """One module of the authors' repository."""
        return importlib.import_module(name)

    def wav(self, recording: Audio) -> str:
        """The path of a 16-bit file with this recording."""
        path = self.scratch / "recording.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, recording.rate, 0, "NONE", ""))
            file.writeframes((recording.samples * 32768).astype("<i2").tobytes())
        return str(path)


@dataclass(frozen=True)
class Check:
    """One row of the table."""

    method: str
    module: str
    repository: str
    allowed: float
    run: Callable[[Bench], tuple[Outputs, Outputs]]


CHECKS: list[Check] = []


def check(method: str, module: str, repository: str, allowed: float = 1e-4) -> Callable[..., None]:
    """Add a row; `allowed` is the largest difference that sums in another order may make."""

    def add(run: Callable[[Bench], tuple[Outputs, Outputs]]) -> None:
        CHECKS.append(Check(method, module, repository, allowed, run))

    return add


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights under which outputs depend on inputs, and statistics that are not those of the start."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        values = torch.randn(tensor.shape, generator=generator)
        if "running_var" in name:
            values = values.abs() + 0.5
        elif tensor.ndim > 1:
            values *= (2 / tensor[0].numel()) ** 0.5
        elif name.endswith("weight"):
            values = 1 + 0.1 * values
        else:
            values *= 0.1
        tensor.copy_(values)
    return module.eval()


def in_order(ours: nn.Module, *theirs: nn.Module) -> nn.Module:
    """`ours` with the tensors of `theirs`, which must come in the same order and have the same shapes."""
    tensors = [tensor for module in theirs for tensor in module.state_dict().values()]
    ours.load_state_dict(dict(zip(ours.state_dict(), tensors, strict=True)))
    return ours.eval()


def faces(count: int, side: int) -> Tensor:
    """ImageNet-normalised, some pixels beyond black and white."""
    return 1.5 * torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(side))


def example(recording: Audio) -> Example:
    return Example(Sample("a", "a", {}), 0, 1, {"speech": recording})


# ---- SF2F, and the VGGFace2 network of its score

SF2F = "SF2F_PyTorch"


def sf2f_official(bench: Bench, resolution: int) -> nn.Module:
    """The authors' encoder with its fuser, and decoder, as their yaml for this resolution sets them."""
    encoder = bench.module("models.voice_encoders").V2F1DCNN(
        input_channel=40,
        channels=[256, 384, 576, 864],
        output_channel=512,
        normalize_embedding=True,
        inception_mode=True,
        segments_fusion=True,
        normalize_fusion=True,
        fuser_arch="AttentionFuserV1",
        fuser_kwargs={"dimensions": 512, "dim_out": 512, "attention_type": "general", "ignore_tanh": True},
    )
    decoders = bench.module("models.face_decoders")
    decoder = decoders.FaceGanDecoder if resolution == 64 else decoders.FaceGanDecoder_v2
    size = {} if resolution == 64 else {"image_size": (64, 64)}
    both = nn.ModuleDict({"encoder": encoder, "decoder": decoder(noise_dim=512, **size)})
    filled(both, resolution)
    # Attention that is far from even.
    both["encoder"].attn_fuser.attention.linear_in.weight.data *= 20
    return both


def sf2f_ours(bench: Bench, official: nn.Module, resolution: int):  # type: ignore[no-untyped-def]
    """Our method, loaded from a checkpoint as the authors write it."""
    from baselines.sf2f.config import Config
    from baselines.sf2f.method import SF2F as Method

    path = bench.scratch / "checkpoint_with_model.pt"
    torch.save({"model_state": {f"module.{name}": t for name, t in official.state_dict().items()}}, path)
    method = Method(Config(variant="official", resolution=resolution, vad=True), path)
    method.load("cpu")
    return method


@check("SF2F", "voice activity", SF2F, 0)
def sf2f_vad(bench: Bench) -> tuple[Outputs, Outputs]:
    import webrtcvad

    authors = bench.module("utils.vad_ex")
    official, ours = [], []
    for recording in bench.recordings:
        audio, rate = authors.read_wave(bench.wav(recording))
        frames = list(authors.frame_generator(30, audio, rate))
        parts = authors.vad_collector(rate, 30, 300, webrtcvad.Vad(1), frames)
        official.append(np.frombuffer(b"".join(parts), "<i2") / 32768)
        ours.append(SF2F_VAD(recording.samples))
    return official, ours


@check("SF2F", "log filter banks", SF2F)
def sf2f_features(bench: Bench) -> tuple[Outputs, Outputs]:
    from baselines.sf2f.config import Config
    from baselines.sf2f.speech import speech_features

    need("python_speech_features", "torchvision.transforms")
    wav_to_mel = bench.module("utils.wav2mel").wav_to_mel
    transform = bench.module("datasets.utils").set_mel_transform("vox_mel")
    official = [transform(wav_to_mel(bench.wav(recording))).float() for recording in bench.recordings]
    return official, [speech_features(recording, Config(vad=True)) for recording in bench.recordings]


@check("SF2F", "voice encoder", SF2F)
def sf2f_encoder(bench: Bench) -> tuple[Outputs, Outputs]:
    official = sf2f_official(bench, 64)
    speech = [torch.randn(3, 40, frames, generator=torch.Generator().manual_seed(frames)) for frames in (100, 125)]
    ours = sf2f_ours(bench, official, 64).network
    return [official["encoder"](x)[:, :, 0, 0] for x in speech], [ours.encoder(x) for x in speech]


@check("SF2F", "embedding fuser", SF2F)
def sf2f_fuser(bench: Bench) -> tuple[Outputs, Outputs]:
    official = sf2f_official(bench, 64)
    segments = torch.randn(2, 20, 40, 125, generator=torch.Generator().manual_seed(1))
    return official["encoder"](segments)[:, :, 0, 0], sf2f_ours(bench, official, 64).network.fused(segments)


@check("SF2F", "face decoder, 64 px", SF2F)
def sf2f_decoder(bench: Bench) -> tuple[Outputs, Outputs]:
    official = sf2f_official(bench, 64)
    embedding = nn.functional.normalize(torch.randn(4, 512, generator=torch.Generator().manual_seed(2)))
    (ours,) = sf2f_ours(bench, official, 64).network.decoder(embedding)
    return official["decoder"](embedding[:, :, None, None]), ours


@check("SF2F", "face decoder, 64 and 128 px", SF2F)
def sf2f_large_decoder(bench: Bench) -> tuple[Outputs, Outputs]:
    official = sf2f_official(bench, 128)
    embedding = nn.functional.normalize(torch.randn(4, 512, generator=torch.Generator().manual_seed(2)))
    ours = sf2f_ours(bench, official, 128).network.decoder(embedding)
    return list(official["decoder"](embedding[:, :, None, None])), ours


def sf2f_pictures(bench: Bench, resolution: int) -> tuple[Outputs, Outputs]:
    """As infer.py with `--fuser_infer` saves them."""
    need("python_speech_features", "torchvision.transforms")
    wav_to_mel, prepare = bench.module("utils.wav2mel").wav_to_mel, bench.module("datasets.utils")
    transform = prepare.set_mel_transform("vox_mel")
    network = sf2f_official(bench, resolution)
    # Spread over the whole range of a picture.
    head = network["decoder"].gnet if resolution == 64 else network["decoder"].gnet_mid
    head[2].weight.data *= 2
    method = sf2f_ours(bench, network, resolution)
    official, ours = [], []
    for recording in bench.recordings:
        mel = transform(wav_to_mel(bench.wav(recording))).float()
        segments = prepare.window_segment(mel, window_length=125, stride_length=63)
        made = network["decoder"](network["encoder"](segments[None]))
        made = made[-1] if isinstance(made, tuple) else made
        official.append(prepare.imagenet_deprocess_batch(made)[0].permute(1, 2, 0))
        ours += method.generate([example(recording)])
    return official, ours


@check("SF2F", "from a recording to the picture, 64 px", SF2F, 1)
def sf2f_small_picture(bench: Bench) -> tuple[Outputs, Outputs]:
    return sf2f_pictures(bench, 64)


@check("SF2F", "from a recording to the picture, 128 px", SF2F, 1)
def sf2f_large_picture(bench: Bench) -> tuple[Outputs, Outputs]:
    return sf2f_pictures(bench, 128)


def sf2f_adversaries(bench: Bench, resolution: int) -> tuple[Outputs, Outputs]:
    """Real/fake scores of both, and the classifier's loss, with the statistics of the batch as in training."""
    from baselines.sf2f.discriminators import Adversaries

    authors = bench.module("models.discriminators")
    arch = "C4-64-2,C4-128-2,C4-256-2" + (",C4-512-2" if resolution == 128 else "")
    shared = {"arch": arch, "normalization": "batch", "padding": "valid", "activation": "leakyrelu-0.1"}
    judge = filled(authors.PatchDiscriminator(**shared), 1).train()
    classifier = filled(authors.AcDiscriminator(**shared, num_id=11), 2).train()
    ours = Adversaries(11, resolution, "official")
    in_order(ours, judge, classifier).train()
    pictures, people = faces(6, resolution), torch.arange(6)
    real, loss = classifier(pictures, people)
    logit, identity = ours.identity(pictures)
    return (
        [judge(pictures), real[:, 0], loss[None]],
        [ours.real(pictures), logit, nn.functional.cross_entropy(identity, people)[None]],
    )


@check("SF2F", "D_real and D_id, 64 px", SF2F)
def sf2f_small_adversaries(bench: Bench) -> tuple[Outputs, Outputs]:
    return sf2f_adversaries(bench, 64)


@check("SF2F", "D_real and D_id, 128 px", SF2F)
def sf2f_large_adversaries(bench: Bench) -> tuple[Outputs, Outputs]:
    return sf2f_adversaries(bench, 128)


@check("SF2F", "perceptual loss (FaceNet)", SF2F)
def sf2f_perceptual(bench: Bench) -> tuple[Outputs, Outputs]:
    from baselines.layers.perceptual import BoxedFaceNet, perceptual_loss
    from baselines.layers.pixels import imagenet_to_unit
    from metrics.networks.facenet import InceptionResnetV1

    need("torchvision.transforms")
    networks, losses = bench.module("models.inception_resnet_v1"), bench.module("models.perceptual")
    facenet = filled(networks.InceptionResnetV1(num_classes=2))
    with mock.patch.object(losses, "InceptionResnetV1", lambda pretrained: facenet):
        loss = losses.FaceNetLoss()
    unscale, crop = bench.module("datasets.utils").fast_imagenet_deprocess_batch, bench.module("utils.evaluate")

    def seen(pictures: Tensor) -> Tensor:
        return crop.crop_vgg_box(networks.fixed_image_standardization(unscale(pictures)))

    own = InceptionResnetV1()
    own.load_state_dict({name: t for name, t in facenet.state_dict().items() if not name.startswith("logits.")})
    one, two = faces(2, 64), faces(2, 128)[..., ::2, ::2]
    official = loss(seen(one), seen(two))
    ours = perceptual_loss(BoxedFaceNet(own), imagenet_to_unit(one).clamp(0, 1), imagenet_to_unit(two).clamp(0, 1))
    return official[None], ours[None]


@check("VGGFace score", "VGGFace2 ResNet-50: input and probabilities", SF2F)
def vggface2_probabilities(bench: Bench) -> tuple[Outputs, Outputs]:
    from metrics.networks.vggface2_resnet50 import ResNet50, VGGFace2Classifier

    authors = bench.module("scripts.compute_vggface_score")
    network = ResNet50()
    for name, tensor in filled(network).state_dict().items():
        # Probabilities neither even nor all at one person.
        tensor.mul_(0.02 if name == "fc.weight" else 0.1 if "bn3.weight" in name else 1)
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (64, 96, 128)]
    seen: list[Tensor] = []

    def load(model: nn.Module, _: str) -> None:
        model.load_state_dict(network.state_dict())
        model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

    with mock.patch.object(authors, "load_state_dict", load):
        official = authors.get_vggface_act(pictures)
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    ours = VGGFace2Classifier(network, batch_size=1).probabilities(pictures)
    return [torch.cat(seen[:3]), official], [torch.cat(seen[3:]), ours]


# ---- voice2face

VOICE2FACE = "reconstructing_faces_from_voices"


def voice2face_official(bench: Bench) -> tuple[nn.Module, nn.Module]:
    authors = bench.module("network")
    voice = filled(authors.VoiceEmbedNet(64, [256, 384, 576, 864], 64), 3)
    generator = filled(authors.Generator(64, [1024, 512, 256, 128, 64], 3), 4)
    return voice, generator


def voice2face_ours(bench: Bench, voice: nn.Module, generator: nn.Module):  # type: ignore[no-untyped-def]
    """Our method, loaded from the two files as the authors write them."""
    from baselines.voice2face.config import Config
    from baselines.voice2face.method import Voice2Face

    torch.save(voice.state_dict(), bench.scratch / "voice_embedding.pth")
    torch.save(generator.state_dict(), bench.scratch / "generator.pth")
    method = Voice2Face(Config(stretch=True), bench.scratch)
    method.load("cpu")
    return method


def voice2face_features(bench: Bench, recording: Audio) -> np.ndarray:
    import webrtcvad

    authors = bench.module("utils")
    # One for each recording: the authors' carries its pre-emphasis from the recording before.
    mel = bench.module("mfcc").MFCC(nfilt=64, lowerf=20.0, upperf=7200.0, samprate=RATE, nfft=1024, wlen=0.025)
    return authors.get_fbank(authors.rm_sil(bench.wav(recording), webrtcvad.Vad(2)), mel).T


@check("voice2face", "voice activity", VOICE2FACE, 0)
def voice2face_vad(bench: Bench) -> tuple[Outputs, Outputs]:
    import webrtcvad

    strip = bench.module("utils").rm_sil
    official = [strip(bench.wav(recording), webrtcvad.Vad(2)) / 32768 for recording in bench.recordings]
    return official, [VOICE2FACE_VAD(recording.samples) for recording in bench.recordings]


@check("voice2face", "log-mel energies", VOICE2FACE, 1e-3)
def voice2face_mel(bench: Bench) -> tuple[Outputs, Outputs]:
    from baselines.voice2face.config import Config
    from baselines.voice2face.speech import speech_features

    official = [voice2face_features(bench, recording) for recording in bench.recordings]
    return official, [speech_features(recording, Config()) for recording in bench.recordings]


@check("voice2face", "voice encoder", VOICE2FACE)
def voice2face_encoder(bench: Bench) -> tuple[Outputs, Outputs]:
    voice, generator = voice2face_official(bench)
    x = torch.randn(3, 64, 1000, generator=torch.Generator().manual_seed(0))
    ours = voice2face_ours(bench, voice, generator).network.encoder(x)
    return nn.functional.normalize(voice(x))[:, :, 0, 0], ours


@check("voice2face", "generator", VOICE2FACE)
def voice2face_generator(bench: Bench) -> tuple[Outputs, Outputs]:
    voice, generator = voice2face_official(bench)
    x = nn.functional.normalize(torch.randn(3, 64, generator=torch.Generator().manual_seed(0)))
    return generator(x[:, :, None, None]), voice2face_ours(bench, voice, generator).network.decoder(x)


@check("voice2face", "from a recording to the picture", VOICE2FACE, 1)
def voice2face_picture(bench: Bench) -> tuple[Outputs, Outputs]:
    """The picture before rounding, stretched as torchvision 0.3 does, which the authors name, against ours in uint8."""
    voice, generator = voice2face_official(bench)
    method = voice2face_ours(bench, voice, generator)
    official, ours = [], []
    for recording in bench.recordings:
        features = torch.from_numpy(voice2face_features(bench, recording)[None])
        made = generator(nn.functional.normalize(voice(features)))[0].clamp(-1, 1)
        levels = 255 * (made - made.min()) / (made.max() - made.min() + 1e-5)
        official.append((levels + 0.5).floor().permute(1, 2, 0))
        ours += method.generate([example(recording)])
    return official, ours


@check("voice2face", "discriminator and classifier", VOICE2FACE)
def voice2face_critics(bench: Bench) -> tuple[Outputs, Outputs]:
    from baselines.voice2face.network import FaceCritics

    authors = bench.module("network")
    face = filled(authors.FaceEmbedNet(3, [32, 64, 128, 256, 512], 64), 5)
    judge, classifier = filled(authors.Classifier(64, [], 1), 6), filled(authors.Classifier(64, [], 11), 7)
    ours = in_order(FaceCritics(11, shared=True), face, judge, classifier)
    pictures = faces(4, 64)
    return [judge(face(pictures))[:, 0], classifier(face(pictures))], ours(pictures)


# ---- running


def need(*packages: str) -> None:
    """Say which packages the authors' code calls; ImportError where one is a dummy or not installed."""
    for name in packages:
        module = importlib.import_module(name)
        if isinstance(module, mock.MagicMock):
            raise ImportError(f"needs the package {name}")


class Package(types.ModuleType):
    """One of the authors' packages without its own beginning, which would import everything."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self.__path__ = [str(folder)]

    def __getattr__(self, wanted: str) -> object:
        """What `NAME/utils.py` defines, where such a file is: packages hand that on."""
        if wanted.startswith("__") or not (Path(self.__path__[0]) / "utils.py").is_file():
            raise AttributeError(wanted)
        return getattr(importlib.import_module(f"{self.__name__}.utils"), wanted)


@contextmanager
def authors(repository: Path) -> Iterator[None]:
    """Import from `repository`, on the CPU, without a trace afterwards."""
    before, path = dict(sys.modules), list(sys.path)
    sys.path.insert(0, str(repository))
    here = Path.cwd()
    try:
        for name in PACKAGES:
            if (repository / name).is_dir():
                sys.modules[name] = Package(name, repository / name)
        for name in UNUSED:
            try:
                importlib.import_module(name)
            except (ImportError, RuntimeError):
                sys.modules[name] = mock.MagicMock()
        with (
            tempfile.TemporaryDirectory() as scratch,
            mock.patch.object(Tensor, "cuda", lambda self, *_: self),
            mock.patch.object(nn.Module, "cuda", lambda self, *_: self),
            redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            # The authors' code writes beside itself.
            os.chdir(scratch)
            yield
    finally:
        os.chdir(here)
        sys.path[:] = path
        for name in set(sys.modules) - set(before):
            module = sys.modules[name]
            origin = module.__dict__.get("__file__")
            if isinstance(module, Package | mock.MagicMock) or (origin and Path(origin).is_relative_to(repository)):
                del sys.modules[name]
        sys.modules.update(before)


def spoken(seed: int) -> Audio:
    """Bursts of a buzz with formants between pauses of noise, exact in 16 bits; 3 to 6 s."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(8):
        time = np.arange(int(RATE * rng.uniform(0.2, 0.6))) / RATE
        phase = 2 * np.pi * np.cumsum(rng.uniform(90, 220) + 10 * np.sin(2 * np.pi * 3 * time)) / RATE
        buzz = sum(np.sin(k * phase) * np.exp(-(((k * 120 - 700) / 600) ** 2)) for k in range(1, 30))
        parts.append(0.1 * rng.uniform(0.05, 1) * buzz * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * time)))
        parts.append(rng.normal(0, 10 ** rng.uniform(-3.5, -2), int(RATE * rng.uniform(0.05, 0.4))))
    levels = np.clip(np.round(np.concatenate(parts) * 32768), -32768, 32767)
    return Audio((levels / 32768).astype(np.float32), RATE)


def recorded(folder: Path, count: int) -> list[Audio]:
    """The first `count` recordings below `folder`, in 16 bits."""
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in (".wav", ".flac")][:count]
    if not paths:
        sys.exit(f"Expected .wav or .flac files below {folder}, found none")
    samples = [np.clip(np.round(read_audio(path, RATE).samples * 32768), -32768, 32767) for path in paths]
    return [Audio((x / 32768).astype(np.float32), RATE) for x in samples]


def largest_difference(official: Outputs, ours: Outputs) -> tuple[float, float, str]:
    """Over all arrays; the root mean square of the authors' values, to read it against; what was compared.

    Raises:
        Exception: what one of our outputs is, instead of an array.
    """
    official, ours = ([x] if isinstance(x, np.ndarray | Tensor) else list(x) for x in (official, ours))
    for mine in ours:
        if isinstance(mine, Exception):
            raise mine
    one, two = ([np.asarray(torch.as_tensor(x).detach(), np.float64) for x in side] for side in (official, ours))
    shapes = [list(x.shape) for x in one]
    if shapes != [list(x.shape) for x in two]:
        differing = sum(a != list(x.shape) for a, x in zip(shapes, two, strict=True))
        return float("inf"), float("nan"), f"{differing} of {len(one)} have another shape"
    what = f"{len(one)} recordings" if len(one) > 3 else ", ".join(map(str, shapes))
    size = float(np.sqrt(np.mean(np.concatenate([x.ravel() for x in one]) ** 2)))
    return max(float(np.abs(a - b).max()) for a, b in zip(one, two, strict=True)), size, what


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repositories", type=Path, help="folder with the authors' repositories")
    parser.add_argument("--recordings", type=Path, help="folder with speech; synthetic speech otherwise")
    parser.add_argument("--count", type=int, default=10, help="recordings")
    parser.add_argument("--only", default="", help="rows whose method or module holds this text")
    chosen = parser.parse_args()
    if chosen.repositories is None or not chosen.repositories.is_dir():
        print("Nothing compared: give the folder with the authors' repositories by --repositories")
        return
    torch.set_num_threads(1)
    root = chosen.repositories.resolve()
    recordings = recorded(chosen.recordings, chosen.count) if chosen.recordings else [*map(spoken, range(chosen.count))]
    print(f"torch {torch.__version__}, {len(recordings)} {'' if chosen.recordings else 'synthetic '}recordings\n")
    print("| method | module | official against ours | their RMS | largest difference |\n|---|---|---|---:|---:|")
    wrong = 0
    for row in CHECKS:
        if chosen.only.lower() not in f"{row.method} {row.module}".lower():
            continue
        try:
            if not (root / row.repository).is_dir():
                raise ImportError(f"no folder {row.repository}")
            with authors(root / row.repository), torch.no_grad():
                bench = Bench(root / row.repository, Path.cwd(), recordings)
                difference, size, what = largest_difference(*row.run(bench))
        except ImportError as error:
            print(f"| {row.method} | {row.module} | not compared: {error} | | |")
            continue
        except Exception as error:
            wrong += 1
            print(f"| {row.method} | {row.module} | failed: {type(error).__name__}: {str(error).splitlines()[0]} | | |")
            continue
        mark = "" if difference <= row.allowed else f" (more than {row.allowed:g})"
        wrong += bool(mark)
        print(f"| {row.method} | {row.module} | {what} | {size:.2g} | {difference:.2g}{mark} |", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
