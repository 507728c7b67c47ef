"""All figures of what a model sees and does, drawn of a tiny network with real videos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from config.evaluations import TAKEN
from config.figures import MODEL_FIGURES
from data_utils.catalog.catalog import Catalog
from data_utils.video_files.decoding import VideoError
from figures.attention import draw_attention
from figures.model_figures import model_drawings
from figures.predicted_pixels import draw_predicted_pixels
from figures.prediction_errors import draw_prediction_errors
from figures.sampled_windows import Frames, sampled_windows
from figures.token_colours import component_colours, draw_token_colours
from figures.windows import FirstWindows
from protocols.encoded import EncodedData
from protocols.evaluation import EvaluationData, plan_evaluations
from tasks import build_task
from tasks.encoder import build_network
from tasks.hierarchical import HierarchicalTask
from tests.figures.model_runs import HOSTILE, MakeConfig, make_task, seen_by, texts_overlap
from tests.pictures import pixels
from train import training_loader
from visualization import DrawnRun

Seen = tuple[HierarchicalTask, EncodedData]


def first_windows(task: HierarchicalTask, data: EncodedData) -> FirstWindows:
    return FirstWindows.of(
        next(training_loader(task, data.catalogs["train"], data.config).epoch(0)), data.catalogs["train"]
    )


def drawn_run(seen: Seen, folder: Path, *names: str) -> DrawnRun:
    task, data = seen
    config = data.config.model_copy(update={"model_figures": list(names)})
    own = EvaluationData.of(data.catalogs, config, data.bad_videos)
    plan = plan_evaluations(config, own, folder / "bad_videos.csv")
    return DrawnRun(
        config,
        plan,
        task,
        data.split("test"),
        [],
        lambda: first_windows(task, data),
        folder,
        own.seen_by(task, data.device),
    )


def test_every_name_of_the_config_has_a_figure_of_its_own_whatever_videos_and_classes_are_called(
    seen: Seen, tmp_path: Path, drawn: dict[str, Figure]
) -> None:
    task, data = seen
    catalogs = {}
    for split, catalog in data.catalogs.items():
        labels = {
            name: replace(of, classes=[f"{HOSTILE[number % 4]}{number}" for number in range(len(of.classes))])
            for name, of in catalog.labels.items()
        }
        catalogs[split] = replace(catalog, labels=labels)
    hostile = seen_by(task, catalogs, data.config, tmp_path)
    run = replace(drawn_run((task, hostile), tmp_path, *MODEL_FIGURES), encoded=hostile)
    drawings = model_drawings(run, run.read, tmp_path)
    assert tuple(drawings) == MODEL_FIGURES
    training = [module.training for module in task.modules()]
    before = {name: value.clone() for name, value in task.state_dict().items()}
    for draw in drawings.values():
        draw()
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == sorted(MODEL_FIGURES)
    assert all(torch.equal(before[name], value) for name, value in task.state_dict().items())
    assert training == [module.training for module in task.modules()]
    assert {name: texts_overlap(fig) for name, fig in drawn.items()} == {name: [] for name in MODEL_FIGURES}
    assert all(pixels(tmp_path / f"{name}.png").shape[1] < 2000 for name in MODEL_FIGURES)
    assert set(MODEL_FIGURES) <= TAKEN


def test_only_what_the_config_names_is_drawn_and_nothing_is_read_for_the_rest(seen: Seen, tmp_path: Path) -> None:
    run = replace(drawn_run(seen, tmp_path, "attention"), read=lambda: pytest.fail("read"))
    assert list(model_drawings(run, run.read, tmp_path)) == ["attention"]
    assert model_drawings(drawn_run(seen, tmp_path), run.read, tmp_path) == {}


def test_an_encoder_without_levels_has_no_attention_tokens_or_predictions(seen: Seen, tmp_path: Path) -> None:
    sampled = sampled_windows(seen[1], "test", 2)
    network = torch.nn.Linear(1, 1)
    assert draw_attention(sampled, network, tmp_path) is None
    assert draw_token_colours(sampled, network, 0, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        ("groups=[backbone,space,time]", "frames_per_clip=6"),
        ("groups=[backbone,space]", "window.length=1", "frames_per_clip=1"),
        (
            "architecture_space.causal_mask=true",
            "architecture_time.causal_mask=true",
            "architecture_clip.causal_mask=true",
        ),
    ],
)
def test_other_hierarchies_are_drawn(
    options: tuple[str, ...],
    tiny_config: MakeConfig,
    tiny_catalogs: dict[str, Catalog],
    tmp_path: Path,
    drawn: dict[str, Figure],
) -> None:
    config = tiny_config(*options, root=tiny_catalogs["test"].root)
    task = make_task(config)
    data = seen_by(task, tiny_catalogs, config, tmp_path)
    names = MODEL_FIGURES[:5] if "backbone" in config.groups else ("attention", "prediction_errors", "predicted_pixels")
    run = drawn_run((task, data), tmp_path, *names)
    for draw in model_drawings(replace(run, encoded=data), run.read, tmp_path).values():
        draw()
    assert {name: texts_overlap(fig) for name, fig in drawn.items()} == {name: [] for name in names}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("encoder=joint",), ("attention", "token_colours", "predicted_pixels")),
        (("encoder=joint", "joint.cls_token=true", "joint.features=cls"), ("attention",)),
        (
            (
                *("encoder=joint", "window.length=1", "hierarchy.frames_per_clip=1"),
                *("groups=[backbone,space]", "masked.normalise=patch_channel", "masked.undo_normalisation=true"),
            ),
            ("attention", "token_colours", "predicted_pixels"),
        ),
        (("encoder=hierarchical",), ("predicted_pixels",)),
    ],
)
def test_masked_autoencoders_are_drawn(
    options: tuple[str, ...],
    names: tuple[str, ...],
    tiny_config: MakeConfig,
    tiny_catalogs: dict[str, Catalog],
    tmp_path: Path,
    drawn: dict[str, Figure],
) -> None:
    config = tiny_config("task=masked", *options, root=tiny_catalogs["test"].root)
    torch.manual_seed(0)
    task = build_task(config, tiny_catalogs["train"])
    data = seen_by(task, tiny_catalogs, config, tmp_path)
    sampled = sampled_windows(data, "test", 5)
    draw_attention(sampled, task.encoder, tmp_path)
    draw_token_colours(sampled, task.encoder, 0, tmp_path)
    draw_predicted_pixels(task, sampled, config, tmp_path)
    assert set(names) <= set(drawn)
    assert {name: texts_overlap(fig) for name, fig in drawn.items()} == {name: [] for name in drawn}
    rows = [label for part in drawn["predicted_pixels"].subfigs for label in (ax.get_ylabel() for ax in part.axes)]
    assert rows[:4] == ["true", "shown", "predicted", "means of\nthe patches"]


def test_windows_are_those_of_evaluation_and_unreadable_videos_are_left_out(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, data = seen
    sampled = sampled_windows(data, "test", 4)
    assert len(set(sampled.rows_B.tolist())) == 4
    window = data.config.window.model_copy(update={"eval_windows": 1})
    config = data.config.model_copy(update={"window": window})
    once = EncodedData(task.encoder, "digits", data.catalogs, config, data.device, data.bad_videos)
    units = task.encoder(sampled.video_BTCHW)["space"].mean(dim=1).detach().numpy()
    np.testing.assert_allclose(once.split("test").features[1]["space"][sampled.rows_B, 0], units, atol=1e-5)
    read, bad = Frames.read, int(sampled.rows_B[0])

    def damaged(self: Frames, row: int, frames_T: Any) -> Any:
        if row == bad:
            raise VideoError("damaged")
        return read(self, row, frames_T)

    monkeypatch.setattr(Frames, "read", damaged)
    assert sampled_windows(data, "test", 4).rows_B.tolist() == sampled.rows_B.tolist()[1:]
    monkeypatch.setattr(Frames, "read", lambda *_: (_ for _ in ()).throw(VideoError("gone")))
    with pytest.raises(VideoError, match="gone"):
        sampled_windows(data, "test", 4)


def test_heat_lies_on_the_patch_that_has_the_weight(seen: Seen, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    """Attention that looks at one patch of every frame alone lights that patch up."""
    from architecture.attention_maps import SummaryAttention
    from figures import attention

    task, data = seen
    sampled = sampled_windows(data, "test", 1)
    geometry = data.config.geometry
    weights = torch.zeros(1, geometry.frames, geometry.patches)
    weights[..., 4] = 1.0
    upper = {level: torch.full((1, geometry.units(level), geometry.tokens(level)), 0.5) for level in ("time", "clip")}
    maps = {"space": SummaryAttention(weights, weights)} | {
        name: SummaryAttention(of, of) for name, of in upper.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "summary_attention", lambda *_: maps)
        draw_attention(sampled, task.encoder, tmp_path)
    picture = np.asarray(
        cast(Any, drawn["attention"].findobj(lambda part: hasattr(part, "get_images"))[1]).get_images()[0].get_array()
    )
    height, width = picture.shape[0], picture.shape[0] * 24 // 16
    cells = picture[:, :width].mean(axis=2).reshape(2, height // 2, 3, width // 3).mean(axis=(1, 3))
    assert int(cells.argmax()) == 4  # row 1, column 1 of 2 x 3 patches
    assert cells.flat[4] > 2 * np.delete(cells, 4).max()


def test_colours_follow_the_components_and_vectors_that_are_alike_are_grey() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(2, 3, 50, 3)) * [30, 3, 0.3]
    axes = np.linalg.qr(rng.normal(size=(9, 9)))[0][:3]
    colours, shares = component_colours((numbers @ axes).astype(np.float32) + 5, seed=0)
    assert colours.shape == (2, 3, 50, 3)
    assert colours.min() >= 0
    assert colours.max() <= 1
    assert shares == pytest.approx([0.99, 0.0099, 0.0001], rel=0.2)
    light = colours @ np.array([0.299, 0.587, 0.114])
    middle = (np.abs(numbers) < [30, 3, 0.3]).all(axis=-1)  # where no colour is cut off
    assert abs(np.corrcoef(light[middle], numbers[..., 0][middle])[0, 1]) > 0.98
    alike, shares = component_colours(np.full((4, 5, 6), 7, np.float32), seed=0)
    assert shares == []
    assert np.ptp(alike) < 1e-6


def test_errors_of_two_views_need_a_second_window_that_the_batch_has(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, drawn: dict[str, Figure]
) -> None:
    views = "views={backbone: [none], space: [weak, weak], time: [none], clip: [strong, strong]}"
    config = tiny_config(views, "second_view=window", root=tiny_catalogs["test"].root)
    task = make_task(config)
    data = seen_by(task, tiny_catalogs, config, tmp_path)
    path = draw_prediction_errors(task, sampled_windows(data, "test", 4), first_windows(task, data), config, tmp_path)
    assert path is not None
    titles = {ax.get_title() for ax in drawn["prediction_errors"].axes}
    assert {"space: other view", "clip: other view", "space: down", "time: side"} <= titles
    assert "time: other view" not in titles
    assert build_network(config)  # the network alone is enough for the others
