"""Every key of a config, its type and its meaning; and which values cannot work together."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from config.data import DataConfig
from config.evaluations import AnyEvaluation, check_evaluations, default_evaluations, upgraded
from config.giants import refuse_giants
from config.hints import refuse
from config.losses import GUARD_WEIGHTS, LOSS_PARAMS, LossName, NoRegularizer, SIGReg, VICReg, VISReg
from config.messages import shown, wanted
from config.optimizers import AnyOptimizer, AnyScheduler
from config.section import AboveZero, LevelName, NonNegative, Positive, Section, Share, ShareRange
from config.sizes import check_encoder, check_sizes, check_window

Direction = Literal["up", "down", "side"]
Strength = Literal["none", "weak", "strong"]
HIERARCHIES: tuple[tuple[LevelName, ...], ...] = (
    ("space", "time"),
    ("space", "time", "clip"),
    ("backbone", "space"),
    ("backbone", "space", "time"),
    ("backbone", "space", "time", "clip"),
)


# --------------------------------------------------------------------------------------------- architecture


WeightInit = Literal["torch", "lecun"]
_WEIGHT_INIT = (
    "initial weights of linear layers and convolutions: torch's own, which let the summaries of a video's units differ "
    "by a hundredth of their length, or LeCun's, which keep the variance"
)


class BackboneConfig(Section):
    """The numbers of the stem, which makes patch tokens; as a level of its own where `groups` lists `backbone`."""

    dim: Positive = Field(description="width of the patch tokens")
    weight_init: WeightInit = Field(default="torch", description=_WEIGHT_INIT)
    pred_h_dim: Positive = Field(description="hidden width of the patches' predictors, where `groups` lists `backbone`")


class LevelConfig(Section):
    """The numbers of one level."""

    dim: Positive = Field(description="width of the level's tokens and summaries")
    layers: Positive = Field(description="number of transformer blocks")
    heads: Positive = Field(description="attention heads")
    head_dim: Positive = Field(description="width of one attention head")
    mlp_dim: Positive = Field(description="hidden width of the block's MLP")
    dropout: float = Field(ge=0, lt=1, description="dropout after attention and MLP")
    stochastic_depth: float = Field(
        default=0.0, ge=0, lt=1, description="chance to skip the last block of a unit; grows linearly from the first"
    )
    causal_mask: bool = Field(
        default=False, description="causal attention without CLS: every token predicts the next one"
    )
    weight_init: WeightInit = Field(default="torch", description=_WEIGHT_INIT)
    pred_h_dim: Positive = Field(description="hidden width of the level's predictors")


class ArchConfig(Section):
    """`arch_config.yaml`: the model."""

    encoder: Literal["hierarchical", "s3d", "r2plus1d_18"] = Field(
        description="what is trained; the latter two are torchvision's and go with `task: supervised` and `vicreg`"
    )
    encoder_checkpoint: str | None = Field(
        description="file of weights that the encoder starts from: a run's encoder.safetensors, or torchvision's .pth"
    )
    groups: list[LevelName] = Field(
        description="the levels, lowest first; with `backbone`, patches are units of their own and `space` trains "
        "without the stem"
    )
    patch_size: Positive = Field(description="side of a square patch, pixels")
    frames_per_clip: Positive = Field(description="frames that `time` joins into one clip")
    position_embedding: Literal["learned", "sincos"] = Field(description="positions inside a unit")
    stem: Literal["linear", "cnn"] = Field(description="what makes patch tokens; `cnn`: convolutions inside a frame")
    temporal_stem: bool = Field(description="`cnn` also convolves over time; this leaks between frames")
    output_batchnorm: bool = Field(description="BatchNorm on the summaries of every level")
    batchnorm_momentum: Annotated[float, Field(gt=0, le=1)] = Field(
        description="share of a new batch in the running statistics of every BatchNorm"
    )
    architecture_backbone: BackboneConfig
    architecture_space: LevelConfig
    architecture_time: LevelConfig
    architecture_clip: LevelConfig

    def level(self, name: str) -> LevelConfig:
        """The numbers of level `name`, which is not `backbone`."""
        section: LevelConfig = getattr(self, f"architecture_{name}")
        return section

    def dim(self, name: str) -> int:
        """Width of the units of level `name`, `backbone` included."""
        return self._section(name).dim

    def weight_init(self, name: str) -> WeightInit:
        """Initial weights of level `name`; `backbone`: of the stem."""
        return self._section(name).weight_init

    def _section(self, name: str) -> LevelConfig | BackboneConfig:
        section: LevelConfig | BackboneConfig = getattr(self, f"architecture_{name}")
        return section


# -------------------------------------------------------------------------------------------------- training


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


class PredictorConfig(Section):
    """What predictors see, and how they are optimised beside their levels."""

    standardize: bool = Field(description="standardise what predictors see over the batch; raw, they stay constants")
    pred_multiplier: AboveZero = Field(description="learning rate of predictors as a share of their level's")
    pred_aside: Literal[0, 1, 2] = Field(
        description="0: predictors are part of their level, `pred_multiplier` counts for nothing; 1: parameter groups "
        "of their own in the level's optimizer; 2: an optimizer of their own"
    )


class VICRegTaskConfig(Section):
    """`task: vicreg`: two windows of a video, the same encoder (Bardes et al., 2022, arXiv 2105.04906)."""

    proj_dim: Positive = Field(description="width of the three layers of the projector")
    invariance: NonNegative = Field(description="weight of the mean squared distance of the two views")
    variance: NonNegative = Field(description="weight of the variance term")
    covariance: NonNegative = Field(description="weight of the covariance term")


class SVTTaskConfig(Section):
    """`task: svt`: student and teacher over global and local space-time views (Ranasinghe et al., 2022, 2112.01514)."""

    out_dim: Positive = Field(description="prototypes")
    hidden_dim: Positive = Field(description="hidden width of the head")
    bottleneck_dim: Positive = Field(description="width of the normalised bottleneck before the prototypes")
    local_views: Annotated[int, Field(ge=0)] = Field(
        description="small crops of space and time, beside two global ones"
    )
    global_scale: ShareRange = Field(description="area of global crops")
    local_scale: ShareRange = Field(description="area of local crops")
    local_time: ShareRange = Field(description="share of the window's time that a local view covers")
    student_temperature: AboveZero = Field(description="of the student's softmax")
    teacher_temperature: AboveZero = Field(description="of the teacher's softmax after its warm-up")
    warmup_teacher_temperature: AboveZero = Field(description="the same at the start")
    teacher_warmup: Share = Field(description="share of training in which the teacher's temperature rises")
    centre_momentum: float = Field(ge=0, lt=1, description="of the running mean that is taken off the teacher's scores")
    momentum: Share = Field(description="share of the teacher that a step keeps, at the start")
    final_momentum: Share = Field(description="the same at the end; half a cosine between them")


class TrainConfig(Section):
    """`train_config.yaml`: the task, its losses, and the loop."""

    task: Literal["hierarchical", "supervised", "vicreg", "svt"] = Field(
        description="`hierarchical`: the idea; `supervised`: the same encoder end to end with labels, the control; "
        "`vicreg`, `svt`: rivals without labels"
    )
    model_name: str | None = Field(description="name of the run folder; null: the config file's name")
    save_path: str = Field(description="folder that holds the run folders")
    resume: bool = Field(description="continue an existing run from its last.pt")
    seed: int = Field(ge=0, description="initial weights, windows and their order are functions of it")

    isolation: Literal["strict", "overlap", "end2end"] = Field(
        description="how gradient may cross levels: not at all, from the level directly above, or from all above"
    )
    interlevel_noise: NonNegative = Field(
        description="std of Gaussian noise on the layer-normalised input of a level, in training"
    )
    use_temporal_prediction: bool = Field(
        description="`side` at all; without it, `down` predicts units of the whole window, not only those inside"
    )
    loss_fn: LossName = Field(description="prediction loss; cs: 1 - cosine, ce: cross-entropy of softmaxes")
    loss_params: dict[str, float | None] = Field(
        description="of `loss_fn`. smooth_l1: beta (1.0); ce: prediction_temperature (1.0), target_temperature (0.5), "
        "centre_momentum (null: no centring); vicreg: invariance (25), variance (25), covariance (1); "
        "barlow: redundancy (0.005)"
    )
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
    regularizer: Annotated[VICReg | SIGReg | VISReg | NoRegularizer, Field(discriminator="name")]
    vicreg: VICRegTaskConfig
    svt: SVTTaskConfig

    num_epochs: Positive = Field(description="passes over the training videos")
    batch_size: Positive = Field(description="windows of a step, or of one of its `num_iters_grad_accum` parts")
    num_iters_grad_accum: Positive = Field(description="batches whose gradients are averaged into one step")
    optimizer: Annotated[AnyOptimizer, Field(discriminator="name")]
    use_single_optimizer: bool = Field(description="one optimizer for all levels instead of one each")
    predictor: PredictorConfig
    lr_scale: dict[LevelName, Annotated[float, Field(gt=0)]] = Field(
        description="a level's learning rate as a share of `optimizer.lr`; a level without one takes it whole"
    )
    scheduler: Annotated[AnyScheduler, Field(discriminator="name")]
    alternating_interval: float | None = Field(
        gt=0, description="percent of an epoch after which groups 0, 2, .. and 1, 3, .. take turns; null: all train"
    )
    explicit_freeze: bool = Field(description="the resting groups' parameters get no gradient at all")
    always_compute_loss: bool = Field(
        description="compute and log the losses of resting groups too, by a forward pass of their own"
    )
    clip_grad_norm: float | None = Field(gt=0, description="per level; null: no clipping")
    use_mixed_precision: bool = Field(description="autocast")
    mixed_precision: Literal["auto", "bfloat16", "float16"] = Field(
        description="of autocast; auto: bfloat16 where the GPU has it, else none; float16 scales the loss"
    )
    max_bad_steps: Positive = Field(
        description="steps in a row whose loss or gradient is not finite, and which are skipped, that end the run"
    )
    strict_monitors: bool = Field(description="an alarm of a collapse monitor ends the run")

    val_interval: Positive = Field(description="epochs between validations")
    evaluations: dict[str, AnyEvaluation | None] = Field(
        default_factory=default_evaluations,
        validate_default=True,
        description="what scores the encoder, by names of your choice; null switches one off",
    )
    choose_by: str | None = Field(
        default="knn",
        description="the evaluation that chooses the checkpoint, on validation videos: the mean over the levels of the "
        "score on the level's own labels, the higher the better; null: the last checkpoint is taken",
    )
    figures: list[Literal["pca", "tsne", "umap"]] = Field(
        default=["pca", "tsne", "umap"], description="embeddings of the features that are drawn after training"
    )
    figure_videos: Positive = Field(description="videos drawn in them")
    log_interval: Positive = Field(description="steps between lines of metrics.jsonl")


class Config(ArchConfig, DataConfig, TrainConfig):
    """The whole, merged config. Raises ValueError where two values cannot work together."""

    @model_validator(mode="before")
    @classmethod
    def _older_spellings(cls, values: Any) -> Any:
        return upgraded(values)

    @model_validator(mode="after")
    def _values_fit_together(self) -> Config:
        refuse_giants(self)
        if tuple(self.groups) not in HIERARCHIES:
            known = ", ".join(f"[{', '.join(groups)}]" for groups in HIERARCHIES)
            raise ValueError(f"groups: [{', '.join(self.groups)}] is no hierarchy; use one of {known}")
        check_sizes(self)
        check_window(self)
        check_encoder(self)
        self._check_that_every_level_learns()
        self._check_targets()
        self._check_views()
        self._check_turns()
        self._check_loss_params()
        check_evaluations(self)
        return self

    def _has_guard(self) -> bool:
        """Whether the regulariser has any weight."""
        return any(value for key, value in self.regularizer.model_dump().items() if key in GUARD_WEIGHTS)

    def _check_that_every_level_learns(self) -> None:
        """Raises ValueError where a level of the hierarchical task would stay as it is."""
        if self.task != "hierarchical" or self._has_guard():
            return
        for level in self.groups:
            weights = self.loss_weights.get(level, Weights())
            times = self.window.length if level == "backbone" else self.units(level)
            has = {
                "up": level != self.groups[-1],
                "down": level != "backbone",
                "side": self.use_temporal_prediction and times > 1,
            }
            useful = [direction for direction, possible in has.items() if possible]
            if not any(getattr(weights, direction) for direction in useful):
                refuse(
                    self,
                    f"loss_weights.{level} and regularizer disagree: {level} has no loss at all, and no regularizer",
                    *({f"loss_weights.{level}.{direction}": 0.1} for direction in useful),
                )

    def _check_turns(self) -> None:
        """Raises ValueError where levels are to take turns and there are none, or the other way round."""
        if self.alternating_interval is not None and self.task != "hierarchical":
            refuse(
                self,
                f"alternating_interval and task disagree: {self.task} trains one group, which cannot take turns",
                {"alternating_interval": None},
                {"task": "hierarchical"},
            )
        for key in ("explicit_freeze", "always_compute_loss"):
            if getattr(self, key) and self.alternating_interval is None:
                both = {"explicit_freeze": False, "always_compute_loss": False}
                refuse(
                    self,
                    f"{key} and alternating_interval disagree: without turns no group rests",
                    {key: False},
                    both,
                    {"alternating_interval": 50.0},
                )

    def _check_targets(self) -> None:
        """Raises ValueError where gradient is asked to flow into targets that are computed without any."""
        for key in ("detach_targets", "detach_side_targets"):
            if not getattr(self, key) and self.targets != "online":
                refuse(
                    self,
                    f"{key} and targets disagree: targets of {self.targets} are computed without gradient",
                    {key: True},
                    {"targets": "online"},
                )

    def _check_views(self) -> None:
        """Raises ValueError where a level of the hierarchical task lacks the views that its losses ask for."""
        if self.task != "hierarchical":
            return
        for level in self.groups:
            views, weight = f"views.{level}", f"loss_weights.{level}.invariance"
            if level not in self.views:
                refuse(self, f"{views} is missing, the views that {level} learns from", {views: ["strong", "strong"]})
            if not self.loss_weights.get(level, Weights()).invariance:
                continue
            if len(self.views[level]) < 2:
                refuse(
                    self,
                    f"{weight} and {views} disagree: the invariance is between two views",
                    {views: ["strong", "strong"]},
                    {weight: 0.0},
                )
            if self.views[level] == ["none", "none"] and self.second_view == "augmentation":
                refuse(
                    self,
                    f"{weight} and {views} disagree: a window as it is looks the same twice",
                    {views: ["strong", "strong"]},
                    {"second_view": "window"},
                )
            if not self._has_guard():
                refuse(
                    self,
                    f"{weight} and regularizer disagree: without a regularizer two views are most alike when all is",
                    {f"loss_weights.{other}.invariance": 0.0 for other in self.groups},
                )

    def _check_loss_params(self) -> None:
        """Raises ValueError where `loss_params` holds what `loss_fn` does not take."""
        try:
            LOSS_PARAMS[self.loss_fn].model_validate(self.loss_params)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            if first["type"] != "extra_forbidden":
                raise ValueError(f"loss_params.{key}: {wanted(first)}, got {shown(first['input'])}") from None
            known = ", ".join(LOSS_PARAMS[self.loss_fn].model_fields) or "none"
            raise ValueError(f"loss_params.{key} and loss_fn disagree: {self.loss_fn} takes {known}") from None

    @property
    def levels(self) -> list[LevelName]:
        """What the encoder gives features of: the groups; only the last of them for an encoder without levels."""
        return list(self.groups) if self.encoder == "hierarchical" else [self.groups[-1]]

    @property
    def read_size(self) -> tuple[int, int]:
        """Height and width at which frames are read."""
        height, width = self.load_size or self.frame_size
        return height, width

    @property
    def pixels(self) -> tuple[list[float], list[float]]:
        """Mean and std per channel, of pixels in [0, 1].

        Raises:
            ValueError: they are the dataset's and not known yet: `data_utils.dataset_card.complete` fills them in.
        """
        if self.mean is None or self.std is None:
            raise ValueError("mean and std are the dataset's: complete(config) first")
        return self.mean, self.std

    def causal(self, level: str) -> bool:
        """Whether `level` has a causal mask; patches have none."""
        return level != "backbone" and self.level(level).causal_mask

    @property
    def patches(self) -> int:
        """Patches of a frame."""
        return (self.frame_size[0] // self.patch_size) * (self.frame_size[1] // self.patch_size)

    @property
    def tokens_per_unit(self) -> dict[str, int]:
        """Units of the level below inside one unit, for each level that joins any."""
        tokens = {"space": self.patches, "time": self.frames_per_clip, "clip": self.clips}
        return {level: tokens[level] for level in self.groups if level in tokens}

    @property
    def clips(self) -> int:
        """Clips of a window."""
        return self.window.length // self.frames_per_clip

    def units(self, level: str) -> int:
        """Units of `level` in a window."""
        frames = self.window.length
        return {"backbone": frames * self.patches, "space": frames, "time": self.clips, "clip": 1}[level]
