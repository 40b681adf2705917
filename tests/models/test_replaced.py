"""A bundle's folder is replaced whole, and nothing that is no part of a bundle is lost by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.bundle import MANIFEST, BundleError, replaced


def made(folder: Path, *names: str) -> Path:
    """A folder with a manifest that lists files of these names."""
    folder.mkdir(parents=True)
    listed = ", ".join(f'"{name}": {{}}' for name in names)
    (folder / MANIFEST).write_text(f'{{"files": {{{listed}}}}}')
    for name in names:
        (folder / name).write_text("old")
    return folder


def replace(folder: Path) -> None:
    with replaced(folder) as draft:
        (draft / "new").touch()


def below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_bundle_and_an_empty_folder_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    made(tmp_path / "old", "embedder.onnx")
    for name in ("old", "empty", "nothing"):
        replace(tmp_path / name)
        assert below(tmp_path / name) == ["new"]
    assert below(tmp_path) == ["empty", "nothing", "old"]


def test_a_link_goes_on_to_lead_to_the_bundle(tmp_path: Path) -> None:
    old = made(tmp_path / "versions" / "one", "embedder.onnx")
    (tmp_path / "current").symlink_to(old)
    replace(tmp_path / "current")
    assert (tmp_path / "current").is_symlink()
    assert below(old) == ["new"]


@pytest.mark.parametrize("manifest", [None, "[]", "{", '{"files": null}', '{"files": {"embedder.onnx": {}}}'])
def test_files_that_are_no_part_of_a_bundle_are_kept(tmp_path: Path, manifest: str | None) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "work.txt").write_text("years")
    if manifest is not None:
        (folder / MANIFEST).write_text(manifest)
    before = below(folder)
    with pytest.raises(BundleError, match=r"mine: holds .* is no part of a bundle and would be removed"):
        replace(folder)
    assert below(folder) == before
    assert below(tmp_path) == ["mine"]


def test_a_file_and_the_folder_that_a_command_runs_in_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="file: is a file; name a folder"):
        replace(tmp_path / "file")
    monkeypatch.chdir(made(tmp_path / "bundle"))
    for folder in (Path(), Path(".."), Path("/"), tmp_path / "bundle"):
        with pytest.raises(BundleError, match="this command runs in it"):
            replace(folder)
    assert below(tmp_path / "bundle") == [MANIFEST]


def test_the_old_bundle_stays_where_the_new_one_is_not_finished(tmp_path: Path) -> None:
    old = made(tmp_path / "bundle", "embedder.onnx")
    with pytest.raises(KeyError), replaced(old):
        raise KeyError
    assert below(old) == ["embedder.onnx", MANIFEST]
    assert below(tmp_path) == ["bundle"]


def test_a_neighbour_named_like_a_draft_is_kept(tmp_path: Path) -> None:
    (tmp_path / "bundle.draft").mkdir()
    (tmp_path / "bundle.draft" / "work.txt").write_text("years")
    replace(made(tmp_path / "bundle"))
    assert below(tmp_path / "bundle.draft") == ["work.txt"]


def test_the_old_bundle_is_back_where_the_new_one_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = made(tmp_path / "bundle", "embedder.onnx")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name.endswith(".draft"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output error"):
        replace(old)
    assert below(old) == ["embedder.onnx", MANIFEST]
    assert below(tmp_path) == ["bundle"]
