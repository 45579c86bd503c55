"""The figures of the AVP-GAN paper: pictures of faces, on Talkers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.errors import MissingDataset
from benchmark.papers.figures import Drawing, Material
from benchmark.papers.sf2f_figures import CHOICE, outputs, spread_evenly, true_face
from benchmark.reports.figures import PAGE
from benchmark.reports.sheets import Cell, paint_pictures
from benchmark.types import Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[tuple[str, Sequence[Cell]]]


def lengths(material: Material) -> Drawing:
    """Figure 6: six speakers' faces from 2, 4, 6 and 8 s of speech, above true ones."""
    runs = material.figure.runs
    samples = spread_evenly(_samples(material), 6)
    rows = [(f"{need.seconds:g} s", outputs(material.there(need), samples)) for need in runs]
    return _drawn(
        [*rows, ("true face", [true_face(sample) for sample in samples])],
        [sample.speaker for sample in samples],
        f"AVP-GAN's faces by the length of speech, above true ones. Talkers, test split. {CHOICE}",
    )


def enhancement(material: Material) -> Drawing:
    """Figure 7: true faces, the generator's, and the same after the image enhancement."""
    final, before = material.figure.runs
    samples = spread_evenly(_samples(material), 6)
    rows = [
        ("true face", [true_face(sample) for sample in samples]),
        ("intermediate", outputs(material.there(before), samples)),
        ("final", outputs(material.there(final), samples)),
    ]
    caption = (
        f"True faces, AVP-GAN's before and after image enhancement, from 8 s of speech. Talkers, test split. {CHOICE}"
    )
    return _drawn(rows, [sample.speaker for sample in samples], caption)


def against_voice2face(material: Material) -> Drawing:
    """Figure 8: true faces, voice2face's and AVP-GAN's of the same recordings."""
    ours, other = material.figure.runs
    samples = spread_evenly(_samples(material), 8)
    rows = [
        ("true face", [true_face(sample) for sample in samples]),
        ("voice2face", outputs(material.there(other), samples)),
        ("AVP-GAN", outputs(material.there(ours), samples)),
    ]
    caption = f"Faces of voice2face and AVP-GAN from the same 8 s of speech. Talkers, test split. {CHOICE}"
    return _drawn(rows, [sample.speaker for sample in samples], caption)


def women_and_men(material: Material) -> Drawing:
    """Figure 9: seven men's and seven women's faces beside true ones.

    Raises:
        MissingDataset: nobody's sex is known.
    """
    (need,) = material.figure.runs
    samples = _samples(material)
    by_sex = {sex: spread_evenly([s for s in samples if s.attributes.get("sex") == sex], 7) for sex in ("m", "f")}
    shown = [sample for people in by_sex.values() for sample in people]
    if not shown:
        raise MissingDataset("No speaker's sex is known in this split, by which the figure is laid out")
    rows = [
        ("true face", [true_face(sample) for sample in shown]),
        ("from 8 s", outputs(material.there(need), shown)),
    ]
    caption = f"Men, then women: true faces and AVP-GAN's from 8 s of speech. Talkers, test split. {CHOICE}"
    return _drawn(rows, [sample.speaker for sample in shown], caption, across=max(map(len, by_sex.values())))


def _samples(material: Material) -> Sequence[Sample]:
    return material.manifest(material.there(material.figure.runs[0])).samples


def _drawn(rows: Rows, heads: Sequence[str], caption: str, across: int = 0) -> Drawing:
    """Rows of pictures, `across` of them side by side; all, where it is 0."""
    across = across or len(heads)
    blocks = -(-len(heads) // across)

    def paint(figure: Figure) -> None:
        paint_pictures(figure.subplots(blocks * len(rows), across, squeeze=False), rows, heads)

    return Drawing(PAGE, blocks * (len(rows) * (PAGE - 0.4) / max(across, 8) + 0.25), paint, caption)
