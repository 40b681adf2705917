"""Names of files, and texts that hold them, as they may be printed."""

from __future__ import annotations

import os


def shown(path: str | os.PathLike[str]) -> str:
    """A name as a terminal may get it: control characters, and bytes that are no text, are escaped."""
    return "".join(map(_shown, os.fspath(path)))


def slash_hint(path: str | os.PathLike[str]) -> str:
    """What a message adds of a path in a list that leads nowhere, where it is spelled as on Windows; or "".

    On other systems a backslash is a letter of a name.
    """
    return "; write / and not \\ between folders" if os.sep == "/" and "\\" in os.fspath(path) else ""


def printable(text: str) -> str:
    """A text of any origin as a terminal may get it, in its lines."""
    return "\n".join(map(shown, text.split("\n")))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    # How Python holds a byte of a name that is not UTF-8 (PEP 383).
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
