"""`lka-reid keys`: who may use the service. A running service sees every change at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.terminal import err, out
from service.access.expiry import EXPIRY_RULE, parse_expiry
from service.access.key import NAME_RULE, KeyScope
from service.commands.console import table
from service.commands.options import DataDir, Json
from service.startup import CommandError

if TYPE_CHECKING:
    from datetime import datetime

    from service.access.audit import AuditLog
    from service.access.key import ApiKey
    from service.access.keyhome import KeyHome

HELP = "Make, list and revoke API keys; a running service sees it at once."

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")


@app.callback(help=HELP)
def keys() -> None:
    """The group."""


@app.command()
def create(
    scope: Annotated[
        list[KeyScope],
        typer.Option(
            help="What the key permits: query (and to look at single images), enroll, or admin: all that, to "
            "list and to delete. Several may be given."
        ),
    ],
    name: Annotated[str, typer.Option(help="Who or what will use it; it stands in the audit log.")],
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN|DATE", help=f"When the key is refused: {EXPIRY_RULE}. Never if not given."
        ),
    ] = None,
    collection: Annotated[
        list[str] | None,
        typer.Option(
            help="A collection that the key reaches. Several may be given; all if none is.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept.

    From the first key on, the service needs one of everybody.
    """
    from datetime import UTC, datetime

    from pydantic import ValidationError

    from index.collections import NAME
    from index.collections import NAME_RULE as COLLECTION_RULE
    from service.access.audit import AuditError, KeyChange
    from service.access.key import new_key
    from service.access.keyfile import KeyFile
    from service.startup import clear_errors

    now = datetime.now(UTC).replace(microsecond=0)
    try:
        until = None if expires is None else parse_expiry(expires, now)
    except ValueError as error:
        raise CommandError(f"--expires {expires!r} is not accepted: {error}") from None
    for one in collection or ():
        if not NAME.fullmatch(one):
            raise CommandError(f"--collection {one!r} is not accepted: a name has {COLLECTION_RULE}")
    try:
        secret, key = new_key(name, set(scope), now, until, collection or None)
    except ValidationError:
        raise CommandError(f"--name {name!r} is not accepted; it takes {NAME_RULE}") from None
    with clear_errors(), _files(data_dir) as (file, audit):
        audit.check()
        file.add(key)
        try:
            audit.write(KeyChange("keys.create", key).line())
        except AuditError:
            file.revoke(key.id)
            raise
    if as_json:
        out.print_json(data={**_told(key), "key": secret})
    else:
        ends = "" if until is None else f" and expires at {_minute(until)} UTC"
        err.print(f"Key {key.id} ({', '.join(key.scopes)}) is in {file.where}{ends}. It is shown this once:")
        out.print(secret, soft_wrap=True)
    for note in _notes(file.path.parent, collection or ()) if isinstance(file, KeyFile) else ():
        err.print(note, style="yellow", markup=False, soft_wrap=True)


@app.command("list")
def list_(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show id, name, scopes, time of making and expiry of each key, and its last four characters."""
    from datetime import UTC, datetime

    from rich.markup import escape

    from service.startup import clear_errors

    with clear_errors(), _files(data_dir) as (file, _):
        found = file.read()
    if as_json:
        out.print_json(data={"keys": [_told(key) for key in found]})
        return
    if not found:
        out.print(f"There are no keys in {escape(file.where)}: see [bold]lka-reid keys create --help[/]")
        return
    shown = table(
        "API keys", "id!", "name", "scopes", "collections", "made, UTC!", "expires, UTC!", "ends in!"
    )
    now = datetime.now(UTC)
    for key in found:
        ends = "never" if key.expires is None else _minute(key.expires)
        ends = f"{ends} (expired)" if key.is_expired(now) else ends
        made = _minute(key.created)
        reach = "all" if key.collections is None else ", ".join(key.collections)
        shown.add_row(
            *(key.id, escape(key.name), ", ".join(key.scopes), escape(reach), made, ends, escape(key.last4))
        )
    out.print(shown)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `lka-reid keys list` shows it.")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Revoke a key: a running service refuses it from its next request on.

    With no key left, everybody is refused until one is made.
    """
    from service.access.audit import KeyChange
    from service.access.keyfile import UnknownKeyError
    from service.advice import command
    from service.startup import clear_errors, settings_from

    with clear_errors(), _files(data_dir) as (file, audit):
        audit.check()
        try:
            key = file.revoke(key_id)
        except UnknownKeyError:
            listing = command(
                "keys", "list", settings=settings_from(data_dir=data_dir), options=("data_dir",)
            )
            raise CommandError(f"no key has the id {key_id!r}; `{listing}` shows them") from None
        audit.write(KeyChange("keys.revoke", key).line())
        is_last = not file.read()
    if as_json:
        out.print_json(data={"revoked": key.id, "keys_left": not is_last})
        return
    out.print(f"Key {key.id} is revoked.")
    if is_last:
        err.print("It was the last one: everybody is refused until a key is made.", style="yellow")


def _told(key: ApiKey) -> dict[str, Any]:
    """What may be said of a key, as JSON types: all but its hash."""
    return key.model_dump(mode="json", exclude={"sha256"})


def _notes(folder: Path, collections: Iterable[str]) -> Iterator[str]:
    """What a key does not open yet, which a mistyped name would not open ever."""
    from index.collections import DEFAULT, collection_folders
    from index.database.connections import DATABASE

    if not (folder / DATABASE).exists():
        yield f"There is no gallery in {folder} yet: a service takes the keys of its own data directory."
        return
    missing = sorted(set(collections) - {DEFAULT} - collection_folders(folder).keys())
    if missing:
        yield f"There is no such collection yet: {', '.join(missing)}."


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


@contextmanager
def _files(data_dir: Path | None) -> Iterator[tuple[KeyHome, AuditLog]]:
    from service.access.homes import audit_in, keys_in, open_store
    from service.startup import settings_from

    settings = settings_from(data_dir=data_dir)
    store = open_store(settings)
    # The service rotates its audit log; this only adds lines to it.
    audit = audit_in(settings, store, rotates=False)
    try:
        yield keys_in(settings, store), audit
    finally:
        audit.close()
        if store is not None:
            store.close()
