"""Enroll every PNG and JPEG of a folder: python examples/enroll_folder.py URL FOLDER."""

import sys
from pathlib import Path

from lka_reid_client import Client, ClientError, NewImage

if len(sys.argv) != 3:
    sys.exit(__doc__)
url, folder = sys.argv[1:]
missing = 0
try:
    files = [
        each for each in sorted(Path(folder).iterdir()) if each.suffix.lower() in (".png", ".jpg", ".jpeg")
    ]
    if not files:
        sys.exit(f"{folder} holds no PNG and no JPEG")
    with Client(url) as client:
        for done in client.enroll_all(NewImage(path, {"image_id": path.name}) for path in files):
            missing += not done.is_there
            print(done.image.about["image_id"], "there" if done.is_there else done.why)
except (ClientError, OSError) as error:
    sys.exit(str(error))
sys.exit(1 if missing else 0)
