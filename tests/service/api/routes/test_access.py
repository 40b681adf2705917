"""A client is told whose key it shows, and what it may do with it."""

from __future__ import annotations

from pathlib import Path

from tests.service.access.holders import guarded
from tests.service.fakes import Running


def test_without_keys_everybody_may_do_everything(shared_service: Running) -> None:
    answer = shared_service.client.get("/access").json()
    assert answer == {"key": None, "scopes": ["query", "enroll", "admin"]}


def test_a_keys_holder_sees_its_name_and_scopes_and_no_secret(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        for scope, permitted in (("query", ["query"]), ("admin", ["query", "enroll", "admin"])):
            response = it.service.client.get("/access", headers=it.headers(scope))
            answer = response.json()
            assert answer["key"]["name"] == f"the {scope} one"
            assert answer["key"]["scopes"] == [scope]
            assert answer["scopes"] == permitted
            assert it.secrets[scope][-8:] not in response.text
        assert it.service.client.get("/access").status_code == 401
