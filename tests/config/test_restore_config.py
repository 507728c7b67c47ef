from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from config.errors import InputError
from config.load import restore_config
from config.schema import Config


def test_a_dumped_config_is_the_same_again(tiny_config: Callable[..., Config]) -> None:
    for options in ((), ("task=svt", "window.frequency_fps=12.5"), ("regularizer={name: none}",)):
        config = tiny_config(*options)
        assert restore_config(config.model_dump(), "here") == config
        assert restore_config(json.loads(json.dumps(config.model_dump())), "here") == config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"frame_size": [7, 7]}, "frame_size and hierarchy.patch_size disagree"),
    ],
    ids=str,
)
def test_what_this_version_cannot_read_is_one_line(
    tiny_config: Callable[..., Config], changes: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError) as caught:
        restore_config(tiny_config().model_dump() | changes, "old/encoder.json")
    assert str(caught.value).startswith("old/encoder.json: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dump", [None, 3, [], {}], ids=str)
def test_what_is_no_config_is_one_line(dump: object) -> None:
    with pytest.raises(InputError, match=r"^here: "):
        restore_config(dump, "here")
