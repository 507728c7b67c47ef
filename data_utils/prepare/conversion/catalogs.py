"""The last step of preparing: train.csv, val.csv, test.csv, bad_videos.csv and dataset.json."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from config.errors import InputError
from data_utils.catalog.bad_videos import COLUMNS
from data_utils.catalog.catalog_file import SPLITS
from data_utils.catalog.dataset_card import FILE_NAME, DatasetCard
from data_utils.catalog.small_splits import interval_to_expect
from data_utils.prepare.conversion.chunks import ChunkJob, run_jobs, sample_chunk
from data_utils.prepare.conversion.fitting_config import fitting_config
from data_utils.prepare.conversion.out_folder import BAD_VIDEOS, UNUSED_FILES, unwritable, write_file
from data_utils.prepare.conversion.pixel_statistics import PixelSums
from data_utils.prepare.conversion.preparation import Preparation
from data_utils.prepare.conversion.results import Results, Summary
from data_utils.prepare.listing import Listing
from data_utils.video_files.facts_cache import verified_facts
from data_utils.video_files.inspection import FACTS, VideoFacts

_SAMPLED_VIDEOS = 256


def of_stored(listing: Listing, results: Results, plan: Preparation, made_by: dict[str, Any]) -> Summary:
    """Writes the files for videos that were converted.

    Args:
        listing: gives the order of the rows.
        results: of all chunks.
        plan: what was asked for.
        made_by: goes into dataset.json.

    Raises:
        InputError: a file cannot be written, or no training video is good.
    """
    rows = pd.Index(results.table["path"]).get_indexer(pd.Index(listing.table["path"]))
    facts = {name: results.facts[name][rows] for name in FACTS}
    table = _with_facts(listing.table, facts).assign(stored=results.places[rows])
    bad = _bad(listing, results.reasons[rows])
    size = "size as it was" if plan.size is None else f"shorter side at most {plan.size}"
    size += ", the square in the middle" if plan.square else ""
    summary = _summary(listing, f"{plan.format}, {size}", table, bad, plan)
    summary.bytes = int(results.facts["bytes"].sum())
    good = table[~table["path"].isin({path for _, path, _ in bad})]
    summary.config = fitting_config(plan.out, plan.out, good[list(FACTS)], good["label"][good["split"] == "train"])
    return _write(listing, table, summary, results.sums(), plan, made_by)


def of_files_as_they_are(listing: Listing, plan: Preparation, made_by: dict[str, Any]) -> Summary:
    """Writes the files for videos that stay where they are; with `plan.verify` all are decoded first.

    Once they were verified, later starts know the result.

    Raises:
        InputError: a file cannot be written, or no training video is good.
    """
    table = listing.table.reset_index(drop=True)
    reasons = np.full(len(table), "", object)
    verify = plan.verify or _is_verified(plan.out / FILE_NAME)
    if verify:
        found = verified_facts(plan.raw, table["path"].tolist(), plan.out, plan.workers)
        reasons[:] = ["" if isinstance(result, VideoFacts) else result for result in found]
        columns = {name: np.array([getattr(result, name, 0) for result in found]) for name in FACTS}
        table = _with_facts(table, columns)
    sums, sampled = _sampled(listing, plan)
    summary = _summary(listing, "video files as they are", table, _bad(listing, reasons), plan)
    good = table["path"][reasons == ""]
    summary.bytes = sum((plan.raw / path).stat().st_size for path in good if (plan.raw / path).is_file())
    facts = table[reasons == ""][list(FACTS)] if verify else sampled
    labels = table["label"][(reasons == "") & (table["split"] == "train").to_numpy()]
    summary.config = fitting_config(plan.raw, plan.out, facts, labels)
    return _write(listing, table, summary, sums, plan, made_by | ({"verified": True} if verify else {}))


def _with_facts(table: pd.DataFrame, facts: dict[str, np.ndarray[Any, Any]]) -> pd.DataFrame:
    others = table.drop(columns=["split", "path", "label"])
    return pd.concat([table[["split", "path", "label"]], pd.DataFrame(facts, index=table.index), others], axis=1)


def _bad(listing: Listing, reasons: np.ndarray[Any, Any]) -> list[tuple[str, str, str]]:
    """The videos that are left out: for every split those that cannot be read, then those that are missing."""
    rows = zip(listing.table["split"], listing.table["path"], reasons, strict=True)
    bad = [(split, path, reason) for split, path, reason in rows if reason]
    return sorted([*bad, *listing.absent], key=lambda row: SPLITS.index(row[0]))


def _summary(
    listing: Listing, made: str, table: pd.DataFrame, bad: list[tuple[str, str, str]], plan: Preparation
) -> Summary:
    left_out = {path for _, path, _ in bad}
    good = table[~table["path"].isin(left_out)]
    parts = {split: good[good["split"] == split] for split in SPLITS}
    summary = Summary(listing.name, made, {split: len(part) for split, part in parts.items()}, bad=bad)
    for split in ("val", "test"):
        labelled = parts[split][parts[split]["label"] != ""]
        groups = labelled["group"].nunique() if "group" in labelled else None
        line = interval_to_expect(split, len(labelled), groups)
        summary.small_splits += [line] if line else []
    summary.bad_videos = plan.out / BAD_VIDEOS
    if "frames" in table:
        summary.frames = {split: int(part["frames"].sum()) for split, part in parts.items()}
        timed = {split: part[part["fps"] > 0] for split, part in parts.items()}
        summary.seconds = {split: float((part["frames"] / part["fps"]).sum()) for split, part in timed.items()}
    return summary


def _write(
    listing: Listing,
    table: pd.DataFrame,
    summary: Summary,
    sums: PixelSums,
    plan: Preparation,
    made_by: dict[str, Any],
) -> Summary:
    write_file(summary.bad_videos, _csv(COLUMNS, summary.bad))
    _write_unused(listing, summary, plan)
    if not summary.videos["train"] or not sums.values[0]:
        reason = next((reason for split, _, reason in summary.bad if split == "train"), "none is listed")
        raise InputError(f"no video of the split train can be read: {reason}; {summary.bad_videos} lists them")
    summary.mean, summary.std = sums.mean_std()
    left_out = {path for _, path, _ in summary.bad}
    good = table[~table["path"].isin(left_out)]
    for split in SPLITS:
        part = good[good["split"] == split].drop(columns="split")
        columns = [part[name].tolist() for name in part.columns]
        write_file(plan.out / f"{split}.csv", _csv(list(part.columns), zip(*columns, strict=True)))
    size = plan.size if plan.convert else None
    card = DatasetCard(
        name=listing.name, format=plan.format, size=size, mean=summary.mean, std=summary.std, flip=listing.flip
    )
    text = json.dumps(card.model_dump() | {"videos": summary.videos} | made_by, indent=2)
    write_file(plan.out / FILE_NAME, text + "\n")
    return summary


def _write_unused(listing: Listing, summary: Summary, plan: Preparation) -> None:
    file = plan.out / UNUSED_FILES
    summary.unused, summary.unused_files = list(listing.unused), file
    if listing.unused:
        write_file(file, _csv(("path", "reason"), listing.unused))
        return
    try:
        file.unlink(missing_ok=True)  # of an earlier start
    except OSError as error:
        raise unwritable(file, error.strerror or str(error)) from error


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        # The module itself leaves a lone carriage return unquoted, and reads two lines then; blanks may get lost.
        odd = any(isinstance(cell, str) and ("\r" in cell or cell != cell.strip()) for cell in row)
        (quoting if odd else writer).writerow(row)
    return text.getvalue()


def _is_verified(card: Path) -> bool:
    try:
        return json.loads(card.read_bytes()).get("verified") is True
    except (OSError, ValueError, AttributeError):
        return False


def _sampled(listing: Listing, plan: Preparation) -> tuple[PixelSums, pd.DataFrame]:
    """Pixels and facts of some training videos, drawn once, without decoding all of them.

    Unreadable ones are passed over here, not in the catalog. The number of frames is what the header says.
    """
    paths = sorted(listing.table["path"][listing.table["split"] == "train"])
    drawn = np.random.default_rng(0).permutation(len(paths))[:_SAMPLED_VIDEOS]
    chosen = [paths[index] for index in sorted(drawn)]
    parts = [tuple(chosen[number :: plan.workers]) for number in range(min(plan.workers, len(chosen)))]
    common = (plan.raw, plan.out, "", plan.format, None, False, plan.patience, plan.command)
    jobs = [(ChunkJob(number, part, *common),) for number, part in enumerate(parts)]
    sums = PixelSums()
    facts = []
    for results in run_jobs(sample_chunk, jobs, plan.workers):
        for answer in results:
            if not isinstance(answer, str):
                sums.add(answer["sums"])
                facts.append(answer["facts"])
    known = pd.DataFrame(sorted(facts), columns=list(FACTS))
    return sums, known[known["frames"] > 0]
