"""The run's config with the optimizer and the schedule of a fine-tuning: what the trainer gets."""

from __future__ import annotations

from config.optimizers import AdamW, Cosine
from config.schema import Config, PredictorConfig
from protocols.finetune import LearningSettings


def fitting_batch(config: Config, videos: int) -> int:
    """The run's batch size, or where there are few videos a quarter of what an epoch takes from them.

    An incomplete last batch is dropped, which would be half of a few videos, and one step an epoch leads nowhere.
    """
    return min(config.batch_size, max(2, videos * config.window.max_seq_per_video // 4))


def training_config(config: Config, settings: LearningSettings, batch_size: int, seed: int) -> Config:
    """The run's config, changed where a fine-tuning is something else; `seed` is that of its draws."""
    lr, head_lr = settings.rates
    return config.model_copy(
        update={
            "seed": seed,
            "datasets": {},
            "num_epochs": settings.epochs,
            "batch_size": batch_size,
            "num_iters_grad_accum": 1,
            "optimizer": AdamW(name="adamw", lr=lr, weight_decay=settings.weight_decay, betas=[0.9, 0.999]),
            "scheduler": Cosine(name="cosine", warmup=settings.warmup),
            "predictor": PredictorConfig(pred_multiplier=head_lr / lr, pred_aside=1),
            "clip_grad_norm": settings.clip_grad,
            "max_bad_steps": 10**9,  # told here, in words that fit
            "use_single_optimizer": False,
            "lr_scale": {},
            "stage_lr": {},
            "alternating_interval": None,
            "explicit_freeze": False,
            "always_compute_loss": False,
        }
    )
