"""Where API keys are kept: in a file of this machine, or in the store that replicas share."""

from __future__ import annotations

from typing import Protocol

from service.access.key import ApiKey


class KeyHome(Protocol):
    """Keys that outlive the process. Every method raises KeyFileError where they cannot be used."""

    @property
    def where(self) -> str:
        """Where they are, for people."""

    def watch(self) -> None:
        """From now on, until `close`, keep `stamp` from waiting for anything."""

    def close(self) -> None:
        """End what `watch` began. Idempotent."""

    def stamp(self) -> tuple[int, int, int] | None:
        """Changes whenever a key does; None while there never was one. Costs next to nothing."""

    def read(self) -> tuple[ApiKey, ...]:
        """All keys, in the order they were made."""

    def add(self, key: ApiKey) -> None:
        """Let a key in."""

    def revoke(self, key_id: str) -> ApiKey:
        """Take a key out. Raises UnknownKeyError where there is none of this id."""
