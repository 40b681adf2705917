"""Enroll the images below a folder: python examples/enroll_folder.py URL FOLDER."""

import sys

from lka_reid_client import Client, exit_on_error, images_below

if len(sys.argv) != 3:
    sys.exit(__doc__)
missing = 0
with exit_on_error(), Client(sys.argv[1]) as client:
    for done in client.enroll_all(images_below(sys.argv[2])):
        print(done.image.about["image_id"], "there" if done.is_there else done.why)
        missing += not done.is_there
sys.exit(missing > 0)
