"""`lka-reid cameras`: what a running service knows of its cameras."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from models.terminal import err, out
from models.wording import counted
from service.commands.console import Waits, failures_table, progress, table
from service.commands.given import check_fields
from service.commands.options import DEFAULT_URL, Collection, Json, Key, Url
from service.startup import CommandError

CameraId = Annotated[str, typer.Argument(metavar="CAMERA", help="The camera's id.", show_default=False)]

ENOUGH = 10
"""Images by which a camera is known well enough; see `LKA_REID_CAMERA_NORMALISATION`."""

USES = {
    "known": "taken out of its descriptors",
    "global": "half the mean of all stands in",
    "off": "descriptors as they are",
}

app = typer.Typer(
    help="Look at a running service's cameras, and teach it one.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.callback()
def cameras() -> None:
    """Look at a running service's cameras, and teach it one."""


@app.command("list")
def list_cameras(
    url: Url = DEFAULT_URL, key: Key = None, collection: Collection = None, as_json: Json = False
) -> None:
    """List the cameras, how many images each is known by, and the normalisation in force."""
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient

    try:
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
            answer = client.cameras()
    except ClientError as error:
        raise CommandError.of(error) from None
    if as_json:
        out.print_json(data=answer)
        return
    made = table("Cameras", "camera", "enrolled#", "calibrated#", "own share#", "distance#", "drift#", "use")
    for camera in answer["cameras"]:
        made.add_row(
            escape(camera["camera_id"]),
            f"{camera['enrolled']:,}",
            f"{camera['calibrated']:,}",
            f"{camera['weight']:.0%}",
            _number(camera["distance"]),
            _number(camera["drift"]),
            USES.get(camera["use"], camera["use"]),
        )
    out.print(made)
    out.print(_in_force(answer["normalisation"]), markup=False, soft_wrap=True)


@app.command("show")
def show(
    camera: CameraId,
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    as_json: Json = False,
) -> None:
    """Show a camera: its images, its distance from the others, what normalising does to it."""
    from lka_reid_client.errors import ClientError
    from service.remote.http import ServiceClient

    check_fields(camera_id=camera)
    try:
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
            answer = client.camera(camera)
    except ClientError as error:
        raise CommandError.of(error) from None
    if as_json:
        out.print_json(data=answer)
        return
    for what, how_much in _lines(answer):
        out.print(f"{what:<16} {how_much}", markup=False, soft_wrap=True)


@app.command("calibrate")
def calibrate(
    camera: CameraId,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES...",
            help="Folders (all images below) and image files: crops of any vehicles before the camera.",
            show_default=False,
        ),
    ],
    url: Url = DEFAULT_URL,
    key: Key = None,
    collection: Collection = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Uploads at the same time.")] = 4,
    anew: Annotated[
        bool, typer.Option("--anew", help="Forget the former calibration once the first image is counted.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Learn a camera from images that are not enrolled: no vehicle needs to be known.

    They are cropped as the enrolled ones are. The same file counts once, so an interrupted run is resumed by
    running it again, as it was. Exit status 1 when any image was not counted.
    """
    from lka_reid_client.errors import ClientError
    from models.intake.files import reason_of
    from service.remote.calibration import calibrate_all, images_of
    from service.remote.http import ServiceClient

    check_fields(camera_id=camera)
    for each in images:
        if not each.exists():
            raise CommandError(f"{each} does not exist", kind="file-error")
    try:
        with err.status("Looking for images"):
            paths, unreadable = images_of(images)
        if not paths and not unreadable:
            raise CommandError(f"no image was found in {', '.join(map(str, images))}")
        with ServiceClient(url, key, on_wait=Waits(), collection=collection) as client:
            client.await_ready()
            with progress() as bar:
                task = bar.add_task(f"Calibrating {escape(camera)}", total=len(paths))
                result = calibrate_all(
                    client, camera, paths, workers, lambda done: bar.advance(task, done), anew=anew
                )
            answer = client.camera(camera) if result.counted or result.already else None
    except OSError as error:
        raise CommandError(f"{error.filename} {reason_of(error)}", kind="file-error") from None
    except ClientError as error:
        raise CommandError.of(error) from None
    failed = [(str(path), reason) for path, reason in (*unreadable, *result.failed)]
    if as_json:
        out.print_json(
            data={
                "counted": result.counted,
                "already_counted": result.already,
                "failed": [{"path": path, "reason": reason} for path, reason in failed],
                "camera": answer,
            }
        )
    else:
        if failed:
            err.print(failures_table(failed))
        out.print(
            f"{counted(result.counted, 'image')} counted, "
            f"{counted(result.already, 'was', 'were')} counted before",
            markup=False,
        )
        for what, how_much in _lines(answer) if answer else []:
            out.print(f"{what:<16} {how_much}", markup=False, soft_wrap=True)
        if anew and not result.counted and not result.stopped:
            err.print("The camera's former calibration stays.", style="yellow")
        if answer and answer["enrolled"] + answer["calibrated"] < ENOUGH:
            err.print(f"These are few: show it {ENOUGH} images or more, of several vehicles.", style="yellow")
    if result.stopped:
        raise CommandError(result.stopped, 1)
    if failed:
        raise typer.Exit(1)


def _lines(camera: Mapping[str, Any]) -> list[tuple[str, str]]:
    effect = camera["effect"]
    lines = [
        ("camera", camera["camera_id"]),
        ("enrolled", counted(camera["enrolled"], "image")),
        ("calibrated", f"with {counted(camera['calibrated'], 'image')}"),
        ("own share", f"{camera['weight']:.0%} of its mean is its own, the rest half that of all images"),
        *(
            [("distance", f"{_number(camera['distance'])} deviations from the mean of all other images")]
            if camera["distance"] is not None
            else []
        ),
        *(
            [("drift", f"{_number(camera['drift'])} of a descriptor's length since the version in force")]
            if camera["drift"] is not None
            else []
        ),
        ("in force", USES.get(camera["use"], camera["use"])),
    ]
    if effect is not None:
        lines.append(
            (
                "effect",
                f"of the 10 nearest images, {effect['before']:.0%} are its own as they are, "
                f"{effect['after']:.0%} normalised; without a camera's influence "
                f"{effect['expected']:.0%} ({counted(effect['images'], 'image')})",
            )
        )
    return lines


def _in_force(normalisation: Mapping[str, Any]) -> str:
    if not normalisation["is_on"]:
        state = "descriptors stay as they are"
    else:
        state = f"version {normalisation['version']}, drift {normalisation['drift']:.3f}"
        state += f" of {normalisation['drift_limit']:g} from which on a new one is made"
    renewing = "; a new version is being made" if normalisation["is_renewing"] else ""
    return f"Normalisation {normalisation['mode']}: {state}{renewing}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
