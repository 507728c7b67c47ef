"""The trackers of a run as one: they hear what metrics.jsonl hears, and none of them can end or delay the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import TracebackType

from config.errors import InputError
from config.schema import Config
from runs.folder import RunFolder
from runs.process.atomic import plain
from runs.tracking.settings import TrackerName
from runs.tracking.tracker import EmbeddedVideos, Record, Tracker

logger = logging.getLogger(__name__)


def _wandb(config: Config, run: RunFolder) -> Tracker:
    from runs.tracking.wandb_tracker import WandbTracker

    return WandbTracker(config, run)


def _tensorboard(config: Config, run: RunFolder) -> Tracker:
    from runs.tracking.tensorboard_tracker import TensorBoardTracker

    return TensorBoardTracker(config, run)


# Each in a function: a run imports what it uses.
TRACKERS: dict[TrackerName, Callable[[Config, RunFolder], Tracker]] = {"wandb": _wandb, "tensorboard": _tensorboard}
TITLES: dict[TrackerName, str] = {"wandb": "W&B", "tensorboard": "TensorBoard"}


def check_trackers(config: Config) -> None:
    """Looks for what the trackers of a config need, before anything that takes long.

    Raises:
        InputError: a package or the key of W&B is missing, or the key stands where it would be kept.
    """
    for name in wanted_trackers(config):
        if find_spec(name) is None:
            raise InputError(
                f"tracking: the package {name} is not installed; run_scripts/setup_environment.sh installs it"
            )
    if "wandb" in wanted_trackers(config):
        from runs.tracking.wandb_key import find_key, refuse_key_in

        if key := find_key(config.wandb):
            refuse_key_in(config.model_dump_json(), key, "the config or on the command line")


def wanted_trackers(config: Config) -> list[TrackerName]:
    """The trackers of a run: none where it is only tried out."""
    return [] if config.debug else list(dict.fromkeys(config.tracking))


class Tracking:
    """All trackers of a run; context manager.

    They start with the first record: a run that ends before leaves nothing of them. One that fails is told of in one
    warning and asked no more.

    Args:
        config: says which they are.
        run: its folder.
    """

    def __init__(self, config: Config, run: RunFolder) -> None:
        self._trackers = {name: TRACKERS[name](config, run) for name in wanted_trackers(config)}
        self._started = self._finished = False

    def continue_after(self, earlier: Sequence[Record]) -> None:
        """Starts the trackers of a run that is resumed, once; arguments as for `Tracker.start`."""
        if not self._started:
            self._started = True
            self._each(lambda tracker: tracker.start(earlier))

    def record(self, record: Record) -> None:
        """Shows a record of metrics.jsonl."""
        self.continue_after([])
        self._each(lambda tracker: tracker.record(record))

    def results(self, summary: Record, embed: Callable[[], EmbeddedVideos]) -> None:
        """Shows what the end of the run has left; arguments as for `Tracker.results`."""
        self._finished = True
        written = plain(summary)
        self._each(lambda tracker: tracker.results(written, embed))

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                call(tracker)
            except Exception as error:  # whatever it is: the run is what counts, and metrics.jsonl has it all
                del self._trackers[name]
                text = " ".join(f"{type(error).__name__}: {error}".split())
                logger.warning("%s shows no more of this run (%s); metrics.jsonl goes on", TITLES[name], text)

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._started:
            self._each(lambda tracker: tracker.close(self._finished))
