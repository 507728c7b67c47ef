"""How long t-SNE and UMAP of many points take, in processes of their own, imports included.

    python -m benchmarks.embeddings [--points 5000] [--threads 2]

Points are 256 numbers each, in 50 clouds that overlap; PCA leaves 50. Beside scikit-learn's t-SNE stands openTSNE's
where it is installed (it need not be), with as many steps: 250 of early exaggeration and 250 after it. `neighbours
kept` says how many of a point's ten nearest ones are still among its ten nearest in the picture. `processor` counts
the seconds of all threads, which other work on the machine changes less than the time on the clock. UMAP compiles
itself when it is first used on a machine; with NUMBA_CACHE_DIR at an empty folder, that is measured, too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec

WAYS = ("pca", "tsne", "openTSNE", "umap")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embeddings", description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.only:
        print(json.dumps(measured(options.only, options.points, options.threads)))
        return
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads), "NUMBA_NUM_THREADS": str(options.threads)}
    print(f"{options.points} points, {options.threads} threads; seconds")
    print(f"{'':>10}  {'in all':>8}  {'processor':>9}  {'neighbours kept':>15}")
    for way in WAYS:
        if way == "openTSNE" and find_spec("openTSNE") is None:
            print(f"{way:>10}  is not installed")
            continue
        command = [sys.executable, "-m", "benchmarks.embeddings", "--only", way]
        command += ["--points", str(options.points), "--threads", str(options.threads)]
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        seconds = time.perf_counter() - start
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{way:>10}  {seconds:8.1f}  {found['processor']:9.1f}  {found['kept']:15.1f}", flush=True)


def measured(way: str, count: int, threads: int) -> dict[str, float]:
    """Embeds once; the seconds of all threads of this process, and the neighbours that are kept."""
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    from runs.reporting.embedding import embed, reduced

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(50, 256))
    points = centres[rng.integers(50, size=count)] + rng.normal(size=(count, 256))
    if way == "openTSNE":
        from openTSNE import TSNE

        tsne = TSNE(perplexity=min(30, (count - 1) / 3), n_iter=250, random_state=0, n_jobs=threads)
        found = np.asarray(tsne.fit(reduced(points, 0)))
    else:
        found = np.asarray(embed(way, points, 0))  # type: ignore[arg-type]
    used = resource.getrusage(resource.RUSAGE_SELF)
    some = rng.permutation(count)[:500]
    near = [
        NearestNeighbors(n_neighbors=11).fit(of).kneighbors(of[some], return_distance=False)[:, 1:]
        for of in (reduced(points, 0), found)
    ]
    kept = np.mean([len(set(one) & set(other)) for one, other in zip(*near, strict=True)])
    return {"processor": used.ru_utime + used.ru_stime, "kept": float(kept)}


if __name__ == "__main__":
    main()
