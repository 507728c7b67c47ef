from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from architecture.caption_decoder import CaptionDecoder, FramesDecoder, caption_nll, prefix_mask

GRID, TEXT, WORDS, VOCABULARY = (2, 2, 3), 10, 6, 15
NUMBER = 12


def decoder() -> CaptionDecoder:
    torch.manual_seed(0)
    patches = FramesDecoder(
        8, GRID, 27, dim=16, layers=2, heads=2, mlp_dim=32, positions="2d", norm="rms", mlp="swiglu", layer_scale=0.1
    )
    return CaptionDecoder(patches, TEXT, 16, VOCABULARY).eval()


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, 4, 8), torch.tensor([[0, 4, 6, 10], [1, 2, 7, 8]]), torch.randn(2, WORDS, TEXT)


def test_the_prefix_mask_of_two_patches_and_three_words() -> None:
    expected = [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert prefix_mask(2, 3).int().tolist() == expected


@torch.no_grad()
def test_patches_do_not_see_the_caption(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    tokens, keep, words = inputs
    made = decoder()
    pixels, scores = made(tokens, keep, NUMBER, words)
    assert pixels.shape == (2, NUMBER, 27)
    assert scores.shape == (2, WORDS, VOCABULARY)
    assert torch.equal(made(tokens, keep, NUMBER, torch.randn_like(words))[0], pixels)


@torch.no_grad()
def test_a_word_sees_all_patches_and_only_words_before_it(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    tokens, keep, words = inputs
    made = decoder()
    before = made(tokens, keep, NUMBER, words)[1]
    for place in range(WORDS):
        changed = words.clone()
        changed[:, place] += 1
        after = made(tokens, keep, NUMBER, changed)[1]
        assert torch.equal(after[:, :place], before[:, :place])
        assert not torch.isclose(after[:, place:], before[:, place:]).all(dim=-1).any()
    for shown in range(4):
        changed = tokens.clone()
        changed[:, shown] += 1
        assert not torch.isclose(made(changed, keep, NUMBER, words)[1], before).all(dim=-1).any()


@torch.no_grad()
def test_tokens_of_two_frames_at_one_place_differ_by_a_learned_vector(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    tokens, keep, _ = inputs
    patches = decoder().patches
    assert patches.frame_FD is not None
    placed = patches.whole(tokens, keep, NUMBER)
    hidden = [(3, 9), (5, 11)]  # of the first window: the same place in both frames, hidden in both
    for first, second in hidden:
        torch.testing.assert_close(placed[0, second] - placed[0, first], patches.frame_FD[1] - patches.frame_FD[0])


def test_a_decoder_of_one_frame_has_no_vector_of_frames() -> None:
    single = FramesDecoder(8, (1, 2, 3), 27, dim=16, layers=1, heads=2, mlp_dim=32, positions="2d")
    assert single.frame_FD is None
    assert single(torch.randn(1, 2, 8), torch.tensor([[0, 3]]), 6).shape == (1, 6, 27)


def test_the_loss_of_a_caption_is_the_mean_over_its_tokens() -> None:
    scores = torch.randn(2, WORDS, VOCABULARY)
    ids = torch.tensor([[2, 7, 8, 3, 0, 0], [2, 7, 9, 8, 7, 3]])
    shown = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]).bool()
    found = caption_nll(scores, ids, shown)
    logs = scores.double().log_softmax(dim=-1)
    first = [-float(logs[0, place, ids[0, place + 1]]) for place in range(4)]  # that after [SEP], a pad, too
    second = [-float(logs[1, place, ids[1, place + 1]]) for place in range(5)]  # nothing comes after the last
    assert found.tolist() == pytest.approx([sum(first) / 4, sum(second) / 5], rel=1e-5)
    changed = scores.clone()
    changed[0, 4:] += torch.randn(2, VOCABULARY)
    assert torch.equal(caption_nll(changed, ids, shown)[0], found[0])
    assert math.isfinite(float(found.sum()))


def test_every_weight_gets_a_gradient(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    made = decoder()
    pixels, scores = made(*inputs[:2], NUMBER, inputs[2])
    (pixels.square().sum() + scores.square().sum()).backward()
    assert [name for name, weight in made.named_parameters() if weight.grad is None] == []
