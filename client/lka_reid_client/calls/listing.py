"""What a service lists page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from lka_reid_client.call import Call, given
from lka_reid_client.operation import Page, Step
from lka_reid_client.response import Response

LARGEST_PAGE = 1000

T = TypeVar("T")


def listing(
    path: str,
    read: Callable[[Response], tuple[Sequence[T], str | None]],
    params: Mapping[str, Any],
    *,
    left: int | None = None,
    after: str | None = None,
    size: int | None = None,
) -> Step[T]:
    """What a path lists, at most `left`; page by page.

    Args:
        path: of the list.
        read: what is on a page, and the `next` of the page after it.
        params: that every page is asked for with.
        left: how many are wanted; None for all.
        after: the `next` of a page that was read before.
        size: of a page at most; LARGEST_PAGE where not given.
    """
    most = LARGEST_PAGE if size is None else size
    wanted = most if left is None else min(left, most)
    if wanted <= 0:
        return None

    def parse(response: Response) -> Page[T]:
        items, following = read(response)
        if following is None:
            return Page(items)
        rest = None if left is None else left - len(items)
        return Page(items, lambda: listing(path, read, params, left=rest, after=following, size=size))

    return Call("GET", path, parse, params={**params, **given({"limit": wanted, "after": after})})
