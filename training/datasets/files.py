"""The files that a layout consists of: seen to be there before anything is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from models.intake.encoding import EncodingError, decode_text
from models.intake.files import reason_of
from training.datasets.image import DatasetError


def require(root: Path, layout: str, names: Sequence[str | tuple[str, ...]]) -> None:
    """See that files and folders are there; a tuple names alternatives, and a name ending in `/` a folder.

    Raises:
        DatasetError: some are not; all of them are named.
    """
    missing = []
    for name in names:
        choices = (name,) if isinstance(name, str) else name
        if not any((root / c).is_dir() if c.endswith("/") else (root / c).is_file() for c in choices):
            missing.append(" or ".join(choices))
    if missing:
        raise DatasetError(f"{root}: is no complete {layout} folder; missing: {', '.join(missing)}")


def first_of(root: Path, names: Sequence[str]) -> Path:
    """The first of these files that exists (`require` has seen to one)."""
    return next(root / name for name in names if (root / name).is_file())


def rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Each line of a list that is not blank: its number, its text, and both as an origin.

    Raises:
        DatasetError: the file cannot be read, or is not UTF-8.
    """
    try:
        lines = decode_text(path.read_bytes()).splitlines()
    except OSError as error:
        raise DatasetError(f"{path}: {reason_of(error)}") from None
    except EncodingError as error:
        raise DatasetError(f"{path}, {error}; save it as UTF-8") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, line.strip(), f"{path.name}, line {number}"


def column_map(path: Path) -> dict[str, str]:
    """A list of `key value` lines as a dictionary; empty where there is no such file.

    Raises:
        DatasetError: a line of another form.
    """
    found = {}
    for number, line, _ in rows(path) if path.is_file() else ():
        key, _, value = line.partition(" ")
        if not value.strip():
            raise DatasetError(f"{path}, line {number}: {line!r} is not two columns")
        found[key] = value.strip()
    return found
