"""A linear classifier on frozen features: what they hold in a form that the simplest network can use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from config.section import AboveZero, NonNegative, Positive, Section
from protocols.protocol import Protocol, Score, Subject

if TYPE_CHECKING:
    from protocols.encoded_split import EncodedSplit
    from protocols.predictions import Keep
    from protocols.probes.entries import Entry
    from protocols.probes.material import Material

TITLE = "linear probe"
_LBFGS = ("inverse_penalty", "max_iter")


class LinearProbeSettings(Section):
    """`settings` of an evaluation by `protocol: linear_probe`."""

    solver: Literal["grid", "lbfgs"] = Field(
        default="grid",
        description="grid: a classifier for every lr and weight_decay, trained at once by gradient descent on views; "
        "validation videos choose one; lbfgs: one logistic regression on the means of videos, as earlier versions had "
        "it (also without this key where inverse_penalty or max_iter is given)",
    )
    lr: Annotated[list[AboveZero], Field(min_length=1)] = Field(
        default=[0.01, 0.03, 0.1, 0.3, 1.0],
        description="grid: learning rates; each falls to 0 along half a cosine",
    )
    weight_decay: Annotated[list[NonNegative], Field(min_length=1)] = Field(
        default=[0.0, 0.001, 0.01], description="grid: weight decays, each of which is tried with every lr"
    )
    epochs: Positive | None = Field(
        default=None,
        description="grid: passes over the views of the training videos; null: 10, or as many as make 400 steps where "
        "videos are few",
    )
    batch_size: Positive = Field(default=64, description="grid: views of a step; with augment, it is that of the run")
    batchnorm: bool = Field(
        default=True,
        description="grid: features have mean 0 and deviation 1 over the training videos, as after a BatchNorm without "
        "parameters; false: as the encoder gives them",
    )
    augment: bool = Field(
        default=False, description="grid: training windows are drawn, augmented and encoded anew in every epoch"
    )
    memory_mb: Positive = Field(
        default=4000,
        description="grid: what training may take on the device; where it would take more, features are read in pools "
        "and the classifiers are trained in rounds",
    )
    inverse_penalty: AboveZero = Field(
        default=0.1, description="lbfgs: C of the logistic regression: the smaller, the stronger its L2 penalty"
    )
    max_iter: Positive = Field(default=300, description="lbfgs: iterations at most")

    @model_validator(mode="before")
    @classmethod
    def _solver_of_earlier_versions(cls, values: Any) -> Any:
        """A config that says something of the logistic regression and names no solver is of an earlier version."""
        if isinstance(values, dict) and "solver" not in values and any(key in values for key in _LBFGS):
            return {"solver": "lbfgs", **values}
        return values

    @model_validator(mode="after")
    def _keys_fit_the_solver(self) -> LinearProbeSettings:
        """ValueError where a key of the solver that is not used has another value than its default."""
        for key, field in type(self).model_fields.items():
            its_solver = "lbfgs" if key in _LBFGS else "grid"
            if key != "solver" and its_solver != self.solver and getattr(self, key) != field.default:
                raise ValueError(f"solver: {self.solver} does not use {key}; leave it out, or use solver: {its_solver}")
        return self

    def entries(self) -> list[Entry]:
        """Every learning rate with every weight decay."""
        from protocols.probes.entries import grid

        return grid(self.lr, self.weight_decay)

    def middle(self) -> Entry:
        """The entry that is taken where nothing can choose."""
        from protocols.probes.entries import middle

        return middle(self.lr, self.weight_decay)


class LinearProbe(Protocol[LinearProbeSettings]):
    """Accuracy (or mean average precision) of linear classifiers on frozen features, in percent."""

    Settings = LinearProbeSettings
    title = TITLE
    heading = "Linear probe"
    note = "A linear classifier trained on the frozen features of the training videos."
    scores_multi = True
    has_pixel_floor = True

    def score(self, subject: Subject) -> list[Score]:
        """See `Protocol.score`."""
        from protocols.probes.material import material_of

        material = material_of(subject, may_choose=self.settings.solver == "grid" and len(self.settings.entries()) > 1)
        if not self.settings.augment:
            return _scores(material, subject.labels, self.settings, subject.keep)

        from protocols.probes.augmented import AugmentedLinearProbing
        from protocols.probes.scoring import probed

        probe = AugmentedLinearProbing(subject.data, TITLE, material, self.settings)
        return probed(probe, subject.labels, self.settings.entries(), self.settings.middle(), subject.keep)


def probe_scores(
    train: EncodedSplit,
    asked: EncodedSplit,
    labels: Mapping[str, Sequence[str]],
    settings: LinearProbeSettings,
    val: EncodedSplit | None = None,
) -> list[Score]:
    """The scores of a split by level and label set, on the CPU.

    Args:
        train: what is learned from.
        asked: what is scored.
        labels: by level, the label sets.
        settings: without `augment`, which needs an encoder.
        val: chooses; None: some of the training videos do.
    """
    import torch

    from protocols.probes.material import Material

    splits = {"train": train, "asked": asked} | ({} if val is None else {"val": val})
    return _scores(Material(splits, "asked", torch.device("cpu"), seed=0), labels, settings, lambda _: None)


def _scores(
    material: Material, labels: Mapping[str, Sequence[str]], settings: LinearProbeSettings, keep: Keep
) -> list[Score]:
    if settings.solver == "lbfgs":
        from protocols.probes.logistic import logistic_scores

        return logistic_scores(material, labels, settings, keep)

    from protocols.probes.linear import LinearProbing
    from protocols.probes.scoring import probed

    return probed(LinearProbing(TITLE, material, settings), labels, settings.entries(), settings.middle(), keep)
