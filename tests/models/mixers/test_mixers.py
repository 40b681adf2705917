from __future__ import annotations

import pytest
import torch
from torch import nn

from models.mixers import MIXERS, Attending, Mixer
from models.network import LKAReID
from models.shape import Branch, NetworkConfig


@pytest.mark.parametrize("name", MIXERS)
def test_every_mixer_keeps_the_shape_of_the_map(name: str) -> None:
    mixer = MIXERS.named(name).make(16, (6, 10))
    assert mixer(torch.randn(2, 16, 6, 10)).shape == (2, 16, 6, 10)


@pytest.mark.parametrize("name", ["dcs", "mhsa", "hca", "lka"])
def test_an_attention_map_says_how_much_each_place_of_an_image_is_looked_at(name: str) -> None:
    torch.manual_seed(0)
    mixer = MIXERS.named(name).make(16, (6, 10)).eval()
    assert isinstance(mixer, Attending)
    images = torch.randn(2, 16, 6, 10)
    maps = mixer.attention_map(images)
    assert maps.shape == (2, 6, 10)
    assert (maps >= 0).all()
    torch.testing.assert_close(mixer.attention_map(images[1:])[0], maps[1])
    if name in ("dcs", "mhsa"):
        torch.testing.assert_close(maps.sum(dim=(1, 2)), torch.ones(2))


def test_the_papers_mixers_are_there() -> None:
    assert set(MIXERS) >= {"conv", "mhsa", "lka", "hca", "lkca", "dcs"}


def test_an_unknown_mixer_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown mixer 'lkc'; there are conv, dcs, hca, lka, lkca, mhsa"):
        Branch("lkc", "triplet")


def test_a_registered_mixer_is_built_with_what_it_needs_of_its_surroundings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def make(channels: int, map_size: tuple[int, int]) -> nn.Module:
        seen.append((channels, map_size))
        return nn.Conv2d(channels, channels, 1)

    monkeypatch.setitem(MIXERS, "point", Mixer(make, shortcut_bias=True))
    shape = NetworkConfig((Branch("point", "triplet"),), width=4, depth=(1, 1, 1, 2), image_size=(32, 48))
    network = LKAReID(shape).eval()
    assert seen == [(32, (2, 3))] * 2
    assert "branches.0.0.downsample.0.bias" in network.state_dict()
    assert network(torch.randn(1, 3, 32, 48))[0].shape == (1, 128)
