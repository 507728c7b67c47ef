"""The keys of optimizers and of learning rate schedules."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.section import AboveZero, NonNegative, Positive, Section, Share

Betas = Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]


class OptimizerConfig(Section):
    """Keys that all optimizers have."""

    lr: float = Field(gt=0, description="learning rate after the warm-up")
    base_lr: AboveZero | None = Field(
        default=None,
        description="the same for a step of `nominal_batch` clips; it takes the place of `lr`: the rate is `base_lr` x "
        "clips of a step / `nominal_batch`, where a step has `batch_size` x `num_iters_grad_accum` windows, times "
        "`masked.repeats`; null: `lr` counts",
    )
    nominal_batch: Positive = Field(default=256, description="clips of a step that `base_lr` is for")
    weight_decay: NonNegative = Field(description="of the matrices of linear layers and convolutions")
    final_weight_decay: float | None = Field(
        default=None,
        ge=0,
        description="the same at the end, after half a cosine as DINO has it; null: no change",
    )


class AdamW(OptimizerConfig):
    """torch.optim.AdamW; norms, biases, positions and tokens get no decay."""

    name: Literal["adamw"]
    betas: Betas = Field(description="decay of the running means of gradient and squared gradient")


class Adam(OptimizerConfig):
    """torch.optim.Adam; its decay is L2 regularisation."""

    name: Literal["adam"]
    betas: Betas = Field(default=[0.9, 0.999], description="decay of the running means of gradient and its square")


class NAdam(OptimizerConfig):
    """torch.optim.NAdam."""

    name: Literal["nadam"]
    betas: Betas = Field(default=[0.9, 0.999], description="decay of the running means of gradient and its square")


class RAdam(OptimizerConfig):
    """torch.optim.RAdam."""

    name: Literal["radam"]
    betas: Betas = Field(default=[0.9, 0.999], description="decay of the running means of gradient and its square")


class SGD(OptimizerConfig):
    """torch.optim.SGD."""

    name: Literal["sgd"]
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of the velocity")
    nesterov: bool = Field(default=False, description="Nesterov's momentum; needs `momentum` above 0")

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> SGD:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov and momentum disagree: Nesterov's momentum needs one above 0; 0.9 would fit")
        return self


class Adadelta(OptimizerConfig):
    """torch.optim.Adadelta."""

    name: Literal["adadelta"]
    rho: float = Field(default=0.9, ge=0, lt=1, description="decay of the running mean of squared gradients")


class RMSprop(OptimizerConfig):
    """torch.optim.RMSprop."""

    name: Literal["rmsprop"]
    alpha: float = Field(default=0.99, ge=0, lt=1, description="decay of the running mean of squared gradients")
    momentum: float = Field(default=0.0, ge=0, lt=1, description="of the velocity")


class LARS(OptimizerConfig):
    """LARS, from timm (You et al., 2017, arXiv 1708.03888)."""

    name: Literal["lars"]
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of the velocity")
    trust_coeff: AboveZero = Field(default=0.001, description="step of a layer as a share of its weights' norm")


AnyOptimizer = AdamW | Adam | NAdam | RAdam | SGD | Adadelta | RMSprop | LARS


class SchedulerConfig(Section):
    """Keys that all schedules have: per optimizer step, a linear warm-up and then torch's schedule of that name."""

    warmup: float = Field(default=0.0, ge=0, lt=1, description="share of all steps that a linear warm-up takes")


class Cosine(SchedulerConfig):
    """Half a cosine (torch's CosineAnnealingLR)."""

    name: Literal["cosine"]
    final_lr: Share = Field(default=0.0, description="last learning rate as a share of `lr`")


class Linear(SchedulerConfig):
    """A straight line (torch's LinearLR)."""

    name: Literal["linear"]
    final_lr: Share = Field(default=0.0, description="last learning rate as a share of `lr`")


class Polynomial(SchedulerConfig):
    """A polynomial that ends at 0 (torch's PolynomialLR)."""

    name: Literal["polynomial"]
    power: AboveZero = Field(default=1.0, description="of the polynomial")


class MultiStep(SchedulerConfig):
    """A drop at each milestone (torch's MultiStepLR)."""

    name: Literal["multistep"]
    milestones: list[Share] = Field(description="shares of the steps after the warm-up at which the rate drops")
    gamma: AboveZero = Field(default=0.1, description="factor of a drop")


class Exponential(SchedulerConfig):
    """The same factor every step (torch's ExponentialLR)."""

    name: Literal["exponential"]
    final_lr: Annotated[float, Field(gt=0, le=1)] = Field(description="last learning rate as a share of `lr`")


class Constant(SchedulerConfig):
    """No change after the warm-up."""

    name: Literal["constant"]


AnyScheduler = Cosine | Linear | Polynomial | MultiStep | Exponential | Constant
