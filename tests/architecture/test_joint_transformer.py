from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from architecture.joint_transformer import JointTransformer
from architecture.masking import draw_mask
from architecture.positions import FixedPositions, sincos_grid
from architecture.tubelets import take

SMALL: dict[str, Any] = {
    "frames": 4,
    "frame_size": (8, 12),
    "patch_size": 4,
    "tubelet": 2,
    "dim": 12,
    "layers": 2,
    "heads": 3,
    "mlp_dim": 20,
}


def make(**changes: Any) -> JointTransformer:
    torch.manual_seed(0)
    return JointTransformer("clip", **SMALL | changes).eval()


def make_video(frames: int = 4) -> Tensor:
    return torch.randn(2, frames, 3, 8, 12, generator=torch.Generator().manual_seed(1))


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_sizes() -> None:
    """ViT-B of 16 frames has 86.2 million weights; the blocks of R-MVP's ViT-S 21.3, those of Voltron's 28.4."""
    size: dict[str, Any] = {"frame_size": (224, 224), "patch_size": 16, "layers": 12}
    small: dict[str, Any] = size | {"frames": 1, "tubelet": 1, "dim": 384, "heads": 6, "mlp_dim": 1536}
    voltron: dict[str, Any] = {"norm": "rms", "mlp": "swiglu", "layer_scale": 0.1}
    with torch.device("meta"):
        base = JointTransformer("clip", **size, frames=16, tubelet=2, dim=768, heads=12, mlp_dim=3072)
        of_images = JointTransformer("space", **small, cls_token=True)
        with_language = JointTransformer("space", **small, **voltron)
    assert base.grid == (8, 14, 14)
    counts = [parameters(base), parameters(of_images.blocks), parameters(with_language.blocks)]
    assert [round(count / 1e6, 1) for count in counts] == [86.2, 21.3, 28.4]


@pytest.mark.parametrize("positions", ["1d", "2d", "3d"])
@pytest.mark.parametrize("cls", [False, True])
def test_shown_tokens_are_those_of_a_window_that_has_no_others(positions: str, cls: bool) -> None:
    network, video = make(positions=positions, cls_token=cls), make_video()
    keep = draw_mask("random", network.grid, 0.5, (0, 0), torch.arange(2)).keep_BK
    whole = network.embed(video)
    assert torch.allclose(network.embed(video, keep), take(whole, keep), atol=1e-6)
    hidden = video.clone()
    tokens = network.encode(network.embed(video, keep)).tokens_BKD
    mask = torch.ones(2, 12).bool().scatter(1, keep, False).view(2, 2, 2, 3)  # hidden, by time, row and column
    pixels = mask.repeat_interleave(2, 1).repeat_interleave(4, 2).repeat_interleave(4, 3)[:, :, None].expand_as(video)
    hidden[pixels] = 1e3  # no pixel of what is hidden reaches anything
    assert torch.equal(tokens, network.encode(network.embed(hidden, keep)).tokens_BKD)


def test_features_are_the_mean_or_the_cls_token_and_tokens_are_the_patches() -> None:
    """Feature modes of an image: `patch` [B, N, D] and `cls` [B, 1, D]; R-MVP's own failed."""
    image = make_video(frames=1)
    for features in ("mean", "cls"):
        network = make(frames=1, tubelet=1, cls_token=True, features=features)
        found, tokens = network.features_and_tokens(image)
        assert found["clip"].shape == (2, 1, 12)
        assert tokens["clip"].shape == (2, 1, 6, 12)
        is_mean = torch.allclose(found["clip"], tokens["clip"].mean(dim=2), atol=1e-6)
        assert is_mean == (features == "mean")
        assert torch.equal(network(image)["clip"], found["clip"])


def test_the_cls_token_is_the_one_that_is_configured() -> None:
    names = [name for name, _ in make(cls_token=True).named_parameters() if name not in dict(make().named_parameters())]
    assert names == ["cls_D"]


def test_padded_extra_tokens_change_nothing() -> None:
    """Defect of Voltron: its mask hid rows that asked, so that every patch saw the padding."""
    network, video = make(cls_token=True, norm="rms", mlp="swiglu", layer_scale=0.1), make_video()
    extra = torch.randn(2, 5, 12)
    shown = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]).bool()
    padded = torch.where(shown[..., None], extra, 50 * torch.randn(2, 5, 12))
    one, other = (network.encode(network.embed(video), values, shown) for values in (extra, padded))
    assert one.cls_B1D is not None
    assert other.cls_B1D is not None
    assert one.extra_BLD is not None
    assert torch.equal(one.tokens_BKD, other.tokens_BKD)
    assert torch.equal(one.cls_B1D, other.cls_B1D)
    assert one.extra_BLD.shape == (2, 5, 12)
    first = network.encode(network.embed(video[:1]), extra[:1, :3])  # as if the padding were not there
    torch.testing.assert_close(first.tokens_BKD[0], one.tokens_BKD[0])
    seen = network.encode(network.embed(video), padded)
    assert not torch.allclose(seen.tokens_BKD, one.tokens_BKD, atol=1e-3)


def test_an_image_goes_through_a_network_of_videos_as_a_still_of_one_tubelet() -> None:
    network, image = make(), make_video(frames=1)
    still = image.repeat(1, 2, 1, 1, 1)
    assert torch.equal(network(image)["clip"], network(still)["clip"])
    assert network.features_and_tokens(image)[1]["clip"].shape == (2, 1, 6, 12)


def test_all_frames_see_each_other() -> None:
    """What the hierarchy never does below the level that joins frames."""
    network, video = make(), make_video().requires_grad_()
    tokens = network.features_and_tokens(video)[1]["clip"][0, 0].unflatten(0, (2, 6))
    (gradient,) = torch.autograd.grad(tokens[0].square().sum(), video)
    assert gradient[0, 2:].abs().max() > 0
    assert not gradient[1].any()


def test_no_attention_maps_are_kept() -> None:
    network, video = make(), make_video()
    before = {id(value) for module in network.modules() for value in vars(module).values() if isinstance(value, Tensor)}
    network(video)
    after = {id(value) for module in network.modules() for value in vars(module).values() if isinstance(value, Tensor)}
    assert after == before


def test_it_begins_as_mae_does() -> None:
    network = make(cls_token=True, dim=96)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            limit = (6 / (module.in_features + module.out_features)) ** 0.5
            assert module.weight.abs().max() <= limit
            assert module.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.1)
            assert module.bias is None or not module.bias.any()
    assert network.cls_D is not None
    assert network.cls_D.std().item() == pytest.approx(0.02, rel=0.4)
    assert make(qkv_bias=False).blocks[0].attention.to_qkv.bias is None  # type: ignore[union-attr]


def test_drop_path_grows_towards_the_last_block() -> None:
    network = make(layers=4, drop_path=0.2)
    assert [block.skip for block in network.blocks] == pytest.approx([0.05, 0.1, 0.15, 0.2])


def test_positions_are_fixed_of_amplitude_one_and_not_stored() -> None:
    grid = (2, 3, 4)
    for axes, shape in (("1d", (24,)), ("2d", (3, 4)), ("3d", grid)):
        positions = FixedPositions(grid, 16, axes)  # type: ignore[arg-type]
        assert not positions.state_dict()
        assert not list(positions.parameters())
        table = positions(torch.zeros(1, 24, 16))[0]
        expected = sincos_grid(shape, 16) / 2**0.5
        assert torch.equal(table, expected if axes != "2d" else expected.repeat(2, 1))
        assert table.abs().max() <= 1
        some = torch.tensor([[5, 0, 23]])
        assert torch.equal(positions(torch.zeros(1, 3, 16), some)[0], table[some[0]])
        assert torch.equal(positions(torch.zeros(1, 12, 16))[0], table[:12])  # of an image: the first time
