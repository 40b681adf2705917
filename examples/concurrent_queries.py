"""Search for several probes at once: python examples/concurrent_queries.py URL PROBE..."""

import asyncio
import sys
from pathlib import Path

from lka_reid_client import AsyncClient, ClientError


async def main(url: str, *probes: str) -> None:
    async with AsyncClient(url) as client:
        for answer in await asyncio.gather(*(client.query(Path(probe), top_k=1) for probe in probes)):
            print([match.image_id for match in answer.matches])


if len(sys.argv) < 3:
    sys.exit(__doc__)
try:
    asyncio.run(main(*sys.argv[1:]))
except (ClientError, OSError) as error:
    sys.exit(str(error))
