"""Every key of a config, its type and its meaning; and which values cannot work together.

The sections of tasks and of the hierarchical encoder stand beside the code that reads them, in `tasks/`; here they are
put together. A config holds the sections that it uses: those of its `task` and its `encoder`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from architecture.geometry import Geometry
from config.checkpoints import CheckpointSettings
from config.curriculum import CurriculumConfig, check_curriculum
from config.data import DataConfig
from config.evaluations import AnyEvaluation, check_evaluations, default_evaluations
from config.figures import MODEL_FIGURES, ModelFigure
from config.giants import refuse_giants
from config.hints import refuse
from config.machine import MachineConfig
from config.optimizers import AnyOptimizer, AnyScheduler
from config.section import AboveZero, LevelName, Positive, Section
from config.sizes import check_encoder, check_sizes, check_window
from config.start import StartConfig, check_start_keys
from config.validation_schedule import check_schedule
from runs.tracking.settings import TrackerName, WandbSettings
from tasks.encoder_settings import HierarchySettings, LevelSettings, WeightInit
from tasks.joint_settings import JointSettings
from tasks.settings import TaskSettings
from tasks.table import TASKS, TaskName, TaskSections, is_unused

HIERARCHIES: tuple[tuple[LevelName, ...], ...] = (
    ("space", "time"),
    ("space", "time", "clip"),
    ("backbone", "space"),
    ("backbone", "space", "time"),
    ("backbone", "space", "time", "clip"),
)
ENCODERS = {"hierarchy": "hierarchical", "joint": "joint"}
"""Sections that belong to an encoder."""
S = TypeVar("S", bound=Section)


class ArchConfig(Section):
    """`arch_config.yaml`: the model."""

    encoder: Literal["hierarchical", "joint", "s3d", "r2plus1d_18", "mvit_v2_s", "swin3d_t", "resnet50"] = Field(
        description="what is trained; `hierarchical` has the section `hierarchy`; `joint`, a ViT of space and time, "
        "has the section `joint`; the others are torchvision's, `resnet50` on single frames. All but `hierarchical` go "
        "with the tasks that train an encoder end to end"
    )
    encoder_checkpoint: str | None = Field(
        description="file of weights that the encoder starts from: a run's encoder.safetensors, or torchvision's .pth"
    )
    groups: list[LevelName] = Field(
        description="the levels, lowest first; with `backbone`, patches are units of their own and `space` trains "
        "without the stem; the features of an encoder without levels are those of the last one"
    )
    batchnorm_momentum: Annotated[float, Field(gt=0, le=1)] = Field(
        description="share of a new batch in the running statistics of every BatchNorm"
    )
    hierarchy: HierarchySettings | None = Field(default=None, exclude_if=is_unused)
    joint: JointSettings | None = Field(default=None, exclude_if=is_unused)


class PredictorConfig(Section):
    """How predictors, and what other tasks put on the encoder, are optimised beside their levels."""

    pred_multiplier: AboveZero = Field(description="learning rate of predictors as a share of their level's")
    pred_aside: Literal[0, 1, 2] = Field(
        description="0: predictors are part of their level, `pred_multiplier` counts for nothing; 1: parameter groups "
        "of their own in the level's optimizer; 2: an optimizer of their own"
    )


class TrainConfig(Section):
    """`train_config.yaml`: the task and the loop."""

    task: TaskName = Field(description="how to train; the section of the same name has its numbers")
    model_name: str | None = Field(description="name of the run folder; null: the config file's name")
    save_path: str = Field(description="folder that holds the run folders")
    resume: Literal[True, False, "auto"] = Field(
        description="continue an existing run from its last.pt; auto: continue it if there is one, else start it"
    )
    auto_requeue: bool = Field(
        default=False, description="when Slurm warns of the time limit (SIGUSR1), save and queue the job again"
    )
    checkpoint: CheckpointSettings = Field(default_factory=CheckpointSettings, validate_default=True)
    seed: int = Field(ge=0, description="initial weights, windows and their order are functions of it")

    num_epochs: Positive = Field(description="passes over the training videos")
    batch_size: Positive = Field(
        description="windows of a step, or of one of its `num_iters_grad_accum` parts; several processes divide them "
        "among themselves"
    )
    num_iters_grad_accum: Positive = Field(description="batches whose gradients are averaged into one step")
    level_backward: Literal["auto", "early", "sum"] = Field(
        default="auto",
        description="early: backward through a level's losses before the next level's are computed, which frees what "
        "they took; sum: one backward through all; the gradients are the same. auto: early where levels share no "
        "graph, which is where it takes less memory",
    )
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
    tf32: bool = Field(
        default=False,
        description="on a GPU, products of float32 matrices and float32 convolutions keep 10 bits of each factor's "
        "mantissa (TensorFloat-32): several times as fast, where autocast is off or leaves them",
    )
    compile: bool = Field(
        default=False,
        description="torch.compile for the transformer blocks of all levels; the first step takes a minute or more",
    )
    max_bad_steps: Positive = Field(
        description="steps in a row whose loss or gradient is not finite, and which are skipped, that end the run"
    )
    strict_monitors: bool = Field(description="an alarm of a collapse monitor ends the run")

    val_schedule: Literal["linear", "exponential"] = Field(
        default="linear",
        description="the epochs after which a run, or a stage, validates. linear: every `val_interval`-th; exponential:"
        " 1, and on by `val_factor`; the last one is always among them",
    )
    val_interval: Annotated[int, Field(ge=0)] = Field(
        description="epochs between validations of a linear schedule; 0: none is followed by one, and the last "
        "checkpoint is taken"
    )
    val_factor: Annotated[float, Field(ge=1, le=1000)] = Field(
        default=2.0,
        description="of an exponential schedule: its epochs are the powers of this number, rounded down; 2: 1, 2, 4, "
        "8, 16; 1.5: 1, 2, 3, 5, 7, 11, 17; 1: every epoch",
    )
    validate_before: bool = Field(
        default=True,
        description="validate before the first step, too: what later validations are compared with, and what tells a "
        "fall of the collapse monitors",
    )
    evaluations: dict[str, AnyEvaluation | None] = Field(
        default_factory=default_evaluations,
        validate_default=True,
        description="what scores the encoder, by names of your choice; null switches one off",
    )
    pixel_floors: bool = Field(
        default=True,
        description="score pixels in the place of features, too, at the end: what an encoder must beat to be worth it",
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
    figure_epochs: Annotated[int, Field(ge=0)] = Field(
        default=32,
        description="validations of which the features of up to 500 of `figure_videos` are kept in the run folder, for "
        "figures of how the space forms; of more validations, as many spread evenly; 0: none",
    )
    model_figures: list[ModelFigure] = Field(
        default=list(MODEL_FIGURES),
        description="what is drawn after training of what the model sees and does: docs/figures.md; [] saves seconds",
    )
    log_interval: Positive = Field(description="steps between lines of metrics.jsonl")
    tracking: list[TrackerName] = Field(
        default=[], description="where the run can be watched, beside metrics.jsonl: docs/tracking.md"
    )
    wandb: WandbSettings = Field(default_factory=WandbSettings, validate_default=True)
    debug: bool = Field(
        default=False,
        description="try the run out: a few batches per epoch, few videos in validation and test, no tracking",
    )


class Config(ArchConfig, DataConfig, TrainConfig, StartConfig, MachineConfig, CurriculumConfig, TaskSections):
    """The whole, merged config. Raises ValueError where two values cannot work together."""

    @model_validator(mode="before")
    @classmethod
    def _used_sections_exist(cls, values: Any) -> Any:
        """An empty section for what is used and missing, so that its own defaults or messages count."""
        if not isinstance(values, dict):
            return values
        used = [values.get("task")] if values.get("task") in TASKS else []
        used += [section for section, encoder in ENCODERS.items() if values.get("encoder") == encoder]
        return {name: {} for name in used} | values

    @model_validator(mode="after")
    def _values_fit_together(self) -> Config:
        refuse_giants(self)
        if tuple(self.groups) not in HIERARCHIES:
            known = ", ".join(f"[{', '.join(groups)}]" for groups in HIERARCHIES)
            raise ValueError(f"groups: [{', '.join(self.groups)}] is not a hierarchy; use one of {known}")
        check_sizes(self)
        check_window(self)
        check_encoder(self)
        self.task_settings.check(self)
        self._check_turns()
        check_evaluations(self)
        check_start_keys(self)
        check_curriculum(self)
        check_schedule(self)
        return self.model_copy(update=dict.fromkeys(self.unused_sections()))

    def _check_turns(self) -> None:
        """Raises ValueError where levels are to take turns and there are none, or the other way round."""
        if self.alternating_interval is not None and not self.task_settings.trains_levels:
            refuse(
                self,
                f"alternating_interval and task disagree: {self.task} trains one group, which cannot take turns",
                {"alternating_interval": None},
                *({"task": name} for name, kind in TASKS.items() if kind.trains_levels),
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

    # -------------------------------------------------------------------------------------------- its sections

    @property
    def task_settings(self) -> TaskSettings:
        """The section of the task."""
        section: TaskSettings = getattr(self, self.task)
        return section

    def section(self, kind: type[S]) -> S:
        """The section of a task or an encoder that this config uses.

        Raises:
            TypeError: it uses another one.
        """
        for section in (self.task_settings, self.hierarchy, self.joint):
            if isinstance(section, kind):
                return section
        raise TypeError(f"task {self.task} with encoder {self.encoder} has no {kind.__name__}")

    def unused_sections(self) -> list[str]:
        """The names of sections that neither the task nor the encoder reads."""
        unused = [name for name in TASKS if name != self.task]
        return [section for section, encoder in ENCODERS.items() if encoder != self.encoder] + unused

    # ---------------------------------------------------------------------------------------------- the levels

    @property
    def levels(self) -> list[LevelName]:
        """The levels that the encoder gives features of: the groups; for an encoder without levels, the last one."""
        return list(self.groups) if self.encoder == "hierarchical" else [self.groups[-1]]

    def level(self, name: str) -> LevelSettings:
        """The numbers of level `name`, which is not `backbone`."""
        return self.section(HierarchySettings).level(name)

    def dim(self, name: str) -> int:
        """Width of the units of level `name`, `backbone` included."""
        return self.section(HierarchySettings).numbers(name).dim

    def weight_init(self, name: str) -> WeightInit:
        """Initial weights of level `name`; `backbone`: of the stem."""
        return self.section(HierarchySettings).numbers(name).weight_init

    def causal(self, level: str) -> bool:
        """Whether `level` has a causal mask; patches have none."""
        return level != "backbone" and self.level(level).causal_mask

    @property
    def geometry(self) -> Geometry:
        """How many units a window has at every level, and how many tokens a unit.

        Raises:
            TypeError: the encoder has no levels.
        """
        numbers = self.section(HierarchySettings)
        length = self.window.length
        frames_per_clip = numbers.frames_per_clip if "clip" in self.groups else length
        return Geometry.of_window(self.groups, self.frame_size, numbers.patch_size, length, frames_per_clip)

    @property
    def learning_rate(self) -> float:
        """The highest learning rate: `optimizer.lr`, or what `optimizer.base_lr` says for the clips of a step."""
        optimizer = self.optimizer
        if optimizer.base_lr is None:
            return optimizer.lr
        return optimizer.base_lr * self.clips_per_step / optimizer.nominal_batch

    @property
    def clips_per_step(self) -> int:
        """Windows of a step, each as often as the task takes it."""
        return self.batch_size * self.num_iters_grad_accum * self.task_settings.copies

    @property
    def clips(self) -> int:
        """Clips of a window; 1 for an encoder without levels."""
        return 1 if self.hierarchy is None else self.geometry.clips
