"""The keys of `task: r3m`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from config.hints import refuse
from config.section import NonNegative, Positive
from tasks.language_settings import TextSettings, check_captions
from tasks.settings import TaskSettings

if TYPE_CHECKING:
    from torch import nn

    from architecture.joint_transformer import JointTransformer
    from config.schema import Config
    from data_utils.catalog.catalog import Catalog
    from tasks.task import Task

FRAMES = 5
_ENCODERS = ("joint", "resnet50")


class R3MSettings(TaskSettings):
    """Time contrast and a reward by language on five frames of a video (Nair et al., 2022, arXiv 2203.12601)."""

    takes_any_encoder: ClassVar[bool] = True

    time_weight: NonNegative = Field(default=1.0, description="weight of the contrast of frames near and far in time")
    reward_weight: NonNegative = Field(
        default=1.0, description="weight of the contrast of progress towards what the caption says"
    )
    l1: NonNegative = Field(default=1e-5, description="weight of the features' L1 norm")
    l2: NonNegative = Field(default=1e-5, description="weight of the features' L2 norm")
    negatives: Positive = Field(default=3, description="frames of other videos of the batch that each contrast has")
    hidden_dim: Positive = Field(default=1024, description="width of the four hidden layers of the reward")
    augment: bool = Field(default=False, description="whether windows are augmented, by `augmentation`")
    text: TextSettings = Field(default_factory=TextSettings, validate_default=True)

    def check(self, config: Config) -> None:
        """See `TaskSettings.check`."""
        if config.encoder not in _ENCODERS:
            refuse(
                config,
                "encoder and task disagree: r3m embeds frames one by one, by a joint transformer or a ResNet-50, not "
                f"by {config.encoder}",
                {"encoder": "resnet50"},
                {"encoder": "joint", "joint.tubelet": 1},
                {"encoder": "resnet50", "window.length": FRAMES},
            )
        if config.window.length != FRAMES:
            refuse(
                config,
                f"window.length and task disagree: r3m compares {FRAMES} frames of a video, not {config.window.length}",
                {"window.length": FRAMES},
            )
        if config.joint is not None and config.joint.tubelet != 1:
            refuse(
                config,
                "joint.tubelet and task disagree: r3m embeds single frames, so a tubelet has one",
                {"joint.tubelet": 1},
            )

    def check_start(self, config: Config) -> None:
        """See `TaskSettings.check_start`."""
        check_captions(config, self.text)

    def around(self, network: JointTransformer, config: Config) -> nn.Module:
        """See `TaskSettings.around`."""
        from architecture.frame_encoder import FrameEncoder

        return FrameEncoder(network, network.dim)

    def build(self, config: Config, train: Catalog) -> Task:
        """See `TaskSettings.build`."""
        from tasks.r3m import R3MTask

        return R3MTask(config, train)
