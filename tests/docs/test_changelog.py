"""The changelog's newest entry is of the version that pyproject.toml names, the only place that does."""

from __future__ import annotations

import re
import tomllib

from tests.docs.pages import ROOT


def test_the_newest_entry_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == project["version"]
