"""Enrolling any number of images, a batch at a time, without ever holding more than one batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lka_reid_client.answers import EnrollBatchAnswer, EnrolledImage, EnrolledItem
from lka_reid_client.answers.problem import Problem
from lka_reid_client.call import LATER, Call, Image, given
from lka_reid_client.calls.fields import About
from lka_reid_client.calls.gallery import enroll_batch
from lka_reid_client.calls.parsing import model
from lka_reid_client.operation import Page, Step
from lka_reid_client.response import Response
from lka_reid_client.retry import SHORTEST_WAIT_S

BATCH = 32
"""Images in one request, at most."""
BATCH_BYTES = 32 * 1024 * 1024
"""Bytes of them; half of what a service takes by default. A larger image goes by itself."""
ATTEMPTS = 5
"""How often an image of a batch is sent that is answered by "later"."""


@dataclass(frozen=True)
class NewImage:
    """An image that is to be enrolled, and what is known of it.

    Give it an `image_id`: only then it can be sent again where no answer came.
    """

    image: Image
    about: About = field(default_factory=lambda: About())


@dataclass(frozen=True)
class Enrolled:
    """What became of one image.

    Attributes:
        image: as it was given.
        record: where it is enrolled by this; else None.
        problem: where it is not: the service's, or in `unreadable` why nothing was sent.
        unreadable: why its file could not be read, or what is known of it not sent; empty where they could.
    """

    image: NewImage
    record: EnrolledImage | None = None
    problem: Problem | None = None
    unreadable: str = ""

    @property
    def is_there(self) -> bool:
        """Whether it is in the gallery as it was given, by this or from before."""
        return self.record is not None or (self.problem is not None and self.problem.differs == [])

    @property
    def why(self) -> str:
        """Why this did not enroll it, in words; empty where it did."""
        return self.unreadable or ("" if self.problem is None else self.problem.detail)


@dataclass(frozen=True)
class _Loaded:
    image: NewImage
    data: bytes
    attempts: int = 0


def enroll_all(images: Iterable[NewImage], *, batch: int = BATCH) -> Step[Enrolled]:
    """Enroll images from any iterable, which is read as far as a batch needs; what became of each.

    An image that cannot be read or enrolled does not keep the others; what concerns a whole request, such as
    a key that is refused, is raised. An image that is answered by "later" is sent again with a later batch,
    so that outcomes may come in another order than the images.
    """
    if batch < 1:
        raise ValueError(f"batch is {batch}; it takes 1 or more images")
    return _Enrolling(images, batch).step([], [])


class _Enrolling:
    def __init__(self, images: Iterable[NewImage], batch: int) -> None:
        self._images: Iterator[NewImage] = iter(images)
        self._batch = batch
        self._held: _Loaded | None = None

    def step(self, again: list[_Loaded], enrolled: list[Enrolled]) -> Step[Enrolled]:
        group, size = list(again), sum(len(one.data) for one in again)
        while len(group) < self._batch:
            loaded = self._held or self._load(enrolled)
            self._held = None
            if loaded is None:
                break
            if group and size + len(loaded.data) > BATCH_BYTES:
                self._held = loaded
                break
            group.append(loaded)
            size += len(loaded.data)
        if not group:
            return Page(enrolled) if enrolled else None
        call = enroll_batch([one.data for one in group], [one.image.about for one in group])

        def parse(response: Response) -> Page[Enrolled]:
            answer = model(EnrollBatchAnswer)(response)
            if len(answer.items) != len(group):
                raise ValueError(f"{len(answer.items)} items for {len(group)} images")
            later: list[_Loaded] = []
            for one, item in zip(group, answer.items, strict=True):
                if item.status in LATER and one.attempts + 1 < ATTEMPTS:
                    later.append(_Loaded(one.image, one.data, one.attempts + 1))
                else:
                    enrolled.append(_outcome(one.image, item))
            return Page(list(enrolled), lambda: self.step(later, []))

        attempts = max(one.attempts for one in group)
        return Call(
            call.method,
            call.path,
            parse,
            parts=call.parts,
            form=call.form,
            waits=True,
            repeats=call.repeats,
            after_s=SHORTEST_WAIT_S * 2**attempts if attempts else 0.0,
        )

    def _load(self, enrolled: list[Enrolled]) -> _Loaded | None:
        """The next image whose file can be read; None at the end."""
        for new in self._images:
            try:
                given(new.about)
                data = new.image if isinstance(new.image, bytes) else Path(new.image).read_bytes()
            except (OSError, ValueError) as error:
                enrolled.append(Enrolled(new, unreadable=str(error)))
                continue
            return _Loaded(new, data)
        return None


def _outcome(image: NewImage, item: EnrolledItem) -> Enrolled:
    return Enrolled(image, record=item.record, problem=item.problem)
