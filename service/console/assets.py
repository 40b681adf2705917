"""The console's files in memory, each with its media type and the tag that tells a browser of a change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Self

PAGE = "index.html"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    """A file of the console.

    Attributes:
        data: its bytes.
        media_type: by its ending.
        etag: strong, of its bytes (RFC 9110, 8.8.3).
    """

    data: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, name: str, data: bytes) -> Self:
        """The asset of this name. Raises KeyError for an ending that the console has no file of."""
        tag = hashlib.sha256(data).hexdigest()[:32]
        return cls(data, MEDIA_TYPES[name[name.rindex(".") :]], f'"{tag}"')

    def is_known(self, if_none_match: str) -> bool:
        """Whether the tags that a request has (RFC 9110, 13.1.2) name these bytes; weak tags count."""
        tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return "*" in tags or self.etag in tags


@cache
def assets() -> Mapping[str, Asset]:
    """All files of the console, by name. They are read once: an update restarts the service."""
    folder = resources.files("service.console") / "static"
    return MappingProxyType(
        {file.name: Asset.of(file.name, file.read_bytes()) for file in _sorted(folder) if file.is_file()}
    )


def _sorted(folder: Traversable) -> list[Traversable]:
    return sorted(folder.iterdir(), key=lambda file: file.name)
