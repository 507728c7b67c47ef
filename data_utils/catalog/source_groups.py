"""Which clips are cut from one source, told by their names: such clips must not be in two splits."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

_COUNTER = re.compile(r"_\d+$")
# HMDB51: <film>_<class>_<visible body>_<camera>_<people>_<view>_<quality>
_CODES = re.compile(r"_[hufl]_(nm|cm)_np\d+_(fr|ri|le|ba)_(goo|med|bad)$")
_UCF_GROUP = re.compile(r"_(g\d+)_c\d+$", re.IGNORECASE)
_RECORDED = re.compile(r"\d{4}_.*\d{4}_\d\d_\d\d_\d\d")  # of IKEA ASM: 0007_white_table_05_04_2019_08_28_14_40
_UAV_LETTERS = 24  # of a name of UAV-Human: person, clothes, place, before repetition and action


def film(name: str, label: str) -> str:
    """The film that a clip of HMDB51 is cut from: its name without class, codes and counter.

    Other names lose only the counter.

    Args:
        name: of the file.
        label: the class.
    """
    name = _COUNTER.sub("", posixpath.splitext(name)[0])
    codes = _CODES.search(name)
    if codes is None:
        return name
    before = name[: codes.start()]
    return before.removesuffix(f"_{label}") or before


def _ucf101(path: str) -> str:
    """Class and group of `v_ApplyEyeMakeup_g08_c01.avi`."""
    stem = posixpath.splitext(posixpath.basename(path))[0]
    match = _UCF_GROUP.search(stem)
    return stem if match is None else f"{stem[: match.start()]}_{match[1].lower()}"


def _hmdb51(path: str) -> str:
    folder, name = posixpath.split(path)
    return film(name, posixpath.basename(folder))


def _diving48(path: str) -> str:
    """The competition video of `_8Vy3dlHg2w_00000.mp4`."""
    return _COUNTER.sub("", posixpath.splitext(posixpath.basename(path))[0])


def _ikea(path: str) -> str:
    """The recording: the part of the path that says when it was made, else the folder."""
    parts = path.split("/")
    recorded = [part for part in parts if _RECORDED.search(part)]
    return recorded[0] if recorded else posixpath.dirname(path)


def _uav(path: str) -> str:
    return posixpath.basename(path)[:_UAV_LETTERS]


def _alone(path: str) -> str:
    return path


SOURCES: dict[str, Callable[[str], str]] = {
    "ucf101": _ucf101,
    "hmdb51": _hmdb51,
    "diving48": _diving48,
    "ikea": _ikea,
    "uav": _uav,
    "mini_ssv2": _alone,
}
"""By dataset: from the path of a clip to what it is cut from."""


def source_of(dataset: str) -> Callable[[str], str]:
    """The rule of a dataset; of one that has none, every clip is a source of its own."""
    return SOURCES.get(dataset, _alone)
