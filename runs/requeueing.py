"""A Slurm job that reaches its time limit is queued again by itself, and goes on where it was stopped.

`sbatch --signal=USR1@120` has SIGUSR1 sent about 120 s before the time limit. The run saves; then, with `auto_requeue`,
it calls `scontrol requeue`, and the job starts again with the same command.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

from config.errors import InputError

if TYPE_CHECKING:
    from config.schema import Config

logger = logging.getLogger(__name__)

_SECONDS = 60  # that a busy controller may take


def check_requeueing(config: Config) -> bool:
    """Whether the job is to be queued again at its time limit; a warning where it is to be and this is no job.

    Raises:
        InputError: it cannot be, or the job could not go on when it starts again.
    """
    if not config.auto_requeue:
        return False
    if config.resume != "auto":
        raise InputError("auto_requeue=true needs resume=auto: the same command must begin the run and go on with it")
    if not os.environ.get("SLURM_JOB_ID"):
        logger.warning("auto_requeue: this is no Slurm job (SLURM_JOB_ID is not set): nothing will be queued again")
        return False
    if shutil.which("scontrol") is None:
        raise InputError(
            "auto_requeue=true, but there is no scontrol on the PATH of this job, to queue it again with; add it, or "
            "set auto_requeue=false and let the job's script do it (docs/running.md)"
        )
    return True


def requeue_after(status: int) -> None:
    """Queues this Slurm job again, where the run has ended by its warning; tells what became of it.

    Args:
        status: the exit status that the run ends with.
    """
    if status != 128 + signal.SIGUSR1:
        return
    job = os.environ["SLURM_JOB_ID"]
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.error("auto_requeue: scontrol requeue %s: %s; queue the job again by hand", job, error)
        return
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"status {done.returncode}"
        logger.error("auto_requeue: scontrol requeue %s: %s; queue the job again by hand", job, reason)
    else:
        logger.info("auto_requeue: job %s is queued again", job)
