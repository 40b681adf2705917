"""Files by name in an object store: a folder of this machine, or a bucket of S3.

`Objects` is the protocol; `open_objects` opens a store by its URL through fsspec. What is written has a name
of its own and never changes, so that no reader sees half of anything it knows the name of.
"""

from index.objects.errors import ObjectStoreError, UnknownObjectError
from index.objects.protocol import Objects, Stored
from index.objects.store import FsspecObjects, open_objects

__all__ = ["FsspecObjects", "ObjectStoreError", "Objects", "Stored", "UnknownObjectError", "open_objects"]
