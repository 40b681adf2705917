"""An answer of a service, and what its problem document says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

MAX_MESSAGE = 1000
PROBLEM = "urn:lka-reid:problem:"


@dataclass(frozen=True)
class Response:
    """An answer that has arrived whole; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def document(self) -> dict[str, Any]:
        """The JSON object that it holds; empty where it holds none."""
        try:
            found = json.loads(self.content)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Problem:
    """A problem document (RFC 9457), as far as a client needs it.

    Attributes:
        message: its detail, field by field where it has fields; never longer than MAX_MESSAGE.
        ours: whether its type is one of this service's.
        differs: of an image id that is enrolled already: what is not as enrolled; None where it is not said.
        vehicles: what a frame shows, where it does not say which vehicle is meant.
        kind: the name that ends its type, where that is one of this service's.
        request_id: finds the request in the service's log; empty where it is not said.
    """

    message: str
    ours: bool
    differs: tuple[str, ...] | None
    vehicles: Sequence[Mapping[str, Any]] = ()
    kind: str = ""
    request_id: str = ""

    @classmethod
    def of(cls, response: Response) -> Problem | None:
        """The problem that an answer holds; None where it holds none."""
        document = response.document()
        if response.status < 400 or not isinstance(document.get("detail"), str):
            return None
        names = document.get("differs")
        named = str(document.get("type", ""))
        return cls(
            message=_message(document)[:MAX_MESSAGE],
            ours=named.startswith(PROBLEM),
            kind=named.removeprefix(PROBLEM) if named.startswith(PROBLEM) else "",
            differs=tuple(map(str, names)) if isinstance(names, list) else None,
            request_id=str(document.get("request_id", "")),
            vehicles=vehicles if are_vehicles(vehicles := document.get("vehicles")) else (),
        )


def are_vehicles(found: object) -> TypeGuard[list[dict[str, Any]]]:
    """Whether this is a list of vehicles as `POST /detect` answers them."""
    return isinstance(found, list) and all(
        isinstance(vehicle, dict)
        and isinstance(vehicle.get("type"), str)
        and isinstance(vehicle.get("score"), int | float)
        and isinstance(box := vehicle.get("box"), list)
        and len(box) == 4
        and all(isinstance(side, int) for side in box)
        for vehicle in found
    )


def _message(problem: Mapping[str, Any]) -> str:
    detail = str(problem["detail"])
    errors = problem.get("errors")
    faults = [fault for fault in errors if isinstance(fault, dict)] if isinstance(errors, list) else []
    # What is wrong with an image's bytes is said by the detail already.
    if not faults or faults[0].get("message") == detail:
        return detail
    return "; ".join(f"{fault.get('field')} {fault.get('message')}" for fault in faults)
