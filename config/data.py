"""The keys of data_config.yaml: which videos, and how they become batches."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.augmentation import Augmentation
from config.section import AboveZero, LevelName, Positive, Section

Difficulty = Literal["easy", "hard"]


class MovingDigits(Section):
    """The embedded data, made where it is missing."""

    name: Literal["moving_digits"]
    root: str = Field(description="folder that holds the videos")
    videos: dict[Literal["train", "val", "test"], Positive] = Field(description="videos per split")
    seed: int = Field(ge=0, description="the whole dataset is a pure function of this, `videos` and `difficulty`")
    difficulty: Difficulty = Field(
        default="easy",
        description="hard: a background as fast and as strong as the digit, a second digit without labels, flickering "
        "light, changing speeds and pauses",
    )


class CatalogDataset(Section):
    """Videos on a disk, listed in `train.csv`, `val.csv` and `test.csv`."""

    name: Literal["catalog"]
    root: str = Field(description="folder that the catalogs' paths are relative to")
    catalog: str | None = Field(default=None, description="folder of the CSV files; null: `root`")
    labels: dict[LevelName, str] | None = Field(
        default=None, description="the column that each level is judged by; null: `label` for all"
    )


class WindowConfig(Section):
    """Which frames of a video the model sees at once."""

    length: Positive = Field(description="frames of a window")
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

    dataset: Annotated[MovingDigits | CatalogDataset, Field(discriminator="name")]
    frame_size: Annotated[list[Positive], Field(min_length=2, max_length=2)] = Field(
        description="height and width of the model's frames, pixels"
    )
    load_size: Annotated[list[Positive], Field(min_length=2, max_length=2)] | None = Field(
        description="height and width at which frames are read, scaled to cover it and cut to its centre; crops are "
        "taken from there and become `frame_size` on the device; null: `frame_size`"
    )
    eval_crop: Literal["centre", "resize", "three"] = Field(
        description="what evaluation, and training where no crop is drawn, sees of a frame of `load_size`: its centre "
        "at the shape of `frame_size`, all of it squeezed into `frame_size`, or, in evaluation, three crops along the "
        "longer side as windows of their own (one where both sizes have the same shape)"
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
