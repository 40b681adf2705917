"""`lka-reid enroll`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.intake.names import shown
from models.terminal import err, out
from service.commands.console import Waits, progress
from service.commands.options import DEFAULT_URL, Collection, DetectorDir, Json, Key, Url
from service.startup import CommandError

if TYPE_CHECKING:
    from service.remote.outcome import Outcome
    from service.remote.sources import Upload

INTERRUPTED = 130


def enroll(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Folders (all images below), image files, or CSV manifests (.csv, .tsv) with the column "
            "path and, where known, image_id, vehicle_id, camera_id, captured_at, view, vehicle_type, tags. "
            "With --detect also videos.",
            show_default=False,
        ),
    ],
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    vehicle_id: Annotated[str | None, typer.Option(help="Vehicle of all images that name none.")] = None,
    camera_id: Annotated[str | None, typer.Option(help="Camera of all images that name none.")] = None,
    vehicle_type: Annotated[str | None, typer.Option(help="Type of all vehicles that have none.")] = None,
    id_prefix: Annotated[
        str, typer.Option(help="Put before every image id, such as gate-4/.", show_default=False)
    ] = "",
    encoding: Annotated[
        str | None, typer.Option(help="Of manifests that are not UTF-8, such as cp1252.", show_default=False)
    ] = None,
    ignore_columns: Annotated[
        bool, typer.Option("--ignore-columns", help="Leave columns of manifests that are not known unread.")
    ] = False,
    outside: Annotated[
        bool, typer.Option("--outside", help="Let manifests name files that are not below their folder.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Requests at the same time.")] = 4,
    batch: Annotated[
        int, typer.Option(min=1, max=256, help="Images in a request, where the service takes several.")
    ] = 32,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and decode everything, and send nothing.")
    ] = False,
    detect: Annotated[
        bool,
        typer.Option(
            "--detect",
            help="The images are frames of a whole scene: find the vehicles in them, here, and enroll a crop "
            "of each. Of videos, follow each vehicle and enroll its best crop.",
        ),
    ] = False,
    crops: Annotated[int, typer.Option(min=1, max=20, help="Of a video's vehicle, at most.")] = 1,
    start: Annotated[
        str | None,
        typer.Option(
            help="When a video begins, such as 2026-05-17T08:30Z; or file, to believe its file. "
            "Without it, crops have no time but that in the video, as a tag.",
            show_default=False,
        ),
    ] = None,
    looks: Annotated[
        float, typer.Option(min=1, max=60, help="Frames of a second of video that are looked at, about.")
    ] = 15.0,
    frame_rate: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=240,
            help="Folders hold the frames of a video, so many a second, in the order of their names.",
            show_default=False,
        ),
    ] = None,
    motion: Annotated[
        bool,
        typer.Option(
            help="Whether vehicles are followed by their motion, too. For cameras that stand still."
        ),
    ] = True,
    anew: Annotated[
        bool, typer.Option("--anew", help="Look at videos from their beginnings, not from where a run ended.")
    ] = False,
    detector: DetectorDir = None,
    as_json: Json = False,
) -> None:
    """Enroll images in a running service.

    What is enrolled already, byte for byte and with the same fields, is left as it is, so an interrupted
    run is resumed by running it again. At the end everything is counted, and what was not enrolled is listed
    with the reason. Exit status 1 when any image is missing in the gallery.
    """
    from lka_reid_client.errors import ClientError
    from service.commands.enrollment_summary import as_json as outcome_json
    from service.commands.enrollment_summary import counts, not_enrolled_table
    from service.commands.frame_sources import enroll_detected, find_all_videos, find_stills, how_to_look
    from service.remote.bulk_enroll import INTERRUPTED as BY_USER
    from service.remote.sources import Options, SourceError

    of_frames = {
        "--crops": crops != 1,
        "--start": start is not None,
        "--frame-rate": frame_rate is not None,
        "--no-motion": not motion,
        "--anew": anew,
    }
    if not detect and (useless := [name for name, is_given in of_frames.items() if is_given]):
        raise CommandError(f"without --detect there is nothing that {', '.join(useless)} could be for")
    given = {"vehicle_id": vehicle_id, "camera_id": camera_id, "vehicle_type": vehicle_type}
    options = Options(
        defaults={name: value for name, value in given.items() if value is not None},
        id_prefix=id_prefix,
        outside=outside,
        encoding=encoding,
        ignore_columns=ignore_columns,
    )
    how = how_to_look(detector, crops, looks, start, frame_rate, motion=motion, anew=anew)
    videos = find_all_videos(paths, how, detect=detect)
    try:
        options.check()
        with err.status("Looking for images"):
            sources = find_stills(paths, options, videos)
        if detect:
            outcome = enroll_detected(
                videos, sources.uploads, how, options, url, key, collection, workers, dry_run=dry_run
            )
        else:
            outcome = _carry_out(sources.uploads, url, key, collection, workers, batch, dry_run=dry_run)
    except (SourceError, ClientError) as error:
        raise CommandError.of(error) from None
    outcome.extend(sources.not_enrolled)
    if as_json:
        out.print_json(data=outcome_json(outcome, sources.unread_columns))
    else:
        table = not_enrolled_table(outcome)
        if table.row_count:
            err.print(table)
        for path, names in sources.unread_columns.items():
            err.print(f"Not read of {path}: {', '.join(map(shown, names))}", markup=False, soft_wrap=True)
        out.print(counts(outcome, dry_run=dry_run), markup=False)
    if outcome.stopped == BY_USER:
        raise typer.Exit(INTERRUPTED)
    if outcome.stopped:
        raise CommandError(outcome.stopped, 1)
    if outcome.missing:
        raise typer.Exit(1)


def _carry_out(
    uploads: list[Upload],
    url: str,
    key: str | None,
    collection: str | None,
    workers: int,
    batch: int,
    *,
    dry_run: bool,
) -> Outcome:
    """Send or, in a dry run, check everything, under a progress bar."""
    from service.remote.bulk_enroll import check_all, upload_all
    from service.remote.http import ServiceClient
    from service.remote.outcome import Outcome

    if not uploads:
        return Outcome()
    with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
        if not dry_run:
            client.await_ready()
        with progress() as bar:
            task = bar.add_task("Checking" if dry_run else "Enrolling", total=len(uploads))

            def tell(done: int) -> None:
                bar.advance(task, done)

            return (
                check_all(uploads, workers, tell)
                if dry_run
                else upload_all(client, uploads, workers, tell, batch)
            )
