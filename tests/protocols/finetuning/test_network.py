"""protocols/finetuning/network.py: what is trained, what is not, and what the classifier sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architecture.blocks import Block
from architecture.hierarchy import HierarchicalTransformer
from config.errors import InputError
from config.schema import Config
from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.views.mixing import Mix
from data_utils.views.views import TrainingViews, View
from protocols.finetune import FinetuneSettings
from protocols.finetuning.copying import trainable_copy
from protocols.finetuning.network import FinetuneTask
from protocols.finetuning.targets import Targets
from tasks.encoder import build_hierarchy, feature_dim
from tasks.task import StepContext

MakeConfig = Callable[..., Config]
LENGTHS = torch.tensor([12, 12, 6, 6])
CLASSES = ["a", "b", "c"]
ONE = LabelSet("program", CLASSES, np.array([[0], [1], [2], [1]]))
PARTS = LabelSet("motion", CLASSES, np.array([[0, 1], [1, 2], [2, 0], [1, 1]]))
SEVERAL = MultiLabelSet(
    "things", CLASSES, np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 1, 1]], np.bool_), np.ones(4, np.bool_)
)


def encoder_of(config: Config, isolation: str = "strict") -> HierarchicalTransformer:
    torch.manual_seed(0)
    return build_hierarchy(config, isolation)


def task_of(
    config: Config, labels: LabelSet | MultiLabelSet = ONE, level: str = "clip", **settings: Any
) -> FinetuneTask:
    chosen = FinetuneSettings(**{"label_smoothing": 0.0, **settings})
    width = feature_dim(config, level)
    return FinetuneTask(encoder_of(config), level, width, Targets(labels), LENGTHS, chosen, View(), seed=0)


def video(batch: int = 4) -> Tensor:
    return torch.randn(batch, 6, 3, 16, 24, generator=torch.Generator().manual_seed(1))


def views(frames: list[list[int]] | None = None, rows: tuple[int, ...] = (0, 1, 2, 3)) -> TrainingViews:
    frames = frames or [list(range(6))] * len(rows)
    return TrainingViews((video(len(rows)),), (torch.tensor(frames),), torch.tensor(rows))


def loss_of(task: FinetuneTask, batch: TrainingViews) -> Tensor:
    context = StepContext(torch.Generator().manual_seed(3))
    return task.losses(batch, context)["finetune"]["loss"]


def with_some_head(task: FinetuneTask) -> FinetuneTask:
    """A head that tells windows apart: that of the beginning says next to nothing."""
    nn.init.normal_(task.head.weight, generator=torch.Generator().manual_seed(5))
    return task.eval()


# ------------------------------------------------------------------------------------------- what is trained


def test_gradient_goes_through_all_levels_of_a_strict_encoder(tiny_config: MakeConfig) -> None:
    task = with_some_head(task_of(tiny_config()))
    loss_of(task, views()).backward()
    assert all(p.grad is not None and p.grad.any() for p in task.parameters())
    assert {id(p) for p in task.trained} == {id(p) for p in task.network.parameters()}


def test_the_encoder_is_copied(tiny_config: MakeConfig) -> None:
    config = tiny_config("hierarchy.interlevel_noise=0.25")
    encoder = encoder_of(config)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    settings = FinetuneSettings(drop_path=0.5, freeze=["space"])
    task = FinetuneTask(encoder, "clip", 24, Targets(ONE), LENGTHS, settings, View(), seed=0)
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(1)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in encoder.parameters())
    assert (encoder.isolation, encoder.interlevel_noise) == ("strict", 0.25)
    assert {block.skip for block in encoder.modules() if isinstance(block, Block)} == {0.0}
    assert isinstance(task.network, HierarchicalTransformer)
    assert (task.network.isolation, task.network.interlevel_noise) == ("end2end", 0.0)


@pytest.mark.parametrize(
    ("frozen", "still"),
    [
        (["space"], {"stem", "levels.space", "summary_norms.space"}),
        (["time"], {"levels.time", "summary_norms.time"}),
        (["space", "time", "clip"], {"stem", "levels", "summary_norms"}),
    ],
)
def test_frozen_levels_stay_as_they_are(tiny_config: MakeConfig, frozen: list[str], still: set[str]) -> None:
    config = tiny_config("hierarchy.output_batchnorm=true", "hierarchy.space.dropout=0.5", "hierarchy.time.dropout=0.5")
    task = task_of(config, freeze=frozen).train()
    nn.init.normal_(task.head.weight)
    loss_of(task, views()).backward()
    for name, parameter in task.network.named_parameters():
        assert (parameter.grad is None) == any(name.startswith(f"{part}.") for part in still), name
    moved = {
        name
        for name, tensor in task.network.state_dict().items()
        if not torch.equal(tensor, encoder_of(config).state_dict()[name])
    }
    assert all("running" in name or "num_batches" in name for name in moved)
    assert not any(name.startswith(f"{part}.") for name in moved for part in still)
    assert any(name.startswith("summary_norms") for name in moved) == (len(frozen) < 3)
    trained = {id(parameter) for parameter in task.parameter_groups()["finetune"].all()}
    assert trained == {id(parameter) for parameter in task.parameters() if parameter.requires_grad}


def test_nothing_in_a_frozen_level_is_dropped(tiny_config: MakeConfig) -> None:
    task = task_of(tiny_config("hierarchy.space.dropout=0.5"), level="space", freeze=["space"], drop_path=0.9).train()
    first, second = (task.network(video())["space"] for _ in range(2))
    assert torch.equal(first, second)


def test_levels_above_take_no_part(tiny_config: MakeConfig) -> None:
    task = task_of(tiny_config(), level="time")
    loss_of(with_some_head(task), views()).backward()
    above = [p for name, p in task.network.named_parameters() if name.startswith("levels.clip")]
    assert above
    assert not any(p.requires_grad for p in above)
    assert all(p.grad is not None and p.grad.any() for p in task.trained)


def test_drop_path_grows_through_the_levels(tiny_config: MakeConfig) -> None:
    config = tiny_config("hierarchy.time.layers=2", "hierarchy.clip.stochastic_depth=0.7")
    skips = [block.skip for block in task_of(config, drop_path=0.4).network.modules() if isinstance(block, Block)]
    assert skips == pytest.approx([0.1, 0.2, 0.3, 0.4])
    of_time = task_of(config, level="time", drop_path=0.3).network
    assert [b.skip for b in of_time.modules() if isinstance(b, Block)] == pytest.approx([0.1, 0.2, 0.3, 0.7])
    as_trained = [block.skip for block in task_of(config).network.modules() if isinstance(block, Block)]
    assert as_trained == [0.0, 0.0, 0.0, 0.7]


def test_a_cnn_is_trained_as_a_whole_and_has_nothing_to_skip(tiny_config: MakeConfig) -> None:
    from architecture.torchvision_networks import TorchvisionNetwork

    cnn = TorchvisionNetwork("s3d", "clip", 0.1)
    settings = FinetuneSettings(freeze=["clip"])
    frozen = FinetuneTask(cnn, "clip", 1024, Targets(ONE), LENGTHS, settings, View(), seed=0).train()
    assert frozen.trained == []
    assert not any(module.training for module in frozen.network.modules())
    with pytest.raises(InputError, match="drop_path: this encoder has no blocks"):
        FinetuneTask(cnn, "clip", 1024, Targets(ONE), LENGTHS, FinetuneSettings(drop_path=0.1), View(), seed=0)


def test_drop_path_grows_through_the_stages_of_other_networks() -> None:
    from torchvision.ops import StochasticDepth

    encoder = nn.Sequential(StochasticDepth(0.3, "row"), nn.Linear(2, 2), StochasticDepth(0.3, "row"))
    copied = trainable_copy(encoder, "clip", 0.4)
    assert [m.p for m in copied.modules() if isinstance(m, StochasticDepth)] == pytest.approx([0.2, 0.4])
    assert [m.p for m in trainable_copy(encoder, "clip", None).modules() if isinstance(m, StochasticDepth)] == [
        0.3,
        0.3,
    ]
    assert [m.p for m in encoder.modules() if isinstance(m, StochasticDepth)] == [0.3, 0.3]


def test_the_beginning_is_a_function_of_the_seed(tiny_config: MakeConfig) -> None:
    config = tiny_config()
    heads = [
        FinetuneTask(encoder_of(config), "clip", 24, Targets(ONE), LENGTHS, FinetuneSettings(), View(), seed=seed).head
        for seed in (0, 0, 1)
    ]
    assert torch.equal(heads[0].weight, heads[1].weight)
    assert not torch.equal(heads[0].weight, heads[2].weight)


# ----------------------------------------------------------------------------------- what the classifier sees


def test_it_classifies_the_mean_of_the_units(tiny_config: MakeConfig) -> None:
    task = with_some_head(task_of(tiny_config(), level="space"))
    scores = task.head(task.network(video())["space"].mean(dim=1))
    torch.testing.assert_close(loss_of(task, views()), F.cross_entropy(scores, torch.tensor([0, 1, 2, 1])))
    said, shown = task.classify(video(), views().frames[0], LENGTHS)
    torch.testing.assert_close(said, scores.softmax(dim=1)[:, None])
    assert shown.tolist() == [[1.0]] * 4


def test_each_part_is_classified_by_its_own_units(tiny_config: MakeConfig) -> None:
    task = with_some_head(task_of(tiny_config(), PARTS, level="space"))
    # Of 12 frames the first 6 are the first half: the first window shows both halves, the second one the first alone.
    batch = views([[2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5]], rows=(0, 1))
    units = task.network(video(2))["space"]
    both = task.head(torch.stack([units[0, :4].mean(dim=0), units[0, 4:].mean(dim=0)]))
    one = task.head(units[1].mean(dim=0, keepdim=True))
    of_first = F.cross_entropy(both, torch.tensor([0, 1]), weight=None, reduction="none") @ torch.tensor([4 / 6, 2 / 6])
    torch.testing.assert_close(loss_of(task, batch), (of_first + F.cross_entropy(one, torch.tensor([1]))) / 2)
    said, shown = task.classify(video(2), batch.frames[0], LENGTHS[:2])
    torch.testing.assert_close(said[0], both.softmax(dim=1))
    torch.testing.assert_close(said[1, :1], one.softmax(dim=1))
    torch.testing.assert_close(shown, torch.tensor([[4 / 6, 2 / 6], [1.0, 0.0]]))


def test_several_classes_at_once_are_learned_one_by_one(tiny_config: MakeConfig) -> None:
    task = with_some_head(task_of(tiny_config(), SEVERAL, label_smoothing=0.2))
    scores = task.head(task.network(video())["clip"][:, 0])
    wanted = torch.from_numpy(SEVERAL.shows_NC).float() * 0.8 + 0.1
    torch.testing.assert_close(loss_of(task, views()), F.binary_cross_entropy_with_logits(scores, wanted))
    torch.testing.assert_close(task.classify(video(), views().frames[0], LENGTHS)[0][:, 0], scores.sigmoid())


def test_labels_are_smoothed(tiny_config: MakeConfig) -> None:
    task = with_some_head(task_of(tiny_config(), label_smoothing=0.3))
    scores = task.head(task.network(video())["clip"][:, 0])
    expected = F.cross_entropy(scores, torch.tensor([0, 1, 2, 1]), label_smoothing=0.3)
    torch.testing.assert_close(loss_of(task, views()), expected)


def test_mixed_windows_learn_mixed_labels(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    task = with_some_head(task_of(tiny_config(), mixup=1.0))
    monkeypatch.setattr("protocols.finetuning.network.draw_mix", lambda *_: Mix(0.75))
    mixed = 0.75 * video() + 0.25 * video().roll(-1, dims=0)
    scores = task.head(task.network(mixed)["clip"][:, 0])
    own, others = torch.tensor([0, 1, 2, 1]), torch.tensor([1, 2, 1, 0])
    expected = 0.75 * F.cross_entropy(scores, own) + 0.25 * F.cross_entropy(scores, others)
    torch.testing.assert_close(loss_of(task, views()), expected)


def test_mixed_parts_learn_what_the_other_window_shows_at_that_time(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = with_some_head(task_of(tiny_config(), PARTS, level="space", mixup=1.0))
    monkeypatch.setattr("protocols.finetuning.network.draw_mix", lambda *_: Mix(0.75))
    # The first window lies in the first half of its video; the other one shows four frames of its first, two of its
    # second half. So the first window's one part is mixed with two thirds of one label and one third of the other.
    batch = views([[0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 6, 7]], rows=(0, 1))
    units = task.network(0.75 * video(2) + 0.25 * video(2).flip(0))["space"]
    of_first = torch.log_softmax(task.head(units[0].mean(dim=0)), dim=0)
    first = -(0.75 * of_first[0] + 0.25 * (4 / 6 * of_first[1] + 2 / 6 * of_first[2]))
    halves = torch.log_softmax(task.head(torch.stack([units[1, :4].mean(dim=0), units[1, 4:].mean(dim=0)])), dim=1)
    # Each half of the second window is mixed with the label of the first window's first half, which is 0.
    second = -(
        4 / 6 * (0.75 * halves[0, 1] + 0.25 * halves[0, 0]) + 2 / 6 * (0.75 * halves[1, 2] + 0.25 * halves[1, 0])
    )
    torch.testing.assert_close(loss_of(task, batch), (first + second) / 2)


def test_what_is_mixed_is_drawn_from_the_generator_of_the_step(tiny_config: MakeConfig) -> None:
    task = with_some_head(task_of(tiny_config(), mixup=0.8, cutmix=1.0))
    plain = with_some_head(task_of(tiny_config()))
    torch.manual_seed(1)
    first = loss_of(task, views())
    torch.manual_seed(2)
    assert torch.equal(loss_of(task, views()), first)
    assert not torch.allclose(loss_of(plain, views()), first)
