"""build_docker.sh and interactive_docker.sh: what the engine is told."""

from __future__ import annotations

import pytest

from tests.run_scripts.conftest import DockerScripts
from tests.run_scripts.test_run_docker import options


def test_the_image_is_built_from_the_dockerfile(scripts: DockerScripts) -> None:
    assert scripts("build_docker.sh")[0] == 0
    (call,) = scripts.calls("build")
    assert options(call, "file") == [f"{scripts.repository}/dockerfile/Dockerfile"]
    assert options(call, "build-arg") == ["COMMIT="]  # no git repository here; the base is the Dockerfile's
    assert options(call, "tag") == ["hierarchical-video-transformer"]
    assert call[-1] == str(scripts.repository)
    assert scripts.environments("build")[0]["DOCKER_BUILDKIT"] == "1"


def test_the_cpu_has_another_base_and_options_go_on(scripts: DockerScripts) -> None:
    assert scripts("build_docker.sh", "cpu", "--no-cache", "--build-arg", "X=a b", HVT_IMAGE="own:2")[0] == 0
    (call,) = scripts.calls("build")
    assert [argument.partition("=")[0] for argument in options(call, "build-arg")] == ["COMMIT", "BASE", "X"]
    assert options(call, "build-arg")[1].startswith("BASE=python:3.11.")
    assert options(call, "tag") == ["own:2"]
    assert call[-4:] == ["--no-cache", "--build-arg", "X=a b", str(scripts.repository)]


def test_a_pip_configuration_is_a_secret(scripts: DockerScripts) -> None:
    file = scripts.folder / "pip.conf"
    file.write_text("[global]\n")
    assert scripts("build_docker.sh", PIP_CONFIG_FILE=str(file))[0] == 0
    assert options(scripts.calls("build")[0], "secret") == [f"id=pip,src={file}"]
    status, _, messages = scripts("build_docker.sh", PIP_CONFIG_FILE="/no/pip.conf")
    assert (status, messages) == (2, "build_docker: PIP_CONFIG_FILE: cannot read /no/pip.conf\n")


def test_another_word_is_refused(scripts: DockerScripts) -> None:
    status, _, messages = scripts("build_docker.sh", "gpuu")
    assert status == 2
    assert messages.startswith("build_docker: expected gpu, cpu or an option of docker build, got 'gpuu'\nusage: ")
    assert not scripts.calls("build")


def test_an_engine_that_does_not_answer(scripts: DockerScripts) -> None:
    scripts.answer(down="Cannot connect to the daemon")
    status, _, messages = scripts("build_docker.sh")
    assert (status, messages) == (2, "build_docker: docker does not answer: Cannot connect to the daemon\n")


@pytest.mark.parametrize(
    ("arguments", "inside"),
    [([], ["bash", "IMAGE"]), (["python", "a b", "--help"], ["python", "IMAGE", "a b", "--help"])],
)
def test_a_shell_or_a_command(scripts: DockerScripts, arguments: list[str], inside: list[str]) -> None:
    scripts.with_gpus("0, Card A\\n")
    assert scripts("interactive_docker.sh", "0", *arguments, HVT_IMAGE="IMAGE")[0] == 0
    (call,) = scripts.calls("run")
    assert call[call.index("--entrypoint") + 1 :] == inside
    assert options(call, "gpus") == ["device=0"]
    assert "--interactive" in call
    assert "--tty" not in call  # standard input is none


def test_a_missing_gpu_id(scripts: DockerScripts) -> None:
    status, _, messages = scripts("interactive_docker.sh")
    assert status == 2
    assert messages.startswith("interactive_docker: GPU_ID is needed\nusage: ")
