from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from models.reranker import CrossAttention, Distance, RerankerConfig, StripReranker, mixing, strip_distance
from tests.models import reference

WIDTH, STRIPS = 32, 6


@pytest.fixture
def reranker() -> StripReranker:
    """With an output projection away from zero, so that attention matters."""
    torch.manual_seed(0)
    model = StripReranker(RerankerConfig(strip_width=WIDTH, heads=4)).double().eval()
    output = mixing(model.probe_attention).output
    torch.nn.init.normal_(output.weight, std=0.3)
    torch.nn.init.normal_(output.bias, std=0.3)
    return model


def pairs(batch: int = 2, candidates: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(1)
    probes = torch.randn(batch, STRIPS, WIDTH, generator=source, dtype=torch.float64)
    others = torch.randn(batch, candidates, STRIPS, WIDTH, generator=source, dtype=torch.float64)
    return probes, others, torch.rand(batch, candidates, generator=source, dtype=torch.float64)


def test_exchanging_probe_and_candidate_exchanges_their_embeddings(reranker: StripReranker) -> None:
    probes, others, _ = pairs(candidates=1)
    e_p, e_c = reranker.embed(probes, others)
    f_p, f_c = reranker.embed(others[:, 0], probes.unsqueeze(1))
    torch.testing.assert_close(e_p, f_c)
    torch.testing.assert_close(e_c, f_p)


def test_an_identical_pair_has_distance_0(reranker: StripReranker) -> None:
    probes, _, _ = pairs()
    distances = reranker(probes, probes.unsqueeze(1), torch.ones(2, 1, dtype=torch.float64))
    assert distances.tolist() == [[0.0], [0.0]]


def test_permuting_the_candidates_permutes_the_distances_and_nothing_else(reranker: StripReranker) -> None:
    probes, others, similarities = pairs()
    order = torch.tensor([3, 0, 4, 2, 1])
    before = reranker(probes, others, similarities)
    after = reranker(probes, others[:, order], similarities[:, order])
    torch.testing.assert_close(after, before[:, order])


@pytest.mark.parametrize("fusion", [0.0, 0.7])
def test_the_distance_is_that_of_the_written_out_formula(reranker: StripReranker, fusion: float) -> None:
    model = StripReranker(RerankerConfig(strip_width=WIDTH, heads=4, fusion=fusion)).double()
    model.load_state_dict(reranker.state_dict())
    weights = {k: v.detach().numpy() for k, v in model.probe_attention.state_dict().items()}
    probes, others, similarities = pairs()
    found = model(probes, others, similarities).detach().numpy()
    for b in range(2):
        for n in range(5):
            expected = reference.strip_distance(probes[b].numpy(), others[b, n].numpy(), weights, heads=4)
            expected += fusion * (1 - float(similarities[b, n]))
            assert found[b, n] == pytest.approx(expected, rel=1e-9)


def test_the_first_stage_plays_no_part_without_fusion(reranker: StripReranker) -> None:
    probes, others, similarities = pairs()
    torch.testing.assert_close(
        reranker(probes, others, similarities), reranker(probes, others, 1 - similarities)
    )


def test_untrained_it_is_the_plain_distance_of_the_strips() -> None:
    model = StripReranker(RerankerConfig(strip_width=WIDTH, heads=4)).double()
    probes, others, similarities = pairs()
    expected = np.linalg.norm(probes.unsqueeze(1).numpy() - others.numpy(), axis=-1).mean(axis=-1)
    np.testing.assert_allclose(model(probes, others, similarities).detach().numpy(), expected)


def test_separate_directions_are_two_sets_of_weights() -> None:
    shared, separate = StripReranker(), StripReranker(RerankerConfig(shared=False))
    count = [sum(p.numel() for p in m.parameters()) for m in (shared, separate)]
    assert count[1] == 2 * count[0]
    assert shared.candidate_attention is shared.probe_attention


def test_the_default_is_one_block_of_8_heads_and_width_256() -> None:
    config = StripReranker().config
    assert (config.heads, config.strip_width, config.shared) == (8, 256, True)


def test_attention_weights_sum_to_1() -> None:
    probes, others, _ = pairs()
    weights = CrossAttention(WIDTH, 4, sharpness=4).double().attention(probes, others[:, 0])
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 4, STRIPS, dtype=torch.float64))


def test_the_distance_has_a_gradient_where_two_strips_are_equal() -> None:
    strips = torch.randn(1, STRIPS, WIDTH, requires_grad=True)
    strip_distance(strips, strips.detach()).sum().backward()
    assert strips.grad is not None
    assert torch.isfinite(strips.grad).all()


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="does not split into 8 heads"):
        StripReranker(RerankerConfig(strip_width=100))


def along(*, fusion: float = 0.0, sharpness: float = 20.0, shared: bool = True) -> StripReranker:
    """A re-ranker that compares along its attention, with queries and keys of their own."""
    torch.manual_seed(3)
    config = RerankerConfig(
        strip_width=WIDTH,
        heads=4,
        shared=shared,
        fusion=fusion,
        distance="attention",
        sharpness=sharpness,
    )
    return StripReranker(config).double().eval()


@pytest.mark.parametrize("fusion", [0.0, 0.7])
def test_the_distance_along_the_attention_is_that_of_the_written_out_formula(fusion: float) -> None:
    model = along(fusion=fusion)
    for layer in (model.probe_attention.query, model.probe_attention.key):
        torch.nn.init.normal_(layer.weight, std=0.3)
        torch.nn.init.normal_(layer.bias, std=0.3)
    weights = {k: v.detach().numpy() for k, v in model.probe_attention.state_dict().items()}
    probes, others, similarities = pairs()
    found = model(probes, others, similarities).detach().numpy()
    for b in range(2):
        for n in range(5):
            pair = probes[b].numpy(), others[b, n].numpy()
            expected = reference.distance_along_attention(*pair, weights, heads=4)
            expected += fusion * (1 - float(similarities[b, n]))
            assert found[b, n] == pytest.approx(expected, rel=1e-9)


def test_strips_that_have_moved_are_near_along_the_attention_and_far_by_place() -> None:
    """What a crop that cuts a vehicle off does to its strips."""
    strips = torch.nn.functional.normalize(torch.eye(STRIPS, WIDTH, dtype=torch.float64), dim=-1).unsqueeze(0)
    moved = strips.roll(1, dims=1).unsqueeze(1)
    ones = torch.ones(1, 1, dtype=torch.float64)
    by_place = StripReranker(RerankerConfig(strip_width=WIDTH, heads=4)).double()
    assert by_place(strips, moved, ones).item() == pytest.approx(2**0.5)
    config = RerankerConfig(strip_width=WIDTH, heads=1, distance="attention", sharpness=20)
    assert StripReranker(config).double()(strips, moved, ones).item() < 1e-4


def test_along_the_attention_too_exchanging_the_images_changes_nothing() -> None:
    probes, others, similarities = pairs(candidates=1)
    model = along()
    torch.testing.assert_close(
        model(probes, others, similarities), model(others[:, 0], probes.unsqueeze(1), similarities)
    )


def test_what_explains_a_distance_along_the_attention_adds_up_to_it() -> None:
    probes, others, _ = pairs(candidates=1)
    model = along(shared=False)
    torch.nn.init.normal_(model.candidate_attention.query.weight, std=0.3)
    looks, looks_back, lengths = model.explain(probes, others[:, 0])
    assert looks.shape == looks_back.shape == (2, 4, STRIPS, STRIPS)
    torch.testing.assert_close(
        lengths.mean(dim=-1, keepdim=True), model(probes, others, torch.ones(2, 1, dtype=torch.float64))
    )


def test_the_distance_along_the_attention_has_a_gradient_where_two_strips_are_equal() -> None:
    strips = torch.randn(1, STRIPS, WIDTH, dtype=torch.float64, requires_grad=True)
    along()(strips, strips.detach().unsqueeze(1), torch.ones(1, 1, dtype=torch.float64)).sum().backward()
    assert strips.grad is not None
    assert torch.isfinite(strips.grad).all()


def test_along_the_attention_no_strip_is_mixed() -> None:
    probes, others, _ = pairs()
    with pytest.raises(ValueError, match="mixes no strips"):
        along().embed(probes, others)
    assert {name.split(".")[1] for name in along().state_dict()} == {"query", "key"}


def on_a_grid(*, weighted: bool) -> StripReranker:
    """Along the attention, with parts in two rows and three columns."""
    torch.manual_seed(0)
    config = RerankerConfig(
        strip_width=WIDTH, heads=1, distance="attention", grid=(2, 3), weighted=weighted, fusion=0.5
    )
    model = StripReranker(config).double().eval()
    if model.salience is not None:
        torch.nn.init.normal_(model.salience.weight, std=0.5)
    return model


def test_parts_that_are_all_alike_look_at_their_own_place_first_and_less_the_farther_off() -> None:
    attention = on_a_grid(weighted=False).probe_attention
    alike = torch.ones(STRIPS, WIDTH, dtype=torch.float64) / WIDTH**0.5
    looks = attention.attention(alike, alike)[0]
    assert looks.argmax(dim=1).tolist() == list(range(STRIPS))
    # Column by column: part 0 lies above part 1, part 2 beside it, part 5 across.
    assert looks[0, 0] > looks[0, 2] > looks[0, 5]


@pytest.mark.parametrize("weighted", [False, True])
def test_the_parts_explained_add_up_to_the_distance(weighted: bool) -> None:
    model = on_a_grid(weighted=weighted)
    probes, others, similarities = pairs(candidates=1)
    _, _, lengths = model.explain(probes, others[:, 0])
    distance = model(probes, others, similarities)[:, 0]
    torch.testing.assert_close(lengths.mean(dim=1) + 0.5 * (1 - similarities[:, 0]), distance)


def test_a_weighted_distance_is_symmetric_and_differs_from_the_even_one() -> None:
    model, even = on_a_grid(weighted=True), on_a_grid(weighted=False)
    probes, others, similarities = pairs(candidates=1)
    there = model(probes, others, similarities)
    back = model(others[:, 0], probes.unsqueeze(1), similarities)
    torch.testing.assert_close(there, back)
    assert not torch.allclose(there, even(probes, others, similarities))


def test_a_grid_belongs_to_the_distance_along_the_attention() -> None:
    with pytest.raises(ValueError, match="distance `attention`"):
        RerankerConfig(distance="place", weighted=True)
    config = RerankerConfig(distance="attention", grid=(2, 3))
    assert RerankerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("distance", ["place", "attention"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_selection_takes_channels_out_of_the_scores(distance: Distance, *, shared: bool) -> None:
    torch.manual_seed(3)
    config = RerankerConfig(
        strip_width=WIDTH, heads=4, selection=True, distance=distance, shared=shared, sharpness=1.0
    )
    model = StripReranker(config).double().eval()
    attention = model.probe_attention
    assert attention.selection is not None
    torch.nn.init.zeros_(attention.selection.logits.weight)
    kept = torch.arange(WIDTH) % 2 == 0
    attention.selection.logits.bias.data = torch.where(kept, 1.0, -1.0).double()
    probes, others, _ = pairs(candidates=1)
    found = attention.attention(probes, others[:, 0])
    q, k = attention.query(probes) * kept, attention.key(others[:, 0]) * kept
    for head in range(4):
        own = slice(8 * head, 8 * head + 8)
        scores = q[..., own] @ k[..., own].transpose(-2, -1) / 8**0.5
        torch.testing.assert_close(found[:, head], scores.softmax(dim=-1))


def test_both_ways_to_the_distance_select_alike() -> None:
    torch.manual_seed(4)
    model = StripReranker(RerankerConfig(strip_width=WIDTH, heads=4, selection=True)).double().eval()
    torch.nn.init.normal_(mixing(model.probe_attention).output.weight, std=0.3)
    probes, others, similarities = pairs()
    expected = strip_distance(*model.embed(probes, others))
    torch.testing.assert_close(model(probes, others, similarities), expected)
