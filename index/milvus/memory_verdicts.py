"""Verdicts of a gallery on Milvus that is open in one process alone; they end with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from index import verdicts
from index.errors import TooManyVerdictsError, UnknownImageError, UnknownVerdictError
from index.milvus.companions import Room
from index.validation import check_limit
from index.verdicts import Decision, Verdict, VerdictPage, digest_of, size_of


@dataclass(slots=True)
class _Probe:
    data: bytes
    media_type: str
    camera_id: str | None


class MemoryVerdicts:
    """See `index.milvus.companions.KeptVerdicts`.

    Args:
        record_of: the number of an image's enrollment; None where it is not enrolled.
        room: what the probes' files take their bytes from.
    """

    def __init__(self, record_of: Callable[[str], int | None], room: Room) -> None:
        self._record_of = record_of
        self._room = room
        self._lock = threading.Lock()
        self._next = 1
        self._probes: dict[str, _Probe] = {}
        self._kept: dict[tuple[str, int], tuple[int, Verdict]] = {}

    def decide(self, decision: Decision) -> Verdict:
        """Keep a verdict. Raises UnknownImageError, TooManyVerdictsError and QuotaReachedError."""
        record_id = self._record_of(decision.image_id)
        if record_id is None:
            raise UnknownImageError(decision.image_id)
        digest = digest_of(decision.probe)
        with self._lock:
            probe = self._probes.get(digest)
            others = [pair for pair in self._kept if pair[0] == digest and pair[1] != record_id]
            if len(others) >= verdicts.MOST:
                raise TooManyVerdictsError(verdicts.MOST)
            if probe is None:
                self._room.count(self._room.reserve(0, size_of(decision)))
                probe = _Probe(decision.probe, decision.media_type, decision.camera_id)
                self._probes[digest] = probe
            probe.camera_id = decision.camera_id or probe.camera_id
            number = self._kept.get((digest, record_id), (self._next,))[0]
            self._next = max(self._next, number + 1)
            moment = decision.decided_at or datetime.now(UTC)
            verdict = Verdict(
                digest, None, record_id, decision.image_id, decision.kind, moment, decision.decided_by
            )
            self._kept[digest, record_id] = (number, verdict)
            return self._shown(verdict)

    def undo(self, probe: str, image_id: str) -> None:
        """Forget a verdict. Raises UnknownVerdictError."""
        with self._lock:
            for pair, (_, verdict) in list(self._kept.items()):
                if pair[0] == probe and verdict.image_id == image_id:
                    self._drop(pair)
                    return
        raise UnknownVerdictError(probe, image_id)

    def of(self, probe: str) -> tuple[Verdict, ...]:
        """The verdicts on a probe, the first decided first."""
        with self._lock:
            return tuple(self._shown(verdict) for _, verdict in self._ordered() if verdict.probe == probe)

    def page(self, after: int | None = None, limit: int = 100) -> VerdictPage:
        """Up to `limit` verdicts, from the start or after a page's `next`."""
        check_limit(limit)
        with self._lock:
            found = [(number, one) for number, one in self._ordered() if number > (after or 0)]
            shown = tuple(self._shown(one) for _, one in found[:limit])
            return VerdictPage(shown, found[limit - 1][0] if len(found) > limit else None)

    def probe(self, probe: str) -> tuple[bytes, str]:
        """The file of a probe that has verdicts, and its media type. Raises UnknownVerdictError."""
        with self._lock:
            if probe not in self._probes:
                raise UnknownVerdictError(probe, None)
            return self._probes[probe].data, self._probes[probe].media_type

    def forget(self, record_ids: Sequence[int], images: Sequence[bytes] = ()) -> None:
        """Forget the verdicts on these enrollments, and on probes that are files of these images."""
        gone, probes = set(record_ids), set(map(digest_of, images))
        with self._lock:
            for pair in [pair for pair in self._kept if pair[1] in gone or pair[0] in probes]:
                self._drop(pair)

    def _drop(self, pair: tuple[str, int]) -> None:
        del self._kept[pair]
        if all(digest != pair[0] for digest, _ in self._kept):
            probe = self._probes.pop(pair[0])
            self._room.release(0, len(probe.data) + verdicts.MAX_TEXT)

    def _ordered(self) -> list[tuple[int, Verdict]]:
        return sorted(self._kept.values(), key=lambda kept: kept[0])

    def _shown(self, verdict: Verdict) -> Verdict:
        return Verdict(
            verdict.probe,
            self._probes[verdict.probe].camera_id,
            verdict.record_id,
            verdict.image_id,
            verdict.kind,
            verdict.decided_at,
            verdict.decided_by,
        )
