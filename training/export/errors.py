"""What goes wrong in an export; apart, so that who catches it needs no torch."""

from __future__ import annotations


class ExportError(Exception):
    """An export whose ONNX files do not agree with what they were made from; no bundle was written."""
