from __future__ import annotations

from pathlib import Path

import pytest

from training.checkpoints.resume import ResumeError
from training.checkpoints.run_folder import RunFolder
from training.export.run import export_run, finished_run


def test_a_folder_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"holds no finished run$"):
        export_run(tmp_path)
    RunFolder(tmp_path / "embedder").write_metrics({})
    with pytest.raises(ResumeError, match=r"holds no finished run; .*embedder is one$"):
        export_run(tmp_path)


def test_metrics_of_before_runs_kept_what_a_manifest_says_are_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_metrics({"name": "old", "configuration": {"bundle": {}}})
    with pytest.raises(ResumeError, match="has no 'manifest'; train again"):
        export_run(tmp_path)


def test_the_re_rankers_run_is_found_in_a_default_bundles_run(tmp_path: Path) -> None:
    assert finished_run(tmp_path).path == tmp_path
    (tmp_path / "reranker").mkdir()
    (tmp_path / "reranker" / "embedder.safetensors").touch()
    assert finished_run(tmp_path).path == tmp_path / "reranker"
    (tmp_path / "embedder.safetensors").touch()
    assert finished_run(tmp_path).path == tmp_path, "a run's own weights come first"
