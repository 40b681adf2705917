"""The dashboards: whole, without overlaps, and asking for what the service and its workers expose."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric

from benchmarks.panels import DASHBOARDS, Panel, load, panels
from service.observability.metrics import Metrics
from service.worker.metrics import WorkerMetrics
from tests.docker import grafana
from tests.docker.files import GRAFANA, PROMETHEUS, ROOT, read_yaml

NAMES = sorted(file.stem for file in DASHBOARDS.glob("*.json"))
PANELS = [(name, panel) for name in NAMES for panel in panels(load(name))]
WITH_QUERIES = [panel for _, panel in PANELS if panel.kind != "row"]
SUFFIX = re.compile(r"_(bucket|sum|count|total)$")

every_dashboard = pytest.mark.parametrize("name", NAMES)


def asked() -> set[str]:
    """The metrics that panels and rules name, without the endings that Prometheus adds."""
    rules = [
        rule["expr"] for group in read_yaml(PROMETHEUS / "rules.yml")["groups"] for rule in group["rules"]
    ]
    expressions = [query.expr for panel in WITH_QUERIES for query in panel.queries]
    return set(re.findall(r"\b(?:lka_reid|process)_\w+", " ".join([*expressions, *rules])))


def test_every_metric_that_is_asked_for_is_exposed() -> None:
    registries = (Metrics().registry, WorkerMetrics().registry)
    exposed = {name for registry in registries for family in registry.collect() for name in names_of(family)}
    assert not {name for name in asked() - of_a_gpu() if not {name, SUFFIX.sub("", name)} & exposed}


def test_every_metric_that_is_asked_for_is_documented() -> None:
    documented = set(
        re.findall(r"`(lka_reid_\w+)`", (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"))
    )
    ours = {name for name in asked() if name.startswith("lka_reid_")}
    assert not {name for name in ours if not {name, SUFFIX.sub("", name)} & documented}


def of_a_gpu() -> set[str]:
    """Exposed only where there is a GPU."""
    return {name for name in asked() if name.startswith("lka_reid_gpu_")}


def names_of(family: Metric) -> set[str]:
    return {family.name, *(sample.name for sample in family.samples)}


@every_dashboard
def test_panels_do_not_overlap_and_fit(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels(load(name)):
        x, y, width, height = panel.place
        assert x + width <= 24, panel.title
        for cell in itertools.product(range(x, x + width), range(y, y + height)):
            assert cell not in taken, f"{panel.title} lies on {taken[cell]}"
            taken[cell] = panel.title


@every_dashboard
def test_ids_and_titles_are_unique(name: str) -> None:
    dashboard = load(name)
    for key in ("id", "title"):
        values = [panel[key] for panel in dashboard["panels"]]
        assert len(set(values)) == len(values), key


def test_dashboards_are_distinguished() -> None:
    assert len({load(name)["uid"] for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("panel", WITH_QUERIES, ids=lambda panel: panel.title)
def test_a_panel_asks_the_provisioned_source_and_says_what_it_shows(panel: Panel) -> None:
    [source] = read_yaml(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    assert panel.raw["datasource"] == {"type": source["type"], "uid": source["uid"]}
    assert panel.raw["description"].endswith(".")
    assert panel.queries
    references = [target["refId"] for target in panel.raw["targets"]]
    assert len(set(references)) == len(references)


@pytest.mark.slow
@every_dashboard
def test_grafanas_published_types_accept_it(name: str, tmp_path: Path) -> None:
    skip_without_types()
    assert grafana.complaints(load(name), tmp_path) == ""


@pytest.mark.slow
def test_the_types_would_find_a_misspelt_option(tmp_path: Path) -> None:
    skip_without_types()
    dashboard = load(NAMES[0])
    broken = json.loads(json.dumps(dashboard).replace('"showLegend"', '"showLegends"'))
    assert "showLegends" in grafana.complaints(broken, tmp_path)


def skip_without_types() -> None:
    why = grafana.missing()
    if why is not None:
        pytest.skip(f"{why}: the check against Grafana's published types was left out")


def test_the_version_of_the_types_is_that_of_the_image() -> None:
    image = read_yaml(ROOT / "docker-compose.yml")["services"]["grafana"]["image"]
    wanted = json.loads((GRAFANA / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    assert image == f"grafana/grafana:{wanted['@grafana/schema']}"
