"""MixStyle exchanges what a channel's mean and deviation say, in training alone."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.trunk import Trunk
from training.embedder.mix_style import mix_styles, with_mixed_styles


def statistics(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    deviation, mean = torch.std_mean(maps, dim=(2, 3), correction=0)
    return mean, deviation


def test_the_pattern_of_a_map_stays_and_its_style_lies_between_those_of_two_images() -> None:
    torch.manual_seed(0)
    maps = torch.randn(6, 3, 8, 8, dtype=torch.float64) * torch.rand(6, 3, 1, 1) + torch.randn(6, 3, 1, 1)
    mixed = with_mixed_styles(maps)

    def pattern(x: torch.Tensor) -> torch.Tensor:
        mean, deviation = statistics(x)
        return (x - mean[..., None, None]) / deviation[..., None, None]

    torch.testing.assert_close(pattern(mixed), pattern(maps), rtol=0, atol=1e-3)
    assert not torch.allclose(mixed, maps)
    (mean, deviation), (was_mean, was_deviation) = statistics(mixed), statistics(maps)
    for found, before in ((mean, was_mean), (deviation, was_deviation)):
        assert (found >= before.amin(0) - 1e-4).all()
        assert (found <= before.amax(0) + 1e-4).all()


def test_gradients_flow_through_the_pattern_and_not_through_the_style() -> None:
    torch.manual_seed(0)
    maps = torch.randn(4, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    state = torch.get_rng_state()
    weight = torch.randn(4, 2, 5, 5, dtype=torch.float64)
    torch.set_rng_state(state)
    (with_mixed_styles(maps) * weight).sum().backward()
    torch.set_rng_state(state)
    with torch.no_grad():
        _, before = statistics(maps)
        _, after = statistics(with_mixed_styles(maps))
    assert maps.grad is not None
    torch.testing.assert_close(maps.grad, weight * (after / before)[..., None, None], rtol=1e-4, atol=1e-4)


def test_a_trunk_mixes_styles_while_it_trains_and_until_that_is_ended() -> None:
    torch.manual_seed(0)
    trunk = Trunk(4, (1, 1, 1), ibn=False, v1=True)
    images = torch.randn(4, 3, 32, 32)
    trunk.train()
    plain = trunk(images)
    handles = mix_styles(trunk, 1.0)
    assert not torch.equal(trunk(images), plain)
    trunk.eval()
    torch.testing.assert_close(trunk(images), trunk(images), rtol=0, atol=0)
    trunk.train()
    for handle in handles:
        handle.remove()
    assert torch.equal(trunk(images), plain)
    assert trunk.state_dict().keys() == Trunk(4, (1, 1, 1), ibn=False, v1=True).state_dict().keys()


class Copies(TorchDispatchMode):
    """Notes what goes from the CPU to another device, and whether the host would wait for it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waited_for: list[bool] = []

    def __torch_dispatch__(self, function: Any, _: Any, arguments: Any = (), keywords: Any = None) -> Any:
        keywords = keywords or {}
        device = keywords.get("device") or torch.device("cpu")
        if (
            function.overloadpacket.__name__ == "_to_copy"
            and arguments[0].device.type == "cpu" != device.type
        ):
            self.waited_for.append(not keywords.get("non_blocking"))
        return function(*arguments, **keywords)


def test_what_is_drawn_goes_to_the_device_without_waiting_for_it() -> None:
    with Copies() as copies:
        assert with_mixed_styles(torch.empty(4, 2, 5, 5, device="meta")).shape == (4, 2, 5, 5)
    assert copies.waited_for == [False, False]
