"""A worker process: bundle, models and batcher, and the loop that feeds them from Redis."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import structlog
from prometheus_client import start_http_server

from models.bundle import Bundle
from service import resources
from service.inference.embedder import LocalEmbedder, in_words
from service.inference.fatal_errors import LOST
from service.queue.connection import connect_as_set
from service.queue.errors import ForeignBundleError, MissingGroupError, QueueUnavailableError
from service.queue.keys import Keys
from service.queue.stream import RequestStream
from service.settings import Settings
from service.startup import CommandError
from service.worker.consumer import READ_WAIT_S, Consumer, WorkerFailedError
from service.worker.metrics import WorkerMetrics
from service.worker.registration import Registration

log = structlog.get_logger(__name__)

RETRY_S = 1.0


def run(settings: Settings, *, is_member: bool = False) -> None:
    """Answer requests until SIGTERM or SIGINT, then answer what is in hand and return.

    Args:
        settings: with a `redis_url`.
        is_member: one that a supervisor started: the metrics have any free port of 127.0.0.1, which it
            prints with its name, and it stops when stdin ends, as it does when the supervisor is gone.

    Raises:
        CommandError: Redis is not set, the metrics' port is taken, or the queue is another bundle's.
        BundleError, RuntimeNotAvailableError, EmbeddingError, DecodePoolError, RedisUrlError: what failed
            and the remedy.
        OSError: the file with Redis' password cannot be read.
        SystemExit: with `LOST` where the embedder is lost.
    """
    if settings.redis_url is None:
        raise CommandError("a worker needs LKA_REID_REDIS_URL; without it the service embeds by itself")
    bundle = Bundle.load(settings.bundle)
    metrics = WorkerMetrics()
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    if is_member:
        print(expose(metrics, "127.0.0.1", 0), name, flush=True)
    else:
        expose(metrics, settings.metrics_host, settings.metrics_port)
    try:
        asyncio.run(_serve(settings, bundle, metrics, name, is_member))
    except ForeignBundleError as error:
        raise CommandError(str(error)) from None
    except WorkerFailedError as error:
        log.critical("worker_failed", error=str(error))
        # Not by way of the interpreter's end: a lost device holds up whatever tries to let go of it.
        sys.stderr.flush()
        os._exit(LOST)


def expose(metrics: WorkerMetrics, host: str, port: int) -> int:
    """Answer /metrics in a thread; the port.

    Raises:
        CommandError: the address is taken or not this machine's.
    """
    try:
        server, _ = start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise CommandError(
            f"cannot expose metrics on {host}, port {port}: {error.strerror}; set LKA_REID_METRICS_HOST and "
            "LKA_REID_METRICS_PORT"
        ) from None
    return int(server.server_port)


async def _serve(
    settings: Settings, bundle: Bundle, metrics: WorkerMetrics, name: str, is_member: bool
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def on_orphaned() -> None:
        loop.remove_reader(sys.stdin.fileno())
        stopping.set()

    if is_member:
        loop.add_reader(sys.stdin.fileno(), on_orphaned)
    with closing(resources.open_decode_pool(settings)) as pool:
        async with _queue(settings, bundle, name) as (stream, registration):
            if not await _join(stream, registration, stopping):
                return
            # After the bundle is known to fit, and before the worker is listed: loading takes a while.
            pool.start()
            models = await asyncio.to_thread(resources.load_models, settings, bundle)
            capacity = (models.streams + 1) * settings.max_batch
            batcher = await asyncio.to_thread(
                resources.start_batcher, settings, models, capacity, metrics.batch
            )
            await asyncio.to_thread(pool.wait_until_ready)
            embedder = LocalEmbedder(
                batcher, bundle.manifest.input, pool, models.runtime, models.gpu_left_out
            )
            consumer = Consumer(
                stream,
                registration,
                embedder,
                batcher,
                metrics,
                capacity=capacity,
                claim_after_s=settings.claim_after_s,
                max_deliveries=settings.max_deliveries,
            )
            metrics.bundle(bundle.manifest.name, bundle.fingerprint, models.runtime)
            metrics.watch(lambda: consumer.held, lambda: batcher.health().success_age_s)
            metrics.up(True)
            registration.open(models.runtime, in_words(models.gpu_left_out))
            log.info(
                "worker_ready",
                worker=name,
                runtime=models.runtime,
                bundle=bundle.manifest.name,
                fingerprint=bundle.fingerprint,
            )
            ending = asyncio.create_task(_stop(consumer, stopping))
            try:
                await consumer.run()
            finally:
                ending.cancel()
                metrics.up(False)
            await asyncio.to_thread(batcher.close, settings.drain_s)
            log.info("stopped", worker=name)


async def _stop(consumer: Consumer, stopping: asyncio.Event) -> None:
    await stopping.wait()
    log.info("stopping", held=consumer.held)
    consumer.stop()


@asynccontextmanager
async def _queue(
    settings: Settings, bundle: Bundle, name: str
) -> AsyncIterator[tuple[RequestStream, Registration]]:
    """The queue as this worker sees it; the worker is struck off it at the end."""
    redis = connect_as_set(settings)
    blocking = connect_as_set(settings, READ_WAIT_S, connections=1)
    keys = Keys(settings.queue_name)
    stream = RequestStream(redis, blocking, keys, name)
    lasts_s = max(3.0, 2 * settings.claim_after_s)
    try:
        yield stream, Registration(redis, keys, name, bundle.fingerprint, lasts_s)
    finally:
        try:
            await stream.leave()
        except QueueUnavailableError as error:
            log.warning("queue_down", reason=str(error))
        for client in (redis, blocking):
            await client.aclose()


async def _join(stream: RequestStream, registration: Registration, stopping: asyncio.Event) -> bool:
    """Wait for Redis, see that the queue is the bundle's, and have its stream; False when stopped before.

    Raises:
        ForeignBundleError: the queue is another bundle's.
    """
    while not stopping.is_set():
        try:
            await registration.introduce()
            await stream.prepare()
            await stream.forget_the_gone()
        except MissingGroupError:
            continue
        except QueueUnavailableError as error:
            log.warning("waiting_for_redis", reason=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            return True
    return False
