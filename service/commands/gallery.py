"""`lka-reid gallery`: looking after a gallery, in its folder or in a running service."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from models.intake.names import printable, shown
from models.terminal import err, out
from models.wording import counted
from service.commands import alterations, maintenance
from service.commands.console import failures_table, progress
from service.commands.gallery_folder import (
    FolderCollection,
    gallery_named,
    no_gallery,
    settings_of,
    tell_of_others,
)
from service.commands.options import BundleDir, DataDir, Json, Runtime, Threads
from service.startup import CommandError

app = typer.Typer(
    help="Look after a gallery, in its folder or in a running service.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.callback()
def gallery(context: typer.Context) -> None:
    """Look after a gallery, in its folder or in a running service."""
    from service.startup import settings_from

    in_a_service = {"delete", "retention", "update"}
    if context.invoked_subcommand in in_a_service or "--help" in sys.argv:
        return
    if settings_from().gallery == "milvus":
        raise CommandError(
            f"`lka-reid gallery {context.invoked_subcommand}` is for a gallery in a data directory, and "
            "LKA_REID_GALLERY is milvus: look after Milvus, the object store and the shared store by "
            "their own means; see docs/replicas.md"
        )


@app.command("rebuild")
def rebuild(
    data_dir: DataDir = None,
    collection: FolderCollection = None,
    accept_loss: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Go on without the N changes or images that the error at start says are missing; what shows "
            "that they were there is moved to a folder beside the database.",
        ),
    ] = None,
    drop_damaged: Annotated[
        bool, typer.Option("--drop-damaged", help="Remove images that are damaged; they are listed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build all indexes anew from the stored records. Stop the service first.

    `lka-reid gallery verify` tells before whether images are damaged.
    """
    from service.startup import clear_errors

    settings = settings_of(data_dir, collection)
    with clear_errors():
        from index.local.loss import accept_loss as accept
        from index.upkeep import repair

        if accept_loss is not None:
            try:
                aside = accept(settings.data_dir, accept_loss)
            except ValueError as error:
                raise CommandError(str(error)) from None
            (err if as_json else out).print(
                f"{counted(accept_loss, 'that is missing is', 'that are missing are')} given up; "
                f"what shows that is in {aside}"
            )
        try:
            rebuilt = repair.rebuild(settings.data_dir, drop_damaged=drop_damaged)
        except FileNotFoundError:
            if accept_loss is None:
                raise no_gallery(settings.data_dir) from None
            if as_json:
                out.print_json(data={"images": 0, "dropped": []})
                return
            out.print(f"There is no database in {settings.data_dir}; the next start makes an empty one.")
            return
    if as_json:
        out.print_json(
            data={"images": rebuilt.images, "dropped": [finding.text for finding in rebuilt.dropped]}
        )
        return
    for finding in rebuilt.dropped:
        err.print(f"Removed: {printable(finding.text)}", soft_wrap=True, markup=False)
    images = counted(rebuilt.images, "image")
    out.print(f"The indexes of {images} were built from the records in {settings.data_dir}.")


@app.command("verify")
def verify(data_dir: DataDir = None, collection: FolderCollection = None, as_json: Json = False) -> None:
    """Read the whole gallery, change nothing, and tell every fault. Stop the service first.

    Exit status 1 where there is one.
    """
    from service.startup import clear_errors

    settings = settings_of(data_dir, collection)
    with clear_errors():
        from index.upkeep import verification

        with progress() as bar:
            task = bar.add_task("Reading images", total=None)
            with gallery_named(settings.data_dir):
                verified = verification.verify(
                    settings.data_dir, lambda done, total: bar.update(task, completed=done, total=total)
                )
    faults = len(verified.findings)
    if as_json:
        out.print_json(
            data={"images": verified.images, "faults": [finding.text for finding in verified.findings]}
        )
    else:
        for finding in verified.findings:
            err.print(printable(finding.text), soft_wrap=True, markup=False)
        read = counted(verified.images, "image was", "images were")
        out.print(f"{read} read in {settings.data_dir}; faults found: {faults:,}.")
    tell_of_others(settings.data_dir, "this check")
    if faults:
        raise typer.Exit(1)


@app.command("purge")
def purge(data_dir: DataDir = None, collection: FolderCollection = None, as_json: Json = False) -> None:
    """Leave nothing of deleted images in any file of the data directory. Stop the service first.

    A running service does the same within minutes of a deletion, but for what repairs have put aside, which
    it keeps for 7 days, and a database above 1 GiB on whose pages a copy was left. Keys and audit log stay;
    the log has hashes in place of ids.
    """
    from service.startup import clear_errors

    settings = settings_of(data_dir, collection)
    with clear_errors():
        from index.upkeep import folder

        with err.status("Erasing"), gallery_named(settings.data_dir):
            purged = folder.purge(settings.data_dir)
    if as_json:
        out.print_json(data=asdict(purged))
        return
    for name in purged.removed:
        out.print(f"Removed: {name}", soft_wrap=True, markup=False)
    out.print(
        f"Nothing that is deleted is in a file of {settings.data_dir} any more; it holds "
        f"{counted(purged.images, 'image')}."
    )


@app.command("compact")
def compact(data_dir: DataDir = None, collection: FolderCollection = None, as_json: Json = False) -> None:
    """Write the database anew, without the room of images that are gone. Stop the service first."""
    from service.startup import clear_errors

    settings = settings_of(data_dir, collection)
    with clear_errors():
        from index.upkeep import folder

        with err.status("Writing the database anew"), gallery_named(settings.data_dir):
            before, after = folder.compact(settings.data_dir)
    if as_json:
        out.print_json(data={"bytes": after, "bytes_before": before})
        return
    out.print(f"The database in {settings.data_dir} has {after:,} bytes; it had {before:,}.")


@app.command("re-embed")
def re_embed(
    data_dir: DataDir = None,
    collection: FolderCollection = None,
    bundle: BundleDir = None,
    runtime: Runtime = None,
    threads: Threads = None,
    leave_out_failed: Annotated[
        bool,
        typer.Option("--leave-out-failed", help="Leave images out that cannot be embedded; they are listed."),
    ] = False,
    ahead: Annotated[
        bool,
        typer.Option(
            "--ahead",
            help="Beside a running service: embed everything now, and leave the old gallery in its place. "
            "Run it again without --ahead, the service stopped, to embed what came meanwhile and exchange "
            "the two.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Embed every stored image anew by the present bundle, as a new bundle needs it.

    Records keep their ids, their times and all else. Stop the service first. Until the end, when the new
    gallery takes the old one's place in one step, the old one stays as it is: a run that was interrupted may
    be put off, and goes on where it was. Calibrations of cameras are dropped and named.
    """
    from service.startup import clear_errors

    settings = settings_of(data_dir, collection, bundle=bundle, runtime=runtime, threads=threads)
    with clear_errors():
        from index import LocalGallery
        from models.bundle import Bundle
        from service.commands import reembedding
        from service.inference.forward import ForwardPass
        from service.resources import load_models

        loaded = Bundle.load(settings.bundle)
        with gallery_named(settings.data_dir):
            header = LocalGallery.describe(settings.data_dir)
        if header.fingerprint in (loaded.fingerprint, *loaded.supersedes):
            if as_json:
                out.print_json(data={"embedded": 0, "resumed": 0, "calibrated": [], "left_out": []})
                return
            owner = f"the bundle in {settings.bundle}"
            out.print(f"The gallery in {settings.data_dir} belongs to {owner} already; nothing to do.")
            return
        models = load_models(settings, loaded)
        spec = loaded.manifest.input
        forward = ForwardPass(models.embedder.embed, (3, spec.height, spec.width), settings.max_batch)
        with progress() as bar:
            task = bar.add_task("Re-embedding", total=None)
            try:
                run = reembedding.re_embed_ahead if ahead else reembedding.re_embed
                result = run(
                    settings.data_dir,
                    loaded,
                    forward,
                    batch=settings.max_batch,
                    leave_out_failed=leave_out_failed,
                    on_progress=lambda done, total: bar.update(task, completed=done, total=total),
                )
            except reembedding.ReembeddingError as error:
                raise CommandError(f"{error}; --leave-out-failed leaves such images out") from None
    if as_json:
        out.print_json(data=asdict(result))
        if result.left_out:
            raise typer.Exit(1)
        return
    out.print(
        f"{counted(result.embedded, 'image')} embedded by {loaded.manifest.name} ({loaded.fingerprint[:12]})"
    )
    if result.resumed:
        out.print(f"{result.resumed:,} of them by a former run.")
    if ahead:
        out.print("The service goes on with the old ones; stop it and run this again without --ahead.")
    if result.calibrated:
        cameras = ", ".join(map(shown, result.calibrated))
        out.print(
            f"Dropped, since their images are not kept: the calibrations of {cameras}. Calibrate them again.",
            markup=False,
            soft_wrap=True,
        )
    if result.left_out:
        err.print(failures_table(result.left_out))
        raise typer.Exit(1)


for name, command in (
    ("delete", alterations.delete),
    ("update", alterations.update),
    ("retention", alterations.retention),
    ("stats", maintenance.stats),
    ("backup", maintenance.backup),
    ("restore", maintenance.restore),
    ("export", maintenance.export),
    ("import", maintenance.import_),
):
    app.command(name)(command)
