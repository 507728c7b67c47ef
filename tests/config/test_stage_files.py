"""The config of every stage as a file: whole, and to be started alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import generated, stage_files
from config.load import load_config

CURRICULUM = """\
use_curriculum: true
groups: [backbone, space, time, clip]
evaluations: {linear_probe: null}
optimizer: {name: sgd, lr: 0.1, weight_decay: 0.0}
curriculum:
  step_1: {groups: [backbone, space], window: {length: 1}, frames_per_clip: 1}
  step_2: {optimizer: {name: adam, lr: 0.5, weight_decay: 0.0}, stage_lr: {backbone: 0}}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(generated, "GENERATED", tmp_path / "generated")
    path = tmp_path / "with blanks" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(CURRICULUM)
    return path


def test_every_stage_is_a_config_that_starts_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = file.parent / "runs here"
    assert stage_files.main([str(file), f"save_path='{runs}'", "resume=true", "curriculum.step_1.seed=3"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [Path(run) for _, run in lines] == [runs / "mine--CLp-1", runs / "mine--CLp-2"]
    stages = load_config(str(file), [f"save_path='{runs}'", "curriculum.step_1.seed=3"]).stages
    before = None
    for number, ((path, run), stage) in enumerate(zip(lines, stages, strict=True), start=1):
        alone = load_config(path)
        start = None if before is None else f"{before}/checkpoints/stage_{number - 1}.pt"
        named = {"model_name": f"mine--CLp-{number}", "carry_from": start}
        assert alone.config == stage.config.model_copy(update=named)
        assert alone.stages == ()
        before = run


def test_an_evaluation_that_a_run_of_an_older_version_did_not_have_stays_away(file: Path, tmp_path: Path) -> None:
    whole = load_config(str(file)).stages[1]
    stage = whole.changed("an older run", evaluations={"knn": whole.merged["evaluations"]["knn"]})
    assert list(load_config(str(stage_files.write_stage_file(stage, None))).config.evaluations) == ["knn"]


def test_what_is_no_curriculum_is_told_in_one_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stage_files.main(["quickstart"]) == 2
    assert capsys.readouterr().err == (
        "error: quickstart has no stages: set use_curriculum=true and curriculum.step_1\n"
    )
    assert stage_files.main([]) == 2
    assert stage_files.main([str(file), "curriculum.step_2.task=vicreg", "curriculum.step_2.stage_lr={}"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: curriculum.step_2: ")
