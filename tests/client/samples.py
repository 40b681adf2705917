"""One call of each method of the clients, with all that it can be given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lka_reid_client.call import Call
from lka_reid_client.operation import Operation, Pages
from lka_reid_client.operations import Operations

IMAGE = b"an image file"
FILTER: dict[str, Any] = {
    "only_camera_id": ["a", "b"],
    "not_camera_id": "c",
    "captured_from": "2024-05-17T08:00:00Z",
    "captured_to": "2024-05-17T09:00:00Z",
    "only_vehicle_id": "v",
    "only_view": "front",
    "only_vehicle_type": "bus",
    "any_tag": ["night"],
    "all_tag": ["night"],
}
KNOWN: dict[str, Any] = {
    "vehicle_id": "v",
    "camera_id": "c",
    "captured_at": "2024-05-17T08:00:00Z",
    "view": "front",
    "vehicle_type": "bus",
    "tags": ["night"],
}
ABOUT = KNOWN | {"image_id": "i"}
SEARCH: dict[str, Any] = {"top_k": 3, "rerank": False, "verdicts": False} | FILTER
QUOTA = {"max_images": 1, "max_bytes": 2}
EXPLAIN: dict[str, Any] = {
    "candidate_id": "i",
    "candidate_camera_id": "d",
    "camera_id": "c",
    "box": "1,2,3,4",
    "detect": "one",
}

SAMPLES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "live": ((), {}),
    "ready": ((), {}),
    "await_ready": ((), {}),
    "status": ((), {}),
    "access": ((), {}),
    "metrics": ((), {}),
    "query": ((IMAGE,), SEARCH | {"camera_id": "c", "box": "1,2,3,4", "detect": "one"}),
    "query_all": ((IMAGE,), SEARCH | {"camera_id": "c"}),
    "query_batch": (([IMAGE],), SEARCH | {"camera_ids": ["c"]}),
    "detect": ((IMAGE,), {}),
    "explain": ((IMAGE, IMAGE), EXPLAIN),
    "explain_figure": ((IMAGE, IMAGE), EXPLAIN),
    "enroll": ((IMAGE,), ABOUT | {"box": "1,2,3,4", "detect": "one", "keep_frame": True}),
    "enroll_detected": ((IMAGE,), ABOUT | {"keep_frame": True}),
    "enroll_batch": (([IMAGE], [ABOUT]), {}),
    "record": (("i",), {}),
    "records": ((), FILTER | {"limit": 5}),
    "record_page": ((), FILTER | {"limit": 5, "after": "AAAA"}),
    "image": (("i",), {"frame": True}),
    "update": (("i",), KNOWN | {"clear": ["view"]}),
    "delete": (("i",), {}),
    "count": ((), FILTER),
    "delete_where": ((), FILTER),
    "retention": ((3,), {}),
    "set_retention": ((3,), {}),
    "forget_retention": ((), {}),
    "decide": ((IMAGE, "i", "same"), {"camera_id": "c", "box": "1,2,3,4"}),
    "verdicts": ((), {"after": "AAAA", "limit": 5}),
    "verdicts_of": (("ab" * 32,), {}),
    "probe_image": (("ab" * 32,), {}),
    "undo_verdict": (("ab" * 32, "i"), {}),
    "watch": (
        (IMAGE,),
        {
            "image_id": "i",
            "name": "van",
            "threshold": 0.5,
            "only_camera_id": ["a", "b"],
            "camera_id": "c",
            "box": "1,2,3,4",
            "detect": "one",
            "webhook": "https://hooks.example",
            "secret": "whsec_",
        },
    ),
    "watches": ((), {}),
    "watch_of": ((3,), {}),
    "watch_image": ((3,), {}),
    "test_watch": ((3,), {}),
    "remove_watch": ((3,), {}),
    "alerts": ((), {"limit": 5, "after": "AAAA", "watch_id": 3, "since": "2024-05-17T08:00:00Z"}),
    "dead_letters": ((), {"limit": 5, "after": "AAAA", "watch_id": 3}),
    "retry_dead_letter": ((12,), {}),
    "drop_dead_letter": ((12,), {}),
    "cameras": ((), {}),
    "camera": (("c",), {}),
    "calibrate": (("c", IMAGE), {"anew": True}),
    "forget_calibration": (("c",), {}),
    "collections": ((), {}),
    "collection_named": (("north",), {}),
    "create_collection": (("north",), QUOTA),
    "set_quota": (("north",), QUOTA),
    "drop_collection": (("north",), {}),
}
SEVERAL = {"enroll_all"}
"""Methods that send what another one sends, and take no fields of their own."""


def methods() -> dict[str, Callable[..., Any]]:
    """The functions that make the calls of the clients' methods, by the methods' names."""
    return {
        name: operation.build
        for name, operation in vars(Operations).items()
        if isinstance(operation, Operation | Pages)
    }


def calls() -> dict[str, Call[Any]]:
    """The calls of the samples."""
    made = methods()
    return {name: made[name](*args, **kwargs) for name, (args, kwargs) in SAMPLES.items()}
