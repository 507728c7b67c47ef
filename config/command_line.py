"""The command line of main.py, apart from it: help and a typo must not wait for what an experiment imports."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from config.errors import InputError
from config.load import LoadedConfig, load_config, render_config
from config.places import check_run_name

VISUALIZE = "--visualize"
DUMP_INDEX = "--dump-index"


def split_visualize(arguments: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """A command line without --visualize and what belongs to it, and the options that follow it; None without it.

    `key=value` directly behind it still changes the config.
    """
    given = list(arguments)
    if VISUALIZE not in given:
        return given, None
    place = given.index(VISUALIZE)
    before, after = given[:place], given[place + 1 :]
    while after and not after[0].startswith("-"):
        before.append(after.pop(0))
    return before, after


def split_dump_index(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """A command line without --dump-index and its folder, and that folder; None without it.

    Raises:
        InputError: no folder follows.
    """
    given = list(arguments)
    if DUMP_INDEX not in given:
        return given, None
    place = given.index(DUMP_INDEX)
    folder = given[place + 1 : place + 2]
    if not folder or folder[0].startswith("-"):
        raise InputError(f"{DUMP_INDEX}: a folder for the index must follow")
    return given[:place] + given[place + 2 :], folder[0]


def read_command_line(arguments: Sequence[str] | None = None) -> LoadedConfig | None:
    """The config that the command line asks for; None after --print-config or --print-name: they ask for no experiment.

    Args:
        arguments: None: those that this process was started with.

    Raises:
        InputError: the config is wrong.
        SystemExit: after --help, and where arguments are missing.
    """
    arguments, _ = split_visualize(sys.argv[1:] if arguments is None else arguments)
    arguments, _ = split_dump_index(arguments)
    parser = argparse.ArgumentParser(prog="main.py", description="Train and evaluate what CONFIG describes.")
    parser.add_argument("config", metavar="CONFIG", help="a name in config/, such as quickstart.yaml, or a path")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="e.g. optimizer.lr=3e-4 num_epochs=50")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--print-config", action="store_true", help="print the merged config with its sources; end")
    instead.add_argument("--print-name", action="store_true", help="print the name of the run's folder; end")
    parser.add_argument(
        f"{VISUALIZE} ...",
        action="store_true",
        help="draw the figures of the run that CONFIG names instead of training; options of visualization.py follow",
    )
    parser.add_argument(
        f"{DUMP_INDEX} FOLDER",
        action="store_true",
        help="write which frames each epoch takes of each video (window.sampling=states) for other programs; end",
    )
    options = parser.parse_intermixed_args(arguments)
    loaded = load_config(options.config, options.overrides)
    if options.print_config:
        print(render_config(loaded), end="")
        for note in loaded.notes():
            print(f"# {note}")
        return None
    if options.print_name:
        name = str(loaded.config.model_name)
        check_run_name(name)
        print(name)
        return None
    return loaded


def end_without_experiment() -> None:
    """Ends the process where its command line asks for no experiment, or for one that does not exist."""
    try:
        wanted = read_command_line()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if wanted is None:
        sys.exit(0)
