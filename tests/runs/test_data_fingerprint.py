from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.errors import InputError
from runs.data_fingerprint import check_same_data, data_fingerprint


def catalogs(**changes: Any) -> dict[str, Any]:
    """Catalogs of three splits; `changes` are of the training split."""
    table = pd.DataFrame({"path": ["a.mp4", "b.mp4"], "frames": [8, 9], "height": 72, "width": 96, "fps": 8.0})
    labels = {"digit": SimpleNamespace(classes=["0", "1"], values=np.array([[0], [1]]))}
    split = SimpleNamespace(table=table, labels=labels)
    changed = SimpleNamespace(**{"table": table, "labels": labels} | changes)
    return {"train": changed, "val": split, "test": split}


THEN = data_fingerprint(catalogs())
TABLE = catalogs()["val"].table
OTHER = {"digit": SimpleNamespace(classes=["0", "1"], values=np.array([[1], [1]]))}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"table": TABLE[:1]}, "train has 1 videos and had 2"),
        ({"table": TABLE.assign(path=["b.mp4", "a.mp4"])}, "train has other videos, or in another order"),
        ({"table": TABLE.assign(frames=[8, 10])}, "train has other lengths, sizes or frame rates"),
        ({"labels": OTHER}, "train has other labels"),
    ],
)
def test_other_data_is_refused_in_one_line_that_says_what_changed(
    changes: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    now = catalogs(**changes)
    with pytest.raises(InputError) as error:
        check_same_data(THEN, now, "last.pt", other_data=False)
    assert str(error.value) == (
        f"the data is not that of last.pt: {words}; bring it back, set checkpoint.other_data=true to go on with what "
        "there is now, or start a new run with another model_name"
    )
    check_same_data(THEN, now, "last.pt", other_data=True)
    assert caplog.messages == [f"the data is not that of last.pt: {words}"]


def test_the_same_data_elsewhere_and_older_checkpoints_go_on(caplog: pytest.LogCaptureFixture) -> None:
    check_same_data(THEN, catalogs(), "last.pt", other_data=False)
    check_same_data({}, catalogs(labels=OTHER), "last.pt", other_data=False)
    assert not caplog.messages


def test_other_test_videos_are_only_told(caplog: pytest.LogCaptureFixture) -> None:
    now = catalogs()
    now["test"] = catalogs(labels=OTHER)["train"]
    check_same_data(THEN, now, "last.pt", other_data=False)
    assert caplog.messages == ["the data is not that of last.pt: test has other labels"]
