"""Files and folders of a gallery: private, durable, locked by one process, and with room on their disk."""
