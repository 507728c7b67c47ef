"""run_docker.sh: what the engine is told, where the output goes, which signals and statuses get through."""

from __future__ import annotations

import csv
import itertools
import os
import signal
from pathlib import Path

import pytest

from tests.run_scripts.conftest import DockerScripts


def options(call: list[str], name: str) -> list[str]:
    """The values of every `--name value` of a call."""
    return [value for option, value in itertools.pairwise(call) if option == f"--{name}"]


def mounts(call: list[str]) -> dict[str, tuple[str, bool]]:
    """By target: source and whether it is read-only, as an engine reads CSV."""
    found = {}
    for value in options(call, "mount"):
        fields = next(csv.reader([value]))
        pairs = dict(field.partition("=")[::2] for field in fields)
        assert pairs["type"] == "bind"
        found[pairs["target"]] = (pairs["source"], "readonly" in pairs)
    return found


def experiment(call: list[str]) -> list[str]:
    """The image and what it is told to do."""
    return call[call.index("--entrypoint") + 1 :]


def test_the_program_is_asked_for_its_name_and_then_started(scripts: DockerScripts) -> None:
    status, output, messages = scripts("run_docker.sh", "cpu", "quickstart.yaml", "a.b=[1, 'two']", "c=$HOME é")
    asked, started = scripts.calls("run")
    overrides = ["quickstart.yaml", "a.b=[1, 'two']", "c=$HOME é"]
    image = "hierarchical-video-transformer"
    assert experiment(asked) == ["python", image, "/hvt/main.py", *overrides, "--print-name"]
    assert experiment(started) == ["/hvt/launcher.sh", image, "cpu", *overrides]
    assert status == 0
    assert output == "a line of the run\na warning of the run\n"
    assert messages == f"run_docker: log: {scripts.log}\n"
    assert scripts.log.read_text() == output


def test_folders_are_mounted_whatever_they_are_called(scripts: DockerScripts) -> None:
    scripts("run_docker.sh", "cpu", "quickstart.yaml")
    repository = str(scripts.repository)
    for call in scripts.calls("run"):
        assert mounts(call) == {
            "/hvt": (repository, True),
            "/work/datasets": (f"{repository}/datasets", False),
            "/work/outputs": (f"{repository}/outputs", False),
            "/tmp": ("/tmp", False),
        }
        assert options(call, "workdir") == ["/work"]
        assert options(call, "shm-size") == ["8g"]
        assert {"--rm", "--init", "--read-only"} <= set(call)


def test_results_belong_to_the_caller(scripts: DockerScripts) -> None:
    scripts("run_docker.sh", "cpu", "quickstart.yaml")
    (call, _) = scripts.calls("run")
    assert options(call, "user") == [f"{os.getuid()}:{os.getgid()}"]
    assert set(options(call, "group-add")) == {str(group) for group in os.getgroups()} - {str(os.getgid())}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"info": "[name=seccomp name=rootless]"}, {"user": ["0:0"], "userns": []}),
        ({"version": "podman version 5.4.2", "info": "true"}, {"user": ["ME"], "userns": ["keep-id"]}),
        ({"version": "podman version 5.4.2", "info": "false"}, {"user": ["ME"], "userns": []}),
    ],
    ids=["docker", "podman", "podman as root"],
)
def test_engines_that_map_users_differently(
    scripts: DockerScripts, answers: dict[str, str], expected: dict[str, list[str]]
) -> None:
    scripts.answer(**answers)
    assert scripts("run_docker.sh", "cpu", "quickstart.yaml")[0] == 0
    (call, _) = scripts.calls("run")
    me = f"{os.getuid()}:{os.getgid()}"
    for option, values in expected.items():
        assert options(call, option) == [me if value == "ME" else value for value in values]


def test_the_folders_of_paths_env_and_before_them_those_of_the_environment(scripts: DockerScripts) -> None:
    home, relative, given = scripts.folder / "dätä", scripts.repository / "results, all", scripts.folder / "given"
    for folder in (home, relative, given):
        folder.mkdir()
    scripts.settings(
        "# mine\n\n  HVT_DATA=~/dätä \r\nHVT_OUTPUT='results, all'\nHVT_TMP=/nowhere\nHVT_SHM_SIZE=\"2g\"\n"
        "HVT_IMAGE=own:1\nHVT_CODE="
    )
    status, _, messages = scripts("run_docker.sh", "cpu", "quickstart.yaml", HVT_TMP="given")
    assert (status, messages) == (0, f"run_docker: log: {relative}/logs/quickstart.log\n")
    (call, _) = scripts.calls("run")
    assert mounts(call) == {
        "/work/datasets": (str(home), False),
        "/work/outputs": (str(relative), False),
        "/tmp": (str(given), False),
    }
    assert options(call, "shm-size") == ["2g"]
    assert experiment(call)[1] == "own:1"


def test_nothing_in_paths_env_is_executed(scripts: DockerScripts) -> None:
    folder = scripts.repository / "$(touch executed) `touch executed`"
    folder.mkdir()
    scripts.settings(f"HVT_DATA={folder.name}\n")
    assert scripts("run_docker.sh", "cpu", "quickstart.yaml")[0] == 0
    assert mounts(scripts.calls("run")[0])["/work/datasets"] == (str(folder), False)
    assert not list(scripts.folder.rglob("executed"))


def test_a_config_file_from_elsewhere_is_mounted(scripts: DockerScripts) -> None:
    own = scripts.folder / "my, own.yaml"
    own.write_text("{}")
    scripts("run_docker.sh", "cpu", "./my, own.yaml")
    for call in scripts.calls("run"):
        assert mounts(call)["/config/my, own.yaml"] == (str(own), True)
    assert experiment(scripts.calls("run")[1])[2:] == ["cpu", "/config/my, own.yaml"]


def test_the_config_of_a_run_stays_one(scripts: DockerScripts) -> None:
    for folder in (scripts.repository / "outputs/old", scripts.folder / "elsewhere"):
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("{}")
        (folder / "environment.json").write_text("{}")
        scripts("run_docker.sh", "cpu", str(folder / "config.yaml"))
    inside, _, outside, _ = scripts.calls("run")
    assert experiment(inside)[3] == "outputs/old/config.yaml"
    assert experiment(outside)[3] == "/config/config.yaml"
    assert mounts(outside)["/config/environment.json"] == (str(scripts.folder / "elsewhere/environment.json"), True)


def test_one_gpu_is_given_and_is_number_0_inside(scripts: DockerScripts) -> None:
    scripts.with_gpus("0, Card A\\n1, Card B\\n")
    scripts("run_docker.sh", "1", "quickstart.yaml")
    asked, started = scripts.calls("run")
    assert options(asked, "gpus") == []
    assert options(started, "gpus") == ["device=1"]
    assert experiment(started)[2] == "0"


def test_podman_gets_the_gpu_by_its_name(scripts: DockerScripts) -> None:
    scripts.with_gpus("0, Card A\\n")
    scripts.engine("podman")
    scripts.answer(version="podman version 5.4.2", info="false")
    (scripts.commands / "docker").unlink()
    assert scripts("run_docker.sh", "0", "quickstart.yaml", CONTAINER_ENGINE="podman")[0] == 0
    started = scripts.calls("run")[1]
    assert options(started, "device") == ["nvidia.com/gpu=0"]
    assert options(started, "security-opt") == ["label=disable"]


def test_without_a_gpu_it_is_the_cpu(scripts: DockerScripts) -> None:
    status, _, messages = scripts("run_docker.sh", "0", "quickstart.yaml")
    assert status == 0
    assert messages.startswith("run_docker: this machine has no GPU (no nvidia-smi): running on the CPU\n")
    assert experiment(scripts.calls("run")[1])[2] == "cpu"


def test_the_key_is_named_and_never_told(scripts: DockerScripts) -> None:
    scripts("run_docker.sh", "cpu", "quickstart.yaml", WANDB_API_KEY="secret-1", WANDB_MODE="offline")
    (scripts.repository / "wandb.key").write_text("secret-2\n")
    _, output, messages = scripts("run_docker.sh", "cpu", "quickstart.yaml")
    calls = scripts.calls("run")
    assert options(calls[1], "env")[-2:] == ["WANDB_API_KEY", "WANDB_MODE"]
    assert [call["WANDB_API_KEY"] for call in scripts.environments("run")] == ["secret-1"] * 2 + ["secret-2"] * 2
    assert "secret" not in f"{calls}{output}{messages}{scripts.log.read_text()}"


def test_the_status_of_the_run_is_kept_and_the_log_goes_on(scripts: DockerScripts) -> None:
    scripts.answer(status=143)
    assert scripts("run_docker.sh", "cpu", "quickstart.yaml")[0] == 143
    scripts.answer(status=0)
    assert scripts("run_docker.sh", "cpu", "quickstart.yaml", "resume=true")[0] == 0
    assert scripts.log.read_text() == "a line of the run\na warning of the run\n" * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("to_all", [True, False], ids=["as a terminal does", "to the script"])
def test_a_signal_reaches_the_run_once_and_the_script_waits(
    scripts: DockerScripts, number: signal.Signals, to_all: bool
) -> None:
    scripts.answer(wait=True)
    with scripts.start("run_docker.sh", "cpu", "quickstart.yaml") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[-1] == "waiting\n"
        (os.killpg if to_all else os.kill)(process.pid, number)
        rest = process.stdout.read()
        assert process.wait() == 128 + number
    assert rest == f"received {number.name}\n"
    assert scripts.log.read_text().endswith(f"waiting\nreceived {number.name}\n")


def test_what_starts_no_run_has_no_log(scripts: DockerScripts) -> None:
    assert scripts("run_docker.sh", "cpu", "quickstart.yaml", "--print-config")[0] == 0
    assert experiment(scripts.calls("run")[0])[2:] == ["cpu", "quickstart.yaml", "--print-config"]
    assert not scripts.log.parent.exists()


@pytest.mark.parametrize("name", ["ucf101", "k400", "ssv2"])
def test_a_script_per_dataset_starts_its_config(scripts: DockerScripts, name: str) -> None:
    assert scripts(f"run_docker_{name}.sh", "cpu", "num_epochs=1", "model_name=a b")[0] == 0
    assert experiment(scripts.calls("run")[1])[2:] == ["cpu", f"{name}.yaml", "num_epochs=1", "model_name=a b"]


def test_the_run_knows_its_commit(scripts: DockerScripts, tmp_path: Path) -> None:
    scripts("run_docker.sh", "cpu", "quickstart.yaml")
    assert options(scripts.calls("run")[1], "env")[0] == "HVT_COMMIT="  # not the image's: this code is mounted over it


# ------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "GPU_ID and CONFIG are needed"),
        (["0,1", "quickstart.yaml"], "one GPU, got '0,1': several go with ./launcher.sh"),
        (["cpu", "lr=3"], "the second argument must be a config, got 'lr=3'"),
        (["cpu", "quickstart.yaml", "lr"], "expected key=value, got 'lr'"),
    ],
)
def test_wrong_arguments(scripts: DockerScripts, arguments: list[str], message: str) -> None:
    status, output, messages = scripts("run_docker.sh", *arguments)
    assert (status, output) == (2, "")
    assert messages.startswith(f"run_docker: {message}\nusage: run_scripts/run_docker.sh GPU_ID CONFIG")


@pytest.mark.parametrize(
    ("environment", "answers", "message"),
    [
        (
            {"CONTAINER_ENGINE": "nerdctl"},
            {},
            "there is no nerdctl on the PATH: install it, or set CONTAINER_ENGINE to docker or podman",
        ),
        ({}, {"down": "first\nCannot connect to the daemon"}, "docker does not answer: Cannot connect to the daemon"),
        (
            {},
            {"image": False},
            "there is no image hierarchical-video-transformer: run_scripts/build_docker.sh makes it",
        ),
        (
            {"HVT_DATA": "/no/data"},
            {},
            "HVT_DATA: there is no folder /no/data; make it, or name another one in run_scripts/paths.env",
        ),
        (
            {"HVT_OUTPUT": "/proc"},
            {},
            "HVT_OUTPUT: cannot write to /proc; name another folder in run_scripts/paths.env",
        ),
        ({"HVT_TMP": "/dev/null"}, {}, "HVT_TMP: there is no folder /dev/null; make it, or name another one in "),
        ({"HVT_CODE": "/usr"}, {}, "HVT_CODE: /usr is not this repository: it has no main.py or no launcher.sh"),
        ({"HVT_DATA": "a\nb"}, {}, "HVT_DATA: a path with a line break cannot be mounted"),
        ({"HVT_SHM_SIZE": "lots"}, {}, "HVT_SHM_SIZE: expected a size such as 8g, got 'lots'"),
        ({"HVT_MIN_FREE_MB": "1 GB"}, {}, "HVT_MIN_FREE_MB: expected a number of megabytes, got '1 GB'"),
    ],
    ids=["engine", "daemon", "image", "data", "output", "tmp", "code", "line break", "shm", "megabytes"],
)
def test_what_is_missing_is_told_in_one_line(
    scripts: DockerScripts, environment: dict[str, str], answers: dict[str, object], message: str
) -> None:
    scripts.answer(**answers)
    status, output, messages = scripts("run_docker.sh", "cpu", "quickstart.yaml", **environment)
    assert (status, output) == (2, "")
    assert messages.startswith(f"run_docker: {message}")
    assert messages.count("\n") == 1
    assert not scripts.calls("run")


def test_too_little_room_is_told_before_the_start(scripts: DockerScripts) -> None:
    status, _, messages = scripts("run_docker.sh", "cpu", "quickstart.yaml", HVT_MIN_FREE_MB="999999999999")
    assert status == 2
    assert messages.startswith(f"run_docker: HVT_OUTPUT: {scripts.repository}/outputs has ")
    assert messages.endswith(" MB free, less than 999999999999 (HVT_MIN_FREE_MB); make room or name another folder\n")
    assert not scripts.calls("run")


def test_a_gpu_that_does_not_exist(scripts: DockerScripts) -> None:
    scripts.with_gpus("0, Card A\\n1, Card B\\n")
    status, _, messages = scripts("run_docker.sh", "2", "quickstart.yaml")
    assert (status, messages) == (2, "run_docker: there is no GPU 2; this machine has 0, Card A; 1, Card B\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("HVT_OUTPT=/x", "unknown name HVT_OUTPT; there are HVT_DATA HVT_OUTPUT HVT_CODE HVT_TMP HVT_IMAGE"),
        ("export HVT_DATA=/x", "expected NAME=VALUE, got 'export HVT_DATA=/x'"),
        ("WANDB_API_KEY=secret", "unknown name WANDB_API_KEY; there are "),
    ],
)
def test_a_wrong_line_of_paths_env(scripts: DockerScripts, line: str, message: str) -> None:
    scripts.settings(f"# first\n{line}\n")
    status, _, messages = scripts("run_docker.sh", "cpu", "quickstart.yaml")
    assert status == 2
    assert messages.startswith(f"run_docker: run_scripts/paths.env, line 2: {message}")
    assert messages.count("\n") == 1


def test_a_folder_that_may_not_be_written(scripts: DockerScripts, bound_by_rights: None) -> None:
    folder = scripts.folder / "theirs"
    folder.mkdir(mode=0o555)
    status, _, messages = scripts("run_docker.sh", "cpu", "quickstart.yaml", HVT_OUTPUT=str(folder))
    assert status == 2
    assert (
        messages == f"run_docker: HVT_OUTPUT: cannot write to {folder}; name another folder in run_scripts/paths.env\n"
    )


def test_a_log_that_cannot_be_written(scripts: DockerScripts) -> None:
    scripts.log.mkdir(parents=True)
    status, _, messages = scripts("run_docker.sh", "cpu", "quickstart.yaml")
    assert (status, messages) == (2, f"run_docker: cannot write {scripts.log}\n")


def test_a_wrong_config_is_told_by_the_program_and_starts_nothing(scripts: DockerScripts) -> None:
    scripts.answer(wrong="error: unknown key num_epoch (command line)")
    status, output, messages = scripts("run_docker.sh", "cpu", "quickstart.yaml", "num_epoch=3")
    assert (status, output, messages) == (2, "", "error: unknown key num_epoch (command line)\n")
    assert len(scripts.calls("run")) == 1
    assert not scripts.log.parent.exists()
