"""`lka-reid verdicts`: what people decided of probes and matches of a running service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.terminal import err, out
from models.wording import counted
from service.commands.console import Waits, progress, table
from service.commands.cropping import Cropped
from service.commands.options import DEFAULT_URL, Collection, Json, Key, Url
from service.startup import CommandError

app = typer.Typer(
    help="Look at what people decided of probes and matches, and export it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.callback()
def verdicts() -> None:
    """Look at what people decided of probes and matches, and export it."""


@app.command("list")
def list_verdicts(
    url: Url = DEFAULT_URL, key: Key = None, collection: Collection = None, as_json: Json = False
) -> None:
    """List all verdicts. It needs a key with scope `admin`, where the service has keys."""
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient

    try:
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
            found = list(client.verdicts())
    except ClientError as error:
        raise CommandError.of(error) from None
    if as_json:
        out.print_json(data={"verdicts": found})
        return
    if not found:
        out.print("No verdict was given")
        return
    made = table("Verdicts", "probe!", "image", "verdict!", "decided!", "by")
    for verdict in found:
        made.add_row(
            verdict["probe"][:12],
            Cropped(verdict["image_id"]),
            verdict["verdict"],
            verdict["decided_at"][:19].replace("T", " "),
            Cropped(verdict["decided_by"] or ""),
        )
    out.print(made)


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="The folder to write; new or empty.", show_default=False)],
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    as_json: Json = False,
) -> None:
    """Write all verdicts with their images, to learn and to calibrate from.

    `verdicts.csv` has the pairs; `manifest.csv` the vehicles that they name, as `lka-reid train` and
    `lka-reid calibrate` read it. It needs a key with scope `admin`, where the service has keys.
    """
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient
    from service.remote.verdict_export import export as write

    try:
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client, progress() as bar:
            task = bar.add_task("Exporting verdicts", total=None)
            done = write(client, folder, lambda pairs: bar.update(task, completed=pairs))
    except ClientError as error:
        raise CommandError.of(error) from None
    except FileExistsError as error:
        raise CommandError.of(error) from None
    except OSError as error:
        raise CommandError(f"{folder}: {error.strerror or error}", kind="file-error") from None
    if done.without_camera:
        err.print(
            f"Not in the manifest: {counted(done.without_camera, 'image')} without a camera; "
            "name the probe's camera when you search",
            soft_wrap=True,
        )
    for line in done.contradictions:
        err.print(f"Not in the manifest: {line}", soft_wrap=True, markup=False)
    if as_json:
        out.print_json(
            data={
                "folder": str(folder),
                "pairs": done.pairs,
                "files": done.files,
                "vehicles": done.vehicles,
                "without_camera": done.without_camera,
                "contradictions": done.contradictions,
            }
        )
        return
    out.print(
        f"{counted(done.pairs, 'verdict')} on {counted(done.files, 'image')} "
        f"{'is' if done.pairs == 1 else 'are'} in {folder}; its manifest has "
        f"{counted(done.vehicles, 'vehicle')}"
    )
