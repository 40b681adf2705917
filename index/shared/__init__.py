"""What of a gallery is no vector, in one store that all replicas share: a Redis that keeps what it took.

The same things are in SQLite and in files where a gallery is on one machine (`index.local.quotas`,
`index.local.verdicts`, `index.local.watches`, `index.database.cameras`, `index.collections`). Everything here
changes in one step of Redis, a script or a transaction, so that two replicas which change it at once lose
nothing.
"""

from index.shared.cameras import SharedCameraSums
from index.shared.claims import Claims
from index.shared.collections import SharedCollections
from index.shared.numbers import SharedNumbers, SharedSettings
from index.shared.quotas import Reservation, SharedQuotas
from index.shared.store import SharedStore, SharedStoreError
from index.shared.verdicts import SharedVerdicts
from index.shared.watches import SharedWatches

__all__ = [
    "Claims",
    "Reservation",
    "SharedCameraSums",
    "SharedCollections",
    "SharedNumbers",
    "SharedQuotas",
    "SharedSettings",
    "SharedStore",
    "SharedStoreError",
    "SharedVerdicts",
    "SharedWatches",
]
