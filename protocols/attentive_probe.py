"""An attentive classifier on the tokens of a frozen encoder: how frozen video models are judged today."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.section import AboveZero, NonNegative, Positive, Section
from protocols.protocol import Protocol, Score, Subject


class AttentiveProbeSettings(Section):
    """`settings` of an evaluation by `protocol: attentive_probe`."""

    tokens: Literal["tokens", "units"] = Field(
        default="tokens",
        description="what it looks at: the tokens inside all units of the level, or one vector per unit",
    )
    lr: Annotated[list[AboveZero], Field(min_length=1)] = Field(
        default=[0.0003, 0.001, 0.003],
        description="learning rates of AdamW: a classifier for each, trained at once; validation videos choose one",
    )
    weight_decay: Annotated[list[NonNegative], Field(min_length=1)] = Field(
        default=[0.01], description="weight decays, each of which is tried with every lr"
    )
    epochs: Positive = Field(default=20, description="passes over the views of the training videos")
    batch_size: Positive = Field(
        default=64, description="views of a step; that of the run where tokens must be encoded anew in every epoch"
    )
    heads: Positive = Field(default=8, description="heads of the cross-attention")
    queries: Positive = Field(default=1, description="learned queries; what they find is put side by side")
    mlp_ratio: NonNegative = Field(
        default=4.0, description="hidden width of the MLP behind the attention, as a multiple of the level's; 0: no MLP"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="of what the linear classifier sees, in training"
    )
    memory_mb: Positive = Field(
        default=4000,
        description="what training may take on the device; where it would take more, the classifiers are trained in "
        "rounds",
    )


class AttentiveProbe(Protocol[AttentiveProbeSettings]):
    """Accuracy (or mean average precision) of attentive classifiers on frozen tokens, in percent."""

    Settings = AttentiveProbeSettings
    title = "attentive probe"
    heading = "Attentive probe"
    note = "A learned query looks at the frozen tokens of the training videos; a linear classifier follows."
    scores_multi = True

    def score(self, subject: Subject) -> list[Score]:
        """See `Protocol.score`."""
        from protocols.probes.attentive import AttentiveProbing
        from protocols.probes.entries import grid, middle
        from protocols.probes.material import material_of
        from protocols.probes.scoring import probed

        settings = self.settings
        entries = grid(settings.lr, settings.weight_decay)
        material = material_of(subject, may_choose=len(entries) > 1)
        probe = AttentiveProbing(subject.data, self.title, material, settings)
        return probed(probe, subject.labels, entries, middle(settings.lr, settings.weight_decay), subject.keep)
