"""Two processes over gloo on the CPU.

Norms are in evaluation mode here: batch statistics over several processes need SyncBatchNorm, which is for
CUDA alone and is what the trainer takes there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.classifier.test_trainer import config as classifier_config
from tests.training.classifier.test_trainer import data as digits
from tests.training.small import experiment, small_network
from tests.training.two_processes import ALIKE, LOSSES, NETWORK, warm_statistics
from training.classifier.trainer import ClassifierTrainer
from training.datasets.image import DatasetError
from training.datasets.readers.manifest import read_manifest
from training.distributed import Process, ProcessError, choose_device, emulates_bf16
from training.embedder.branch_losses import embedder_loss
from training.loading.loader import Batches

ROOT = Path(__file__).parents[2]


def together(script: Path, *arguments: str) -> None:
    """Run a script as torchrun does, in two processes; the port is the first one that is free."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, str(script), *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_loss_and_gradients_of_two_processes_are_those_of_one_on_the_whole_batch(tmp_path: Path) -> None:
    together(ROOT / "tests" / "training" / "two_processes.py", "loss", str(tmp_path))
    config = experiment(losses=LOSSES, network=NETWORK)
    network = small_network(4, shape=config.network.build()).eval()
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    known = warm_statistics(network)
    losses = embedder_loss(network.config.branches, network.learn(images), labels, config.losses, None, known)
    assert set(losses) == {"cross_entropy", "triplet", "ibb", "descriptor", "strips"}
    torch.stack(list(losses.values())).sum().backward()
    refreshed: dict[str, torch.Tensor] = {}
    for number, each in known.items():
        each.refresh()
        refreshed |= {f"statistics.{number}.{name}": value for name, value in each.state_dict().items()}
    for rank in (0, 1):
        found = load_file(tmp_path / f"{rank}.safetensors")
        for name, value in losses.items():
            torch.testing.assert_close(found.pop(f"loss.{name}"), value.detach(), rtol=1e-5, atol=1e-6)
        for name, value in refreshed.items():
            torch.testing.assert_close(found.pop(name), value, rtol=1e-4, atol=1e-6)
        gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        assert found.keys() == gradients.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_two_processes_train_alike_and_share_the_batches(tree: Path, tmp_path: Path) -> None:
    together(ROOT / "tests" / "training" / "two_processes.py", "train", str(tmp_path), str(tree))
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    positions = [found.pop("positions") for found in (first, second)]
    whole = list(Batches.of(read_manifest(tree), experiment(), (32, 32)).epoch(1))
    for step, batch in enumerate(whole):
        assert [*positions[0][step].tolist(), *positions[1][step].tolist()] == batch.positions
    learned = [name for name in first if "running" not in name and "num_batches" not in name]
    assert learned
    for name in learned:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)


@pytest.mark.slow
def test_two_processes_train_a_classifier_as_one_does(tmp_path: Path) -> None:
    together(ROOT / "tests" / "training" / "two_processes.py", "classify", str(tmp_path))
    expected = ClassifierTrainer(digits(96), classifier_config(**ALIKE)).run().state_dict()
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    for name, value in expected.items():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-4)


def test_vehicles_that_cannot_be_shared_are_an_error(tree: Path) -> None:
    with pytest.raises(DatasetError, match=r"batch\.vehicles = 4 cannot be shared by 3 processes"):
        Batches.of(read_manifest(tree), experiment(), (32, 32), process=Process(world_size=3))


def test_cuda_that_is_not_there_is_an_error_and_nothing_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(ProcessError, match="torch sees no CUDA device"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto", 1) == torch.device("cuda", 1)
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "emulated"),
    [
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_a_cpu_that_emulates_bf16_is_known(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], emulated: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert emulates_bf16(torch.device("cpu")) is emulated
    assert not emulates_bf16(torch.device("cuda"))
