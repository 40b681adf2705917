from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.mixers.lkca import LargeKernel, by_convolution
from models.network import LKAReID, count_parameters
from models.shape import Branch, NetworkConfig
from models.vit import ATTENTIONS, TokenLKCA, VitAttention, VitClassifier, VitConfig, VitTrunk
from models.vit_sizes import SIZES, sized


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("size", SIZES)
def test_every_size_has_the_papers_parameters_within_1_percent(size: str, attention: VitAttention) -> None:
    with torch.device("meta"):
        count = count_parameters(VitClassifier(sized(size, attention), (32, 32), 10))
    assert count / 1e6 == pytest.approx(SIZES[size].published[attention], rel=0.01)


def test_the_base_size_has_the_papers_parameters_exactly() -> None:
    with torch.device("meta"):
        assert count_parameters(VitClassifier(sized("base", "lkca"), (32, 32), 10)) == 2_691_310


def test_lkca_of_tokens_is_the_large_convolution_of_the_values() -> None:
    torch.manual_seed(0)
    layer = TokenLKCA(6, (3, 4))
    torch.nn.init.normal_(layer.mix.kernel)
    tokens = torch.randn(2, 12, 6)
    values = layer.value(tokens).transpose(1, 2).unflatten(2, (3, 4))
    expected = layer.output(by_convolution(values, layer.mix.kernel).flatten(2).transpose(1, 2))
    torch.testing.assert_close(layer(tokens), expected)


def test_a_block_is_that_of_equations_3_and_4() -> None:
    torch.manual_seed(1)
    trunk = VitTrunk(VitConfig("lkca", 8, 1), (16, 16)).eval()
    block = trunk.blocks[0]
    for module in block.modules():
        if isinstance(module, LargeKernel):
            torch.nn.init.normal_(module.kernel)
    x = torch.randn(2, 16, 8)
    state = block.state_dict()

    def norm(z: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(z, (8,), state[f"{name}.weight"], state[f"{name}.bias"])

    middle = x + block.get_submodule("attention")(norm(x, "norm1"))
    hidden = F.gelu(F.linear(norm(middle, "norm2"), state["mlp.0.weight"], state["mlp.0.bias"]))
    expected = middle + F.linear(hidden, state["mlp.2.weight"], state["mlp.2.bias"])
    torch.testing.assert_close(block(x), expected)


def test_a_classifier_takes_the_mean_of_the_last_tokens_or_the_class_token() -> None:
    torch.manual_seed(2)
    images = torch.randn(2, 3, 16, 16)
    mean = VitClassifier(VitConfig("lkca", 8, 2), (16, 16), 5).eval()
    torch.testing.assert_close(mean(images), mean.head(mean.trunk.tokens(images).mean(dim=1)))
    first = VitClassifier(VitConfig("mhsa", 8, 2, heads=2, class_token=True), (16, 16), 5).eval()
    torch.testing.assert_close(first(images), first.head(first.trunk.tokens(images)[:, 0]))
    assert first.trunk(images).shape == (2, 8, 4, 4)


def test_stochastic_depth_keeps_the_mean_and_is_off_in_evaluation() -> None:
    torch.manual_seed(3)
    trunk = VitTrunk(VitConfig("mhsa", 8, 2, heads=2, drop_path=0.5), (16, 16))
    block = trunk.blocks[1]
    x = torch.randn(1, 16, 8).expand(4000, -1, -1)
    part = torch.ones(4000, 1, 1)
    dropped = block._drop(part)  # type: ignore[operator]
    assert set(dropped.flatten().tolist()) == {0.0, 2.0}
    assert float(dropped.mean()) == pytest.approx(1, abs=0.1)
    block.eval()
    torch.testing.assert_close(block(x)[0], block(x)[1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"attention": "lka"}, "unknown attention 'lka'; there are lkca, mhsa"),
        ({"attention": "mhsa", "heads": 4}, "dim 210 does not split into 4 heads"),
        ({"class_token": True}, "a class token has no place on the grid of LKCA"),
    ],
)
def test_shapes_that_cannot_be_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VitConfig(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_as_an_embedder_it_gives_descriptor_and_parts(attention: VitAttention) -> None:
    shape = NetworkConfig(
        (Branch(attention, "cross_entropy"), Branch(attention, "triplet")),
        image_size=(32, 48),
        vit=VitConfig(attention, 24, 2, heads=2, patch=8),
        strips=2,
        strip_width=16,
    )
    assert NetworkConfig.from_dict(shape.to_dict()) == shape
    network = LKAReID(shape, identities=3).eval()
    descriptor, strips = network(torch.randn(2, 3, 32, 48))
    assert descriptor.shape == (2, shape.descriptor_dim) == (2, 48)
    torch.testing.assert_close(descriptor.norm(dim=1), torch.ones(2))
    assert strips is not None
    assert strips.shape == (2, shape.tokens, 16) == (2, 4, 16)
    parts = network.with_parts((2, 3), 16)(torch.randn(2, 3, 32, 48))[1]
    assert parts is not None
    assert parts.shape == (2, 6, 16)


def test_a_vits_branches_have_its_attention_as_mixer_and_whole_patches() -> None:
    with pytest.raises(ValueError, match="the branches of a ViT have its attention as mixer: lkca"):
        NetworkConfig(vit=VitConfig())
    with pytest.raises(ValueError, match="32 x 32 px has no whole patches of 5 px"):
        NetworkConfig((Branch("lkca", "both"),), image_size=(32, 32), vit=VitConfig(patch=5))
