"""The gallery in the data directory or on Milvus, and its collections, as the settings have them."""

from __future__ import annotations

from pathlib import Path

from index import (
    DEFAULT,
    FingerprintMismatchError,
    Gallery,
    GalleryError,
    IndexSetup,
    LocalCollections,
    LocalGallery,
)
from index.milvus import MilvusIndex, MilvusSetup, open_milvus_gallery, remove_milvus_gallery
from index.shared import SharedCollections, SharedNumbers, SharedStore
from index.shared.companions import shared_companions
from models.bundle import Bundle
from service.advice import command
from service.settings import PREFIX, SHARED_NAME, Settings


def milvus_setup(settings: Settings) -> MilvusSetup:
    """Where Milvus and the object store are; `settings.gallery` is `milvus`."""
    assert settings.milvus_url is not None  # noqa: S101 - the settings have seen to it
    assert settings.objects_url is not None  # noqa: S101 - the same
    token = settings.milvus_token
    endpoint = settings.objects_endpoint
    return MilvusSetup(
        url=settings.milvus_url,
        objects_url=settings.objects_url,
        token=None if token is None else token.get_secret_value(),
        objects_options={} if endpoint is None else {"endpoint_url": endpoint},
        prefix=settings.milvus_prefix,
        index=MilvusIndex(kind=settings.milvus_index),
        timeout_s=settings.milvus_timeout_s,
    )


def open_local_gallery(settings: Settings, bundle: Bundle, folder: Path) -> Gallery:
    """The gallery in a folder, for this bundle.

    Raises:
        GalleryError: locked, damaged, embedded by another bundle, to be searched on a GPU that cannot be
            used, or of an earlier version and not to be brought to the present one.
    """
    try:
        return LocalGallery.open(
            folder,
            fingerprint=bundle.fingerprint,
            supersedes=bundle.supersedes,
            descriptor_dim=bundle.manifest.descriptor_dim,
            strips_shape=bundle.manifest.strips,
            normalisation=settings.camera_normalisation,
            index=IndexSetup(kind=settings.index_kind, device=settings.index_device, gpu=settings.device_id),
        )
    except FingerprintMismatchError as error:
        remedy = command(
            "gallery",
            "re-embed",
            settings=settings.model_copy(update={"data_dir": folder}),
            options=("data_dir", "bundle"),
        )
        raise GalleryError(
            f"the gallery in {error.path} was embedded by the model with fingerprint "
            f"{error.gallery_fingerprint}, the bundle in {settings.bundle} has fingerprint "
            f"{error.bundle_fingerprint}; re-embed it with `{remedy}`, or start with another --data-dir "
            "or the gallery's own --bundle"
        ) from None


def open_shared_gallery(
    settings: Settings, bundle: Bundle, store: SharedStore, token: str = DEFAULT
) -> Gallery:
    """The gallery of a collection on Milvus, by its token; it is made where it is not there.

    Raises:
        GalleryError: Milvus, the object store or the shared store does not answer, or has another model's;
            or what belongs to the gallery is in the shared store under another name.
    """
    numbers = SharedNumbers(store, token)
    return open_milvus_gallery(
        milvus_setup(settings),
        fingerprint=bundle.fingerprint,
        supersedes=bundle.supersedes,
        descriptor_dim=bundle.manifest.descriptor_dim,
        strips_shape=bundle.manifest.strips,
        collection=token,
        normalisation=settings.camera_normalisation,
        open_companions=shared_companions(store, token),
        refuse_old=None if numbers.were_drawn() else _elsewhere(settings),
    )


def open_collections(
    settings: Settings, bundle: Bundle, gallery: Gallery, store: SharedStore | None
) -> LocalCollections | SharedCollections:
    """All collections, with this gallery as the default one: those of the store, else of the data directory.

    Raises GalleryError where one cannot be opened.
    """
    if store is not None:
        return _shared_collections(settings, bundle, store, gallery)
    return LocalCollections(
        settings.data_dir, gallery, lambda folder: open_local_gallery(settings, bundle, folder)
    )


def _elsewhere(settings: Settings) -> str | None:
    """Why a gallery of before is not opened, of which the shared store has nothing under its present name."""
    if settings.store_name == SHARED_NAME:
        return None
    return (
        f"the gallery under {PREFIX}MILVUS_PREFIX={settings.milvus_prefix} was made by a version that kept "
        f"its keys, quotas and verdicts in the shared store under the name {SHARED_NAME}, and this service "
        f"looks for them under {settings.store_name}; start it with {PREFIX}SHARED_NAME={SHARED_NAME}, and "
        "nothing is lost"
    )


def _shared_collections(
    settings: Settings, bundle: Bundle, store: SharedStore, default: Gallery
) -> SharedCollections:
    """All collections on Milvus. Raises SharedStoreError where the store does not answer."""
    setup = milvus_setup(settings)
    return SharedCollections(
        store,
        default,
        lambda token: open_shared_gallery(settings, bundle, store, token),
        lambda token: remove_milvus_gallery(setup, token),
    )
