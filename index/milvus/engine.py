"""The rows of a gallery in its Milvus collection, and what is asked of them.

Reads are of the consistency level Strong: they see every write that was acknowledged before, by whichever
replica. Where a row is known to be there and never changes (a descriptor by its number), the level is
Eventually, and one that is missing is asked for again by Strong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.database.descriptors import pack, unpack
from index.milvus.collection import MilvusCollection
from index.milvus.connection import MilvusError, failures
from index.milvus.expression import EVERYTHING, numbers
from index.milvus.row import SCALARS

DEEPEST: Final = 16_384
"""Matches that Milvus gives of one probe at most, and rows of one query."""
CHUNK: Final = 1_000
CHUNK_DESCRIPTORS: Final = 256
"""Rows of an answer; descriptors of one: 8 MiB at d = 8192."""
INSERTED_BYTES: Final = 16 << 20
"""Of the descriptors of one insert; a server takes 64 MiB."""


class Engine:
    """The rows of one collection of Milvus.

    Args:
        collection: that there is.
    """

    def __init__(self, collection: MilvusCollection) -> None:
        self._client = collection.client
        self._name = collection.name
        self._header = collection.header
        self._timeout_s = collection.timeout_s
        self.index = collection.index
        self.version = collection.version
        self.width = collection.width

    @property
    def item_bytes(self) -> int:
        """Of a stored number."""
        return 2 if self.width == "float16" else 4

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows; where it raises, any of them may be there."""
        size = max(INSERTED_BYTES // (self._header.descriptor_dim * self.item_bytes), 1)
        with failures():
            for first in range(0, len(rows), size):
                piece = [self._outgoing(row) for row in rows[first : first + size]]
                # No insert: pymilvus sends again what got no answer, and Milvus keeps two rows of one number.
                self._client.upsert(self._name, piece, timeout=self._timeout_s)

    def replace(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put rows in the place of those of the same numbers."""
        with failures():
            outgoing = [self._outgoing(row) for row in rows]
            self._client.upsert(self._name, outgoing, timeout=self._timeout_s)

    def delete(self, record_ids: Sequence[int]) -> None:
        """Remove rows."""
        with failures():
            for first in range(0, len(record_ids), CHUNK):
                piece = list(record_ids[first : first + CHUNK])
                self._client.delete(self._name, ids=piece, timeout=self._timeout_s)

    def count(self, expression: str, *, seen: bool = False) -> int:
        """How many rows meet an expression; `seen` where a Strong read was just before it."""
        with failures():
            [found] = self._client.query(
                self._name,
                filter=expression,
                output_fields=["count(*)"],
                consistency_level="Eventually" if seen else "Strong",
                timeout=self._timeout_s,
            )
        return int(found["count(*)"])

    def rows(
        self, expression: str, *, after: int = -1, limit: int | None = None, descriptors: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Rows that meet an expression, by their numbers, from after one on; `limit` at most."""
        fields = [*SCALARS, "descriptor"] if descriptors else SCALARS
        most = CHUNK_DESCRIPTORS if descriptors else CHUNK
        while limit is None or limit > 0:
            size = most if limit is None else min(limit, most)
            found = self._query(f"record_id > {after} and ({expression})", fields, size, "Strong")
            yield from found
            if len(found) < size:
                return
            after = int(found[-1]["record_id"])
            limit = None if limit is None else limit - len(found)

    def search(
        self, descriptors: NDArray[np.float32], limit: int, expression: str
    ) -> list[list[tuple[float, dict[str, Any]]]]:
        """For each probe `[B, d]` so many rows that meet an expression; similarities are the engine's."""
        data = pack(descriptors) if self.width == "float16" else descriptors
        with failures():
            found = self._client.search(
                self._name,
                data=list(data),
                anns_field="descriptor",
                filter=expression,
                limit=limit,
                output_fields=list(SCALARS),
                search_params={"metric_type": "IP", "params": dict(self.index.search)},
                consistency_level="Strong",
                timeout=self._timeout_s,
            )
        return [
            [
                (float(hit["distance"]), {**hit["entity"], "record_id": int(hit["entity"]["record_id"])})
                for hit in hits
            ]
            for hits in found
        ]

    def descriptors(self, record_ids: Sequence[int]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """Stored descriptors `[n, d]` by their numbers, in pieces, without those of rows that are gone."""
        for first in range(0, len(record_ids), CHUNK_DESCRIPTORS):
            wanted = set(record_ids[first : first + CHUNK_DESCRIPTORS])
            for level in ("Eventually", "Strong"):
                rows = self._query(numbers(wanted), ["record_id", "descriptor"], len(wanted) or 1, level)
                if rows:
                    stacked = np.stack([row["descriptor"] for row in rows])
                    yield [row["record_id"] for row in rows], stacked
                wanted -= {row["record_id"] for row in rows}
                if not wanted:
                    break

    def fault(self) -> str | None:
        """What keeps Milvus from answering of this collection; None where nothing does."""
        try:
            # A server that has just started says its version before it has loaded any rows.
            self._query(EVERYTHING, ["record_id"], 1, "Eventually")
        except MilvusError as error:
            return str(error)
        return None

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()

    def _query(self, expression: str, fields: Sequence[str], limit: int, level: str) -> list[dict[str, Any]]:
        with failures():
            found = self._client.query(
                self._name,
                filter=expression,
                output_fields=list(fields),
                limit=limit,
                consistency_level=level,
                timeout=self._timeout_s,
            )
        rows = [dict(row) for row in found]
        for row in rows:
            row["record_id"] = int(row["record_id"])
            if "descriptor" in row:
                row["descriptor"] = self._incoming(row["descriptor"])
        return sorted(rows, key=lambda row: int(row["record_id"]))

    def _outgoing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        descriptor = row["descriptor"]
        return {**row, "descriptor": pack(descriptor) if self.width == "float16" else descriptor}

    def _incoming(self, stored: Any) -> NDArray[np.float32]:
        if self.width == "float32":
            return np.asarray(stored, dtype=np.float32)
        if isinstance(stored, bytes | bytearray):
            halves = np.frombuffer(bytes(stored), dtype="<f2")
        else:
            halves = np.asarray(stored, dtype="<f2")
        return np.asarray(unpack(halves.reshape(1, -1))[0])
