"""The chain of the audit log's entries: each holds the hash of the one before and one of its own.

A hash is HMAC-SHA256, its first 128 bits, by a key that is derived from `audit.key`: who
can write the log but not read the key cannot make entries. Who can do both can make the whole chain anew,
which shows only against a hash that was noted elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass

CHAIN = "audit chain"
"""What the key of the chain is derived for."""
HEX_DIGITS = 32
_HASH = re.compile(rb'^(\{.*), "hash": "([0-9a-f]{32})"\}$', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Link:
    """What an entry is chained to: the number and the hash of the one before."""

    number: int
    hash: str


START = Link(0, "0" * HEX_DIGITS)


@dataclass(frozen=True, slots=True)
class ChainedEntry:
    """What a line of the file says of its place in the chain.

    Attributes:
        link: its number and hash, which the next entry is chained to.
        previous: hash of the entry before.
        torn: hash of what was found between that one and this, as a crash leaves it; None for nothing.
        is_genuine: whether its hash is the right one for the line.
    """

    link: Link
    previous: str
    torn: str | None
    is_genuine: bool


class Chain:
    """Makes and reads entries of the chain.

    Args:
        key: of the hashes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, text: str, last: Link, torn: bytes) -> tuple[bytes, Link]:
        """An entry as a line, and what the next one is chained to.

        Args:
            text: the entry, a JSON object.
            last: the entry before.
            torn: what is between the two in the file.
        """
        fields = {"entry": last.number + 1, "previous": last.hash}
        if torn:
            fields["torn"] = self.digest(torn)
        body = f"{text[:-1]}, {json.dumps(fields)[1:-1]}".encode("utf-8", "surrogatepass")
        link = Link(last.number + 1, self.digest(body))
        return body + f', "hash": "{link.hash}"}}\n'.encode(), link

    def read(self, line: bytes) -> ChainedEntry | None:
        """The entry in a line without its end; None where there is none, or one of no chain."""
        found = _HASH.match(line)
        if found is None:
            return None
        body, own = found.groups()
        try:
            entry = json.loads(body + b"}")
        except ValueError:
            return None
        number, previous, torn = entry.get("entry"), entry.get("previous"), entry.get("torn")
        if type(number) is not int or not isinstance(previous, str):
            return None
        digest = self.digest(body)
        genuine = hmac.compare_digest(digest, own.decode())
        return ChainedEntry(Link(number, own.decode()), previous, torn, genuine)

    def digest(self, data: bytes) -> str:
        """Hash of some bytes, 32 hex digits."""
        return hmac.digest(self._key, data, hashlib.sha256).hex()[:HEX_DIGITS]
