"""Watches at work: new images are compared with them, and alerts go to webhooks and to whoever listens."""
