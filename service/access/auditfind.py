"""Finds an image's entries in the audit log and its older files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from service.access.idhash import IdHasher


@dataclass
class Search:
    """What was found of an image.

    Attributes:
        lines: the entries as they stand in the files, oldest first.
        unreadable: lines that are no entries, such as one that a power cut tore.
    """

    lines: list[str] = field(default_factory=list)
    unreadable: int = 0


def find_image(path: Path, ids: IdHasher, image_id: str) -> Search:
    """The entries that name an image, as asked for or as a match; by hash, or as earlier versions did.

    Raises:
        IdKeyError: the key cannot be read.
        OSError: a file cannot be read.
    """
    return find_in(_lines(path), ids, image_id)


def find_in(lines: Iterable[str], ids: IdHasher, image_id: str) -> Search:
    """The entries among these lines that name an image.

    Raises:
        IdKeyError: the key cannot be read.
    """
    wanted = {image_id}
    if ids.find():
        wanted.add(ids.digest(image_id))
    search = Search()
    for line in filter(None, map(str.strip, lines)):
        try:
            named = _named(line)
        except ValueError:
            search.unreadable += 1
            continue
        if wanted & named:
            search.lines.append(line)
    return search


def _lines(path: Path) -> Iterator[str]:
    for file in files_of(path):
        with file.open(encoding="utf-8", errors="replace") as lines:
            yield from lines


def files_of(path: Path) -> Iterator[Path]:
    """The log's files that are there, oldest first."""
    older = [file for file in path.parent.glob(f"{path.name}.*") if file.suffix[1:].isdecimal()]
    yield from sorted(older, key=lambda file: -int(file.suffix[1:]))
    if path.is_file():
        yield path


def _named(line: str) -> set[str]:
    entry = json.loads(line)
    if not isinstance(entry, dict):
        raise ValueError("no entry")
    ids = [entry.get("image_hash"), entry.get("image_id")]
    ids += [*entry.get("match_hashes", ()), *entry.get("matches", ())]
    return {image_id for image_id in ids if isinstance(image_id, str)}
