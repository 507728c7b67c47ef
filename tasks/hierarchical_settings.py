"""The keys of `task: hierarchical`, and which of their values cannot work together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from config.hints import refuse
from config.section import AboveZero, LevelName, NonNegative, Section, Share
from tasks.prediction_losses import AnyLoss
from tasks.regularizers import AnyRegularizer
from tasks.settings import TaskSettings

if TYPE_CHECKING:
    from config.schema import Config
    from data_utils.catalog.catalog import Catalog
    from tasks.task import Task

Direction = Literal["up", "down", "side"]
Strength = Literal["none", "weak", "strong"]


class Weights(Section):
    """How much each direction counts in a level's loss; 0 switches it off."""

    up: NonNegative = Field(default=0.0, description="predict the larger unit; ignored at the last level")
    down: NonNegative = Field(default=0.0, description="predict the units inside, given where")
    side: NonNegative = Field(
        default=0.0, description="predict the level's other units, given how far; ignored where there is only one"
    )
    invariance: NonNegative = Field(
        default=0.0,
        description="be the same in both `views` of the level: the squared distance of the two views of a unit, seen "
        "through the regulariser's projector",
    )


class EMA(Section):
    """The teacher of `targets: ema`: a running mean of the model's weights (BYOL, Grill et al., 2020)."""

    momentum: Share = Field(description="share of the teacher that a step keeps, at the start")
    final_momentum: Share = Field(description="the same at the end; half a cosine between them")


class HierarchicalSettings(TaskSettings):
    """Every level trained as its own network, by predicting up, down and sideways."""

    trains_levels: ClassVar[bool] = True
    predicts_next_token: ClassVar[bool] = True

    isolation: Literal["strict", "overlap", "end2end"] = Field(
        description="how gradient may cross levels: not at all, from the level directly above, or from all above"
    )
    use_temporal_prediction: bool = Field(
        description="`side` at all; without it, `down` predicts units of the whole window, not only those inside"
    )
    loss: AnyLoss = Field(description="prediction loss")
    loss_weights: dict[LevelName, Weights] = Field(description="weights per level and direction")
    interpolate_loss_weights_to_uniformity: bool = Field(
        description="weights above 0 move in a straight line to 1 over the training"
    )
    down_target: Literal["pixels", "stem"] = Field(
        description="what `space` predicts downwards: the pixels of a patch, or its token"
    )
    down_targets: Literal["all", "sampled"] = Field(
        description="predict all units below, or one that is drawn; a causal level predicts the next one either way"
    )
    positions: Literal["per_sample", "per_batch"] = Field(
        description="whether drawn targets differ between the windows of a batch"
    )
    std_divisor: AboveZero = Field(
        description="`side` draws its target at time p of n from a truncated normal around p of standard deviation "
        "max(p, n - p) / std_divisor"
    )
    views: dict[LevelName, Annotated[list[Strength], Field(min_length=1, max_length=2)]] = Field(
        description="the looks at a window that a level learns from, one or two: as it is (`none`), or with what is "
        "drawn from `weak_augmentation` or `augmentation` (`strong`); looks that levels share are encoded once"
    )
    second_view: Literal["augmentation", "window"] = Field(
        description="the second of two views: the same window augmented anew, or another window of the video"
    )
    token_keep: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="share of the patches of a frame that `space` sees in training, drawn for every frame of every "
        "view; it predicts those that it has not seen, too, and a teacher and evaluation see all",
    )
    predict_across_views: bool = Field(
        description="a unit of one view predicts units of the other view (patches always those of its own)"
    )
    targets: Literal["online", "ema"] = Field(
        description="whose summaries are predicted: the model's own, or those of its running mean"
    )
    target_norm: Literal["standardize", "layer", "none"] = Field(
        description="summaries as targets: standardised over the batch and layer-normalised, layer-normalised, raw"
    )
    detach_targets: bool = Field(
        description="false: gradient flows into targets, as in the published attempt; breaks the isolation of levels"
    )
    detach_side_targets: bool = Field(
        description="false: gradient flows into both ends of `side`, which are units of the same level, so that levels "
        "stay isolated; then only the regulariser keeps them from becoming all the same"
    )
    ema: EMA
    regularizer: AnyRegularizer = Field(description="what keeps the units of a level from becoming all the same")
    standardize_predictors: bool = Field(
        description="standardise what predictors see over the batch; raw, they stay constants"
    )

    def build(self, config: Config, train: Catalog) -> Task:
        """See `TaskSettings.build`."""
        from tasks.hierarchical import HierarchicalTask

        return HierarchicalTask(config)

    def weights_of(self, level: LevelName) -> Weights:
        """The weights of a level; all 0 where `loss_weights` does not name it."""
        return self.loss_weights.get(level, Weights())

    def check(self, config: Config) -> None:
        """See `TaskSettings.check`."""
        self._check_that_every_level_learns(config)
        self._check_targets(config)
        self._check_views(config)
        if self.token_keep < 1 and config.causal("space"):
            refuse(
                config,
                "hierarchical.token_keep and hierarchy.space.causal_mask disagree: a causal level predicts the next "
                "patch, so none may be left out",
                {"hierarchical.token_keep": 1.0},
                {"hierarchy.space.causal_mask": False},
            )

    def _check_that_every_level_learns(self, config: Config) -> None:
        """Raises ValueError where a level would stay as it is."""
        if self.regularizer.is_active:
            return
        for level in config.groups:
            times = config.geometry.times(level)
            has = {
                "up": level != config.groups[-1],
                "down": level != "backbone",
                "side": self.use_temporal_prediction and times > 1,
            }
            useful = [direction for direction, possible in has.items() if possible]
            weights = f"hierarchical.loss_weights.{level}"
            if not any(getattr(self.weights_of(level), direction) for direction in useful):
                refuse(
                    config,
                    f"{weights} and hierarchical.regularizer disagree: {level} has no loss at all, and no regularizer",
                    *({f"{weights}.{direction}": 0.1} for direction in useful),
                )

    def _check_targets(self, config: Config) -> None:
        """Raises ValueError where gradient is asked to flow into targets that are computed without any."""
        for key in ("detach_targets", "detach_side_targets"):
            if not getattr(self, key) and self.targets != "online":
                refuse(
                    config,
                    f"hierarchical.{key} and hierarchical.targets disagree: targets of {self.targets} are computed "
                    "without gradient",
                    {f"hierarchical.{key}": True},
                    {"hierarchical.targets": "online"},
                )

    def _check_views(self, config: Config) -> None:
        """Raises ValueError where a level lacks the views that its losses ask for."""
        two_views = ["strong", "strong"]
        for level in config.groups:
            views, weight = f"hierarchical.views.{level}", f"hierarchical.loss_weights.{level}.invariance"
            if level not in self.views:
                refuse(config, f"{views} is missing, the views that {level} learns from", {views: two_views})
            if not self.weights_of(level).invariance:
                continue
            if len(self.views[level]) < 2:
                refuse(
                    config,
                    f"{weight} and {views} disagree: the invariance is between two views",
                    {views: two_views},
                    {weight: 0.0},
                )
            if self.views[level] == ["none", "none"] and self.second_view == "augmentation":
                refuse(
                    config,
                    f"{weight} and {views} disagree: a window as it is looks the same twice",
                    {views: two_views},
                    {"hierarchical.second_view": "window"},
                )
            if not self.regularizer.is_active:
                refuse(
                    config,
                    f"{weight} and hierarchical.regularizer disagree: without a regularizer two views are most alike "
                    "when all are the same",
                    {f"hierarchical.loss_weights.{other}.invariance": 0.0 for other in config.groups},
                )
