"""Training and evaluation where frames are read at another size and rate than the model takes them."""

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
from data_utils.views.views import make_views
from eval import Validator
from figures.windows import FirstWindows, draw_input, draw_looks
from protocols.evaluation import EvaluationData, plan_evaluations
from runs.process.seeds import seed_everything
from tasks import build_task
from train import Trainer

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")
# The videos have 16 frames of 36x36, 8 per second: a frame of a window is 1.6 behind the one before.
OFFSETS = [0, 2, 3, 5, 6, 8]
READ = ("load_size=[30,40]", "window.frequency_fps=5.0", "augmentation.flip=0.5", "augmentation.crop.scale=[0.3,1.0]")


@pytest.mark.parametrize("eval_crop", ["centre", "unscaled", "resize", "three"])
@pytest.mark.parametrize(
    "task",
    [
        ("task=svt",),
        ("task=vicreg",),
        ("views.time=[strong,strong]", "second_view=window"),
        ("views={space: [weak,weak], time: [weak,strong], clip: [strong,strong]}", "loss_weights.clip.invariance=1"),
        ("task=supervised",),
    ],
    ids=" ".join,
)
def test_every_task_trains_a_step_and_is_validated(
    task: tuple[str, ...], eval_crop: str, tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    config = tiny_config(*READ, *task, f"eval_crop={eval_crop}", root=tiny_catalogs["train"].root)
    seed_everything(config.seed)
    trained = build_task(config, tiny_catalogs["train"])
    second = any(view.window for view in trained.views)
    with closing(
        Loader(tiny_catalogs["train"], config, config.batch_size, config.seed, training=True, second_window=second)
    ) as loader:
        batch = next(loader.epoch(0))
        assert batch.video_BTCHW.shape == (8, 6, 3, 30, 40)
        views = make_views(batch, trained.views, config, config.seed, 0)
        assert {video.shape for video in views.videos} == {(8, 6, 3, 16, 24)}
        for view, frames in zip(trained.views, views.frames, strict=True):
            if view.time_scale == (1.0, 1.0):
                assert (frames - frames[:, :1]).tolist() == [OFFSETS] * 8
        again = make_views(batch, trained.views, config, config.seed, 0)
        assert all(torch.equal(*pair) for pair in zip(views.videos, again.videos, strict=True))
        trainer = Trainer(trained, config, len(loader), CPU)
        before = {name: p.detach().clone() for name, p in trained.named_parameters() if p.requires_grad}
        report = next(trainer.epoch(loader, 0, 0, lambda failed: None))
    assert not report.skipped
    assert all(torch.isfinite(torch.tensor(value)) for terms in report.loss.values() for value in terms.values())
    assert any(not torch.equal(before[name], p) for name, p in trained.named_parameters() if name in before)
    bad = tmp_path / "bad_videos.csv"
    data = EvaluationData.of(tiny_catalogs, config, BadVideos(bad, total=48, max_share=0.5, dataset="videos"))
    found = Validator(trained, plan_evaluations(config, data, bad), config, CPU).run(None)
    assert {result.evaluation for result in found.results} == {"knn"}
    assert all(result.value is not None and 0 <= result.value <= 100 for result in found.results)


@pytest.mark.parametrize("views", ["[none]", "[strong, strong]"])
def test_figures_show_what_the_model_sees(
    tiny_config: MakeConfig,
    tiny_catalogs: dict[str, Catalog],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    views: str,
) -> None:
    drawn = []
    monkeypatch.setattr("figures.windows.draw_windows", lambda seen, *_: drawn.append((seen.shape, seen.dtype.name)))
    every_level = f"views={{space: {views}, time: {views}, clip: {views}}}"
    config = tiny_config(*READ, every_level, "eval_crop=three", root=tiny_catalogs["train"].root)
    task = build_task(config, tiny_catalogs["train"])
    with closing(Loader(tiny_catalogs["train"], config, config.batch_size, config.seed, training=True)) as loader:
        first = FirstWindows.of(next(loader.epoch(0)), tiny_catalogs["train"])
    draw_input(first, config, tmp_path)
    draw_looks(first, task.views, task.view_names, config, tmp_path)
    assert drawn == [((8, 6, 16, 24, 3), "uint8")]
    assert (tmp_path / "views.png").exists() == (views != "[none]")
