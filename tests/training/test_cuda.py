"""On a GPU: training and the torch runtime give what they give on a CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.runtimes.torch_graphs import Eager, Graphs
from models.shape import NetworkConfig
from tests.training.small import Diary, small_network, trainer, training
from training.checkpoints.resume import Checkpoints
from training.datasets.readers.manifest import read_manifest
from training.distributed import Process
from training.embedder.trainer import Trainer
from training.signals import StoppedError

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def test_a_training_on_the_gpu_makes_the_steps_of_the_cpu(tree: Path) -> None:
    images = read_manifest(tree)
    config = training(run={"device": "cpu", "precision": "fp32"}, schedule={"epochs": 2})
    on_cpu, on_gpu = Diary(), Diary()
    trainer(images, config, on_cpu).run()
    device = torch.device("cuda")
    Trainer(small_network(), images, config, process=Process(device), observers=[on_gpu]).run()
    for cpu, gpu in zip(on_cpu.losses(), on_gpu.losses(), strict=True):
        assert gpu == pytest.approx(cpu, rel=2e-2)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_mixed_precision_trains_on_the_gpu(tree: Path, precision: str, compiled: bool) -> None:
    images = read_manifest(tree)
    config = training(run={"precision": precision, "compile": compiled, "workers": 2})
    diary = Diary()
    network = Trainer(
        small_network(), images, config, process=Process(torch.device("cuda")), observers=[diary]
    ).run()
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    assert diary.epochs[-1].memory_gib is not None
    assert diary.epochs[-1].memory_gib > 0


def test_a_training_on_the_gpu_goes_on_where_it_was_saved(tree: Path, tmp_path: Path) -> None:
    images = read_manifest(tree)
    config = training(run={"device": "cuda", "precision": "bf16"})
    stopped, rest = Diary(stop_after=4), Diary()

    def make(diary: Diary) -> Trainer:
        return Trainer(
            small_network(),
            images,
            config,
            process=Process(torch.device("cuda")),
            checkpoints=Checkpoints(tmp_path / "run", {}),
            observers=[diary],
            stop=diary.stop,
        )

    # A step is reported when the next one has been made.
    with pytest.raises(StoppedError, match="after step 5"):
        make(stopped).run()
    second = make(rest)
    second.run()
    assert next(progress.step for progress in rest.steps) == 6
    assert second.history[-1].epoch == config.schedule.epochs


def test_steps_on_the_gpu_are_not_waited_for(tree: Path) -> None:
    images = read_manifest(tree)
    config = training(run={"device": "cuda", "precision": "bf16"}, optimiser={"name": "adamw", "clip": 1.0})
    made = Trainer(small_network(), images, config, process=Process(torch.device("cuda")))
    assert made.late
    assert made.optimiser.param_groups[0]["fused"]
    made.begin_period()
    first, *others = made.batches(1)
    made._descend_on(first)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in others:
            made._descend_on(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_cuda_graphs_with_one_memory_replay_the_network() -> None:
    network = small_network(shape=NetworkConfig(width=8, depth=(1, 1, 1, 1), image_size=(64, 64), strips=2))
    network = network.eval().cuda()

    def run(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        answer: tuple[torch.Tensor, torch.Tensor | None] = network(images / 64 - 2)
        return answer

    device = torch.device("cuda", 0)
    graphs, eager = Graphs(run, (1, 2, 4), 64, 64, device), Eager(run, device)
    draw = np.random.default_rng(0)
    # Each after each of the others, and one size that has no graph.
    for count in (4, 1, 2, 3, 4, 2, 1, 4):
        images = draw.integers(0, 256, (count, 3, 64, 64), np.uint8)
        for found, wanted in zip(graphs(images), eager(images), strict=True):
            assert found is not None
            assert wanted is not None
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
