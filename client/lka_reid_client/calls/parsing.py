"""What answers mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from lka_reid_client.response import Response

Model = TypeVar("Model", bound=BaseModel)


def model(kind: type[Model]) -> Callable[[Response], Model]:
    """A parser of answers that are a JSON object of this kind; it raises ValueError for others."""

    def parse(response: Response) -> Model:
        return kind.model_validate_json(response.content)

    return parse


def nothing(_response: Response) -> None:
    """Of an answer that says no more than that it was done."""


def file(response: Response) -> tuple[bytes, str]:
    """A file's bytes, and its media type."""
    return response.content, response.headers.get("content-type", "")
