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
        ({"task": "telepathy"}, "task (there): expected 'hierarchical'"),
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
    assert str(caught.value).endswith("; perhaps a newer version of the program wrote it")
    assert "\n" not in str(caught.value)


def test_keys_that_this_version_does_not_have_are_named_and_ignored(
    tiny_config: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    dump = tiny_config().model_dump()
    newer = dump | {"telepathy": True, "hierarchy": dump["hierarchy"] | {"rotary": True}}
    assert restore_config(newer, "new/encoder.json") == tiny_config()
    said = "new/encoder.json has hierarchy.rotary, telepathy, which this version of the program does not have: ignored"
    assert caplog.messages == [said]
    assert restore_config(dump, "here") == tiny_config()
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("dump", [None, 3, [], {}], ids=str)
def test_what_is_no_config_is_one_line(dump: object) -> None:
    with pytest.raises(InputError, match=r"^here: "):
        restore_config(dump, "here")
