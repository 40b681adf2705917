"""Why an image file is refused, and why none can be decoded."""


class ImageError(ValueError):
    """Bytes that are no usable image; the message says why and what is accepted."""


class DecodePoolError(Exception):
    """No process decodes: they cannot be started, or the pool is closed."""
