"""Search for the vehicle of an image: python examples/search.py URL PROBE."""

import sys

from lka_reid_client import Client, exit_on_error

if len(sys.argv) != 3:
    sys.exit(__doc__)
with exit_on_error(), Client(sys.argv[1]) as client:
    for match in client.query(sys.argv[2], top_k=5).matches:
        print(match.rank, match.image_id, f"{match.similarity:.3f}")
