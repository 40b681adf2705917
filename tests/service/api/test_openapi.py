"""The description at /docs agrees with what the service does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
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
        "POST /watches",
        "GET /watches",
        "GET /watches/{watch_id}",
        "DELETE /watches/{watch_id}",
        "GET /watches/{watch_id}/image",
        "POST /watches/{watch_id}/test",
        "GET /alerts",
        "GET /alerts/events",
        "GET /alerts/dead-letters",
        "POST /alerts/dead-letters/{alert_id}/retry",
        "DELETE /alerts/dead-letters/{alert_id}",
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


def resolved(schema: dict[str, Any], node: Any) -> Any:
    while "$ref" in node:
        reference, node = node["$ref"], schema
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    return node


def examples_of(schema: dict[str, Any], content: dict[str, Any]) -> Iterator[Any]:
    """What a content, parameter or field shows itself; else what its schema, or each of several, does."""
    own = content.get("examples", {})
    if own:
        yield from (resolved(schema, each)["value"] for each in own.values())
        return
    described = content["schema"]
    for each in described.get("anyOf", [described]):
        found = resolved(schema, each).get("examples", [])
        yield from found or described.get("examples", [None])


def shown(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that an example can be given of, by a name to find it by."""
    for name, operation in operations(schema):
        for parameter in operation.get("parameters", []):
            yield f"{name}: {parameter['in']} {parameter['name']}", parameter
        for status, response in operation["responses"].items():
            for kind, content in response.get("content", {}).items():
                yield f"{name}: {status} {kind}", content
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for field, described in resolved(schema, content["schema"])["properties"].items():
                is_file = "binary" in str(
                    described
                )  # which text cannot show; the description says what it takes
                if not is_file:
                    yield f"{name}: form field {field}", {"schema": described}


@pytest.mark.slow
def test_every_route_status_and_field_has_an_example_that_its_schema_allows(schema: dict[str, Any]) -> None:
    lacking, wrong = [], []
    for name, content in shown(schema):
        allowed = jsonschema_rs.Draft202012Validator(
            {**content["schema"], "components": schema["components"]}, validate_formats=True
        )
        for example in examples_of(schema, content):
            if example is None:
                lacking.append(name)
            elif not allowed.is_valid(example):
                wrong.append(f"{name}: {[error.message for error in allowed.iter_errors(example)]}")
    assert (lacking, wrong) == ([], [])


def test_every_status_shows_each_kind_that_it_describes_and_no_other(schema: dict[str, Any]) -> None:
    kinds = {kind.name: kind for kind in KINDS}
    for name, operation in operations(schema):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                content = response["content"]["application/problem+json"]
                described = {kind for kind in kinds if f"`{kinds[kind].type}`" in response["description"]}
                assert content["examples"].keys() == described, f"{name}: {status}"
                for kind, example in content["examples"].items():
                    problem = resolved(schema, example)["value"]
                    assert (problem["type"], problem["title"]) == (kinds[kind].type, kinds[kind].title)
                    assert problem["status"] == int(status), f"{name}: {kind}"
                    assert problem["detail"], kind


def test_examples_of_errors_show_what_only_their_kind_has(schema: dict[str, Any]) -> None:
    examples = schema["components"]["examples"]
    assert examples.keys() == {kind.name for kind in KINDS}
    values = {kind: example["value"] for kind, example in examples.items()}
    assert {kind for kind in values if "vehicles" in values[kind]} == {"no-vehicle", "several-vehicles"}
    assert {kind for kind in values if "differs" in values[kind]} == {"duplicate-image"}
    assert {kind for kind in values if "errors" in values[kind]} == {"invalid-fields", "not-an-image"}
