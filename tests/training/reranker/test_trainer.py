from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.reranker import RerankerConfig, StripReranker
from tests.training.conftest import pretend
from tests.training.small import Diary
from training.checkpoints.resume import Checkpoints
from training.config.reranker import RerankerTraining
from training.evaluation.cross_camera import cross_camera, pooled
from training.evaluation.metrics import figure
from training.features.extract import Features
from training.progress import Reporter
from training.reranker.mining import Fold, mine
from training.reranker.selection import choose_reranker
from training.reranker.trainer import RerankerTrainer, ranking_loss
from training.signals import StoppedError

SHAPE = RerankerConfig(strip_width=16, heads=4)
TRAINING = RerankerTraining(candidates=8, batch=8, steps=40, check_every=10, learning_rate=3e-3)


def features(seed: int, vehicles: int = 16) -> Features:
    """Strips whose vehicle shows in half of their numbers; the other half is noise."""
    source = np.random.default_rng(seed)
    images = pretend(vehicles)
    own = np.repeat(source.normal(size=(vehicles, 4, 16)), 2, axis=0).astype(np.float32)
    own[:, :, 8:] = 2 * source.normal(size=(2 * vehicles, 4, 8))
    descriptors = np.repeat(source.normal(size=(vehicles, 12)), 2, axis=0)
    descriptors += 0.8 * source.normal(size=descriptors.shape)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return Features(images, descriptors.astype(np.float32), own / np.float32(8))


def test_lists_hold_other_cameras_images_best_first() -> None:
    known = features(0)
    lists = mine(known, 8)
    for probe, candidates, similarities, correct in zip(
        lists.probes, lists.candidates, lists.similarities, lists.correct, strict=True
    ):
        assert (known.cameras[candidates] != known.cameras[probe]).all()
        assert (np.diff(similarities) <= 0).all()
        np.testing.assert_array_equal(correct, known.vehicles[candidates] == known.vehicles[probe])
        assert correct.any()
        assert not correct.all()


def test_a_set_without_a_mixed_list_is_an_error() -> None:
    with pytest.raises(ValueError, match="no probe has a correct and a wrong match among its first 1"):
        mine(features(0), 1)


def test_the_ranking_loss_is_that_of_the_written_out_loops() -> None:
    source = np.random.default_rng(0)
    distances, similarities = source.random((2, 5)), source.random((2, 5))
    correct = np.array([[True, False, True, False, False], [False, False, False, True, False]])
    total = 0.0
    for i in range(2):
        pairs = []
        for p in np.flatnonzero(correct[i]):
            for n in np.flatnonzero(~correct[i]):
                loss = -math.log(1 / (1 + math.exp(-(distances[i, n] - distances[i, p]))))
                pairs.append(loss * (0.1 if similarities[i, p] > similarities[i, n] else 1.0))
        total += sum(pairs) / len(pairs)
    found = ranking_loss(
        torch.from_numpy(distances), torch.from_numpy(similarities), torch.from_numpy(correct), beta=0.1
    )
    assert float(found) == pytest.approx(total / 2)


@pytest.mark.slow
def test_training_lowers_the_loss_on_vehicles_it_has_not_seen() -> None:
    folds = [Fold(f, mine(f, 8)) for f in (features(s) for s in range(8))]
    longer = replace(TRAINING, steps=200, check_every=50, learning_rate=1e-2)
    trainer = RerankerTrainer(folds[:3] + folds[4:], folds[3:4], SHAPE, longer)
    model = trainer.run()
    assert min(trainer.validation_losses.values()) < trainer.validation_losses[0]
    known = folds[3].features
    before = figure(pooled(cross_camera(known, StripReranker(SHAPE))), "mAP")
    after = figure(pooled(cross_camera(known, model)), "mAP")
    assert after > before


def test_training_is_the_same_under_the_same_seed_and_ends_after_the_chosen_steps() -> None:
    folds = [Fold(f, mine(f, 8)) for f in (features(0),)]
    diary = Diary()
    first = RerankerTrainer(folds, [], SHAPE, TRAINING, steps=20, observers=[diary]).run()
    again = RerankerTrainer(folds, [], SHAPE, TRAINING, steps=20).run()
    assert diary.beginnings == [(20, 0)]
    assert [progress.step for progress in diary.steps] == list(range(1, 21))
    assert [row.step for row in diary.checks] == [10, 20]
    assert diary.endings == 1
    for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_training_of_no_steps_checks_the_untrained_reranker() -> None:
    folds = [Fold(f, mine(f, 8)) for f in (features(0), features(1))]
    trainer = RerankerTrainer(folds[:1], folds[1:], SHAPE, replace(TRAINING, steps=0))
    trainer.run()
    assert set(trainer.validation_losses) == {0}


def test_steps_that_do_not_end_with_a_check_are_refused() -> None:
    folds = [Fold(f, mine(f, 8)) for f in (features(0),)]
    with pytest.raises(ValueError, match="15 steps are no multiple of 10"):
        RerankerTrainer(folds, [], SHAPE, TRAINING, steps=15)


@pytest.mark.slow
def test_steps_and_fusion_are_chosen_by_the_folds_left_out() -> None:
    folds = [[Fold(f, mine(f, 8))] for f in (features(s) for s in range(3))]
    choice = choose_reranker(folds, SHAPE, TRAINING, Reporter(), fusions=(0.0, 1.0))
    assert choice.losses[choice.steps] == min(choice.losses.values())
    assert choice.reciprocal_ranks[choice.fusion] == max(choice.reciprocal_ranks.values())
    assert set(choice.reciprocal_ranks) == {0.0, 1.0}
    ranks = [rank for (fold,) in folds for rank in pooled(cross_camera(fold.features)).first]
    assert choice.first_stage == pytest.approx(100 * float(np.mean([1 / rank for rank in ranks])))


def test_a_resumed_training_comes_to_the_same_numbers_bit_for_bit(tmp_path: Path) -> None:
    known, other = features(0), features(1)
    folds, validation = [Fold(known, mine(known, 8))], [Fold(other, mine(other, 8))]
    straight = RerankerTrainer(folds, validation, SHAPE, TRAINING)
    expected = straight.run().state_dict()
    checkpoints, diary = Checkpoints(tmp_path / "run", {}), Diary(stop_after=17)
    broken = RerankerTrainer(
        folds, validation, SHAPE, TRAINING, checkpoints=checkpoints, observers=[diary], stop=diary.stop
    )
    with pytest.raises(StoppedError, match="after step 17"):
        broken.run()
    torch.manual_seed(99)
    rest = RerankerTrainer(folds, validation, SHAPE, TRAINING, checkpoints=checkpoints)
    found = rest.run().state_dict()
    assert rest.validation_losses == straight.validation_losses
    assert [row.loss for row in rest.history] == [row.loss for row in straight.history]
    assert all(torch.equal(found[name], value) for name, value in expected.items())
