"""The methods of both clients: each a route of the service, made in `calls/`."""

from __future__ import annotations

from lka_reid_client.calls import cameras as _cameras
from lka_reid_client.calls import collections as _collections
from lka_reid_client.calls import gallery as _gallery
from lka_reid_client.calls import health as _health
from lka_reid_client.calls import search as _search
from lka_reid_client.calls import verdicts as _verdicts
from lka_reid_client.calls import watches as _watches
from lka_reid_client.enrolling import enroll_all
from lka_reid_client.operation import Operation, Pages


class Operations:
    """What can be asked of a service."""

    live = Operation(_health.live)
    ready = Operation(_health.ready)
    await_ready = Operation(_health.await_ready)
    status = Operation(_health.status)
    access = Operation(_health.access)
    metrics = Operation(_health.metrics)

    query = Operation(_search.query)
    query_all = Operation(_search.query_all)
    query_batch = Operation(_search.query_batch)
    detect = Operation(_search.detect)
    explain = Operation(_search.explain)
    explain_figure = Operation(_search.explain_figure)

    enroll = Operation(_gallery.enroll)
    enroll_detected = Operation(_gallery.enroll_detected)
    enroll_batch = Operation(_gallery.enroll_batch)
    enroll_all = Pages(enroll_all)
    record = Operation(_gallery.record)
    records = Pages(_gallery.records)
    record_page = Operation(_gallery.record_page)
    image = Operation(_gallery.image)
    update = Operation(_gallery.update)
    delete = Operation(_gallery.delete)
    count = Operation(_gallery.count)
    delete_where = Pages(_gallery.delete_where)
    retention = Operation(_gallery.retention)
    set_retention = Operation(_gallery.set_retention)
    forget_retention = Operation(_gallery.forget_retention)

    decide = Operation(_verdicts.decide)
    verdicts = Pages(_verdicts.verdicts)
    verdicts_of = Operation(_verdicts.verdicts_of)
    probe_image = Operation(_verdicts.probe_image)
    undo_verdict = Operation(_verdicts.undo_verdict)

    watch = Operation(_watches.watch)
    watches = Operation(_watches.watches)
    watch_of = Operation(_watches.watch_of)
    watch_image = Operation(_watches.watch_image)
    test_watch = Operation(_watches.test_watch)
    remove_watch = Operation(_watches.remove_watch)
    alerts = Pages(_watches.alerts)
    dead_letters = Pages(_watches.dead_letters)
    retry_dead_letter = Operation(_watches.retry_dead_letter)
    drop_dead_letter = Operation(_watches.drop_dead_letter)

    cameras = Operation(_cameras.cameras)
    camera = Operation(_cameras.camera)
    calibrate = Operation(_cameras.calibrate)
    forget_calibration = Operation(_cameras.forget_calibration)

    collections = Operation(_collections.collections)
    collection_named = Operation(_collections.collection_named)
    create_collection = Operation(_collections.create_collection)
    set_quota = Operation(_collections.set_quota)
    drop_collection = Operation(_collections.drop_collection)
