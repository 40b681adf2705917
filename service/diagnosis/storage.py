"""What keeps things: Redis and the gallery."""

from __future__ import annotations

import asyncio
import os

from models.bundle import Bundle, BundleError
from service.advice import command
from service.diagnosis.finding import Finding, State, ok, wrong
from service.diagnosis.machine import nearest
from service.settings import Settings


def redis(settings: Settings) -> Finding:
    """The Redis that is set: whether it answers."""
    if settings.redis_url is None:
        return Finding("Redis", State.left_out, "LKA_REID_REDIS_URL is not set: the service embeds by itself")
    from service.queue.errors import QueueUnavailableError, RedisUrlError

    try:
        version = asyncio.run(_version(settings))
    except (QueueUnavailableError, RedisUrlError, OSError) as error:
        return wrong("Redis", str(error), "start it, or set LKA_REID_REDIS_URL to where it answers")
    return ok("Redis", f"{version} answers")


async def _version(settings: Settings) -> str:
    from service.queue.connection import connect_as_set, failures_named

    client = connect_as_set(settings)
    try:
        with failures_named():
            return str((await client.info("server"))["redis_version"])
    finally:
        await client.aclose()


def gallery(settings: Settings) -> Finding:
    """The gallery in the data directory, and whether it is the bundle's. It may be in use: none opens it."""
    # Not above: it imports FAISS, which may be what is wrong.
    from index import GalleryError, LocalGallery
    from index.database.connections import DATABASE

    database = settings.data_dir / DATABASE
    elsewhere = "move it away, or set another folder with --data-dir"
    # SQLite makes the file that a link names, and no folder for it.
    is_lost = database.is_symlink() and not database.resolve().parent.is_dir()
    if is_lost or (database.exists() and not database.is_file()):
        return wrong("gallery", f"{database} is no file", elsewhere)
    if database.is_file() and not os.access(database, os.R_OK | os.W_OK):
        return wrong("gallery", f"{database} cannot be read and written", "set its rights")
    if not nearest(settings.data_dir).is_dir():
        return Finding("gallery", State.left_out, f"there can be none in {settings.data_dir}: see disk")
    try:
        header = LocalGallery.describe(settings.data_dir)
    except FileNotFoundError:
        return Finding(
            "gallery", State.left_out, f"none in {settings.data_dir} yet: `lka-reid serve` makes it"
        )
    except (GalleryError, OSError) as error:
        return wrong("gallery", str(error), "see docs/reliability.md")
    try:
        model = Bundle.load(settings.bundle)
    except BundleError:
        return wrong("gallery", f"of the model {header.fingerprint[:12]}; the bundle cannot be read", "")
    if header.fingerprint not in (model.fingerprint, *model.supersedes):
        remedy = command("gallery", "re-embed", settings=settings, options=("data_dir", "bundle"))
        return wrong("gallery", f"of the model {header.fingerprint[:12]}, not of the bundle's", f"`{remedy}`")
    return ok("gallery", f"in {settings.data_dir}, of this bundle, {header.descriptor_dim} numbers an image")
