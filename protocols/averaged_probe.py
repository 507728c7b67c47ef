"""A linear classifier on an encoder whose weights are a mixture of those of several: do their strengths add up?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from config.places import place
from config.section import AboveZero
from protocols.finetune import LearningSettings
from protocols.protocol import Protocol, Score, Subject

if TYPE_CHECKING:
    from config.schema import Config


class AveragedProbeSettings(LearningSettings):
    """`settings` of an evaluation by `protocol: averaged_probe`."""

    others: Annotated[list[str], Field(min_length=1)] = Field(
        description="runs, or files encoder.safetensors, of the same network, whose weights are mixed with those of the"
        " encoder that is scored"
    )
    mixture: Literal["equal", "model", "layer"] = Field(
        default="model",
        description="the share of each encoder in the weights: equal and fixed, learned for each model, or learned for "
        "each layer and model",
    )
    lr: AboveZero = Field(default=1e-2, description="learning rate of the classifier, of AdamW, after the warm-up")
    mixture_lr: AboveZero = Field(default=1e-1, description="the same of the shares, which are a softmax of numbers")

    @property
    def rates(self) -> tuple[float, float]:
        """See `LearningSettings.rates`."""
        return self.mixture_lr, self.lr


class AveragedProbe(Protocol[AveragedProbeSettings]):
    """Accuracy of a linear classifier on frozen encoders whose weights are averaged, in percent."""

    Settings = AveragedProbeSettings
    title = "averaged probe"
    heading = "Probe of averaged encoders"
    note = "A linear classifier on an encoder whose weights are a mixture of those of several frozen ones."
    scores_multi: ClassVar[bool] = True
    last_level_alone: ClassVar[bool] = True
    has_random_floor: ClassVar[bool] = False

    def check(self, config: Config) -> None:
        """See `Protocol.check`."""
        del config
        for other in self.settings.others:
            if not place(other, "settings.others").exists():
                raise ValueError(f"settings.others: {other} does not exist; give runs or files of encoders")

    def score(self, subject: Subject) -> list[Score]:
        """See `Protocol.score`."""
        from protocols.finetuning.averaging import averaged_scores

        scores: list[Score] = []
        for level, names in subject.labels.items():
            for name in names:
                scores += averaged_scores(subject, level, name, self.settings)
        return scores
