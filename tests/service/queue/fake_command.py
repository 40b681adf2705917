"""`lka-reid` with a deterministic embedder whose behaviour a test controls by files.

`python -m tests.service.queue.fake_command worker`; in the folder `$CONTROL`

- `hold`: while it is there, a forward pass does not end;
- `batches`: every forward pass on real images appends `pid images`.

A forward pass takes `$DELAY_S` seconds. A wholly white image kills the process, a nearly black one is said to
have lost the CUDA device.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from models.bundle import Bundle
from models.preprocessing import Pixels
from models.protocols import Reranker
from service import resources
from service.cli import main
from service.settings import Settings
from tests.service.fakes import FakeModels, FakeReranker, load_fakes

CONTROL = Path(os.environ.get("CONTROL", "."))
DELAY_S = float(os.environ.get("DELAY_S", "0"))


def behave(images: Pixels) -> None:
    """What a forward pass does besides its work; blank images are those of warming up and of padding."""
    real = [image for image in images if image.any()]
    if not real:
        return
    with (CONTROL / "batches").open("a") as file:
        file.write(f"{os.getpid()} {len(real)}\n")
    if any(image.min() > 250 for image in real):
        os.kill(os.getpid(), signal.SIGKILL)
    if any(image.max() < 10 for image in real):
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")
    while (CONTROL / "hold").exists():
        time.sleep(0.01)
    time.sleep(DELAY_S)


def load_controlled(settings: Settings, bundle: Bundle) -> FakeModels:
    """In place of `service.resources.load_models`."""
    models = load_fakes(settings, bundle)
    models.embedder.on_embed = behave
    return models


def load_reranker(bundle: Bundle) -> Reranker | None:  # noqa: ARG001
    """In place of `service.resources.load_reranker`."""
    return FakeReranker()


if __name__ == "__main__":
    resources.load_models = load_controlled
    resources.load_reranker = load_reranker
    main()
