"""Every route has its rule, and every rule is kept: who is let in, by whom, and who is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from service.access.key import KeyScope, new_key
from service.access.rules import RULES
from service.api.app import create_app
from service.settings import Settings
from tests.service.access.holders import Guarded, guarded, showing
from tests.service.api.test_problems import check
from tests.service.fakes import image_file

HOLDERS = ("nobody", "stranger", "query", "enroll", "admin")
EVERYBODY, KEYS = set(HOLDERS), {"query", "enroll", "admin"}

# A route that is added has to be added here, by somebody who has thought about it.
LET_IN = {
    "POST /query": {"query", "admin"},
    "POST /detect": {"query", "admin"},
    "POST /query/batch": {"query", "admin"},
    "POST /gallery/batch": {"enroll", "admin"},
    "POST /explain": {"query", "admin"},
    "POST /gallery": {"enroll", "admin"},
    "GET /gallery": {"admin"},
    "GET /gallery/{image_id:path}/image": {"query", "admin"},
    "GET /gallery/{image_id:path}": {"query", "admin"},
    "DELETE /gallery": {"admin"},
    "DELETE /gallery/{image_id:path}": {"admin"},
    "PATCH /gallery/{image_id:path}": {"admin"},
    "GET /retention": {"admin"},
    "PUT /retention": {"admin"},
    "DELETE /retention": {"admin"},
    "POST /verdicts": {"query", "admin"},
    "GET /verdicts": {"admin"},
    "GET /verdicts/{probe}/image": {"admin"},
    "GET /verdicts/{probe}": {"query", "admin"},
    "DELETE /verdicts/{probe}/{image_id:path}": {"query", "admin"},
    "POST /watches": {"admin"},
    "GET /watches": {"admin"},
    "GET /watches/{watch_id}": {"admin"},
    "GET /watches/{watch_id}/image": {"admin"},
    "POST /watches/{watch_id}/test": {"admin"},
    "DELETE /watches/{watch_id}": {"admin"},
    "GET /alerts": {"admin"},
    "GET /alerts/events": {"admin"},
    "GET /alerts/dead-letters": {"admin"},
    "POST /alerts/dead-letters/{alert_id}/retry": {"admin"},
    "DELETE /alerts/dead-letters/{alert_id}": {"admin"},
    "GET /cameras": {"enroll", "admin"},
    "GET /cameras/{camera_id:path}": {"enroll", "admin"},
    "POST /cameras/{camera_id:path}/calibration": {"enroll", "admin"},
    "DELETE /cameras/{camera_id:path}/calibration": {"enroll", "admin"},
    "GET /collections": {"query", "admin"},
    "POST /collections": {"admin"},
    "GET /collections/{name}": {"query", "admin"},
    "PUT /collections/{name}/quota": {"admin"},
    "DELETE /collections/{name}": {"admin"},
    "GET /health/live": EVERYBODY,
    "GET /health/ready": EVERYBODY,
    "GET /metrics": KEYS,
    "GET /access": KEYS,
    "GET /status": KEYS,
    "GET /": EVERYBODY,
    "GET /console/{name}": EVERYBODY,
    "GET /docs": KEYS,
    "GET /docs/{name}": KEYS,
    "GET /openapi.json": KEYS,
    "HEAD /openapi.json": KEYS,
}
ROUTES = sorted(
    f"{method} {route.path}"
    for route in iter_route_contexts(create_app(Settings()).routes)
    for method in route.methods or ()
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("guarded"), rate_per_s=0) as it:
        yield it


def ask(shared: Guarded, route: str, holder: str) -> httpx.Response:
    method, template = route.split(" ")
    path = template.replace("/docs/{name}", "/docs/start.js").replace("{name}", "app.js")
    path = re.sub(r"{.*?}", "no-such-image", path)
    headers = {
        "nobody": {},
        "stranger": {"Authorization": "Bearer lka_00000000_" + "x" * 43},
    }.get(holder) or ({} if holder == "nobody" else shared.headers(holder))
    files = {"image": ("x", image_file())} if method == "POST" else None
    if template == "/alerts/events":
        method = "HEAD"  # needs what GET needs, and its answer has an end
    return shared.service.client.request(method, path, headers=headers, files=files)


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("route", ROUTES)
def test_each_route_lets_in_whom_it_should_and_nobody_else(shared: Guarded, route: str, holder: str) -> None:
    assert route in LET_IN, "a route without a decision on who may use it"
    response = ask(shared, route, holder)
    if holder in LET_IN[route]:
        assert response.status_code not in (401, 403)
    else:
        assert response.status_code == (403 if holder in KEYS else 401)
        if response.request.method != "HEAD":
            assert response.headers["Content-Type"] == "application/problem+json"


def test_the_table_holds_the_routes_and_no_others() -> None:
    served = {route for route in ROUTES if not route.startswith("HEAD ")}
    assert {f"{rule.method} {rule.path}" for rule in RULES} == served


def test_a_route_without_a_rule_is_not_served(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        it.service.app.add_api_route("/secrets", lambda: "all of them")
        it.service.app.add_api_route("/gallery/{image_id:path}", lambda: "changed", methods=["PUT"])
        response = it.service.client.get("/secrets", headers=it.headers("admin"))
        assert response.json()["type"] == "urn:lka-reid:problem:no-such-route"
        response = it.service.client.put("/gallery/a", headers=it.headers("admin"))
        assert response.json()["type"] == "urn:lka-reid:problem:method-not-allowed"
        assert response.headers["Allow"] == "DELETE, GET, HEAD, PATCH"
        assert it.service.client.get("/secrets").status_code == 401


def test_a_prefix_of_the_application_changes_nothing(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        it.service.app.root_path = "/reid"
        for path in ("/reid/gallery", "/gallery"):
            assert it.service.client.get(path, headers=it.headers("query")).status_code == 403
            assert it.service.client.get(path, headers=it.headers("admin")).status_code == 200


def test_the_description_names_the_scopes() -> None:
    schema = create_app(Settings()).openapi()
    assert set(schema["components"]["securitySchemes"]) == {"bearer", "header"}
    assert schema["paths"]["/query"]["post"]["security"] == [{"bearer": ["query"]}, {"header": ["query"]}]
    deleting = schema["paths"]["/gallery/{image_id}"]["delete"]
    assert deleting["security"][0] == {"bearer": ["admin"]}
    assert "scope `admin`" in deleting["description"]
    assert "security" not in schema["paths"]["/health/live"]["get"]


@pytest.mark.parametrize(
    ("setting", "paths"),
    [("metrics_public", {"/metrics"}), ("docs_public", {"/docs", "/docs/start.js", "/openapi.json"})],
)
def test_a_setting_opens_what_it_names(tmp_path: Path, setting: str, paths: set[str]) -> None:
    with guarded(tmp_path, **{setting: True}) as it:
        for path in ("/metrics", "/docs", "/docs/start.js", "/openapi.json", "/gallery", "/access"):
            assert it.service.client.get(path).status_code == (200 if path in paths else 401)


@pytest.mark.slow
@pytest.mark.parametrize("route", ["GET /gallery", "GET /metrics"])
def test_an_expired_key_is_refused_and_answered_so_and_one_that_expires_later_is_let_in(
    tmp_path: Path, route: str
) -> None:
    with guarded(tmp_path) as it:
        now = datetime.now(UTC)
        answers = []
        for expires in (now - timedelta(minutes=1), now + timedelta(hours=1)):
            secret, key = new_key("gate", {KeyScope.ADMIN}, now - timedelta(hours=1), expires)
            it.file.add(key)
            answers.append(it.service.client.get(route.split()[1], headers=showing(secret)))
            forged = showing(secret[:-4] + "AAAA")
            refused = it.service.client.get(route.split()[1], headers=forged)
            assert "expired" not in refused.text
        problem = check(answers[0], 401, "key-required")
        assert f"{now - timedelta(minutes=1):%Y-%m-%d %H:%M} UTC" in problem["detail"]
        assert "invalid_token" in answers[0].headers["WWW-Authenticate"]
        assert answers[1].status_code == 200
