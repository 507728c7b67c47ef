"""What sweep.py does: plans a sweep and writes its configs, runs it here or on a cluster, and shows its table."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from config.errors import InputError
from config.files import CONFIG_FOLDER, read_file
from config.generated import generated_folder, write_config
from config.load import SWEEP, LoadedConfig, find_config, load_config
from config.schema import Config
from runs.lock import RunLock
from sweeps.combinations import count
from sweeps.definition import read_definition
from sweeps.folder import Manifest, SweepFolder, SweepRun, check_runs, joined
from sweeps.names import file_safe
from sweeps.plan import config_text, plan_runs, twins
from sweeps.running import run_all
from sweeps.scores import Measure
from sweeps.slots import here, slots_of

logger = logging.getLogger(__name__)

MANY = 1_000  # runs; more need a yes
TOO_MANY = 100_000  # whose configs alone would take an hour to read
_SHOWN = 12  # names that are listed


@dataclass(frozen=True)
class Sweep:
    """A sweep with its folder.

    Attributes:
        name: its own.
        folder: where it lies.
        runs: that are asked for.
        choose_by: the evaluation that chooses the checkpoints of BASE.
    """

    name: str
    folder: SweepFolder
    runs: list[SweepRun]
    choose_by: str | None

    @classmethod
    def there(cls, options: argparse.Namespace) -> Sweep:
        """The sweep of BASE that is there already. InputError: there is none."""
        base, name = _base(options)
        folder = SweepFolder.of(base.config.save_path, name)
        manifest = folder.read()
        if manifest is None:
            raise InputError(f"there is no sweep {folder.root}; --name says which one is meant")
        return cls(name, folder, manifest.runs, base.config.choose_by)


@dataclass(frozen=True)
class PlannedSweep:
    """A sweep that is known to be right, of which nothing has been written yet.

    Attributes:
        sweep: what it will be.
        manifest: its `sweep.json`.
        texts: of the config files.
    """

    sweep: Sweep
    manifest: Manifest
    texts: dict[Path, str]

    @classmethod
    def of(cls, options: argparse.Namespace) -> PlannedSweep:
        """The sweep that a command line asks for. InputError: something is wrong with it."""
        base, name = _base(options)
        file = find_config(options.base).name
        definition = read_definition(
            base.sweep, file, options.set, name=options.name, samples=options.samples, seeds=options.seeds
        )
        if not definition.keys and definition.seeds == 1:
            raise InputError(
                f"nothing varies: give --set key=[...], --seeds N, or a section {SWEEP} in {file}; "
                "--table shows what is there"
            )
        _ask(count(definition), yes=options.yes)
        root = str(Path(base.config.save_path) / name)
        planned = plan_runs(options.base, options.overrides, definition, root)
        if same := twins(planned):
            logger.warning("%s computes the same as %s (such runs: %d)", *reversed(same[0]), len(same))
        if options.by:
            _check_measure(options.by, [run.config for run in planned])
        folder = SweepFolder.of(base.config.save_path, name)
        earlier = folder.read()
        check_runs(folder, planned)
        configs = generated_folder(base.config.save_path) / name
        runs = [SweepRun(run.name, run.values, run.seed, str(configs / f"{run.name}.yaml")) for run in planned]
        keys = list(planned[0].values)
        drawn = [key for key in keys if key in definition.drawn_today]
        manifest = joined(earlier, Manifest(file, keys, drawn, runs), folder)
        _check_free([Path(run.config) for run in runs], root)
        texts = {
            Path(run.config): config_text(of_run, name, file, _from_repository(Path(run.config)))
            for run, of_run in zip(runs, planned, strict=True)
        }
        return cls(Sweep(name, folder, runs, base.config.choose_by), manifest, texts)

    def write(self) -> Sweep:
        """Writes the configs, but for those that are the same already, and sweep.json.

        Raises:
            InputError: that is not possible.
        """
        for file, text in self.texts.items():
            if not file.is_file() or file.read_text(encoding="utf-8") != text:
                write_config(file, text)
        try:
            self.sweep.folder.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to {self.sweep.folder.root}: {error.strerror or error}") from None
        self.sweep.folder.write(self.manifest)
        return self.sweep


def _base(options: argparse.Namespace) -> tuple[LoadedConfig, str]:
    """The config that all runs start from, and the sweep's name."""
    base = load_config(options.base, options.overrides)
    section = base.sweep if isinstance(base.sweep, dict) else {}
    given = options.name or section.get("name")
    name = given or f"{file_safe(str(base.config.model_name))}-sweep"
    if not re.fullmatch(r"[\w.-]+", name, flags=re.ASCII) or name.startswith((".", "-")):
        raise InputError(f"the name of a sweep: '{name}' names folders; use letters, digits, '_', '-' and '.'")
    return base, name


def _ask(runs: int, *, yes: bool) -> None:
    """Asks whether so many runs are meant. InputError: they are not, or nobody can be asked."""
    if runs > TOO_MANY:
        raise InputError(f"these are {runs:,} runs, more than {TOO_MANY:,}: draw some of them, with --samples")
    if runs <= MANY or yes:
        return
    if not sys.stdin.isatty():
        raise InputError(f"these are {runs:,} runs; --yes says that so many are meant")
    if input(f"These are {runs:,} runs. Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise InputError(f"{runs:,} runs were not wanted: nothing was written")


def _check_measure(by: str, configs: list[Config]) -> None:
    """Raises InputError where no run will be scored by what the user wants to compare by."""
    measure = Measure.parse(by)
    names = dict.fromkeys(name for config in configs for name, value in config.evaluations.items() if value)
    if measure.evaluation not in names:
        raise InputError(f"--by {by}: there is no evaluation {measure.evaluation}; evaluations has {', '.join(names)}")
    levels = dict.fromkeys(str(level) for config in configs for level in config.levels)
    if measure.level is not None and measure.level not in levels:
        raise InputError(f"--by {by}: there is no level {measure.level}; the encoder has {', '.join(levels)}")


def _check_free(files: list[Path], root: str) -> None:
    """Raises InputError where another sweep of the same name has its configs."""
    for file in files:
        if file.is_file():
            lies_in = read_file(file).get("save_path", "another folder")
            if lies_in != root:
                raise InputError(
                    f"{file.parent} has the configs of another sweep of this name, whose runs lie in {lies_in}; choose "
                    "another name with --name, or remove that folder"
                )


def _from_repository(file: Path) -> str:
    """A config's path as the launcher is given it in the repository's folder."""
    root = CONFIG_FOLDER.parent
    return str(file.relative_to(root) if file.is_relative_to(root) else file)


# ------------------------------------------------------------------------------------------------- the commands


def tell_what_to_do(planned: PlannedSweep) -> int:
    """Writes the configs and lists them, and how they are run. Returns the exit status."""
    sweep = planned.write()
    files = [_from_repository(Path(run.config)) for run in sweep.runs]
    for file in files[:_SHOWN]:
        logger.info("%s", file)
    if len(files) > _SHOWN:
        logger.info("... and %d more", len(files) - _SHOWN)
    logger.info(
        "%d configs; the same command with --run, --gpus LIST or --slurm runs all of them, and "
        "./launcher.sh GPU_ID %s one",
        *(len(files), files[0]),
    )
    return 0


def run_here(planned: PlannedSweep, gpus: str | None, by: str | None) -> int:
    """Runs what is not done on this machine, then shows the table. Returns the exit status."""
    slots = slots_of(gpus) if gpus is not None else here()
    sweep = planned.write()
    logger.info("%d runs in %s; what each prints goes to NAME.log there", len(sweep.runs), sweep.folder.root)
    with RunLock(sweep.folder.lock):
        outcomes, number = run_all([sweep.folder.training(run) for run in sweep.runs], slots)
    show_table(sweep, by)
    for name, outcome in outcomes.items():
        if outcome.state == "failed":
            logger.warning("%s failed: %s; all that it printed is in %s", name, outcome.reason, f"{name}.log")
    if number is not None:
        logger.info("the sweep was ended; the same command continues it")
        return 128 + number
    return 1 if any(outcome.state != "done" for outcome in outcomes.values()) else 0


def submit_jobs(planned: PlannedSweep, given: list[str], by: str | None) -> int:
    """Submits what is not done as an array of jobs. Returns the exit status."""
    from sweeps.slurm import LOCAL, make_executor, read_options, submit

    options = read_options(given)
    folder = SweepFolder(planned.sweep.folder.root.resolve())
    executor = make_executor(folder.jobs / "%j", options)
    sweep = planned.write()
    jobs = submit([replace(folder.training(run), start_in=Path.cwd()) for run in sweep.runs], executor)
    if jobs and options.get("cluster") != LOCAL:
        logger.info("submitted %d jobs: %s to %s", len(jobs), jobs[0].job_id, jobs[-1].job_id)
        logger.info("the same command with --table shows what is done; the same command again submits what is not")
        return 0
    failed = [job for job in jobs if job.exception() is not None]
    show_table(sweep, by)
    return 1 if failed else 0


def show_table(sweep: Sweep, by: str | None) -> int:
    """Prints the table of what is there, and writes it with the report. Returns the exit status."""
    # What draws and computes is imported here: the runs need not wait for it, nor a typo.
    from sweeps.report import write_report
    from sweeps.table import as_text, make_table

    manifest = sweep.folder.read()
    assert manifest is not None  # it was written, or found
    table = make_table(sweep.folder, manifest, sweep.choose_by, by)
    logger.info("%s: %s\n%s", sweep.name, table.title, as_text(table))
    write_report(table, sweep.folder)
    logger.info("open %s", sweep.folder.report)
    return 0


def renew_report(folder: SweepFolder) -> Path:
    """Writes table and report of a sweep anew, by what they were ordered by. InputError: a file cannot be read."""
    from sweeps.report import write_report
    from sweeps.table import make_table

    manifest = folder.read()
    assert manifest is not None  # its file was found
    by = None
    with suppress(OSError, ValueError, AttributeError):
        by = json.loads(folder.json.read_text(encoding="utf-8")).get("by")
    choose_by = None
    with suppress(InputError, IndexError):  # of a run that has not begun
        choose_by = load_config(str(folder.run(manifest.runs[0].name).config)).config.choose_by
    write_report(make_table(folder, manifest, choose_by, by), folder)
    return folder.report
