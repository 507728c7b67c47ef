"""Many runs, some side by side: what is started, with what, and what a failure or a signal does to the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runs.lock import RunLock
from sweeps.process import run_python
from sweeps.running import run_all
from sweeps.slots import Slot, here, shares_of_cpu
from sweeps.training import Outcome, Training, train
from tests.sweeps.fake_program import Fake

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


def states(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.state for name, outcome in outcomes.items()}


def test_every_run_is_trained_once_one_after_another(fake: Fake) -> None:
    runs = [fake.training(name) for name in ("b", "a", "c")]
    outcomes, number = run_all(runs, here())
    assert (states(outcomes), number) == ({"b": "done", "a": "done", "c": "done"}, None)
    assert [start["name"] for start in fake.starts] == ["b", "a", "c"]
    assert [start["config"] for start in fake.starts] == ["b.yaml", "a.yaml", "c.yaml"]
    assert {start["resume"] for start in fake.starts} == {"false"}
    run_all(runs, here())
    assert len(fake.starts) == 3


def test_a_failure_is_told_with_its_line_and_stops_no_other(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    runs = [fake.training("a", "fail"), fake.training("b"), fake.training("c", "die"), fake.training("d")]
    with caplog.at_level("INFO"):
        outcomes, _ = run_all(runs, here())
    assert states(outcomes) == {"a": "failed", "b": "done", "c": "failed", "d": "done"}
    assert outcomes["a"].reason == "error: no such folder"
    assert outcomes["c"].reason == "killed by signal 9: step 7"
    assert "1 of 4, a: failed: error: no such folder" in caplog.text
    # Whoever looks at the files later finds the same, and the next start tries again.
    assert [run.found() for run in runs] == list(outcomes.values())
    run_all(runs, here())
    assert [start["name"] for start in fake.starts] == ["a", "b", "c", "d", "a", "c"]


def test_each_slot_takes_one_run_at_a_time_with_its_variables(fake: Fake) -> None:
    slots = [Slot("GPU 0", {"CUDA_VISIBLE_DEVICES": "0"}), Slot("GPU 3", {"CUDA_VISIBLE_DEVICES": "3"})]
    # The first one lasts until all others are done, so that the other slot has to take them.
    runs = [fake.training("a", "wait_for_d"), *(fake.training(name) for name in "bcd")]
    wait = 'while given["do"] == "wait_for_d" and not (run.parent / "d/summary.json").exists():\n    time.sleep(0.05)\n'
    fake.program.write_text(fake.program.read_text().replace('do = given["do"]\n', 'do = given["do"]\n' + wait))
    outcomes, _ = run_all(runs, slots)
    assert set(states(outcomes).values()) == {"done"}
    by_name = {start["name"]: start["CUDA_VISIBLE_DEVICES"] for start in fake.starts}
    assert by_name == {"a": "0", "b": "3", "c": "3", "d": "3"}
    assert (fake.folder / "ends.txt").read_text().split() == ["b", "c", "d", "a"]


def test_the_threads_are_shared_out_unless_the_user_says_how_many(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0))
    for given, expected in ((None, str(max(1, cores // 2))), ("7", "7")):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if given:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        name = f"with-{given}"
        run_all([fake.training(name)], shares_of_cpu(2))
        assert {start["OMP_NUM_THREADS"] for start in fake.starts if start["name"] == name} == {expected}


SWEEP = """
import json, sys
from pathlib import Path
from sweeps.running import run_all
from sweeps.slots import shares_of_cpu
from tests.sweeps.fake_program import Fake

fake = Fake.__new__(Fake)
fake.folder, fake.program = Path(sys.argv[1]) / "sweep", Path(sys.argv[1]) / "fake_main.py"
outcomes, number = run_all([fake.training(name, "wait") for name in "abc"], shares_of_cpu(2))
print(json.dumps({name: [outcome.state, outcome.reason] for name, outcome in outcomes.items()}))
sys.exit(128 + number if number else 0)
"""


def until(happened: Callable[[], bool]) -> None:
    while not happened():
        time.sleep(0.05)


@contextmanager
def two_in_training(fake: Fake, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The process of a sweep whose runs `a` and `b` are training."""
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        logs = [fake.folder / f"{name}.log" for name in "ab"]
        until(lambda: all(log.exists() and "training" in log.read_text() for log in logs))
        yield process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_runs_and_the_same_command_goes_on(
    fake: Fake, tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", SWEEP, str(tmp_path)]
    (fake.folder / "hold").touch()
    with two_in_training(fake, command) as process:
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == 128 + number, err
    assert "the runs stop after their step or validation and save last.pt" in err
    stopped = ["stopped", "stopped at step 3"]
    assert json.loads(out.splitlines()[-1]) == {"a": stopped, "b": stopped, "c": ["not run", ""]}
    (fake.folder / "hold").unlink()
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    resumed = {start["name"]: start["resume"] for start in fake.starts[2:]}
    assert resumed == {"a": "true", "b": "true", "c": "false"}


def test_a_second_ctrl_c_ends_the_runs_at_once(fake: Fake, tmp_path: Path) -> None:
    program = SWEEP.replace('"wait"', '"stubborn"').replace("outcomes, number =", "try:\n    outcomes, number =")
    program = program.replace("\nprint(", "\nexcept KeyboardInterrupt:\n    sys.exit(99)\nprint(")
    command = [sys.executable, "-c", program, str(tmp_path)]
    with two_in_training(fake, command) as process:
        process.send_signal(signal.SIGINT)
        until(lambda: (fake.folder / "asked").exists())
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 99, err
    assert sorted(start["name"] for start in fake.starts) == ["a", "b"]
    for name in "ab":
        assert (fake.folder / f"{name}.log").read_text().endswith("sweep.py: the run ended with status 130\n")


def test_a_folder_in_use_is_a_failure_and_what_is_in_it_stays(fake: Fake) -> None:
    training = fake.training("a")
    training.run.root.mkdir()
    training.run.config.write_text("")
    with RunLock(training.run.lock):
        outcomes, _ = run_all([training, fake.training("b")], here())
    assert states(outcomes) == {"a": "failed", "b": "done"}
    assert "is in use by process" in outcomes["a"].reason
    assert training.run.config.exists()


def test_what_was_killed_before_its_first_checkpoint_starts_anew(fake: Fake) -> None:
    training = fake.training("a")
    training.run.root.mkdir()
    training.run.config.write_text("of the first start")
    training.run.metrics.write_text('{"kind": "validation"}\n')
    assert train(training, 1) is None
    assert not training.run.config.exists()
    assert [start["resume"] for start in fake.starts] == ["false"]


def test_what_has_become_of_a_run_is_found_in_its_files(fake: Fake) -> None:
    training = fake.training("a")
    assert training.found().state == "not run"
    training.log.write_text("videos: 24 train\nstep 5/12\n")
    assert (training.found().state, training.found().reason) == ("unfinished", "step 5/12")
    training.log.write_text("step 5/12\nsweep.py: the run ended with status 143\n")
    assert (training.found().state, training.found().reason) == ("stopped", "step 5/12")
    training.log.write_text("step 5/12\nsweep.py: the run ended with status 137\n")
    assert training.found().reason == "killed by signal 9: step 5/12"
    training.log.write_text("sweep.py: the run ended with status 2\n")
    assert (training.found().state, training.found().reason) == ("failed", "it printed nothing")
    # Finished by the launcher, whoever started it.
    training.run.root.mkdir()
    training.run.summary.write_text("{}")
    assert training.found().state == "done"


def test_a_run_that_ends_well_without_a_summary_is_not_done(fake: Fake) -> None:
    fake.program.write_text("print('ended early')")
    assert train(fake.training("a"), 1) == "ended early"


# ------------------------------------------------------------------------------------------- programs beside runs


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
    assert train(Training("run", tmp_path, "no such config"), 1) is None
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "summary.json"]
