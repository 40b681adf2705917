"""The Milvus collection of a gallery: its rows, and what is asked of them.

Reads are of the consistency level Strong: they see every write that was acknowledged before, by whichever
replica. Where a row is known to be there and never changes (a descriptor by its number), the level is
Eventually, and one that is missing is asked for again by Strong.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.database.descriptors import pack, unpack
from index.errors import GalleryError
from index.milvus.expression import numbers
from index.milvus.indexes import FLOAT16_SINCE, MilvusIndex, release
from index.milvus.row import SCALARS
from index.record import GalleryHeader

SETTING: Final = "LKA_REID_MILVUS_URL"
TEXT_BYTES: Final = 4_096
"""Of a text of a record in UTF-8, with its sign."""
TAGS: Final = 256
"""Of a record at most."""
DEEPEST: Final = 16_384
"""Matches that Milvus gives of one probe at most, and rows of one query."""
CHUNK: Final = 1_000
CHUNK_DESCRIPTORS: Final = 256
"""Rows of an answer; descriptors of one: 8 MiB at d = 8192."""
INSERTED_BYTES: Final = 16 << 20
"""Of the descriptors of one insert; a server takes 64 MiB."""
SCHEMA_VERSION: Final = 2
"""Of a collection that is made; one of version 1 says nothing of its objects (`index.milvus.place`)."""
READ: Final = (1, SCHEMA_VERSION)
PROPERTY: Final = "lka_reid"

log = logging.getLogger(__name__)


class MilvusError(GalleryError):
    """Milvus cannot be used or does not answer; the message says what to look at."""


class Engine:
    """One collection of Milvus.

    Args:
        client: of pymilvus.
        name: of the collection.
        header: of the gallery.
        index: of the vectors.
        timeout_s: for each call.
        about: what the description of a collection that is made says besides.
    """

    def __init__(
        self,
        client: Any,
        name: str,
        header: GalleryHeader,
        index: MilvusIndex,
        timeout_s: float,
        about: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client
        self._about = dict(about or {})
        self._name = name
        self._header = header
        self._timeout_s = timeout_s
        self.index = index
        with failures():
            self.version = str(client.get_server_version())
        self.width: Literal["float32", "float16"] = "float32"

    @property
    def item_bytes(self) -> int:
        """Of a stored number."""
        return 2 if self.width == "float16" else 4

    def ensure(self) -> Mapping[str, Any]:
        """Make the collection where there is none, and have it answer; what its description says."""
        self.index.check(self.version)
        with failures():
            if not self._client.has_collection(self._name, timeout=self._timeout_s):
                self._create()
            found = self._found()
            described = self._description_in(found)
            types = importlib.import_module("pymilvus").DataType
            kinds = {field["name"]: field["type"] for field in found["fields"]}
            self.width = "float16" if kinds.get("descriptor") == types.FLOAT16_VECTOR else "float32"
            self._ensure_index()
            # A replica that is added has the whole collection to read.
            self._client.load_collection(self._name, timeout=60 * self._timeout_s)
        return described

    def described(self) -> Mapping[str, Any] | None:
        """What the description of the collection says; None where there is no collection."""
        with failures():
            there = self._client.has_collection(self._name, timeout=self._timeout_s)
            return self._description_in(self._found()) if there else None

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows; where it raises, any of them may be there."""
        size = max(INSERTED_BYTES // (self._header.descriptor_dim * self.item_bytes), 1)
        with failures():
            for first in range(0, len(rows), size):
                piece = [self._outgoing(row) for row in rows[first : first + size]]
                self._client.insert(self._name, piece, timeout=self._timeout_s)

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

    def drop(self) -> None:
        """Remove the collection, if it is there."""
        with failures():
            if self._client.has_collection(self._name, timeout=self._timeout_s):
                self._client.drop_collection(self._name, timeout=self._timeout_s)

    def fault(self) -> str | None:
        """What keeps Milvus from answering; None where nothing does."""
        try:
            with failures():
                self._client.get_server_version(timeout=self._timeout_s)
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

    def _found(self) -> Any:
        return self._client.describe_collection(self._name, timeout=self._timeout_s)

    def _description_in(self, found: Any) -> dict[str, Any]:
        """What the description says of a collection that was found."""
        try:
            described = json.loads(found["description"] or found["properties"].get(PROPERTY, "null"))
        except ValueError:
            described = None
        if not isinstance(described, dict) or described.get("lka-reid") not in READ:
            raise MilvusError(
                f"the Milvus collection {self._name!r} was not made by this version of this software; choose "
                "another name for this service's collections, or take the version that made it"
            )
        # The number that Milvus gave it is of this collection alone, also where another Milvus has its name.
        return {**described, "name": f"{self._name}-{found.get('collection_id', '')}"}

    def _description(self) -> dict[str, Any]:
        return {
            "lka-reid": SCHEMA_VERSION,
            "fingerprint": self._header.fingerprint,
            "descriptor_dim": self._header.descriptor_dim,
            "strips_shape": self._header.strips_shape,
            **self._about,
        }

    def _create(self) -> None:
        try:
            self._create_wide()
        except Exception:
            # Another replica may have made it meanwhile; it has another id then, which counts.
            if not self._client.has_collection(self._name, timeout=self._timeout_s):
                raise

    def _create_wide(self) -> None:
        types = importlib.import_module("pymilvus").DataType
        wide = release(self.version) >= FLOAT16_SINCE
        if wide:
            try:
                self._create_with(types.FLOAT16_VECTOR)
                return
            except Exception as error:  # pymilvus raises more than its own
                log.info("Milvus %s takes no float16 vectors: %s", self.version, error)
        self._create_with(types.FLOAT_VECTOR)

    def _create_with(self, vector: Any) -> None:
        types = importlib.import_module("pymilvus").DataType
        schema = self._client.create_schema(
            auto_id=False, enable_dynamic_field=False, description=json.dumps(self._description())
        )
        schema.add_field("record_id", types.INT64, is_primary=True)
        for name, kind in SCALARS_BY_TYPE.items():
            if kind == "text":
                schema.add_field(name, types.VARCHAR, max_length=TEXT_BYTES)
            elif kind == "texts":
                schema.add_field(
                    name,
                    types.ARRAY,
                    element_type=types.VARCHAR,
                    max_length=TEXT_BYTES,
                    max_capacity=TAGS,
                )
            else:
                schema.add_field(name, types.INT64)
        schema.add_field("descriptor", vector, dim=self._header.descriptor_dim)
        self._client.create_collection(
            self._name,
            schema=schema,
            consistency_level="Strong",
            timeout=self._timeout_s,
            # Milvus Lite keeps no description.
            **({"properties": {PROPERTY: json.dumps(self._description())}} if self._is_lite() else {}),
        )

    def _is_lite(self) -> bool:
        return self.version.startswith("milvus_lite")

    def _ensure_index(self) -> None:
        wanted = self._client.prepare_index_params()
        wanted.add_index(
            "descriptor", index_type=self.index.kind, metric_type="IP", params=self.index.parameters()
        )
        text = "INVERTED" if release(self.version) >= (2, 4) else "Trie"
        for name in ("image_id", "digest"):
            wanted.add_index(name, index_type=text)
        there = set(self._client.list_indexes(self._name, timeout=self._timeout_s))
        if "descriptor" in there:
            found = self._client.describe_index(self._name, "descriptor", timeout=self._timeout_s)
            if found["index_type"] != self.index.kind:
                raise MilvusError(
                    f"the Milvus collection {self._name!r} has an index of kind {found['index_type']}, and "
                    f"{self.index.kind} was asked for; ask for {found['index_type']}, or release the "
                    "collection, drop the index of its field `descriptor` by Milvus' own tools, and start "
                    "again"
                )
            return
        # The collection is new: there is nothing to build, and nothing to wait for.
        self._client.create_index(self._name, wanted, timeout=self._timeout_s, sync=False)


NUMBERS: Final = ("captured_at", "enrolled_at", "size")
SCALARS_BY_TYPE: Final[Mapping[str, Literal["text", "texts", "number"]]] = {
    name: "texts" if name == "tags" else "number" if name in NUMBERS else "text"
    for name in SCALARS
    if name != "record_id"
}


def connect(url: str, timeout_s: float, token: str | None = None) -> Any:
    """A client of pymilvus.

    Raises:
        MilvusError: pymilvus is not installed, or nothing answers there.
    """
    try:
        package = importlib.import_module("pymilvus")
    except ImportError as error:
        raise MilvusError(
            "the package pymilvus is not installed, which a gallery on Milvus needs; install lka-reid[milvus]"
        ) from error
    # It logs every error that it raises, with its trace.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    make: Callable[..., Any] = package.MilvusClient
    with failures():
        return make(url, token=token or "", timeout=timeout_s)


@contextmanager
def failures() -> Iterator[None]:
    """Raise MilvusError for whatever pymilvus and its transport raise."""
    try:
        yield
    except GalleryError:
        raise
    except Exception as error:
        words = str(getattr(error, "message", "") or type(error).__name__)
        raise MilvusError(
            f"Milvus, which {SETTING} names, did not do what was asked of it: {words[:300]}; see that it "
            "runs, that its address is right, and its log"
        ) from error
