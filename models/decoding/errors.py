"""Why an image file is refused."""


class ImageError(ValueError):
    """Bytes that are no usable image; the message says why and what is accepted."""
