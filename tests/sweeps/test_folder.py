"""The folder of a sweep: what it is, how it grows, and what does not fit into it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import InputError
from config.load import load_config, render_config
from sweeps.definition import read_definition
from sweeps.folder import Manifest, SweepFolder, SweepRun, check_runs, joined
from sweeps.plan import plan_runs

RUN = SweepRun("lr-0.1_s0", {"optimizer.lr": 0.1}, 0, "configs/lr-0.1_s0.yaml")
FIRST = Manifest("base.yaml", ["optimizer.lr"], [], [RUN])


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path / "rates")


def test_what_is_written_is_read(folder: SweepFolder) -> None:
    assert folder.read() is None
    folder.root.mkdir()
    assert folder.read() is None
    folder.write(FIRST)
    assert folder.read() == FIRST


def test_a_name_that_something_else_has_is_refused(folder: SweepFolder) -> None:
    folder.root.mkdir()
    (folder.root / "config.yaml").write_text("")
    with pytest.raises(InputError, match="exists and is not the folder of a sweep; choose another name with --name"):
        folder.read()
    folder.manifest.write_text("[]")
    with pytest.raises(InputError, match=r"sweep.json is damaged .*; start the sweep under another --name"):
        folder.read()


def test_a_sweep_may_grow_and_keeps_what_has_begun(folder: SweepFolder) -> None:
    second, third = (replace(RUN, name=name) for name in ("lr-0.2_s0", "lr-0.3_s0"))
    earlier = replace(FIRST, runs=[RUN, second])
    folder.run("lr-0.1_s0").root.mkdir(parents=True)
    # The second run never began, and nobody asks for it any more.
    assert joined(earlier, replace(FIRST, runs=[third]), folder).runs == [third, RUN]
    assert joined(earlier, replace(FIRST, runs=[RUN, third]), folder).runs == [RUN, third]
    assert joined(None, FIRST, folder) == FIRST


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (replace(FIRST, base="other.yaml"), "is a sweep of base.yaml, not of other.yaml; choose another name"),
        (replace(FIRST, keys=["optimizer.lr", "task"]), "is a sweep that varies optimizer.lr; choose another name"),
    ],
)
def test_another_sweep_of_the_name_is_refused(folder: SweepFolder, asked: Manifest, message: str) -> None:
    with pytest.raises(InputError, match=message):
        joined(FIRST, asked, folder)


def test_a_run_that_was_made_with_another_config_is_refused(folder: SweepFolder, tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("num_epochs: 2\n")
    definition = read_definition(None, "base.yaml", ["optimizer.lr=[0.1]"])
    (planned,) = plan_runs(str(base), [], definition, str(folder.root))
    run = folder.run(planned.name)
    run.root.mkdir(parents=True)
    run.environment.write_text("{}")

    def made_with(*overrides: str) -> None:
        run.config.write_text(render_config(load_config(str(base), ["optimizer.lr=0.1", *overrides])))

    # What a run fills in from its dataset, and what changes no score, may differ.
    made_with(
        "mean=[0.3,0.3,0.3]",
        "std=[0.2,0.2,0.2]",
        "augmentation.flip=0.5",
        "num_workers=7",
        "figures=[]",
        "resume=true",
        "save_path=x",
    )
    check_runs(folder, [planned])
    for other, told in (("num_epochs=3", "num_epochs=3"), ("evaluations.knn.settings.k=3", "settings.k=3")):
        made_with(other)
        with pytest.raises(InputError, match=f"was made with .*{told}, and the sweep now has .*: choose another name"):
            check_runs(folder, [planned])
