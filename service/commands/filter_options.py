"""The options that say which images are searched or listed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_type_hints

import typer
from pydantic import ValidationError

from service.filtering import FilterFields
from service.startup import CommandError

PANEL = "Which images; all of what is given has to hold"


def _several(name: str, what: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        name, help=f"{what} May be given again.", show_default=False, rich_help_panel=PANEL
    )
    return option


def _time(name: str, what: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        name, metavar="TIME", help=what, show_default=False, rich_help_panel=PANEL
    )
    return option


OPTIONS: dict[str, Any] = {
    "only_camera_id": Annotated[
        list[str] | None, _several("--only-camera-id", "Taken by this camera, or one of these.")
    ],
    "not_camera_id": Annotated[
        list[str] | None, _several("--not-camera-id", "Taken by none of these cameras.")
    ],
    "captured_from": Annotated[
        str | None, _time("--captured-from", "Captured then or later, such as 2024-05-17T08:00:00+02:00.")
    ],
    "captured_to": Annotated[str | None, _time("--captured-to", "Captured earlier than then.")],
    "only_vehicle_id": Annotated[
        list[str] | None, _several("--only-vehicle-id", "Of this vehicle, or one of these.")
    ],
    "only_view": Annotated[list[str] | None, _several("--only-view", "Showing this side, or one of these.")],
    "only_vehicle_type": Annotated[
        list[str] | None, _several("--only-vehicle-type", "Of this kind of vehicle, or one of these.")
    ],
    "any_tag": Annotated[list[str] | None, _several("--any-tag", "With this tag, or at least one of these.")],
    "all_tag": Annotated[list[str] | None, _several("--all-tag", "With this tag, and each of these.")],
}

Where = dict[str, str | list[str]]
"""The fields of a filter that were given."""


def takes_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; what is given arrives, checked, as its keyword argument `where`.

    Raises:
        CommandError: when it is called, as `checked_filter`.
    """

    @wraps(command)
    def called(**given: Any) -> None:
        where = checked_filter(**{name: given.pop(name, None) for name in OPTIONS})
        command(**given, where=where)

    hints = get_type_hints(command, include_extras=True) | OPTIONS
    own = [each for each in signature(command).parameters.values() if each.name != "where"]
    more = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in OPTIONS]
    # What Typer reads: a signature, and the types of what is in it.
    parameters = [
        each.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[each.name]) for each in (*own, *more)
    ]
    called.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def checked_filter(**given: list[str] | str | None) -> Where:
    """The fields of a filter that were given, as the service takes them.

    Raises:
        CommandError: the service would not take one; the message names the option and the value.
    """
    fields = {name: value for name, value in given.items() if value is not None and value != []}
    try:
        FilterFields.model_validate(fields)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        option = str(fault["loc"][0]).replace("_", "-")
        raise CommandError(f"--{option} {fault['msg']}") from None
    return fields
