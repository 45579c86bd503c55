"""NTCD-TIMIT (Abdelaziz 2017): the recordings of TCD-TIMIT's volunteers in noise; the videos are TCD-TIMIT's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from benchmark.datasets.audiovisual import shortened
from benchmark.datasets.dataset import Dataset
from benchmark.datasets.facts import Published
from benchmark.datasets.manifest import Row
from benchmark.datasets.media_files import MediaFinder
from benchmark.datasets.mixtures import other_people, with_enrolments
from benchmark.datasets.names import SafeIds, same
from benchmark.datasets.spilled import Spilled
from benchmark.datasets.tcd_timit import about, clips, split_of, tcd_root
from benchmark.datasets.utterances import Utterance, Utterances
from benchmark.media import is_audio
from benchmark.types import derive_seed

TEST = frozenset(("09F", "24M", "26M", "27M", "33F", "40F", "47M", "49F", "56M"))
"""The nine volunteers of its test."""
NOISES = ("Babble", "Cafe", "Car", "LR", "Street", "White")
SNR_DB = -5
"""Of LipDiffuser's Table 2."""


class NTCDTIMIT(Dataset):
    """Recordings as they are published, nothing is mixed: `val` and `test` are those at -5 dB (Table 2).

    `test_snr` and `train` are those of all SNRs. Validated on is one volunteer in ten of those who do not test.
    """

    name: ClassVar[str] = "ntcd_timit"
    revision: ClassVar[str] = "1"
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test", "test_snr")
    tasks: ClassVar[tuple[str, ...]] = ("lip2speech", "av_enhancement")
    layout: ClassVar[str] = """\
  <noise>/<SNR>/volunteers/<01M>/straightcam/<sa1>.wav   in noise: Babble, Cafe, Car, LR, Street or White at -5, 0, ...
  Clean/volunteers/<01M>/straightcam/<sa1>.wav           the same without; all of this may lie in a folder NTCD-TIMIT
  volunteers/<01M>/Clips/straightcam/<sa1>.mp4           TCD-TIMIT's clips, and its words where they are beside them;
                                                         they may lie in a folder TCD-TIMIT"""
    landmarks: ClassVar[tuple[str, ...]] = ("Clean/volunteers", "NTCD-TIMIT/Clean")
    obtain: ClassVar[str] = (
        "The archives of the six noises and of the clean recordings, unpacked, and the clips of TCD-TIMIT's "
        "volunteers beside them."
    )
    where: ClassVar[str] = (
        "https://zenodo.org/records/260228 (no form, some 45 GB) for the sound; for the videos see `data info "
        "tcd_timit`."
    )
    terms: ClassVar[str] = (
        "CC BY-NC 4.0 for the sound, as its Zenodo record is reported to say: research that earns nothing. "
        "For the videos, and for the people in them, the terms of TCD-TIMIT."
    )
    use: ClassVar[str] = "LipDiffuser's Table 2: the test at -5 dB, as recorded; nothing is mixed."
    published: ClassVar[tuple[Published, ...]] = (
        Published("volunteers", 56, r"(?:NTCD-TIMIT/)?Clean/volunteers/([^/]+)/.+\.wav"),
        Published("clean recordings", 5_488, r"(?:NTCD-TIMIT/)?Clean/volunteers/[^/]+/straightcam/[^/]+\.wav"),
    )

    def rows(self, split: str, task: str) -> Iterator[Row]:
        """One row for each recording in noise; what lacks its clean speech or its video is named in `problems`."""
        root = self.media_root()
        finder = self.finder()
        part = "test" if split == "test_snr" else split

        def wanted(speaker: str) -> bool:
            return split_of(speaker, TEST) == part

        base = root / "NTCD-TIMIT" if (root / "NTCD-TIMIT").is_dir() else root
        video, _, texts = clips(tcd_root(root), wanted, finder)
        clean: Spilled[str] = Spilled()
        clean.update(_recordings(base / "Clean" / "volunteers", wanted, finder))
        names = SafeIds(clean)

        def filmed() -> Iterator[tuple[str, Utterance]]:
            for name, file in clean.items():
                if seen := video.get(name):
                    speaker = name.partition("/")[0]
                    yield name, Utterance(names[name], speaker, file, seen, about(name, texts, finder))
                else:
                    finder.leave_out(root / file, "no usable video goes with it")

        spoken = Utterances(filmed())

        def noisy() -> Iterator[Row]:
            for noise in NOISES:
                for level in finder.folders(base / noise) if (base / noise).is_dir() else []:
                    snr_db = _level(level, finder)
                    if snr_db is None or (snr_db != SNR_DB and split in ("val", "test")):
                        continue
                    for name, file in _recordings(level / "volunteers", wanted, finder):
                        if own := spoken.by("name", same(name)):
                            yield _row(own, file, noise, snr_db, spoken, f"{self.name} {split}")
                        else:
                            finder.leave_out(root / file, "no usable clean recording with a video goes with it")

        yield from with_enrolments(noisy(), spoken, of=f"{self.name} {split}")
        self.problems[:] = shortened(self.problems)


def _level(folder: Path, finder: MediaFinder) -> float | None:
    try:
        return float(folder.name)
    except ValueError:
        finder.leave_out(folder, "expected a folder named by an SNR in dB")
        return None


def _recordings(folder: Path, wanted: Callable[[str], bool], finder: MediaFinder) -> Iterator[tuple[str, str]]:
    """`<speaker>/<sentence>` in lower case, and its file."""
    people = [person for person in (finder.folders(folder) if folder.is_dir() else []) if wanted(person.name)]
    found = finder.media_of([person / "straightcam" for person in people], is_audio)
    for person, (_, files) in zip(people, found, strict=True):
        for file in files:
            yield f"{person.name}/{same(PurePosixPath(file).stem).lower()}", file


def _row(utterance: Utterance, file: str, noise: str, snr_db: float, utterances: Utterances, of: str) -> Row:
    assert utterance.video is not None
    inputs = {"video": (utterance.video,), "noisy": (file,)}
    random = np.random.default_rng(derive_seed("decoy", of, utterance.id))
    if (strangers := other_people(utterance, utterances, 1, random)) and strangers[0].video:
        inputs["decoy"] = (strangers[0].video,)
    key = f"{utterance.id}_{noise.lower()}_{snr_db:g}dB"
    known = {**utterance.attributes, "noise": noise.lower(), "snr_db": snr_db}
    return Row(key, utterance.speaker, inputs, {"speech": (utterance.speech,)}, known)
