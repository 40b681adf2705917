"""Frames that are kept: the whole image of a scene, of which records hold crops.

A frame goes with the first of its records that is deleted: it shows that vehicle, whatever else it shows. The
database sees to it by itself. The tables are made at the first opening by software that knows them; software
that does not may open the gallery all the same.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame's file, and its media type."""

    data: bytes
    media_type: str
