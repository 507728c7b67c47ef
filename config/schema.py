"""Every key of a config, its type and its meaning; and which values cannot work together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LevelName = Literal["space", "time", "clip"]
Direction = Literal["up", "down", "side"]
Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A mapping of the config: unknown keys are errors, YAML types are used as they are, values stay fixed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


# --------------------------------------------------------------------------------------------- architecture


class LevelConfig(Section):
    """The numbers of one level."""

    dim: Positive = Field(description="width of the level's tokens and summaries")
    layers: Positive = Field(description="number of transformer blocks")
    heads: Positive = Field(description="attention heads")
    head_dim: Positive = Field(description="width of one attention head")
    mlp_dim: Positive = Field(description="hidden width of the block's MLP")
    dropout: float = Field(ge=0, lt=1, description="dropout after attention and MLP")
    pred_h_dim: Positive = Field(description="hidden width of the level's predictors")


class ArchConfig(Section):
    """`arch_config.yaml`: the model."""

    groups: list[LevelName] = Field(description="the levels, lowest first: [space, time] or [space, time, clip]")
    patch_size: Positive = Field(description="side of a square patch, pixels")
    frames_per_clip: Positive = Field(description="frames that `time` joins into one clip")
    position_embedding: Literal["learned", "sincos"] = Field(description="positions inside a unit")
    weight_init: Literal["torch", "lecun"] = Field(
        description="initial weights of linear layers: torch's own, which let the summaries of a video's units differ "
        "by a hundredth of their length, or LeCun's, which keep the variance"
    )
    architecture_space: LevelConfig
    architecture_time: LevelConfig
    architecture_clip: LevelConfig

    def level(self, name: str) -> LevelConfig:
        """The numbers of level `name`."""
        section: LevelConfig = getattr(self, f"architecture_{name}")
        return section


# ------------------------------------------------------------------------------------------------------ data


class MovingDigits(Section):
    """The embedded data, made where it is missing."""

    name: Literal["moving_digits"]
    root: str = Field(description="folder that holds the videos")
    videos: dict[Literal["train", "val", "test"], Positive] = Field(description="videos per split")
    seed: int = Field(ge=0, description="the whole dataset is a pure function of this and `videos`")


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
    step: Positive | None = Field(description="distance of two windows, in frames; null: windows do not overlap")
    max_seq_per_video: Positive = Field(description="windows drawn from a video in one training epoch")
    eval_windows: Positive = Field(description="windows averaged to a video's features, evenly spread")


class DataConfig(Section):
    """`data_config.yaml`: which videos, and how they become batches."""

    dataset: Annotated[MovingDigits | CatalogDataset, Field(discriminator="name")]
    frame_size: Annotated[list[Positive], Field(min_length=2, max_length=2)] = Field(
        description="height and width of the model's frames, pixels"
    )
    window: WindowConfig
    short_videos: Literal["skip", "loop", "pad"] = Field(description="what becomes of videos shorter than a window")
    mean: Annotated[list[float], Field(min_length=3, max_length=3)] = Field(
        description="per channel, of pixels in [0, 1]"
    )
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)] = Field(
        description="per channel, of pixels in [0, 1]"
    )
    max_bad_videos: float = Field(ge=0, le=1, description="share of unreadable videos above which a run ends")
    num_workers: Annotated[int, Field(ge=0)] = Field(description="processes that decode; 0: in the main process")


# -------------------------------------------------------------------------------------------------- training


class Weights(Section):
    """How much each direction counts in a level's loss; 0 switches it off."""

    up: NonNegative = Field(default=0.0, description="predict the larger unit; ignored at the last level")
    down: NonNegative = Field(default=0.0, description="predict the units inside, given where")
    side: NonNegative = Field(
        default=0.0, description="predict the level's other units, given how far; ignored where there is only one"
    )


class VICReg(Section):
    """VICReg's variance and covariance terms on the projected summaries."""

    name: Literal["vicreg"]
    variance: NonNegative = Field(description="weight of the variance term")
    covariance: NonNegative = Field(description="weight of the covariance term")
    proj_dim: Positive = Field(description="width of the BatchNorm projector")
    min_vectors: Positive = Field(description="vectors per statistic; a smaller batch is filled up with recent ones")


class SIGReg(Section):
    """SIGReg: random projections of the projected summaries are pulled to N(0, 1)."""

    name: Literal["sigreg"]
    weight: NonNegative = Field(description="weight of the statistic")
    num_slices: Annotated[int, Field(ge=256)] = Field(description="random directions, redrawn every step")
    proj_dim: Positive = Field(description="width of the BatchNorm projector")
    min_vectors: Positive = Field(description="vectors per statistic; a smaller batch is filled up with recent ones")


class NoRegularizer(Section):
    """No guard against collapse."""

    name: Literal["none"]


class AdamW(Section):
    """torch.optim.AdamW; norms, biases, positions and tokens get no decay."""

    name: Literal["adamw"]
    lr: float = Field(gt=0, description="learning rate after the warm-up")
    weight_decay: NonNegative = Field(description="of the matrices of linear layers")
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)] = Field(
        description="decay of the running means of gradient and squared gradient"
    )


class Cosine(Section):
    """Linear warm-up, then half a cosine, per optimizer step."""

    name: Literal["cosine"]
    warmup: float = Field(ge=0, lt=1, description="share of all steps")
    final_lr: float = Field(ge=0, le=1, description="last learning rate as a share of `lr`")


class TrainConfig(Section):
    """`train_config.yaml`: the task, its losses, and the loop."""

    task: Literal["hierarchical", "supervised"] = Field(
        description="`supervised` trains the same encoder end to end with the last level's labels: the control"
    )
    model_name: str | None = Field(description="name of the run folder; null: the config file's name")
    save_path: str = Field(description="folder that holds the run folders")
    resume: bool = Field(description="continue an existing run from its last.pt")
    seed: int = Field(ge=0, description="initial weights, windows and their order are functions of it")

    isolation: Literal["strict", "end2end"] = Field(description="how gradient may cross levels")
    loss_fn: Literal["mse"] = Field(description="prediction loss")
    loss_weights: dict[LevelName, Weights] = Field(description="weights per level and direction")
    down_target: Literal["pixels", "stem"] = Field(description="target of the lowest `down`: the patch or its token")
    regularizer: Annotated[VICReg | SIGReg | NoRegularizer, Field(discriminator="name")]

    num_epochs: Positive = Field(description="passes over the training videos")
    batch_size: Positive = Field(description="windows of a step")
    optimizer: AdamW
    lr_scale: dict[LevelName, Annotated[float, Field(gt=0)]] = Field(
        description="a level's learning rate as a share of `optimizer.lr`; a level without one takes it whole"
    )
    scheduler: Cosine
    clip_grad_norm: float | None = Field(gt=0, description="per level; null: no clipping")
    use_mixed_precision: bool = Field(description="bf16 autocast where the device has it")

    val_interval: Positive = Field(description="epochs between validations")
    knn_k: Positive = Field(description="neighbours (fewer when the bank is smaller)")
    knn_bank: Positive = Field(description="training videos that validation compares with; the final test takes all")
    knn_temperature: float = Field(gt=0, description="a neighbour of cosine s votes with exp(s / temperature)")
    figure_videos: Positive = Field(description="videos drawn in t-SNE and UMAP")
    log_interval: Positive = Field(description="steps between lines of metrics.jsonl")


class Config(ArchConfig, DataConfig, TrainConfig):
    """The whole, merged config. Raises ValueError where two values cannot work together."""

    @model_validator(mode="after")
    def _values_fit_together(self) -> Config:
        if self.groups not in (["space", "time"], ["space", "time", "clip"]):
            given = ", ".join(self.groups)
            raise ValueError(f"groups: [{given}] is no hierarchy; use [space, time] or [space, time, clip]")
        for axis, size in zip(("height", "width"), self.frame_size, strict=True):
            if size % self.patch_size:
                raise ValueError(
                    f"frame_size and patch_size disagree: {axis} {size} is not divisible by {self.patch_size}; "
                    f"{nearest_multiples(size, self.patch_size)} would fit"
                )
        if self.window.length % self.frames_per_clip:
            raise ValueError(
                f"window.length and frames_per_clip disagree: {self.window.length} frames cannot be cut into clips of "
                f"{self.frames_per_clip}; window.length {nearest_multiples(self.window.length, self.frames_per_clip)} "
                "would fit"
            )
        if "clip" not in self.groups and self.clips != 1:
            raise ValueError(
                f"groups and window.length disagree: without the level `clip` a window is one clip, but {self.clips} "
                f"clips of {self.frames_per_clip} frames fit into {self.window.length}; frames_per_clip="
                f"{self.window.length} would fit, or groups=[space,time,clip]"
            )
        return self

    @property
    def clips(self) -> int:
        """Clips of a window."""
        return self.window.length // self.frames_per_clip

    def units(self, level: str) -> int:
        """Units of `level` in a window."""
        return {"space": self.window.length, "time": self.clips, "clip": 1}[level]


def nearest_multiples(value: int, divisor: int) -> str:
    """The multiples of `divisor` around `value`, in words."""
    below = value // divisor * divisor
    return f"{below} or {below + divisor}" if below else str(divisor)
