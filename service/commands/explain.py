"""`lka-reid explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.terminal import out
from service.commands.given import check_fields
from service.commands.options import BundleDir, Json, Threads
from service.startup import CommandError

if TYPE_CHECKING:
    from PIL import Image

    from index import Normalisation
    from models.bundle import Bundle


def explain(
    probe: Annotated[Path, typer.Argument(help="The probe's image file.", show_default=False)],
    candidate: Annotated[Path, typer.Argument(help="The image it is compared with.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The PNG to write. Default: explained-PROBE-CANDIDATE.png, by their names."
        ),
    ] = None,
    bundle: BundleDir = None,
    threads: Threads = None,
    camera_id: Annotated[
        str | None, typer.Option(help="The probe's camera, where it is known.", show_default=False)
    ] = None,
    candidate_camera_id: Annotated[
        str | None, typer.Option(help="The candidate's camera, where it is known.", show_default=False)
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Take cameras out of descriptors as the gallery in this folder does, also while a "
            "service has it open.",
            show_default="descriptors stay as they are",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw why two images are near or far: which bands looked at which, strip distances, activation maps.

    No service is needed: the bundle's models run here, on the CPU. The bundle needs a re-ranker, and the
    parts that `lka-reid export` adds for this.
    """
    from service.startup import clear_errors, settings_from

    target = output or Path(f"explained-{probe.stem}-{candidate.stem}.png")
    if target.suffix.lower() != ".png":
        raise CommandError(f"{target}: the figure is a PNG; choose a name that ends in .png")
    for camera in (camera_id, candidate_camera_id):
        check_fields(camera_id=camera)
    settings = settings_from(bundle=bundle, threads=threads)
    with clear_errors():
        from index import RAW
        from models.bundle import Bundle
        from models.explanation import check_explainable
        from service.explanation import words
        from service.explanation.figure import Pair, draw, png

        pair = Pair(_decoded(probe), _decoded(candidate), probe.name, candidate.name)
        used = Bundle.load(settings.bundle)
        check_explainable(used)
        if data_dir is None and (camera_id or candidate_camera_id):
            raise CommandError("a camera is known by a gallery; name its folder with --data-dir")
        normalisation = RAW if data_dir is None else _in_force(data_dir, used)
        use = normalisation.use(camera_id)

        from models.explainer import Explainer

        explanation = Explainer(used, settings.threads).explain(
            pair.probe,
            pair.candidate,
            lambda descriptors: normalisation.apply(descriptors, [camera_id, candidate_camera_id]),
            use,
        )
        target.write_bytes(png(draw(explanation, pair, used.manifest)))
    if as_json:
        from service.api.explanation import ExplanationAnswer

        answer = ExplanationAnswer.of(explanation, used.manifest)
        numbers = answer.model_dump(mode="json", exclude={"normalisation"})
        out.print_json(data={**numbers, "camera": use, "figure": str(target)})
        return
    for what, how_much in words.summary(explanation, used.manifest):
        out.print(f"{what:<18} {how_much}", soft_wrap=True, markup=False)
    out.print(f"{'figure':<18} {target}", soft_wrap=True, markup=False)


def _in_force(folder: Path, bundle: Bundle) -> Normalisation:
    """What the gallery in a folder takes out of descriptors.

    Raises:
        CommandError: there is no gallery of this bundle.
        GalleryError: it cannot be read.
    """
    from index import LocalGallery
    from index.database.versions import normalisation_in

    try:
        header = LocalGallery.describe(folder)
    except FileNotFoundError as error:
        raise CommandError(f"{error}; name its folder with --data-dir") from None
    if header.fingerprint not in (bundle.fingerprint, *bundle.supersedes):
        raise CommandError(f"the gallery in {folder} is of another bundle; name that one with --bundle")
    return normalisation_in(folder)


def _decoded(path: Path) -> Image.Image:
    """The image.

    Raises:
        CommandError: the file is no usable image.
        OSError: it cannot be read.
    """
    from models.decoding import ImageError, decode

    try:
        return decode(path.read_bytes())
    except ImageError as error:
        raise CommandError(f"{path}: {error}") from None
