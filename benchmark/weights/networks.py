"""Hands metrics (and perceptual losses) their networks, each loaded once, its weights found and verified first.

What follows a colon in a network's name is another file for it: a path, or a name of the table of weights.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from benchmark.errors import MissingDependency, MissingWeights, UnknownName, did_you_mean

RECOGNITION = "benchmark.runs.recognition"
# name -> (module with `load(path, device)`, name in the table of weights or None where the module finds a carried file)
NETWORKS: dict[str, tuple[str, str | None]] = {
    "dlib": ("metrics.networks.dlib_faces", None),
    "face_landmarks": ("metrics.networks.face_landmarks", None),
    "facenet140": ("metrics.networks.facenet", "facenet_vggface2"),
    "facenet160": ("metrics.networks.facenet", "facenet_vggface2"),
    "vggface2_resnet50": ("metrics.networks.vggface2_resnet50", "vggface2_resnet50"),
    "face_heads": ("metrics.networks.face_heads", None),
    "face_judge": ("metrics.networks.face_judges", None),
    "age_and_gender": ("metrics.networks.age_gender", None),
    "arcface": ("metrics.networks.insightface_pack", "insightface_buffalo_l"),
    "genderage": ("metrics.networks.insightface_pack", "insightface_buffalo_l"),
    "vgg19": ("baselines.layers.vgg19", "vgg19"),
    "arcface18": ("baselines.layers.arcface18", "arcface_resnet18"),
    "dnsmos": ("metrics.networks.dnsmos_models", None),
    "nisqa": ("metrics.networks.nisqa_model", "nisqa"),
    "ge2e": ("metrics.networks.ge2e", None),
    "wespeaker": ("metrics.networks.wespeaker", "wespeaker_resnet221"),
    "talkers_voices": ("benchmark.runs.voices", None),
    "sphinx_grid": (RECOGNITION, None),
    "sphinx_lm": (RECOGNITION, None),
    "sphinx_allphone": (RECOGNITION, None),
    "whisper": (RECOGNITION, "whisper_large_v3"),
    "wav2vec2": (RECOGNITION, "wav2vec2_960h"),
    "wav2vec2_espeak": (RECOGNITION, "wav2vec2_espeak"),
    "quartznet": (RECOGNITION, "quartznet15x5"),
}


JUDGE_OF = {"talkers": "face_heads"}
"""Datasets of drawn people, in which networks trained on photographs read little, and who judges their faces."""
VOICES_OF = {"talkers": "talkers"}
"""Datasets of synthetic voices, which networks trained on recorded ones tell apart less well, and who judges them: a
`speaker_network` of `speaker_similarity`. What is installed never decides."""


TAKEN = {
    "embedder": ("dlib", "facenet140", "facenet160", "arcface"),
    "classifier": ("face_heads", "vggface2_resnet50"),
    "judge": ("face_heads", "age_and_gender", "genderage", "face_judge"),
    "recogniser": ("sphinx_grid", "sphinx_lm", "whisper", "wav2vec2", "quartznet"),
    "phoneme_recogniser": ("sphinx_allphone", "wav2vec2_espeak"),
}
"""Options of this project's metrics that name a network, and the networks that suit."""


def check_suits(option: str, key: str, name: str) -> None:
    """
    Args:
        option: as the user gives it.
        key: of `TAKEN`; what is not there is not looked at.

    Raises:
        UnknownName: the network is none, or one of another kind.
    """
    known, suited = name.partition(":")[0], TAKEN.get(key)
    if suited is not None and known not in suited:
        what = "is of another kind" if known in NETWORKS else "is unknown"
        near = "" if known in NETWORKS else did_you_mean(known, suited)
        raise UnknownName(f"{option}: network '{known}' {what}.{near} It takes: {', '.join(suited)}")


class Networks:
    """A callable: `networks("dlib")` is the loaded network; `networks("whisper:FOLDER")` one of the user's own,
    `networks("facenet160:facenet_casia")` one of the table's others, and `networks("face_heads:talkers")` the heads
    that were fitted to another dataset than that at hand.

    `face_judge` is the judge of sex and age that suits the dataset.

    Raises MissingWeights, saying how to get them, where a published network's file is not on this machine.
    """

    def __init__(self, device: str = "cpu", dataset: str = "talkers") -> None:
        self.device = device
        self.dataset = dataset
        """Whose training split the linear heads on face descriptors were fitted to; empty for pictures of none."""
        self._loaded: dict[str, Any] = {}

    def __call__(self, name: str) -> Any:
        known, _, _ = name.partition(":")
        if known not in NETWORKS:
            raise UnknownName(
                f"Unknown network '{known}'.{did_you_mean(known, NETWORKS)} Networks: {', '.join(NETWORKS)}"
            )
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> Any:
        from benchmark.weights import table as weights

        known, _, own = name.partition(":")
        module_name, _ = NETWORKS[known]
        module = importlib.import_module(module_name)
        if module_name == RECOGNITION:
            return self._recogniser(name, module)
        if known == "face_heads":
            if not (own or self.dataset):
                raise MissingWeights(
                    "face_heads are fitted to the faces of a dataset, and these pictures are of none: say whose heads, "
                    "as face_heads:talkers"
                )
            return module.load(weights.face_heads(own or self.dataset), self.device)
        if name == "face_judge":
            return module.judge_called(self, JUDGE_OF.get(self.dataset, "age_and_gender"))
        path = self.file(name)
        if module_name == "metrics.networks.insightface_pack":
            return module.load(path, self.device, known)
        if known.startswith("facenet"):
            return module.load(path, self.device, protocol=known)
        return module.load(path, self.device)

    def file(self, name: str) -> Path | None:
        """The weights of a network, found and verified; None of one whose module finds a carried file.

        Raises:
            MissingWeights, MissingDependency, ChecksumMismatch: as `weights.table.locate`.
        """
        from benchmark.weights import table as weights

        known, _, own = name.partition(":")
        _, entry = NETWORKS[known]
        return weights.given(own) if own else weights.locate(entry) if entry else None

    def _recogniser(self, name: str, module: Any) -> Any:
        """By the table's weights where no others are named, or by what transformers keeps in its own cache."""
        from benchmark.weights import table as weights

        known, _, own = name.partition(":")
        _, entry = NETWORKS[known]
        if own or entry is None:
            return module.load(f"{known}:{weights.given(own)}" if own in weights.TABLE else name, self.device)
        if weights.is_here(entry):
            return module.load(f"{known}:{weights.locate(entry)}", self.device)
        try:
            return module.load(name, self.device)
        except FileNotFoundError as error:
            raise MissingWeights(weights.how_to_get(entry)) from error
        except ModuleNotFoundError as error:
            raise MissingDependency(f"{error}\n{weights.how_to_get(entry)}") from error
