"""Signatures are those of Standard Webhooks, so that its libraries verify them; so does the docs' example."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path
from typing import Any

import pytest

from service.watching.signature import key_of, new_secret, sign

DOCS = Path(__file__).parents[3] / "docs" / "watches.md"


def test_a_signature_is_that_of_the_specifications_own_example() -> None:
    secret, message_id = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    signature = sign(secret, message_id, 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("length", [0, 23, 65])
def test_a_secret_that_is_short_long_or_none_is_refused_without_showing_it(length: int) -> None:
    text = base64.b64encode(b"k" * length).decode()
    for secret in (
        f"whsec_{text}",
        base64.b64encode(b"k" * 32).decode(),
        "whsec_no base64, but long enough!!",
    ):
        with pytest.raises(ValueError, match="24 to 64 random bytes") as refused:
            key_of(secret)
        assert "kkkk" not in str(refused.value)
        assert "no base64" not in str(refused.value)


def test_new_secrets_are_accepted_and_never_the_same() -> None:
    secrets = {new_secret() for _ in range(10)}
    assert {len(key_of(secret)) for secret in secrets} == {32}
    assert len(secrets) == 10


def test_the_example_of_the_docs_verifies_what_was_signed_and_refuses_what_was_changed() -> None:
    [code] = re.findall(r"```python\n(.*?def verify.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - of our own docs
    secret, body, now = new_secret(), b'{"type": "alert"}', int(time.time())
    headers = {
        "webhook-id": "alert-default-1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret, "alert-default-1", now, body),
    }
    names["verify"](secret, headers, body)
    late = headers | {
        "webhook-timestamp": str(now - 301),
        "webhook-signature": sign(secret, "alert-default-1", now - 301, body),
    }
    changed = (
        (new_secret(), headers, body),
        (secret, headers, body + b" "),
        (secret, headers | {"webhook-id": "alert-default-2"}, body),
        (secret, late, body),
    )
    for arguments in changed:
        with pytest.raises(ValueError, match=r"signature|time"):
            names["verify"](*arguments)
