"""What a look at one thing found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


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
