"""A gallery's collection in Milvus: made where there is none, described, and of the wanted index."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Mapping
from typing import Any, Final, Literal

from index.milvus.connection import MilvusError, failures
from index.milvus.indexes import FLOAT16_SINCE, MilvusIndex, release
from index.milvus.row import SCALARS, TAGS, TEXT_BYTES
from index.record import GalleryHeader

SCHEMA_VERSION: Final = 2
"""Of a collection that is made; one of version 1 says nothing of its objects (`index.milvus.place`)."""
READ: Final = (1, SCHEMA_VERSION)
PROPERTY: Final = "lka_reid"

NUMBERS: Final = ("captured_at", "enrolled_at", "size")
SCALARS_BY_TYPE: Final[Mapping[str, Literal["text", "texts", "number"]]] = {
    name: "texts" if name == "tags" else "number" if name in NUMBERS else "text"
    for name in SCALARS
    if name != "record_id"
}

log = logging.getLogger(__name__)

Width = Literal["float32", "float16"]
"""Of a stored number."""


class MilvusCollection:
    """One collection of Milvus: its fields, its index and its description.

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
        self.client = client
        self._about = dict(about or {})
        self.name = name
        self.header = header
        self.timeout_s = timeout_s
        self.index = index
        with failures():
            self.version = str(client.get_server_version())
        self.width: Width = "float32"

    def ensure(self) -> Mapping[str, Any]:
        """Make the collection where there is none, and have it answer; what its description says."""
        self.index.check(self.version)
        with failures():
            if not self.client.has_collection(self.name, timeout=self.timeout_s):
                self._create()
            found = self._found()
            described = self._description_in(found)
            types = importlib.import_module("pymilvus").DataType
            kinds = {field["name"]: field["type"] for field in found["fields"]}
            self.width = "float16" if kinds.get("descriptor") == types.FLOAT16_VECTOR else "float32"
            self._ensure_index()
            # A replica that is added has the whole collection to read.
            self.client.load_collection(self.name, timeout=60 * self.timeout_s)
        return described

    def described(self) -> Mapping[str, Any] | None:
        """What the description of the collection says; None where there is no collection."""
        with failures():
            there = self.client.has_collection(self.name, timeout=self.timeout_s)
            return self._description_in(self._found()) if there else None

    def drop(self) -> None:
        """Remove the collection, if it is there."""
        with failures():
            if self.client.has_collection(self.name, timeout=self.timeout_s):
                self.client.drop_collection(self.name, timeout=self.timeout_s)

    def _found(self) -> Any:
        return self.client.describe_collection(self.name, timeout=self.timeout_s)

    def _description_in(self, found: Any) -> dict[str, Any]:
        """What the description says of a collection that was found."""
        try:
            described = json.loads(found["description"] or found["properties"].get(PROPERTY, "null"))
        except ValueError:
            described = None
        if not isinstance(described, dict) or described.get("lka-reid") not in READ:
            raise MilvusError(
                f"the Milvus collection {self.name!r} was not made by this version of this software; choose "
                "another name for this service's collections, or take the version that made it"
            )
        # The number that Milvus gave it is of this collection alone, also where another Milvus has its name.
        return {**described, "name": f"{self.name}-{found.get('collection_id', '')}"}

    def _description(self) -> dict[str, Any]:
        return {
            "lka-reid": SCHEMA_VERSION,
            "fingerprint": self.header.fingerprint,
            "descriptor_dim": self.header.descriptor_dim,
            "strips_shape": self.header.strips_shape,
            **self._about,
        }

    def _create(self) -> None:
        try:
            self._create_wide()
        except Exception:
            # Another replica may have made it meanwhile; it has another id then, which counts.
            if not self.client.has_collection(self.name, timeout=self.timeout_s):
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
        schema = self.client.create_schema(
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
        schema.add_field("descriptor", vector, dim=self.header.descriptor_dim)
        self.client.create_collection(
            self.name,
            schema=schema,
            consistency_level="Strong",
            timeout=self.timeout_s,
            # Milvus Lite keeps no description.
            **({"properties": {PROPERTY: json.dumps(self._description())}} if self._is_lite() else {}),
        )

    def _is_lite(self) -> bool:
        return self.version.startswith("milvus_lite")

    def _ensure_index(self) -> None:
        wanted = self.client.prepare_index_params()
        wanted.add_index(
            "descriptor", index_type=self.index.kind, metric_type="IP", params=self.index.parameters()
        )
        text = "INVERTED" if release(self.version) >= (2, 4) else "Trie"
        for name in ("image_id", "digest"):
            wanted.add_index(name, index_type=text)
        there = set(self.client.list_indexes(self.name, timeout=self.timeout_s))
        if "descriptor" in there:
            found = self.client.describe_index(self.name, "descriptor", timeout=self.timeout_s)
            if found["index_type"] != self.index.kind:
                raise MilvusError(
                    f"the Milvus collection {self.name!r} has an index of kind {found['index_type']}, and "
                    f"{self.index.kind} was asked for; ask for {found['index_type']}, or release the "
                    "collection, drop the index of its field `descriptor` by Milvus' own tools, and start "
                    "again"
                )
            return
        # The collection is new: there is nothing to build, and nothing to wait for.
        self.client.create_index(self.name, wanted, timeout=self.timeout_s, sync=False)
