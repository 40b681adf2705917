"""The description at /docs agrees with what the service does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.api.app import create_app
from service.api.error_kinds import KINDS
from service.settings import Settings


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_it_is_a_whole_openapi_document(schema: dict[str, Any]) -> None:
    assert schema["openapi"].startswith("3.1")
    assert schema["info"]["title"]
    names = [operation["operationId"] for _, operation in operations(schema)]
    assert len(set(names)) == len(names)
    for reference in references(schema):
        node: Any = schema
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_it_has_the_routes(schema: dict[str, Any]) -> None:
    assert {name for name, _ in operations(schema)} == {
        "POST /query",
        "POST /detect",
        "POST /query/batch",
        "POST /gallery/batch",
        "POST /explain",
        "POST /gallery",
        "GET /gallery",
        "GET /gallery/{image_id}",
        "GET /gallery/{image_id}/image",
        "DELETE /gallery/{image_id}",
        "DELETE /gallery",
        "PATCH /gallery/{image_id}",
        "GET /retention",
        "PUT /retention",
        "DELETE /retention",
        "POST /verdicts",
        "GET /verdicts",
        "GET /verdicts/{probe}",
        "GET /verdicts/{probe}/image",
        "DELETE /verdicts/{probe}/{image_id}",
        "GET /cameras",
        "GET /cameras/{camera_id}",
        "POST /cameras/{camera_id}/calibration",
        "DELETE /cameras/{camera_id}/calibration",
        "GET /access",
        "GET /collections",
        "POST /collections",
        "GET /collections/{name}",
        "PUT /collections/{name}/quota",
        "DELETE /collections/{name}",
        "GET /status",
        "GET /health/live",
        "GET /health/ready",
        "GET /metrics",
    }


def test_every_error_is_a_problem(schema: dict[str, Any]) -> None:
    for name, operation in operations(schema):
        assert operation["summary"], name
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], name
                reference = response["content"]["application/problem+json"]["schema"]["$ref"]
                assert reference == "#/components/schemas/Problem"
    assert "HTTPValidationError" not in schema["components"]["schemas"]


def test_every_kind_a_client_can_meet_is_described(schema: dict[str, Any]) -> None:
    described = " ".join(
        response["description"]
        for _, operation in operations(schema)
        for response in operation["responses"].values()
    )
    for kind in KINDS:
        if kind.name not in ("no-such-route", "method-not-allowed", "client-closed-request"):
            assert kind.type in described


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/query", "QueryForm"),
        ("/explain", "ExplainForm"),
        ("/gallery", "EnrollForm"),
        ("/cameras/{camera_id}/calibration", "CalibrationForm"),
    ],
)
def test_the_forms_are_multipart_with_a_file(schema: dict[str, Any], path: str, form: str) -> None:
    content = schema["paths"][path]["post"]["requestBody"]["content"]
    assert list(content) == ["multipart/form-data"]
    described = schema["components"]["schemas"][form]
    assert described["properties"]["image"]["format"] == "binary"
    assert described["required"] == ["image"]
    assert described["additionalProperties"] is False
    assert all(field["description"] for field in described["properties"].values())
