"""One experiment, from top to bottom: python main.py CONFIG [key=value ...]."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any
from uuid import uuid4

from config.command_line import end_without_experiment, read_command_line
from runs.caches import give_caches_a_place
from runs.console import Progress, lasting_output, monitor_table, score_table, set_up_logging, speed_text

if __name__ == "__main__":
    # Before the imports below: they take seconds, and they start the threads that compute.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait leave their core to other runs
    give_caches_a_place()
    with lasting_output():
        end_without_experiment()

import numpy as np
import torch
from numpy.typing import NDArray

from config.load import LoadedConfig, render_config
from config.schema import Config
from data_utils.bad_videos import BadVideos
from data_utils.catalog import Catalog
from data_utils.frame_reader import describe_reading
from data_utils.labels import LabelSet
from data_utils.loader import Batch, Loader
from data_utils.normalise import to_pixels
from data_utils.opening import open_bad_videos, open_catalogs
from data_utils.views import make_views, middle_view
from eval import EncodedSplit, Validation, Validator, final_test, why_no_choice
from monitors import end_run_on_alarms
from runs.atomic import write_json, write_text
from runs.checkpoint import save_checkpoint, save_encoder
from runs.clock import seconds_since_start
from runs.compiled_umap import compiling_umap
from runs.completing import complete
from runs.embedding import METHODS
from runs.ending import before_an_error, ending
from runs.environment import describe_environment, device_name
from runs.folder import RunFolder
from runs.history import History
from runs.lock import RunLock
from runs.memory import MemoryWatch
from runs.metrics import MetricLog
from runs.plan_of_steps import tell_plan
from runs.report import write_report
from runs.resuming import load_weights_of, read_best, read_checkpoints
from runs.seeds import seed_everything
from runs.signals import EndOnSignal, StopRequest
from tasks import build_task
from tasks.task import Task
from train import Trainer
from visualization import CURVES, draw_curve, draw_embeddings, draw_views, draw_windows

logger = logging.getLogger(__name__)

MONITORS = (
    "collapse monitors on validation videos (up, down, side: prediction error / error against another video's target)"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one experiment from the command line.

    Returns:
        The exit status: 0; 1 after an unexpected error that cost nothing of what was trained; 2 for bad input;
        128 + the signal's number when a signal stopped the run.
    """
    with lasting_output():
        set_up_logging()
        run = None
        try:
            with EndOnSignal():
                loaded = read_command_line(arguments)
                if loaded is None:
                    return 0
                loaded = complete(loaded)
                run = RunFolder.open(loaded.config.save_path, str(loaded.config.model_name), loaded.config.resume)
                with RunLock(run.lock) as lock, MemoryWatch() as memory:
                    return run_experiment(loaded, run, lock, memory)
        except (Exception, KeyboardInterrupt) as error:
            status, line = ending(error, run)
            print(line, file=sys.stderr)
            return status
        finally:
            if run is not None:
                run.discard_if_unused()


def run_experiment(loaded: LoadedConfig, run: RunFolder, lock: RunLock, memory: MemoryWatch) -> int:
    """Config, data, task, [train, validate]*, final test, figures. Returns the exit status."""
    config = loaded.config
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    logger.info("run %s on %s (%s)", run.root, device.type, device_name(device))
    for note in loaded.notes():
        logger.info("config: %s", note)
    checkpoint = read_checkpoints(run, config.model_dump()) if config.resume else None
    run.error.unlink(missing_ok=True)
    environment = describe_environment(device) | {"reading": describe_reading(config)}
    write_text(run.config, render_config(loaded))
    write_json(run.environment, environment)

    catalogs = open_catalogs(config, config.groups, run.bad_videos)
    bad_videos = open_bad_videos(config, catalogs, run.bad_videos)
    logger.info("videos: %s", ", ".join(f"{len(catalog.table)} {split}" for split, catalog in catalogs.items()))

    task = initial_task(config, catalogs, device, pretrained=checkpoint is None)
    earlier = checkpoint["history"]["wall_seconds"] if checkpoint else 0.0
    with compiling_umap("umap" in config.figures):
        with StopRequest() as stop:
            history = train_and_validate(task, config, run, lock, catalogs, bad_videos, device, checkpoint, stop)
        if stop.signal:
            return 128 + stop.signal

        chosen, scores_chose = history.choice(why_no_choice(own_label_sets(catalogs, config)))
        logger.log(logging.INFO if scores_chose else logging.WARNING, "the encoder is that of %s", chosen)
        task.load_state_dict(read_best(run)["task"])
        weights, description = task.encoder.state_dict(), {"config": config.model_dump(), "step": history.best_step}
        save_encoder(weights, description, run.checkpoints)
        at_init = initial_task(config, catalogs, device, pretrained=False).encoder
        target = catalogs["test"].own_labels(config.levels).get(config.levels[-1])
        results, test = final_test(task, at_init, catalogs, target, config, device, bad_videos)
    records = MetricLog.read(run.metrics)
    summary = results | {
        "own_labels": catalogs["test"].own_labels(config.levels),
        "alarms": [f"step {record['step']}: {alarm}" for record in records for alarm in record.get("alarms", [])],
        "task": config.task,
        "epochs": history.epoch,
        "steps": history.step,
        "best_step": history.best_step,
        "chosen": chosen,
        "bad_steps": history.bad_steps,
        "bad_videos": len(bad_videos),
        "device": device_name(device),
        "command": environment["command"],
        "wall_seconds": earlier + seconds_since_start(),
        "peak_memory_mb": memory.peak_mb,
        **history.speed(config.window.length),
    }
    publish(run, summary, loaded, environment, records)  # before the figures, so that none of them can cost it
    summary["failed_figures"] = draw_figures(task, test, results["knn"], catalogs["train"], records, config, run)
    summary |= {"wall_seconds": earlier + seconds_since_start(), "peak_memory_mb": memory.peak_mb}
    publish(run, summary, loaded, environment, records)
    announce_results(summary, run)
    return 0


def publish(
    run: RunFolder,
    summary: dict[str, Any],
    loaded: LoadedConfig,
    environment: dict[str, Any],
    records: list[dict[str, Any]],
) -> None:
    """Writes summary.json, and the report with the figures that there are."""
    write_json(run.summary, summary)
    write_report(run, summary, render_config(loaded), environment, records)


def own_score(validation: Validation, own: Mapping[str, str]) -> float:
    """What chooses the checkpoint: kNN of every level on its own labels, as the mean, so that no level is given up.

    0 where no level could be scored: then the last checkpoint is taken.
    """
    scores = [validation.knn[level][labels]["top1"] for level, labels in own.items() if labels in validation.knn[level]]
    return fmean(scores) if scores else 0.0


def own_label_sets(catalogs: Mapping[str, Catalog], config: Config) -> dict[str, LabelSet]:
    """By level, the label set of the validation videos that it is judged by, where training videos have labels too."""
    own = catalogs["val"].own_labels(config.levels)
    return {
        lv: catalogs["val"].labels[name] for lv, name in own.items() if catalogs["train"].labels[name].is_known.any()
    }


def initial_task(config: Config, catalogs: dict[str, Catalog], device: torch.device, *, pretrained: bool) -> Task:
    """The task with the initial weights of the config's seed; `pretrained`: and with those of `encoder_checkpoint`."""
    seed_everything(config.seed)
    if not pretrained:
        config = config.model_copy(update={"encoder_checkpoint": None})
    return build_task(config, catalogs["train"]).to(device)


def train_and_validate(
    task: Task,
    config: Config,
    run: RunFolder,
    lock: RunLock,
    catalogs: dict[str, Catalog],
    bad_videos: BadVideos,
    device: torch.device,
    checkpoint: dict[str, Any] | None,
    stop: StopRequest,
) -> History:
    """All epochs, from the first or from where `checkpoint` was taken, or until a signal asks to stop."""
    with MetricLog(run.metrics) as log, closing(training_loader(task, catalogs["train"], config)) as batches:
        trainer = Trainer(task, config, len(batches), device)
        tell_plan(catalogs, config, batches.windows, trainer.steps_per_epoch)
        validator = Validator(task, catalogs, config, device, bad_videos)
        own = catalogs["val"].own_labels(config.levels)
        if checkpoint:
            history = History.restored(checkpoint["history"], config.clips)
            load_weights_of(checkpoint, task, run.last)
            trainer.load_state_dict(checkpoint["trainer"])
            log.drop_after(history.step, history.epoch)
            logger.info("continuing %s at step %d of %d", run.last, trainer.step, trainer.total_steps)
        else:
            floor = initial_task(config, catalogs, device, pretrained=False) if config.encoder_checkpoint else task
            at_init = Validator(floor, catalogs, config, device, bad_videos).run(None)
            history = History(at_init=asdict(at_init), run=uuid4().hex)
            announce("random init", at_init, own, log, step=0, epoch=0)
        earlier = history.wall_seconds
        can_choose = why_no_choice(own_label_sets(catalogs, config)) is None

        def on_failed(failed: list[tuple[int, str]]) -> None:
            bad_videos.add(catalogs["train"].failures(failed))

        def save(path: Path) -> None:
            lock.check()
            history.wall_seconds = earlier + seconds_since_start()
            history.bad_steps = trainer.bad_steps
            state = {"task": task.state_dict(), "trainer": trainer.state_dict(), "history": history.state_dict()}
            save_checkpoint(state | {"config": config.model_dump(), "run": history.run}, path)

        def save_what_was_reached() -> None:
            if trainer.step == history.step and trainer.roll_back():
                save(run.last)

        if not checkpoint:
            save(run.last)
        with (
            Progress(trainer.total_steps, trainer.step, config.window.length) as progress,
            before_an_error(save_what_was_reached),
        ):
            while history.epoch < config.num_epochs and not stop.requested:
                alarms: list[str] = []
                loss: dict[str, Any] = {}  # the latest of every level: levels may take turns
                grad_norm: dict[str, float] = {}
                for report in trainer.epoch(batches, history.epoch, history.batch, on_failed):
                    history.count_step(report.step, report.batch, report.windows, report.seconds, report.data_wait)
                    loss, grad_norm = loss | report.loss, grad_norm | report.grad_norm
                    ends = report.step % trainer.steps_per_epoch == 0
                    if ends or report.skipped or report.step % config.log_interval == 0:
                        latest = {"loss": loss, "grad_norm": grad_norm}
                        log.write("step", epoch=history.epoch, **(asdict(report) | latest))
                        loss, grad_norm = {}, {}
                    progress.update(report.step, report.loss, report.windows, report.seconds, report.data_wait)
                    if stop.requested:
                        break
                else:
                    ended = history.epoch + 1
                    if ended % config.val_interval == 0 or ended == config.num_epochs:
                        validation = validator.run(Validation(**history.at_init), log.records())
                        announce(f"epoch {ended}", validation, own, log, history.step, ended)
                        alarms = validation.alarms
                        if history.is_best(own_score(validation, own), can_choose):
                            save(run.best)
                    history.end_epoch()  # after the validation: where that fails, a resumed run does it again
                save(run.last)
                if config.strict_monitors:
                    end_run_on_alarms(alarms, history.step)
            if history.best_score is None and not stop.requested:  # best.pt was lost, and nothing is left to train
                history.best_step = history.step
                save(run.best)
                save(run.last)
        if stop.requested:
            left = "continues it" if trainer.step < trainer.total_steps else "scores it: nothing is left to train"
            logger.info("stopped at step %d of %d; resume=true %s", trainer.step, trainer.total_steps, left)
    return history


def training_loader(task: Task, catalog: Catalog, config: Config) -> Loader:
    """The training batches, with a second window of each video where the task's views ask for one."""
    second_window = any(view.window for view in task.views)
    return Loader(catalog, config, config.batch_size, config.seed, training=True, second_window=second_window)


def announce(title: str, validation: Validation, own: Mapping[str, str], log: MetricLog, step: int, epoch: int) -> None:
    """Prints and logs what a validation after `step` steps, the last of epoch number `epoch` (from 1), found."""
    if any(validation.knn.values()):
        logger.info("%s: kNN on validation videos, %%\n%s", title, score_table(validation.knn, own, {}))
    logger.info("%s\n%s", MONITORS, monitor_table(validation.measured()))
    for alarm in validation.alarms:
        logger.warning("alarm: %s", alarm)
    log.write("validation", step=step, epoch=epoch, **asdict(validation))


def draw_figures(
    task: Task,
    test: EncodedSplit,
    knn: dict[str, dict[str, dict[str, float]]],
    train: Catalog,
    records: list[dict[str, Any]],
    config: Config,
    run: RunFolder,
) -> dict[str, str]:
    """Draws all figures anew; by file name, why some of them could not be drawn."""
    scores = {level: {name: score["top1"] for name, score in by_labels.items()} for level, by_labels in knn.items()}
    labels = {name: label_set for name, label_set in test.labels.items() if label_set.is_known.any()}
    was_scored = any(any(record["knn"].values()) for record in records if record["kind"] == "validation")
    embeddings = partial(draw_embeddings, test.features, labels, run.figures, config.seed, config.figure_videos, scores)
    first_windows = cache(partial(read_first_windows, task, train, config))  # read once for two figures
    drawings: dict[str, Callable[[], object]] = {
        "windows": partial(draw_input, first_windows, config, run.figures),
        "views": partial(draw_looks, first_windows, task, config, run.figures),
        **{curve: partial(draw_curve, curve, records, run.figures) for curve in CURVES if curve != "knn" or was_scored},
        **({method: partial(embeddings, [method]) for method in config.figures} if labels else {}),
    }
    for name in dict.fromkeys([*drawings, *METHODS]):  # those of an earlier part of the run
        (run.figures / f"{name}.png").unlink(missing_ok=True)
    failed = {}
    for name, draw in drawings.items():
        try:
            draw()
        except Exception as error:
            failed[f"{name}.png"] = " ".join(f"{type(error).__name__}: {error}".split())
            logger.warning("figure %s.png could not be drawn: %s", name, failed[f"{name}.png"])
    return failed


def read_first_windows(task: Task, catalog: Catalog, config: Config) -> tuple[Batch, list[str]]:
    """The first training batch, and a caption for each of its first windows."""
    with closing(training_loader(task, catalog, config)) as batches:
        batch = next(batches.epoch(0))
    captions = []
    for row in batch.row_B[:8].tolist():
        labels = ", ".join(f"{name} {label_set.text(row)}" for name, label_set in catalog.labels.items())
        captions.append(catalog.table["path"].iloc[row] + (f": {labels}" if labels else ""))
    return batch, captions


def draw_input(first_windows: Callable[[], tuple[Batch, list[str]]], config: Config, folder: Path) -> None:
    """Draws what the model sees."""
    batch, captions = first_windows()
    draw_windows(to_frames(middle_view(batch.video_BTCHW[:8], config)), captions, config.clips, folder / "windows.png")


def draw_looks(first_windows: Callable[[], tuple[Batch, list[str]]], task: Task, config: Config, folder: Path) -> None:
    """Draws what the task's views make of what the model sees, where they change it."""
    if not any(view.augmentation for view in task.views):
        return
    batch, captions = first_windows()
    # The whole batch: a window may get the static part of any other one.
    videos = make_views(batch, task.views, config, config.seed, epoch=0).videos
    looks = {
        name: to_frames(to_pixels(video[:3], *config.pixels))
        for name, video in zip(task.view_names, videos, strict=True)
    }
    draw_views(to_frames(batch.video_BTCHW[:3]), looks, captions[:3], config.clips, folder / "views.png")


def to_frames(video_BTCHW: torch.Tensor) -> NDArray[np.uint8]:
    """Windows of pixels as pictures: [B, T, H, W, 3]."""
    frames_BTHWC: NDArray[np.uint8] = video_BTCHW.permute(0, 1, 3, 4, 2).numpy()
    return frames_BTHWC


def announce_results(summary: dict[str, Any], run: RunFolder) -> None:
    """Prints the final scores and where to look further."""
    own = summary["own_labels"]
    if any(summary["knn"].values()):
        logger.info("test, kNN, %% (step %d)\n%s", summary["best_step"], score_table(summary["knn"], own, {}))
        logger.info("test, linear probe, %%\n%s", score_table(summary["linear_probe"], own, {}))
    if summary["bad_videos"]:
        logger.warning("%d videos could not be read and were left out: see %s", summary["bad_videos"], run.bad_videos)
    if "supervised" in summary:
        logger.info("test, supervised: %(top1).1f %% (chance %(chance).1f)", summary["supervised"])
    logger.info(
        "%.0f s, %s in training, peak memory %.0f MB; open %s",
        summary["wall_seconds"],
        speed_text(summary["windows_per_second"], summary["frames_per_second"]),
        summary["peak_memory_mb"],
        run.report,
    )


if __name__ == "__main__":
    sys.exit(main())
