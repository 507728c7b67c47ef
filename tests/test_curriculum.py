"""A curriculum of three stages, whole, interrupted, and stage by stage: the program as its users start it."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

import curriculum
import main
from config import generated
from config.schema import Config
from runs.checkpoint import load_checkpoint
from runs.folder import RunFolder
from runs.history import History
from runs.stages import leave_to_next_stage
from train import Trainer

# Frames alone, then two of them with `space` slowed down and the patches frozen, then all, in larger frames.
STEPS: dict[str, Any] = {
    "step_1": {"groups": ["backbone", "space"], "window": {"length": 1}, "frames_per_clip": 1, "batch_size": 12},
    "step_2": {
        "groups": ["backbone", "space", "time"],
        "window": {"length": 2},
        "num_epochs": 3,
        "until": "plateau",
        "patience": 1,
        "watch": "rank",
        "stage_lr": {"backbone": 0, "space": 0.1},
    },
    "step_3": {"groups": ["backbone", "space", "time", "clip"], "frame_size": [24, 32], "batch_size": 6},
}
OVERRIDES = ("num_epochs=2", "batch_size=8", "log_interval=1", "figures=[]", "output_batchnorm=true", "targets=ema")
SCORED = ("evaluations.linear_probe=null", "evaluations.supervised=null", "window.eval_windows=1")


@dataclass
class Program:
    """main.py in this process, with a curriculum; what it says, and the folders of its runs and its configs."""

    folder: Path
    file: Path
    capture: Any = None
    out: str = ""
    err: str = ""
    generated: Path = field(init=False)

    def __post_init__(self) -> None:
        self.generated = self.folder / "generated"

    def __call__(self, *overrides: str, name: str = "run", config: Path | None = None) -> int:
        named = [] if config else [f"model_name={name}"]
        status = main.main([str(config or self.file), f'save_path="{self.folder}"', *named, *overrides])
        if self.capture:
            self.out, self.err = self.capture.readouterr()
        return status

    def run(self, name: str = "run") -> RunFolder:
        return RunFolder(self.folder / name)

    def refuses(self, *overrides: str, name: str = "run") -> str:
        assert self(*overrides, name=name) == 2
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line.removeprefix("error: ")


def write_curriculum(folder: Path, config: Config) -> Path:
    """The first stage has a dataset of its own."""
    pictures = folder / "pictures"
    shutil.copytree(config.dataset.root, pictures)
    steps = STEPS | {"step_1": STEPS["step_1"] | {"dataset": {"root": str(pictures)}}}
    file = folder / "steps.yaml"
    values = config.model_dump() | {"model_name": None, "use_curriculum": True, "curriculum": steps}
    file.write_text(json.dumps(values))  # JSON is YAML
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Path, tiny_config: Callable[..., Config]) -> Program:
    """A curriculum that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    program = Program(folder, write_curriculum(folder, tiny_config(*OVERRIDES, *SCORED, root=tiny_dataset)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generated, "GENERATED", program.generated)
        assert program() == 0
    return program


@pytest.fixture
def program(
    tmp_path: Path, whole: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Program:
    monkeypatch.setattr("visualization.draw_figures", lambda *_: {})
    program = Program(tmp_path, whole.file, capsys)
    monkeypatch.setattr(generated, "GENERATED", program.generated)
    return program


def records_of(run: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def measured(run: RunFolder) -> list[dict[str, Any]]:
    """What was logged, apart from times."""
    return [{key: value for key, value in record.items() if key not in TIMES} for record in records_of(run)]


TIMES = ("seconds", "data_wait")


def weights(path: Path) -> dict[str, Any]:
    return {name: value.tolist() for name, value in load_checkpoint(path)["task"].items()}


# ---------------------------------------------------------------------------------------------------- as a whole


def test_steps_and_epochs_are_counted_over_all_stages(whole: Program) -> None:
    run = whole.run()
    summary = json.loads(run.summary.read_text())
    stages = summary["stages"]
    assert [stage["levels"][-1] for stage in stages] == ["space", "time", "clip"]
    assert [Path(stage["dataset"]).name for stage in stages] == ["pictures", "moving_digits", "moving_digits"]
    # 24 videos in batches of 12, 8 and 6.
    steps = [stage["steps"] for stage in stages]
    epochs = [stage["epochs"] for stage in stages]
    assert (steps[0], steps[2]) == (4, 8)
    assert steps[1] == 3 * epochs[1]
    assert (summary["steps"], summary["epochs"]) == (sum(steps), sum(epochs))
    records = records_of(run)
    logged = [(record["stage"], record["step"]) for record in records if record["kind"] == "step"]
    assert [step for _, step in logged] == list(range(1, sum(steps) + 1))
    assert [logged[0][0], logged[4][0], logged[-1][0]] == [1, 2, 3]
    kinds = [(record["stage"], record["kind"]) for record in records if record["kind"] != "step"]
    assert [kind for stage, kind in kinds if stage == 1] == ["validation"] * 3
    assert [kind for stage, kind in kinds if stage == 3] == ["random_init", "validation", "validation", "validation"]
    begins = {
        stage: next(r["step"] for r in records if r["stage"] == stage and r["kind"] != "step") for stage in (1, 2, 3)
    }
    assert begins == {1: 0, 2: steps[0], 3: steps[0] + steps[1]}


def test_a_stage_ends_at_a_plateau(whole: Program) -> None:
    second = json.loads(whole.run().summary.read_text())["stages"][1]
    ranks = [r["rank"]["time"] for r in records_of(whole.run()) if r["kind"] == "validation" and r["stage"] == 2][1:]
    better = [index for index in range(1, len(ranks)) if ranks[index] > max(ranks[:index])]
    assert len(better) == len(ranks) - (2 if second["ended"] != "its epochs" else 1)
    assert second["epochs"] == len(ranks)
    assert second["ended"] in ("its epochs", "a plateau: a validation without a better rank of time")


def test_a_stage_starts_from_the_checkpoint_that_the_one_before_has_chosen(whole: Program) -> None:
    run = whole.run()
    accounts = json.loads(run.carry_over.read_text())
    assert list(accounts) == ["stage_2", "stage_3"]
    for number in (1, 2):
        left = load_checkpoint(run.stage(number))
        assert accounts[f"stage_{number + 1}"]["from"] == str(run.stage(number))
        assert left["config"]["stage"] == number
        assert left["history"]["finished"][-1]["stage"] == number
    frozen, kept = load_checkpoint(run.stage(1))["task"], load_checkpoint(run.stage(2))["task"]
    of_patches = [name for name in frozen if name.startswith(("hierarchy.stem", "hierarchy.summary_norms.backbone"))]
    assert len(of_patches) > 4
    assert all(torch.equal(frozen[name], kept[name]) for name in of_patches)
    assert any(not torch.equal(frozen[n], kept[n]) for n in frozen if n.startswith("hierarchy.levels.space.blocks"))


def test_the_last_stage_is_tested_and_its_encoder_is_that_of_the_run(whole: Program) -> None:
    run = whole.run()
    summary = json.loads(run.summary.read_text())
    assert list(summary["knn"]) == ["backbone", "space", "time", "clip"]
    encoder = json.loads((run.checkpoints / "encoder.json").read_text())["config"]
    assert (encoder["stage"], encoder["frame_size"], encoder["curriculum"]) == (3, [24, 32], {})
    report = run.report.read_text()
    for words in ("<h2>Stages</h2>", "a single frame of 16 x 24 pixels", "backbone (frozen)", "6 frames of 24 x 32"):
        assert words in report
    for name in ("loss", "knn", "collapse"):
        assert (run.figures / f"{name}.png").read_bytes().startswith(b"\x89PNG")


# --------------------------------------------------------------------------------------------------- interrupted


def die() -> None:
    """As a process that is killed: nothing is saved."""
    raise KeyboardInterrupt


def stop() -> None:
    signal.raise_signal(signal.SIGTERM)


# Of stage 1 with 4 steps, 2 with 3 in each of up to 3 epochs, and 3 with 8: one process after another, each ended by
# the given call of a function.
PLACES: list[tuple[Any, str, int, Callable[[], None]]] = [
    (Trainer, "_finish", 3, stop),
    (curriculum, "leave_to_next_stage", 1, die),  # after the last step of a stage
    (main, "read_carried", 1, die),  # when it has left its checkpoint
    (main, "note_carry_over", 1, die),  # before the next one has its first checkpoint
    (Trainer, "_finish", 5, die),
    (Trainer, "_finish", 2, stop),
    (main, "take_best_encoder", 1, die),
]


def interrupt(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, action: Callable[[], None]) -> None:
    original, left = getattr(owner, name), [call]

    def interrupted(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            action()
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, interrupted)


def test_a_curriculum_that_is_interrupted_again_and_again_ends_with_the_same_weights(
    whole: Program, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, place in enumerate(PLACES):
        with monkeypatch.context() as patch:
            interrupt(patch, *place)
            ended = 130 if place[-1] is die else 143
            assert program(f"resume={str(number > 0).lower()}") == ended, program.err
    assert not program.run().summary.exists()
    assert program("resume=true") == 0, program.err
    ours, theirs = program.run(), whole.run()
    encoders = [(run.checkpoints / "encoder.safetensors").read_bytes() for run in (ours, theirs)]
    assert encoders[0] == encoders[1]
    assert weights(ours.last) == weights(theirs.last)
    assert measured(ours) == measured(theirs)
    stages = [json.loads(run.summary.read_text())["stages"] for run in (ours, theirs)]
    assert [stage["steps"] for stage in stages[0]] == [stage["steps"] for stage in stages[1]]


def test_stages_that_start_alone_end_with_the_same_weights(whole: Program, program: Program) -> None:
    configs = sorted(whole.generated.iterdir())
    assert [path.name for path in configs] == ["run--CLp-2.yaml", "run--CLp-3.yaml"]
    assert program(config=configs[1]) == 0, program.err
    alone, theirs = program.run("run--CLp-3"), whole.run()
    encoders = [(run.checkpoints / "encoder.safetensors").read_bytes() for run in (alone, theirs)]
    assert encoders[0] == encoders[1]
    assert weights(alone.last) == weights(theirs.last)
    assert measured(alone) == measured(theirs)  # with those of the stages before
    assert [stage["stage"] for stage in json.loads(alone.summary.read_text())["stages"]] == [1, 2, 3]

    assert program(config=configs[0]) == 0, program.err
    second = program.run("run--CLp-2")
    assert weights(second.stage(2)) == weights(theirs.stage(2))


def test_a_run_of_its_own_may_start_from_any_checkpoint(whole: Program, program: Program) -> None:
    one_more = ("use_curriculum=false", "num_epochs=1", "frame_size=[16,32]", "groups=[backbone,space,time,clip]")
    assert program(*one_more, f"carry_from='{whole.run().last}'") == 0, program.err
    assert list(json.loads(program.run().carry_over.read_text())) == ["start"]
    records = records_of(program.run())
    assert [r["kind"] for r in records if r["kind"] != "step"] == ["random_init", "validation", "validation"]
    assert "stage" not in records[0]
    assert "stages" not in json.loads(program.run().summary.read_text())
    assert "refitted   hierarchy.levels.space.positions.table_ND [12, 16] -> [8, 16] (grid)" in program.out


# ----------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["curriculum.step_3.hierarchy.space.dim=32"], ["curriculum.step_3: what was trained cannot be carried over"]),
        (["curriculum.step_3.dataset.root=nowhere", "curriculum.step_3.dataset.name=catalog"], ["curriculum.step_3"]),
        (["curriculum.step_3.window.frequency=8"], ["curriculum.step_3: ", "window longer than every video"]),
        (["curriculum.step_2.optimizer={name: adam, lr: 1}"], ["curriculum.step_2: optimizer.weight_decay is missing"]),
        (
            ["curriculum.step_2.watch=knn", "curriculum.step_2.dataset.labels={}"],
            ["curriculum.step_2: until=plateau watches knn of time, but", "watch=rank"],
        ),
        (["use_curriculum=false", "carry_from=nowhere.pt"], ["carry_from: cannot read checkpoint nowhere.pt"]),
    ],
)
def test_what_a_later_stage_cannot_do_is_told_before_the_first_one(
    program: Program, overrides: list[str], words: list[str]
) -> None:
    line = program.refuses(*overrides)
    for word in words:
        assert word in line
    assert not program.run().root.exists()


@pytest.fixture
def copied(whole: Program, program: Program) -> Program:
    shutil.copytree(whole.run().root, program.run().root)
    return program


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["use_curriculum=false"], ["resume=true, but", "set it back"]),
        (["curriculum.step_1.seed=9"], ["curriculum.step_1: resume=true, but seed is 9 and was 3"]),
        (
            ["curriculum.step_1.num_epochs=9"],
            ["curriculum.step_1: resume=true, but num_epochs is 9 and was 2", "ended"],
        ),
        (["curriculum.step_3.seed=9"], ["resume=true, but seed is 9 and was 3"]),
    ],
)
def test_a_curriculum_is_not_continued_as_another_one(copied: Program, overrides: list[str], words: list[str]) -> None:
    line = copied.refuses("resume=true", *overrides)
    for word in words:
        assert word in line


def test_a_run_without_stages_is_not_continued_as_a_curriculum(program: Program) -> None:
    assert program("use_curriculum=false", "num_epochs=1") == 0, program.err
    assert "use_curriculum is true and was false" in program.refuses("resume=true")


def test_a_name_that_exists_is_refused(copied: Program) -> None:
    assert "continue it with resume=true or choose another name" in copied.refuses()


def test_what_a_stage_leaves_is_the_chosen_checkpoint_with_the_history_of_the_whole_stage(
    whole: Program, tmp_path: Path, tiny_config: Callable[..., Config]
) -> None:
    run = RunFolder(tmp_path)
    run.checkpoints.mkdir()
    shutil.copy(whole.run().best, run.best)
    best = load_checkpoint(run.best)
    history = History.restored(best["history"], clips=3)
    history.step += 5  # trained on after the best validation
    config = tiny_config("stage=7")
    left = load_checkpoint(leave_to_next_stage(run, history, config, "step 3"))
    assert left["task"].keys() == best["task"].keys()
    assert left["history"]["step"] == history.step
    assert [stage["stage"] for stage in left["history"]["finished"]][-1] == 7
    assert left["history"]["finished"][-1]["chosen"] == "step 3"
