from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from training.checkpoints import resume
from training.checkpoints.resume import Checkpoints, ResumeError


def test_the_newest_checkpoint_is_kept_and_comes_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run", {"seed": 0})
    assert not checkpoints.exist()
    for step in (1, 2):
        checkpoints.save(step, {"a": torch.full((2,), float(step))}, {"epoch": step, "rate": 0.1 + 0.2})
    step, tensors, values = checkpoints.load()
    assert step == 2
    assert tensors["a"].tolist() == [2.0, 2.0]
    assert values == {"epoch": 2, "rate": 0.1 + 0.2}
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["state.json", "step-00000002.safetensors"]


@pytest.mark.parametrize("moves", [0, 1], ids=["before the tensors", "between tensors and state"])
def test_a_crash_while_saving_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    checkpoints = Checkpoints(tmp_path, {})
    checkpoints.save(1, {"a": torch.ones(1)}, {"epoch": 1})
    real = resume._move
    made: list[Path] = []

    def crash(draft: Path, path: Path) -> None:
        if len(made) == moves:
            raise KeyboardInterrupt
        made.append(path)
        real(draft, path)

    monkeypatch.setattr(resume, "_move", crash)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, {"a": torch.zeros(1)}, {"epoch": 2})
    _, tensors, values = checkpoints.load()
    assert (float(tensors["a"]), values["epoch"]) == (1.0, 1)
    monkeypatch.undo()
    checkpoints.save(3, {"a": torch.zeros(1)}, {"epoch": 3})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.json", "step-00000003.safetensors"]


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {"a": {"b": 1, "c": 2}}).save(1, {"a": torch.ones(1)}, {})
    with pytest.raises(ResumeError, match=r"other settings \(a\.b: now 5, then 1\)"):
        Checkpoints(tmp_path, {"a": {"b": 5, "c": 2}}).load()


def test_damage_is_noticed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, {})
    with pytest.raises(ResumeError, match="nothing to resume"):
        checkpoints.load()
    checkpoints.save(1, {"a": torch.ones(4)}, {})
    file = tmp_path / "step-00000001.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ResumeError, match="is damaged"):
        checkpoints.load()
    os.truncate(tmp_path / "state.json", 10)
    with pytest.raises(ResumeError, match=r"state\.json: cannot be read"):
        checkpoints.load()


def test_nothing_that_is_kept_is_a_pickle(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {}).save(1, {"a": torch.ones(1)}, {"b": [1]})
    for path in tmp_path.iterdir():
        assert path.suffix in (".json", ".safetensors")


@pytest.mark.parametrize(("then", "now"), [(None, True), (True, None)], ids=["to a GPU", "from a GPU"])
def test_an_optimiser_goes_on_as_it_computes_here_and_not_as_where_it_was_saved(
    then: bool | None, now: bool | None
) -> None:
    def made(fused: bool | None) -> tuple[list[torch.nn.Parameter], torch.optim.Optimizer]:
        parameters = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.tensor(2.0))]
        return parameters, torch.optim.AdamW(parameters, lr=0.1, fused=fused)

    def step(parameters: list[torch.nn.Parameter], optimiser: torch.optim.Optimizer) -> None:
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        optimiser.zero_grad()
        scaler.scale((parameters[0] ** 2).sum() + parameters[1] ** 2).backward()
        scaler.step(optimiser)
        scaler.update()

    first, saved = made(then)
    step(first, saved)
    tensors, groups = resume.pack_optimiser(saved)
    second, other = made(now)
    for own, learned in zip(second, first, strict=True):
        own.data.copy_(learned.data)
    resume.unpack_optimiser(other, {name: value.clone() for name, value in tensors.items()}, groups)
    assert other.param_groups[0]["fused"] is now
    step(first, saved)
    step(second, other)
    for own, expected in zip(second, first, strict=True):
        torch.testing.assert_close(own, expected)
