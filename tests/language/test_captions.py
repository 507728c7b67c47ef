from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch

from config.errors import InputError
from language import caption_cache
from language.caption_cache import CaptionCache
from language.text_encoder import TextEncoder

CAPTION, OTHER = "a small 7 moves left, then up", "a large 3 moves down, then right"


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder("tiny", 20)


@pytest.fixture
def cache(encoder: TextEncoder, tmp_path: Path) -> CaptionCache:
    return CaptionCache(encoder, tmp_path)


@pytest.fixture
def counted(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The captions that were really encoded."""
    encode = encoder.encode
    done: list[str] = []

    def noted(caption: str) -> object:
        done.append(caption)
        return encode(caption)

    monkeypatch.setattr(encoder, "encode", noted)
    return done


# ---------------------------------------------------------------------------------------------------------- encoding


def test_a_caption_is_its_tokens_and_one_state_each(encoder: TextEncoder) -> None:
    words = ["[CLS]", "a", "small", "7", "moves", "left", ",", "then", "up", "[SEP]"]
    encoded = encoder.encode(CAPTION)
    assert encoder.tokenizer.convert_ids_to_tokens(encoded.ids_N.tolist()) == words
    assert encoded.states_ND.shape == (10, encoder.dim)


def test_an_empty_caption_is_cls_alone_and_nothing_of_another_caption_is_in_it(encoder: TextEncoder) -> None:
    empty = encoder.encode("")
    assert empty.ids_N.tolist() == [encoder.cls]
    assert not np.allclose(empty.states_ND[0], encoder.encode(CAPTION).states_ND[0], atol=1e-2)


def test_long_captions_are_cut_and_end_in_sep(encoder: TextEncoder) -> None:
    ids = encoder.encode("a long caption " * 10).ids_N
    assert len(ids) == 20
    assert ids[-1] == encoder.tokenizer.sep_token_id


def test_words_that_no_vocabulary_holds_are_spelled(encoder: TextEncoder) -> None:
    tokens = encoder.tokenizer.convert_ids_to_tokens(encoder.encode("zyx").ids_N.tolist())
    assert tokens == ["[CLS]", "z", "##y", "##x", "[SEP]"]


def test_it_is_the_same_every_time_and_leaves_random_numbers_alone(encoder: TextEncoder) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = TextEncoder("tiny", 20)
    assert torch.equal(torch.rand(3), expected)
    assert again.fingerprint == encoder.fingerprint
    assert np.array_equal(again.encode(CAPTION).states_ND, encoder.encode(CAPTION).states_ND)


def test_the_states_see_the_whole_caption(encoder: TextEncoder) -> None:
    turned = encoder.encode("a small 7 moves left, then down").states_ND.astype(float)
    distance_N = np.square(turned - encoder.encode(CAPTION).states_ND).mean(axis=1)
    assert distance_N[0] > 1e-3  # [CLS] knows the last word
    assert distance_N[8] == distance_N.max()


def test_embeddings_of_tokens_know_their_place_and_nothing_of_the_others(encoder: TextEncoder) -> None:
    captions = (CAPTION, "a small 3 moves up, then left")
    ids = torch.tensor([encoder.encode(each).ids_N.tolist() for each in captions])
    one, other = encoder.embed(ids)
    same = ids[0] == ids[1]
    assert torch.equal(one[same], other[same])
    assert not torch.isclose(one[~same], other[~same]).all(dim=1).any()


def test_a_folder_is_read_without_network_and_is_known_by_what_it_holds(encoder: TextEncoder, tmp_path: Path) -> None:
    encoder.model.save_pretrained(tmp_path)
    encoder.tokenizer.save_pretrained(tmp_path)
    stored = TextEncoder(str(tmp_path), 20)
    assert stored.fingerprint == encoder.fingerprint
    assert np.array_equal(stored.encode(CAPTION).states_ND, encoder.encode(CAPTION).states_ND)
    stored.model.embeddings.word_embeddings.weight[7, 0] += 1e-3
    stored.model.save_pretrained(tmp_path)
    assert TextEncoder(str(tmp_path), 20).fingerprint != encoder.fingerprint


@pytest.mark.parametrize("name", ["no-such/encoder", "/no/such/folder"])
def test_an_encoder_that_is_not_there_is_one_line(name: str) -> None:
    with pytest.raises(InputError, match="is no text encoder on this machine, and nothing is downloaded") as error:
        TextEncoder(name, 20)
    assert "\n" not in str(error.value)


def test_more_tokens_than_an_encoder_reads_are_refused() -> None:
    with pytest.raises(InputError, match=r"tiny reads 128 tokens at most, not 129; lower text\.max_tokens"):
        TextEncoder("tiny", 129)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs the package transformers; install it: pip install"):
        TextEncoder("tiny", 20)


# -------------------------------------------------------------------------------------------------------------- cache


def test_pads_and_the_mask_are_kept(cache: CaptionCache, encoder: TextEncoder) -> None:
    batch = cache.batch([CAPTION, "", OTHER])
    assert batch.ids_BL.shape == batch.shown_BL.shape == (3, 20)
    assert batch.shown_BL.sum(dim=1).tolist() == [10, 1, 10]
    assert (batch.ids_BL[~batch.shown_BL] == encoder.pad).all()
    assert (batch.states_BLT[~batch.shown_BL] == 0).all()
    assert np.array_equal(batch.states_BLT[0, :10].numpy(), encoder.encode(CAPTION).states_ND.astype(np.float32))


def test_a_caption_is_encoded_once_whoever_asks(encoder: TextEncoder, tmp_path: Path, counted: list[str]) -> None:
    first = CaptionCache(encoder, tmp_path).batch([CAPTION, OTHER, CAPTION])
    assert counted == [CAPTION, OTHER]
    again = CaptionCache(encoder, tmp_path)
    assert torch.equal(again.batch([CAPTION, OTHER, CAPTION]).states_BLT, first.states_BLT)
    again.batch([OTHER])
    assert counted == [CAPTION, OTHER]


def test_entries_are_read_again_where_memory_has_no_room(
    encoder: TextEncoder, tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_cache, "_MEMORY", 1)
    cache = CaptionCache(encoder, tmp_path)
    first = cache.batch([CAPTION, OTHER])
    assert len(cache._known) == 1
    assert torch.equal(cache.batch([CAPTION, OTHER]).states_BLT, first.states_BLT)
    assert counted == [CAPTION, OTHER]


def test_what_is_given_out_can_be_changed_without_harm(cache: CaptionCache) -> None:
    """The published system's dropout emptied captions in its cache, for all later epochs."""
    expected = cache.batch([CAPTION])
    for _ in range(2):  # of fresh entries, and of those from memory
        batch = cache.batch([CAPTION, CAPTION])
        batch.ids_BL.zero_()
        batch.shown_BL.zero_()
        batch.states_BLT.zero_()
    for source in (cache, CaptionCache(cache.encoder, cache.file.parent)):
        found = source.batch([CAPTION])
        for name in ("ids_BL", "shown_BL", "states_BLT"):
            assert torch.equal(getattr(found, name), getattr(expected, name)), name


def test_encoders_and_lengths_do_not_share_a_file(encoder: TextEncoder, tmp_path: Path) -> None:
    files = {CaptionCache(each, tmp_path).file for each in (encoder, TextEncoder("tiny", 8))}
    assert len(files) == 2


def test_two_runs_may_fill_it_at_once(encoder: TextEncoder, tmp_path: Path) -> None:
    one, other = CaptionCache(encoder, tmp_path), CaptionCache(encoder, tmp_path)
    assert torch.equal(one.batch([CAPTION]).states_BLT, other.batch([CAPTION]).states_BLT)
    with sqlite3.connect(one.file) as database:
        assert database.execute("SELECT COUNT(*) FROM captions").fetchone() == (1,)


def test_a_damaged_file_is_one_line(encoder: TextEncoder, tmp_path: Path) -> None:
    cache = CaptionCache(encoder, tmp_path)
    cache.batch([CAPTION])
    with sqlite3.connect(cache.file) as database:
        database.execute("UPDATE captions SET states = ?", (b"12345",))
    with pytest.raises(InputError, match=r"remove it if it is damaged, or set text\.cache to another folder"):
        CaptionCache(encoder, tmp_path).batch([CAPTION])
    cache.file.write_bytes(b"no database, but long enough to be taken for one" * 9)
    with pytest.raises(InputError, match="remove it if it is damaged"):
        CaptionCache(encoder, tmp_path)


def test_a_folder_that_cannot_be_made_is_one_line(encoder: TextEncoder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"set text\.cache to another folder"):
        CaptionCache(encoder, tmp_path / "file" / "captions")


def test_numbers_are_no_captions(cache: CaptionCache) -> None:
    with pytest.raises(InputError, match="expected texts, got a int"):
        cache.batch([7])  # type: ignore[list-item]
