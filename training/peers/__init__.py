"""What others do after the first stage: re-rankers of the literature that need descriptors alone."""

from training.peers.collection import Collection
from training.peers.expansion import AlphaExpansion
from training.peers.kreciprocal import KReciprocal
from training.peers.peer import Peer
from training.peers.propagation import GraphPropagation
from training.peers.superglobal import SuperGlobal

PEERS: tuple[Peer, ...] = (
    AlphaExpansion(),
    SuperGlobal(),
    KReciprocal(),
    GraphPropagation(),
    KReciprocal(transductive=True),
    GraphPropagation(transductive=True),
)

__all__ = [
    "PEERS",
    "AlphaExpansion",
    "Collection",
    "GraphPropagation",
    "KReciprocal",
    "Peer",
    "SuperGlobal",
]
