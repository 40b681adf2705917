"""A URL's parameters: one that the route does not take is refused, as an unknown field of a form is.

What a route takes is read from the interface's own description, so that there is no second list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.rules import Rule
from service.api import problems
from service.api.errors import FieldFault

FORM = "multipart/form-data"


@dataclass(frozen=True)
class Taken:
    """What an operation takes: parameters in its URL, those of them that may come again, fields of a form."""

    parameters: tuple[str, ...] = ()
    repeatable: frozenset[str] = field(default_factory=frozenset)
    fields: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, operation: Mapping[str, Any], schema: Mapping[str, Any]) -> Taken:
        """What an operation of an OpenAPI document takes."""
        found = [it for it in operation.get("parameters", []) if it["in"] == "query"]
        content = operation.get("requestBody", {}).get("content", {}).get(FORM, {})
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        form = schema.get("components", {}).get("schemas", {}).get(name, {})
        return cls(
            parameters=tuple(it["name"] for it in found),
            repeatable=frozenset(it["name"] for it in found if it["schema"].get("type") == "array"),
            fields=frozenset(form.get("properties", {})),
        )

    def faults(self, query: str) -> list[FieldFault]:
        """What is wrong with a URL's query, parameter by parameter."""
        counts = Counter(name for name, _ in parse_qsl(query, keep_blank_values=True))
        takes = ", ".join(self.parameters) or "none"
        faults = []
        for name, count in counts.items():
            if name not in self.parameters:
                instead = "; send it as a field of the form" if name in self.fields else ""
                faults.append(FieldFault(name, f"is not a parameter of this URL; it takes {takes}{instead}"))
            elif count > 1 and name not in self.repeatable:
                faults.append(FieldFault(name, f"comes {count} times; send it once"))
        return faults


class ParametersMiddleware:
    """Refuses parameters that a route does not take, and a second value for one that takes one.

    Args:
        describe: gives the OpenAPI document; called once, by the first request that has parameters.
    """

    def __init__(self, app: ASGIApp, describe: Callable[[], Mapping[str, Any]]) -> None:
        self._app = app
        self._describe = describe
        self._operations: dict[tuple[str, str], Taken] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["query_string"]:
            faults = self._of(scope["state"]["rule"]).faults(scope["query_string"].decode("latin-1"))
            if faults:
                response = await problems.on_error(Request(scope), problems.invalid_fields(faults))
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _of(self, rule: Rule) -> Taken:
        if self._operations is None:
            schema = self._describe()
            self._operations = {
                (method.upper(), path): Taken.of(operation, schema)
                for path, methods in schema["paths"].items()
                for method, operation in methods.items()
            }
        # What is not described, such as the description itself, takes none.
        return self._operations.get((rule.method, re.sub(r":\w+}", "}", rule.path)), Taken())
