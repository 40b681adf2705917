"""An API key: what is kept of it, what it permits, how one is made."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

MAX_NAME = 64
NAME_RULE = f"1 .. {MAX_NAME} printable characters, no space at either end"

# The fixed beginning lets secret scanners know a key, and the id finds its record without a search.
_FORM = re.compile(r"lka_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")


class KeyScope(StrEnum):
    """What a key permits; admin implies the others."""

    QUERY = "query"
    ENROLL = "enroll"
    ADMIN = "admin"

    @classmethod
    def _missing_(cls, value: object) -> KeyScope | None:
        # As key files spelled it before version 0.2.
        return cls.ENROLL if value == "enrol" else None


def _check_name(text: str) -> str:
    if not (0 < len(text) <= MAX_NAME and text.isprintable() and text == text.strip()):
        raise ValueError(f"is not a legal name; it takes {NAME_RULE}")
    return text


class ApiKey(BaseModel):
    """What is kept of a key; the key itself is not.

    Attributes:
        id: 8 hex digits, no secret: in the key, in `lka-reid keys list` and in the audit log.
        last4: the key's last four characters, by which its holder knows it.
        sha256: of the whole key.
        expires: from when on the key is refused; None for never.
        collections: names of those that it reaches; None for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    name: Annotated[str, AfterValidator(_check_name)]
    scopes: Annotated[tuple[KeyScope, ...], Field(min_length=1)]
    created: AwareDatetime
    last4: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
    expires: AwareDatetime | None = None
    # A file that limits a key cannot be read by software that knows no limits: nobody gets in by it.
    collections: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    def permits(self, scope: KeyScope) -> bool:
        """Whether the key's holder may do what needs this scope."""
        return scope in self.scopes or KeyScope.ADMIN in self.scopes

    def reaches(self, collection: str) -> bool:
        """Whether the key's holder may do anything in this collection."""
        return self.collections is None or collection in self.collections

    def is_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and now >= self.expires


def new_key(
    name: str,
    scopes: set[KeyScope],
    created: datetime,
    expires: datetime | None = None,
    collections: Sequence[str] | None = None,
) -> tuple[str, ApiKey]:
    """Make a key; the first of the two is the secret, shown once and kept nowhere.

    Raises:
        pydantic.ValidationError: the name breaks NAME_RULE, or there is no scope.
    """
    key_id = secrets.token_hex(4)
    secret = f"lka_{key_id}_{secrets.token_urlsafe(32)}"
    ordered = tuple(scope for scope in KeyScope if scope in scopes)
    return secret, ApiKey(
        id=key_id,
        name=name,
        scopes=ordered,
        created=created,
        last4=secret[-4:],
        sha256=digest(secret),
        expires=expires,
        collections=None if collections is None else tuple(dict.fromkeys(collections)),
    )


def digest(secret: str) -> str:
    """What is stored in a key's place.

    A plain SHA-256 is right here: the secret is 256 random bits, so there is nothing to guess for salt and a
    slow hash to protect, as there is with passwords; and every request pays for this.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def id_of(presented: str) -> str | None:
    """The id in what was sent as a key; None where it is no key at all."""
    found = _FORM.fullmatch(presented)
    return found[1] if found else None
