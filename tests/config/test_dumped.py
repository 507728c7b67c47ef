from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from config.dumped import config_of_dump
from config.errors import InputError
from config.schema import Config


def test_a_dumped_config_is_the_same_again(tiny_config: Callable[..., Config]) -> None:
    for options in ((), ("task=svt", "window.frequency_fps=12.5"), ("regularizer={name: none}",)):
        config = tiny_config(*options)
        assert config_of_dump(config.model_dump(), "here") == config
        assert config_of_dump(json.loads(json.dumps(config.model_dump())), "here") == config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lost": 3}, "unknown key lost"),
        ({"batch_size": 0}, "batch_size"),
        ({"patch_size": 7}, "frame_size and patch_size disagree"),
    ],
    ids=str,
)
def test_what_this_version_cannot_read_is_one_line(
    tiny_config: Callable[..., Config], changes: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError) as caught:
        config_of_dump(tiny_config().model_dump() | changes, "old/encoder.json")
    assert str(caught.value).startswith("old/encoder.json holds no config that this version can read: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dump", [None, 3, [], {}], ids=str)
def test_what_is_no_config_is_one_line(dump: object) -> None:
    with pytest.raises(InputError, match=r"^here holds no config that this version can read: "):
        config_of_dump(dump, "here")
