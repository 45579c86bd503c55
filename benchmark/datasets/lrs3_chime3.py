"""LRS3-CHiME3: the benchmark of LipDiffuser (Sec. 4.1), the speech of LRS3 in the noise of CHiME-3 at six SNRs.

The paper's own list is not published. The one that is made here says for each mixture which utterance, which recording
of noise and where in it, and which SNR; it is the same wherever the same files lie, is kept as the manifest, and is
named by the manifest's hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmark.datasets.audiovisual import shortened
from benchmark.datasets.chime3 import BACKGROUNDS, Background, backgrounds
from benchmark.datasets.dataset import Dataset
from benchmark.datasets.facts import Form, Published
from benchmark.datasets.lrs3 import LRS3
from benchmark.datasets.manifest import Row
from benchmark.datasets.mixtures import lip_snrs, recorded_row, with_enrolments
from benchmark.datasets.utterances import Utterance, Utterances
from benchmark.errors import MissingDataset
from benchmark.types import derive_seed


class LRS3CHiME3(Dataset):
    """Each utterance at each SNR of a split: `test` at -10 dB (Table 1), `test_snr` and `train` at all six.
    `test_several` holds those mixtures of `test` whose speaker has another utterance to enrol (Table 3).

    Noises of the test are not heard in training: see `benchmark.datasets.chime3`. An utterance has a noise of its own
    at each SNR.
    """

    name: ClassVar[str] = "lrs3_chime3"
    revision: ClassVar[str] = "1"
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test", "test_several", "test_snr")
    tasks: ClassVar[tuple[str, ...]] = ("lip2speech", "av_enhancement")
    layout: ClassVar[str] = f"""\
  lrs3/{{trainval,test}}/<video>/<utterance>.mp4   LRS3 as `data info lrs3` prints it; also lrs3/lrs3/...
  chime3/{BACKGROUNDS}/*.wav      CHiME-3 as `data info chime3` prints it; also chime3/CHiME3/...
        lrs3 and chime3 may be links to where the corpora lie"""
    landmarks: ClassVar[tuple[str, ...]] = ("lrs3/*", "chime3/*")
    obtain: ClassVar[str] = (
        "LRS3 (trainval and test) and the background recordings of CHiME-3, side by side in one folder, or links "
        "to them."
    )
    where: ClassVar[str] = "See `data info lrs3` and `data info chime3`."
    terms: ClassVar[str] = (
        "Those of LRS3 and of CHiME-3. The mixtures are made in memory and never written, save by `data export`: "
        "what that writes is under the same terms."
    )
    use: ClassVar[str] = (
        "LipDiffuser's Table 1 (-10 dB), Table 3 (test_several: those whose speaker has another utterance) and "
        "Figure 4 (six SNRs). The authors' own list is not published: the one made here is kept as the manifest and "
        "named by its hash."
    )
    published: ClassVar[tuple[Published, ...]] = (
        Published("utterances of the test", 1_321, r"lrs3/(?:lrs3/)?test/[^/]+/[^/]+\.mp4"),
    )
    forms: ClassVar[Mapping[str, Form]] = {"video": Form(fps=25, size=(224, 224))}

    def rows(self, split: str, task: str) -> Iterator[Row]:
        """The mixtures of a split; files that are left out are named in `problems`, the first few of a kind."""
        root = self.media_root()
        finder = self.finder()
        part = "test" if split.startswith("test") else split
        noises = backgrounds(root / "chime3", part, finder)
        spoken = Utterances.of(self._spoken(part))
        if not noises:
            raise MissingDataset(
                f"No usable recording of noise under {root / 'chime3'}. Expected under {root}:\n{self.layout}"
                + "".join(f"\n  {line}" for line in self.problems[:10])
            )
        lengths = finder.lengths(utterance.speech for utterance in spoken)
        spoken = Utterances.of(utterance for utterance in spoken if utterance.speech in lengths)
        self.problems[:] = shortened(self.problems)
        rows = (
            row
            for utterance in spoken
            for row in _mixtures(utterance, lengths[utterance.speech], noises, spoken, split)
        )
        enrolled = with_enrolments(rows, spoken, of=f"{self.name} {part}")
        if split == "test_several":
            return (row for row in enrolled if "enrolment" in row.inputs)
        return enrolled

    def places(self) -> list[Path]:
        return [self.media_root() / name for name in ("lrs3", "chime3")]

    def _spoken(self, part: str) -> Iterator[Utterance]:
        """The utterances of LRS3, their paths relative to this root."""
        corpus = LRS3(self.media_root() / "lrs3", self.home)
        corpus.workers, corpus.progress = self.workers, self.progress
        for utterance in corpus.utterances(part, corpus.finder()):
            yield replace(utterance, speech=f"lrs3/{utterance.speech}", video=f"lrs3/{utterance.video}")
        self.problems += corpus.problems


def _mixtures(
    utterance: Utterance, length: float, noises: list[Background], everyone: Utterances, split: str
) -> Iterator[Row]:
    """Args:
    length: of the utterance, in seconds.
    """
    for snr_db in lip_snrs(split):
        # of the utterance and the SNR alone: the mixtures of `test` are those of `test_snr` at -10 dB
        random = np.random.default_rng(derive_seed("lrs3_chime3", utterance.id, snr_db))
        noise = noises[int(random.integers(len(noises)))]
        start_s = round(float(random.uniform(0, max(noise.seconds - length, 0.0))), 3)
        row = recorded_row(utterance, noise.file, f"{snr_db:g}dB", everyone, random)
        about = {**row.attributes, "place": noise.place, "noise_start_s": start_s, "snr_db": snr_db}
        yield replace(row, attributes=about)
