"""What replicas share: the shared store, Milvus, and the object store."""

from __future__ import annotations

from service.diagnosis.finding import Finding, State, ok, wrong
from service.settings import Settings


def shared_store(settings: Settings) -> Finding:
    """The shared store that is set: whether it answers, and keeps what it takes."""
    what = "shared store"
    if settings.shared_url is None:
        return Finding(
            what, State.left_out, "LKA_REID_SHARED_URL is not set: keys and audit log are in files"
        )
    from index import GalleryError
    from service.access.homes import open_store

    try:
        store = open_store(settings)
        assert store is not None  # noqa: S101 - its URL is set
        try:
            warnings = store.check()
        finally:
            store.close()
    except (GalleryError, OSError) as error:
        return wrong(what, str(error), "see docs/replicas.md")
    return ok(what, "; ".join(warnings) or "answers, and keeps what it takes through a power cut")


def milvus(settings: Settings) -> Finding:
    """The Milvus that is set: whether it answers, and knows the index."""
    what = "Milvus"
    if settings.gallery != "milvus":
        return Finding(what, State.left_out, "LKA_REID_GALLERY is local")
    from index import GalleryError
    from index.milvus.connection import connect
    from service.galleries import milvus_setup

    setup = milvus_setup(settings)
    try:
        client = connect(setup.url, setup.timeout_s, setup.token)
        try:
            version = str(client.get_server_version())
        finally:
            client.close()
        setup.index.check(version)
    except GalleryError as error:
        reason, _, remedy = str(error).partition("; ")
        return wrong(what, reason, remedy or "start it, or set LKA_REID_MILVUS_URL to where it answers")
    return ok(what, f"{version} answers, and knows the index {setup.index.kind}")


def objects(settings: Settings) -> Finding:
    """The object store that is set: whether it answers."""
    what = "object store"
    if settings.gallery != "milvus":
        return Finding(what, State.left_out, "images are in the gallery's database")
    from index import GalleryError
    from index.objects import open_objects
    from service.galleries import milvus_setup

    setup = milvus_setup(settings)
    try:
        fault = open_objects(setup.objects_url, setup.objects_options).fault()
    except (GalleryError, OSError) as error:
        fault = str(error)
    if fault is not None:
        reason, _, remedy = fault.partition("; ")
        return wrong(what, reason, remedy or "see that it runs, and LKA_REID_OBJECTS_URL")
    return ok(what, "answers")
