"""Search for several probes at once: python examples/concurrent_queries.py URL PROBE..."""

import asyncio
import sys

from lka_reid_client import AsyncClient, exit_on_error


async def main(url: str, *probes: str) -> None:
    async with AsyncClient(url) as client:
        for answer in await asyncio.gather(*(client.query(probe, top_k=1) for probe in probes)):
            print([match.image_id for match in answer.matches])


if len(sys.argv) < 3:
    sys.exit(__doc__)
with exit_on_error():
    asyncio.run(main(*sys.argv[1:]))
