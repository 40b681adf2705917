"""Channel selections (models.selection) in a training: their temperature, and how much they select."""

from __future__ import annotations

import torch
from torch import nn

from models.selection import ChannelSelection
from training.distributed import Process

NEARLY = 0.01
"""A selection of less than this share of the channels, or of all but it, selects nothing."""


class Selections:
    """Every channel selection in a module.

    Args:
        module: that is trained.
        start: temperature of the first step.
        end: temperature of the last step; in between it falls by the same factor every step.
        process: this one.
    """

    def __init__(self, module: nn.Module, start: float, end: float, process: Process) -> None:
        self._found = {n: m for n, m in module.named_modules() if isinstance(m, ChannelSelection)}
        self._start, self._end = start, end
        self._process = process

    def anneal(self, step: int, steps: int) -> None:
        """Set the temperature of a step, from 0."""
        value = self._start * (self._end / self._start) ** (step / max(1, steps - 1))
        for selection in self._found.values():
            selection.temperature.fill_(value)

    def take(self) -> tuple[dict[str, float], tuple[str, ...]]:
        """Shares of channels selected since the last time, by name, and warnings of saturated ones.

        A branch of a network has one share, the mean over its selections.
        """
        if not self._found:
            return {}, ()
        means = torch.stack([s.selected / s.passes.clamp_min(1) for s in self._found.values()])
        shares = dict(zip(self._found, self._process.all_reduce_mean(means).tolist(), strict=True))
        warnings = tuple(_warning(name, share) for name, share in shares.items() if _saturated(share))
        for selection in self._found.values():
            selection.selected.zero_()
            selection.passes.zero_()
        groups: dict[str, list[float]] = {}
        for name, share in shares.items():
            groups.setdefault(_title(name), []).append(share)
        return {title: sum(each) / len(each) for title, each in groups.items()}, warnings

    def state(self) -> list[list[float]]:
        """What `take` will count, for a checkpoint."""
        return [[float(s.selected), float(s.passes)] for s in self._found.values()]

    def restore(self, state: list[list[float]]) -> None:
        """Go on from what `state` gave."""
        for selection, (selected, passes) in zip(self._found.values(), state, strict=True):
            selection.selected.fill_(selected)
            selection.passes.fill_(passes)


def _title(name: str) -> str:
    parts = name.split(".")
    return f"channels {int(parts[1]) + 1}" if parts[0] == "branches" else "channels"


def _saturated(share: float) -> bool:
    return not NEARLY <= share <= 1 - NEARLY


def _warning(name: str, share: float) -> str:
    what = "no channel is left to attend by" if share < 0.5 else "this is plain self-attention"
    return (
        f"{name} selects {100 * share:.1f} % of the channels: {what}. Another temperature, a lower learning "
        "rate or the loss ibb may help"
    )
