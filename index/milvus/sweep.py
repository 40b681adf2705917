"""Objects and verdicts that no row names: what processes left that died between two writes.

An object is looked at only when it is older than the grace period, which is far longer than an enrollment may
take between its objects and its row; so one that is being enrolled is never taken for one that was left.
Numbers are never drawn twice: an object without a row will not have one later.

Nothing is removed in a folder that is not known to be this gallery's alone (`index.milvus.place`).
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
from index.milvus.place import OWNER, Place
from index.milvus.row import FOLDERS
from index.milvus.writing import LONGEST_S, existing
from index.objects import Stored

GRACE_S: Final = 2 * LONGEST_S
PIECE: Final = 1_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed: objects, their bytes, and verdicts."""

    objects: int
    bytes: int
    verdicts: int


def sweep(engine: Engine, place: Place, verdicts: KeptVerdicts, grace_s: float = GRACE_S) -> Swept:
    """Remove what no row names and is older than `grace_s`; of objects nothing where they may be others'.

    Raises:
        MilvusError, ObjectStoreError: one of them does not answer; what was removed until then is gone.
    """
    removed = size = 0
    if _is_own(engine, place):
        for left in _left_in(engine, place, datetime.now(UTC) - timedelta(seconds=grace_s)):
            place.objects.remove([one.name for one in left])
            removed += len(left)
            size += sum(one.size for one in left)
    forgotten = _forget(engine, verdicts)
    if removed or forgotten:
        log.info("%d objects of %d bytes and %d verdicts of no image are removed", removed, size, forgotten)
    return Swept(removed, size, forgotten)


def _is_own(engine: Engine, place: Place) -> bool:
    """Whether the objects there are this gallery's alone; says so where it is seen for the first time."""
    owner = place.owner()
    if owner is None and place.is_old:
        foreign = sum(map(len, _left_in(engine, place, None)))
        if not foreign:
            place.take()
            return True
        log.warning(
            "nothing is removed below %r of the object store: %d objects there are of no image of this "
            "gallery, and may be of a gallery under another prefix. Where there is none, write %s into the "
            "object %s/%s, and they are removed",
            place.folder,
            foreign,
            place.gallery,
            place.folder,
            OWNER,
        )
    elif owner != place.gallery:
        log.warning("nothing is removed below %r of the object store: it is not this gallery's", place.folder)
    return owner == place.gallery


def _left_in(engine: Engine, place: Place, before: datetime | None) -> Iterator[list[Stored]]:
    """Objects of no row, piece by piece; only those from before a moment, where one is given."""
    for folder in FOLDERS:
        found = (one for one in place.objects.under(folder) if before is None or one.written_at < before)
        for piece in _pieces(found):
            yield _left(engine, folder, piece)


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
