"""Settings of a method: dataclass defaults < preset < `--config file.toml` < `--set key=value`."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.datasets.population import Population
from benchmark.errors import InvalidConfig, UnknownName, UsageError, did_you_mean
from benchmark.text_files import read_text
from benchmark.types import Sample

Made = typing.TypeVar("Made")


@dataclass(frozen=True)
class Presets:
    """The named settings that a method ships in `presets.toml` beside its code."""

    folder: Path
    default: str | None = None
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def beside(cls, folder: Path) -> Presets:
        path = folder / "presets.toml"
        if not path.is_file():
            return cls(folder)
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        default = tables.pop("default", None)
        return cls(folder, default or next(iter(tables), None), tables)

    def table(self, name: str | None) -> Mapping[str, Any]:
        name = name or self.default
        if name is None:
            return {}
        if name not in self.tables:
            known = ", ".join(self.tables) or "none"
            raise UnknownName(f"Unknown preset '{name}'.{did_you_mean(name, self.tables)} Presets: {known}")
        return self.tables[name]


@dataclass(frozen=True)
class Settings:
    """A method's configuration, resolved."""

    preset: str | None
    config: Any
    """An instance of the method's `Config`."""
    weights: Path | str | None
    """A file beside the method, or a name in the table of weights; None where the preset has none."""
    training: Mapping[str, Any]
    """The preset's `training` table."""
    population: Population = Population()
    """The preset's `population` table."""
    drawn_people: str = ""
    """Dataset of drawn people who are all that the preset's weights learnt; empty where that is not so."""

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self.config)

    def for_identity(self) -> dict[str, Any]:
        """The same, with files by their names alone: they may lie anywhere, and which they are their hashes tell."""
        return self.as_dict() | {name: Path(text).name for name, text in self.files().items()}

    def files(self) -> dict[str, str]:
        """The settings that name files or folders, where they name any: `names_files` is in their fields' metadata."""
        fields = (item for item in dataclasses.fields(self.config) if item.metadata.get("names_files"))
        return {item.name: text for item in fields if (text := getattr(self.config, item.name))}

    def files_of_samples(self) -> dict[str, Callable[[Path, Sample], Path | None]]:
        """Of these, the ones that name a folder with files of single samples, to what finds a sample's file in it."""
        found = {item.name: item.metadata.get("file_of_sample") for item in dataclasses.fields(self.config)}
        return {name: find for name in self.files() if (find := found[name])}


def resolve(
    config_class: type, presets: Presets, preset: str | None = None, file: Path | None = None, sets: Sequence[str] = ()
) -> Settings:
    """Combine the layers and check each key and type.

    Raises:
        InvalidConfig: an unknown key, or a value that the field's type does not take.
        UnknownName: no such preset.
    """
    table = dict(presets.table(preset))
    weights = table.pop("weights", None)
    drawn_people = table.pop("drawn_people", "")
    training = dict(table.pop("training", {}))
    values: dict[str, Any] = {}
    drawn: dict[str, Any] = {}
    origin = f"preset '{preset or presets.default}'"
    drawn |= checked_fields(Population, table.pop("population", {}), f"{origin}, population")
    values |= checked_fields(config_class, table, origin)
    if file is not None:
        try:
            given = tomllib.loads(read_text(file))
        except UsageError as error:
            raise InvalidConfig(f"--config {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise InvalidConfig(f"--config {file} is not TOML: {error}") from error
        training.update(given.pop("training", {}))
        drawn |= checked_fields(Population, given.pop("population", {}), f"{file}, population")
        values |= checked_fields(config_class, given, str(file))
    for item in sets:
        key, equals, text = item.partition("=")
        if not equals:
            raise InvalidConfig(f"--set takes key=value, got '{item}'")
        if key.startswith("training."):
            training[key.removeprefix("training.")] = literal(text)
        elif key.startswith("population."):
            _set_population(drawn, key, text)
        else:
            is_text = typing.get_type_hints(config_class).get(key) is str  # a folder may be called 2026-11-27
            values |= checked_fields(config_class, {key: _text(text) if is_text else literal(text)}, "--set")
    try:
        config = config_class(**values)
    except (TypeError, ValueError) as error:
        raise InvalidConfig(f"{config_class.__name__}: {error}") from error
    if weights is not None and (presets.folder / str(weights)).suffix:
        weights = presets.folder / str(weights)
    return Settings(preset or presets.default, config, weights, training, Population(**drawn), drawn_people)


def population_of(sets: Sequence[str]) -> Population:
    """The people that `--set population.KEY=VALUE` alone asks for.

    Raises:
        InvalidConfig: another key, or a value that the field's type does not take.
    """
    drawn: dict[str, Any] = {}
    for item in sets:
        key, equals, text = item.partition("=")
        if not equals or not key.startswith("population."):
            raise InvalidConfig(f"--set takes population.KEY=VALUE here, got '{item}'")
        _set_population(drawn, key, text)
    return Population(**drawn)


def literal(text: str) -> Any:
    """A value as TOML writes it, or the bare text: `5`, `0.5`, `true`, `[1, 2]`, `right`."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _text(text: str) -> str:
    """A text as TOML writes it, or as it is."""
    return value if isinstance(value := literal(text), str) else text


def _set_population(drawn: dict[str, Any], key: str, text: str) -> None:
    drawn.update(checked_fields(Population, {key.removeprefix("population."): literal(text)}, "--set population"))


def checked_fields(kind: type, given: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """What a table gives for fields of a dataclass, each of its field's type.

    Raises:
        InvalidConfig: an unknown key, or a value that the field's type does not take; begins with `origin`.
    """
    hints = typing.get_type_hints(kind)
    names = [item.name for item in dataclasses.fields(kind)]
    values = {}
    for key, value in given.items():
        if key not in names:
            known = ", ".join(names) or "none"
            raise InvalidConfig(f"{origin}: unknown key '{key}'.{did_you_mean(key, names)} Known keys: {known}")
        values[key] = _coerce(value, hints[key], f"{origin}: {key}")
    return values


def checked(kind: type[Made], given: Any, where: str) -> Made:
    """An instance of a dataclass from a table, with each key and type checked.

    Raises:
        InvalidConfig: no table, an unknown key, a value that the field's type does not take, or a field is missing.
    """
    if not isinstance(given, dict):
        raise InvalidConfig(f"{where}: expected a table, got {given!r}")
    values = checked_fields(kind, given, where)
    missing = [
        item.name
        for item in dataclasses.fields(kind)  # type: ignore[arg-type]
        if item.name not in values
        and item.default is dataclasses.MISSING
        and item.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InvalidConfig(f"{where}: lacks {', '.join(repr(name) for name in missing)}")
    return kind(**values)


def _coerce(value: Any, hint: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if type(None) in options and value in (None, "none"):
            return None
        for option in options:
            if option is not type(None):
                try:
                    return _coerce(value, option, where)
                except InvalidConfig:
                    continue
        raise InvalidConfig(f"{where} = {value!r} is not {hint}")
    if origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
        raise InvalidConfig(f"{where} = {value!r}; expected one of {', '.join(map(repr, typing.get_args(hint)))}")
    if origin is tuple and isinstance(value, list | tuple):
        inner = typing.get_args(hint)[0]
        return tuple(_coerce(item, inner, where) for item in value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    expected = getattr(hint, "__name__", str(hint))
    raise InvalidConfig(f"{where} = {value!r} ({type(value).__name__}); expected {expected}")
