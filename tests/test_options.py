"""Every documented option of the hierarchical task at least once, and every pair of values of two options together.

One step each, through the trainer: the loss is finite, what trains moves, what rests or has no loss does not.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import get_args

import pytest
import torch

from config.keys import choice_of
from config.schema import Config
from data_utils.batches.loader import Batch
from runs.process.seeds import seed_everything
from tasks.hierarchical import HierarchicalTask
from tasks.hierarchical_settings import HierarchicalSettings, Strength
from tasks.prediction_losses import LOSSES
from tasks.regularizers import REGULARIZERS
from train import Trainer

CPU = torch.device("cpu")
GUARD, SMALL = "hierarchical.regularizer", "proj_dim: 18, min_vectors: 32"


def same_views(views: str) -> str:
    """The same views for every level, as the value of the key `views`."""
    levels = ", ".join(f"{level}: [{views}]" for level in ("backbone", "space", "time", "clip"))
    return f"{{{levels}}}"


# By option its values, each a set of overrides. What is listed together belongs together.
OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "groups": {
        "image": ("groups=[backbone,space]", "window.length=1"),
        "space-time": ("groups=[space,time]",),
        "space-clip": ("groups=[space,time,clip]",),
        "backbone-time": ("groups=[backbone,space,time]",),
        "backbone-clip": ("groups=[backbone,space,time,clip]",),
    },
    "causal": {
        "none": (),
        "space": ("hierarchy.space.causal_mask=true",),
        "above": ("hierarchy.time.causal_mask=true", "hierarchy.clip.causal_mask=true"),
        "all": tuple(f"hierarchy.{level}.causal_mask=true" for level in ("space", "time", "clip")),
    },
    "side": {value: (f"hierarchical.use_temporal_prediction={value}",) for value in ("true", "false")},
    "layout": {
        f"{single}-{aside}": (
            f"use_single_optimizer={single}",
            f"predictor={{pred_multiplier: 2.0, pred_aside: {aside}}}",
        )
        for single in ("true", "false")
        for aside in (0, 1, 2)
    },
    "isolation": {value: (f"hierarchical.isolation={value}",) for value in ("strict", "overlap", "end2end")},
    "loss": {
        "mse": ("hierarchical.loss={name: mse}",),
        "smooth_l1": ("hierarchical.loss={name: smooth_l1, beta: 0.5}",),
        "cs": ("hierarchical.loss={name: cs}",),
        "ce": ("hierarchical.loss={name: ce}",),
        "ce-centred": ("hierarchical.loss={name: ce, target_temperature: 0.3, centre_momentum: 0.9}",),
        "vicreg": ("hierarchical.loss={name: vicreg, covariance: 2.0}",),
        "barlow": ("hierarchical.loss={name: barlow, redundancy: 0.01}",),
    },
    "regularizer": {
        "none": (f"{GUARD}={{name: none}}",),
        "vicreg": (f"{GUARD}={{name: vicreg, variance: 1, covariance: 1, {SMALL}}}",),
        "sigreg": (f"{GUARD}={{name: sigreg, weight: 1, num_slices: 256, {SMALL}}}",),
        "visreg": (f"{GUARD}={{name: visreg, scale: 1, shape: 1, centre: 1, num_slices: 256, {SMALL}}}",),
    },
    "targets": {
        "online": ("hierarchical.targets=online",),
        "undetached": ("hierarchical.targets=online", "hierarchical.detach_targets=false"),
        "ema": ("hierarchical.targets=ema",),
    },
    "views": {
        "single": (f"hierarchical.views={same_views('none')}",),
        "strong": (f"hierarchical.views={same_views('strong, strong')}", "hierarchical.second_view=augmentation"),
        "by level": (
            "hierarchical.views={backbone: [none], space: [weak, weak], time: [weak, strong], clip: [strong, strong]}",
        ),
        "window": (f"hierarchical.views={same_views('none, weak')}", "hierarchical.second_view=window"),
    },
    "invariance": {
        "off": (),
        "above": ("hierarchical.loss_weights={space: {invariance: 1}, time: {invariance: 1}, clip: {invariance: 1}}",),
    },
    "across": {value: (f"hierarchical.predict_across_views={value}",) for value in ("true", "false")},
    "side_targets": {
        "detached": ("hierarchical.detach_side_targets=true",),
        "undetached": ("hierarchical.detach_side_targets=false",),
    },
    "target_norm": {value: (f"hierarchical.target_norm={value}",) for value in ("standardize", "layer", "none")},
    "down": {
        f"{target}-{which}": (f"hierarchical.down_target={target}", f"hierarchical.down_targets={which}")
        for target in ("pixels", "stem")
        for which in ("all", "sampled")
    },
    "positions": {
        value: (f"hierarchical.positions={value}", "hierarchical.std_divisor=1.5")
        for value in ("per_sample", "per_batch")
    },
    "stem": {
        "linear": (),
        "cnn": ("hierarchy.stem=cnn",),
        "temporal": ("hierarchy.stem=cnn", "hierarchy.temporal_stem=true"),
    },
    "units": {
        "plain": (),
        "batchnorm": ("hierarchy.output_batchnorm=true", "batchnorm_momentum=0.3"),
        "noise": ("hierarchy.interlevel_noise=0.25", "hierarchy.space.stochastic_depth=0.5"),
        "dropout": ("hierarchy.time.dropout=0.2", "hierarchy.position_embedding=sincos"),
        "lecun": ("hierarchy.space.weight_init=lecun", "hierarchy.backbone.weight_init=lecun"),
    },
    "turns": {
        "all": (),
        "alternating": ("alternating_interval=50",),
        "frozen": ("alternating_interval=50", "explicit_freeze=true"),
        "logged": ("alternating_interval=50", "always_compute_loss=true"),
        "frozen-logged": ("alternating_interval=50", "explicit_freeze=true", "always_compute_loss=true"),
    },
    "precision": {
        "float32": ("use_mixed_precision=false",),
        "bfloat16": ("mixed_precision=bfloat16",),
        "float16": ("mixed_precision=float16",),
    },
    "accumulation": {"1": (), "2": ("num_iters_grad_accum=2",)},
    "weights": {"fixed": (), "moving": ("hierarchical.interpolate_loss_weights_to_uniformity=true",)},
    "augment": {
        "no": (),
        "yes": (
            "augmentation.blur.probability=0.5",
            "augmentation.flip=0.5",
            "weak_augmentation.crop.probability=0.5",
            "weak_augmentation.flip=0.5",
        ),
    },
    "load_size": {
        "frame_size": (),
        "wider": ("load_size=[20,36]",),
        "smaller": ("load_size=[12,10]",),
    },
    "eval_crop": {value: (f"eval_crop={value}",) for value in ("centre", "unscaled", "resize", "three")},
    "frequency": {
        "frames": (),
        "seconds": ("window.frequency_fps=12.5",),
    },
    "optimizer": {
        "adamw": (),
        "adam": ("optimizer={name: adam, lr: 0.01, weight_decay: 0.1}",),
        "nadam": ("optimizer={name: nadam, lr: 0.01, weight_decay: 0.1}",),
        "radam": ("optimizer={name: radam, lr: 0.01, weight_decay: 0.1}",),
        "sgd": ("optimizer={name: sgd, lr: 0.01, weight_decay: 0.1, nesterov: true}",),
        "adadelta": ("optimizer={name: adadelta, lr: 1.0, weight_decay: 0.1}",),
        "rmsprop": ("optimizer={name: rmsprop, lr: 0.01, weight_decay: 0.1, momentum: 0.5}",),
        "lars": ("optimizer={name: lars, lr: 0.1, weight_decay: 0.1}",),
    },
    "scheduler": {
        "cosine": (),
        "linear": ("scheduler={name: linear, warmup: 0.2}",),
        "polynomial": ("scheduler={name: polynomial, warmup: 0.2, power: 2.0}",),
        "multistep": ("scheduler={name: multistep, warmup: 0.2, milestones: [0.5]}",),
        "exponential": ("scheduler={name: exponential, warmup: 0.2, final_lr: 0.1}",),
        "constant": ("scheduler={name: constant}", "clip_grad_norm=null"),
    },
}


def is_possible(option: str, value: str, other: str, its_value: str) -> bool:
    """Whether a config may have both.

    A clip level of one token, as with a single clip, and a causal level of one frame have no next token. Being alike
    takes two views, and something that keeps units apart; a teacher's targets have no gradient. What is cut out is no
    larger than what is read.
    """
    pair = {option: value, other: its_value}
    impossible = (
        {"groups": ("image", "space-time"), "causal": ("above", "all")},
        {"views": ("single",), "invariance": ("above",)},
        {"regularizer": ("none",), "invariance": ("above",)},
        {"targets": ("ema",), "side_targets": ("undetached",)},
        {"load_size": ("smaller",), "eval_crop": ("unscaled",)},
    )
    return not any(all(pair.get(key) in values for key, values in rule.items()) for rule in impossible)


def all_pairs(seed: int = 0) -> Iterator[dict[str, str]]:
    """Settings that hold every possible pair of values of two options at least once, found greedily."""
    generator = random.Random(seed)
    open_pairs = {
        ((option, value), (other, its_value))
        for (option, values), (other, its_values) in itertools.combinations(OPTIONS.items(), 2)
        for value, its_value in itertools.product(values, its_values)
        if is_possible(option, value, other, its_value)
    }
    while open_pairs:
        best: dict[str, str] = {}
        best_pairs: set[tuple[tuple[str, str], tuple[str, str]]] = set()
        for _ in range(2):
            setting = dict(generator.choice(sorted(open_pairs)))
            for option in generator.sample(sorted(OPTIONS), len(OPTIONS)):
                if option in setting:
                    continue
                values = [v for v in OPTIONS[option] if all(is_possible(option, v, *item) for item in setting.items())]
                gains = {v: sum(pair in open_pairs for pair in pairs_with(option, v, setting)) for v in values}
                setting[option] = max(generator.sample(values, len(values)), key=gains.__getitem__)
            ordered = {option: setting[option] for option in OPTIONS}
            pairs = set(itertools.combinations(ordered.items(), 2)) & open_pairs
            if len(pairs) > len(best_pairs):
                best, best_pairs = ordered, pairs
        open_pairs -= best_pairs
        yield best


def pairs_with(option: str, value: str, setting: dict[str, str]) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """The pairs that the value would make, each in the order of OPTIONS."""
    order = list(OPTIONS)
    for item in setting.items():
        first, second = sorted([(option, value), item], key=lambda pair: order.index(pair[0]))
        yield first, second


SETTINGS = list(all_pairs())


class NoiseLoader:
    """Two batches of noise, each with a second window."""

    def __init__(self, config: Config) -> None:
        self.frames, (self.height, self.width) = config.window.length, config.read_size

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        for number in range(first_batch, 2):
            generator = torch.Generator().manual_seed(10 * epoch + number)
            shape = (4, self.frames, 3, self.height, self.width)
            windows = [torch.randint(0, 256, shape, generator=generator).to(torch.uint8) for _ in range(2)]
            frames = torch.arange(self.frames).expand(4, -1)
            first, second = (Batch(window, torch.arange(4), frames, []) for window in windows)
            yield replace(first, other=second)


@pytest.mark.parametrize("setting", SETTINGS, ids=[str(number) for number in range(len(SETTINGS))])
def test_every_pair_of_options_trains_what_it_should(
    tiny_config: Callable[..., Config], setting: dict[str, str]
) -> None:
    overrides = [override for option, value in setting.items() for override in OPTIONS[option][value]]
    config = tiny_config(*overrides)
    seed_everything(config.seed)
    task = HierarchicalTask(config)
    trainer = Trainer(task, config, 4, CPU)
    before = {level: [p.detach().clone() for p in parameters] for level, parameters in trainer.groups.items()}
    teacher = {} if task.teacher is None else {k: v.clone() for k, v in task.teacher.state_dict().items()}
    report = next(trainer.epoch(NoiseLoader(config), 0, 0, lambda failed: None))  # type: ignore[arg-type]

    if report.skipped:  # a loss in the hundreds, scaled, overflows float16: the trainer's business, and tested there
        assert setting["precision"] == "float16"
        assert all(torch.equal(*pair) for x in before for pair in zip(before[x], trainer.groups[x], strict=True))
        return
    assert report.windows == 4 * config.num_iters_grad_accum
    assert all(math.isfinite(value) for terms in report.loss.values() for value in terms.values())
    groups = list(trainer.groups)
    assert groups == list(config.groups)
    active = groups if config.alternating_interval is None else groups[::2]
    logged = groups if config.alternating_interval is None or config.always_compute_loss else active
    assert [level for level in groups if report.loss.get(level)] == logged
    for level in groups:
        moved = any(not torch.equal(*pair) for pair in zip(before[level], trainer.groups[level], strict=True))
        assert moved == (level in active), level
        assert all(parameter.requires_grad for parameter in trainer.groups[level])
    assert list(report.grad_norm) == active
    assert all(0 < norm < math.inf for norm in report.grad_norm.values())
    if task.teacher is not None:
        assert any(not torch.equal(teacher[key], value) for key, value in task.teacher.state_dict().items())


LITERALS = ("targets", "isolation", "down_targets", "positions", "target_norm", "second_view")


def test_the_settings_hold_every_value_and_every_possible_pair() -> None:
    found = {pair for setting in SETTINGS for pair in itertools.combinations(setting.items(), 2)}
    for (option, values), (other, its_values) in itertools.combinations(OPTIONS.items(), 2):
        for value, its_value in itertools.product(values, its_values):
            assert (((option, value), (other, its_value)) in found) == is_possible(option, value, other, its_value)
    overrides = [override for values in OPTIONS.values() for value in values.values() for override in value]
    fields = {key: HierarchicalSettings.model_fields[key] for key in LITERALS}
    fields["eval_crop"] = Config.model_fields["eval_crop"]
    for key, field in fields.items():
        offered = get_args(field.annotation)
        given = {value.partition("=")[2] for value in overrides if value.partition("=")[0].rpartition(".")[2] == key}
        assert given == set(offered), key
    for kinds, option in ((LOSSES, "loss"), (REGULARIZERS, "regularizer")):
        given = {override.split("name: ")[1].rstrip("}").split(",")[0] for (override,) in OPTIONS[option].values()}
        assert given == {choice_of(kind) for kind in kinds}, option
    views = " ".join(value for value in overrides if value.startswith("hierarchical.views="))
    assert all(strength in views for strength in get_args(Strength))
