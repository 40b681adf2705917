"""Both stages measured as the field measures one: only the first candidates move."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from models.reranker import CANDIDATES, RerankerConfig, StripReranker
from tests.training.conftest import pretend
from training.datasets.dataset import Task
from training.evaluation.assessment import assess
from training.evaluation.measurement import Measurement, accuracy_row
from training.evaluation.metrics import cmc
from training.evaluation.result import won_and_lost
from training.features.extract import Features

VEHICLES = 20


def features() -> Features:
    """Descriptors that find a vehicle now and then; strips that always know it."""
    source = np.random.default_rng(0)
    own = np.repeat(source.normal(size=(VEHICLES, 12)), 2, axis=0)
    descriptors = own + 1.5 * source.normal(size=own.shape)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    strips = np.repeat(source.normal(size=(VEHICLES, 4, 16)), 2, axis=0).astype(np.float16)
    return Features(pretend(VEHICLES), descriptors.astype(np.float32), strips.astype(np.float32))


def all_against_all(found: Features) -> Task:
    return Task("all", found.images, found.images)


def curve(measured: Measurement) -> dict[int, float]:
    return cmc(measured.results, range(1, 2 * VEHICLES + 1))


def test_a_second_stage_that_knows_all_lifts_what_is_among_the_first_and_nothing_else() -> None:
    known = features()
    first = assess(all_against_all(known), known)
    both = assess(all_against_all(known), known, StripReranker(RerankerConfig(strip_width=16)))
    assert curve(first)[1] < curve(first)[CANDIDATES] < 100
    assert curve(both)[1] == curve(both)[CANDIDATES] == curve(first)[CANDIDATES]
    for rank in range(CANDIDATES, 40):
        assert curve(both)[rank] == curve(first)[rank]
    won = round((curve(both)[1] - curve(first)[1]) * 2 * VEHICLES / 100)
    assert won_and_lost(first.result, both.result) == (won, 0)


def test_a_second_stage_that_says_what_the_first_says_changes_nothing() -> None:
    known = features()
    faithful = StripReranker(RerankerConfig(strip_width=16, fusion=1e6))
    first, both = assess(all_against_all(known), known), assess(all_against_all(known), known, faithful)
    assert curve(both) == curve(first)
    assert won_and_lost(first.result, both.result) == (0, 0)


def test_drawn_galleries_are_measured_with_both_stages_too() -> None:
    known = features()
    task = Task("drawn", known.images, None)
    first = assess(task, known)
    both = assess(task, known, StripReranker(RerankerConfig(strip_width=16)))
    assert curve(both)[1] == curve(both)[CANDIDATES] == curve(first)[CANDIDATES]


def test_a_row_for_the_manifest_names_the_protocol_and_each_querying_camera() -> None:
    known = features()
    first = assess(all_against_all(known), known)
    both = assess(all_against_all(known), known, StripReranker(RerankerConfig(strip_width=16)))
    row = accuracy_row("both", both, first)
    assert (row.protocol, row.task, row.gallery) == ("standard", "all", len(known.images))
    assert row.cmc == {rank: curve(both)[rank] for rank in (1, 5, 10)}
    assert (row.won, row.lost) == won_and_lost(first.result, both.result)
    cameras = row.by_querying_camera
    assert sum(part.queries for part in cameras.values()) == row.queries
    weighted = sum(part.queries * part.mAP for part in cameras.values())
    assert weighted / row.queries == pytest.approx(row.mAP)
    drawn = accuracy_row("drawn", assess(Task("drawn", known.images, None), known))
    assert (drawn.protocol, drawn.by_querying_camera, drawn.won) == ("drawn gallery", {}, None)


def test_a_row_without_cameras_is_of_class_retrieval() -> None:
    known = features()
    images = [dataclasses.replace(image, camera_id="") for image in known.images]
    bare = Features(images, known.descriptors, known.strips)
    row = accuracy_row("bare", assess(all_against_all(bare), bare))
    assert (row.protocol, row.by_querying_camera) == ("class retrieval", {})
    assert set(row.cmc) == {1, 2, 4, 8}


def test_features_without_strips_cannot_be_reranked() -> None:
    known = features()
    bare = Features(known.images, known.descriptors, None)
    with pytest.raises(ValueError, match="re-ranking needs strips"):
        assess(all_against_all(known), bare, StripReranker(RerankerConfig(strip_width=16)))
