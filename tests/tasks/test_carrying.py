"""Tasks that start from the checkpoint of another one, tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from config.errors import InputError
from config.load import restore_config
from config.schema import Config
from data_utils.views.views import TrainingViews
from runs.checkpoint import load_checkpoint, save_checkpoint
from runs.process.seeds import seed_everything
from tasks import build_task
from tasks.carrying import carry_over, networks_of, plan_for, read_carried
from tasks.hierarchical import HierarchicalTask
from tasks.task import StepContext, Task
from tests.tasks.hierarchical_cases import make_batch, moved_groups, total
from train import Trainer

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")
SPACE = ("groups=[backbone,space]", "window.length=1", "frames_per_clip=1", "output_batchnorm=true")
TIME = ("groups=[backbone,space,time]", "window.length=2", "output_batchnorm=true")
CLIP = ("groups=[backbone,space,time,clip]", "window.length=6", "output_batchnorm=true")


def start(config: Config, train: Any = None) -> Trainer:
    seed_everything(config.seed)
    return Trainer(build_task(config, train), config, 4, CPU)


def trained(config: Config, folder: Path, steps: int = 2, train: Any = None) -> tuple[Trainer, Path]:
    """A trainer that has taken a few steps, and its checkpoint."""
    trainer = start(config, train)
    trainer.task.train()
    for step in range(steps):
        batch = make_small_batch(trainer.task, config, seed=10 * step)
        losses = trainer.task.losses(batch, StepContext(torch.Generator().manual_seed(step)))
        torch.stack([term for terms in losses.values() for term in terms.values()]).sum().backward()
        for optimizer in trainer.optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
        trainer.task.after_step(0.1)
    state = {"task": trainer.task.state_dict(), "trainer": trainer.state_dict(), "history": {"step": steps}}
    path = folder / "stage_1.pt"
    save_checkpoint(state | {"config": config.model_dump()}, path)
    return trainer, path


def make_small_batch(task: Task, config: Config, seed: int) -> TrainingViews:
    """Windows of the config's own size, for every view of the task."""
    count, (height, width) = len(task.views), config.frame_size
    generator = torch.Generator().manual_seed(seed)
    shape = (4, config.window.length, 3, height, width)
    videos = tuple(torch.randn(shape, generator=generator) for _ in range(count))
    frames_BT = torch.arange(config.window.length).expand(4, -1)
    return TrainingViews(videos, (frames_BT,) * count, torch.arange(4))


def carried(config: Config, path: Path, train: Any = None) -> tuple[Trainer, dict[str, Tensor], dict[str, Any]]:
    """A trainer that has started from a checkpoint, its tensors at random init, and the account."""
    config = config.model_copy(update={"carry_from": str(path)})
    trainer = start(config, train)
    fresh = {name: value.clone() for name, value in trainer.task.state_dict().items()}
    checkpoint = read_carried(config)
    assert checkpoint is not None
    return trainer, fresh, carry_over(checkpoint, trainer.task, trainer, config)


def moments(trainer: Trainer, name: str) -> dict[str, Tensor]:
    parameter = dict(trainer.task.named_parameters())[name]
    for optimizer in trainer.optimizers.values():
        if parameter in optimizer.state:
            return dict(optimizer.state[parameter])
    return {}


def names_of(account: dict[str, Any], kind: str) -> list[str]:
    return [item if isinstance(item, str) else item["name"] for item in account[kind]]


def check_account(account: dict[str, Any], old: Trainer, new: Trainer) -> None:
    """Every tensor of both tasks is told once."""
    kinds = ("carried", "resampled", "new", "reshaped")
    assert sorted(name for kind in kinds for name in names_of(account, kind)) == sorted(new.task.state_dict())
    assert not set(account["left"]) & set(account["old_names"].values())
    assert {*account["left"], *account["old_names"].values()} == set(old.task.state_dict())
    trained_names = sorted(name for name, p in new.task.named_parameters() if p.requires_grad)
    assert sorted(account["optimizer_carried"] + account["optimizer_new"]) == trained_names


def check_untouched(account: dict[str, Any], old: Trainer, new: Trainer, fresh: dict[str, Tensor]) -> None:
    """What is carried is as it was, statistics and optimizers' states too; what is new is as its random init."""
    was, now = old.task.state_dict(), new.task.state_dict()
    for name in account["carried"]:
        assert torch.equal(now[name], was[account["old_names"][name]]), name
    for name in names_of(account, "new") + names_of(account, "reshaped"):
        assert torch.equal(now[name], fresh[name]), name
    for name in set(account["optimizer_carried"]) - set(names_of(account, "resampled")):
        before, after = moments(old, name), moments(new, name)
        assert before
        assert all(torch.equal(before[key], after[key]) for key in before), name
    assert all(not moments(new, name) for name in account["optimizer_new"])


def test_levels_are_added_and_windows_grow(tiny_config: MakeConfig, tmp_path: Path) -> None:
    old, path = trained(tiny_config(*TIME), tmp_path)
    new, fresh, account = carried(tiny_config(*CLIP), path)
    check_account(account, old, new)
    check_untouched(account, old, new, fresh)
    assert {name for name in names_of(account, "new") if name.startswith("hierarchy.")} == {
        name for name in fresh if name.startswith(("hierarchy.levels.clip", "hierarchy.summary_norms.clip"))
    }
    assert "objectives.time.predictors.up.hidden.weight" in account["new"]
    statistics = [name for name in account["carried"] if name.endswith(("running_mean", "mean_D", "store_SD"))]
    assert len(statistics) > 8
    # Two frames know distances -1 to 1, six frames -5 to 5.
    side = "objectives.space.predictors.side.places.0.weight"
    was, now = old.task.state_dict()[side], new.task.state_dict()[side]
    assert torch.equal(now[4:7], was)
    assert torch.equal(now[:4], fresh[side][:4])
    assert torch.equal(now[7:], fresh[side][7:])
    assert names_of(account, "resampled") == ["objectives.backbone.predictors.side.places.0.weight", side]
    remembered = moments(new, side)
    assert torch.equal(remembered["exp_avg"][4:7], moments(old, side)["exp_avg"])
    assert not remembered["exp_avg_sq"][:4].any()
    assert float(remembered["step"]) == 2


def test_clips_grow(tiny_config: MakeConfig, tmp_path: Path) -> None:
    """More frames in a clip, and more clips: rows stay at their places."""
    anywhere = "use_temporal_prediction=false"
    old, path = trained(tiny_config("groups=[space,time,clip]", "window.length=4", anywhere), tmp_path)
    new, fresh, account = carried(
        tiny_config("groups=[space,time,clip]", "window.length=9", "frames_per_clip=3", anywhere), path
    )
    check_account(account, old, new)
    check_untouched(account, old, new, fresh)
    was, now = old.task.state_dict(), new.task.state_dict()
    rows = {
        "hierarchy.levels.time.positions.table_ND": (2, 3),
        "hierarchy.levels.clip.positions.table_ND": (2, 3),
        "objectives.time.predictors.down.places.0.weight": (2, 3),
        "objectives.clip.predictors.down.places.0.weight": (2, 3),
        "objectives.space.predictors.down.places.1.weight": (4, 9),
        "objectives.time.predictors.down.places.1.weight": (2, 3),
    }
    assert sorted(names_of(account, "resampled")) == sorted(rows)
    for name, (before, after) in rows.items():
        assert (len(was[name]), len(now[name])) == (before, after)
        assert torch.equal(now[name][:before], was[name]), name
        assert torch.equal(now[name][before:], fresh[name][before:]), name


@pytest.mark.parametrize("stem", ["linear", "cnn"])
def test_frames_grow_and_patches_shrink(tiny_config: MakeConfig, tmp_path: Path, stem: str) -> None:
    old, path = trained(tiny_config(*SPACE, f"stem={stem}"), tmp_path)
    new, fresh, account = carried(tiny_config(*SPACE, f"stem={stem}", "frame_size=[24,32]", "patch_size=4"), path)
    check_account(account, old, new)
    check_untouched(account, old, new, fresh)
    was, now = old.task.state_dict(), new.task.state_dict()
    assert sorted(names_of(account, "resampled")) == [
        "hierarchy.levels.space.positions.table_ND",
        "hierarchy.stem.project.weight",
        "objectives.space.predictors.down.out.2.bias",
        "objectives.space.predictors.down.out.2.weight",
        "objectives.space.predictors.down.places.0.weight",
    ]
    for name in ("hierarchy.levels.space.positions.table_ND", "objectives.space.predictors.down.places.0.weight"):
        grid = was[name].T.view(1, -1, 2, 3)
        wanted = F.interpolate(grid, size=(6, 8), mode="bicubic", align_corners=False).flatten(2)[0].T
        assert torch.allclose(now[name], wanted, atol=1e-5)
        assert bool((moments(new, name)["exp_avg_sq"] >= 0).all())
    assert now["hierarchy.stem.project.weight"].shape == fresh["hierarchy.stem.project.weight"].shape
    assert moments(new, "hierarchy.stem.project.weight")["exp_avg"].any()
    new.task.eval()
    with torch.no_grad():
        features = new.task.encoder(torch.randn(2, 1, 3, 24, 32))
    assert features["space"].isfinite().all()


def test_a_teacher_is_carried_and_a_new_one_begins_as_its_student(tiny_config: MakeConfig, tmp_path: Path) -> None:
    ema = "targets=ema"
    old, path = trained(tiny_config(*TIME, ema), tmp_path)
    new, fresh, account = carried(tiny_config(*CLIP, ema), path)
    check_account(account, old, new)
    check_untouched(account, old, new, fresh)
    followed = "levels.space.project.weight"
    now = new.task.state_dict()
    assert not torch.equal(now[f"teacher.{followed}"], now[f"hierarchy.{followed}"])

    old, path = trained(tiny_config(*TIME), tmp_path)
    new, fresh, account = carried(tiny_config(*CLIP, ema), path)
    check_account(account, old, new)
    now = new.task.state_dict()
    for name in [name for name in now if name.startswith("teacher.")]:
        assert torch.equal(now[name], now[name.replace("teacher.", "hierarchy.", 1)]), name


@pytest.mark.parametrize("task", ["vicreg", "svt", "supervised"])
def test_other_tasks_are_carried_with_their_heads(
    tiny_config: MakeConfig, tiny_catalogs: Any, tmp_path: Path, task: str
) -> None:
    before = (f"task={task}", "groups=[space,time]", "window.length=2")
    old, path = trained(tiny_config(*before), tmp_path, train=tiny_catalogs["train"])
    # SVT's and VICReg's heads stand on the last level, whose width is another now.
    new, fresh, account = carried(tiny_config(f"task={task}"), path, tiny_catalogs["train"])
    check_account(account, old, new)
    check_untouched(account, old, new, fresh)
    heads = {"vicreg": "projector.", "svt": "student.head.", "supervised": "classifiers."}
    told = {
        kind: [name for name in names_of(account, kind) if name.startswith(heads[task])]
        for kind in ("carried", "new", "reshaped")
    }
    assert told["carried"]
    assert bool(told["new"]) == (task == "supervised")
    assert bool(told["reshaped"]) == (task != "supervised")
    assert not account["left"]


def test_another_optimizer_begins_anew(tiny_config: MakeConfig, tmp_path: Path) -> None:
    _, path = trained(tiny_config(*SPACE), tmp_path)
    sgd = "optimizer={name: sgd, lr: 0.1, weight_decay: 0.0}"
    _, _, account = carried(tiny_config(*SPACE, sgd), path)
    assert account["optimizer"] == "another optimizer, sgd after adamw"
    assert account["optimizer_carried"] == []


def test_predictors_of_their_own_optimizer_keep_their_states(tiny_config: MakeConfig, tmp_path: Path) -> None:
    old, path = trained(tiny_config(*TIME), tmp_path)
    new, fresh, account = carried(tiny_config(*TIME, "predictor.pred_aside=2", "use_single_optimizer=true"), path)
    check_untouched(account, old, new, fresh)
    assert set(new.optimizers) == {"all", "predictors"}
    assert account["optimizer_new"] == []


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ((*CLIP, "architecture_space.dim=32"), "hierarchy.levels.space.*is .* and was"),
        ((*SPACE,), "hierarchy.levels.time.* has no place any more"),
        ((*TIME, "position_embedding=sincos"), "positions.table_ND has no place any more"),
        ((*TIME, "task=vicreg"), "of task hierarchical, not vicreg"),
    ],
)
def test_what_cannot_be_carried_over_is_told_in_one_line(
    tiny_config: MakeConfig, tmp_path: Path, overrides: tuple[str, ...], words: str
) -> None:
    _, path = trained(tiny_config(*TIME), tmp_path)
    with pytest.raises(InputError, match=words) as error:
        carried(tiny_config(*overrides), path)
    assert str(error.value).startswith("carry_from")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_checkpoint_that_cannot_be_read_is_told_in_one_line(
    tiny_config: MakeConfig, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "stage_1.pt"
    if damage == "cut":
        path.write_bytes(trained(tiny_config(*SPACE), tmp_path)[1].read_bytes()[:-500])
    elif damage == "other":
        save_checkpoint({"weights": torch.ones(1)}, path)
    with pytest.raises(InputError, match=r"^carry_from: .*stage_1.pt"):
        read_carried(tiny_config(*SPACE, f"carry_from={path}"))


@pytest.fixture
def later_stage(tiny_config: MakeConfig, tmp_path: Path) -> HierarchicalTask:
    """A stage with three levels, larger frames and longer windows than the two levels that it started from."""
    _, path = trained(tiny_config("groups=[space,time]", "window.length=2"), tmp_path)
    trainer, _, _ = carried(tiny_config("frame_size=[24,32]", "stage_lr={space: 0.1}"), path)
    assert isinstance(trainer.task, HierarchicalTask)
    return trainer.task


def test_frames_of_a_later_stage_do_not_see_each_other(later_stage: HierarchicalTask) -> None:
    video = torch.randn(1, 6, 3, 24, 32, requires_grad=True)
    units = later_stage.eval().hierarchy.encode(video)
    for frame in range(6):
        (gradient,) = torch.autograd.grad(units.summaries["space"][0, frame].sum(), video, retain_graph=True)
        assert [other for other in range(6) if gradient[0, other].any()] == [frame]
    for clip in range(3):
        (gradient,) = torch.autograd.grad(
            later_stage.hierarchy.encode(video).summaries["time"][0, clip].sum(), video, allow_unused=True
        )
        assert gradient is None  # strict isolation: not even through the frames
    changed = video.detach().clone()
    changed[0, 2:4] += 1
    with torch.no_grad():
        before, after = (later_stage.hierarchy(x)["time"][0] for x in (video, changed))
    assert [clip for clip in range(3) if not torch.equal(before[clip], after[clip])] == [1]


def test_the_loss_of_a_level_moves_that_level_alone_in_a_later_stage(later_stage: HierarchicalTask) -> None:
    later_stage.train()
    batch = make_batch(later_stage)
    batch = type(batch)(tuple(torch.randn(3, 6, 3, 24, 32) for _ in batch.videos), batch.frames, batch.rows_B)
    losses = later_stage.losses(batch, StepContext(torch.Generator().manual_seed(2)))
    for level, terms in losses.items():
        assert moved_groups(later_stage, total(terms)) == {level}


def test_a_run_of_an_older_version_can_be_carried_on(tmp_path: Path) -> None:
    path = Path(__file__).parents[1] / "runs/run_of_41187a4/checkpoints/best.pt"
    before = restore_config(load_checkpoint(path)["config"], "best.pt")
    old = load_checkpoint(path)["task"]
    new, _, account = carried(before.model_copy(update={"frame_size": [24, 16]}), path)
    assert account["optimizer"].startswith("the checkpoint is of an older version")
    assert "hierarchy.levels.space.positions.table_ND" in names_of(account, "resampled")
    assert torch.equal(new.task.state_dict()["hierarchy.stem.project.weight"], old["hierarchy.stem.project.weight"])


@pytest.mark.parametrize("encoder", ["s3d", "r2plus1d_18", "mvit_v2_s", "swin3d_t"])
def test_encoders_without_levels_are_carried_to_frames_of_any_size(tiny_config: MakeConfig, encoder: str) -> None:
    small, large = (
        tiny_config("task=vicreg", f"encoder={encoder}", "window.length=8", f"frame_size={size}")
        for size in ("[16,24]", "[32,48]")
    )
    with torch.device("meta"):  # shapes are all that is asked for
        before, after = (build_task(config, None) for config in (small, large))  # type: ignore[arg-type]
    plan = plan_for(before.state_dict(), after, networks_of(after, large, small))
    assert sorted(plan.carried) == sorted(after.state_dict())
