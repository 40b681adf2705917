"""Run as a program, it changes a gallery on Milvus and is killed at a step of the change.

    python -m tests.index.milvus.mortal URL OBJECTS enroll|delete STEP

The image is `a`. STEP is the call before which the process dies: `insert` (objects are written, rows are
not), `extend` (rows are written, nothing is counted), `objects` (rows are deleted, objects are not).
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from index.milvus import MilvusSetup, engine, open_milvus_gallery
from index.milvus.local_companions import _Held
from index.objects import FsspecObjects
from tests.index.milvus.kept import PREFIX
from tests.index.samples import DIM, STRIPS, enrollment


def die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def main(url: str, objects: str, change: str, step: str) -> None:
    gallery = open_milvus_gallery(
        MilvusSetup(url, objects, prefix=PREFIX),
        fingerprint="model-a",
        descriptor_dim=DIM,
        strips_shape=STRIPS,
        collection=f"d{DIM}-{'x'.join(map(str, STRIPS))}",
    )
    if step == "insert":
        engine.Engine.insert = die  # type: ignore[method-assign]
    elif step == "extend":
        asked: list[bool] = []
        # The first time it is asked before the rows are written, the second time after it.
        _Held.extend = lambda _: die() if asked else not asked.append(True)  # type: ignore
    elif step == "objects":
        FsspecObjects.remove = die  # type: ignore[method-assign]
    print("opened", flush=True)
    if change == "enroll":
        gallery.enroll(enrollment("a"))
    else:
        gallery.delete("a")


if __name__ == "__main__":
    main(*sys.argv[1:])
