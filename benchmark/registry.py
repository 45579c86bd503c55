"""Names to classes, without importing anything: `sf2f` is the string `baselines.sf2f.method:SF2F`.

Outside packages add names through the entry-point groups `facevoice_bench.methods`, `.metrics` and `.datasets`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.errors import MissingDependency, UnknownName, did_you_mean


@dataclass
class Registry:
    """One kind of name."""

    kind: str
    """`method`, `metric`, `dataset`; its plural is the entry-point group."""
    builtin: dict[str, Entry]
    extensible: bool = True
    """Whether plug-ins are looked for."""
    hidden: list[str] = field(default_factory=list)
    """Plug-ins that cannot be reached because their name is taken."""
    _all: dict[str, Entry] | None = field(default=None, repr=False)

    @property
    def entries(self) -> dict[str, Entry]:
        """Built-in names first, then those of installed plug-ins; a plug-in cannot replace a built-in."""
        if self._all is None:
            from importlib.metadata import entry_points

            found: dict[str, Entry] = {}
            for point in entry_points(group=f"facevoice_bench.{self.kind}s") if self.extensible else ():
                origin = f"{point.dist.name} {point.dist.version}" if point.dist else "a plug-in"
                if point.name in self.builtin or point.name in found:
                    before = found[point.name].origin if point.name in found else "a built-in one"
                    self.hidden.append(f"{self.kind} '{point.name}' from {origin} is hidden by {before} of that name")
                else:
                    found[point.name] = Entry(point.value, "", origin=origin)
            self._all = {**found, **self.builtin}
        return self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def entry(self, name: str) -> Entry:
        if name in self.entries:
            return self.entries[name]
        raise UnknownName(
            f"Unknown {self.kind} '{name}'.{did_you_mean(name, self.entries)} "
            f"List them with: python -m benchmark list {self.kind}s"
        )

    def described(self, name: str) -> Entry:
        """The entry with its title and task, for which a plug-in has to be imported.

        Raises:
            BrokenPlugIn: it is not what its kind needs.
        """
        entry = self.entry(name)
        if not entry.origin:
            return entry
        from benchmark import plug_ins

        title, task = plug_ins.described(self.kind, name, entry.target, entry.origin)
        return replace(entry, title=title, task=task)

    def load(self, name: str) -> Any:
        """Import what the name stands for.

        Raises:
            MissingDependency: a package that it needs is not installed.
            BrokenPlugIn: a plug-in that is not what its kind needs.
        """
        entry = self.entry(name)
        if entry.origin:
            from benchmark import plug_ins

            return plug_ins.load(self.kind, name, entry.target, entry.origin)
        module, _, attribute = entry.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            top = (error.name or "").partition(".")[0]
            if top in ("benchmark", "baselines", "metrics"):
                raise
            raise MissingDependency(f"{self.kind} '{name}' needs the package {top}: pip install {top}") from error


@dataclass(frozen=True)
class Entry:
    """A name's target and its one-line description, so that listing imports nothing.

    A plug-in's title and task stand in its class: `Registry.described` reads them.
    """

    target: str
    title: str
    """Begins with `floor` or `ceiling` and a colon where a method stands in tables only to be compared with."""
    task: str = ""
    origin: str = ""
    """Distribution and version that a plug-in comes with; empty for a built-in."""


methods = Registry(
    "method",
    {
        "sf2f": Entry("baselines.sf2f.method:SF2F", "SF2F, Speech Fusion to Face (Bai et al. 2020)", "speech2face"),
        "voice2face": Entry("baselines.voice2face.method:Voice2Face", "voice2face (Wen et al. 2019)", "speech2face"),
        "avp_gan": Entry("baselines.avp_gan.method:AVPGAN", "AVP-GAN (Mao et al. 2024)", "speech2face"),
        "speech2face_ddpm": Entry(
            "baselines.speech2face_ddpm.method:Speech2FaceDDPM",
            "Speech-to-face by a cascade of diffusion models (Kato & Hashimoto 2023)",
            "speech2face",
        ),
        "flowavse": Entry(
            "baselines.flowavse.method:FlowAVSE",
            "FlowAVSE, flow matching (Jung et al. 2024)",
            "av_enhancement, av_separation",
        ),
        "avdiffuss": Entry(
            "baselines.avdiffuss.method:AVDiffuSS",
            "AVDiffuSS, diffusion (Lee et al. 2024)",
            "av_enhancement, av_separation",
        ),
        "sgmse": Entry(
            "baselines.sgmse.method:SGMSE",
            "SGMSE+, diffusion without a face (Richter et al. 2023)",
            "av_enhancement, lip2speech",
        ),
        "lipdiffuser": Entry(
            "baselines.lipdiffuser.method:LipDiffuser",
            "LipDiffuser, speech from lips (de Oliveira et al. 2025)",
            "lip2speech",
        ),
        "outputs": Entry(
            "baselines.outputs.method:Outputs",
            "outputs of a system from elsewhere: a folder of files, or a command",
            "speech2face, av_enhancement, av_separation, lip2speech",
        ),
        "noisy": Entry(
            "baselines.reference_speech:Noisy",
            "floor: the mixture as it is",
            "av_enhancement, av_separation, lip2speech",
        ),
        "clean": Entry(
            "baselines.reference_speech:Clean", "ceiling: the clean speech", "av_enhancement, av_separation, lip2speech"
        ),
        "chance": Entry("baselines.reference:Chance", "floor: a face of the training split at random", "speech2face"),
        "mean_face": Entry("baselines.reference:MeanFace", "floor: mean of the training faces", "speech2face"),
        "ground_truth": Entry("baselines.reference:GroundTruth", "ceiling: a true face of the speaker", "speech2face"),
        "linear": Entry(
            "baselines.linear.method:Linear", "floor: ridge regression from the speech's statistics", "speech2face"
        ),
        "wiener": Entry(
            "baselines.wiener.method:Wiener",
            "floor: Wiener filter without a face (Ephraim and Malah 1984)",
            "av_enhancement, av_separation, lip2speech",
        ),
        "deepfilternet": Entry(
            "baselines.deepfilternet.method:DeepFilterNet",
            "DeepFilterNet3, without a face (Schröter et al. 2023)",
            "av_enhancement, av_separation, lip2speech",
        ),
        "mean_face_by_sex": Entry(
            "baselines.reference:MeanFaceBySex", "floor: mean training face of the true sex", "speech2face"
        ),
        "talkers_oracle": Entry(
            "baselines.talkers_oracle:Oracle",
            "ceiling on Talkers: best face from the true voice traits",
            "speech2face",
        ),
    },
)


def role(method: str) -> str:
    """`floor` or `ceiling` for a method that stands in tables only to be compared with, `method` for any other name.

    >>> role("linear"), role("talkers_oracle"), role("sf2f")
    ('floor', 'ceiling', 'method')
    """
    title = methods.builtin[method].title if method in methods.builtin else ""
    found = re.match(r"(floor|ceiling)\b[^:]*: ", title)
    return found[1] if found else "method"


metrics = Registry(
    "metric",
    {
        "face_similarity": Entry(
            "metrics.faces.similarity:FaceSimilarity", "face_cosine, face_l1, mismatched pairs, ROC area", "speech2face"
        ),
        "retrieval": Entry(
            "metrics.faces.retrieval:Retrieval",
            "recall_at_{1,2,5,10,20,50}: galleries of 100, full, people alike",
            "speech2face",
        ),
        "vggface_score": Entry(
            "metrics.faces.vggface_score:VGGFaceScore", "VGGFace score (SF2F, Sec. 5)", "speech2face"
        ),
        "sex_agreement": Entry(
            "metrics.faces.sex_agreement:SexAgreement", "share of faces whose sex is the speaker's", "speech2face"
        ),
        "age_agreement": Entry(
            "metrics.faces.age_agreement:AgeAgreement",
            "age_{r,error,decade}_{face,label}: age in the face against the speaker's",
            "speech2face",
        ),
        "face_detection_rate": Entry(
            "metrics.faces.detection:FaceDetectionRate", "share of outputs in which a face is found", "speech2face"
        ),
        "identity_bits": Entry(
            "metrics.faces.identity_bits:IdentityBits", "bits that faces tell of who speaks", "speech2face"
        ),
        "craniofacial": Entry(
            "metrics.faces.craniofacial:Craniofacial",
            "craniofacial_{MEASURE}{,_p}: eleven measures of the face against the true one's",
            "speech2face",
        ),
        "pesq_wb": Entry("metrics.speech.pesq:PesqWb", "PESQ, wide band (P.862.2), MOS-LQO", "speech"),
        "pesq_nb": Entry("metrics.speech.pesq:PesqNb", "PESQ, narrow band (P.862.1), MOS-LQO", "speech"),
        "stoi": Entry("metrics.speech.stoi:Stoi", "stoi, estoi: short-time objective intelligibility", "speech"),
        "si_sdr": Entry("metrics.speech.si_sdr:SiSdr", "scale-invariant SDR, dB; means kept", "speech"),
        "si_snr": Entry("metrics.speech.si_sdr:SiSnr", "scale-invariant SNR, dB; means removed", "speech"),
        "sdr": Entry("metrics.speech.sdr:Sdr", "SDR of BSS-eval, dB; a filter of 512 taps allowed", "speech"),
        "dnsmos": Entry(
            "metrics.speech.dnsmos:Dnsmos", "dnsmos_{p808,sig,bak,ovrl}: predicted opinion scores", "speech"
        ),
        "nisqa": Entry(
            "metrics.speech.nisqa:Nisqa", "nisqa_{mos,noi,dis,col,loud}: predicted opinion scores", "speech"
        ),
        "wer": Entry("metrics.speech.word_errors:WordErrors", "wer, cer: corpus rates with S, D, I", "speech"),
        "wer_by_clip": Entry(
            "metrics.speech.word_errors:WordErrorsByClip", "mean over clips of each clip's word error rate", "speech"
        ),
        "lps": Entry(
            "metrics.speech.lps:LevenshteinPhonemeSimilarity",
            "lps, lps_char: phonemes against the clean signal's",
            "speech",
        ),
        "speaker_similarity": Entry(
            "metrics.speech.speaker_similarity:SpeakerSimilarity", "cosine of speaker embeddings", "speech"
        ),
        "delay": Entry("metrics.speech.delay:DelayFound", "delay_ms: how late estimates are", "speech"),
        "lip_sync": Entry(
            "metrics.speech.lip_sync:LipSync", "lip_sync_{ms,strength}: speech against the mouth's opening", "speech"
        ),
        "rtf": Entry("metrics.speech.rtf:RealTimeFactor", "real-time factor: wall time over audio time", "speech"),
    },
)

CRANIOFACIAL = (
    *("upper_lip_height", "lateral_upper_lip_height", "jaw_width", "nose_height", "nose_width", "labio_oral_region"),
    *("mandibular_index", "intercanthal_index", "nasal_index", "vermilion_height_index", "mouth_face_width_index"),
    "random_pairs",
)
"""What the metric of that name correlates."""

NUMBERS = {
    **{f"face_{part}": "face_similarity" for part in ("cosine", "cosine_mismatched", "l1", "auc")},
    **{
        f"{chance}recall_at_{k}{gallery}{by}": "retrieval"
        for by in ("", "_by_recording")
        for chance in ("", "chance_")
        for gallery, ks in {"": (1, 2, 5, 10, 20, 50), "_full": (1, 5, 10), "_within": (1, 5, 10)}.items()
        for k in ks
    },
    "vggface_score_split_std": "vggface_score",
    "sex_agreement_face": "sex_agreement",
    **{f"age_{part}_{kind}": "age_agreement" for part in ("r", "error", "decade") for kind in ("face", "label")},
    **{f"craniofacial_{measure}{p}": "craniofacial" for measure in CRANIOFACIAL for p in ("", "_p")},
    "estoi": "stoi",
    **{f"dnsmos_{part}": "dnsmos" for part in ("p808", "sig", "bak", "ovrl")},
    **{f"nisqa_{part}": "nisqa" for part in ("mos", "noi", "dis", "col", "loud")},
    **{name: "wer" for name in ("cer", "wer_substitutions", "wer_deletions", "wer_insertions")},
    "lps_char": "lps",
    "delay_ms": "delay",
    **{f"lip_sync_{part}": "lip_sync" for part in ("ms", "strength")},
}
"""Numbers that are asked for by name, and the metric that yields them with others."""


def metric_of(number: str) -> str:
    """The metric that yields a number, which may be its own name: `estoi` is one of `stoi`'s.

    Raises:
        UnknownName: neither a metric nor a number of one.
    """
    if number not in metrics and number not in NUMBERS:
        raise UnknownName(
            f"Unknown metric '{number}'.{did_you_mean(number, [*metrics, *NUMBERS])} "
            "List them with: python -m benchmark list metrics"
        )
    return NUMBERS.get(number, number)


datasets = Registry(
    "dataset",
    {
        "talkers": Entry("benchmark.datasets.talkers.corpus:Talkers", "generated talking people; the embedded default"),
        "hq_voxceleb": Entry(
            "benchmark.datasets.hq_voxceleb:HQVoxCeleb", "HQ-VoxCeleb (SF2F), its published layout and split"
        ),
        "vggface_voxceleb1": Entry(
            "benchmark.datasets.vggface_voxceleb1:VGGFaceVoxCeleb1", "filtered VGGFace with VoxCeleb1 (voice2face)"
        ),
        "voxceleb1": Entry("benchmark.datasets.voxceleb1:VoxCeleb1", "VoxCeleb1: voices, with sex and nationality"),
        "avspeech": Entry(
            "benchmark.datasets.avspeech:AVSpeech", "AVSpeech: clips and faces by its lists (the DDPM paper)"
        ),
        "ffhq": Entry("benchmark.datasets.ffhq:FFHQ", "FFHQ: portraits alone, to train on (the DDPM paper)"),
        "voxceleb2": Entry(
            "benchmark.datasets.voxceleb2:VoxCeleb2",
            "VoxCeleb2 with its videos, AudioSet noise lists and pair lists",
        ),
        "lrs3": Entry("benchmark.datasets.lrs3:LRS3", "LRS3, with AudioSet noise lists and pair lists"),
        "lrs3_chime3": Entry(
            "benchmark.datasets.lrs3_chime3:LRS3CHiME3", "LRS3 in the noise of CHiME-3 at six SNRs (LipDiffuser)"
        ),
        "tcd_timit": Entry("benchmark.datasets.tcd_timit:TCDTIMIT", "TCD-TIMIT: volunteers and lipspeakers, in front"),
        "ntcd_timit": Entry("benchmark.datasets.ntcd_timit:NTCDTIMIT", "NTCD-TIMIT: TCD-TIMIT in noise, as published"),
        "librispeech": Entry(
            "benchmark.datasets.librispeech:LibriSpeech",
            "LibriSpeech: sound alone, to train on (LipDiffuser)",
        ),
        "audioset": Entry("benchmark.datasets.audioset:AudioSet", "AudioSet: noise alone, by its lists of segments"),
        "chime3": Entry("benchmark.datasets.chime3:CHiME3", "CHiME-3: recordings of noise alone"),
        "grid": Entry("benchmark.datasets.grid:Grid", "the GRID corpus, or a folder of its clips"),
        "folder": Entry(
            "benchmark.datasets.folder:Folder", "your own recordings, portraits and videos, a folder per person"
        ),
    },
)

trainers = Registry(
    "trainer",
    {
        "sf2f": Entry("baselines.sf2f.training:recipes", "encoder and decoder, then the fuser", "speech2face"),
        "voice2face": Entry(
            "baselines.voice2face.training:recipes", "voice encoder, then generator and critics", "speech2face"
        ),
        "avp_gan": Entry(
            "baselines.avp_gan.training:recipes", "voice encoder, generator and critics, enhancement", "speech2face"
        ),
        "speech2face_ddpm": Entry(
            "baselines.speech2face_ddpm.training:recipes", "encoder, decoder and super-resolution", "speech2face"
        ),
        "flowavse": Entry("baselines.flowavse.training:recipes", "both stages and their encoders", "av_enhancement"),
        "avdiffuss": Entry("baselines.avdiffuss.training:recipes", "both stages and their encoders", "av_enhancement"),
        "sgmse": Entry("baselines.sgmse.training:recipes", "the score model", "av_enhancement"),
        "lipdiffuser": Entry(
            "baselines.lipdiffuser.training:recipes", "visual encoder, vocoder, denoiser", "lip2speech"
        ),
    },
    extensible=False,
)

front_ends = Registry(
    "front-end",
    {
        "sf2f": Entry("baselines.layers.front_ends:SF2F", "pauses and 40 log-mel energies as SF2F's code has them"),
        "voice2face": Entry(
            "baselines.layers.front_ends:VOICE2FACE", "pauses and 64 log-mel energies as voice2face's code has them"
        ),
    },
    extensible=False,
)
"""What `data prepare` makes of whole recordings."""
