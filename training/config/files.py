"""Experiments as YAML files: read with overrides, written out with every key and its meaning."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from training.config.classifier import ClassifierConfig
from training.config.embedder import ExperimentConfig
from training.config.reranker import RerankerExperimentConfig

WIDTH = 100
KINDS: dict[type[BaseModel], str] = {
    ExperimentConfig: "`lka-reid train keys`",
    RerankerExperimentConfig: "`lka-reid train keys reranker`",
    ClassifierConfig: "`lka-reid train keys classifier`",
}
RENAMED = {"batch.pictures": "batch.images"}
"""Keys of earlier versions and what they are called now: refused with the new name."""
C = TypeVar("C", bound=BaseModel)


class ConfigError(Exception):
    """A configuration that cannot be used; the message names the key and the remedy."""


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read an embedder's experiment; see `load_as`."""
    return load_as(ExperimentConfig, path, overrides)


def load_as(kind: type[C], path: Path | None, overrides: Sequence[str] = ()) -> C:
    """Read an experiment of some kind.

    Args:
        kind: one of `KINDS`.
        path: a YAML file; keys that it leaves out have their defaults. None: all of them.
        overrides: `section.key=value` each, the value as YAML spells it; a later one wins.

    Raises:
        ConfigError: no such file, no YAML, an unknown key (with the nearest known one) or a wrong value.
    """
    values = _read(path) if path is not None else {}
    for override in overrides:
        _set(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        where = f"{path}: " if path is not None else ""
        raise ConfigError(where + "; ".join(_message(kind, dict(e)) for e in error.errors())) from None


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe one
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, for instance 'seed: 0'")
    return values


def _set(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {override}: expected section.key=value")
    try:
        value = yaml.safe_load(text) if text.strip() else ""
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: {text!r} is no value that YAML knows") from None
    for key in keys[:-1]:
        inner = values.get(key)
        if inner is None:
            inner = values[key] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {key} is a value and has no keys of its own")
        values = inner
    values[keys[-1]] = value


def _message(kind: type[BaseModel], error: dict[str, Any]) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        # Our own validators name the value themselves.
        named = error["type"] == "value_error" or isinstance(error["input"], dict)
        got = "" if named else f", not {error['input']!r}"
        return f"{name or 'the file'}: {error['msg'].removeprefix('Value error, ')}{got}"
    if name in RENAMED:
        return f"{name}: no such key; it is called {RENAMED[name]} now"
    keys = [key for key, *_ in describe(kind)]
    known = [*dict.fromkeys(key.split(".")[0] for key in keys), *keys]
    # A key in the wrong section before one that is merely spelt like it.
    near = [key for key in known if key.split(".")[-1] == name.split(".")[-1]] or difflib.get_close_matches(
        name, known, 1, 0.5
    )
    hint = f"did you mean {near[0]}?" if near else f"{KINDS[kind]} lists all keys"
    return f"{name}: no such key; {hint}"


def describe(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Every key of a configuration: its dotted name, type, default and meaning."""
    for name, field in _ordered(model):
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from describe(kind, f"{prefix}{name}.")
            continue
        default = field.get_default(call_default_factory=True, validated_data={})
        yield f"{prefix}{name}", _kind(kind), _plain(default), field.description or ""
        if (section := _left_out(field)) is not None:
            yield from describe(section, f"{prefix}{name}.")


def _left_out(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a field may have, where it has none by default."""
    if field.default is not None:
        return None
    kinds = (kind for kind in get_args(field.annotation) if isinstance(kind, type))
    return next((kind for kind in kinds if issubclass(kind, BaseModel)), None)


def _ordered(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """The fields: plain values before sections, a name before all."""

    def place(item: tuple[str, FieldInfo]) -> int:
        kind = item[1].annotation
        section = isinstance(kind, type) and issubclass(kind, BaseModel)
        return 0 if item[0] == "name" else 2 if section else 1

    return sorted(model.model_fields.items(), key=place)


def _kind(annotation: Any) -> str:
    """A type as its values are spelled in YAML."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(str(argument) for argument in arguments)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin is tuple:
        inner = [_kind(a) for a in arguments if a is not Ellipsis]
        return f"[{inner[0]}, ...]" if Ellipsis in arguments else f"[{', '.join(inner)}]"
    if arguments:
        return " | ".join("null" if a is type(None) else _kind(a) for a in arguments)
    if issubclass(annotation, BaseModel):
        return "{" + ", ".join(annotation.model_fields) + "}"
    return str(annotation.__name__)


def _plain(value: Any) -> str:
    """A value on one line of YAML."""
    plain = to_jsonable_python(value)
    text: str = yaml.safe_dump(
        plain, default_flow_style=True, allow_unicode=True, width=math.inf, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")


def write_config(config: ExperimentConfig | RerankerExperimentConfig | ClassifierConfig) -> str:
    """The whole configuration as YAML, each key with its meaning; `load_as` reads it back the same."""
    lines = [f"# Experiment {config.name}: every key that can be set, and what it means."]
    lines += _lines(config, "")
    return "\n".join(lines) + "\n"


def _lines(config: BaseModel, indent: str) -> Iterator[str]:
    for name, field in _ordered(type(config)):
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            document = (type(value).__doc__ or "").strip().splitlines()[0]
            yield ""
            yield f"{indent}# {document}"
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ")
            continue
        comment = f"  # {field.description}" if field.description else ""
        if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            yield f"{indent}{name}:{comment}"
            yield from (f"{indent}  - {_plain(item)}" for item in value)
            continue
        text = f"{indent}{name}: {_plain(value)}"
        if len(text) + len(comment) > WIDTH:
            yield f"{indent}{comment.strip()}"
            comment = ""
        yield text + comment
        section = _left_out(field)
        if value is None and section is not None:
            # Its keys and their defaults, for whoever wants it.
            yield from (f"{indent}#{line}" for line in _lines(section(), "   ") if line)
