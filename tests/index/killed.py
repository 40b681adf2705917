"""A process that is killed in the middle of its work."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def killed_after(work: Callable[[], object]) -> None:
    """Do something in a process of its own, which dies by SIGKILL when it is done, and wait for that.

    What the work returns is held until then: a gallery that nobody holds would be closed before.
    """
    if (child := os.fork()) == 0:
        try:
            _held = work()
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)  # never on into the tests of the parent
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
