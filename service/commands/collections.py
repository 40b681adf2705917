"""`lka-reid collections`: galleries apart, in a running service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.markup import escape

from models.terminal import out
from models.wording import counted
from service.commands.console import Waits, ask, table
from service.commands.options import DEFAULT_URL, Json, Key, Url
from service.startup import CommandError

if TYPE_CHECKING:
    from service.remote.http import ServiceClient

HELP = "Make, list and drop collections of a running service, and set how much each may hold."

Name = Annotated[str, typer.Argument(metavar="NAME", help="The collection's name.", show_default=False)]
MaxImages = Annotated[
    int | None,
    typer.Option(min=0, help="Images it may hold. No limit if not given.", show_default=False),
]
MaxBytes = Annotated[
    int | None,
    typer.Option(
        min=0, help="Bytes of its database that it may use. No limit if not given.", show_default=False
    ),
]

NONE = "none"


class Limit(NamedTuple):
    """A limit as `set-quota` takes it; None takes it away."""

    most: int | None

    @classmethod
    def parse(cls, given: str) -> Limit:
        """Raises typer.BadParameter."""
        if given == NONE:
            return cls(None)
        if given.isdecimal():
            return cls(int(given))
        raise typer.BadParameter(f"{given!r} is no limit; it takes a whole number of 0 or more, or {NONE}")


NewMaxImages = Annotated[
    Limit | None,
    typer.Option(
        parser=Limit.parse,
        metavar="N|none",
        help="Images it may hold. As it was if not given.",
        show_default=False,
    ),
]
NewMaxBytes = Annotated[
    Limit | None,
    typer.Option(
        parser=Limit.parse,
        metavar="N|none",
        help="Bytes of its database that it may use. As it was if not given.",
        show_default=False,
    ),
]

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")


@app.callback(help=HELP)
def collections() -> None:
    """The group."""


@app.command("list")
def list_(
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List the collections that the key reaches, with what each holds and may hold."""
    with _client(url, key) as client:
        found = client.collections()
    if as_json:
        out.print_json(data=found)
        return
    made = table("Collections", "name", "images#", "of at most#", "bytes#", "of at most#")
    for one in found:
        made.add_row(
            escape(one["name"]),
            *(_number(one[name]) for name in ("images", "max_images", "bytes", "max_bytes")),
        )
    out.print(made)


@app.command()
def create(
    name: Name,
    max_images: MaxImages = None,
    max_bytes: MaxBytes = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Make an empty collection. Other commands name it by `--collection`."""
    with _client(url, key) as client:
        made = client.create_collection(name, _quota(max_images, max_bytes))
    if as_json:
        out.print_json(data=made)
        return
    out.print(f"Made the collection {escape(made['name'])}{_limits(made)}.")


@app.command("set-quota")
def set_quota(
    name: Name,
    max_images: NewMaxImages = None,
    max_bytes: NewMaxBytes = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Set one limit of a collection, or both; what is enrolled stays, also where it is more."""
    given = {"max_images": max_images, "max_bytes": max_bytes}
    new = {what: to for what, to in given.items() if to is not None}
    if not new:
        raise CommandError(f"give --max-images or --max-bytes, a number or {NONE}; nothing was changed")
    with _client(url, key) as client:
        found = next((one for one in client.collections() if one["name"] == name), {})
        limits = {what: new[what].most if what in new else found.get(what) for what in given}
        made = client.set_quota(name, {what: to for what, to in limits.items() if to is not None})
    if as_json:
        out.print_json(data=made)
        return
    out.print(f"The collection {escape(made['name'])} has {counted(made['images'], 'image')}{_limits(made)}.")


@app.command()
def drop(
    name: Name,
    url: Url = DEFAULT_URL,
    key: Key = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Drop a collection and all images in it; they cannot be brought back."""
    with _client(url, key) as client:
        if not yes:
            held = {one["name"]: one["images"] for one in client.collections()}
            if name in held:
                question = f"Drop the collection {name} and the {counted(held[name], 'image')} in it?"
                ask(question)
        client.drop_collection(name)
    if as_json:
        out.print_json(data={"dropped": name})
        return
    out.print(f"Dropped the collection {escape(name)}.")


@contextmanager
def _client(url: str, key: str | None) -> Iterator[ServiceClient]:
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient

    try:
        with ServiceClient(url, key, on_wait=Waits()) as client:
            yield client
    except ClientError as error:
        raise CommandError.of(error) from None


def _quota(max_images: int | None, max_bytes: int | None) -> dict[str, int]:
    given = {"max_images": max_images, "max_bytes": max_bytes}
    return {name: limit for name, limit in given.items() if limit is not None}


def _limits(made: dict[str, Any]) -> str:
    limits = [
        counted(made[name], unit)
        for name, unit in (("max_images", "image"), ("max_bytes", "byte"))
        if made[name] is not None
    ]
    return f" (at most {' and '.join(limits)})" if limits else " (no limit)"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
