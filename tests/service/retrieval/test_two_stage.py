"""The two-stage search: what the second stage may move, and what it may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.service.fakes import BLUE, GREEN, RED, Running, image_file, make_models, running


def fill(service: Running, count: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        red, green, blue = (int(value) for value in rng.integers(0, 255, 3))
        service.enroll(image_file((red, green, blue)), image_id=f"{number:02}").raise_for_status()


def test_the_second_stage_sees_the_first_ten_however_few_are_asked_for(service: Running) -> None:
    fill(service, 14)
    assert service.models.reranker is not None
    service.models.reranker.answer = lambda distances: -distances + 100
    ten = service.query(image_file(RED), top_k=10).json()["matches"]
    three = service.query(image_file(RED), top_k=3).json()["matches"]
    assert three == ten[:3]
    assert {match["first_stage_rank"] for match in ten} == set(range(1, 11))
    assert [match["first_stage_rank"] for match in ten] != list(range(1, 11))
    assert service.models.reranker.calls == [10, 10]


def test_what_is_below_the_first_ten_stays_where_it_was(service: Running) -> None:
    fill(service, 14)
    assert service.models.reranker is not None
    service.models.reranker.answer = lambda distances: -distances + 100
    answer = service.query(image_file(RED), top_k=100).json()
    assert len(answer["matches"]) == 14
    tail = answer["matches"][10:]
    assert [match["first_stage_rank"] for match in tail] == [11, 12, 13, 14]
    assert [match["rerank_distance"] for match in tail] == [None] * 4
    assert answer["reranked"] is True


def test_without_re_ranking_the_first_stage_order_stands(service: Running) -> None:
    fill(service, 12)
    answer = service.query(image_file(RED), rerank="false").json()
    similarities = [match["similarity"] for match in answer["matches"]]
    assert similarities == sorted(similarities, reverse=True)
    assert [match["first_stage_rank"] for match in answer["matches"]] == list(range(1, 11))
    assert {match["rerank_distance"] for match in answer["matches"]} == {None}
    assert answer["reranked"] is False
    assert answer["timings_ms"]["rerank"] == 0


def test_a_bundle_without_second_stage_answers_by_the_first_and_says_so(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running(tmp_path_factory.mktemp("first"), make_models(rerank=False)) as service:
        fill(service, 3)
        answer = service.query(image_file(RED)).json()
    assert len(answer["matches"]) == 3
    assert answer["reranked"] is False


def test_an_image_finds_itself_first(service: Running) -> None:
    for name, colour in {"red": RED, "green": GREEN, "blue": BLUE}.items():
        service.enroll(image_file(colour), image_id=name, vehicle_id=name)
    best = service.query(image_file(GREEN)).json()["matches"][0]
    assert best["vehicle_id"] == "green"
    assert best["similarity"] == pytest.approx(1, abs=1e-5)
    assert best["rerank_distance"] == pytest.approx(0, abs=1e-5)


def test_an_image_enrolled_anew_between_the_stages_is_ranked_as_the_one_that_was_found(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.enroll(image_file(RED), image_id="x", vehicle_id="red").raise_for_status()
    search = service.gallery.search

    def search_then_change(*arguments: Any, **options: Any) -> Any:
        found = search(*arguments, **options)
        service.client.delete("/gallery/x").raise_for_status()
        service.enroll(image_file(BLUE), image_id="x", vehicle_id="blue").raise_for_status()
        return found

    monkeypatch.setattr(service.gallery, "search", search_then_change)
    [match] = service.query(image_file(RED)).json()["matches"]
    assert match["vehicle_id"] == "red"
    assert match["similarity"] == pytest.approx(1, abs=1e-5)
    assert match["rerank_distance"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("spoil", ["shape", "nan"])
def test_an_unusable_answer_of_the_second_stage_is_an_error_and_no_answer(
    service: Running, spoil: str
) -> None:
    fill(service, 3)
    assert service.models.reranker is not None
    service.models.reranker.answer = (
        (lambda distances: distances[:, :2]) if spoil == "shape" else (lambda distances: distances * np.nan)
    )
    response = service.query(image_file(RED))
    assert response.status_code == 500
    assert response.json()["type"].endswith("internal-error")
