"""Fine-tuning: the whole encoder is trained on labels, which says what it is worth as a beginning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from config.section import AboveZero, LevelName, NonNegative, Positive, Section, ShareAboveZero
from protocols.protocol import Protocol, Score, Subject

if TYPE_CHECKING:
    from config.schema import Config

WITHOUT_BLOCKS = ("s3d", "r2plus1d_18", "resnet50")  # encoders with nothing that drop path could skip
_BelowOne = Annotated[float, Field(ge=0, lt=1)]


class LearningSettings(Section, ABC):
    """How labels are learned on top of an encoder, from the windows of training videos."""

    epochs: Positive = Field(default=30, description="passes over the training videos that have a label")
    batch_size: Positive | None = Field(
        default=None,
        description="windows of a step; null: the run's `batch_size`, or a quarter of the training windows where that "
        "is less, so that an epoch has four steps",
    )
    weight_decay: NonNegative = Field(
        default=0.05, description="of the matrices of linear layers and convolutions; norms, biases, positions: none"
    )
    warmup: _BelowOne = Field(default=0.1, description="share of all steps that a linear warm-up takes")
    clip_grad: AboveZero | None = Field(default=1.0, description="largest norm of the gradient; null: no clipping")
    label_smoothing: _BelowOne = Field(default=0.1, description="share of a label that is spread over all classes")
    mixup: NonNegative = Field(default=0.0, description="alpha of mixup, 0.8 in MAE; 0: none")
    cutmix: NonNegative = Field(
        default=0.0, description="alpha of cutmix, 1 in MAE; 0: none; with both, every batch gets one of them"
    )
    augment: Literal["strong", "weak", "none"] = Field(
        default="strong", description="how windows are augmented: by `augmentation`, `weak_augmentation`, or not"
    )
    few_shot: Positive | None = Field(
        default=None, description="training videos of each class, drawn by the seed; null: all"
    )
    choose: Literal["best", "last"] = Field(
        default="best",
        description="the epoch that is tested: the best one on validation videos, or the last; the last one, too, "
        "where validation videos are what is scored, or fewer than 10 of them have a label",
    )
    validations: Positive = Field(
        default=10, description="times that `choose: best` looks at validation videos, evenly spread, the end included"
    )
    average: Literal["probabilities", "logits"] = Field(
        default="probabilities",
        description="what is averaged over the views of a video: the windows of `window.eval_windows`, each with the "
        "crops of `eval_crop`",
    )

    @property
    @abstractmethod
    def rates(self) -> tuple[float, float]:
        """The highest learning rates of what is trained of the encoder, and of the classifier."""


class FinetuneSettings(LearningSettings):
    """`settings` of an evaluation by `protocol: finetune`."""

    lr: AboveZero = Field(default=1e-3, description="learning rate of AdamW after the warm-up, then half a cosine to 0")
    head_lr: AboveZero | None = Field(default=None, description="the same of the classifier; null: `lr`")
    layer_decay: ShareAboveZero = Field(
        default=0.75,
        description="learning rate of a layer as a share of that of the layer above it; the last norm and the "
        "classifier, above all layers, have it whole; 1: all layers have it whole",
    )
    drop_path: _BelowOne | None = Field(
        default=None,
        description="chance to skip the last block of a unit, growing linearly from the first block of the lowest "
        "level; null: as the encoder was trained",
    )
    freeze: list[LevelName] = Field(
        default=[], description="levels that are not trained; the stem belongs to the lowest level"
    )

    @property
    def rates(self) -> tuple[float, float]:
        """See `LearningSettings.rates`."""
        return self.lr, self.lr if self.head_lr is None else self.head_lr


class Finetune(Protocol[FinetuneSettings]):
    """Accuracy of a copy of the encoder that was trained on labels as a whole, in percent."""

    Settings = FinetuneSettings
    title = "fine-tuned"
    heading = "Fine-tuning"
    note = "The whole encoder, trained on the labels of the training videos; random init is trained in the same way."
    scores_multi: ClassVar[bool] = True
    last_level_alone: ClassVar[bool] = True

    def check(self, config: Config) -> None:
        """See `Protocol.check`."""
        unknown = [level for level in self.settings.freeze if level not in config.levels]
        if unknown:
            raise ValueError(f"settings.freeze: there is no {unknown[0]}; the encoder has {', '.join(config.levels)}")
        if self.settings.drop_path and config.encoder in WITHOUT_BLOCKS:
            raise ValueError(
                f"settings.drop_path and encoder disagree: {config.encoder} has no blocks that could be skipped; "
                "drop_path: null would fit"
            )

    def score(self, subject: Subject) -> list[Score]:
        """See `Protocol.score`; every level and label set is a fine-tuning of its own."""
        from protocols.finetuning.training import fine_tuned

        scores: list[Score] = []
        for level, names in subject.labels.items():
            for name in names:
                scores += fine_tuned(subject, level, name, self.settings)
        return scores
