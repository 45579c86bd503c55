from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baselines.reference import Chance, GroundTruth, MeanFace, MeanFaceBySex, ReferenceConfig
from benchmark.errors import InvalidConfig, MethodError, MissingDataset
from benchmark.media import write_image
from benchmark.types import Audio, Example, Sample, derive_seed

SPEECH = Audio(np.zeros(16_000, np.float32), 16_000)


def portrait(path: Path, colour: tuple[int, int, int], size: int = 64) -> Path:
    write_image(path, np.full((size, size, 3), colour, np.uint8))
    return path


def person(name: str, faces: list[Path], sex: str | None = None) -> Sample:
    return Sample(name, name, {"speech": ()}, {"face": tuple(faces)}, {"sex": sex} if sex else {})


def example(sample: Sample, repeat: int = 0, seed: int = 0) -> Example:
    return Example(sample, repeat, seed, {"speech": SPEECH})


@pytest.fixture
def training(tmp_path: Path) -> list[Sample]:
    """Ann has three portraits, Bob and Cid one each."""
    ann = [portrait(tmp_path / f"ann{number}.png", (30 * number, 0, 0)) for number in (1, 2, 3)]
    return [
        person("ann", ann, "f"),
        person("bob", [portrait(tmp_path / "bob.png", (0, 120, 0), size=128)], "m"),
        person("cid", [portrait(tmp_path / "cid.png", (0, 0, 240))], "m"),
    ]


def loaded(kind: type, training: list[Sample] | tuple[()] = (), resolution: int = 64):
    method = kind(ReferenceConfig(resolution), None, training)
    method.load("cpu")
    return method


def test_mean_face_weighs_people_equally(training: list[Sample]) -> None:
    (face,) = loaded(MeanFace, training).generate([example(training[0])])
    # Ann's mean red is 60; one person in three: 20. Bob 120 / 3, Cid 240 / 3.
    assert face.shape == (64, 64, 3) and face.dtype == np.uint8
    assert np.unique(face.reshape(-1, 3), axis=0).tolist() == [[20, 40, 80]]


def test_mean_face_by_sex_uses_the_speakers_sex(training: list[Sample]) -> None:
    method = loaded(MeanFaceBySex, training)
    woman, man, unknown = method.generate(
        [example(person("x", [], "f")), example(person("y", [], "m")), example(person("z", []))]
    )
    assert woman[0, 0].tolist() == [60, 0, 0]
    assert man[0, 0].tolist() == [0, 60, 120]
    assert isinstance(unknown, MethodError) and "sex is not recorded" in str(unknown)
    assert MeanFaceBySex.uses_targets and not MeanFace.uses_targets


def test_mean_face_by_sex_names_the_sex_that_training_lacks(training: list[Sample]) -> None:
    (face,) = loaded(MeanFaceBySex, training[1:]).generate([example(person("x", [], "f"))])
    assert isinstance(face, MethodError) and "nobody of sex 'f'" in str(face)


def test_mean_face_does_not_hand_out_its_own_array(training: list[Sample]) -> None:
    method = loaded(MeanFace, training)
    first, second = method.generate([example(training[0]), example(training[1])])
    first[:] = 0
    assert second.any() and method.generate([example(training[0])])[0].any()


def test_chance_depends_on_the_seed_alone(training: list[Sample]) -> None:
    examples = [example(training[0], seed=derive_seed("t", number)) for number in range(40)]
    together = loaded(Chance, training).generate(examples)
    alone = [loaded(Chance, training[::-1]).generate([item])[0] for item in examples[::-1]][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))


def test_chance_draws_people_equally(training: list[Sample]) -> None:
    faces = loaded(Chance, training, 8).generate([example(training[0], seed=derive_seed(n)) for n in range(600)])
    brightest = np.bincount([int(face[0, 0].argmax()) for face in faces], minlength=3)
    # 600 draws of 3 people: 200 each, standard deviation 11.5. By portrait Ann would get 360.
    assert np.abs(brightest - 200).max() < 50
    assert len({int(face[0, 0, 0]) for face in faces} - {0}) == 3  # every portrait of Ann


def test_ground_truth_counts_round_its_portraits(training: list[Sample]) -> None:
    faces = loaded(GroundTruth).generate([example(training[0], repeat) for repeat in range(5)])
    assert [int(face[0, 0, 0]) for face in faces] == [30, 60, 90, 30, 60]


def test_one_unreadable_portrait_fails_one_row(training: list[Sample], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("not a picture")
    good, bad, none = loaded(GroundTruth).generate(
        [example(training[1]), example(person("x", [broken])), example(person("y", []))]
    )
    assert good.shape == (64, 64, 3)
    assert isinstance(bad, MethodError) and "broken.png" in str(bad)
    assert isinstance(none, MethodError) and "no portrait" in str(none)


def test_unreadable_training_portraits_are_logged(training: list[Sample], tmp_path: Path, caplog) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("not a picture")
    (face,) = loaded(MeanFace, [*training, person("dan", [broken])]).generate([example(training[0])])
    assert face[0, 0].tolist() == [20, 40, 80]
    assert "broken.png" in caplog.text
    with pytest.raises(MissingDataset, match="broken.png"):
        loaded(MeanFace, [person("dan", [broken])])


def test_resizing_is_antialiased(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    write_image(tmp_path / "stripes.png", stripes)
    (face,) = loaded(GroundTruth, resolution=16).generate([example(person("x", [tmp_path / "stripes.png"]))])
    assert np.abs(face[:, 2:-2].astype(int) - 127).max() <= 2


@pytest.mark.parametrize("kind", [Chance, MeanFace, MeanFaceBySex])
def test_without_a_training_split_says_so(kind: type) -> None:
    with pytest.raises(MissingDataset, match=f"'{kind.name}' is made from the portraits of a training split"):
        loaded(kind)


def test_without_any_known_sex_says_so(training: list[Sample]) -> None:
    unknown = [person(sample.id, list(sample.targets["face"])) for sample in training]
    with pytest.raises(MissingDataset, match="sex of the people"):
        loaded(MeanFaceBySex, unknown)


@pytest.mark.parametrize("resolution", [0, 7, 1025])
def test_resolution_is_checked(resolution: int) -> None:
    with pytest.raises(InvalidConfig, match="expected 8 to 1024"):
        ReferenceConfig(resolution)


def test_the_callers_random_state_is_untouched(training: list[Sample]) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    loaded(Chance, training).generate([example(training[0])])
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
