"""How good a vocoder is: recordings are turned into log-mel spectrograms and back, and judged beside themselves.

    python tests/benchmarks/bench_vocoder.py baselines/lipdiffuser/talkers.safetensors
    python tests/benchmarks/bench_vocoder.py generator.ckpt --people 50 --save FOLDER

Files hold a generator of LipDiffuser's vocoder, among the rest under `vocoder.`, or a published one (HiFi-GAN's
official code, SpeechBrain). The recordings are Talkers' validation people of the population, one sentence each, which
no training and no split contains. Rows: the recordings themselves; Griffin and Lim's iterations, 60, on the least
squares spectrum, as what is heard without a vocoder; each file; the same equalised, as often as `--equalised` says; and
that again from blurred spectrograms, three bands by three frames, as denoisers make them smoother than true ones.

mel: mean absolute difference of log-mels. PESQ (wb) and ESTOI are told against the recording. DNSMOS P.808: beside the
first row's. WER: by the grammar that Talkers' sentences come from. voice: cosine of embeddings by the recogniser that
voice2face ships, and how often the voice of the right one of all people is nearest. RTF: seconds of computing a second
of sound, on one thread.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.checkpoints import fill, read
from baselines.lipdiffuser.equaliser import Equaliser
from baselines.lipdiffuser.mel import HOP, N_FFT, RATE, LogMel
from baselines.lipdiffuser.speaker import SpeakerEncoder
from baselines.lipdiffuser.vocoder import Generator, read_published
from benchmark.datasets.talkers.identity import person
from benchmark.datasets.talkers.sentences import sentences
from benchmark.datasets.talkers.voice import speak
from benchmark.media import write_audio
from benchmark.types import Audio
from metrics.networks import sphinx
from metrics.speech.dnsmos import dnsmos
from metrics.speech.pesq import pesq
from metrics.speech.stoi import estoi
from metrics.speech.word_errors import wer

FIRST = 90_000
"""Number of the first validation person."""
Speak = Callable[[Tensor], Tensor]


def vocoder(path: Path) -> tuple[Speak, LogMel]:
    """What makes sound `[1, T]` of `[1, 80, F]`, and the spectrogram that it wants."""
    tensors, _ = read(path, "lipdiffuser") if path.suffix == ".safetensors" else ({}, {})
    own = {name.removeprefix("vocoder."): tensor for name, tensor in tensors.items() if name.startswith("vocoder.")}
    if own:
        generator = Generator(len(own["conv_pre.bias"])).eval()
        fill(generator, own, path)
        return generator, LogMel()
    generator, framing = read_published(path)
    return generator, LogMel(framing)


def equalised(made: Speak, equaliser: Equaliser) -> Speak:
    return lambda mels: equaliser(made(mels), mels)


def griffin_lim(log_mel: LogMel) -> Speak:
    inverse = torch.linalg.pinv(log_mel.filters)
    window = torch.hann_window(N_FFT)

    def made(mels: Tensor) -> Tensor:
        magnitudes = (inverse @ mels.exp()).clamp(min=0)
        magnitudes = F.pad(magnitudes, (0, 1), mode="replicate")
        phases = torch.polar(torch.ones_like(magnitudes), 2 * math.pi * torch.rand(magnitudes.shape))
        for _ in range(60):
            sound = torch.istft(magnitudes * phases, N_FFT, HOP, window=window)
            found = torch.stft(sound, N_FFT, HOP, window=window, return_complex=True)
            phases = found / found.abs().clamp(min=1e-8)
        return torch.istft(magnitudes * phases, N_FFT, HOP, window=window)

    return made


def blurred(mels: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(mels[:, None], (1, 1, 1, 1), mode="replicate"), 3, 1)[:, 0]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--equalised", type=int, default=1, help="as the setting vocoder_equalised")
    parser.add_argument("--save", type=Path, help="write the sounds of each row into a folder")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    people = [person(FIRST + number) for number in range(settings.people)]
    said = [(who, sentences(who.id, 1)[0]) for who in people]
    clean = [torch.from_numpy(speak(who, what).audio.samples)[None] for who, what in said]
    texts = [" ".join(what.words) for _, what in said]
    recogniser, encoder = sphinx.load("sphinx_grid", None), SpeakerEncoder("talkers")
    voices = encoder.embed([sound[0].numpy() for sound in clean])
    centred = LogMel("centred")
    rows: list[tuple[str, Speak | None, LogMel, bool]] = [
        ("recordings", None, LogMel(), False),
        ("Griffin-Lim", griffin_lim(centred), centred, False),
    ]
    for path in settings.files:
        made, log_mel = vocoder(path)
        made(torch.zeros(1, 80, 100))
        better = equalised(made, Equaliser(log_mel.framing, settings.equalised))
        rows.append((path.name, made, log_mel, False))
        if settings.equalised:
            rows.append((f"{path.name}, equalised", better, log_mel, False))
        rows.append((f"{path.name}, equalised, blurred", better, log_mel, True))
    print(f"{len(clean)} recordings; torch {torch.__version__}, {platform.machine()}, one thread")
    print("| | mel | PESQ | ESTOI | DNSMOS P.808 | WER | voice | right voice | RTF |\n|---|" + "---:|" * 8)
    for name, made, log_mel, blur in rows:
        sounds, apart, spent = [], [], 0.0
        for sound in clean:
            if made is None:
                sounds.append(sound)
                continue
            mels = log_mel(sound)
            began = time.perf_counter()
            again = made(blurred(mels) if blur else mels)
            spent += time.perf_counter() - began
            apart.append(float((log_mel(F.pad(again, (0, N_FFT)))[..., : mels.shape[2]] - mels).abs().mean()))
            sounds.append(F.pad(again, (0, sound.shape[1] - again.shape[1])))
        pairs = list(zip(clean, sounds, strict=True))
        quality = float(np.mean([pesq(reference=a, estimate=b, rate=RATE, workers=1).values[0] for a, b in pairs]))
        understood = float(np.mean([estoi(reference=a, estimate=b, rate=RATE).values[0] for a, b in pairs]))
        opinion = float(np.mean([dnsmos(estimate=sound).values[0, 0] for sound in sounds]))
        heard = recogniser.transcribe([sound[0].numpy().astype(np.float64) for sound in sounds])
        cosines = voices @ encoder.embed([sound[0].numpy() for sound in sounds]).T
        right = float((cosines.argmax(0) == torch.arange(len(sounds))).float().mean())
        seconds = sum(sound.shape[1] for sound in clean) / RATE
        print(
            f"| {name} | {np.mean(apart) if apart else 0:.3f} | {quality:.2f} | {understood:.3f} | {opinion:.2f} "
            f"| {100 * wer(reference=texts, estimate=heard):.1f} % | {float(cosines.diag().mean()):.3f} "
            f"| {100 * right:.0f} % | {spent / seconds:.3f} |",
            flush=True,
        )
        for number, sound in enumerate(sounds if settings.save else []):
            settings.save.mkdir(parents=True, exist_ok=True)
            write_audio(settings.save / f"{number:02d}_{name.replace(' ', '_')}.wav", Audio(sound[0].numpy(), RATE))


if __name__ == "__main__":
    main()
