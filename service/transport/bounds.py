"""What a client may cost before there is a request to answer."""

from __future__ import annotations

import resource
from dataclasses import dataclass

DESCRIPTORS = 65_536
"""File descriptors that are asked for; the system may grant fewer."""


@dataclass(frozen=True)
class Bounds:
    """Bounds of connections, and of one connection.

    Attributes:
        connections: open at the same time.
        per_peer: of these, from one address.
        head_bytes: of a request's line and header fields.
        head_fields: header fields of a request.
        head_s: s from a connection's begin, or a later request's first byte, to the end of its head.
        idle_s: s that a connection stays open between requests: longer than proxies keep theirs (60), which
            would meet a closed one.
        drain_s: s for which the rest of a body is read whose request is answered already.
        drain_bytes: of such a rest, and of the rest of a request that is refused.
        framing_bytes: of a chunked body that are no content: sizes, extensions, trailers.
        linger_s: s for which a connection is still read after its last answer, so that this arrives.
        stall_s: s for which an answer may wait without a client that reads on.
        unread_bytes: of all answers that wait to be read.
        pipelined: requests that may wait on a connection while one before them is answered.
    """

    connections: int = 1024
    per_peer: int = 512
    head_bytes: int = 64 * 1024
    head_fields: int = 100
    head_s: float = 10.0
    idle_s: float = 75.0
    drain_s: float = 30.0
    drain_bytes: int = 16 * 1024 * 1024
    framing_bytes: int = 64 * 1024
    linger_s: float = 5.0
    stall_s: float = 20.0
    unread_bytes: int = 128 * 1024 * 1024
    pipelined: int = 8


def most_connections(wanted: int) -> int:
    """The connections that can be kept of those that are wanted, by the file descriptors there are.

    The process is given as many descriptors as the system lets it have. Not all are for connections: models,
    gallery and Redis need some, and some are of connections that have just made room.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    granted = most if soft == resource.RLIM_INFINITY else soft
    return max(1, min(wanted, granted // 2))
