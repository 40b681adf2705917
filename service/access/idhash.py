"""What stands for an image id in the audit log: a hash by a key that is kept beside the log."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

from service.access.auditchain import CHAIN
from service.access.privatefile import open_private, tighten_private

KEY_BYTES = 32
HEX_DIGITS = 32


class IdKeyError(Exception):
    """The key cannot be used; the message names its file and the remedy."""


class IdHasher(ABC):
    """HMAC-SHA256 of image ids, its first 128 bits.

    Ids are often guessable, such as number plates or file names: without a key, a plain hash would give them
    away to whoever tries them. The key is read once; only `load` makes it. A class for each place of the key
    says where it is, how it is read, and how it is made.
    """

    def __init__(self) -> None:
        self._key: bytes | None = None

    @property
    @abstractmethod
    def where(self) -> str:
        """Where the key is, for people."""

    def chain_key(self) -> bytes:
        """The key of the audit log's chain. Raises IdKeyError."""
        return self.subkey(CHAIN)

    def load(self) -> bytes:
        """Read the key; make it where there is none.

        Raises:
            IdKeyError: it cannot be read or made.
        """
        try:
            key = self._read()
            if key is None:
                self._make()
                key = self._read()
        except OSError as error:
            raise IdKeyError(f"{self.where}: {error.strerror or error}") from None
        if key is None:
            raise IdKeyError(f"{self.where} was removed while it was made")
        self._key = key
        return key

    def find(self) -> bool:
        """Read the key where there is one; the answer is whether there is.

        Raises:
            IdKeyError: it cannot be read.
        """
        try:
            self._key = self._read()
        except OSError as error:
            raise IdKeyError(f"{self.where}: {error.strerror or error}") from None
        return self._key is not None

    def digest(self, image_id: str) -> str:
        """The id's hash, 32 hex digits; the key is loaded where it is not.

        Raises:
            IdKeyError: it cannot be.
        """
        key = self.load() if self._key is None else self._key
        return hmac.digest(key, image_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:HEX_DIGITS]

    def subkey(self, purpose: str) -> bytes:
        """A key for another purpose, derived from this one; it is loaded where it is not.

        Raises:
            IdKeyError: it cannot be.
        """
        key = self.load() if self._key is None else self._key
        return hmac.digest(key, b"subkey\0" + purpose.encode(), hashlib.sha256)

    @abstractmethod
    def _read(self) -> bytes | None:
        """The key; None where there is none. Raises IdKeyError, or OSError."""

    @abstractmethod
    def _make(self) -> None:
        """Make the key where there is none: of several that do so at a time, one does. Raises as `_read`."""


class FileIdHasher(IdHasher):
    """By a key in a file of this machine.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    @property
    def where(self) -> str:
        """Where the key is, for people."""
        return str(self._path)

    def _read(self) -> bytes | None:
        try:
            tighten_private(self._path)
            key = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if len(key) != KEY_BYTES:
            raise IdKeyError(
                f"{self._path} holds {len(key)} bytes where a key of {KEY_BYTES} is expected; restore it "
                "from a backup, or remove it: a new one is made, and older entries of the audit log are not "
                "found by image id any more"
            )
        return key

    def _make(self) -> None:
        new = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}.new")
        try:
            with os.fdopen(open_private(new, os.O_WRONLY | os.O_EXCL), "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            # Of processes that make it at the same time, one does; the others read what it made.
            with suppress(FileExistsError):
                os.link(new, self._path)
        finally:
            new.unlink(missing_ok=True)
