"""insightface's pack, by small files of its layout: decoding against plain loops, alignment against least squares."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_toys import write_arcface, write_genderage, write_pack, write_scrfd

from benchmark.errors import MissingWeights
from benchmark.weights.networks import Networks
from metrics.faces.retrieval import Retrieval
from metrics.faces.sex_agreement import SexAgreement
from metrics.metric import FaceItem, Identity
from metrics.networks.insightface_pack import TEMPLATE, ArcFace, GenderAge, load, similarity
from metrics.networks.onnx_files import OnnxNetwork
from metrics.networks.scrfd import LEAST_SCORE, MOST_OVERLAP, Scrfd, apart, resized, warped


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("buffalo_l"))


def with_square(side: int, left: int, top: int, width: int, colour=(255, 20, 60)) -> np.ndarray:
    """A dark picture with a red square, which the made detector takes for a face."""
    image = np.full((side, side, 3), (20, 40, 60), np.uint8)
    image[top : top + width, left : left + width] = colour
    return image


def test_boxes_and_points_are_those_of_plain_loops(tmp_path: Path) -> None:
    """On a canvas of the picture's own size, cell by cell, from the weights of the file alone."""
    weights = write_scrfd(tmp_path / "det.onnx")
    detector = Scrfd(OnnxNetwork(tmp_path / "det.onnx"))
    image = with_square(128, 32, 64, 40)
    found = detector._on_canvas(image, 128)
    x = (image.astype(np.float64) - 127.5) / 128
    rows = []
    for step in (8, 16, 32):
        for row in range(128 // step):
            for column in range(128 // step):
                mean = x[row * step : (row + 1) * step, column * step : (column + 1) * step].mean(axis=(0, 1))
                for anchor in range(2):

                    def answers(kind: str, width: int, step=step, anchor=anchor, mean=mean) -> np.ndarray:
                        part = slice(anchor * width, (anchor + 1) * width)
                        name = f"{kind}{step}"
                        return weights[f"{name}.w"][part, :, 0, 0] @ mean + weights[f"{name}.b"][part]

                    score = 1 / (1 + np.exp(-answers("score", 1)[0]))
                    if score >= LEAST_SCORE:
                        cx, cy = column * step, row * step
                        left, top, right, bottom = answers("box", 4) * step
                        points = answers("points", 10).reshape(5, 2) * step + (cx, cy)
                        rows.append((score, (cx - left, cy - top, cx + right, cy + bottom), points))
    assert len(rows) > 20
    assert found.scores == pytest.approx([row[0] for row in rows], abs=1e-5)
    assert np.abs(found.boxes - np.array([row[1] for row in rows])).max() < 1e-3
    assert np.abs(found.points - np.array([row[2] for row in rows])).max() < 1e-3


def test_boxes_of_a_large_picture_are_in_its_own_pixels(tmp_path: Path) -> None:
    write_scrfd(tmp_path / "det.onnx")
    detector = Scrfd(OnnxNetwork(tmp_path / "det.onnx"))
    small = detector._on_canvas(with_square(128, 32, 32, 64), 128)
    large = detector._on_canvas(with_square(512, 128, 128, 256), 128)
    assert np.abs(large.boxes / 4 - small.boxes).max() < 0.05
    # A picture that is wider than high fills the canvas' width, and the rest is black.
    wide = np.concatenate([with_square(128, 32, 32, 64), with_square(128, 0, 0, 1)], axis=1)
    assert np.abs(detector._on_canvas(wide, 256).boxes[0] - detector._on_canvas(wide[:, :256], 256).boxes[0]).max() == 0


def test_of_boxes_that_overlap_the_best_is_kept() -> None:
    random = np.random.default_rng(0)
    corner = random.uniform(0, 50, (40, 2))
    boxes = np.hstack([corner, corner + random.uniform(5, 40, (40, 2))])

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
        height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
        areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
        return width * height / (sum(areas) - width * height)

    kept: list[int] = []
    for number, box in enumerate(boxes):
        if all(overlap(boxes[other], box) <= MOST_OVERLAP for other in kept):
            kept.append(number)
    assert apart(boxes) == kept
    assert 1 < len(kept) < 40


def test_alignment_is_the_least_squares_similarity() -> None:
    """`u = a x - b y + c, v = b x + a y + d` as four linear unknowns."""
    random = np.random.default_rng(1)
    points = TEMPLATE * 2.3 @ np.array([[0.9, 0.3], [-0.3, 0.9]]) + 17 + random.normal(size=(5, 2))
    rows, right = [], []
    for (x, y), (u, v) in zip(points, TEMPLATE, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        right += [u, v]
    a, b, c, d = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    assert similarity(points, TEMPLATE) == pytest.approx(np.array([[a, -b, c], [b, a, d]]))
    with pytest.raises(ValueError, match="one place"):
        similarity(np.ones((5, 2)), TEMPLATE)


def test_pictures_are_sampled_bilinearly() -> None:
    image = np.random.default_rng(2).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(image).permute(2, 0, 1)[None].double(), (64, 90), mode="bilinear", align_corners=False
    )[0].permute(1, 2, 0)
    assert np.abs(resized(image, 64, 90) - wanted.numpy()).max() <= 0.5 + 1e-9
    y, x = np.mgrid[:40, :40]
    ramp = np.stack([x + 2 * y, 2 * x + y, x + y], axis=-1).astype(np.uint8)
    moved = warped(ramp, np.array([[1.0, 0.0, -4.5], [0.0, 1.0, -3.0]]), 20)
    assert np.array_equal(moved[..., 0], np.rint(x[:20, :20] + 4.5 + 2 * (y[:20, :20] + 3)))
    assert warped(ramp + 9, np.array([[1.0, 0.0, 50.0], [0.0, 1.0, 0.0]]), 20).max() == 0


def test_arcface_describes_the_aligned_face(pack: Path) -> None:
    """The toy's descriptor is a matrix times the means over 8 x 8 fields of the aligned, normalised picture."""
    faces = ArcFace(pack)
    image = with_square(200, 60, 70, 80)
    (vector,), (found,) = faces.embed([image])
    assert found and faces.dim == 512
    _, points = faces._detector.largest(image)
    chip = warped(image, similarity(points, TEMPLATE), 112).astype(np.float64)
    fields = ((chip - 127.5) / 127.5).reshape(8, 14, 8, 14, 3).mean(axis=(1, 3)).transpose(2, 0, 1).ravel()
    expected = fields @ np.random.default_rng(1).normal(size=(192, 512)).astype(np.float32)
    assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)
    blank = faces.embed([np.full((64, 64, 3), 90, np.uint8)])
    assert not blank.detected[0] and np.linalg.norm(blank.vectors[0]) == pytest.approx(1)
    again = pickle.loads(pickle.dumps(faces)).embed([image]).vectors
    assert np.array_equal(again[0], vector)


def test_genderage_reads_what_its_network_says(pack: Path) -> None:
    judge = GenderAge(pack)
    colour = np.array([30, 90, 200])
    reading = judge.read([np.tile(colour, (50, 40, 1)).astype(np.uint8)])
    r, g, b = (colour - 127.5) / 128
    female, male, age = b + 0.2, 4 * r - 2 * g, 0.1 * r + 0.05 * g + 0.35
    # The last row and column lie half outside the picture and are a little darker.
    assert reading.male[0] == pytest.approx(1 / (1 + np.exp(female - male)), abs=2e-3)
    assert reading.age[0] == pytest.approx(100 * age, abs=0.3)
    # With a face, the square around the middle of its box, one and a half times its longer side.
    image = with_square(200, 60, 70, 80)
    left, top, right, bottom = judge._detector.largest(image)[0]
    side = 1.5 * max(right - left, bottom - top)
    x0, y0 = (left + right - side) / 2, (top + bottom - side) / 2
    cells = (np.arange(96) + 0.0) * side / 96
    inside = [
        image[int(round(y))][int(round(x))] if 0 <= round(y) < 200 and 0 <= round(x) < 200 else (0, 0, 0)
        for y in y0 + cells
        for x in x0 + cells
    ]
    r, g, b = (np.mean(inside, axis=0) - 127.5) / 128
    assert judge.read([image]).age[0] == pytest.approx(100 * (0.1 * r + 0.05 * g + 0.35), abs=0.15)


def test_an_archive_is_as_good_as_a_folder(pack: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "buffalo_l"), "zip", pack.parent, pack.name))
    image = with_square(160, 40, 40, 80)
    one, other = load(pack), load(archive)
    assert np.array_equal(one.embed([image]).vectors, other.embed([image]).vectors)
    assert one.signature == other.signature
    assert load(archive, kind="genderage").read([image]).age == pytest.approx(GenderAge(pack).read([image]).age)


def test_an_archive_with_a_damaged_member_says_so(pack: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "buffalo_l"), "zip", pack.parent, pack.name))
    content = bytearray(archive.read_bytes())
    for place in range(60, len(content) - 2000, 97):  # the list of members stands at the end
        content[place] ^= 255
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"buffalo_l.zip.*(cannot be read|expected)"):
        load(archive)


def test_answers_that_are_no_numbers_are_refused(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GenderAge, "answer", lambda self, image: np.full(3, np.nan, np.float32))
    with pytest.raises(ValueError, match="finite answers of genderage"):
        GenderAge(pack).read([with_square(160, 40, 40, 80)])


def test_metrics_take_them_by_name(pack: Path) -> None:
    networks = Networks()
    faces = [with_square(96, 20, 20 + n, 50, (250, 10 + 20 * n, 90)) for n in range(4)]
    people = [Identity(f"p{n}", [image], "fm"[n % 2]) for n, image in enumerate(faces)]
    retrieval = Retrieval.create(networks, embedder=f"arcface:{pack}")
    retrieval.prepare(people)
    rows = retrieval.measure([FaceItem(person.id, person.images[0]) for person in people])
    assert [row["greater_full"] for row in rows] == [0, 0, 0, 0]
    assert "arcface-" in retrieval.signature("recall_at_1") and "scrfd" in retrieval.signature("recall_at_1")
    agreement = SexAgreement.create(networks, judge=f"genderage:{pack}")
    agreement.prepare(people)
    assert all(row["read"] == row["face"] for row in agreement.measure([FaceItem(p.id, p.images[0]) for p in people]))
    assert "insightface-genderage" in agreement.signature("sex_agreement")


def test_a_pack_that_is_not_here_is_named_with_its_files(tmp_path: Path) -> None:
    for name in ("arcface", "genderage"):
        with pytest.raises(MissingWeights) as caught:
            Networks()(name)
        for part in ("det_10g.onnx", "w600k_r50.onnx", "genderage.onnx", "weights add insightface_buffalo_l"):
            assert part in str(caught.value)
    write_scrfd(tmp_path / "det_10g.onnx")
    with pytest.raises(FileNotFoundError, match="holds no w600k_r50.onnx: expected insightface's pack"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="det_10g.onnx"):
        load(tmp_path / "nothing")
    (tmp_path / "pack.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="expected a zip archive"):
        load(tmp_path / "pack.zip")


def test_networks_of_other_kinds_are_refused(pack: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pack, tmp_path / "pack"))
    write_genderage(folder / "w600k_r50.onnx")
    with pytest.raises(ValueError, match="expected ArcFace"):
        load(folder)
    write_arcface(folder / "genderage.onnx")
    with pytest.raises(ValueError, match="female, male"):
        load(folder, kind="genderage")
    write_arcface(folder / "det_10g.onnx")
    with pytest.raises(ValueError, match="expected SCRFD"):
        load(folder, kind="genderage")
    (folder / "det_10g.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="expected an ONNX model"):
        load(folder)
