"""A parameter that a URL does not take is refused by name, on every route."""

from __future__ import annotations

import re
from typing import Any

import pytest

from service.access.rules import RULES
from service.api.middleware.parameters import Taken
from tests.service.api.test_problems import check
from tests.service.fakes import Running, image_file


@pytest.fixture(scope="module")
def holding(shared_service: Running) -> Running:
    """The shared service, with one image enrolled."""
    shared_service.enroll(image_id="a")
    return shared_service


def address(template: str) -> str:
    return re.sub(r"{image_id.*?}", "a", template).replace("{name}", "start.js")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.method} {rule.path}")
@pytest.mark.parametrize("query", ["colour=red", "colour", "colour=", "a=1&colour=2", "limit=1&colour=red"])
def test_no_route_ignores_an_unknown_one(holding: Running, rule: Any, query: str) -> None:
    files = (
        {"image": ("x", image_file()), "candidate_image": ("x", image_file())}
        if rule.method == "POST"
        else None
    )
    response = holding.client.request(rule.method, f"{address(rule.path)}?{query}", files=files)
    names = [part.partition("=")[0] for part in query.split("&")]
    takes = {"/gallery", "/verdicts", "/alerts", "/alerts/dead-letters"} if rule.method == "GET" else set()
    named = [name for name in names if not (rule.path in takes and name == "limit")]
    problem = check(response, 422, "invalid-fields", *named)
    assert "is not a parameter of this URL; it takes" in problem["errors"][-1]["message"]
    assert holding.gallery.count() == 1


def test_it_says_what_the_url_takes_and_where_a_field_belongs(shared_service: Running) -> None:
    problem = check(shared_service.client.get("/gallery?camera_id=cam2"), 422, "invalid-fields", "camera_id")
    message = problem["errors"][0]["message"]
    assert message.startswith("is not a parameter of this URL; it takes only_camera_id, ")
    assert message.endswith(", limit, after, collection")
    asked = shared_service.client.post("/query?top_k=1", files={"image": ("x", image_file())})
    message = check(asked, 422, "invalid-fields", "top_k")["errors"][0]["message"]
    assert message == "is not a parameter of this URL; it takes collection; send it as a field of the form"


def test_one_that_comes_twice_is_refused(shared_service: Running) -> None:
    problem = check(shared_service.client.get("/gallery?limit=1&limit=2"), 422, "invalid-fields", "limit")
    assert problem["errors"][0]["message"] == "comes 2 times; send it once"


@pytest.mark.parametrize("query", ["", "limit=1", "limit=1&after=AAAAAAAABQQrHBND", "&&", "lim%69t=1"])
def test_what_is_taken_is_taken(shared_service: Running, query: str) -> None:
    assert shared_service.client.get(f"/gallery?{query}").status_code == 200


def test_a_refused_request_is_not_one_that_reads_its_body(shared_service: Running) -> None:
    # The parameter is refused by the head alone; the body is no form at all.
    response = shared_service.client.post("/query?top_k=1", content=b"x")
    check(response, 422, "invalid-fields", "top_k")


def test_thousands_of_them_make_no_answer_of_thousands(shared_service: Running) -> None:
    response = shared_service.client.get("/gallery?" + "&".join(f"p{number}" for number in range(5000)))
    assert "and 4,968 more" in response.json()["detail"]
    assert len(response.content) < 10_000
    long = shared_service.client.get(f"/gallery?{'n' * 20_000}")
    assert len(long.content) < 1000


def test_where_nothing_is_served_that_is_what_is_said(shared_service: Running) -> None:
    check(shared_service.client.get("/nowhere?a=1"), 404, "no-such-route")
    check(shared_service.client.put("/query?a=1"), 405, "method-not-allowed")


def test_a_list_may_come_again() -> None:
    parameters = [{"name": "tag", "in": "query", "schema": {"type": "array"}}]
    taken = Taken.of({"parameters": [*parameters, {"name": "id", "in": "path"}]}, {})
    assert taken.faults("tag=a&tag=b") == []
    assert [fault.field for fault in taken.faults("id=1")] == ["id"]
