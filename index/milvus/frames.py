"""The frames that a gallery on Milvus keeps: objects, which rows name.

A frame goes with the first of its images that is deleted. Then its object goes; the rows of the other images
still name it, and say by that nothing more than that it is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from index.errors import DamagedImageError, UnknownFrameError, UnknownImageError
from index.frames import Frame
from index.milvus.companions import Companions
from index.milvus.engine import Engine
from index.milvus.expression import one_of
from index.milvus.row import check_id, digest, frame_name
from index.milvus.writing import Writer
from index.objects import Objects, UnknownObjectError


class MilvusFrames:
    """See `index.gallery.GalleryFrames`."""

    def __init__(self, engine: Engine, objects: Objects, companions: Companions, writer: Writer) -> None:
        self._engine = engine
        self._objects = objects
        self._companions = companions
        self._writer = writer

    def keep(self, image_ids: Sequence[str], frame: Frame) -> None:
        """Keep the frame of these images. Raises UnknownImageError and QuotaReachedError."""
        for image_id in image_ids:
            check_id(image_id)
        with self._writer.held(list(dict.fromkeys(image_ids))) as claim:
            rows = list(self._engine.rows(one_of("image_id", image_ids), descriptors=True))
            there = {row["image_id"] for row in rows}
            for image_id in image_ids:
                if image_id not in there:
                    raise UnknownImageError(image_id)
            kept = self._objects.read_many([row["frame"] for row in rows if row["frame"]])
            without = [row for row in rows if row["frame"] not in kept]
            if not without:
                return
            room = self._companions.room
            reservation = room.reserve(0, len(frame.data))
            name = frame_name(self._companions.numbers.draw(1))
            try:
                self._objects.write({name: frame.data})
                shown = {
                    "frame": name,
                    "frame_digest": digest(frame.data),
                    "frame_media_type": frame.media_type,
                }
                self._writer.replace([{**row, **shown} for row in without], claim)
            except BaseException:
                # The object is no row's, or of rows that came after all: the sweep sees to it.
                room.cancel(reservation)
                raise
            room.count(reservation)

    def of(self, image_id: str) -> Frame:
        """The frame that an image was cut out of. Raises UnknownFrameError and DamagedImageError."""
        row = self._writer.row(image_id)
        if row is None or not row["frame"]:
            raise UnknownFrameError(image_id)
        try:
            data = self._objects.read(row["frame"])
        except UnknownObjectError:
            raise UnknownFrameError(image_id) from None
        if digest(data) != row["frame_digest"]:
            raise DamagedImageError(image_id, "frame")
        return Frame(data, row["frame_media_type"])
