"""Services that need keys, and keys for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.access.key import KeyScope, new_key
from service.access.keyfile import KeyFile
from tests.service.fakes import Running, running

MADE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def make_key(file: KeyFile, *scopes: str, name: str = "gate 3") -> str:
    """Put a new key into a file; the answer is the secret."""
    secret, key = new_key(name, {KeyScope(scope) for scope in scopes}, MADE)
    file.add(key)
    return secret


def showing(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@dataclass
class Guarded:
    """A service that needs keys, and one key of each scope."""

    service: Running
    file: KeyFile
    secrets: dict[str, str]

    def headers(self, scope: str) -> dict[str, str]:
        return showing(self.secrets[scope])


@contextmanager
def guarded(folder: Path, **settings: Any) -> Iterator[Guarded]:
    file = KeyFile(folder / "keys.json")
    secrets = {scope.value: make_key(file, scope, name=f"the {scope} one") for scope in KeyScope}
    with running(folder, **settings) as service:
        yield Guarded(service, file, secrets)
