"""The base class of a manifest's parts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of a manifest: frozen, and a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
