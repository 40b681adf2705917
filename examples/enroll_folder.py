"""Enroll every PNG and JPEG of a folder: python examples/enroll_folder.py URL FOLDER."""

import sys
from pathlib import Path

from lka_reid_client import Client, NewImage

url, folder = sys.argv[1:]
files = (path for path in sorted(Path(folder).iterdir()) if path.suffix in (".png", ".jpg"))
with Client(url) as client:
    for done in client.enroll_all(NewImage(path, {"image_id": path.name}) for path in files):
        print(done.image.about["image_id"], "there" if done.is_there else done.unreadable or done.problem)
