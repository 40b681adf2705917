"""VeRi-776 from its folder to an answer: the paper's experiment at a small size, exported and served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from structlog.typing import EventDict
from typer.testing import CliRunner

from models.bundle import Bundle
from service.api.app import create_app
from service.settings import Settings
from tests.service.fakes import serving, wait_until_ready
from tests.training.datasets.trees import veri776
from training.cli import app

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = {
    "network.width": "8",
    "network.depth": "[1, 1, 1, 1]",
    "network.image_size": "[64, 64]",
    "schedule.epochs": "2",
    "schedule.warm_up": "1",
    "schedule.freeze": "1",
    "batch.vehicles": "3",
    "batch.images": "2",
    "run.precision": "fp32",
    "run.workers": "0",
    "run.device": "cpu",
}


def _drop(_logger: Any, _method: str, _event: EventDict) -> EventDict:
    raise structlog.DropEvent


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["veri776", "veri776-lai"])
def test_the_papers_experiment_goes_from_veris_folder_to_an_answer(experiment: str, tmp_path: Path) -> None:
    data = veri776(tmp_path / "VeRi", train=6, test=3)
    run = tmp_path / "run"
    changes = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    arguments = ["--config", str(CONFIGS / f"{experiment}.yaml"), "--data", str(data), "--out", str(run)]
    found = CliRunner().invoke(app, ["train", "embedder", *arguments, *changes])
    assert found.exit_code == 0, found.output

    metrics = json.loads((run / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["data"]["vehicles"] == 6
    served = metrics["results"][0]
    assert (served["task"], served["queries"], served["gallery"]) == ("test", 6, 12)
    assert [row["row"] for row in metrics["results"]] == ["as served", "with side information"][
        : 1 + (experiment == "veri776-lai")
    ]
    manifest = Bundle.load(run / "bundle").manifest
    assert manifest.input.mean == manifest.input.std == (0.5, 0.5, 0.5)
    assert manifest.accuracy is not None
    assert [(row.task, row.queries, row.mAP, row.cmc[1]) for row in manifest.accuracy.rows] == [
        (row["task"], row["queries"], row["mAP"], row["R1"]) for row in metrics["results"]
    ]

    structlog.configure(processors=[_drop])
    settings = Settings(bundle=run / "bundle", data_dir=tmp_path / "data")
    with serving(create_app(settings)) as url, httpx.Client(base_url=url, timeout=60) as client:
        wait_until_ready(client)
        enrolled = sorted((data / "image_test").glob("*.jpg"))
        for path in enrolled:
            fields = {"vehicle_id": path.name[:4], "camera_id": path.name[5:9], "image_id": path.name}
            answer = client.post("/gallery", data=fields, files={"image": path.read_bytes()})
            assert answer.status_code in (200, 201), answer.text
        probe = next((data / "image_query").glob("*.jpg"))
        answer = client.post("/query", files={"image": probe.read_bytes()})
        assert answer.status_code == 200, answer.text
        first = next(iter(answer.json()["matches"]))
        # The probe is a copy of a gallery image.
        assert first["image_id"] == probe.name
        assert first["vehicle_id"] == probe.name[:4]
