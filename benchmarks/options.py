"""Options that several benchmarks take, checked before anything is measured: wrong usage, status 2."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

from benchmarks.stack import redis_server
from models.bundle import Bundle, BundleError
from models.runtimes.choice import choose_runtime, trials
from models.runtimes.forward import RuntimeNotAvailableError

RUNTIMES = ("auto", *trials())


def output(text: str) -> Path:
    """A file that can be written.

    Raises:
        ArgumentTypeError: it cannot.
    """
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"{path} is a folder")
    if not path.parent.is_dir():
        raise ArgumentTypeError(f"there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ArgumentTypeError(f"{path} cannot be written")
    return path


def bundle_in(text: str) -> Bundle:
    """The bundle in a folder.

    Raises:
        ArgumentTypeError: it cannot be read.
    """
    try:
        return Bundle.load(Path(text))
    except BundleError as error:
        raise ArgumentTypeError(str(error)) from None


def runtime_that_starts(parser: ArgumentParser, runtime: str) -> str:
    """The name of a runtime that starts here; `auto` is the one that it chooses, `none` stays.

    Raises:
        SystemExit: it does not start; the message says why.
    """
    try:
        return runtime if runtime == "none" else choose_runtime(runtime).name
    except RuntimeNotAvailableError as error:
        parser.error(str(error))


def need_redis(parser: ArgumentParser) -> None:
    """See that there is a Redis to start.

    Raises:
        SystemExit: there is none; the message says what brings one.
    """
    try:
        redis_server()
    except FileNotFoundError as error:
        parser.error(str(error))
