"""A gallery on Milvus: vectors and records in the engine, images and strips in an object store.

`MilvusGallery` is a `Gallery` of which any number of replicas may be open; `open_milvus_gallery` opens one.
pymilvus is imported when a gallery is opened, and not before.
"""

from index.milvus.companions import Claim, Claims, Companions, KeptSettings, KeptSums, KeptVerdicts, Room
from index.milvus.connection import MilvusError
from index.milvus.gallery import MilvusGallery
from index.milvus.indexes import MilvusIndex
from index.milvus.local_companions import local_companions
from index.milvus.opening import MilvusSetup, open_milvus_gallery, remove_milvus_gallery

__all__ = [
    "Claim",
    "Claims",
    "Companions",
    "KeptSettings",
    "KeptSums",
    "KeptVerdicts",
    "MilvusError",
    "MilvusGallery",
    "MilvusIndex",
    "MilvusSetup",
    "Room",
    "local_companions",
    "open_milvus_gallery",
    "remove_milvus_gallery",
]
