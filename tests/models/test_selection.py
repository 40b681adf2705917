from __future__ import annotations

import torch

from models.selection import ChannelSelection


def selection(channels: int = 64) -> ChannelSelection:
    torch.manual_seed(0)
    return ChannelSelection(channels)


def test_in_evaluation_the_mask_is_the_sign_of_the_logit_whatever_the_temperature() -> None:
    module = selection().eval()
    known = torch.randn(5, 64)
    first = module(known)
    module.temperature.fill_(0.1)
    torch.testing.assert_close(module(known), first, rtol=0, atol=0)
    torch.testing.assert_close(first, (module.logits(known) > 0).float(), rtol=0, atol=0)


def test_in_training_the_mask_is_0_or_1_and_drawn_anew() -> None:
    module = selection()
    known = torch.randn(5, 64)
    first, second = module(known).detach(), module(known).detach()
    assert ((first - 0).abs().minimum((first - 1).abs()) < 1e-6).all()
    assert not torch.equal(first, second)


def test_a_channel_is_drawn_as_often_as_the_sigmoid_of_its_logit_at_any_temperature() -> None:
    module = selection(3)
    torch.nn.init.zeros_(module.logits.weight)
    with torch.no_grad():
        module.logits.bias.copy_(torch.tensor([-1.0, 0.0, 2.0]))
    for temperature in (0.3, 3.0):
        module.temperature.fill_(temperature)
        drawn = module(torch.zeros(20000, 3)).detach().mean(dim=0)
        torch.testing.assert_close(drawn, module.logits.bias.sigmoid(), rtol=0, atol=0.015)


def test_the_gradient_is_that_of_the_soft_mask() -> None:
    module = selection(4)
    module.temperature.fill_(0.7)
    known = torch.randn(3, 4)
    weights = torch.randn(3, 4)
    torch.manual_seed(5)
    (module(known) * weights).sum().backward()
    assert module.logits.bias.grad is not None
    torch.manual_seed(5)
    noise = torch.rand(3, 4).clamp(1e-6, 1 - 1e-6).logit()
    soft = ((module.logits(known) + noise) / 0.7).sigmoid()
    expected = (weights * soft * (1 - soft) / 0.7).sum(dim=0)
    torch.testing.assert_close(module.logits.bias.grad, expected)


def test_the_share_of_selected_channels_is_counted_in_training_alone() -> None:
    module = selection()
    known = torch.randn(6, 64)
    share = float(module(known).detach().mean())
    assert abs(float(module.selected) - share) < 1e-6
    module.eval()(known)
    assert float(module.passes) == 1
