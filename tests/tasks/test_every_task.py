"""Every task with every encoder trains, resumes and is evaluated by the same code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch

from config.schema import Config
from data_utils.batches.loader import Loader
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols.encoding import encode_split
from runs.checkpoint import load_checkpoint, save_checkpoint
from tasks import build_task
from tasks.task import Task
from train import Trainer

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")
SETTINGS = {
    "hierarchical": ("task=hierarchical",),
    "hierarchical, two views": (
        "views={space: [weak,weak], time: [weak,strong], clip: [strong,strong]}",
        "second_view=window",
        "loss_weights={space: {invariance: 1}, time: {invariance: 1}, clip: {invariance: 1}}",
        "detach_side_targets=false",
    ),
    "hierarchical, teacher of another view": (
        "views.clip=[none,strong]",
        "targets=ema",
        "loss_weights.clip.invariance=1",
    ),
    "supervised": ("task=supervised",),
    "supervised, augmented": ("task=supervised", "augment_training=true", "groups=[backbone,space,time,clip]"),
    "supervised s3d": ("task=supervised", "encoder=s3d", "window.length=8"),
    "supervised mvit": ("task=supervised", "encoder=mvit_v2_s"),
    "vicreg swin": ("task=vicreg", "encoder=swin3d_t"),
    "vicreg": ("task=vicreg",),
    "vicreg, causal": ("task=vicreg", "architecture_time.causal_mask=true", "output_batchnorm=true"),
    "masked": ("task=masked", "encoder=joint", "masked.repeats=2"),
    "masked, levels": ("task=masked", "encoder=hierarchical", "masked.repeats=2"),
    "masked, patches too": ("task=masked", "groups=[backbone,space,time,clip]", "masked.isolation=end2end"),
    "supervised joint": ("task=supervised", "encoder=joint", "joint.drop_path=0.2"),
    "vicreg joint": ("task=vicreg", "encoder=joint", "joint.cls_token=true", "joint.features=cls"),
    "svt joint": ("task=svt", "encoder=joint", "joint.norm=rms", "joint.mlp=swiglu", "joint.layer_scale=0.1"),
    "svt s3d": ("task=svt", "encoder=s3d", "window.length=8"),
    "svt": ("task=svt",),
    "svt, patches": ("task=svt", "groups=[backbone,space,time]", "frames_per_clip=6", "stem=cnn", "patch_size=4"),
    "svt, accumulated": ("task=svt", "batch_size=4", "num_iters_grad_accum=2", "use_single_optimizer=true"),
}


def make_task(config: Config, catalogs: dict[str, Catalog]) -> Task:
    torch.manual_seed(config.seed)
    return build_task(config, catalogs["train"])


def train(task: Task, config: Config, catalogs: dict[str, Catalog], path: Path) -> None:
    """One epoch of three steps; the checkpoint after the first is left in `path`, or where it is there, taken up."""
    second = any(view.window for view in task.views)
    with closing(
        Loader(catalogs["train"], config, config.batch_size, config.seed, training=True, second_window=second)
    ) as batches:
        trainer = Trainer(task, config, len(batches), CPU)
        done = 0
        if path.exists():
            state = load_checkpoint(path)
            task.load_state_dict(state["task"])
            trainer.load_state_dict(state["trainer"])
            done = state["batch"]
        for report in trainer.epoch(batches, 0, done, lambda failed: None):
            assert not report.skipped
            if report.step == 1:
                state = {"task": task.state_dict(), "trainer": trainer.state_dict(), "batch": report.batch}
                save_checkpoint(state, path)
        assert report.step == 3


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_it_trains_resumes_and_is_evaluated(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, setting: tuple[str, ...]
) -> None:
    config = tiny_config("num_epochs=1", *setting)
    task, resumed, untrained = (make_task(config, tiny_catalogs) for _ in range(3))
    train(task, config, tiny_catalogs, tmp_path / "last.pt")
    for parameters in (group.all() for group in task.parameter_groups().values()):
        assert all(parameter.isfinite().all() for parameter in parameters)
    train(resumed, config, tiny_catalogs, tmp_path / "last.pt")
    other = resumed.state_dict()
    for name, value in task.state_dict().items():
        assert torch.equal(value, other[name]), name
    at_init = untrained.state_dict()
    moved = {name for name, value in task.named_parameters() if not torch.equal(value, at_init[name])}
    if config.task == "svt":  # at progress 1 the teacher rests, before it has moved
        assert {name.replace("teacher.", "student.") for name in moved} <= moved
    assert len(moved) > 0.8 * len(list(task.parameters()))

    bad_videos = BadVideos(tmp_path / "bad_videos.csv", 48, 0.0, dataset="videos")
    split = encode_split(task.encoder, tiny_catalogs["val"], config, CPU, bad_videos)
    assert list(split.features[1]) == config.levels
    if task.classifier is not None:
        last = torch.from_numpy(split.features[1][config.levels[-1]][:, 0])
        assert task.classifier(last).isfinite().all()
