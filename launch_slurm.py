"""One run as a Slurm job, on several machines and GPUs: python launch_slurm.py CONFIG --nodes 2 --gpus 4."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config.errors import InputError
from config.load import load_config
from config.places import check_run_name, place
from runs.reporting.program import run_program
from sweeps.training import Training

logger = logging.getLogger(__name__)

_SEVERAL = "--nodes and --gpus say how many processes there are"


def main(arguments: Sequence[str] | None = None) -> int:
    """Submits a run.

    Returns:
        The exit status: 0; 1 where a local job failed; 2 for bad input; 128 + the signal's number.
    """
    return run_program(lambda: submit_run(_parser().parse_intermixed_args(arguments)))


def submit_run(options: argparse.Namespace) -> int:
    """Submits the run that a command line asks for; a local job is waited for. Returns the exit status."""
    from sweeps.slurm import make_executor, submit

    for name in ("nodes", "gpus"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name} {getattr(options, name)}: expected at least 1")
    config = load_config(options.config, options.overrides).config  # a wrong one is told before it waits in a queue
    name = str(config.model_name)
    check_run_name(name)
    folder = place(config.save_path, "save_path").resolve()
    training = Training(name, folder, options.config, (*options.overrides, f"save_path={folder}"), Path.cwd())
    if training.is_complete:
        raise InputError(f"run {training.run.root} is complete; choose another name with model_name=...")
    executor = make_executor(folder / f"{name}.jobs" / "%j", slurm_options(options), name, options.requeue)
    (job,) = submit([training], executor)
    logger.info("submitted job %s: %d processes; its log: %s", job.job_id, options.nodes * options.gpus, training.log)
    if not options.local:
        return 0
    error = job.exception()
    if error is not None:
        print(f"error: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
    return 1 if error is not None else 0


def slurm_options(options: argparse.Namespace) -> dict[str, Any]:
    """What submitit is asked for."""
    from sweeps.slurm import LOCAL, read_options

    given = [f"time={options.time}", *options.slurm_option]
    given += [f"partition={options.partition}"] if options.partition and not options.local else []
    found = read_options(given, _SEVERAL) | {"nodes": options.nodes, "tasks_per_node": options.gpus}
    return found | {"cluster": LOCAL} if options.local else {"gpus_per_node": options.gpus, **found}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "launch_slurm.py",
        description="Trains one run as a Slurm job: a process on each GPU, among which every batch is divided.",
        epilog="A job that reaches its time limit, or is preempted, saves, goes back into the queue, and goes on.",
    )
    add = parser.add_argument
    add("config", metavar="CONFIG", help="a name in config/, such as quickstart.yaml, or a path")
    add("overrides", metavar="key=value", nargs="*", help="e.g. optimizer.lr=3e-4 num_epochs=50")
    add("--nodes", type=int, default=1, metavar="N", help="machines (1)")
    add("--gpus", type=int, default=1, metavar="N", help="GPUs, and so processes, of each of them (1)")
    add("--time", type=int, default=24 * 60, metavar="MINUTES", help="limit of one turn (1440)")
    add("--partition", metavar="NAME", help="of the cluster")
    add("--requeue", type=int, default=100, metavar="N", help="how often it goes on after its time limit (100)")
    add("--local", action="store_true", help="run here, without Slurm, and wait")
    add(
        "--slurm-option", action="append", default=[], metavar="key=value", help="passed on, e.g. mem_gb=64, account=me"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
