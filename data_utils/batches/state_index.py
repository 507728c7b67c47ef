"""Writes the states that every epoch takes of every video into files, for programs that know nothing of this one.

Training here needs none of them: states are computed when they are wanted. The files are those of Voltron's preparation
(Karamcheti et al., 2023, arXiv 2302.12766):

    index/<format>/train-epoch=<e>-batches.json and .hdf5, index/<format>/validation-batches.json and .hdf5

with the formats `state` and `state+language` (five examples of a video, one frame each), `state+ok` (four, the initial
frame with another) and `quintet+language` (one of five frames).
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.data import DataConfig
from config.errors import InputError
from data_utils.batches.opening import open_catalogs
from data_utils.batches.states import WINDOWS, drawn_states, fixed_states, state_window, video_numbers
from data_utils.catalog.annotations.captions import Captions
from data_utils.catalog.catalog import Catalog
from runs.process.atomic import replaced_file

FORMATS = {"state": (1, False), "state+language": (1, True), "state+ok": (2, True), "quintet+language": (5, True)}
"""By name of a format, the frames of an example, and whether its captions go with it."""

logger = logging.getLogger(__name__)


class _Example(NamedTuple):
    """A row of an index."""

    row: int
    frames: NDArray[np.int64]


def dump_index(data: DataConfig, seed: int, epochs: int, levels: list[str], folder: Path) -> None:
    """Writes the index of all epochs of the training split, and of the validation split.

    Args:
        data: which dataset; `window.sampling` is `states`.
        seed: of the run.
        epochs: of the run.
        levels: of the run, which labels are read for.
        folder: is made; `index` inside it must not exist yet.

    Raises:
        InputError: the window does not take states, the folder cannot be written or has an index, or the dataset cannot
            be opened.
    """
    if data.window.sampling != "states":
        raise InputError("--dump-index writes the frames of window.sampling=states; set that")
    index = folder / "index"
    if index.exists():
        raise InputError(f"--dump-index: {index} exists already; remove it or choose another folder")
    try:
        index.mkdir(parents=True)
        catalogs = open_catalogs(data, levels, folder / "bad_videos.csv")
        for name in FORMATS:
            (index / name).mkdir()
        for epoch in range(epochs):
            states_N5 = _drawn(catalogs["train"], data.window.end_share, seed, epoch)
            _write_formats(index, f"train-epoch={epoch}", catalogs["train"], states_N5)
            logger.info("index of epoch %d of %d written to %s", epoch + 1, epochs, index)
        frames = catalogs["val"].table["frames"].tolist()
        fixed_N5 = np.array([fixed_states(count, data.window.end_share) for count in frames])
        _write_formats(index, "validation", catalogs["val"], fixed_N5)
    except OSError as error:
        raise InputError(f"--dump-index: {folder} cannot be written: {error.strerror or error}") from error


def _drawn(catalog: Catalog, share: float, seed: int, epoch: int) -> NDArray[np.int64]:
    """The states of all videos: [N, 5]."""
    numbers = video_numbers(catalog.table["path"].to_numpy(object)).tolist()
    frames = catalog.table["frames"].tolist()
    drawn = [drawn_states(count, share, seed, epoch, video) for count, video in zip(frames, numbers, strict=True)]
    return np.array(drawn)


def _write_formats(index: Path, name: str, catalog: Catalog, states_N5: NDArray[np.int64]) -> None:
    """Writes one split, of an epoch, in all formats."""
    captions = next((known for known in catalog.annotations.values() if isinstance(known, Captions)), None)
    for format_name, (length, spoken) in FORMATS.items():
        examples = list(_examples(states_N5, length))
        records = [_record(catalog, example, captions if spoken else None) for example in examples]
        with replaced_file(index / format_name / f"{name}-batches.json", durable=False) as file:
            file.write(json.dumps(records, ensure_ascii=False).encode())
        _write_hdf5(index / format_name / f"{name}-batches.hdf5", records)


def _examples(states_N5: NDArray[np.int64], length: int) -> Iterator[_Example]:
    """All windows of `length` frames, video by video."""
    for row, states_5 in enumerate(states_N5):
        for number in range(WINDOWS[length]):
            yield _Example(row, state_window(states_5, length, number))


def _record(catalog: Catalog, example: _Example, captions: Captions | None) -> dict[str, Any]:
    """An example as others read it."""
    row = example.row
    stored = str(catalog.stored[row])
    frames = example.frames.tolist()
    record = {
        "vid": str(catalog.table["path"].iloc[row]),
        "n_frames": int(catalog.table["frames"].iloc[row]),
        "states": [_place(stored, frame, catalog.format) for frame in frames],
        "frames": frames,
    }
    return record if captions is None else record | {"language": captions.text(row)}


def _place(stored: str, frame: int, format_name: str) -> str:
    """Where a frame is, relative to the dataset: a picture, or the video and the number of the frame."""
    if format_name == "frames":
        from data_utils.formats.frames import frame_file

        return f"{stored}/{frame_file(frame)}"
    return f"{stored}#frame={frame}"


def _write_hdf5(path: Path, records: list[dict[str, Any]]) -> None:
    """The records as datasets, a row for each."""
    import h5py

    text = h5py.string_dtype("utf-8")
    made = io.BytesIO()
    with h5py.File(made, "w") as hdf5:
        for name in records[0]:
            values = [record[name] for record in records]
            kind = text if name in ("vid", "states", "language") else np.int64
            hdf5.create_dataset(name, data=np.array(values, object if kind is text else np.int64), dtype=kind)
    with replaced_file(path, durable=False) as file:
        file.write(made.getbuffer())
