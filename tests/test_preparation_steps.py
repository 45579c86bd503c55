"""What each step makes of a file: crops of faces and mouths, portraits by HQ-VoxCeleb's rules, speech."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx_toys
import pytest
from films import film
from PIL import Image

from baselines.layers.vad import SF2F_VAD, VOICE2FACE_VAD
from baselines.sf2f.speech import FrontEnd as SF2FFrontEnd
from baselines.sf2f.speech import speech_features as sf2f_features
from baselines.voice2face.speech import FrontEnd as Voice2FaceFrontEnd
from baselines.voice2face.speech import speech_features as voice2face_features
from baselines.wiener.method import Wiener
from benchmark.datasets.talkers.face import View, portrait
from benchmark.datasets.talkers.identity import person
from benchmark.errors import BenchmarkError, InvalidConfig, MediaError, MissingDependency, UsageError
from benchmark.media import read_audio, read_image, read_video, write_audio, write_image, write_video
from benchmark.media.face_video import read_face_video
from benchmark.media.mouth_video import read_mouth_video
from benchmark.preparation import segmenters
from benchmark.preparation.enhancing import Enhance
from benchmark.preparation.expressions import EXPRESSIONS
from benchmark.preparation.faces import Faces
from benchmark.preparation.mouths import Mouths
from benchmark.preparation.portraits import HQPortraits
from benchmark.preparation.speech import LogMel, Vad
from benchmark.preparation.step import LeftOut, Made, Step
from benchmark.preparation.steps import STEPS, step_called
from benchmark.remarks import remarks
from benchmark.types import Audio
from benchmark.weights.networks import Networks

EYES = (0.5, 0.46, 0.2)
"""Of Talkers' portraits, framed as VoxCeleb: the middle between the eyes, and their distance, in parts of the side."""
RNG = np.random.default_rng(11)


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    return [portrait(person(seed), View(), 200).image for seed in (20_001, 20_004)]


def scene(*placed: tuple[np.ndarray, int, int, int], shape: tuple[int, int] = (288, 360)) -> np.ndarray:
    """Faces at `left`, `top`, scaled to a side, on grey."""
    picture = np.full((*shape, 3), 225, np.uint8)
    for face, left, top, side in placed:
        small = np.asarray(Image.fromarray(face).resize((side, side), Image.Resampling.LANCZOS))
        picture[top : top + side, left : left + side] = small
    return picture


def made(step: Step, source: Path, out: Path) -> Made:
    return step.make(source, out, step.products(source.name))


@cache
def landmarks() -> Any:
    return Networks()("face_landmarks")


def eyes(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle between the eyes and their distance, in parts of the picture's side, by landmarks."""
    points = landmarks().find([picture]).points[0] + 0.5
    left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    return (left + right) / 2 / len(picture), float(np.linalg.norm(right - left)) / len(picture)


def test_steps_are_known_by_name_and_say_what_their_settings_are() -> None:
    assert list(STEPS) == ["faces", "hq_voxceleb", "mouths", "vad", "log_mel", "enhance"]
    for step in STEPS.values():
        for preset in step.presets:
            assert step.configured(preset).name == step.name
    with pytest.raises(UsageError, match="Did you mean 'faces'"):
        step_called("face")


@pytest.mark.parametrize(
    ("step", "setting"),
    [
        (Faces, "size=15"),
        (Faces, "size=113"),
        (Faces, "share=0.01"),
        (Faces, "height=1.0"),
        (Faces, "stills=-1"),
        (Faces, "of_several=all"),
        (Mouths, "size=112"),
        (Mouths, "faces=0.0"),
        (HQPortraits, "size=4"),
        (HQPortraits, "apart=0.95"),
        (HQPortraits, "largest_turn=0.0"),
        (HQPortraits, "background=black"),
        (Vad, "front_end=other"),
        (Vad, "shortest_s=-1.0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(step: type[Step], setting: str) -> None:
    with pytest.raises(InvalidConfig):
        step.configured(None, None, [setting])


# ---- faces


@pytest.mark.parametrize(("preset", "side"), [("voxceleb", 224), ("voice2face", 64), ("speech2face_ddpm", 512)])
def test_a_face_is_framed_as_voxceleb(tmp_path, faces, preset: str, side: int) -> None:
    write_image(tmp_path / "a.png", scene((faces[0], 120, 50, 200)))
    step = Faces.configured(preset)
    made(step, tmp_path / "a.png", tmp_path / "out")
    crop = read_image(tmp_path / "out/a.png")
    assert crop.shape == (side, side, 3)
    middle, apart = eyes(crop)
    np.testing.assert_allclose(middle, EYES[:2], atol=0.05)
    assert apart == pytest.approx(EYES[2], rel=0.15)


def test_more_and_less_around_the_face_is_a_setting(tmp_path, faces) -> None:
    write_image(tmp_path / "a.png", scene((faces[0], 100, 40, 180)))
    apart = {}
    for share in (0.3, 0.6):
        made(Faces(share=share), tmp_path / "a.png", tmp_path / str(share))
        apart[share] = eyes(read_image(tmp_path / str(share) / "a.png"))[1]
    assert apart[0.6] / apart[0.3] == pytest.approx(2, rel=0.08)


def test_pictures_of_every_depth_and_orientation_give_one_crop(tmp_path, faces) -> None:
    grey = scene((faces[0], 120, 50, 200))[..., 1]
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    turned = Image.fromarray(np.rot90(grey, 1))
    exif = turned.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees to the right to see it
    content = io.BytesIO()
    turned.save(content, format="PNG", exif=exif)
    (tmp_path / "turned.png").write_bytes(content.getvalue())
    Image.fromarray(grey).save(tmp_path / "Zoë Ünal – 1.png")
    crops = []
    for path in sorted(tmp_path.glob("*.png")):
        made(Faces(size=64), path, tmp_path / "out")
        crops.append(read_image(tmp_path / "out" / path.name))
    assert len(crops) == 4
    for crop in crops[1:]:
        np.testing.assert_array_equal(crop, crops[0])


def test_of_several_faces_one_is_taken_as_asked(tmp_path, faces) -> None:
    picture = scene((faces[0], 20, 20, 240), (faces[1], 265, 70, 150), shape=(288, 620))
    write_image(tmp_path / "a.png", picture)
    boxes = {}
    for which in ("largest", "central"):
        with remarks() as heard:
            boxes[which] = made(Faces(of_several=which), tmp_path / "a.png", tmp_path / which).about["face"]
        assert len(heard) == 1 and "2 faces" in heard[0]
    assert boxes["largest"][0] == pytest.approx(140, abs=20)
    assert boxes["central"][0] == pytest.approx(340, abs=20)
    with pytest.raises(MediaError, match="2 faces"):
        made(Faces(of_several="refuse"), tmp_path / "a.png", tmp_path / "out")


def test_a_face_that_fills_its_picture_is_found(tmp_path, faces) -> None:
    write_image(tmp_path / "a.png", np.ascontiguousarray(faces[0][50:165, 52:148]))
    about = made(Faces(), tmp_path / "a.png", tmp_path / "out").about
    assert about["face"][0] == pytest.approx(48, abs=12)


def test_a_picture_without_a_face_says_so(tmp_path) -> None:
    write_image(tmp_path / "a.png", RNG.integers(0, 256, (90, 120, 3)).astype(np.uint8))
    with pytest.raises(MediaError, match="no face was found in 120 x 90 pixels"):
        made(Faces(), tmp_path / "a.png", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory, faces) -> Path:
    """A face that moves, one second at 25 pictures, with a tone."""
    path = tmp_path_factory.mktemp("talk") / "talk.mkv"
    pictures = [scene((faces[0], 60 + 2 * number, 40, 180)) for number in range(25)]
    tone = (0.4 * np.sin(np.arange(16_000) * 0.1)).astype(np.float32)
    write_video(path, np.stack(pictures), 25, Audio(tone, 16_000))
    return path


def test_the_video_of_a_face_is_what_methods_are_given(talk: Path, tmp_path: Path) -> None:
    about = made(Faces.configured("flowavse"), talk, tmp_path).about
    crop = tmp_path / "talk.mkv"
    np.testing.assert_array_equal(read_face_video(crop).frames, read_face_video(talk, find=True).frames)
    np.testing.assert_allclose(read_audio(crop).samples, read_audio(talk).samples, atol=1e-4)
    assert about["without_face"] == 0 and about["pictures"] == 25
    made(Faces(size=64), talk, tmp_path / "colour")
    colour = read_video(tmp_path / "colour/talk.mkv")
    assert colour.shape == (25, 64, 64, 3) and np.ptp(colour.astype(int), axis=3).max() > 20


def test_sound_that_begins_late_stays_in_time(talk: Path, tmp_path: Path) -> None:
    """The pictures before it are cut, as they are where the video is read with its own sound."""
    import av

    late = tmp_path / "late.mkv"
    with av.open(str(talk)) as source, av.open(str(late), "w") as target:
        streams = {stream: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                if packet.stream.type == "audio":
                    packet.pts += round(0.2 / packet.time_base)
                    packet.dts += round(0.2 / packet.time_base)
                packet.stream = streams[packet.stream]
                target.mux(packet)
    made(Faces.configured("flowavse"), late, tmp_path / "out")
    expected = read_face_video(late, find=True).frames[5:]
    np.testing.assert_array_equal(read_face_video(tmp_path / "out/late.mkv").frames, expected)


def test_single_pictures_of_a_video_skip_those_without_a_face(tmp_path, faces) -> None:
    pictures = [scene((faces[0], 80, 40, 180)) if number < 15 else scene() for number in range(30)]
    write_video(tmp_path / "a.mkv", np.stack(pictures), 25)
    step = Faces(stills=4, size=64)
    assert step.products("a.mkv") == ("a.001.png", "a.002.png", "a.003.png", "a.004.png")
    assert made(step, tmp_path / "a.mkv", tmp_path / "out").products == ("a.001.png", "a.002.png")
    write_video(tmp_path / "b.mkv", np.stack(pictures[15:]), 25)
    with pytest.raises(MediaError, match="no usable face in 4 pictures"):
        made(step, tmp_path / "b.mkv", tmp_path / "out")


@pytest.mark.parametrize("step", [Faces(), Mouths()])
def test_videos_that_cannot_be_used_say_why(tmp_path, step: Step) -> None:
    (tmp_path / "text.mp4").write_text("this is a text, whatever its name says")
    film(tmp_path / "sound.mp4", None, "aac", seconds=1.0)
    write_video(tmp_path / "nobody.mkv", np.stack([scene()] * 5), 25)
    for name, why in {
        "text.mp4": "text.mp4",
        "sound.mp4": "no picture|video",
        "nobody.mkv": "face was found",
    }.items():
        with pytest.raises(MediaError, match=why):
            made(step, tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- mouths


def test_the_video_of_a_mouth_is_taken_as_it_is(talk: Path, tmp_path: Path) -> None:
    made(Mouths(), talk, tmp_path / "out")
    whole, crop = read_mouth_video(talk).frames, read_mouth_video(tmp_path / "out/talk.mkv").frames
    np.testing.assert_array_equal(crop, whole)
    np.testing.assert_allclose(read_audio(tmp_path / "out/talk.mkv").samples, read_audio(talk).samples, atol=1e-4)
    made(Mouths(size=88), talk, tmp_path / "centre")
    np.testing.assert_array_equal(read_video(tmp_path / "centre/talk.mkv", grey=True), whole[:, 4:92, 4:92])


def test_a_mouth_that_is_seldom_seen_is_refused(tmp_path, faces) -> None:
    pictures = [scene((faces[0], 80, 40, 180)) if number < 10 else scene() for number in range(50)]
    write_video(tmp_path / "a.mkv", np.stack(pictures), 25)
    with pytest.raises(MediaError, match=r"a face was found in \d+ of 50 pictures"):
        made(Mouths(), tmp_path / "a.mkv", tmp_path / "out")
    assert made(Mouths(faces=0.1), tmp_path / "a.mkv", tmp_path / "out").about["without_face"] > 25


# ---- portraits


KEEP = {"background": "keep"}


def rotated(picture: np.ndarray, degrees: float) -> np.ndarray:
    image = Image.fromarray(picture).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(225,) * 3)
    return np.asarray(image)


@pytest.mark.parametrize("degrees", [0, 15, -20])
@pytest.mark.parametrize("size", [64, 256])
def test_pupils_come_to_lie_at_fixed_places(tmp_path, faces, degrees: float, size: int) -> None:
    picture = rotated(scene((faces[0], 60, 40, 400), shape=(480, 520)), degrees)
    write_image(tmp_path / "a.png", picture)
    step = HQPortraits(size=size, **KEEP)
    about = made(step, tmp_path / "a.png", tmp_path / "out").about
    assert about["pupils_apart"] == pytest.approx(EYES[2] * 400, rel=0.12)
    middle, apart = eyes(read_image(tmp_path / "out/a.png"))
    np.testing.assert_allclose(middle, [0.5, step.pupil_height], atol=0.02)
    assert apart == pytest.approx(step.apart, rel=0.08)


def test_rules_take_pictures_out_and_say_why(tmp_path, faces) -> None:
    large = scene((faces[0], 60, 40, 400), shape=(480, 520))
    small = scene((faces[0], 20, 20, 110), shape=(150, 150))
    half = np.array(large)
    half[:, :260] = np.asarray(Image.fromarray(large).resize((1040, 480)))[:, 260:520]  # one side twice as wide
    for name, picture in {"large": large, "small": small, "half": half, "none": scene()}.items():
        write_image(tmp_path / f"{name}.png", picture)
    made(HQPortraits(**KEEP), tmp_path / "large.png", tmp_path / "out")
    rules = {}
    for name in ("small", "half", "none"):
        with pytest.raises(LeftOut) as told:
            made(HQPortraits(**KEEP), tmp_path / f"{name}.png", tmp_path / "out")
        rules[name] = told.value.rule
    assert rules == {"small": "small", "half": "turned", "none": "no face"}
    for name in ("small", "half"):
        made(HQPortraits.configured("align"), tmp_path / f"{name}.png", tmp_path / "any")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"large.png"}


def red_segmenter(path: Path, side: int | str) -> str:
    """A network of the form wanted that takes what is more red than the mean of ImageNet for a person."""
    weight = np.zeros((21, 3, 1, 1), np.float32)
    weight[segmenters.PERSON, 0] = 1
    nodes = [onnx_toys.node("Conv", ["x", "w"], "y", kernel_shape=[1, 1])]
    wide = side if isinstance(side, int) else "w"
    onnx_toys.write_onnx(path, nodes, {"w": weight}, ("x", (1, 3, side, wide)), {"y": (1, 21, side, wide)})
    return str(path)


@pytest.mark.parametrize("side", ["h", 96])
def test_the_background_becomes_white_and_the_person_stays(tmp_path, faces, side: int | str) -> None:
    picture = scene((faces[0], 60, 40, 400), shape=(480, 520))
    blue = np.abs(picture.astype(int) - picture[0, 0]).sum(axis=2) < 12
    around = np.abs(picture.astype(int) - faces[0][2, 2]).sum(axis=2) < 90  # the portrait's own background
    picture[blue | around] = (20, 60, 220)
    write_image(tmp_path / "a.png", picture)
    step = HQPortraits(segmenter=red_segmenter(tmp_path / "red.onnx", side), largest_turn=20.0)
    made(step, tmp_path / "a.png", tmp_path / "out")
    made(HQPortraits(largest_turn=20.0, **KEEP), tmp_path / "a.png", tmp_path / "kept")
    filled, kept = (read_image(tmp_path / where / "a.png").astype(int) for where in ("out", "kept"))
    was_blue = np.abs(kept - [20, 60, 220]).sum(axis=2) < 10
    inner = was_blue.copy()
    for axis in (0, 1):  # away from outlines, which are smooth
        for way in (-3, 3):
            inner &= np.roll(was_blue, way, axis)
    assert inner.mean() > 0.1 and (filled[inner] == 255).all()
    nose = slice(60, 72), slice(58, 70)
    np.testing.assert_allclose(filled[nose], kept[nose], atol=12)


def test_a_segmenter_that_sees_nobody_fails_the_picture(tmp_path, faces) -> None:
    picture = scene((faces[0], 60, 40, 400), shape=(480, 520))
    write_image(tmp_path / "a.png", picture // 3)  # less red than the mean
    step = HQPortraits(segmenter=red_segmenter(tmp_path / "red.onnx", "h"), largest_turn=20.0)
    with pytest.raises(MediaError, match="the segmenter sees a person in 0% of the crop"):
        made(step, tmp_path / "a.png", tmp_path / "out")


def test_without_a_segmenter_it_is_said_what_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenters.importlib.util, "find_spec", lambda name: None)
    segmenters._mediapipe.cache_clear()
    with pytest.raises(MissingDependency, match=r"--set segmenter=FILE\.onnx.*--set background=keep"):
        HQPortraits().check()
    said = HQPortraits(background="keep").check()
    assert any("background is left" in line for line in said) and any("not judged" in line for line in said)


def test_networks_of_another_form_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    one = onnx_toys.node("Identity", ["x"], "y")
    onnx_toys.write_onnx(tmp_path / "grey.onnx", [one], {}, ("x", (1, 1, 8, 8)), {"y": (1, 1, 8, 8)})
    for name, why in {
        "text.onnx": "expected an ONNX model",
        "grey.onnx": r"expected \[1, 3, H, W\]",
        "gone.onnx": "not a file",
    }.items():
        with pytest.raises(BenchmarkError, match=why):
            HQPortraits(segmenter=str(tmp_path / name)).check()
    with pytest.raises(InvalidConfig, match="expected auto, mediapipe or"):
        HQPortraits(segmenter="rembg").check()


def constant_classifier(path: Path, reads: str) -> str:
    bias = np.zeros(8, np.float32)
    bias[EXPRESSIONS.index(reads)] = 1
    nodes = [
        onnx_toys.node("Flatten", ["x"], "f", axis=1),
        onnx_toys.node("MatMul", ["f", "w"], "m"),
        onnx_toys.node("Add", ["m", "b"], "y"),
    ]
    weights = {"w": np.zeros((64 * 64, 8), np.float32), "b": bias}
    onnx_toys.write_onnx(path, nodes, weights, ("x", (1, 1, 64, 64)), {"y": (1, 8)})
    return str(path)


def test_expressions_other_than_neutral_are_taken_out_where_they_are_judged(tmp_path, faces) -> None:
    write_image(tmp_path / "a.png", scene((faces[0], 60, 40, 400), shape=(480, 520)))
    for reads in ("neutral", "happy"):
        step = HQPortraits(expressions=constant_classifier(tmp_path / f"{reads}.onnx", reads), **KEEP)
        if reads == "neutral":
            made(step, tmp_path / "a.png", tmp_path / "out")
        else:
            with pytest.raises(LeftOut, match="looks happy"):
                made(step, tmp_path / "a.png", tmp_path / "out")
    same = step.identity()["expressions"]
    constant_classifier(tmp_path / "happy.onnx", "sad")
    assert step.identity()["expressions"] != same, "another network under the same name is another setting"


# ---- speech


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """Bursts of a buzz with formants, which WebRTC's detector takes for speech, and pauses."""
    time = np.arange(4 * 16_000) / 16_000
    buzz = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 25))
    wave = buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)) * ((time % 2) < 1)
    return (0.2 * wave + 1e-4 * RNG.standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize(("front_end", "vad"), [("sf2f", SF2F_VAD), ("voice2face", VOICE2FACE_VAD)])
def test_pauses_are_taken_out_by_the_rules_of_the_front_end(tmp_path, voice, front_end, vad) -> None:
    write_audio(tmp_path / "a.wav", Audio(voice, 16_000))
    about = made(Vad.configured(front_end), tmp_path / "a.wav", tmp_path / "out").about
    found = read_audio(tmp_path / "out/a.wav")
    np.testing.assert_array_equal(found.samples, vad(voice))
    assert 1.5 < about["spoken_s"] < 3.5 and about["seconds"] == 4.0
    with pytest.raises(MediaError, match="expected at least 10 s"):
        made(Vad.configured(front_end, None, ["shortest_s=10.0"]), tmp_path / "a.wav", tmp_path / "out")


@pytest.mark.parametrize("step", [Vad(), LogMel()])
def test_silence_is_no_speech(tmp_path, step: Step) -> None:
    write_audio(tmp_path / "a.wav", Audio(np.zeros(32_000, np.float32), 16_000))
    with pytest.raises(MediaError, match=r"no frame of 2\.00 s is voiced"):
        made(step, tmp_path / "a.wav", tmp_path / "out")


def logfbank(samples: np.ndarray, filters: int = 40) -> np.ndarray:
    """python_speech_features' definition at 16 kHz with its defaults, in plain numpy."""
    x = np.round(samples * 32768.0)
    x = np.append(x[0], x[1:] - 0.97 * x[:-1])
    count = 1 + int(np.ceil((len(x) - 400) / 160))
    x = np.append(x, np.zeros(400 + (count - 1) * 160 - len(x)))
    power = np.abs(np.fft.rfft(np.stack([x[160 * k : 160 * k + 400] for k in range(count)]), 512)) ** 2 / 512
    mels = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), filters + 2)
    bins = np.floor(513 * 700 * (10 ** (mels / 2595) - 1) / 16_000)
    bank = np.zeros((filters, 257))
    for j in range(filters):
        low, mid, high = (int(edge) for edge in bins[j : j + 3])
        bank[j, low:mid] = (np.arange(low, mid) - low) / (mid - low)
        bank[j, mid:high] = (high - np.arange(mid, high)) / (high - mid)
    energy = power @ bank.T
    return np.log(np.where(energy == 0, np.finfo(float).eps, energy)).T


def test_log_mel_energies_are_those_of_sf2fs_pickles(tmp_path, voice) -> None:
    whole = np.round(voice * 32768) / 32768  # as 16-bit files hold it
    write_audio(tmp_path / "a.wav", Audio(whole.astype(np.float32), 16_000))
    made(LogMel(), tmp_path / "a.wav", tmp_path / "out")
    found = np.load(tmp_path / "out/a.npy", allow_pickle=False)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, logfbank(SF2F_VAD(whole.astype(np.float32))), atol=2e-4)
    normalised = sf2f_features(Audio(whole.astype(np.float32), 16_000), SF2FFrontEnd(0.5, vad=True)).numpy()
    np.testing.assert_allclose((found - 10.9915) / 3.1661, normalised, atol=1e-5)


def test_log_mel_energies_are_those_of_voice2faces_files(tmp_path, voice) -> None:
    write_audio(tmp_path / "a.wav", Audio(voice, 16_000))
    made(LogMel.configured("voice2face"), tmp_path / "a.wav", tmp_path / "out")
    found = np.load(tmp_path / "out/a.npy", allow_pickle=False)
    assert found.shape == (1000, 64)
    expected = voice2face_features(Audio(voice, 16_000), Voice2FaceFrontEnd(0.5, vad=True)).numpy()
    np.testing.assert_array_equal(found.T, expected)
    made(LogMel.configured("voice2face", None, ["vad=false"]), tmp_path / "a.wav", tmp_path / "whole")
    once = np.load(tmp_path / "whole/a.npy")[: 4 * 100 + 1]
    np.testing.assert_allclose([once.mean(axis=0), once.std(axis=0)], [np.zeros(64), np.ones(64)], atol=1e-3)


def test_the_sound_of_a_video_is_speech_too(talk: Path, tmp_path: Path) -> None:
    assert Vad().accepts("a.mkv") and not Vad().accepts("a.png") and not Vad.pictures
    assert LogMel().products("s1/a.b.mkv") == ("s1/a.b.npy",)


# ---- enhancement


def test_speech_is_enhanced_as_the_method_does(tmp_path, voice) -> None:
    noisy = (voice + 0.02 * RNG.standard_normal(len(voice))).astype(np.float32)
    write_audio(tmp_path / "a.wav", Audio(noisy, 16_000))
    step = Enhance.configured("wiener")
    step.check()
    made(step, tmp_path / "a.wav", tmp_path / "out")
    method = Wiener(step.plan().settings.config)
    method.load("cpu")
    np.testing.assert_array_equal(read_audio(tmp_path / "out/a.wav").samples, method.enhance(noisy).astype(np.float32))


def test_what_the_method_depends_on_is_part_of_the_settings() -> None:
    wiener = Enhance.configured("wiener")
    assert wiener.identity() == Enhance.configured("wiener", None, ["device=cpu"]).identity()
    assert wiener.identity() != Enhance.configured("wiener", None, ["seed=1"]).identity()
    assert Enhance(method="flowavse").identity()["weights_sha256"]
    warm = Enhance.configured("deepfilternet", None, ['settings=["warm_up=true"]'])
    assert warm.identity()["settings"]["warm_up"] is True


def test_methods_that_look_at_the_face_take_videos_alone() -> None:
    assert Enhance(method="wiener").accepts("a.wav") and Enhance(method="wiener").accepts("a.mp4")
    assert not Enhance(method="flowavse").accepts("a.wav") and Enhance(method="flowavse").accepts("a.mp4")


@pytest.mark.parametrize("method", ["lipdiffuser", "sf2f", "clean"])
def test_methods_that_enhance_nothing_are_refused(method: str) -> None:
    with pytest.raises(UsageError, match="enhances no speech"):
        Enhance(method=method).identity()
    with pytest.raises(UsageError, match="Unknown method"):
        Enhance(method="wienr").check()


def test_a_long_name_keeps_both_of_its_ends_on_a_sheet():
    from benchmark.preparation.sheets import _fitting

    assert _fitting("bbaf2n.mpg") == "bbaf2n.mpg"
    assert _fitting("id2_vcd_swwp2s.mpg") == "id2_v..p2s.mpg"
