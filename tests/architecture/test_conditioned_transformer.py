from __future__ import annotations

import pytest
import torch
from torch import Tensor

from architecture.conditioned_transformer import ConditionedTransformer
from architecture.joint_transformer import JointTransformer

TEXT, TOKENS = 12, 20


def network(frames: int = 1, size: int = 224, cls_token: bool = False) -> ConditionedTransformer:
    torch.manual_seed(0)
    joint = JointTransformer(
        "clip",
        frames=frames,
        frame_size=(size, size),
        patch_size=16,
        tubelet=1,
        dim=16,
        layers=2,
        heads=2,
        mlp_dim=32,
        positions="2d",
        cls_token=cls_token,
        features="cls" if cls_token else "mean",
        norm="rms",
        mlp="swiglu",
        layer_scale=0.1,
    )
    made = ConditionedTransformer(joint, frames, TEXT, TOKENS).eval()
    no_words = torch.zeros(TOKENS, TEXT)
    no_words[0] = torch.randn(TEXT)
    made.know_text_encoder("0123456789abcdef", no_words)
    return made


def captions(batch: int, lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    shown_BL = torch.arange(TOKENS) < torch.tensor(lengths)[:, None]
    return torch.randn(batch, TOKENS, TEXT) * shown_BL[..., None], shown_BL


@pytest.mark.parametrize("cls_token", [False, True])
@pytest.mark.parametrize("frames", [1, 2])
@torch.no_grad()
def test_features_have_the_published_shapes(frames: int, cls_token: bool) -> None:
    encoder = network(frames, cls_token=cls_token)
    video = torch.randn(2, frames, 3, 224, 224)
    states, shown = captions(2, (10, 4))
    assert encoder.represent(video, states, shown).shape == (2, 196 + 20, 16)
    assert encoder.represent(video, states, shown, "visual").shape == (2, 196, 16)
    features, tokens = encoder.features_and_tokens(video)
    assert features["clip"].shape == (2, 1, 16)
    assert tokens["clip"].shape == (2, 1, 196, 16)
    assert torch.equal(encoder(video)["clip"], features["clip"])


@torch.no_grad()
def test_what_padding_holds_changes_nothing() -> None:
    """In the published code padding was hidden as queries, so that every patch saw it."""
    encoder = network(2, size=64)
    video = torch.randn(2, 2, 3, 64, 64)
    states, shown = captions(2, (10, 1))
    other = torch.where(shown[..., None], states, torch.randn_like(states) * 9)
    assert not torch.equal(states, other)
    expected, found = (encoder.represent(video, each, shown, "visual") for each in (states, other))
    assert torch.equal(found, expected)
    words = encoder.represent(video, other, shown)[:, 16:]
    assert torch.equal(words[shown], encoder.represent(video, states, shown)[:, 16:][shown])


@torch.no_grad()
def test_patches_see_every_word_that_is_shown() -> None:
    encoder = network(size=64)
    video = torch.randn(1, 1, 3, 64, 64)
    states, shown = captions(1, (6,))
    before = encoder.represent(video, states, shown, "visual")
    for word in range(6):
        changed = states.clone()
        changed[0, word] += 1
        assert not torch.allclose(encoder.represent(video, changed, shown, "visual"), before, atol=1e-6)


@torch.no_grad()
def test_no_caption_is_the_caption_of_no_words() -> None:
    encoder = network(size=64)
    video = torch.randn(2, 1, 3, 64, 64)
    states, shown = encoder.no_words(2)
    assert shown.sum(dim=1).tolist() == [1, 1]
    assert torch.equal(encoder.represent(video, states, shown), encoder.represent(video))
    assert not torch.equal(encoder.represent(video, *captions(2, (5, 5))), encoder.represent(video))


@torch.no_grad()
def test_features_of_a_pair_are_those_of_its_later_frame_which_has_seen_the_first() -> None:
    encoder = network(2, size=64)
    video = torch.randn(1, 2, 3, 64, 64)
    other_first = torch.cat([torch.randn(1, 1, 3, 64, 64), video[:, 1:]], dim=1)
    turned = video.flip(1)
    expected = encoder.represent(video, mode="visual")
    assert expected.shape == (1, 16, 16)
    all_tokens = encoder.encode(video).tokens_BKD
    assert torch.equal(expected, all_tokens[:, 16:])
    for other in (other_first, turned):
        assert not torch.allclose(encoder.represent(other, mode="visual"), expected, atol=1e-4)


@torch.no_grad()
def test_frames_share_positions_and_differ_by_what_frame_they_are() -> None:
    encoder = network(2, size=64)
    picture = torch.randn(1, 1, 3, 64, 64).expand(1, 2, 3, 64, 64)
    assert encoder.frame_FD is not None
    seen: list[Tensor] = []
    encoder.joint.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder.encode(picture)
    first, second = seen[0][:, :16], seen[0][:, 16:32]
    difference = (encoder.frame_FD[1] - encoder.frame_FD[0]).expand(1, 16, -1)
    torch.testing.assert_close(second - first, difference)


@torch.no_grad()
def test_shown_patches_are_encoded_as_they_are_among_all() -> None:
    encoder = network(2, size=64)
    video = torch.randn(2, 2, 3, 64, 64)
    everything = torch.arange(32).expand(2, -1)
    torch.testing.assert_close(encoder.encode(video, keep_BK=everything).tokens_BKD, encoder.encode(video).tokens_BKD)
    some = torch.tensor([[1, 5, 17, 21], [0, 2, 16, 18]])
    assert encoder.encode(video, keep_BK=some).tokens_BKD.shape == (2, 4, 16)


def test_the_text_encoder_is_part_of_the_weights() -> None:
    encoder = network(size=64)
    other = ConditionedTransformer(encoder.joint, 1, TEXT, TOKENS)
    other.load_state_dict(encoder.state_dict())
    assert other.fingerprint == "0123456789abcdef"
    assert torch.equal(other.no_words_LT, encoder.no_words_LT)


def test_every_weight_gets_a_gradient() -> None:
    encoder = network(2, size=64, cls_token=True)
    states, shown = captions(2, (10, 4))
    encoded = encoder.encode(torch.randn(2, 2, 3, 64, 64), states, shown)
    assert encoded.cls_B1D is not None
    (encoded.tokens_BKD.square().sum() + encoded.cls_B1D.square().sum()).backward()
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None] == []
