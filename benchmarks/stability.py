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
import os
from pathlib import Path
from statistics import median
from typing import Any

from joblib import Parallel, delayed

from benchmarks.training_run import ROOT, train

RECIPES = {"published": "published.yaml", "ours": "quickstart.yaml"}


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="runs of each recipe")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs/stability", help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, which share the cores")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for both recipes, e.g. num_epochs=1")
    options = parser.parse_args()
    runs = [(recipe, seed) for seed in range(options.seeds) for recipe in RECIPES]
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    outcomes = Parallel(n_jobs=options.jobs, backend="threading", return_as="generator")(
        delayed(run)(options.out, f"{recipe}-{seed}", RECIPES[recipe], [f"seed={seed}", *options.overrides], threads)
        for recipe, seed in runs
    )
    table: dict[str, list[dict[str, Any]]] = {recipe: [] for recipe in RECIPES}
    for (recipe, seed), outcome in zip(runs, outcomes, strict=True):
        table[recipe].append(outcome)
        print(f"{recipe}, seed {seed}: {json.dumps(outcome)}", flush=True)
    print()
    print("\n".join(rows(table)))


def run(folder: Path, name: str, config: str, overrides: list[str], threads: int) -> dict[str, Any]:
    """Trains one run by a process of so many threads, or finds it done, and says what became of it."""
    run_folder = folder / name
    if ended := train(folder, name, config, overrides, threads):
        return {"ended": ended}
    summary = json.loads((run_folder / "summary.json").read_text())
    records = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
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
    main()
