"""The keys that are good at this moment."""

from __future__ import annotations

import hmac

import structlog

from service.access.key import ApiKey, digest, id_of
from service.access.keyhome import KeyHome

log = structlog.get_logger(__name__)

NOBODY = "0" * 64


class Keyring:
    """The keys at home, read again as soon as one has changed: a revoked key is refused at once.

    Once there has been one, keys are needed until the process ends: a file that vanishes must not open the
    service to everybody.

    Raises:
        KeyFileError: they are there and cannot be used.
    """

    def __init__(self, home: KeyHome) -> None:
        self._home = home
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}
        self._required = False
        self._refresh()

    @property
    def where(self) -> str:
        """Where the keys are, for people."""
        return self._home.where

    @property
    def required(self) -> bool:
        """Whether a key is needed at all.

        Raises:
            KeyFileError: the file cannot be used.
        """
        self._refresh()
        return self._required

    def identify(self, presented: str) -> ApiKey | None:
        """The key that was presented; None where it is not, or no longer, one of ours.

        Raises:
            KeyFileError: the file cannot be used.
        """
        self._refresh()
        key = self._keys.get(id_of(presented) or "")
        # Compared in constant time, and for an id that nobody has as well: how long it takes tells nothing.
        same = hmac.compare_digest(digest(presented), NOBODY if key is None else key.sha256)
        return key if same else None

    def _refresh(self) -> None:
        stamp = self._home.stamp()
        if stamp == self._stamp:
            return
        # The stamp is older than what is read after it: a change in between is read once more, never missed.
        self._keys = {key.id: key for key in self._home.read()}
        self._stamp = stamp
        self._required = True
        log.info("keys_loaded", keys=len(self._keys))
