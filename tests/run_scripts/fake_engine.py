"""A container engine for tests: it notes how it was called, and runs what it is told without a container.

ENGINE_STATE is a folder: `calls.jsonl` gets a line per call, `answers.json` says how to behave.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    state = Path(os.environ["ENGINE_STATE"])
    answers = json.loads((state / "answers.json").read_text())
    arguments = sys.argv[1:]
    environment = {name: os.environ.get(name) for name in ("WANDB_API_KEY", "DOCKER_BUILDKIT")}
    with (state / "calls.jsonl").open("a") as file:
        file.write(json.dumps({"arguments": arguments, "environment": environment}) + "\n")
    if arguments == ["--version"]:
        print(answers.get("version", "Docker version 28.2.2, build e6534b4"))
    elif arguments[0] == "info":
        if "down" in answers:
            print(answers["down"], file=sys.stderr)
            sys.exit(1)
        print(answers.get("info", "[name=seccomp,profile=builtin]"))
    elif arguments[:2] == ["image", "inspect"]:
        sys.exit(0 if answers.get("image", True) else 1)
    elif arguments[0] == "run" and "--print-name" in arguments:
        if "wrong" in answers:
            print(answers["wrong"], file=sys.stderr)
            sys.exit(2)
        print(answers.get("name", "quickstart"))
    elif arguments[0] == "run":
        experiment(answers)


def experiment(answers: dict[str, object]) -> None:
    """Prints to both outputs, waits for a signal where it is told to, and ends with the status that it is told."""
    status = int(str(answers.get("status", 0)))
    print("a line of the run", flush=True)
    print("a warning of the run", file=sys.stderr, flush=True)
    if answers.get("wait"):
        received: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: received.append(number))
        print("waiting", flush=True)
        while not received:
            time.sleep(0.02)
        time.sleep(0.3)  # long enough for a second one, if it is sent twice
        print("received", *(signal.Signals(number).name for number in received), flush=True)
        status = 128 + received[0]
    sys.exit(status)


if __name__ == "__main__":
    main()
