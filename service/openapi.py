"""What /docs says beyond what the routes say themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from service.problems import MEDIA_TYPE

TAGS = [
    {"name": "query", "description": "Find the images most similar to a probe."},
    {"name": "gallery", "description": "What is enrolled."},
    {"name": "health", "description": "Whether the service lives, is ready, and how it fares."},
]


def install(app: FastAPI) -> None:
    """Let the schema say that errors come as problem+json."""
    generate: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = generate()
            for path in schema["paths"].values():
                for operation in path.values():
                    for status, response in operation["responses"].items():
                        if int(status) >= 400:
                            response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
