"""Signatures of webhooks, as the Standard Webhooks specification has them (standardwebhooks.com, version 1).

A signature is `v1,` and the HMAC-SHA256, in base64, of the message's id, the seconds since 1970 and the body,
with dots between. The secret is `whsec_` and the key in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

PREFIX = "whsec_"
MIN_BYTES, MAX_BYTES = 24, 64
SECRET_RULE = f"{PREFIX} and {MIN_BYTES} to {MAX_BYTES} random bytes in base64"


def new_secret() -> str:
    """A secret that nobody has guessed."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The key in a secret.

    Raises:
        ValueError: it breaks SECRET_RULE; the message does not hold it.
    """
    encoded = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if encoded == secret or not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise ValueError(f"it takes {SECRET_RULE}")
    return key


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of a message that is sent at a moment, s since 1970."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()
