"""The SQLite database of a gallery: records, images, descriptors, the log of changes, migrations."""
