"""LRS3-TED (Afouras et al. 2018): sentences from talks, with a video of the speaker's face, cropped to 224 x 224."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from benchmark.datasets.audiovisual import AudioVisualCorpus, held_out, name_below, spoken_by, with_own_sound
from benchmark.datasets.facts import Form, Published
from benchmark.datasets.media_files import MediaFinder, is_speech
from benchmark.datasets.noise_lists import LAYOUT
from benchmark.datasets.spilled import Spilled
from benchmark.datasets.tables import lrs3_words
from benchmark.datasets.utterances import Utterances
from benchmark.errors import MediaError, UsageError
from benchmark.media import check_header, is_audio
from benchmark.text_files import read_text

_EXPECTED = "expected a first line 'Text:  WORDS'"


class LRS3(AudioVisualCorpus):
    """The published layout; `trainval` trains, save for one talk in 50, which validate. `pretrain` is not used.

    A talk counts as a speaker.
    """

    name: ClassVar[str] = "lrs3"
    revision: ClassVar[str] = "1"
    layout: ClassVar[str] = f"""\
  {{trainval,test}}/<video>/<utterance>.mp4       the cropped faces; all of it may lie in a folder lrs3
  {{trainval,test}}/<video>/<utterance>.wav       the speech; without it, the video's own sound
  {{trainval,test}}/<video>/<utterance>.txt       the words, in a first line 'Text:  WORDS'
  lrs3_test.pckl                  optional: the published pairs of the test (also lrs_test; .json and .csv)
{LAYOUT}"""
    landmarks: ClassVar[tuple[str, ...]] = ("test/*/*.mp4", "trainval/*/*.mp4", "lrs3/test", "lrs3/trainval")
    obtain: ClassVar[str] = (
        "The archives trainval and test with videos and texts, unpacked; pretrain is not read. For the "
        "published mixtures lrs3_test.pckl of FlowAVSE's repository (https://github.com/kaistmm/FlowAVSE), "
        "and a list of recordings of AudioSet."
    )
    where: ClassVar[str] = (
        "It is handed out no more, as far as is known here: its page, "
        "https://www.robots.ox.ac.uk/~vgg/data/lip_reading/lrs3.html, is reported to be gone since 2024, and "
        "https://mmai.io/datasets/lip_reading/, which followed it, to say that downloads are no longer "
        "available. Look there, or use a copy from before."
    )
    terms: ClassVar[str] = (
        "Told in two ways: CC BY-NC-ND 4.0 by the page that is gone, CC BY 4.0 by the one that followed; the "
        "talks themselves are TED's, under CC BY-NC-ND 4.0. By the stricter: research that earns nothing, and "
        "no changed copies are passed on. The people spoke in public, not for this: no identification, no "
        "impersonation."
    )
    use: ClassVar[str] = (
        "The second test of FlowAVSE; training, validation and test of LipDiffuser, in lrs3_chime3 with noise."
    )
    published: ClassVar[tuple[Published, ...]] = (
        Published("talks of trainval", 4_004, r"(?:lrs3/)?trainval/([^/]+)/.+\.mp4"),
        Published("utterances of trainval", 31_982, r"(?:lrs3/)?trainval/[^/]+/[^/]+\.mp4"),
        Published("talks of test", 412, r"(?:lrs3/)?test/([^/]+)/.+\.mp4"),
        Published("utterances of test", 1_321, r"(?:lrs3/)?test/[^/]+/[^/]+\.mp4"),
    )
    forms: ClassVar[Mapping[str, Form]] = {"video": Form(fps=25, size=(224, 224))}
    pair_lists: ClassVar[tuple[str, ...]] = ("lrs3_test", "lrs_test")

    def utterances(self, split: str, finder: MediaFinder) -> Utterances:
        """By `<video>/<utterance>`."""
        root = self.media_root()
        base = root / "lrs3" if (root / "lrs3").is_dir() else root
        part = base / ("test" if split == "test" else "trainval")
        below = part.relative_to(root).as_posix()
        speech: Spilled[str] = Spilled()
        video: Spilled[str] = Spilled()
        texts: Spilled[str] = Spilled()
        talks = [
            talk for talk in finder.folders(part) if split == "test" or held_out("lrs3", talk.name) == (split == "val")
        ]
        for _, files in finder.media_of(talks, _is_medium, _check):
            for file in files:
                name = name_below(file, below)
                kind = texts if _is_text(Path(file)) else speech if is_audio(file) else video
                if name.count("/") == 1:
                    kind.offer(name, file)
                else:
                    finder.leave_out(root / file, "a stray file: expected <video>/<utterance>")
        with_own_sound(video, speech, finder)

        def about(name: str) -> dict[str, str]:
            text, reason = None, f"no usable .txt beside it ({_EXPECTED})"
            if file := texts.get(name):
                try:
                    text = lrs3_words(read_text(root / file))
                except UsageError as error:
                    reason = str(error).removeprefix(f"{root}/")
            if text is None:
                finder.leave_out(root / video[name], f"used without its words: {reason}")
            return {} if text is None else {"text": text}

        return spoken_by(speech, video, finder, about)


def _is_medium(path: Path) -> bool:
    return is_speech(path) or _is_text(path)


def _is_text(path: Path) -> bool:
    return path.suffix.lower() == ".txt"


def _check(path: Path) -> None:
    if not _is_text(path):
        check_header(path)
    elif not path.is_file():
        raise MediaError(f"{path}: is not a regular file")
