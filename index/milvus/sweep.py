"""Objects and verdicts that no row names: what processes left that died between two writes.

An object is looked at only when it is older than the grace period, which is far longer than an enrollment may
take between its objects and its row; so one that is being enrolled is never taken for one that was left.
Numbers are never drawn twice: an object without a row will not have one later.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from index.milvus.companions import KeptVerdicts
from index.milvus.engine import Engine
from index.milvus.expression import one_of
from index.milvus.row import FOLDERS
from index.milvus.writing import LONGEST_S, existing
from index.objects import Objects, Stored

GRACE_S: Final = 2 * LONGEST_S
PIECE: Final = 1_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed: objects, their bytes, and verdicts."""

    objects: int
    bytes: int
    verdicts: int


def sweep(engine: Engine, objects: Objects, verdicts: KeptVerdicts, grace_s: float = GRACE_S) -> Swept:
    """Remove what no row names and is older than `grace_s`.

    Raises:
        MilvusError, ObjectStoreError: one of them does not answer; what was removed until then is gone.
    """
    before = datetime.now(UTC) - timedelta(seconds=grace_s)
    removed = size = 0
    for folder in FOLDERS:
        old = (one for one in objects.under(folder) if one.written_at < before)
        for piece in _pieces(old):
            left = _left(engine, folder, piece)
            objects.remove([one.name for one in left])
            removed += len(left)
            size += sum(one.size for one in left)
    forgotten = _forget(engine, verdicts)
    if removed or forgotten:
        log.info("%d objects of %d bytes and %d verdicts of no image are removed", removed, size, forgotten)
    return Swept(removed, size, forgotten)


def _left(engine: Engine, folder: str, piece: list[Stored]) -> list[Stored]:
    if folder == "frame":
        named = {row["frame"] for row in engine.rows(one_of("frame", [one.name for one in piece]))}
        return [one for one in piece if one.name not in named]
    numbered = {one.name: _number(one.name) for one in piece}
    there = existing(engine, [number for number in numbered.values() if number is not None])
    return [one for one in piece if numbered[one.name] is not None and numbered[one.name] not in there]


def _forget(engine: Engine, verdicts: KeptVerdicts) -> int:
    after: int | None = None
    count = 0
    while True:
        page = verdicts.page(after, PIECE)
        numbers = {verdict.record_id for verdict in page.verdicts}
        gone = numbers - existing(engine, sorted(numbers))
        if gone:
            verdicts.forget(sorted(gone))
            count += sum(verdict.record_id in gone for verdict in page.verdicts)
        after = page.next
        if after is None:
            return count


def _number(name: str) -> int | None:
    text = name.rpartition("/")[2]
    return int(text) if text.isdecimal() else None


def _pieces(found: Iterable[Stored]) -> Iterator[list[Stored]]:
    source = iter(found)
    while piece := list(islice(source, PIECE)):
        yield piece
