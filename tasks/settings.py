"""The contract of a task's section in a config: which encoders it takes, its own checks, how it is built."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from config.section import Section

if TYPE_CHECKING:
    from torch import nn

    from architecture.joint_transformer import JointTransformer
    from config.schema import Config
    from data_utils.catalog.catalog import Catalog
    from tasks.task import Task


class TaskSettings(Section, ABC):
    """The section of one task. Reading a config imports it, so it imports nothing heavy until `build`."""

    trains_levels: ClassVar[bool] = False
    """Whether every level is a parameter group of its own, so that levels can take turns."""
    predicts_next_token: ClassVar[bool] = False
    """Whether causal levels learn by predicting the next token, so that the last state of a unit may learn nothing."""
    takes_any_encoder: ClassVar[bool] = False
    """Whether an encoder without levels will do."""
    learns_classes: ClassVar[bool] = False
    """Whether it trains a classifier of its own, which needs labels."""

    @property
    def copies(self) -> int:
        """Clips that a step makes of each window; more than 1 where copies of it are trained on as windows are."""
        return 1

    @abstractmethod
    def build(self, config: Config, train: Catalog) -> Task:
        """The task with its initial weights, on the CPU.

        Args:
            config: the whole config.
            train: the training catalog, for tasks that train on labels.

        Raises:
            InputError: `encoder_checkpoint` cannot be read, or is not of this encoder.
        """

    def check_start(self, config: Config) -> None:
        """Looks whether what the task needs beside the data is there, before anything that takes long.

        Raises:
            InputError: it is not.
        """
        del config

    def around(self, network: JointTransformer, config: Config) -> nn.Module:
        """The network that is trained and evaluated, where the task puts something around a joint transformer.

        Args:
            network: the joint transformer that the config describes.
            config: the whole config.
        """
        del config
        return network

    def check(self, config: Config) -> None:
        """Refuses values of the section that cannot work together, or with the rest of `config`.

        Raises:
            ValueError: in the user's words; see `config.hints.refuse`.
        """
        del config
