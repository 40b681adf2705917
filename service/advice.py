"""Commands that messages tell the user to run: as they can be pasted where the message was printed."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from service.settings import Settings

PROGRAM = "lka-reid"


def program() -> str:
    """How this program was called: by its name, or by its path where the name finds another one or none."""
    called = Path(sys.argv[0])
    if called.name != PROGRAM:
        return PROGRAM
    found = shutil.which(PROGRAM)
    is_same = found is not None and Path(found).resolve() == called.resolve()
    return PROGRAM if is_same else shlex.quote(str(called))


def command(*words: str, settings: Settings | None = None, options: tuple[str, ...] = ()) -> str:
    """A command line of this program.

    Args:
        words: sub-command and arguments.
        settings: those in use.
        options: settings that the command takes as flags, such as `data_dir`; they are named unless they have
            their defaults.
    """
    given = [program(), *map(shlex.quote, words)]
    defaults = Settings.model_construct()
    for name in options:
        value = getattr(settings, name)
        if value != getattr(defaults, name):
            given += [f"--{name.replace('_', '-')}", shlex.quote(str(value))]
    return " ".join(given)
