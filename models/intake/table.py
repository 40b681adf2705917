"""A CSV table as people write it: any delimiter, mark or blank, each row checked against the header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from models.intake.columns import Columns, ColumnsError, Header, understand
from models.intake.encoding import EncodingError, decode_text
from models.intake.files import reason_of
from models.intake.names import shown

DELIMITERS = (",", ";", "\t", "|")
_DECLARED = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)
_LONGEST = 60


class TableError(ValueError):
    """A table of which no row can be read; the message names the file, the line and the remedy."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line it begins on, and the value of each column that is read, "" where it is empty."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row that cannot be read: the line it begins on, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Table:
    """A table that was read.

    Attributes:
        path: of the file.
        columns: that the rows have.
        unread: names of its columns that were left unread.
        rows: those that can be read.
        faults: those that cannot.
    """

    path: Path
    columns: tuple[str, ...]
    unread: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    faults: list[RowFault] = field(default_factory=list)


def read_table(
    path: Path, columns: Columns, *, encoding: str | None = None, lenient: bool = False, remedy: str = ""
) -> Table:
    """Read a CSV table whose first row names its columns.

    Values are stripped of blanks, and rows without any value are skipped. A row with fewer or more values
    than the header, or one that no CSV reader can read, becomes a fault; the others are not concerned.

    Args:
        path: the file.
        columns: that are read.
        encoding: of the file where it does not say so itself; None for UTF-8.
        lenient: leave columns that are not known unread.
        remedy: what to do about another encoding, for messages.

    Raises:
        TableError: the file cannot be read or is not in that encoding, its header lacks a column or names
            one that is not known, or it has no row.
    """
    try:
        if not path.is_file():
            raise TableError(f"{shown(path)}: {'is no file' if path.exists() else 'does not exist'}")
        text = decode_text(path.read_bytes(), encoding)
    except OSError as error:
        raise TableError(f"{shown(path)}: {reason_of(error)}") from None
    except EncodingError as error:
        raise TableError(f"{shown(path)}, {error}; {remedy or 'save it as UTF-8'}") from None
    delimiter, start = _dialect(text, columns)
    records = _records(text, delimiter, start)
    first = next((found for found in records if not isinstance(found, RowFault)), None)
    if first is None:
        raise TableError(
            f"{shown(path)}: is empty; its first line must name the columns, {_named(columns)} at least"
        )
    try:
        header = understand([name.strip() for name in first[1]], columns, lenient=lenient)
    except ColumnsError as error:
        raise TableError(f"{shown(path)}, line {first[0]}: {error}") from None
    table = Table(path, tuple(name for name in header.fields if name), header.unread)
    for record in records:
        read = record if isinstance(record, RowFault) else _row(*record, header)
        if isinstance(read, Row):
            table.rows.append(read)
        elif read:
            table.faults.append(read)
    if not (table.rows or table.faults):
        raise TableError(f"{shown(path)}: lists no image; there is nothing below its header")
    return table


def _dialect(text: str, columns: Columns) -> tuple[str, int]:
    """The delimiter, and how many lines stand before the header.

    The delimiter is declared by a line `sep=;`, as spreadsheets write it, or it is the one by which the first
    line names most of the columns.
    """
    declared = _DECLARED.match(text)
    if declared:
        return declared[1], 1

    def known(delimiter: str) -> tuple[int, int]:
        names = next((found for _, found in _rows_only(_records(text, delimiter, 0))), [])
        try:
            taken = Columns((), columns.taken)
            fields = understand([name.strip() for name in names], taken, lenient=True).fields
        except ColumnsError:
            return len(names), len(names)
        return sum(field is not None for field in fields), len(names)

    return max(DELIMITERS, key=known), 0


def _rows_only(
    records: Iterator[tuple[int, list[str]] | RowFault],
) -> Iterator[tuple[int, list[str]]]:
    return (record for record in records if not isinstance(record, RowFault))


def _records(text: str, delimiter: str, start: int) -> Iterator[tuple[int, list[str]] | RowFault]:
    """Each record that has a value, with the line it begins on; or what is wrong with it."""
    lines = io.StringIO(text, newline="")
    for _ in range(start):
        lines.readline()
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=True)
    while True:
        line = start + reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            last = start + reader.line_num
            until = f" (up to line {last:,})" if last > line else ""
            yield RowFault(line, f"is no row of a CSV table{until}: {error}; is a quote not closed?")
            continue
        if any(value.strip() for value in values):
            yield line, values


def _row(line: int, values: list[str], header: Header) -> Row | RowFault:
    width = len(header.fields)
    # Spreadsheets end rows in delimiters where a column of theirs is empty.
    while len(values) > width and not values[-1].strip():
        values.pop()
    if len(values) > width:
        extra = ", ".join(repr(_short(value)) for value in values[width:][:3])
        return RowFault(
            line,
            f"has {len(values)} values for {width} columns, {extra} beyond them; "
            "quote a value that holds the delimiter",
        )
    read = dict.fromkeys((name for name in header.fields if name), "")
    for place, value in enumerate(value.strip() for value in values):
        field, name = header.fields[place], header.names[place]
        if field is not None:
            read[field] = value
        elif value and not name:
            return RowFault(line, f"has {_short(value)!r} in column {place + 1}, which has no name")
    if len(values) < width:
        empty = [name for name, value in read.items() if not value]
        return RowFault(
            line,
            f"{empty[0] if empty else 'a value'} is empty: it has {len(values)} values for {width} columns",
        )
    if "\0" in "".join(read.values()):
        return RowFault(line, "holds zero bytes")
    return Row(line, read)


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."


def _named(columns: Columns) -> str:
    return ", ".join(columns.required)
