"""A key that is limited to a collection gets nothing of another one, whatever it asks and however."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.access.key import KeyScope, new_key
from service.access.rules import RULES, Reach, Rule
from tests.service.access.holders import MADE, Guarded, guarded, showing
from tests.service.fakes import RED, image_file

PROBE = image_file(RED)
KNOWN = {"image_id": "hidden-id", "vehicle_id": "hidden-v", "camera_id": "hidden-c", "tags": "hidden-t"}
PLACES = {"{image_id:path}": "hidden-id", "{camera_id:path}": "hidden-c", "{name}": "south"}
PLACES |= {"{watch_id}": "1", "{alert_id}": "1"}
PLACES["{probe}"] = hashlib.sha256(PROBE).hexdigest()
WAYS = (
    "",
    "?collection=",
    "?collection=south",
    "?collection=default",
    "?collection=North",
    "?collection=%73outh",
    "?collectio%6e=south",
    "?collection%3Dsouth",
    "?Collection=south",
    "?collection=north%00",
    "?collection=north&collection=south",
    "?collection=south&collection=north",
    "?collection=north&collection[]=south",
    "?collection=north;collection=south",
)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A service with an image and a verdict in two collections, and an admin's key for a third one."""
    folder: Path = tmp_path_factory.mktemp("reach")
    with guarded(folder, rate_per_s=0) as holding:
        client, admin = holding.service.client, holding.headers("admin")
        for name in ("north", "south"):
            made = client.post("/collections", files={"name": (None, name)}, headers=admin)
            assert made.status_code == 201
        for name in ("default", "south"):
            sending: dict[str, Any] = {"params": {"collection": name}, "files": {"image": ("x", PROBE)}}
            assert client.post("/gallery", data=KNOWN, headers=admin, **sending).status_code == 201
            decided = {"image_id": "hidden-id", "verdict": "same"}
            assert client.post("/verdicts", data=decided, headers=admin, **sending).status_code == 200
        secret, key = new_key("north", {KeyScope.ADMIN}, MADE, collections=["north"])
        holding.file.add(key)
        holding.secrets["north"] = secret
        yield holding


def ask(held: Guarded, rule: Rule, way: str, **places: str) -> Any:
    path = rule.path
    for place, value in {**PLACES, **places}.items():
        path = path.replace(place, value)
    sent: dict[str, Any] = {}
    if rule.method == "PATCH":
        sent["files"] = {"view": (None, "changed")}
    elif rule.method in ("POST", "PUT"):
        sent["files"] = {"images" if rule.is_batch else "image": ("x", PROBE)}
        if rule.path == "/verdicts":
            sent["data"] = {"image_id": "hidden-id", "verdict": "different"}
        if rule.path == "/explain":
            sent["data"] = {"candidate_id": "hidden-id"}
    headers = showing(held.secrets["north"])
    method = "HEAD" if rule.path == "/alerts/events" else rule.method  # whose answer has an end
    return held.service.client.request(method, path + way, headers=headers, **sent)


def those_of(*reaches: Reach) -> pytest.MarkDecorator:
    rules = [rule for rule in RULES if rule.reach in reaches]
    return pytest.mark.parametrize("rule", rules, ids=lambda rule: f"{rule.method} {rule.path}")


@those_of(Reach.ONE, Reach.ALL)
def test_nothing_of_another_collection_is_answered_or_changed(held: Guarded, rule: Rule) -> None:
    for way in WAYS:
        answer = ask(held, rule, way)
        assert answer.status_code in (403, 422), (way, answer.text)
    for name in ("default", "south"):
        listed = held.service.client.get(
            "/gallery", params={"collection": name}, headers=held.headers("admin")
        ).json()["records"]
        assert [(record["image_id"], record["view"]) for record in listed] == [("hidden-id", None)]


@those_of(Reach.ONE)
def test_its_own_collection_tells_nothing_of_another_one(held: Guarded, rule: Rule) -> None:
    """Neither the same bytes, nor verdicts on the same probe, nor cameras."""
    answer = ask(held, rule, "?collection=north", **{"{camera_id:path}": "own"})
    assert answer.status_code not in (401, 403, 500)
    if answer.content and "json" in answer.headers["Content-Type"]:
        document = answer.json()
        if not answer.is_success:
            # What was asked for is repeated.
            del document["instance"], document["detail"]
        assert "hidden" not in str(document)
