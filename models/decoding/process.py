"""A decoding process as its parent sees it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.childprocess import command_line
from models.decoding.child import LINE_BYTES
from models.decoding.sharedmemory import SharedMemory

CHILD = "models.decoding.child"
"""The module whose `main` a process runs."""

_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
"""Of the environment; what else is in it, passwords for instance, is none of a decoder's business."""


class ProcessEndedError(Exception):
    """The process has ended, or said something that it cannot have meant."""


class DecoderProcess:
    """Starts a process; it can take an image once `receive` has said that it is ready.

    All methods are called by the thread that made it: Linux ends the process when that thread ends.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        try:
            self._memory = SharedMemory()
        except OSError:
            self._control.close()
            theirs.close()
            raise
        self._control.setblocking(False)
        self._said = b""
        command = command_line(CHILD, [theirs.fileno(), self._memory.descriptor])
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(), self._memory.descriptor),
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ}
                | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                # Ctrl-C at a terminal is for the parent alone.
                process_group=0,
            )
        except OSError:
            self._control.close()
            self._memory.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def fileno(self) -> int:
        """What can be read when there is something to `receive`."""
        return self._control.fileno()

    def send(self, files: Sequence[bytes], request: dict[str, Any]) -> None:
        """Hand over image files.

        Args:
            files: one or more.
            request: what is wanted of it; see `models.decoding.tasks`.

        Raises:
            ProcessEndedError: there is nobody to take it.
            OSError: there is no memory to put it in.
        """
        self._memory.write(files[0] if len(files) == 1 else b"".join(files))
        try:
            self._control.send(json.dumps({"bytes": list(map(len, files)), **request}).encode() + b"\n")
        except OSError as error:
            raise ProcessEndedError(str(error)) from None

    def receive(self) -> dict[str, Any] | None:
        """What the process says; None while it has not said all of it.

        Raises:
            ProcessEndedError: see there.
        """
        try:
            said = self._control.recv(LINE_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ProcessEndedError(str(error)) from None
        self._said += said
        if not said or len(self._said) > LINE_BYTES:
            raise ProcessEndedError("it has ended")
        if not self._said.endswith(b"\n"):
            return None
        line, self._said = self._said, b""
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ProcessEndedError("it says what it cannot mean")
        return answer

    def copied(self, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
        """What the process has put into the shared memory, pixels for instance, copied out of it.

        Raises:
            ProcessEndedError: there are fewer.
        """
        found = self._memory.copy(shape, kind)
        if found is None:
            raise ProcessEndedError("it says what it cannot mean")
        return found

    def forget(self) -> None:
        """Give back what a large image has taken of memory."""
        self._memory.shrink()

    def end(self) -> int:
        """End the process, if it has not ended; its exit status, or minus the signal that ended it."""
        self._process.kill()
        status = self._process.wait()
        self._control.close()
        self._memory.close()
        if self._process.stderr is not None:
            self._process.stderr.close()
        return status

    def last_words(self) -> str:
        """What a process that has ended before it was ready wrote to its standard error."""
        self._process.kill()
        if self._process.stderr is None:
            return ""
        return self._process.stderr.read().decode(errors="replace").strip()
