"""Collections, and what they hold."""

from __future__ import annotations

from lka_reid_client.answers.base import Answer


class CollectionAnswer(Answer):
    """A collection, and what it holds.

    Attributes:
        images: enrolled.
        bytes: of its database in use.
        max_images: it may hold; null for no limit.
        max_bytes: it may hold; null for no limit.
    """

    name: str
    images: int
    bytes: int
    max_images: int | None
    max_bytes: int | None


class CollectionsAnswer(Answer):
    """The collections that the key reaches."""

    collections: list[CollectionAnswer]
