"""No process that a test started outlives its run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.leftovers import RUN, processes_with

RUN_OF_TESTS = """
import os, signal, subprocess, sys
from tests.leftovers import end_with_this_process
end_with_this_process()
sleep = "import time; time.sleep(600)"
child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-IS', '-c', {sleep!r}]).wait()"
for session in (False, True):
    subprocess.Popen([sys.executable, "-IS", "-c", child], start_new_session=session)
print(os.environ["TESTS_OF_RUN"], flush=True)
sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")


def until(count: int, setting: str) -> list[int]:
    """The processes of a run, once there are so many."""
    deadline = time.monotonic() + 60
    while len(found := processes_with(setting)) != count:
        assert time.monotonic() < deadline, f"{len(found)} processes, and not {count}"
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, None])
def test_what_a_run_started_ends_with_it_however_that_ends(number: signal.Signals | None) -> None:
    command = [sys.executable, "-c", RUN_OF_TESTS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        setting = f"{RUN}={run.stdout.readline().strip()}"
        until(4, setting)
        if number is None:
            run.communicate("", timeout=60)
        else:
            run.send_signal(number)
            run.wait(60)
        until(0, setting)


def test_this_run_has_its_variable_and_so_has_what_it_starts() -> None:
    shown = [sys.executable, "-IS", "-c", f"import os; print(os.environ[{RUN!r}])"]
    done = subprocess.run(shown, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == os.environ[RUN]
