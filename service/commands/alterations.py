"""`lka-reid gallery delete`, `update` and `retention`: what is done in a running service."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from models.intake.names import shown
from models.terminal import out
from service.commands.console import Waits, progress
from service.commands.filter_options import Where, takes_filter
from service.commands.options import DEFAULT_URL, Collection, Key, Url
from service.startup import CommandError

MOST_DAYS = 36_500
CLEARABLE = ("vehicle_id", "camera_id", "captured_at", "view", "vehicle_type", "tags")


@takes_filter
def delete(
    *,
    where: Where,
    image_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE_ID]...", help="Images to delete; or give conditions.", show_default=False
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the images, and delete none.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete images of a running service, by their ids or all that meet conditions; needs an admin's key.

    They leave every file within minutes (`lka-reid gallery purge`). An interrupted run is gone on with by
    running it again. Exit status 1 where an id is not enrolled.
    """
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient

    if bool(where) == bool(image_ids):
        raise CommandError(
            "name images by their ids, or give conditions such as --only-vehicle-id; one of both"
        )
    try:
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
            if image_ids:
                _delete_named(client, image_ids, dry_run=dry_run, yes=yes)
            else:
                _delete_where(client, where, dry_run=dry_run, yes=yes)
    except ClientError as error:
        raise CommandError(str(error)) from None


def _delete_named(client: Any, image_ids: list[str], *, dry_run: bool, yes: bool) -> None:
    if dry_run:
        missing = [image_id for image_id in image_ids if not client.is_enrolled(image_id)]
    else:
        if not yes:
            typer.confirm(f"Delete {len(image_ids):,} images?", abort=True)
        missing = [image_id for image_id in image_ids if not client.delete(image_id)]
    for image_id in missing:
        out.print(f"Not enrolled: {shown(image_id)}", markup=False, soft_wrap=True)
    found = len(image_ids) - len(missing)
    out.print(f"{found:,} images would be deleted; none was." if dry_run else f"{found:,} images deleted.")
    if missing:
        raise typer.Exit(1)


def _delete_where(client: Any, where: dict[str, str | list[str]], *, dry_run: bool, yes: bool) -> None:
    found = client.count(where)
    if dry_run or not found:
        out.print(f"{found:,} images meet the conditions; none was deleted.")
        return
    if not yes:
        typer.confirm(f"Delete {found:,} images?", abort=True)
    deleted = 0
    with progress() as bar:
        task = bar.add_task("Deleting", total=found)
        for count, left in client.delete_where(where):
            deleted += count
            bar.update(task, completed=deleted, total=deleted + left)
    out.print(f"{deleted:,} images deleted.")


def update(
    image_id: Annotated[str, typer.Argument(help="Of the image.", show_default=False)],
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    vehicle_id: Annotated[str | None, typer.Option(help="The vehicle.", show_default=False)] = None,
    camera_id: Annotated[str | None, typer.Option(help="The camera.", show_default=False)] = None,
    captured_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Such as 2024-05-17T08:00:00+02:00.", show_default=False),
    ] = None,
    view: Annotated[str | None, typer.Option(help="The side that is seen.", show_default=False)] = None,
    vehicle_type: Annotated[str | None, typer.Option(help="The kind of vehicle.", show_default=False)] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="In the place of all former tags. May be given again.", show_default=False),
    ] = None,
    clear: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help=f"Take a field away: {', '.join(CLEARABLE)}. May be given again.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Change what is known of an image in a running service; needs an admin's key.

    What is not given stays as it is. The statistics of cameras follow.
    """
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient

    given = {
        "vehicle_id": vehicle_id,
        "camera_id": camera_id,
        "captured_at": captured_at,
        "view": view,
        "vehicle_type": vehicle_type,
        "tags": tag,
        "clear": clear,
    }
    fields = {name: value for name, value in given.items() if value}
    if not fields:
        raise CommandError("nothing is to be changed: give a field a value, or take one away by --clear")
    try:
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
            out.print_json(data=client.update(image_id, fields))
    except ClientError as error:
        raise CommandError(str(error)) from None


def retention(
    days: Annotated[
        int | None,
        typer.Argument(min=1, max=MOST_DAYS, help="Days that images are kept.", show_default=False),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    off: Annotated[bool, typer.Option("--off", help="Keep images for ever.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the images that are older, and set nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Tell or set how many days a running service keeps images; needs an admin's key.

    An image's age counts from when it was taken, or from its enrollment where that is earlier or all that is
    known. What is older is deleted, at once and from then on within an hour.
    """
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient

    if off and days is not None:
        raise CommandError("give a number of days, or --off; one of both")
    try:
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
            if off and not dry_run:
                answer = client.set_retention(None)
            elif days is None or dry_run:
                answer = client.retention(days)
            else:
                found = client.retention(days)["expired"]
                if found and not yes:
                    typer.confirm(f"{found:,} images are older than {days:,} days. Delete them?", abort=True)
                answer = client.set_retention(days)
    except ClientError as error:
        raise CommandError(str(error)) from None
    if dry_run and days is not None:
        out.print(f"{answer['expired']:,} images are older than {days:,} days; nothing was set.")
        return
    kept = "for ever" if answer["days"] is None else f"for {answer['days']:,} days"
    out.print(f"Images are kept {kept}; {answer['expired']:,} are to be deleted now.")
