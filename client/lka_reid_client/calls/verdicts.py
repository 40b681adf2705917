"""What people decided of probes and matches."""

from __future__ import annotations

from collections.abc import Sequence

from lka_reid_client.answers import VerdictAnswer, VerdictsAnswer
from lka_reid_client.call import MAX_FILE, Call, Image, given, image_part
from lka_reid_client.calls.listing import LARGEST_PAGE, listing
from lka_reid_client.calls.parsing import file, model, nothing
from lka_reid_client.naming import image_path, path_of, segment
from lka_reid_client.operation import Step
from lka_reid_client.response import Response


def decide(
    image: Image, image_id: str, verdict: str, *, camera_id: str | None = None, box: str | None = None
) -> Call[VerdictAnswer]:
    """Say whether a probe and an enrolled image show the `same` vehicle, or `different` ones."""
    fields = {"image_id": image_id, "verdict": verdict, "camera_id": camera_id, "box": box}
    return Call(
        "POST",
        "/verdicts",
        model(VerdictAnswer),
        form=given(fields),
        parts=lambda: [image_part(image)],
        waits=True,
        repeats=True,
    )


def verdicts(*, after: str | None = None, limit: int = LARGEST_PAGE) -> Step[VerdictAnswer]:
    """All verdicts, the pair that was decided first before others; page by page.

    Args:
        after: the `next` of a page that was read before.
        limit: verdicts on a page.
    """
    return listing("/verdicts", _verdict_page, {}, after=after, size=limit)


def _verdict_page(response: Response) -> tuple[Sequence[VerdictAnswer], str | None]:
    page = model(VerdictsAnswer)(response)
    return page.verdicts, page.next


def verdicts_of(probe: str) -> Call[VerdictsAnswer]:
    """The verdicts on a probe, which the SHA-256 of its file names."""
    return Call("GET", path_of("verdicts", segment(probe)), model(VerdictsAnswer))


def probe_image(probe: str) -> Call[tuple[bytes, str]]:
    """The file of a probe that has verdicts, and its media type."""
    return Call("GET", path_of("verdicts", segment(probe), "image"), file, max_bytes=MAX_FILE)


def undo_verdict(probe: str, image_id: str) -> Call[None]:
    """Take a verdict back."""
    return Call("DELETE", image_path("verdicts", segment(probe), image_id), nothing)
