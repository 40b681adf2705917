"""The `lka-reid` command."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from models.packages import MISSING, unusable
from models.terminal import errors_as_json, print_error
from service.commands import audit, bundle, cameras, collections, gallery, keys, verdicts, watches
from service.commands.config import config
from service.commands.demo import demo
from service.commands.detect import detect
from service.commands.doctor import doctor
from service.commands.enroll import enroll
from service.commands.explain import explain
from service.commands.listing import list_
from service.commands.paths import refuse_empty_paths
from service.commands.plugins import RootGroup
from service.commands.query import query
from service.commands.serve import serve
from service.commands.version import version
from service.commands.worker import worker
from service.startup import CommandError

SERVICE = "The service"
CLIENT = "A running service's clients"
CLOSER = "Looking closer"
UPKEEP = "Upkeep"

NOT_HERE = "LKA-ReID runs on Linux and macOS; on Windows, run it in WSL 2 or by its Docker image"


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


app = typer.Typer(
    name="lka-reid",
    cls=RootGroup,
    help="Vehicle re-identification in two stages: enroll images of vehicles, query with others.",
    epilog="Start with `lka-reid demo`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.callback()
def root(
    print_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Vehicle re-identification in two stages: enroll images of vehicles, query with others."""


app.command(rich_help_panel=SERVICE)(demo)
app.command(rich_help_panel=SERVICE)(serve)
app.command(rich_help_panel=SERVICE)(worker)
app.command(rich_help_panel=SERVICE)(config)
app.command(rich_help_panel=SERVICE)(doctor)
app.command(rich_help_panel=SERVICE)(version)
app.command(rich_help_panel=CLIENT)(enroll)
app.command(rich_help_panel=CLIENT)(query)
app.command(rich_help_panel=CLIENT)(detect)
app.command("list", rich_help_panel=CLIENT)(list_)
app.add_typer(cameras.app, name="cameras", rich_help_panel=CLIENT)
app.add_typer(verdicts.app, name="verdicts", rich_help_panel=CLIENT)
app.add_typer(watches.app, name="watch", rich_help_panel=CLIENT)
app.add_typer(collections.app, name="collections", rich_help_panel=CLIENT)
app.command(rich_help_panel=CLOSER)(explain)
app.add_typer(keys.app, name="keys", rich_help_panel=UPKEEP)
app.add_typer(audit.app, name="audit", rich_help_panel=UPKEEP)
app.add_typer(gallery.app, name="gallery", rich_help_panel=UPKEEP)
app.add_typer(bundle.app, name="bundle", rich_help_panel=UPKEEP)
refuse_empty_paths(app)


def main() -> None:
    """Run the command line; a foreseen error is one line on stderr and an exit status."""
    if sys.platform == "win32":
        print_error(NOT_HERE, kind="platform")
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):
        # Names of files and vehicles may hold what the terminal's encoding has no bytes for.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    as_json = _wants_json(sys.argv[1:])
    with errors_as_json(as_json):
        sys.exit(_run(as_json))


def _run(as_json: bool) -> int:
    """Run the command; its exit status."""
    try:
        # Not on its own, the framework leaves wrong usage to us.
        try:
            ended = app(prog_name="lka-reid", standalone_mode=not as_json)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except CommandError as error:
        print_error(error.detail, error.remedy, kind=error.kind, more=error.more)
        return error.code
    except TyperException as error:
        print_error(error.format_message(), "--help tells what the command takes", kind="usage")
        return int(error.exit_code)
    except Abort:
        print_error("nothing was done", "--yes does not ask, where the command has it", kind="aborted")
        return 1
    except (ImportError, OSError) as error:
        lacking = unusable(error)
        if lacking is not None:
            missing = f"this command needs {lacking.package}, which is not installed"
            what = missing if lacking.kind == MISSING else lacking.what
            print_error(what, lacking.remedy, kind=lacking.kind)
            return 2
        if not isinstance(error, OSError):
            raise
        if error.filename is None:
            # Or the interpreter tries to write it again when it ends, and says so.
            sys.stdout = None
        where = error.filename or "what was to be printed"
        print_error(f"{where}: {error.strerror or error}", kind="file-error")
        return 2
    return ended if isinstance(ended, int) else 0


def _wants_json(arguments: list[str]) -> bool:
    """Whether `--json` is among the options; it may be what is wrong that they could not be read."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


if __name__ == "__main__":
    main()
