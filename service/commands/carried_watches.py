"""Watches that go over into a gallery of another model."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from index import Gallery, NewWatch, UnknownImageError
from models.decoding import ImageError, decode
from models.inputspec import InputSpec
from models.preprocessing import prepare
from service.inference.forward import EmbeddingError, ForwardPass

log = logging.getLogger(__name__)


def carry_watches(old: Gallery, new: Gallery, forward: ForwardPass, spec: InputSpec) -> None:
    """Keep the watches of a gallery in another one, by its model's descriptors and without their alerts.

    Those of images that were left out go with them; one whose file cannot be embedded is left out. What an
    interrupted run has kept is not kept twice.
    """
    kept = {(watch.name, watch.created_at) for watch in new.watches.all()}
    for watch in old.watches.all():
        if (watch.name, watch.created_at) in kept:
            continue
        webhook, secret = old.watches.webhook(watch.id) or (None, None)
        data: bytes | None = None
        media_type: str | None = None
        descriptor: NDArray[np.float32] | None = None
        try:
            if watch.image_id is None:
                data, media_type = old.watches.image(watch.id)
                descriptor = forward([prepare(decode(data), spec)])[0].descriptor
            new.watches.add(
                NewWatch(
                    name=watch.name,
                    image_id=watch.image_id,
                    data=data,
                    descriptor=descriptor,
                    media_type=media_type,
                    camera_id=watch.camera_id,
                    threshold=watch.threshold,
                    cameras=watch.cameras,
                    webhook=webhook,
                    secret=secret,
                    created_by=watch.created_by,
                    created_at=watch.created_at,
                )
            )
        except (UnknownImageError, ImageError, EmbeddingError) as error:
            log.warning("watch %d is left out: %s", watch.id, error)
