"""Runs as Slurm jobs, those of a sweep as an array, through submitit, which is imported nowhere else.

A job of several tasks trains one run: each task is a process of it, with a GPU of its own.

Near its time limit, or when its node is wanted for something else, Slurm sends a job SIGUSR2. submitit then asks for a
checkpoint and puts the job back into the queue; the run goes on from there.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.errors import InputError
from config.messages import shown
from config.yaml_text import parse_yaml
from sweeps.process import ROOT, PythonProcess
from sweeps.training import Training

if TYPE_CHECKING:
    import submitit

logger = logging.getLogger(__name__)

OPTION = "--slurm-option"
LOCAL = "local"
_DAY = 24 * 60  # minutes; submitit's own default is 5
_LOOK = 0.5  # seconds between two looks at the process
_GENERAL = ("timeout_min", "mem_gb", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "stderr_to_stdout")
_ONE = ("nodes", "tasks_per_node", "ntasks_per_node")


class TrainingJob:
    """What a job does: it trains one run to its end, or says how to go on."""

    def __init__(self, training: Training) -> None:
        """`training`: with absolute paths; the job may start in another folder."""
        self._training = training
        self._process: PythonProcess | None = None

    def __call__(self) -> str:
        """Trains the run.

        Returns:
            What has become of it: `done` or `stopped`.

        Raises:
            RuntimeError: it failed; the message is its last line. Slurm shows the job as failed, too.
        """
        if self._training.is_complete:
            return "done"
        variables = _variables_of_a_task()
        # Slurm sends SIGUSR2 to all processes of a job, and main.py would die of it.
        before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        try:
            self._process = self._training.start(variables, int(variables.get("RANK", "0")))
        finally:
            signal.signal(signal.SIGUSR2, before)
        while self._process.status is None:
            time.sleep(_LOOK)
        outcome = self._training.ended(self._process)
        if outcome.state == "failed" and not (variables and self._process.status == 0):
            raise RuntimeError(outcome.reason)  # of several tasks, the first one alone waits for the scores
        return outcome.state

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Ends the run, which saves what it has reached; what is to be done in the next turn."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None and self._process.status is None:
            self._process.send(signal.SIGTERM)
            # Not wait(): this is called by a signal's handler, which may have interrupted a look at the process.
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(TrainingJob(self._training))


def _variables_of_a_task() -> dict[str, str]:
    """What main.py needs to meet the processes of the job's other tasks; nothing where there is one, or no job."""
    import submitit

    try:
        job = submitit.JobEnvironment()
    except RuntimeError:  # called by a test, or by hand
        return {}
    if job.num_tasks == 1:
        return {}
    from submitit.helpers import TorchDistributedEnvironment

    meeting = TorchDistributedEnvironment()
    return {
        "MASTER_ADDR": meeting.master_addr if job.num_nodes > 1 else "127.0.0.1",
        "MASTER_PORT": str(meeting.master_port),
        "RANK": str(meeting.rank),
        "WORLD_SIZE": str(meeting.world_size),
        "LOCAL_RANK": str(meeting.local_rank),
    }


def read_options(given: Sequence[str], several: str | None = None) -> dict[str, Any]:
    """`--slurm-option key=value ...` by key, values in YAML; `time` is in minutes.

    Args:
        given: the options.
        several: how the user says how many processes there are instead; None: a run is one process.

    Raises:
        InputError: one is not `key=value`, is given twice, or asks for several processes.
    """
    options: dict[str, Any] = {}
    for item in given:
        key, equals, text = item.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(f"{OPTION} '{item}': expected key=value, such as partition=gpu or time=240 (minutes)")
        if key in _ONE:
            raise InputError(f"{OPTION} {key}: {several or 'a run is one process on one node'}")
        key = "timeout_min" if key == "time" else key
        if key in options:
            raise InputError(f"{OPTION} {key} is given twice")
        options[key] = parse_yaml(text, f"{OPTION} {item}")
    minutes = options.setdefault("timeout_min", _DAY)
    if not isinstance(minutes, int) or isinstance(minutes, bool) or minutes < 1:
        raise InputError(f"{OPTION} time: expected a whole number of minutes, got {shown(minutes)}")
    return options


def make_executor(folder: Path, options: dict[str, Any], name: str = "sweep", turns: int = 3) -> submitit.AutoExecutor:
    """What submits the jobs; all options are looked at, nothing is submitted.

    Args:
        folder: where submitit keeps its files.
        options: of `read_options`; `cluster: local` runs the jobs here, all at once.
        name: of the jobs.
        turns: how often a job that has reached its time limit is put back into the queue; submitit's own default.

    Raises:
        InputError: submitit is not installed, there is no Slurm here, or an option is wrong.
    """
    try:
        import submitit
    except ImportError:
        raise InputError(
            "--slurm needs the package submitit, which is not there: run_scripts/setup_environment.sh dev installs it"
        ) from None
    options = dict(options)
    cluster = options.pop("cluster", "slurm")
    if cluster not in ("slurm", LOCAL):
        raise InputError(f"{OPTION} cluster: expected slurm or {LOCAL}, got {shown(cluster)}")
    if cluster == "slurm":
        options.setdefault("gpus_per_node", 1)
    parameters = {key if key in _GENERAL else f"slurm_{key}": value for key, value in options.items()}
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster, slurm_max_num_timeout=turns)
        executor.update_parameters(name=name, **parameters)
    except RuntimeError:
        raise InputError(
            f"--slurm: there is no Slurm here (no srun); {OPTION} cluster={LOCAL} runs the jobs on this machine"
        ) from None
    except (NameError, AssertionError, ValueError, TypeError) as error:
        first_line = str(error).splitlines()[0]
        raise InputError(f"{OPTION}: {first_line.replace('slurm_', '')}") from None
    return executor


def submit(trainings: Sequence[Training], executor: submitit.AutoExecutor) -> list[submitit.Job[str]]:
    """Submits a job for every run that is not complete, as one array.

    Args:
        trainings: with absolute paths.
        executor: of `make_executor`.

    Raises:
        InputError: Slurm refuses the array.
    """
    left = [training for training in trainings if not training.is_complete]
    if complete := len(trainings) - len(left):
        logger.info("%d of %d runs are complete already", complete, len(trainings))
    if not left:
        return []
    # Jobs import this file.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    try:
        return executor.submit_array([TrainingJob(training) for training in left])
    except (subprocess.CalledProcessError, RuntimeError) as error:
        said = " ".join(str(getattr(error, "stderr", None) or error).split())
        raise InputError(f"--slurm: the jobs could not be submitted: {said}") from None
