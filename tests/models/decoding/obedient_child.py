"""A decoding process that does what a file tells it to, in place of what a hostile image would.

`wait`, `spin`, `crash`, `leave` and `eat` are files of those letters; `say LINE` says a line to the parent;
`note PATH` appends the process' id to a file, then waits. Anything else is decoded.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from models.decoding import child
from models.decoding.imagefile import Frame, decode_frame

CONTROL: list[int] = []


def obey(data: bytes, *, whole: bool, side: int | None = None) -> Frame:
    match data.partition(b" ")[0]:
        case b"wait":
            time.sleep(3600)
        case b"spin":
            while True:
                pass
        case b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(3600)
        case b"leave":
            os._exit(3)
        case b"eat":
            bytearray(4 * child.MEMORY_BYTES)
        case b"note":
            with Path(data.partition(b" ")[2].decode()).open("a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(3600)
        case b"say":
            os.write(CONTROL[0], data.partition(b" ")[2] + b"\n")
            time.sleep(3600)
    return decode_frame(data, whole=whole, side=side)


def main(control: int, memory: int) -> None:
    child.CPU_S = 0
    CONTROL.append(control)
    child.main(control, memory, obey)
