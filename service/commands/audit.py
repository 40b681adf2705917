"""`lka-reid audit`: what the audit log holds."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from models.terminal import err, out
from models.wording import counted
from service.commands.options import DataDir, Json
from service.startup import CommandError

HELP = "Look into the audit log."

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")


@app.callback(help=HELP)
def audit() -> None:
    """The group."""


@app.command()
def find(
    image_id: Annotated[str, typer.Argument(metavar="ID", help="The image's id.")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Print the entries that name an image, one JSON line each, oldest first.

    The log holds ids as keyed hashes; the key is `audit.key` beside it.
    """
    from service.access.auditfind import find_image, find_in
    from service.access.homes import ids_in, open_store
    from service.access.idhash import IdKeyError
    from service.access.sharedaudit import SharedAudit
    from service.startup import clear_errors, settings_from

    settings = settings_from(data_dir=data_dir)
    with clear_errors():
        store = open_store(settings)
        ids = ids_in(settings, store)
        if store is None and not settings.audit_path.exists():
            raise CommandError(f"there is no audit log at {settings.audit_path}; --data-dir names its folder")
        try:
            if store is None:
                found = find_image(settings.audit_path, ids, image_id)
            else:
                lines = SharedAudit(store, settings.audit_entries).lines()
                found = find_in((line.decode(errors="replace") for _, line in lines), ids, image_id)
        except IdKeyError as error:
            raise CommandError.of(error) from None
    if as_json:
        entries = [json.loads(line) for line in found.lines]
        out.print_json(data={"entries": entries, "unreadable": found.unreadable})
        return
    for line in found.lines:
        typer.echo(line)
    if found.unreadable:
        err.print(
            f"{counted(found.unreadable, 'line is no entry', 'lines are no entries')}, and may have named it."
        )
    if not found.lines:
        err.print("No entry names it.")


@app.command()
def verify(
    noted: Annotated[
        str | None,
        typer.Option(
            metavar="HASH", help="An entry's hash that an earlier verification printed: it has to be there."
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Read the whole log and name the first entry that was changed, removed, moved or put in.

    A line that a crash tore is told apart, and no fault. The exit status is 1 where there is a fault. The key
    is `audit.key` beside the log: who has it can make the whole log anew, which shows only by a HASH
    that was noted elsewhere.
    """
    from service.access.auditchain import START, Chain
    from service.access.auditverify import verify, verify_lines
    from service.access.homes import ids_in, open_store
    from service.access.idhash import IdKeyError
    from service.access.sharedaudit import SharedAudit
    from service.startup import clear_errors, settings_from

    settings = settings_from(data_dir=data_dir)
    path = settings.audit_path
    with clear_errors():
        store = open_store(settings)
        ids = ids_in(settings, store)
        if store is None and not path.exists():
            raise CommandError(f"there is no audit log at {path}; --data-dir names its folder")
        try:
            if not ids.find():
                raise CommandError(f"{ids.where} is missing, the log's key; restore it from a backup")
            chain = Chain(ids.chain_key())
            if store is None:
                found = verify(path, chain, noted)
            else:
                found = verify_lines(SharedAudit(store, settings.audit_entries), chain, noted)
        except IdKeyError as error:
            raise CommandError.of(error) from None
    for torn in found.torn:
        err.print(f"{torn}: torn, as by a crash; the entry after it says so.", markup=False)
    if found.unfinished is not None:
        err.print(f"{found.unfinished}: the last line is torn, as by a crash.", markup=False)
    if found.unchained:
        err.print(
            f"{counted(found.unchained, 'line')} of earlier versions "
            f"{'is' if found.unchained == 1 else 'are'} of no chain: nothing vouches for them."
        )
    if found.first > START.number + 1:
        err.print(f"Entries 1 to {found.first - 1:,} are not there: rotated out, or removed.")
    if found.fault is not None:
        raise CommandError(f"the audit log is broken: {found.fault}", code=1, kind="audit-log-broken")
    if noted is not None and not found.noted:
        raise CommandError(f"the audit log is whole, but no entry has the hash {noted}", code=1)
    if as_json:
        out.print_json(
            data={
                "entries": found.entries,
                "first": found.first,
                "unchained": found.unchained,
                "torn": len(found.torn),
                "last_hash": str(found.last.hash),
            }
        )
        return
    out.print(
        f"{counted(found.entries, 'entry is', 'entries are')} as written. "
        f"The last one has the hash {found.last.hash}",
        soft_wrap=True,
    )
