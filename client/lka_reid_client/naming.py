"""Names as a request may hold them, and texts of a server as they may be shown."""

from __future__ import annotations

from urllib.parse import quote

from lka_reid_client.errors import InvalidCallError, printable

SHOWN = 100
"""Characters of a name that an error shows."""
IMAGE = "image"
"""Below an image's path: its file. No id ends with it after a slash."""


def path_of(*names: str) -> str:
    """A path of names that may hold slashes, each of which arrives as it is.

    Raises:
        InvalidCallError: a name is empty, has no UTF-8, or holds a part `.` or `..`, of which this machine or
            a proxy on the way makes another path.

    >>> path_of("gallery", "cam 3/1.jpg", "image")
    '/gallery/cam%203/1.jpg/image'
    """
    for name in names:
        _check(name)
    return "".join(f"/{quote(name, safe='/')}" for name in names)


def segment(name: str) -> str:
    """A name that is one part of a path alone.

    Raises:
        InvalidCallError: it holds a slash, which begins another part.
    """
    if "/" in name:
        raise _refused(name, "holds a slash, which no name of this kind does")
    return name


def image_path(*names: str) -> str:
    """A path that ends with an image id.

    Raises:
        InvalidCallError: what ends it is no image id, and its path would be that of something else.
    """
    image_id = names[-1]
    parts = image_id.split("/")
    if "" in parts and image_id:
        raise _refused(image_id, "is no image id: a part between its slashes is empty")
    if len(parts) > 1 and parts[-1] == IMAGE:
        raise _refused(image_id, f"is no image id: none ends with /{IMAGE}")
    return path_of(*names)


def sendable(field: str, text: str) -> str:
    """A text that can be sent.

    Raises:
        InvalidCallError: it holds what no UTF-8 has.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidCallError(
            f"{field} {_shown(text)} holds bytes that are no UTF-8; nothing was sent: give it another name"
        ) from None
    return text


def _check(name: str) -> None:
    sendable("the name", name)
    if not name:
        raise _refused(name, "is empty")
    if any(part in (".", "..") for part in name.split("/")):
        raise _refused(name, "holds a part . or .., which a path does not keep")


def _refused(name: str, why: str) -> InvalidCallError:
    return InvalidCallError(f"the name {_shown(name)} {why}; nothing was sent")


def _shown(text: str) -> str:
    short = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return f"'{printable(short)}'"
