"""What the OpenAPI document says of all routes: problem+json, and the scope that each needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from service.access.key import KeyScope
from service.access.rules import RULES, Open, Reach, Rule
from service.api.answer_examples import ANSWERS
from service.api.error_examples import problem_examples
from service.api.error_kinds import (
    AUDIT_FAILED,
    COLLECTION_OUT_OF_REACH,
    FOREIGN_SITE,
    GALLERY_UNREACHABLE,
    HEAD_TOO_LARGE,
    INTERNAL,
    INVALID_FIELDS,
    KEY_REQUIRED,
    KEYS_UNREADABLE,
    RATE_LIMITED,
    SCOPE_MISSING,
    UNKNOWN_COLLECTION,
    ErrorKind,
)
from service.api.middleware.etag import has_tag
from service.api.problems import MEDIA_TYPE, responses

TAGS = [
    {"name": "query", "description": "Find the images most similar to a probe."},
    {"name": "verdicts", "description": "What people decided of probes and matches."},
    {"name": "watches", "description": "Vehicles that are looked for in whatever is enrolled from now on."},
    {"name": "gallery", "description": "What is enrolled."},
    {"name": "collections", "description": "Galleries apart, each with a quota of its own."},
    {"name": "cameras", "description": "What is known of the cameras, and taken out of descriptors."},
    {"name": "health", "description": "Whether the service lives, is ready, and how it fares."},
]
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, where the service has any."},
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same keys, for clients that cannot send `Authorization`.",
    },
}
NOT_MODIFIED = "`If-None-Match` names the `ETag` of what would be answered: it is as it was"
VALIDATION_ERROR = "Validation Error"
_FOR_A_KEY = (KEY_REQUIRED, FOREIGN_SITE, HEAD_TOO_LARGE, RATE_LIMITED, KEYS_UNREADABLE)
_FOR_A_SCOPE = (*_FOR_A_KEY, SCOPE_MISSING, AUDIT_FAILED, GALLERY_UNREACHABLE)


def document(title: str, version: str, description: str, routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The OpenAPI document of routes: errors come as problem+json, and each says what it needs."""
    schema = get_openapi(title=title, version=version, description=description, routes=routes, tags=TAGS)
    schema["components"] |= {"securitySchemes": SCHEMES, "examples": problem_examples()}
    for name in ("HTTPValidationError", "ValidationError"):  # the framework's; ours is Problem
        schema["components"]["schemas"].pop(name, None)
    for answer in ANSWERS:
        schema["components"]["schemas"][type(answer).__name__]["examples"] = [answer.model_dump(mode="json")]
    for rule in RULES:
        operation = schema["paths"].get(_format(rule.path), {}).get(rule.method.lower())
        if operation is not None:
            _describe_access(operation, rule)
            if has_tag(rule):
                operation["responses"]["304"] = {"description": NOT_MODIFIED}
    for path in schema["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
    _leave_out_null(schema)
    return schema


def _leave_out_null(document: dict[str, Any]) -> None:
    """Say of fields of forms and URLs what can be sent: a value or nothing, never null or an empty list."""
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    fields = [each["schema"] for operation in operations for each in operation.get("parameters", [])]
    for operation in operations:
        for body in operation.get("requestBody", {}).get("content", {}).values():
            form = document["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
            fields += form["properties"].values()
    for field in fields:
        kinds = [kind for kind in field.get("anyOf", []) if kind != {"type": "null"}]
        if len(kinds) == 1:
            del field["anyOf"]
            field |= kinds[0]
        if field.get("type") == "array":
            field.setdefault("minItems", 1)
            field.pop("default", None)


def _format(template: str) -> str:
    return re.sub(r":\w+}", "}", template)


def _describe_access(operation: dict[str, Any], rule: Rule) -> None:
    if rule.needs is Open.ALWAYS:
        return
    kinds: tuple[ErrorKind, ...] = _FOR_A_KEY
    if isinstance(rule.needs, KeyScope):
        operation["security"] = [{name: [rule.needs.value]} for name in SCHEMES]
        operation["description"] += f"\n\nNeeds a key with scope `{rule.needs}`, where the service has keys."
        kinds = _FOR_A_SCOPE
        if rule.reach in (Reach.ONE, Reach.ALL):
            kinds = (*kinds, COLLECTION_OUT_OF_REACH)
        if rule.reach is Reach.ONE:
            kinds = (*kinds, UNKNOWN_COLLECTION)
            if operation["responses"].get("422", {}).get("description") == VALIDATION_ERROR:
                # The framework's, of the parameter `collection`; other routes say what is wrong with theirs.
                del operation["responses"]["422"]
                kinds = (*kinds, INVALID_FIELDS)
    else:
        # The empty one: a setting may open it to everybody.
        anybody: list[dict[str, list[str]]] = [] if rule.needs is Open.ANY_KEY else [{}]
        operation["security"] = anybody + [{name: []} for name in SCHEMES]
        if rule.reach is Reach.ALL:
            kinds = (*kinds, COLLECTION_OUT_OF_REACH)
    for status, response in responses(*kinds).items():
        if status == INTERNAL.status:
            continue
        known = operation["responses"].setdefault(str(status), {})
        # Anew, not in place: routes share what `responses` made.
        had = known.get("content", {}).get("application/json", {})
        more = response["content"]["application/json"]["examples"]
        known["content"] = {
            "application/json": {"schema": _PROBLEM, "examples": had.get("examples", {}) | more}
        }
        known["description"] = "  \n".join(filter(None, (known.get("description"), response["description"])))


_PROBLEM = {"$ref": "#/components/schemas/Problem"}
