"""A program in the place of main.py, which does at once what runs do after hours: end, fail, stop, go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sweeps.training import Training

PROGRAM = """\
import json, os, signal, sys, time
from pathlib import Path

given = dict(item.split("=", 1) for item in sys.argv[2:])
run = Path(given["run"])
NAMES = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "RANK", "WORLD_SIZE", "MASTER_PORT")
variables = {name: os.environ.get(name) for name in NAMES}
with (run.parent / "starts.jsonl").open("a") as file:
    file.write(json.dumps({"name": run.name, "config": sys.argv[1], "resume": given["resume"], **variables}) + "\\n")
(run / "checkpoints").mkdir(parents=True, exist_ok=True)
do = given["do"]
if do == "fail":
    print("step 1")
    sys.exit("error: no such folder")
if do == "die":
    print("step 7", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
if do == "stubborn":
    signal.signal(signal.SIGTERM, lambda number, frame: (run.parent / "asked").touch())
    print("training", flush=True)
    while True:
        time.sleep(0.05)
if do == "wait" and given["resume"] == "false":
    def stop(number, frame):
        (run / "checkpoints/last.pt").touch()
        print("stopped at step 3")
        sys.exit(128 + number)
    signal.signal(signal.SIGTERM, stop)
    print("training", flush=True)
    while (run.parent / "hold").exists():
        time.sleep(0.05)
while len((run.parent / "starts.jsonl").read_text().splitlines()) < int(variables["WORLD_SIZE"] or 1):
    time.sleep(0.05)  # the processes of a run end together
with (run.parent / "ends.txt").open("a") as file:
    file.write(run.name + "\\n")
(run / "summary.json").write_text("{}")
"""


class Fake:
    """A folder with the program, and what its starts tell of themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.program = folder / "sweep", folder / "fake_main.py"
        self.folder.mkdir()
        self.program.write_text(PROGRAM)

    def training(self, name: str, do: str = "end") -> Training:
        given = (f"run={self.folder / name}", f"do={do}")
        return Training(name, self.folder, f"{name}.yaml", given, program=self.program)

    @property
    def starts(self) -> list[dict[str, Any]]:
        file = self.folder / "starts.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
