"""Checkpoints of a training: everything that its next step depends on, on disk, whole or not at all.

The tensors go to a safetensors file of their own, everything else to `state.json`, which names that file
with its hash and is moved into place last: that is the commit point. No pickle is written or read.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.manifest import hash_file
from training.atomic import write_json

STATE = "state.json"
FORMAT = 2
SPACING = 60.0
"""Seconds between two checkpoints of a training whose periods are shorter: on a GPU an epoch may take one."""
OWN = ("fused", "foreach")
"""Settings of an optimiser's groups that belong to the device, and not to the training."""


class ResumeError(Exception):
    """What lies in a folder cannot be resumed or used; the message says why and what to do."""


class Checkpoints:
    """The checkpoints of one training in a folder, of which the newest is kept.

    Args:
        folder: made with the first one.
        settings: what the training depends on; a checkpoint of other settings is refused.
        spacing: seconds between two that are made as time goes by; 0: after every period.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], spacing: float = 0.0) -> None:
        self.folder = folder
        self.spacing = spacing
        self._last = time.monotonic()
        self.settings = as_json(settings)

    def exist(self) -> bool:
        """Whether there is one."""
        return (self.folder / STATE).is_file()

    def due(self) -> bool:
        """Whether to save at this period's end: a short period is made again sooner than it is saved."""
        return time.monotonic() - self._last >= self.spacing

    def save(self, step: int, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Write one; a crash at any moment leaves this one or the one before.

        Args:
            step: made so far; names the file.
            tensors: by name.
            values: plain JSON types.
        """
        self._last = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"step-{step:08}.safetensors"
        draft = self.folder / f"{name}.draft"
        # Weights that are shared are stored under each of their names.
        save_file({key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}, draft)
        sha256 = hash_file(draft)
        _move(draft, self.folder / name)
        state = {
            "format": FORMAT,
            "tensors": name,
            "sha256": sha256,
            "step": step,
            "settings": self.settings,
            "values": values,
        }
        draft = self.folder / f"{STATE}.draft"
        draft.write_text(json.dumps(state, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        _move(draft, self.folder / STATE)
        for old in self.folder.glob("step-*.safetensors*"):
            if old.name != name:
                old.unlink()

    def remove(self) -> None:
        """Take them away: the training is over and its result is kept elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def load(self) -> tuple[int, dict[str, Tensor], dict[str, Any]]:
        """The newest one's step, tensors and values.

        Raises:
            ResumeError: there is none, it is damaged, or it was made with other settings.
        """
        path = self.folder / STATE
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            if state["format"] != FORMAT:
                raise ResumeError(f"{path}: is of another version; start again with another --out")
            tensors = self.folder / state["tensors"]
            if hash_file(tensors) != state["sha256"]:
                raise ResumeError(f"{tensors}: is damaged; start again with another --out")
            require_same(path, self.settings, state["settings"])
            return state["step"], load_file(tensors), state["values"]
        except FileNotFoundError as error:
            raise ResumeError(f"{error.filename}: no such file; there is nothing to resume") from None
        except (KeyError, ValueError, SafetensorError) as error:
            raise ResumeError(f"{path}: cannot be read ({error}); start again with another --out") from None


def as_json(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back."""
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return plain


def require_same(path: Path, wanted: dict[str, Any], found: dict[str, Any]) -> None:
    """See that what lies at `path` was made with the wanted settings.

    Raises:
        ResumeError: it was not; the keys that differ are named.
    """
    different = sorted(_differences(as_json(wanted), found))
    if different:
        raise ResumeError(
            f"{path}: was made with other settings ({'; '.join(different)}); "
            "give the same ones, or choose another --out"
        )


def kept(path: Path, settings: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A result that is made once and kept in a JSON file.

    Args:
        path: of the file.
        settings: what the result depends on.
        make: gives it, as plain JSON types.

    Raises:
        ResumeError: the file holds the result of other settings, or cannot be read.
    """
    if not path.exists():
        write_json(path, {**make(), "settings": as_json(settings)})
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        settings_then = found["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise ResumeError(f"{path}: cannot be read ({error}); remove it") from None
    require_same(path, settings, settings_then)
    return found


def _move(draft: Path, path: Path) -> None:
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _differences(wanted: Any, found: Any, name: str = "") -> list[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = sorted({*wanted, *found})
        return [d for k in keys for d in _differences(wanted.get(k), found.get(k), f"{name}.{k}".strip("."))]
    return [] if wanted == found else [f"{name}: now {wanted}, then {found}"]


def pack_optimiser(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """An optimiser's state: tensors by `number.name`, and its groups as plain JSON types."""
    state = optimiser.state_dict()
    tensors = {
        f"optimiser.{number}.{name}": torch.as_tensor(value)
        for number, values in state["state"].items()
        for name, value in values.items()
    }
    return tensors, state["param_groups"]


def unpack_optimiser(
    optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """Give an optimiser over the same parameters the state that `pack_optimiser` made.

    How it computes stays its own: the run may have begun on another device.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, number, name = key.split(".", 2)
            state.setdefault(int(number), {})[name] = value
    own = [{key: group[key] for key in OWN if key in group} for group in optimiser.param_groups]
    groups = [saved | kept for saved, kept in zip(groups, own, strict=True)]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    for parameter, values in optimiser.state.items():
        for name, value in values.items():
            if name != "step" and isinstance(value, Tensor) and value.shape == parameter.shape:
                # In the parameter's own memory layout, as if the run had never been broken off.
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def pack_random_state() -> dict[str, Tensor]:
    """The states of torch's random generators."""
    states = {"random.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["random.cuda"] = torch.cuda.get_rng_state()
    return states


def unpack_random_state(tensors: dict[str, Tensor]) -> None:
    """Set torch's random generators to what `pack_random_state` gave."""
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
