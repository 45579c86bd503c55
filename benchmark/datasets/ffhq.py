"""FFHQ (Karras et al. 2019): portraits without voices, for what learns from pictures alone."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.datasets.dataset import Dataset
from benchmark.datasets.facts import Published
from benchmark.datasets.manifest import Row
from benchmark.datasets.media_files import is_portrait

_FOLDERS = ("images1024x1024", "thumbnails128x128")
"""The first that is there is used."""
_TRAINING = 60_000
"""Pictures below this number are for training, by the corpus's own split."""


class FFHQ(Dataset):
    """A picture is a sample, and a person of its own; nobody speaks, so nothing can be evaluated on it."""

    name = "ffhq"
    revision = "1"
    splits = ("train", "val")
    layout = """\
  images1024x1024/[<thousand>/]<number>.png     as published; numbers below 60000 are `train`, the others `val`
  thumbnails128x128/[<thousand>/]<number>.png   used where there is no folder of large pictures"""
    landmarks = ("images1024x1024", "thumbnails128x128")
    obtain = "images1024x1024, or thumbnails128x128 alone."
    where = "https://github.com/NVlabs/ffhq-dataset, whose script fetches it (no form)."
    terms = (
        "CC BY-NC-SA 4.0 for the set, by NVIDIA; each picture under its own licence by its photographer "
        "(ffhq-dataset-v2.json says which). People in them were not asked; those who do not want to be in it can "
        "have their picture removed. Not to be used to develop face recognition."
    )
    use = (
        "The DDPM speech-to-face paper trains its decoder and super-resolution on it. Portraits alone: nothing "
        "can be evaluated on it."
    )
    published = (Published("pictures", 70_000, r"(?:images1024x1024|thumbnails128x128)/(?:.+/)?(\d+)\.png"),)

    def rows(self, split: str, task: str) -> Iterable[Row]:
        """The pictures of one split; files without a number are named in `problems`."""
        root = self.media_root()
        folder = next((root / name for name in _FOLDERS if (root / name).is_dir()), root / _FOLDERS[0])
        finder = self.finder()
        seen: set[int] = set()
        for file in finder.media(folder, is_portrait):
            stem = file.rpartition("/")[2].partition(".")[0]
            if not (stem.isascii() and stem.isdigit()):
                finder.leave_out(root / file, "expected a number for a name")
            elif int(stem) in seen:
                finder.leave_out(root / file, "another picture has this number")
            elif (int(stem) < _TRAINING) == (split == "train"):
                seen.add(int(stem))
                name = f"{int(stem):05d}"
                yield Row(name, name, {}, {"face": (file,)})
