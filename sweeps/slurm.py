"""The runs of a sweep as an array of Slurm jobs, through submitit, which is imported nowhere else.

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
_GENERAL = ("timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node", "stderr_to_stdout")
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
        # Slurm sends SIGUSR2 to all processes of a job, and main.py would die of it.
        before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        try:
            self._process = self._training.start({})
        finally:
            signal.signal(signal.SIGUSR2, before)
        while self._process.status is None:
            time.sleep(_LOOK)
        outcome = self._training.ended(self._process)
        if outcome.state == "failed":
            raise RuntimeError(outcome.reason)
        return outcome.state

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Ends the run, which saves what it has reached; what is to be done in the next turn."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None and self._process.status is None:
            self._process.send(signal.SIGTERM)
            # Not wait(): this is called by a signal's handler, which may have interrupted a look at the process.
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(TrainingJob(self._training))


def read_options(given: Sequence[str]) -> dict[str, Any]:
    """`--slurm-option key=value ...` by key, values in YAML; `time` is in minutes.

    Raises:
        InputError: one is not `key=value`, is given twice, or asks for several processes.
    """
    options: dict[str, Any] = {}
    for item in given:
        key, equals, text = item.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(f"{OPTION} '{item}': expected key=value, such as partition=gpu or time=240 (minutes)")
        if key in _ONE:
            raise InputError(f"{OPTION} {key}: a run is one process on one node")
        key = "timeout_min" if key == "time" else key
        if key in options:
            raise InputError(f"{OPTION} {key} is given twice")
        options[key] = parse_yaml(text, f"{OPTION} {item}")
    minutes = options.setdefault("timeout_min", _DAY)
    if not isinstance(minutes, int) or isinstance(minutes, bool) or minutes < 1:
        raise InputError(f"{OPTION} time: expected a whole number of minutes, got {shown(minutes)}")
    return options


def make_executor(folder: Path, options: dict[str, Any]) -> submitit.AutoExecutor:
    """What submits the jobs; all options are looked at, nothing is submitted.

    Args:
        folder: where submitit keeps its files.
        options: of `read_options`; `cluster: local` runs the jobs here, all at once.

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
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(name="sweep", **parameters)
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
