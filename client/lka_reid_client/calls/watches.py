"""Vehicles that are looked for, and the alerts that came of it."""

from __future__ import annotations

from collections.abc import Sequence

from lka_reid_client.answers import AlertAnswer, AlertsAnswer, WatchAnswer, WatchesAnswer, WatchTestAnswer
from lka_reid_client.call import MAX_FILE, Call, Image, given, image_part
from lka_reid_client.calls.fields import Many, Moment
from lka_reid_client.calls.listing import listing
from lka_reid_client.calls.parsing import file, model, nothing
from lka_reid_client.operation import Step
from lka_reid_client.response import Response


def watch(
    image: Image | None = None,
    *,
    image_id: str | None = None,
    name: str | None = None,
    threshold: float | None = None,
    only_camera_id: Many | None = None,
    camera_id: str | None = None,
    box: str | None = None,
    detect: str | None = None,
    webhook: str | None = None,
    secret: str | None = None,
) -> Call[WatchAnswer]:
    """Look for a vehicle in whatever is enrolled from now on, by a file or an enrolled image.

    Alerts are delivered to `webhook`, signed with `secret` as Standard Webhooks are, where both are given.
    """
    fields = {
        "image_id": image_id,
        "name": name,
        "threshold": threshold,
        "only_camera_id": only_camera_id,
        "camera_id": camera_id,
        "box": box,
        "detect": detect,
        "webhook": webhook,
        "secret": secret,
    }
    return Call(
        "POST",
        "/watches",
        model(WatchAnswer),
        form=given(fields),
        parts=None if image is None else lambda: [image_part(image)],
        waits=True,
    )


def watches() -> Call[WatchesAnswer]:
    """All watches, the first made first."""
    return Call("GET", "/watches", model(WatchesAnswer))


def watch_of(watch_id: int) -> Call[WatchAnswer]:
    """A watch."""
    return Call("GET", f"/watches/{watch_id:d}", model(WatchAnswer))


def watch_image(watch_id: int) -> Call[tuple[bytes, str]]:
    """The file that a watch was made of, and its media type."""
    return Call("GET", f"/watches/{watch_id:d}/image", file, max_bytes=MAX_FILE)


def test_watch(watch_id: int) -> Call[WatchTestAnswer]:
    """Send a test message to a watch's webhook; what became of it."""
    return Call("POST", f"/watches/{watch_id:d}/test", model(WatchTestAnswer))


def remove_watch(watch_id: int) -> Call[None]:
    """Look for a vehicle no more; its alerts go with it."""
    return Call("DELETE", f"/watches/{watch_id:d}", nothing)


def alerts(
    *,
    limit: int | None = None,
    after: str | None = None,
    watch_id: int | None = None,
    since: Moment | None = None,
) -> Step[AlertAnswer]:
    """Alerts, the newest first, at most `limit`; page by page.

    Args:
        limit: alerts in all.
        after: the `next` of a page that was read before.
        watch_id: only those of this watch.
        since: only those raised then or later.
    """
    params = given({"watch_id": watch_id, "since": since})
    return listing("/alerts", _alert_page, params, left=limit, after=after)


def dead_letters(
    *, limit: int | None = None, after: str | None = None, watch_id: int | None = None
) -> Step[AlertAnswer]:
    """Alerts whose delivery was given up, the newest first, at most `limit`; page by page.

    Args:
        limit: alerts in all.
        after: the `next` of a page that was read before.
        watch_id: only those of this watch.
    """
    params = given({"watch_id": watch_id})
    return listing("/alerts/dead-letters", _alert_page, params, left=limit, after=after)


def _alert_page(response: Response) -> tuple[Sequence[AlertAnswer], str | None]:
    page = model(AlertsAnswer)(response)
    return page.alerts, page.next


def retry_dead_letter(alert_id: int) -> Call[AlertAnswer]:
    """Have an alert delivered again whose delivery was given up."""
    return Call("POST", f"/alerts/dead-letters/{alert_id:d}/retry", model(AlertAnswer))


def drop_dead_letter(alert_id: int) -> Call[None]:
    """Give the delivery of an alert up for good; the alert stays."""
    return Call("DELETE", f"/alerts/dead-letters/{alert_id:d}", nothing)
