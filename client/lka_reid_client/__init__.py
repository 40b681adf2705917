"""A client of LKA-ReID, the vehicle re-identification service.

Every method of `Client` is one of `AsyncClient`, too, to be awaited. Here the service is imitated;
`Client(url)` alone talks to a real one.

>>> import httpx
>>> from lka_reid_client import Client
>>> car = {"box": [309, 5, 148, 227], "type": "car", "score": 0.76}
>>> found = {"width": 768, "height": 432, "vehicles": [car]}
>>> service = httpx.MockTransport(lambda request: httpx.Response(200, json=found))
>>> with Client("http://127.0.0.1:8000", transport=service) as client:
...     answer = client.detect(b"the bytes of an image file")
>>> answer.vehicles[0].box
(309, 5, 148, 227)
"""

from lka_reid_client.asynchronous import AsyncClient
from lka_reid_client.enrolling import Enrolled, NewImage
from lka_reid_client.errors import (
    AbandonedError,
    ClientError,
    InvalidCallError,
    RefusedError,
    ServiceUnreachableError,
)
from lka_reid_client.folder import images_below
from lka_reid_client.kinds import Kind
from lka_reid_client.retry import asked_wait_s
from lka_reid_client.script import exit_on_error
from lka_reid_client.synchronous import Client

__all__ = [
    "AbandonedError",
    "AsyncClient",
    "Client",
    "ClientError",
    "Enrolled",
    "InvalidCallError",
    "Kind",
    "NewImage",
    "RefusedError",
    "ServiceUnreachableError",
    "asked_wait_s",
    "exit_on_error",
    "images_below",
]
