"""`lka-reid enroll`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.commands.console import err, failures_table, out, progress
from service.commands.options import DEFAULT_URL, Key, Url
from service.startup import CommandError


def enroll(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Folders (all images below), image files, or .csv manifests with the column path and, where "
            "known, image_id, vehicle_id, camera_id, captured_at, view, tags.",
            show_default=False,
        ),
    ],
    url: Url = DEFAULT_URL,
    key: Key = None,
    vehicle_id: Annotated[str | None, typer.Option(help="Vehicle of all images that name none.")] = None,
    camera_id: Annotated[str | None, typer.Option(help="Camera of all images that name none.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Uploads at the same time.")] = 4,
) -> None:
    """Enroll images in a running service.

    What is enrolled already is left as it is, so an interrupted run is resumed by running it again.
    Exit status 1 when any image failed; each is listed with the reason.
    """
    from service.client.bulk_enroll import upload_all
    from service.client.http import RefusedError, ServiceClient, ServiceUnreachableError
    from service.client.sources import SourceError, find_uploads

    given = {"vehicle_id": vehicle_id, "camera_id": camera_id}
    try:
        uploads = find_uploads(paths, {name: value for name, value in given.items() if value})
        with ServiceClient(url, key) as client:
            client.ready()
            with progress() as bar:
                outcome = upload_all(client, uploads, workers, bar)
    except (SourceError, ServiceUnreachableError, RefusedError) as error:
        raise CommandError(str(error)) from None
    out.print(
        f"{outcome.enrolled:,} enrolled, {outcome.already:,} already there, {len(outcome.failures):,} failed"
    )
    if outcome.failures:
        err.print(failures_table(outcome.failures))
        raise typer.Exit(1)
