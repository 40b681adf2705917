"""What a look at one thing found, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from models.packages import unusable


class State(StrEnum):
    """How a thing fares; `left_out`: it is not there, and nothing that is set needs it."""

    ok = "ok"
    wrong = "wrong"
    left_out = "left out"


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        what: was looked at.
        state: how it fares.
        found: in words.
        remedy: what to do, "" where nothing is.
    """

    what: str
    state: State
    found: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {"what": self.what, "state": self.state.value, "found": self.found, "remedy": self.remedy}


def ok(what: str, found: str) -> Finding:
    """All is well with it."""
    return Finding(what, State.ok, found)


def wrong(what: str, found: str, remedy: str = "") -> Finding:
    """It does not do what is set."""
    return Finding(what, State.wrong, found, remedy)


def absent(what: str, found: str, remedy: str = "", *, needed: bool) -> Finding:
    """It is not there: wrong where what is set needs it."""
    return Finding(what, State.wrong if needed else State.left_out, found, remedy)


def looked_at(what: str, look: Callable[[], Finding], *, needed: bool = True) -> Finding:
    """What a look finds; where it fails for a package or a file, why, so that the other lines follow."""
    try:
        return look()
    except (ImportError, OSError) as error:
        return failed(what, error, needed=needed)


def failed(what: str, error: Exception, *, needed: bool = True, remedy: str = "") -> Finding:
    """A look that an error ended: the package that it lacks with what brings it, else the error's own words.

    Args:
        what: was looked at.
        error: what ended it.
        needed: what is set needs it.
        remedy: what to do where no package is at fault, and the words name nothing after a semicolon.
    """
    lacking = unusable(error)
    if lacking is not None:
        return absent(what, lacking.what, lacking.remedy, needed=needed)
    reason, _, told = str(error).partition("; ")
    return absent(what, reason or type(error).__name__, told or remedy, needed=needed)
