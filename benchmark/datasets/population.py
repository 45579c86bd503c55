"""How many people to draw for a training, and what of each."""

from __future__ import annotations

from dataclasses import dataclass, fields

from benchmark.errors import InvalidConfig

TRAINING, VALIDATION = "population", "population_val"
"""The parts of a population: their names in manifests and messages."""

_TAKEN = {"speech2face": ("sentences", "portraits", "portrait_size"), "lip2speech": ("sentences", "videos")}
"""What is made of a person for a task; for others with lips videos alone."""
_OPTIONAL = {"lip2speech": ("videos",)}
"""What a task can do without: to learn what speech is like nobody has to be seen."""


@dataclass(frozen=True)
class Population:
    """The table `population` of a preset. Of a person is made what the task needs, and nothing else."""

    people: int = 0
    """To train on; 0 for the dataset's own training and validation splits."""
    validation: int = 200
    """Other people, for the measures in a training's log."""
    portraits: int = 2
    """Of each person, where faces are asked for."""
    portrait_size: int = 64
    """Pixels, 16 to 512."""
    sentences: int = 4
    """Recordings of each person, for faces and for lips to speech."""
    videos: int = 2
    """Recordings with video of each training person, where lips are asked for; a validation person has one. With 0,
    `lip2speech` has every recording without."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if (value := getattr(self, field.name)) < 0:
                raise InvalidConfig(f"population.{field.name} = {value}; expected 0 or more")
        if not 16 <= self.portrait_size <= 512:
            raise InvalidConfig(f"population.portrait_size = {self.portrait_size}; expected 16 to 512")

    def taken(self, task: str) -> dict[str, int]:
        """The settings that a task makes use of.

        Raises:
            InvalidConfig: nothing of a kind that the task cannot do without.
        """
        names = _TAKEN.get(task, ("videos",))
        for name in names:
            if not getattr(self, name) and name not in _OPTIONAL.get(task, ()):
                raise InvalidConfig(f"population.{name} = 0; {task} needs at least 1 of each person")
        return {name: getattr(self, name) for name in ("people", "validation", *names)}
