"""Enroll an image and search for another: python examples/search.py URL ENROLL PROBE."""

import sys
from pathlib import Path

from lka_reid_client import Client, ClientError, RefusedError

if len(sys.argv) != 4:
    sys.exit(__doc__)
url, enroll, probe = sys.argv[1:]
try:
    with Client(url) as client:
        try:
            client.enroll(Path(enroll), image_id=Path(enroll).name, camera_id="gate-3")
        except RefusedError as error:
            if error.differs != ():  # empty: it is enrolled already, as it is sent
                raise
        for match in client.query(Path(probe), top_k=5).matches:
            print(match.rank, match.image_id, f"{match.similarity:.3f}")
except (ClientError, OSError) as error:
    sys.exit(str(error))
