"""One change of a gallery, and of a model of it that a test compares it with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from index import Filter, Record
from tests.index.samples import AnyGallery, enrollment


def alter(
    gallery: AnyGallery, model: dict[str, Record], action: str, name: str, camera: str | None, step: int
) -> None:
    """Make a change where the model allows it, and see that it is answered as the model has it.

    Args:
        gallery: that is changed.
        model: the record of each image that is enrolled; changed alike.
        action: `enroll`, `delete`, `update`, or `filter`: delete what a camera has seen.
        name: of the image.
        camera: its camera, or the one of the filter.
        step: changes with every change.
    """
    if action == "enroll" and name not in model:
        model[name] = gallery.enroll(enrollment(name, camera_id=camera))
    elif action == "delete" and name in model:
        gallery.delete(name)
        del model[name]
    elif action == "update" and name in model:
        change: dict[str, Any] = {"camera_id": camera, "view": str(step)}
        model[name] = replace(model[name], **change)
        assert gallery.update(name, change) == model[name]  # type: ignore[arg-type]
    elif action == "filter" and camera is not None:
        where = Filter(camera_ids=frozenset({camera}))
        doomed = [one for one, record in model.items() if where.admits(record)]
        assert gallery.delete_where(where) == len(doomed)
        for one in doomed:
            del model[one]
