"""The keys of `task: masked`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from architecture.geometry import Grid3, MaskKind, masked_count, masked_things, tubelet_grid
from config.hints import refuse
from config.section import Positive
from tasks.joint_settings import DecoderSettings
from tasks.settings import TaskSettings

if TYPE_CHECKING:
    from config.schema import Config
    from data_utils.catalog.catalog import Catalog
    from tasks.task import Task

_OF_FRAMES = ("random", "tube")  # leave every frame the same number of patches


class MaskedSettings(TaskSettings):
    """A masked autoencoder: hidden patches are predicted from those that are shown (He et al., 2022, arXiv 2111.06377).

    For an image R-MVP's, for a window of frames that of OmniMAE (Girdhar et al., 2023, arXiv 2206.08356).
    """

    takes_any_encoder: ClassVar[bool] = True

    mask: MaskKind = Field(
        default="random",
        description="what is hidden: any tubelets (random), the same places of all frames (tube), whole times (frame), "
        "or the last times (causal); of a hierarchy, random hides as many patches of every frame",
    )
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="share of tubelets (random), of places (tube) or of times (frame, causal) that is hidden, rounded "
        "down"
    )
    repeats: Positive = Field(
        default=1,
        description="copies of each window in a step, each with its own draw of the augmentation and its own mask; an "
        "epoch still reads every window once, and a step has `batch_size` x `repeats` clips",
    )
    augment: bool = Field(default=True, description="whether windows are augmented, by `augmentation`")
    normalise: Literal["patch", "patch_channel"] = Field(
        default="patch",
        description="what of the pixels has mean 0 and variance 1 as a target: a tubelet (patch, MAE) or every channel "
        "of it (patch_channel, VideoMAE and OmniMAE)",
    )
    undo_normalisation: bool = Field(
        default=False, description="targets are made of pixels in [0, 1] instead of those that `mean` and `std` scale"
    )
    isolation: Literal["strict", "overlap", "end2end"] = Field(
        default="strict",
        description="of a hierarchy: how gradient crosses levels, each of which has a decoder of its own; strict: not",
    )
    decoder: DecoderSettings

    @property
    def copies(self) -> int:
        """See `TaskSettings.copies`."""
        return self.repeats

    def grid(self, config: Config) -> Grid3:
        """Times, rows and columns of what is hidden: of a window, or for a hierarchy of a frame."""
        if config.joint is not None:
            numbers = config.joint
            return tubelet_grid(config.window.length, config.frame_size, numbers.tubelet, numbers.patch_size)
        return (1, *config.geometry.grid)

    def check(self, config: Config) -> None:
        """See `TaskSettings.check`."""
        if config.encoder not in ("joint", "hierarchical"):
            refuse(
                config,
                f"encoder and task disagree: {config.encoder} has no patches that {config.task} could hide",
                {"encoder": "hierarchical"},
                {"encoder": "joint"},
            )
        if self.decoder.dim % self.decoder.heads:
            refuse(
                config,
                f"{config.task}.decoder: {self.decoder.heads} heads cannot share a width of {self.decoder.dim}",
                *({f"{config.task}.decoder.heads": heads} for heads in (4, 2, 1)),
            )
        if config.encoder == "hierarchical":
            self._check_hierarchy(config)
        number = masked_things(self.mask, self.grid(config))
        hidden = masked_count(number, self.mask_ratio)
        if not 0 < hidden < number:
            things = {"random": "tubelets", "tube": "places"}.get(self.mask, "times")
            refuse(
                config,
                f"{config.task}.mask and {config.task}.mask_ratio disagree: of {number} {things}, {self.mask_ratio:g} "
                f"is {hidden}, and some must be hidden, and some shown",
                *({f"{config.task}.mask_ratio": ratio} for ratio in (0.75, 0.5)),
                {f"{config.task}.mask": "random"},
            )

    def _check_hierarchy(self, config: Config) -> None:
        """Raises ValueError for what a hierarchy's frames, of which each is encoded by itself, cannot have."""
        assert config.hierarchy is not None
        if self.mask not in _OF_FRAMES:
            refuse(
                config,
                f"masked.mask and encoder disagree: {self.mask} hides whole frames, and a hierarchy makes a summary of "
                "every frame",
                *({"masked.mask": kind} for kind in _OF_FRAMES),
                {"encoder": "joint"},
            )
        if config.hierarchy.stem != "linear":
            refuse(
                config,
                "hierarchy.stem and task disagree: the patches of a cnn stem have seen the pixels of their neighbours, "
                "hidden ones too",
                {"hierarchy.stem": "linear", "hierarchy.temporal_stem": False},
                {"encoder": "joint"},
            )
        if "backbone" in config.groups and self.isolation != "end2end":
            refuse(
                config,
                "groups and masked.isolation disagree: with `backbone`, the stem is a level of its own, and no loss of "
                "this task would train it",
                {"masked.isolation": "end2end"},
                {"groups": [level for level in config.groups if level != "backbone"]},
            )

    def build(self, config: Config, train: Catalog) -> Task:
        """See `TaskSettings.build`."""
        if config.encoder == "joint":
            from tasks.masked import MaskedTask

            return MaskedTask(config)
        from tasks.masked_hierarchy import MaskedHierarchyTask

        return MaskedHierarchyTask(config)
