"""VoxCeleb2 (Chung et al. 2018): utterances of interviews, and videos of the speaker's face, cropped to 224 x 224."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from benchmark.datasets.audiovisual import AudioVisualCorpus, held_out, name_below, spoken_by, with_own_sound
from benchmark.datasets.facts import Form, Published
from benchmark.datasets.media_files import MediaFinder
from benchmark.datasets.noise_lists import LAYOUT
from benchmark.datasets.spilled import Spilled
from benchmark.datasets.utterances import Utterances
from benchmark.datasets.voxceleb import TERMS
from benchmark.media import is_audio, is_video


class VoxCeleb2(AudioVisualCorpus):
    """The published layout; `dev` trains, save for one speaker in 50, who validate.

    Where an utterance is in both `wav` and `aac`, `wav` is read; where there is neither folder, the sound tracks of the
    videos are.
    """

    name: ClassVar[str] = "voxceleb2"
    revision: ClassVar[str] = "1"
    layout: ClassVar[str] = f"""\
  {{dev,test}}/mp4/<id>/<video>/<utterance>.mp4   the cropped faces; all of it may lie in a folder vox2
  {{dev,test}}/wav/<id>/<video>/<utterance>.wav   the speech; or aac/.../<utterance>.m4a, or the videos' own sound
  vox_test.pckl                   optional: the published pairs of the test (also .json and .csv)
{LAYOUT}"""
    landmarks: ClassVar[tuple[str, ...]] = ("dev/mp4", "test/mp4", "vox2/dev", "vox2/test")
    obtain: ClassVar[str] = (
        "The archives of the videos (vox2_dev_mp4, vox2_test_mp4) and of the sound (vox2_dev_aac, "
        "vox2_test_aac), unpacked. For the published mixtures vox_test.pckl of FlowAVSE's or AVDiffuSS's "
        "repository (https://github.com/kaistmm/FlowAVSE, https://github.com/kaistmm/AVDiffuSS), and a list "
        "of recordings of AudioSet."
    )
    where: ClassVar[str] = (
        "https://mm.kaist.ac.kr/datasets/voxceleb/ hands out the files, by a form; "
        "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html describes the corpus and has its files no "
        "more."
    )
    terms: ClassVar[str] = TERMS
    use: ClassVar[str] = (
        "FlowAVSE and AVDiffuSS train and test on it: enhancement in AudioSet's noise, separation of two talkers."
    )
    published: ClassVar[tuple[Published, ...]] = (
        Published("speakers of dev", 5_994, r"(?:vox2/)?dev/mp4/([^/]+)/.+"),
        Published("utterances of dev", 1_092_009, r"(?:vox2/)?dev/mp4/[^/]+/[^/]+/[^/]+\.mp4"),
        Published("speakers of test", 118, r"(?:vox2/)?test/mp4/([^/]+)/.+"),
        Published("utterances of test", 36_237, r"(?:vox2/)?test/mp4/[^/]+/[^/]+/[^/]+\.mp4"),
    )
    forms: ClassVar[Mapping[str, Form]] = {"video": Form(fps=25, size=(224, 224))}
    pair_lists: ClassVar[tuple[str, ...]] = ("vox_test",)

    def utterances(self, split: str, finder: MediaFinder) -> Utterances:
        """By `<speaker>/<video>/<utterance>`."""
        root = self.media_root()
        base = root / "vox2" if (root / "vox2").is_dir() else root
        part = base / ("test" if split == "test" else "dev")
        recordings = [part / name for name in ("wav", "aac") if (part / name).is_dir()]
        video: Spilled[str] = Spilled()
        speech: Spilled[str] = Spilled()
        _collect(video, part / "mp4", split, is_video, finder)
        for tree in recordings:
            _collect(speech, tree, split, is_audio, finder)
        if not recordings:
            with_own_sound(video, speech, finder)
        return spoken_by(speech, video, finder, lambda name: {})


def _collect(found: Spilled[str], tree: Path, split: str, accepts: Callable[[Path], bool], finder: MediaFinder) -> None:
    """Add the names of utterances, and their files, of the speakers of a split; those that are known stay."""
    below = tree.relative_to(finder.root).as_posix()
    wanted = [
        speaker
        for speaker in finder.folders(tree)
        if split == "test" or held_out("voxceleb2", speaker.name) == (split == "val")
    ]
    for _, files in finder.media_of(wanted, accepts):
        for file in files:
            name = name_below(file, below)
            if name.count("/") == 2:
                found.offer(name, file)
            else:
                finder.leave_out(finder.root / file, "a stray file: expected <id>/<video>/<utterance>")
