"""The whole diagnosis, line by line."""

from __future__ import annotations

from collections.abc import Iterator

from service.diagnosis import inference, machine, sharing, storage
from service.diagnosis.finding import Finding, looked_at
from service.settings import Settings


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything that serving with these settings needs; each line as soon as it is known.

    Where a look fails, its line says why: a package that cannot be imported ends no other line.
    """
    runtime = settings.runtime
    yield machine.python()
    yield looked_at("driver", lambda: machine.driver(runtime), needed=runtime in machine.GPU_RUNTIMES)
    yield looked_at("ONNX Runtime", inference.providers)
    yield looked_at("CUDA", lambda: machine.cuda(runtime), needed=runtime == "cuda")
    yield looked_at("cuDNN", lambda: machine.cudnn(runtime), needed=runtime == "cuda")
    yield from inference.runtimes(settings)
    yield looked_at("bundle", lambda: inference.bundle(settings))
    yield from inference.forward(settings)
    yield looked_at("FAISS", lambda: inference.search(settings))
    yield inference.detector(settings)
    yield inference.videos()
    yield looked_at("Redis", lambda: storage.redis(settings))
    yield looked_at("shared store", lambda: sharing.shared_store(settings))
    yield looked_at("Milvus", lambda: sharing.milvus(settings))
    yield looked_at("object store", lambda: sharing.objects(settings))
    if settings.gallery == "local":
        yield looked_at("disk", lambda: machine.disk(settings.data_dir))
        yield looked_at("gallery", lambda: storage.gallery(settings))
