"""One experiment, from top to bottom: python main.py CONFIG [key=value ...]."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.command_line import end_without_experiment, read_command_line, split_dump_index, split_visualize
from parallel.environment import is_follower
from runs.process.caches import give_caches_a_place
from runs.reporting.console import (
    TrainingProgress,
    lasting_output,
    monitor_table,
    pixel_table,
    set_up_logging,
    speed_text,
    tell_results,
)

if __name__ == "__main__":
    # Before the imports below: they take seconds, and they start the threads that compute.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait leave their core to other runs
    give_caches_a_place()
    if is_follower():
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (as long as the process): the first one tells what goes on
    else:
        with lasting_output():
            end_without_experiment()

import torch

from config.errors import InputError
from config.load import LoadedConfig, render_config
from config.places import place
from config.schema import Config
from config.validation_schedule import validates_after
from curriculum import check_stages, end_stage, stages_of
from data_utils.batches.few_videos import OTHER_VIDEOS, TRAINING_STEPS
from data_utils.batches.loader import Loader
from data_utils.batches.state_index import dump_index
from data_utils.catalog.catalog import Catalog
from eval import (
    FinalTest,
    Validation,
    Validator,
    choosing_score,
    final_test,
    watched_value,
    why_no_choice,
)
from experiment import Experiment, describe_run, open_experiment
from figures.command import draw
from figures.kept_features import keep_features
from figures.request import read_draw_request
from find_batch_size import keep_found_sizes, with_batch_size_that_fits
from followers import EndRequest, EpochRequest, TrainRequest, ended_by, follow, joined_with, stops
from monitors import end_run_on_alarms
from parallel.group import joined
from protocols.embedded_videos import embed_videos
from protocols.encoded_split import EncodedSplit
from protocols.evaluation import Plan
from protocols.prediction_files import write_predictions
from runs.checkpoint import save_encoder
from runs.compiler import compile_task
from runs.completing import complete
from runs.data_fingerprint import check_same_data, data_fingerprint
from runs.folder import RunFolder
from runs.history import History
from runs.lock import RunLock
from runs.metrics import MetricLog
from runs.precision import set_tf32
from runs.process.atomic import write_json
from runs.process.clock import seconds_since_start
from runs.process.determinism import deterministic
from runs.process.ending import before_an_error
from runs.process.environment import device_name
from runs.process.memory import MemoryWatch
from runs.process.seeds import seed_everything
from runs.process.signals import EndOnSignal, StopRequest
from runs.reporting.compiled_umap import compiling_umap
from runs.reporting.monitor_table import CAPTION
from runs.reporting.plan_of_steps import tell_plan
from runs.reporting.report.run_report import Progress, renew_report, write_report
from runs.requeueing import check_requeueing, requeue_after
from runs.resuming import load_weights_of, read_best, read_checkpoints
from runs.saving import Saver
from runs.stage_log import StageLog
from runs.stages import how_it_ended, new_history, note_carry_over, records_before, stages_told
from runs.step_log import StepLog
from runs.tracking.tracking import Tracking, check_trackers
from runs.whole_state import read_whole_state, take_over
from runs.window_memory import WindowMemory
from runs.written_by import written_by
from tasks import build_task
from tasks.carrying import carry_over, read_carried
from tasks.encoder import check_start
from tasks.starting import check_other_run, start_from_other_run
from tasks.task import Task
from train import Trainer, training_loader

if TYPE_CHECKING:  # figures take a second to import, which the first step need not wait for
    from figures.windows import FirstWindows
    from visualization import DrawnRun

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one experiment from the command line.

    Returns:
        The exit status: 0; 1 after an unexpected error that cost nothing of what was trained; 2 for bad input;
        128 + the signal's number when a signal stopped the run.
    """
    with lasting_output():
        set_up_logging()
        run, requeue = None, False
        try:
            with EndOnSignal():
                loaded = read_command_line(arguments)
                if loaded is None:
                    return 0
                _, drawing = split_visualize(sys.argv[1:] if arguments is None else arguments)
                if drawing is not None:
                    return draw_instead(loaded.config, drawing)
                _, folder = split_dump_index(sys.argv[1:] if arguments is None else arguments)
                if folder is not None:
                    return dump_states(complete(loaded).config, folder)
                group = joined_with(loaded)
                if group.rank:
                    return follow(group, torch.device("cuda" if torch.cuda.is_available() else "cpu"), loaded)
                check_trackers(loaded.config)
                loaded = complete(loaded)
                requeue = check_requeueing(loaded.config)
                run = RunFolder.open(loaded.config.save_path, str(loaded.config.model_name), loaded.config.resume)
                with (
                    RunLock(run.lock) as lock,
                    MemoryWatch() as memory,
                    Tracking(loaded.config, run) as tracking,
                    deterministic(loaded.config.deterministic),
                ):
                    status = run_experiment(loaded, run, lock, memory, tracking)
                    joined().leave(EndRequest(status))
        except (Exception, KeyboardInterrupt) as error:
            status = ended_by(error, run)
        finally:
            if run is not None:
                run.discard_if_unused()
        if requeue:
            requeue_after(status)
        return status


def draw_instead(config: Config, options: list[str]) -> int:
    """Draws the run that a config names, as the options of visualization.py ask; returns the exit status."""
    run = place(config.save_path, "save_path") / str(config.model_name)
    if not run.is_dir():
        raise InputError(f"--visualize: there is no run {run}; without --visualize, this command trains it")
    return draw(read_draw_request([str(run), *options]))


def dump_states(config: Config, folder: str) -> int:
    """Writes which frames each epoch takes of each video, for other programs; returns the exit status."""
    dump_index(config, config.seed, config.num_epochs, list(config.groups), place(folder, "--dump-index"))
    return 0


def run_experiment(loaded: LoadedConfig, run: RunFolder, lock: RunLock, memory: MemoryWatch, tracking: Tracking) -> int:
    """Config, data, task, [train, validate]*, evaluations, figures; of a curriculum, every stage up to the training.

    Returns:
        The exit status.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    logger.info("run %s on %s (%s)", run.root, device.type, device_name(device))
    set_tf32(loaded.config)
    for note in loaded.notes():
        logger.info("config: %s", note)
    stages = stages_of(loaded, run)
    checkpoint = None
    # Before the data is opened, which may take long: a checkpoint that cannot be continued is told at once.
    if run.has_checkpoint():
        checkpoint = read_checkpoints(run, [stage.config.model_dump() for stage in stages])
    elif stages[0].config.resume_all:
        checkpoint = read_whole_state(stages[0].config)
    else:
        run.forget_what_had_begun()
        read_carried(stages[0].config)
        check_start(stages[0].config)
        check_other_run(stages[0].config)
    seconds_before = checkpoint["history"]["wall_seconds"] if checkpoint else 0.0
    first = checkpoint["config"]["stage"] - 1 if checkpoint and loaded.stages else 0
    if checkpoint:
        stages = keep_found_sizes(stages, first, checkpoint)
    environment = describe_run(loaded if loaded.stages else stages[0], stages[first].config, run, device)
    opened = partial(
        open_experiment, run=run, lock=lock, memory=memory, tracking=tracking, environment=environment, device=device
    )
    check_stages(stages[first:], opened, device)

    with compiling_umap("umap" in stages[-1].config.figures):
        for number, stage in enumerate(stages[first:], start=first + 1):
            experiment = opened(stage)
            tell_begin(experiment, number, len(stages))
            task = initial_task(stage.config, experiment.catalogs, device, pretrained=checkpoint is None)
            if not checkpoint:
                experiment = with_batch_size_that_fits(experiment, task)
            elif "path" not in checkpoint:  # it is another run's
                take_over(checkpoint, task, run, stage.config)
            with StopRequest() as stop:
                history = train_and_validate(experiment, task, checkpoint, seconds_before, stop)
            if stop.signal:
                return 128 + stop.signal
            following = stages[number] if number < len(stages) else None
            if following or (stage.config.stage and not loaded.stages):  # or it is started alone
                end_stage(experiment, history, following)
            checkpoint = None  # the next stage begins
        chosen = take_best_encoder(experiment, task, history)
        # The floor is the encoder that the seed gives, also where training began with the weights of a file.
        at_init = initial_task(experiment.config, experiment.catalogs, device, pretrained=False).encoder
        test = final_test(task, at_init, experiment.plan, device)
        write_predictions(run.predictions, test.predictions, experiment.plan.catalogs("test"))
        joined().leave(EndRequest(0))  # what is left is for one process

    records = MetricLog.read(run.metrics)
    summary = summarise(experiment, history, test, records) | {"chosen": chosen}
    summary |= stages_told(history, experiment.config, chosen, run)
    publish(experiment, summary, records, seconds_before)  # before the figures, so that none of them can cost it
    from visualization import draw_figures

    summary["failed_figures"] = draw_figures(drawn_run(experiment, task, test), records, run.figures)
    publish(experiment, summary, records, seconds_before)
    tracking.results(summary, lambda: embed_videos(test.split, experiment.plan.own, experiment.config.figure_videos))
    announce_results(summary, test, experiment.plan, run)
    return 0


def tell_begin(experiment: Experiment, number: int, stages: int) -> None:
    """Logs what a run, or stage `number` of as many, trains on."""
    config, catalogs = experiment.config, experiment.catalogs
    if stages > 1:
        height, width = config.frame_size
        frames = "single frames" if config.window.length == 1 else f"windows of {config.window.length} frames"
        levels = ", ".join(config.groups)
        logger.info("stage %d of %d: %s, %s, %d x %d pixels", number, stages, levels, frames, height, width)
    if config.debug:
        logger.warning(
            "debug: about %d steps an epoch, at most %d videos in validation and test, and no tracking: "
            "the scores mean nothing",
            *(TRAINING_STEPS, OTHER_VIDEOS),
        )
    logger.info("videos: %s", ", ".join(f"{len(catalog.table)} {split}" for split, catalog in catalogs.items()))


def take_best_encoder(experiment: Experiment, task: Task, history: History) -> str:
    """Gives the task the weights that validation has chosen and exports its encoder; says in words which these are."""
    chosen, scores_chose = history.choice(why_no_choice(experiment.plan, experiment.config))
    logger.log(logging.INFO if scores_chose else logging.WARNING, "the encoder is that of %s", chosen)
    task.load_state_dict(read_best(experiment.run)["task"])
    description = {
        "config": experiment.config.model_dump(),
        "step": history.total_best_step,
        "written_by": experiment.environment["written_by"],
    }
    save_encoder(task.encoder.state_dict(), description, experiment.run.checkpoints)
    return chosen


def summarise(
    experiment: Experiment, history: History, test: FinalTest, records: list[dict[str, Any]]
) -> dict[str, Any]:
    """What summary.json says of a run, but for what only its end can tell."""
    config, plan = experiment.config, experiment.plan
    return test.record() | {
        "evaluations": plan.described(),
        "skipped": plan.skipped,
        "untrained": plan.untrained(),
        "drawn_val": experiment.catalogs["val"].drawn or None,
        "own_labels": plan.own.own,
        "alarms": [f"step {record['step']}: {alarm}" for record in records for alarm in record.get("alarms", [])],
        "task": config.task,
        "debug": config.debug,
        "epochs": history.first_epoch + history.epoch,
        "steps": history.total_steps,
        "best_step": history.total_best_step,
        "bad_steps": history.bad_steps + sum(stage["bad_steps"] for stage in history.finished),
        "bad_videos": len(experiment.bad_videos),
        "device": device_name(experiment.device),
        "command": experiment.environment["command"],
        "bytes_per_window": history.bytes_per_window,
        **history.speed(config.window.length),
    }


def publish(
    experiment: Experiment, summary: dict[str, Any], records: list[dict[str, Any]], seconds_before: float
) -> None:
    """Writes summary.json, and the report with the figures that there are.

    Args:
        experiment: the run's.
        summary: gets the time and the memory that the run has taken so far.
        records: of metrics.jsonl.
        seconds_before: wall time of earlier parts of the run.
    """
    summary["wall_seconds"] = seconds_before + seconds_since_start()
    summary["peak_memory_mb"] = experiment.memory.peak_mb
    write_json(experiment.run.summary, summary)
    write_report(experiment.run, summary, render_config(experiment.loaded), experiment.environment, records)


def renew(experiment: Experiment, progress: Progress) -> None:
    """Writes the report of a run that has not ended, with what metrics.jsonl says so far."""
    plan, config = experiment.plan, experiment.config
    known = {
        "evaluations": plan.described(),
        "skipped": plan.skipped,
        "own_labels": plan.own.own,
        "task": config.task,
        "debug": config.debug,
        "device": device_name(experiment.device),
        "command": experiment.environment["command"],
        "bad_videos": len(experiment.bad_videos),
    }
    renew_report(experiment.run, known, render_config(experiment.loaded), experiment.environment, progress)


def initial_task(config: Config, catalogs: dict[str, Catalog], device: torch.device, *, pretrained: bool) -> Task:
    """The task with the initial weights of the config's seed; `pretrained`: and with those of `encoder_checkpoint`."""
    seed_everything(config.seed)
    if not pretrained:
        config = config.model_copy(update={"encoder_checkpoint": None})
    task = build_task(config, catalogs["train"]).to(device)
    if config.compile:
        compile_task(task, device)
    return task


def train_and_validate(
    experiment: Experiment,
    task: Task,
    checkpoint: dict[str, Any] | None,
    seconds_before: float,
    stop: StopRequest,
) -> History:
    """All epochs, or until a signal asks to stop.

    Args:
        experiment: a run's, or that of one of its stages.
        task: with its random init, or the weights of `encoder_checkpoint`.
        checkpoint: to go on from; None: the training begins.
        seconds_before: wall time of earlier parts of the run.
        stop: asks for the end.
    """
    config, run, group = experiment.config, experiment.run, joined()
    loader = training_loader(task, experiment.catalogs["train"], config, group)
    with MetricLog(run.metrics, experiment.tracking) as metrics, closing(loader) as batches:
        trainer = Trainer(task, config, len(batches), experiment.device, group)
        tell_plan(experiment.catalogs, config, batches.windows, trainer.steps_per_epoch)
        if checkpoint:
            path = checkpoint["path"]
            check_same_data(checkpoint["data"], experiment.catalogs, path, other_data=config.checkpoint.other_data)
            history = History.restored(checkpoint["history"], config.clips)
            log = StageLog(metrics, config.stage, history.first_step, history.first_epoch)
            load_weights_of(checkpoint, task, path)
            trainer.load_state_dict(checkpoint["trainer"])
            log.drop_after(history.step, history.epoch)
            logger.info("continuing %s at step %d of %d", path, trainer.step, trainer.total_steps)
        else:
            history, log = begin(experiment, task, trainer, metrics)
            history.wall_seconds = seconds_before
        renew(experiment, Progress(trainer.step, trainer.total_steps, history.epoch, config.num_epochs))
        facts = {"written_by": written_by(experiment.environment), "data": data_fingerprint(experiment.catalogs)}
        continued = checkpoint["path"] if checkpoint else None
        saver = Saver(run, experiment.lock, config, task, trainer, history, facts, continued)
        if not checkpoint:
            saver.save_last(must=True)
        with before_an_error(saver.save_what_was_reached):
            if group.size > 1:
                group.ask(TrainRequest.of(config, experiment.catalogs["train"], task, trainer))
            train_epochs(experiment, task, trainer, history, batches, log, saver, stop)
    if history.is_at_plateau(config):
        ended = how_it_ended(history, config)
        logger.info("training has ended with %s, after %d of %d epochs", ended, history.epoch, config.num_epochs)
    if stop.requested:
        done = Progress(trainer.step, trainer.total_steps, history.epoch, config.num_epochs, stopped=True)
        renew(experiment, done)
        left = "scores it: nothing is left to train" if history.is_over(config) else "continues it"
        logger.info("stopped at step %d of %d; resume=true %s", trainer.step, trainer.total_steps, left)
    return history


def begin(experiment: Experiment, task: Task, trainer: Trainer, metrics: MetricLog) -> tuple[History, StageLog]:
    """Takes over what another run has left; validates the random init, which is the floor, and what was taken over."""
    config, run = experiment.config, experiment.run
    carried = read_carried(config)
    history = new_history(config, carried, run)
    log = StageLog(metrics, config.stage, history.first_step, history.first_epoch)
    if carried is None and config.resume_path is None:
        if config.validate_before:
            keep = keeping(experiment, history, epoch=0)
            history.at_init = validate_at_init(experiment, task, log, keep=keep).record()
        return history, log
    account = start_from_other_run(task, config) if carried is None else carry_over(carried, task, trainer, config)
    note_carry_over(run, config.stage, account)
    if carried is not None:
        log.take_over(records_before(config))
    if not config.validate_before:
        return history, log
    at_init = validate_at_init(experiment, task, log, kind="random_init")
    history.at_init = at_init.record()
    validator = Validator(task, experiment.plan, config, experiment.device)
    validation = validator.run(at_init, log.records(), first=True, keep=keeping(experiment, history, epoch=0))
    announce("carried over", validation, experiment.plan, log, step=0, epoch=0)
    return history, log


def train_epochs(
    experiment: Experiment,
    task: Task,
    trainer: Trainer,
    history: History,
    batches: Loader,
    log: StageLog,
    saver: Saver,
    stop: StopRequest,
) -> None:
    """The loop: epochs of steps, a validation after some of them, a checkpoint after each and in between."""
    config, plan, group = experiment.config, experiment.plan, joined()
    train = experiment.catalogs["train"]
    validator = Validator(task, plan, config, experiment.device)
    at_init = Validation.restored(history.at_init, plan.own.own)
    can_choose = why_no_choice(plan, config) is None
    steps = StepLog(log, config.log_interval, trainer.steps_per_epoch, history.unlogged)
    memory = WindowMemory(config, experiment.device, history, group.size)

    def on_failed(failed: list[tuple[int, str]]) -> None:
        experiment.bad_videos.add(train.failures(failed))

    with TrainingProgress(trainer.total_steps, trainer.step, config.window.length) as progress:
        while not history.is_over(config) and not stop.requested:
            alarms: list[str] = []
            group.ask(EpochRequest(history.epoch, history.batch))
            for report in memory.measured(trainer.epoch(batches, history.epoch, history.batch, on_failed)):
                history.count_step(report.step, report.batch, report.windows, report.seconds, report.data_wait)
                steps.add(report, history.epoch)
                progress.update(report.step, report.loss, report.windows, report.seconds, report.data_wait)
                if stops(group, stop):  # between two steps, where a checkpoint can be taken
                    break
                saver.save_if_due()
            else:
                epoch = history.epoch + 1
                if validates_after(epoch, config):
                    validation = validator.run(
                        at_init,
                        log.records(),
                        first=not log.has_validated(),
                        keep=keeping(experiment, history, epoch),
                    )
                    announce(f"epoch {history.first_epoch + epoch}", validation, plan, log, history.step, epoch)
                    renew(experiment, Progress(trainer.step, trainer.total_steps, epoch, config.num_epochs))
                    alarms = validation.alarms
                    saver.save_among_best(choosing_score(validation.results, config), can_choose=can_choose)
                    history.watch(watched_value(validation, config))
                history.end_epoch()  # after the validation: where that fails, a resumed run does it again
            saver.save_last(must=stop.requested or history.is_over(config))
            if config.strict_monitors:  # after the save: who disagrees with the alarm can go on from there
                end_run_on_alarms(alarms, history.total_steps)
        # No validation chose: there was none, none can, or the best.pt that it chose was lost.
        none_chose = history.best_score is None or (not can_choose and history.best_step != history.step)
        if none_chose and not stop.requested:
            history.best_step = history.step
            saver.save_best()
            saver.save_last(must=True)


def keeping(experiment: Experiment, history: History, epoch: int) -> Callable[[EncodedSplit], None]:
    """Keeps the features of some validation videos after `epoch` epochs, of which `history` has counted the steps."""
    folder, val = experiment.run.epoch_features, experiment.catalogs["val"]
    return partial(keep_features, folder, val, experiment.config, history.first_epoch + epoch, history.total_steps)


def validate_at_init(
    experiment: Experiment,
    task: Task,
    log: StageLog,
    kind: str = "validation",
    keep: Callable[[EncodedSplit], None] = lambda _: None,
) -> Validation:
    """The validation before training: the floor of all later ones, so of weights that nothing has trained."""
    config, device = experiment.config, experiment.device
    if config.encoder_checkpoint or config.carry_from or config.resume_path:
        task = initial_task(config, experiment.catalogs, device, pretrained=False)
    at_init = Validator(task, experiment.plan, config, device).run(None, keep=keep)
    announce("random init", at_init, experiment.plan, log, step=0, epoch=0, kind=kind)
    return at_init


def announce(
    title: str, validation: Validation, plan: Plan, log: StageLog, step: int, epoch: int, kind: str = "validation"
) -> None:
    """Prints and logs what a validation after `step` steps, the last of epoch number `epoch` (from 1), found."""
    tell_results(validation.results, plan.titles, f"{title}: {{title}} on validation videos, {{unit}}")
    logger.info("%s\n%s", CAPTION, monitor_table(validation.measured()))
    for alarm in validation.alarms:
        logger.warning("alarm: %s", alarm)
    log.write(kind, step=step, epoch=epoch, **validation.record())


def drawn_run(experiment: Experiment, task: Task, test: FinalTest) -> DrawnRun:
    """What figures show of a run."""
    from figures.windows import FirstWindows
    from visualization import DrawnRun

    config, train = experiment.config, experiment.catalogs["train"]

    def read() -> FirstWindows:
        with closing(training_loader(task, train, config)) as batches:
            return FirstWindows.of(next(batches.epoch(0)), train)

    kept = experiment.run.epoch_features
    return DrawnRun(config, experiment.plan, task, test.split, test.results, read, kept, test.encoded, test.predictions)


def announce_results(summary: dict[str, Any], test: FinalTest, plan: Plan, run: RunFolder) -> None:
    """Prints the final scores and where to look further."""
    tell_results(test.results, plan.titles, f"test, {{title}}, {{unit}} (step {summary['best_step']})")
    if test.pixels:
        logger.info(
            "test, pixels in place of features, %%: floors of these scores\n%s", pixel_table(test.pixels, plan.titles)
        )
    if summary["bad_videos"]:
        logger.warning("%d videos could not be read and were left out: see %s", summary["bad_videos"], run.bad_videos)
    logger.info(
        "%.0f s, %s in training, peak memory %.0f MB; open %s",
        summary["wall_seconds"],
        speed_text(summary["windows_per_second"], summary["frames_per_second"]),
        summary["peak_memory_mb"],
        run.report,
    )


if __name__ == "__main__":
    sys.exit(main())
