"""What pyproject.toml requires for serving, as a requirements file: `python requirements.py EXTRA...`.

So that an image's layer of packages is built anew when these change, not whenever the project's code does.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = (requirement for extra in sys.argv[1:] for requirement in project["optional-dependencies"][extra])
print(*project["dependencies"], *extras, sep="\n")
