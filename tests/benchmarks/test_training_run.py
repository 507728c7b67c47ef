"""What becomes of a run's process: the end of a good one, the last line of one that fails, the signal of one killed."""

from pathlib import Path

from benchmarks.training_run import run_python, train


def test_a_process_that_ends_well_leaves_its_output_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "new" / "run.log"
    assert run_python(["-c", "import os; print('threads', os.environ['OMP_NUM_THREADS'])"], 3, log) is None
    assert log.read_text() == "threads 3\n"


def test_a_process_that_fails_is_told_by_its_own_last_line(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("an earlier part\n")
    program = "import sys; print('step 1'); print('error: no such folder', file=sys.stderr); sys.exit(2)"
    assert run_python(["-c", program], 1, log) == "error: no such folder"
    assert log.read_text() == "an earlier part\nstep 1\nerror: no such folder\n"
    assert run_python(["-c", "import sys; sys.exit(2)"], 1, log) == "it printed nothing"


def test_a_process_that_is_killed_is_told_by_the_signal(tmp_path: Path) -> None:
    program = "import os, signal; print('step 7', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    assert run_python(["-c", program], 1, tmp_path / "run.log") == "killed by signal 9: step 7"


def test_a_complete_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").write_text("{}")
    assert train(tmp_path, "run", "no such config", [], 1) is None
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "summary.json"]
