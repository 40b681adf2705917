"""A table's columns: which of them a reader knows, under whatever spelling, and which it may mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from models.intake.names import shown

# How others name what is known here.
_MEANT = {
    "path": "filename file filepath image imagename imagefile imagepath img imgpath imgname picture photo",
    "image_id": "id imageid imgid imagekey",
    "vehicle_id": "vehicle car carid id identity identityid pid vid plate licenseplate licenceplate",
    "camera_id": "camera cam camid camname cameraname cameraid",
    "captured_at": "timestamp time date datetime captured capturetime capturedtime takenat",
    "time": "timestamp date datetime capturedat captured capturetime",
    "view": "side viewpoint viewangle angle orientation",
    "tags": "tag label labels keyword keywords",
    "vehicle_type": "type class category bodytype",
    "colour": "color vehiclecolor vehiclecolour",
    "track": "trackid tracklet trackletid",
    "role": "split set part partition subset",
}
_ALIKE = 0.85
_LISTED, _LONGEST = 20, 40


class ColumnsError(ValueError):
    """A header that does not name the columns that are needed; the message says which and what it names."""


@dataclass(frozen=True)
class Columns:
    """The columns that a reader takes.

    Attributes:
        required: must be there.
        optional: may be there.
        elsewhere: what other readers of the same tables take: left unread, and named in `Header.unread`.
        strict: whether any further column is an error, not just one that seems to mean one of these.
        escape: how a user has columns left unread, for messages; "" where that cannot be had.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    strict: bool = False
    escape: str = ""

    @property
    def taken(self) -> tuple[str, ...]:
        """Those that are read where they are there."""
        return (*self.required, *self.optional)


@dataclass(frozen=True)
class Header:
    """A table's first row, understood.

    Attributes:
        fields: for each value of a row the column that it belongs to; None for one that is not read.
        names: of the columns, as the table spells them.
    """

    fields: tuple[str | None, ...]
    names: tuple[str, ...]

    @property
    def unread(self) -> tuple[str, ...]:
        """Names of the columns that are not read; one without a name is not among them."""
        return tuple(name for name, field in zip(self.names, self.fields, strict=True) if name and not field)


def understand(names: Sequence[str], columns: Columns, *, lenient: bool = False) -> Header:
    """Tell which columns a header names. Case, blanks, hyphens and underscores make no difference.

    Args:
        names: the header's values.
        columns: what the reader takes.
        lenient: leave all that is not known unread.

    Raises:
        ColumnsError: a column is missing, comes twice, or is not known.
    """
    by_key = {_key(name): name for name in columns.taken}
    fields = tuple(by_key.get(_key(name)) for name in names)
    twice = {name for name in fields if name is not None and fields.count(name) > 1}
    if twice:
        raise ColumnsError(f"column {', '.join(sorted(twice))} comes twice")
    header = Header(fields, tuple(names))
    missing = [name for name in columns.required if name not in fields]
    if missing:
        raise ColumnsError(
            f"column {', '.join(missing)} is missing; it names {_hinted(names, missing) or 'none'}"
        )
    if not lenient:
        _refuse_unknown(header, columns)
    return header


def _refuse_unknown(header: Header, columns: Columns) -> None:
    elsewhere = set(map(_key, columns.elsewhere))
    unknown = [name for name in header.unread if _key(name) not in elsewhere]
    free = [name for name in columns.taken if name not in header.fields]
    wrong = unknown if columns.strict else [name for name in unknown if _meant(name, free)]
    if wrong:
        escape = f", or leave such columns unread with {columns.escape}" if columns.escape else ""
        raise ColumnsError(
            f"not known: column {_hinted(wrong, free)}; rename it{escape}; "
            f"known are {', '.join(columns.taken)}"
        )


def _hinted(names: Sequence[str], free: Sequence[str]) -> str:
    """Names, each with the columns that it may stand for; of many, the first."""
    hinted = []
    for name in names[:_LISTED]:
        meant = _meant(name, free)
        spelled = shown(name[:_LONGEST]) or "''"
        hinted.append(f"{spelled} ({' or '.join(meant)}?)" if meant else spelled)
    return ", ".join(hinted) + (" and more" if len(names) > _LISTED else "")


def _meant(name: str, free: Sequence[str]) -> list[str]:
    """The columns, of those that the header does not name, that a name may stand for."""
    key = _key(name)
    meant = [column for column in free if key in _MEANT.get(column, "").split()]
    alike = get_close_matches(key, [*map(_key, free)], n=1, cutoff=_ALIKE)
    return meant or [column for column in free if _key(column) in alike]


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
