"""The whole diagnosis, line by line."""

from __future__ import annotations

from collections.abc import Iterator

from service.diagnosis import inference, machine, sharing, storage
from service.diagnosis.finding import Finding
from service.settings import Settings


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything that serving with these settings needs; each line as soon as it is known."""
    yield machine.python()
    yield machine.driver(settings.runtime)
    yield inference.providers()
    yield machine.cuda(settings.runtime)
    yield machine.cudnn(settings.runtime)
    yield from inference.runtimes(settings)
    yield inference.bundle(settings)
    yield from inference.forward(settings)
    yield inference.search(settings)
    yield inference.detector(settings)
    yield inference.videos()
    yield storage.redis(settings)
    yield sharing.shared_store(settings)
    yield sharing.milvus(settings)
    yield sharing.objects(settings)
    if settings.gallery == "local":
        yield machine.disk(settings.data_dir)
        yield storage.gallery(settings)
