"""The client and the service's OpenAPI document say the same: routes, fields, answers and error kinds."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import pytest

from lka_reid_client import Kind, answers
from lka_reid_client.answers import Answer
from lka_reid_client.call import Call
from lka_reid_client.events import Listening
from service.api.app import create_app
from service.api.error_kinds import KINDS
from service.settings import Settings
from tests.client.samples import SAMPLES, SEVERAL, calls, methods

TO_DO = (
    "\nWhoever changes a route changes the client, too: the call in client/lka_reid_client/calls/, the "
    "method in operations.py, the types in answers/, the kind in kinds.py, the method's sample in "
    "tests/client/samples.py and its row in docs/client.md."
)
OF_A_PART = {"records", "verdicts", "alerts", "dead_letters", "count", "delete_where", "explain_figure"}
"""Methods that return a part of the answer, or another form of it."""
STREAM = ("GET", "/alerts/events")
"""What `alert_events` of both clients reads."""
SAME_BELOW = "/v1"
"""Prefix under which the same routes are served again."""


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def operations(schema: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    found = {
        (method.upper(), path): operation
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    }
    return {
        (method, path): operation
        for (method, path), operation in found.items()
        if not (path.startswith(SAME_BELOW) and (method, path.removeprefix(SAME_BELOW)) in found)
    }


def template(call: Call[Any]) -> str:
    """The OpenAPI path that a sample's path is one of: samples call their names as below."""
    names = {
        "i": "{image_id}",
        "c": "{camera_id}",
        "north": "{name}",
        "ab" * 32: "{probe}",
        "3": "{watch_id}",
        "12": "{alert_id}",
    }
    return "/".join(names.get(part, part) for part in call.path.split("/"))


def by_route() -> dict[tuple[str, str], list[Call[Any]]]:
    found: dict[tuple[str, str], list[Call[Any]]] = {}
    for call in calls().values():
        found.setdefault((call.method, template(call)), []).append(call)
    return found


def test_every_method_has_a_sample() -> None:
    assert methods().keys() == SAMPLES.keys() | SEVERAL, TO_DO


def test_a_sample_gives_a_method_all_that_it_takes() -> None:
    for name, build in methods().items():
        if name in SEVERAL:
            continue
        args, kwargs = SAMPLES[name]
        bound = inspect.signature(build).bind(*args, **kwargs)
        expected = set(inspect.signature(build).parameters) - {"where", "about"}
        assert expected <= set(bound.arguments), f"{name}: {expected - set(bound.arguments)} not given"


def test_every_route_has_a_method_and_every_method_a_route(schema: dict[str, Any]) -> None:
    served, asked = set(operations(schema)), set(by_route()) | {STREAM}
    assert served - asked == set(), f"routes that the client lacks: {sorted(served - asked)}{TO_DO}"
    assert asked - served == set(), f"routes that are not served: {sorted(asked - served)}{TO_DO}"


def test_every_field_can_be_sent_and_no_other(schema: dict[str, Any]) -> None:
    asked = by_route() | {STREAM: [Listening(1).call()]}
    for route, operation in operations(schema).items():
        takes = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
        of_collection = "collection" in takes
        assert all(call.of_collection == of_collection for call in asked[route]), (
            f"{route}: collection{TO_DO}"
        )
        form = set()
        for content in operation.get("requestBody", {}).get("content", {}).values():
            form = set(
                schema["components"]["schemas"][content["schema"]["$ref"].split("/")[-1]]["properties"]
            )
        sent = set().union(*(call.params for call in asked[route]))
        parts = {name for call in asked[route] if call.parts for name, _ in call.parts()}
        fields = set().union(*(call.form for call in asked[route])) | parts
        assert sent == takes - {"collection"}, f"{route}: parameters of the URL{TO_DO}"
        assert fields == form, f"{route}: fields of the form{TO_DO}"


def shape(node: dict[str, Any], defined: dict[str, Any]) -> Any:
    """What a schema says of a value, without descriptions and bounds; words that are chosen from are text."""
    if "$ref" in node:
        name = node["$ref"].split("/")[-1]
        return "string" if "enum" in defined.get(name, {}) else name
    if "anyOf" in node:
        return frozenset(str(shape(one, defined)) for one in node["anyOf"])
    if "enum" in node or "const" in node:
        return "string"
    if node["type"] == "array":
        items = [shape(one, defined) for one in node.get("prefixItems", [])]
        return ("array", *items) if items else ("list", shape(node["items"], defined))
    return (node["type"], node["format"]) if node.get("format") == "date-time" else node["type"]


def answered(schema: dict[str, Any]) -> set[str]:
    """The names of all models that answers hold."""
    defined, found = schema["components"]["schemas"], set[str]()

    def look(node: Any) -> None:
        if isinstance(node, dict):
            of, _, name = str(node.get("$ref", "")).rpartition("/")
            if of == "#/components/schemas" and name not in found:
                found.add(name)
                look(defined[name])
            for value in node.values():
                look(value)
        elif isinstance(node, list):
            for value in node:
                look(value)

    for operation in operations(schema).values():
        look(operation["responses"])
    assert "AlertEvent" not in found, "it is in an answer now"
    return {name for name in found if "properties" in defined[name]}


def test_every_answer_has_its_type_with_every_field(schema: dict[str, Any]) -> None:
    defined = schema["components"]["schemas"]
    ours = {name for name in answers.__all__ if name not in ("Answer", "AlertEvent")}
    assert ours == answered(schema), f"models of answers: {sorted(ours ^ answered(schema))}{TO_DO}"
    for name in sorted(ours):
        model: type[Answer] = getattr(answers, name)
        mine = model.model_json_schema(mode="validation")
        theirs = defined[name]
        assert set(mine["properties"]) == set(theirs["properties"]), f"{name}: fields{TO_DO}"
        assert set(mine.get("required", [])) == set(theirs.get("required", [])), f"{name}: required{TO_DO}"
        for field, described in theirs["properties"].items():
            own, served = shape(mine["properties"][field], {}), shape(described, defined)
            assert own == served, f"{name}.{field} is {served}, not {own}{TO_DO}"


def test_a_method_returns_what_its_route_answers(schema: dict[str, Any]) -> None:
    made = calls()
    for name, build in methods().items():
        if name in SEVERAL:
            continue
        call = made[name]
        route = (call.method, template(call))
        contents = [
            content["schema"]
            for status, response in operations(schema)[route]["responses"].items()
            if int(status) < 400
            for kind, content in response.get("content", {}).items()
            if kind == "application/json"
        ]
        models = {ref for one in contents for ref in _names(one)}
        returned = str(get_type_hints(build)["return"])
        if models and name not in OF_A_PART:
            found = returned.split(".")[-1].rstrip("]'>")
            assert found in models, f"{name} returns {found}, its route {sorted(models)}{TO_DO}"


def _names(node: dict[str, Any]) -> set[str]:
    return {one["$ref"].split("/")[-1] for one in [node, *node.get("anyOf", [])] if "$ref" in one}


def test_every_error_kind_is_known_and_no_other() -> None:
    assert {kind.value for kind in Kind} == {kind.name for kind in KINDS}, TO_DO
