"""How far a video has been looked at and enrolled, kept between runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

FORMAT = 1


@dataclass(frozen=True)
class Position:
    """A moment of a video before which every track has ended and is enrolled.

    Attributes:
        frame: number of the next frame to look at.
        tracks: vehicles before it.
        done: the video has been looked at to its end.
    """

    frame: int = 0
    tracks: int = 0
    done: bool = False


class PositionFile:
    """Keeps the position of one video, for one service and one way to look at it.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of(cls, video: Path, how: Mapping[str, Any]) -> Self:
        """The file for a video, in the user's cache folder.

        Args:
            video: a file or folder; when it changes it counts as another one.
            how: what decides the tracks and where they go, as JSON types.
        """
        status = video.stat()
        identity = [FORMAT, str(video.resolve()), status.st_size, status.st_mtime_ns, sorted(how.items())]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(cache / "lka-reid" / "videos" / f"{digest[:32]}.json")

    def read(self) -> Position:
        """The position; the beginning where there is none, or none that can be read."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return Position(int(found["frame"]), int(found["tracks"]), bool(found["done"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Position()

    def write(self, position: Position) -> None:
        """Keep it, whole or not at all; where there is no place for it, the next run begins anew."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = self._path.with_suffix(".draft")
            draft.write_text(json.dumps(asdict(position)), encoding="utf-8")
            draft.replace(self._path)
