"""Enroll an image and search for another: python examples/search.py URL ENROLL PROBE."""

import sys
from pathlib import Path

from lka_reid_client import Client

url, enroll, probe = sys.argv[1:]
with Client(url) as client:
    client.enroll(Path(enroll), image_id=Path(enroll).name, camera_id="gate-3")
    for match in client.query(Path(probe), top_k=5).matches:
        print(match.rank, match.image_id, f"{match.similarity:.3f}")
