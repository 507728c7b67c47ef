from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from config.errors import InputError
from config.schema import Config
from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet
from data_utils.catalog.catalog import Catalog
from data_utils.views.mixing import draw_mix
from data_utils.views.views import TrainingViews, View
from optimizers import build_optimizers
from tasks import build_task
from tasks.hierarchical import HierarchicalTask
from tasks.supervised import SupervisedTask
from tasks.task import StepContext

MakeConfig = Callable[..., Config]
LEVELS = ("space", "time", "clip")
LENGTHS = [16, 12, 16, 6, 9]
DIGITS, PROGRAMS = [3, 0, 2, 1, 2], [2, 0, 1, 2, 0]
MOTIONS = [[0, 1], [1, 0], [4, 3], [2, 1], [3, 0]]


def make_catalog(with_clips: bool = True) -> Catalog:
    """Five videos whose levels have labels of their own, with as many classes as no other level has."""
    label_sets = {
        "digit": LabelSet("digit", list("abcd"), np.array(DIGITS, np.int64)[:, None]),
        "motion": LabelSet("motion", list("vwxyz"), np.array(MOTIONS, np.int64)),
        "program": LabelSet("program", list("pqr"), np.array(PROGRAMS, np.int64)[:, None]),
    }
    table = pd.DataFrame({"frames": LENGTHS})
    own = {"space": "digit", "time": "motion" if with_clips else "program", "clip": "program"}
    return Catalog("train", Path("nowhere"), table, label_sets, listed=5, judged_by=own)


def make_task(tiny_config: MakeConfig, *overrides: str) -> SupervisedTask:
    torch.manual_seed(0)
    # Isolation is for the hierarchical task: the control is trained end to end whatever it says.
    config = tiny_config("task=supervised", "isolation=strict", *overrides)
    return SupervisedTask(config, make_catalog("clip" in config.groups)).train()


def losses_of(task: SupervisedTask, video: Tensor, rows: list[int], frames: list[list[int]]) -> dict[str, Tensor]:
    views = TrainingViews((video,), (torch.tensor(frames),), torch.tensor(rows))
    ((name, terms),) = task.losses(views, StepContext(torch.Generator())).items()
    assert name == "supervised"
    return terms


def make_video(batch: int) -> Tensor:
    return torch.randn(batch, 6, 3, 16, 24, generator=torch.Generator().manual_seed(1))


def expected_losses(task: SupervisedTask, video: Tensor, labels: dict[str, list[list[int]]]) -> dict[str, Tensor]:
    """The cross-entropy of every level, given the class of every unit of every window."""
    return {
        level: F.cross_entropy(task.classifiers[level](units).flatten(0, 1), torch.tensor(labels[level]).flatten())
        for level, units in task.encoder(video).items()
    }


def test_every_unit_learns_the_label_of_its_row_level_and_part(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config)
    video, rows = make_video(3), [4, 2, 3]
    # Clips of two frames. Row 4 has 9 frames: the first 5 are its first half, and a clip of both counts as the first.
    frames = [[0, 1, 4, 5, 7, 8], [2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5]]
    losses = losses_of(task, video, rows, frames)
    labels = {
        "space": [[2] * 6, [2] * 6, [1] * 6],
        "time": [[3, 3, 0], [4, 4, 4], [2, 2, 1]],  # of row 3, frames 2 and 3 are of either half: the first counts
        "clip": [[0], [1], [2]],
    }
    assert list(losses) == ["space", "time", "clip"]
    for level, loss in expected_losses(task, video, labels).items():
        torch.testing.assert_close(losses[level], loss)
    shapes = [tuple(parameter.shape) for parameter in task.classifiers.parameters()]
    assert shapes == [(4, 16), (4,), (5, 20), (5,), (3, 24), (3,)]


def test_videos_without_a_label_teach_nothing(tiny_config: MakeConfig) -> None:
    catalog = make_catalog()
    digits = catalog.labels["digit"]
    digits.values[3] = UNKNOWN
    torch.manual_seed(0)
    task = SupervisedTask(tiny_config("task=supervised", "isolation=strict"), catalog).train()
    video, frames = make_video(3), [[0, 1, 2, 3, 4, 5]] * 3
    losses = losses_of(task, video, [4, 3, 2], frames)
    units_BUD = task.encoder(video)["space"]
    scores = task.classifiers["space"](units_BUD[[0, 2]]).flatten(0, 1)
    torch.testing.assert_close(losses["space"], F.cross_entropy(scores, torch.tensor([2] * 12)))
    alone = losses_of(task, make_video(1), [3], frames[:1])["space"]
    alone.backward()
    assert alone == 0


@pytest.mark.parametrize(
    ("row", "frames", "motions"),
    [
        (0, [0, 1, 2, 3, 4, 5], [0, 0, 0]),
        (0, [8, 9, 10, 11, 12, 13], [1, 1, 1]),
        (0, [5, 6, 7, 8, 9, 10], [0, 0, 1]),  # a tie goes to the first half
        (0, [6, 7, 8, 9, 10, 11], [0, 1, 1]),
        (0, [0, 3, 6, 9, 12, 15], [0, 0, 1]),  # every third frame
        (1, [6, 7, 8, 9, 10, 11], [0, 0, 0]),  # the same frames of a shorter video are all of its second half
        (3, [3, 4, 5, 0, 1, 2], [1, 2, 2]),  # a looped video begins anew
    ],
)
def test_a_clip_learns_the_motion_of_the_half_that_it_shows(
    tiny_config: MakeConfig, row: int, frames: list[int], motions: list[int]
) -> None:
    task = make_task(tiny_config)
    with torch.no_grad():  # a classifier that tells the classes apart by its bias, whatever it sees
        classifier = task.classifiers["time"]
        assert isinstance(classifier, nn.Linear)
        classifier.weight.zero_()
        classifier.bias.copy_(-torch.arange(5.0) * 3)
    log_p = F.log_softmax(-torch.arange(5.0) * 3, dim=0)
    loss = losses_of(task, make_video(1), [row], [frames])["time"]
    torch.testing.assert_close(loss, -log_p[torch.tensor(motions)].mean())


def test_two_levels_learn_the_digit_and_the_program(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config, "groups=[space,time]", "frames_per_clip=6")
    video = make_video(2)
    losses = losses_of(task, video, [1, 0], [[0, 1, 2, 3, 4, 5]] * 2)
    expected = expected_losses(task, video, {"space": [[0] * 6, [3] * 6], "time": [[0], [2]]})
    assert list(losses) == list(expected) == ["space", "time"]
    for level, loss in expected.items():
        torch.testing.assert_close(losses[level], loss)


def test_the_classifier_is_that_of_the_last_level(tiny_config: MakeConfig) -> None:
    for overrides, last in (((), "clip"), (("groups=[space,time]", "frames_per_clip=6"), "time")):
        task = make_task(tiny_config, *overrides)
        assert task.classifier is task.classifiers[last]
        assert task.classifier(task.encoder(make_video(3))[last][:, 0]).shape == (3, 3)


def test_it_trains_every_parameter_end_to_end(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config)
    ((name, group),) = task.parameter_groups().items()
    assert name == "supervised"
    assert {id(p) for p in group.parameters} == {id(p) for p in task.encoder.parameters()}
    assert {id(p) for p in group.predictors} == {id(p) for p in task.classifiers.parameters()}
    assert len(group.all()) == len(list(task.parameters()))
    losses = losses_of(task, make_video(3), [0, 1, 2], [[0, 1, 2, 3, 4, 5]] * 3)
    losses["clip"].backward(retain_graph=True)
    assert all(p.grad is not None and p.grad.any() for p in task.encoder.parameters())
    (losses["space"] + losses["time"]).backward()
    assert all(p.grad is not None and p.grad.any() for p in task.parameters())


def test_patches_have_no_labels(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config, "groups=[backbone,space,time,clip]")
    video = make_video(3)
    assert list(task.encoder(video)) == ["backbone", "space", "time", "clip"]
    losses = losses_of(task, video, [0, 1, 2], [[0, 1, 2, 3, 4, 5]] * 3)
    assert list(losses) == list(task.classifiers) == ["space", "time", "clip"]
    losses["clip"].backward(retain_graph=True)
    assert all(p.grad is not None and p.grad.any() for p in task.encoder.parameters())  # the stem's too


@pytest.mark.parametrize(("encoder", "width"), [("s3d", 1024), ("r2plus1d_18", 512), ("mvit_v2_s", 768)])
def test_a_cnn_learns_the_labels_of_the_last_level(tiny_config: MakeConfig, encoder: str, width: int) -> None:
    task = make_task(tiny_config, f"encoder={encoder}", "window.length=8")
    video, frames = torch.cat([make_video(4), make_video(4)[:, :2]], dim=1), [[0, 1, 2, 3, 4, 5, 6, 7]] * 4
    losses = losses_of(task, video, [4, 2, 3, 0], frames)
    assert list(losses) == list(task.classifiers) == ["clip"]
    assert [tuple(p.shape) for p in task.classifier.parameters()] == [(3, width), (3,)]
    losses["clip"].backward()
    assert losses["clip"].isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in task.parameters())
    assert all(p.grad is not None and p.grad.any() for p in task.classifier.parameters())
    with torch.no_grad():
        scores_BC = task.eval().classifier(task.encoder(video)["clip"][:, 0])
    rows = torch.tensor([PROGRAMS[row] for row in (4, 2, 3, 0)])
    expected = F.cross_entropy(scores_BC, rows)
    found = losses_of(task, video, [4, 2, 3, 0], frames)["clip"]
    torch.testing.assert_close(found, expected)


def test_it_looks_at_the_window_that_all_tasks_look_at(tiny_config: MakeConfig) -> None:
    assert make_task(tiny_config).views == (View(),)
    augmented = make_task(tiny_config, "augment_training=true")
    assert augmented.views == (View(augmentation=tiny_config().augmentation),)


def test_labels_and_lengths_are_no_part_of_a_checkpoint(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config)
    buffers = {f"lessons.dataset.{name}" for name in ("lengths_N", *(f"labels_of_{level}" for level in LEVELS))}
    assert buffers <= dict(task.named_buffers()).keys()
    names = set(task.state_dict())
    assert {name for name in names if not name.startswith("network.")} == {
        f"classifiers.{level}.{part}" for level in ("space", "time", "clip") for part in ("weight", "bias")
    }
    task.load_state_dict(task.state_dict())


def test_the_labels_are_a_copy(tiny_config: MakeConfig) -> None:
    catalog = make_catalog()
    task = SupervisedTask(tiny_config("task=supervised"), catalog)
    catalog.labels["program"].values[:] = 1
    catalog.table["frames"] = 99
    buffers = dict(task.named_buffers())
    assert buffers["lessons.dataset.labels_of_clip"].flatten().tolist() == PROGRAMS
    assert buffers["lessons.dataset.lengths_N"].tolist() == LENGTHS


def test_the_config_chooses_the_task_and_both_train_the_same_encoder(tiny_config: MakeConfig) -> None:
    torch.manual_seed(0)
    hierarchical = build_task(tiny_config(), make_catalog())
    torch.manual_seed(0)
    supervised = build_task(tiny_config("task=supervised"), make_catalog())
    assert isinstance(hierarchical, HierarchicalTask)
    assert isinstance(supervised, SupervisedTask)
    first, second = hierarchical.encoder.state_dict(), supervised.encoder.state_dict()
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


# ------------------------------------------------------------------------------------------------ several datasets


def two_datasets(tiny_config: MakeConfig, *overrides: str, labels_as: str = "null") -> tuple[SupervisedTask, Config]:
    """Trained on `make_catalog` and on another one with the same class names and other labels."""
    other = f"{{data: {{dataset: {{name: catalog, root: nowhere}}}}, labels_as: {labels_as}}}"
    config = tiny_config("task=supervised", f"datasets={{other: {other}}}", *overrides)
    second = make_catalog()
    for label_set in second.labels.values():
        label_set.values[:] = 0
    return SupervisedTask(config, replace(make_catalog(), further={"other": second})).train(), config


def views_of(dataset: str, rows: list[int], video: Tensor) -> TrainingViews:
    return TrainingViews((video,), (torch.arange(6).expand(len(rows), 6),), torch.tensor(rows), dataset=dataset)


def test_each_label_space_has_classifiers_of_its_own(tiny_config: MakeConfig) -> None:
    """K150 and SynAPT have 150 classes each, 0 to 149, which have nothing to do with each other."""
    task, _ = two_datasets(tiny_config)
    video = make_video(3)
    heads = {name: list(task.classifiers_of(name).parameters()) for name in ("dataset", "other")}
    assert not {id(p) for p in heads["dataset"]} & {id(p) for p in heads["other"]}
    losses = task.losses(views_of("other", [5, 6, 9], video), StepContext(torch.Generator()))["supervised"]
    assert list(losses) == ["other.space", "other.time", "other.clip"]
    for level, units in task.encoder(video).items():
        scores = task.classifiers_of("other")[level](units).flatten(0, 1)
        torch.testing.assert_close(losses[f"other.{level}"], F.cross_entropy(scores, torch.zeros(len(scores)).long()))
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None for p in heads["dataset"])
    assert all(p.grad is not None and p.grad.any() for p in heads["other"])
    own = task.losses(views_of("", [0, 1, 2], video), StepContext(torch.Generator()))["supervised"]
    assert list(own) == ["space", "time", "clip"]
    trained = {id(p) for p in task.parameter_groups()["supervised"].all()}
    assert trained == {id(p) for p in task.parameters()}


def test_datasets_that_are_said_to_have_the_same_classes_share_their_classifiers(tiny_config: MakeConfig) -> None:
    task, _ = two_datasets(tiny_config, labels_as="dataset")
    assert task.classifiers_of("other") is task.classifiers
    assert not list(task.further_classifiers.parameters())


def test_shared_classes_are_matched_by_name(tiny_config: MakeConfig) -> None:
    catalog = make_catalog()
    config = tiny_config(
        "task=supervised", "datasets={b: {data: {dataset: {name: catalog, root: x}}, labels_as: dataset}}"
    )
    some = {
        name: replace(known, classes=list(reversed(known.classes))[: 3 if name == "program" else None])
        for name, known in catalog.labels.items()
    }
    task = SupervisedTask(config, replace(catalog, further={"b": replace(catalog, labels=some)}))
    labels = dict(task.named_buffers())["lessons.b.labels_of_clip"].flatten().tolist()
    assert labels == [2 - number for number in PROGRAMS]  # r, q, p are 2, 1, 0 of p, q, r
    foreign = {**some, "program": replace(some["program"], classes=["p", "q", "walk"])}
    with pytest.raises(InputError, match=r"datasets\.b: its class 'walk' is none of those"):
        SupervisedTask(config, replace(catalog, further={"b": replace(catalog, labels=foreign)}))


def test_a_further_dataset_without_labels_is_named(tiny_config: MakeConfig) -> None:
    config = tiny_config("task=supervised", "datasets={b: {data: {dataset: {name: catalog, root: x}}}}")
    bare = replace(make_catalog(), labels={})
    with pytest.raises(InputError, match=r"datasets\.b: .*space has none"):
        SupervisedTask(config, replace(make_catalog(), further={"b": bare}))


# --------------------------------------------------------------------------------- what fine-tuning has, for alignment


def test_the_classifiers_and_the_last_norm_have_the_whole_learning_rate(tiny_config: MakeConfig) -> None:
    """PPMA gave 0.75 of it to its head: its layer decay was off by one."""
    task = make_task(tiny_config, "supervised.layer_decay=0.5")
    groups = {
        id(parameter): group
        for group in build_optimizers(task, tiny_config("task=supervised"))["supervised"].param_groups
        for parameter in group["params"]
    }
    shares = {name: groups[id(parameter)]["lr_share"] for name, parameter in task.named_parameters()}
    assert {share for name, share in shares.items() if name.startswith("classifiers.")} == {1.0}
    assert {shares[name] for name in shares if name.startswith("network.levels.clip.norm")} == {1.0}
    assert {shares[name] for name in shares if name.startswith("network.levels.clip.blocks.0")} == {0.5}
    assert {shares[name] for name in shares if name.startswith("network.stem")} == {0.5**4}  # a block in each level


def test_mixed_windows_have_the_labels_of_both(tiny_config: MakeConfig) -> None:
    task = make_task(tiny_config, "supervised.mixup=0.8", "supervised.label_smoothing=0.1").eval()
    video, rows = make_video(3), [0, 1, 3]
    views = views_of("", rows, video)
    losses = task.losses(views, StepContext(torch.Generator().manual_seed(4)))["supervised"]
    mix = draw_mix(0.8, 0.0, (3, 16, 24), torch.Generator().manual_seed(4))
    assert mix is not None
    assert 0 < mix.own < 1
    mixed = mix.pixels(video)
    labels = torch.tensor([PROGRAMS[row] for row in rows])
    one_hot = F.one_hot(labels, 3).double()
    soft = 0.9 * (mix.own * one_hot + (1 - mix.own) * one_hot.roll(-1, 0)) + 0.1 / 3
    scores = task.classifiers["clip"](task.encoder(mixed)["clip"][:, 0]).double()
    expected = -(soft * scores.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(losses["clip"].double(), expected, rtol=1e-5, atol=1e-6)
