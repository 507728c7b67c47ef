"""The keys of data_config.yaml: which videos, and how they become batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, WrapValidator

from config.augmentation import Augmentation
from config.section import AboveZero, LevelName, Positive, Section

Difficulty = Literal["easy", "hard"]


ClassKind = Literal["single", "parts", "multi"]
"""What a column of classes holds: one class, one per part of the video (`|`), or any number of them (`;`)."""
AnnotationKind = Literal["single", "parts", "multi", "captions", "boxes"]


class LabelColumn(Section):
    """A label column whose kind is said; the column's name alone stands for `kind: null`."""

    column: str = Field(description="name of the column")
    kind: ClassKind | None = Field(default=None, description="what its cells hold; null: single or parts, as they say")


def _name_or_mapping(value: Any, _inner: Any) -> str | LabelColumn:
    """The short form or the long one, so that errors speak of the one that was meant."""
    if isinstance(value, str | LabelColumn):
        return value
    if isinstance(value, Mapping):
        return LabelColumn.model_validate(value)
    raise ValueError(f"expected the name of a column, or {{column: NAME, kind: KIND}}, got {value!r}")


LabelColumns = dict[LevelName, Annotated[str | LabelColumn, WrapValidator(_name_or_mapping)]]


class Dataset(Section):
    """Keys that every dataset has."""

    root: str = Field(description="folder that holds the videos; paths in its catalogs are relative to it")
    labels: LabelColumns | None = Field(
        default=None,
        description="the column that each level is judged by, or {column: NAME, kind: KIND} where cells hold several "
        "classes (`kind: multi`, `;` between); null: what dataset.json says, else `label` for all levels where there "
        "is such a column; {}: no labels, so nothing is scored",
    )
    annotations: dict[str, AnnotationKind] = Field(
        default={},
        description="further columns to read, by name: their kind; `boxes` are read from `<name>.csv` beside the CSV "
        "files of the splits, and so are `captions` that are no column",
    )


class MovingDigits(Dataset):
    """The embedded data, made where it is missing."""

    name: Literal["moving_digits"]
    videos: dict[Literal["train", "val", "test"], Positive] = Field(description="videos per split")
    seed: int = Field(ge=0, description="the whole dataset is a pure function of this, `videos` and `difficulty`")
    difficulty: Difficulty = Field(
        default="easy",
        description="hard: a background as fast and as strong as the digit, a second digit without labels, flickering "
        "light, changing speeds and pauses",
    )

    @property
    def catalog(self) -> None:
        """The CSV files lie in `root`."""


class CatalogDataset(Dataset):
    """Videos on a disk, listed in `train.csv`, `val.csv` and `test.csv`."""

    name: Literal["catalog"]
    catalog: str | None = Field(default=None, description="folder of the CSV files; null: `root`")
    val_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.15,
        description="share of `train.csv` that is drawn for validation where there is no `val.csv`: whole groups where "
        "there is a column `group`, else within each class",
    )
    val_seed: int = Field(default=0, ge=0, description="of that draw, which is the same for all seeds of the run")


AnyDataset = MovingDigits | CatalogDataset


class WindowConfig(Section):
    """Which frames of a video the model sees at once."""

    length: Positive = Field(description="frames of a window")
    sampling: Literal["dense", "uniform", "states"] = Field(
        default="dense",
        description="dense: frames are `frequency` apart, wherever the window begins; uniform: a window spans all of "
        "the video, its frames evenly spread, for short clips that show one thing; `frequency` counts for nothing; "
        "states: of five frames drawn each epoch from the beginning of the video to its end, a window is each one "
        "(`length: 1`), the first with each other (2) or all (5); neither `frequency` nor `max_seq_per_video` counts; "
        "`spread: true` is another spelling of uniform, `spread: false` of dense",
    )
    end_share: Annotated[float, Field(gt=0, le=0.5)] = Field(
        default=0.2,
        description="`sampling: states`: share of the video, at its beginning and at its end, that the initial and the "
        "final state come from",
    )
    frequency: Positive = Field(description="distance of two frames of a window, in frames of the video")
    frequency_fps: AboveZero | None = Field(
        default=None,
        description="frames of a window per second of video, the nearest ones: the same motion per step whatever the "
        "frame rate; it takes the place of `frequency`; null: `frequency` counts",
    )
    step: Positive | None = Field(description="distance of two windows, in frames of the video; null: no overlap")
    max_seq_per_video: Positive = Field(description="windows drawn from a video in one training epoch")
    eval_windows: Positive = Field(description="windows averaged to a video's features, evenly spread")


class DataConfig(Section):
    """`data_config.yaml`: which videos, and how they become batches."""

    dataset: Annotated[AnyDataset, Field(discriminator="name")]
    frame_size: Annotated[list[Positive], Field(min_length=2, max_length=2)] = Field(
        description="height and width of the model's frames, pixels"
    )
    load_size: Annotated[list[Positive], Field(min_length=2, max_length=2)] | None = Field(
        description="height and width at which frames are read, scaled to cover it and cut to its centre; crops are "
        "taken from there and become `frame_size` on the device; null: `frame_size`"
    )
    eval_crop: Literal["centre", "unscaled", "resize", "three"] = Field(
        description="what evaluation, and training where no crop is drawn, sees of a frame of `load_size`: its centre "
        "at the shape of `frame_size`, the `frame_size` in its centre as it is, all of it squeezed into `frame_size`, "
        "or, in evaluation, three crops along the longer side as windows of their own (one where both sizes have the "
        "same shape)"
    )
    video_decoder: Literal["auto", "torchcodec", "pyav", "decord", "opencv"] = Field(
        description="what decodes video files; auto: torchcodec where it loads, else PyAV"
    )
    window: WindowConfig
    short_videos: Literal["skip", "loop", "pad"] = Field(description="what becomes of videos shorter than a window")
    mean: Annotated[list[float], Field(min_length=3, max_length=3)] | None = Field(
        description="per channel, of pixels in [0, 1]; null: the dataset's, from its dataset.json, or ImageNet's"
    )
    std: Annotated[list[AboveZero], Field(min_length=3, max_length=3)] | None = Field(
        description="per channel, of pixels in [0, 1]; null: as for mean"
    )
    augmentation: Augmentation
    weak_augmentation: Augmentation
    max_bad_videos: float = Field(ge=0, le=1, description="share of unreadable videos above which a run ends")
    num_workers: Annotated[int, Field(ge=0)] = Field(description="processes that decode; 0: in the main process")
    eval_memory_mb: Annotated[int, Field(ge=0)] = Field(
        default=500,
        description="evaluation windows of a dataset that are kept in memory once they were read, megabytes; a split "
        "that takes more is read anew at each validation",
    )
    features_memory_mb: Annotated[int, Field(ge=0)] = Field(
        default=2000,
        description="features of a split that are kept in memory, megabytes; what takes more is kept in a file, in the "
        "folder `features` of the run",
    )

    @property
    def read_size(self) -> tuple[int, int]:
        """Height and width at which frames are read."""
        height, width = self.load_size or self.frame_size
        return height, width

    @property
    def pixels(self) -> tuple[list[float], list[float]]:
        """Mean and std per channel, of pixels in [0, 1].

        Raises:
            ValueError: they are the dataset's and not known yet; `data_utils.catalog.dataset_card.completed` fills them
                in.
        """
        if self.mean is None or self.std is None:
            raise ValueError("mean and std are the dataset's: completed(config) first")
        return self.mean, self.std
