"""What ends the processes that a run of tests leaves behind, however the run itself ends.

    python leftovers.py PID NAME=VALUE

A run gives all that it starts, and what that starts, a variable of the environment. This program waits until
the process PID is gone, also by SIGKILL, and then kills whatever has the variable. It reads /proc.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

RUN = "TESTS_OF_RUN"
"""Of the environment; not one of the service's settings."""
LOOK_S = 0.2
PASSES = 50
"""How often it looks for what is left, at most: a supervisor may have started another one meanwhile."""


def end_with_this_process() -> None:
    """See that what this process starts from now on does not outlive it; without /proc, do nothing."""
    if not Path("/proc/self/environ").exists():
        return
    without = {name: value for name, value in os.environ.items() if name != RUN}
    os.environ[RUN] = secrets.token_hex(16)
    watching = subprocess.Popen(
        [sys.executable, "-IS", __file__, str(os.getpid()), f"{RUN}={os.environ[RUN]}"],
        env=without,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Neither Ctrl-C nor what ends the run's group of processes ends it.
        start_new_session=True,
    )
    # It outlives this process, which does not wait for it, and is not to be warned of that when it ends.
    watching.returncode = 0


def processes_with(setting: str) -> list[int]:
    """The processes whose environment, as they were started, has `NAME=VALUE`."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and setting.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue  # it is gone, or another user's
    return found


def main(owner: int, setting: str) -> None:
    while os.getppid() == owner:
        time.sleep(LOOK_S)
    for _ in range(PASSES):
        left = processes_with(setting)
        if not left:
            return
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(LOOK_S / 10)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
