"""The file of keys: JSON, replaced whole, so that whoever reads it finds the old one or the new one.

A change is made under a lock of its own, writes a new file beside the old one, and is done by the rename. A
file that is there and holds no key is not the same as no file: keys are still needed, and nobody has one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from service.access.key import ApiKey
from service.access.privatefile import open_private, tighten_private

VERSION = 1


class KeyFileError(Exception):
    """The file of keys cannot be used; the message names it and the remedy."""


class UnknownKeyError(Exception):
    """No key of this id is in the file."""


class _Contents(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int = VERSION
    keys: tuple[ApiKey, ...] = ()


class KeyFile:
    """The keys in a file; every method may be called while a service reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def where(self) -> str:
        """Where they are, for people."""
        return str(self.path)

    def watch(self) -> None:
        """Nothing: a look at the file waits for nothing."""

    def close(self) -> None:
        """Nothing: it is open only while it is read or changed."""

    def stamp(self) -> tuple[int, int, int] | None:
        """Changes whenever the file does; None while there is none.

        Raises:
            KeyFileError: it cannot be looked at.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error) from None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def read(self) -> tuple[ApiKey, ...]:
        """All keys, in the order they were made; none where there is no file.

        Raises:
            KeyFileError: it cannot be read, or is no file of keys.
        """
        try:
            tighten_private(self.path)
            text = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unreadable(error) from None
        try:
            contents = _Contents.model_validate_json(text)
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"])) or "the file"
            raise KeyFileError(
                f"{self.path} is no file of keys ({where}: {fault['msg']}); restore it from a backup, or "
                "remove it and make new keys"
            ) from None
        if contents.version != VERSION:
            raise KeyFileError(f"{self.path} has version {contents.version}; this program knows {VERSION}")
        return contents.keys

    def add(self, key: ApiKey) -> None:
        """Let a key in.

        Raises:
            KeyFileError: the file cannot be read or written.
        """
        self._change(lambda keys: (*keys, key))

    def revoke(self, key_id: str) -> ApiKey:
        """Take a key out.

        Raises:
            UnknownKeyError: there is none of this id.
            KeyFileError: the file cannot be read or written.
        """

        revoked: list[ApiKey] = []

        def without(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
            revoked.extend(key for key in keys if key.id == key_id)
            if not revoked:
                raise UnknownKeyError(key_id)
            return tuple(key for key in keys if key.id != key_id)

        self._change(without)
        return revoked[0]

    def _change(self, change: Callable[[tuple[ApiKey, ...]], tuple[ApiKey, ...]]) -> None:
        try:
            with self._locked():
                self._replace(_Contents(keys=change(self.read())))
        except OSError as error:
            raise KeyFileError(f"{self.path} cannot be written: {error.strerror or error}") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.path.with_name(self.path.name + ".lock")
        os.close(open_private(lock, os.O_RDWR))
        with FileLock(lock, fallback_to_soft=False):
            yield

    def _replace(self, contents: _Contents) -> None:
        new = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}.new")
        descriptor = open_private(new, os.O_WRONLY | os.O_EXCL)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(contents.model_dump_json(indent=2, exclude_none=True).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _unreadable(self, error: OSError) -> KeyFileError:
        return KeyFileError(
            f"{self.path} cannot be read: {error.strerror or error}; let the service's user read it"
        )
