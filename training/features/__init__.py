"""Descriptors, strips and bands of many images, and where they are kept."""
