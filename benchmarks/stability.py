"""Does a recipe stay alive? The published one against ours, over several seeds, on moving_digits.

    python -m benchmarks.stability [--seeds 5] [--jobs 2] [--out outputs/stability] [key=value ...]

Trains `published.yaml` and `quickstart.yaml` by `main.py` itself, one process a run, and prints a row for each run and
one table for docs/stability.md: kNN of every level on its own labels and RankMe on the validation split at the
end of training, each with its value at random initialisation, steps that were not finite, and alarms of collapse (rank,
LiDAR or std that fell) in any validation. Runs that are there already are not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from config.yaml_text import to_yaml
from runs.reporting.console import set_up_logging
from sweeps.process import ROOT
from sweeps.running import run_all
from sweeps.slots import shares_of_cpu
from sweeps.training import Outcome, Training

RECIPES = {"published": "published.yaml", "ours": "quickstart.yaml"}


def main() -> int:
    """Runs what is missing and prints the table. Returns the exit status: not 0 where a signal ended it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="runs of each recipe")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs/stability", help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, which share the cores")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for both recipes, e.g. num_epochs=1")
    options = parser.parse_args()
    set_up_logging()
    folder = options.out.resolve()
    runs = [
        (recipe, training(folder, f"{recipe}-{seed}", config, [f"seed={seed}", *options.overrides]))
        for seed in range(options.seeds)
        for recipe, config in RECIPES.items()
    ]
    outcomes, number = run_all([run for _, run in runs], shares_of_cpu(options.jobs))
    table: dict[str, list[dict[str, Any]]] = {recipe: [] for recipe in RECIPES}
    for recipe, run in runs:
        table[recipe].append(found(run, outcomes[run.name]))
        print(f"{run.name}: {json.dumps(table[recipe][-1])}")
    print()
    print("\n".join(rows(table)))
    return 128 + number if number else 0


def training(folder: Path, name: str, config: str, overrides: list[str]) -> Training:
    """One run, in the repository's folder."""
    places = (f"save_path={to_yaml(str(folder))}", f"model_name={name}")
    return Training(name, folder, config, (*overrides, *places), start_in=ROOT)


def found(training: Training, outcome: Outcome) -> dict[str, Any]:
    """What became of a run."""
    if outcome.state != "done":
        return {"ended": outcome.reason or outcome.state}
    run = training.run
    summary = json.loads(run.summary.read_text())
    records = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    validations = [record for record in records if record["kind"] == "validation"]
    first, last = validations[0], validations[-1]
    own = summary["own_labels"]
    return {
        "knn": {level: last["knn"][level][labels]["top1"] for level, labels in own.items()},
        "knn_at_init": {level: first["knn"][level][labels]["top1"] for level, labels in own.items()},
        "rank": last["rank"],
        "rank_at_init": first["rank"],
        "not_finite": summary["bad_steps"],
        "alarms": [alarm for record in validations for alarm in record["alarms"] if "fell" in alarm],
    }


def rows(table: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The table in Markdown: medians over the runs of a recipe that reached their end."""
    lines = [
        "| recipe | level | kNN, % (init) | RankMe (init) | collapsed | steps not finite | did not end |",
        "|---|---|---|---|---|---|---|",
    ]
    for recipe, outcomes in table.items():
        ended = [outcome for outcome in outcomes if "knn" in outcome]
        levels = list(ended[0]["knn"]) if ended else []
        for level in levels:
            cells = [
                f"{median(run[key][level] for run in ended):.1f} ({median(run[at_init][level] for run in ended):.1f})"
                for key, at_init in (("knn", "knn_at_init"), ("rank", "rank_at_init"))
            ]
            collapsed = sum(any(f" of {level} fell" in alarm for alarm in run["alarms"]) for run in ended)
            whole = [""] * 2
            if level == levels[0]:
                whole = [str(sum(run["not_finite"] for run in ended)), f"{len(outcomes) - len(ended)}"]
            counts = f"{collapsed} of {len(ended)}"
            lines.append("| " + " | ".join([recipe if whole[0] else "", level, *cells, counts, *whole]) + " |")
        if not ended:
            lines.append(f"| {recipe} | | | | | | {len(outcomes)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
