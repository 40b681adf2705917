"""The options that say which images are searched or listed."""

from __future__ import annotations

from typing import Annotated

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


OnlyCamera = Annotated[
    list[str] | None, _several("--only-camera-id", "Taken by this camera, or one of these.")
]
NotCamera = Annotated[list[str] | None, _several("--not-camera-id", "Taken by none of these cameras.")]
CapturedFrom = Annotated[
    str | None,
    _time("--captured-from", "Captured then or later, such as 2024-05-17T08:00:00+02:00."),
]
CapturedTo = Annotated[str | None, _time("--captured-to", "Captured earlier than then.")]
OnlyVehicle = Annotated[list[str] | None, _several("--only-vehicle-id", "Of this vehicle, or one of these.")]
OnlyView = Annotated[list[str] | None, _several("--only-view", "Showing this side, or one of these.")]
OnlyType = Annotated[
    list[str] | None, _several("--only-vehicle-type", "Of this kind of vehicle, or one of these.")
]
AnyTag = Annotated[list[str] | None, _several("--any-tag", "With this tag, or at least one of these.")]
AllTag = Annotated[list[str] | None, _several("--all-tag", "With this tag, and each of these.")]


def checked_filter(**given: list[str] | str | None) -> dict[str, str | list[str]]:
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
