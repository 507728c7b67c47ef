"""Networks of torchvision in place of a run: their configs, their weights, and eval.py on them. Nothing is downloaded.

torchvision's cache holds networks with random weights: that the files are where torchvision expects its own is all that
these tests need.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from architecture.torchvision_networks import TorchvisionNetwork
from config.errors import InputError
from evaluation.command import main
from evaluation.encoders import open_encoder
from evaluation.torchvision_encoders import (
    NAMES,
    WINDOWS,
    cached_weights,
    split_name,
    torchvision_config,
    torchvision_network,
)
from runs.checkpoint import save_encoder
from tests.conftest import TINY_VIDEOS

SMALL = {"frame_size": [16, 24], "window": {"length": 8, "frequency": 1}, "num_workers": 0}


def published(name: str) -> Any:
    from torchvision.models import get_model_weights

    return get_model_weights(name)["KINETICS400_V1"]


def new_network(name: str, seed: int) -> nn.Module:
    """torchvision's own, with its classifier."""
    from torchvision.models import video

    torch.manual_seed(seed)
    network: nn.Module = getattr(video, name)()
    return network


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of TORCH_HOME, with weights of S3D and MViT and without a way to the others."""
    home = tmp_path_factory.mktemp("torch")
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("s3d", "mvit_v2_s"):
        torch.save(new_network(name, seed=1).state_dict(), folder / published(name).url.rpartition("/")[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        with socket.socket() as closed:  # nobody listens there: what a machine without network is like
            closed.bind(("127.0.0.1", 0))
            for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
                patch.setenv(variable, f"http://127.0.0.1:{closed.getsockname()[1]}")
            patch.delenv("no_proxy", raising=False)
            patch.delenv("NO_PROXY", raising=False)
            yield folder


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}


# --------------------------------------------------------------------------------------------------- the config


@pytest.mark.parametrize("name", NAMES)
def test_the_config_is_what_the_weights_were_made_for(name: str) -> None:
    config = torchvision_config(name, None, {"dataset": {"name": "catalog", "root": "films"}})
    transforms = published(name).transforms()
    assert (config.encoder, config.encoder_checkpoint, config.model_name) == (name, None, name)
    assert (config.mean, config.std) == (list(transforms.mean), list(transforms.std))
    assert config.frame_size == transforms.crop_size
    assert config.load_size == (transforms.resize_size * 2)[:2]
    assert (config.eval_crop, config.short_videos) == ("unscaled", "loop")
    assert (config.window.length, config.window.frequency_fps) == WINDOWS[name]
    assert config.window.sampling == "dense"
    assert (config.dataset.name, config.dataset.root) == ("catalog", "films")
    notes = published(name).meta["_docs"]
    assert f"`frame_rate={WINDOWS[name][1]:g}`" in notes
    if name != "s3d":  # evaluated with 128 frames
        assert f"`clip_len={WINDOWS[name][0]}`" in notes


def test_a_frame_is_cut_as_torchvision_cuts_it() -> None:
    from data_utils.video_files.cover import cover
    from data_utils.views.normalise import normalise
    from data_utils.views.views import middle_view

    config = torchvision_config("mvit_v2_s", None, {})
    shades = torch.arange(256, dtype=torch.uint8)
    frame_CHW = torch.stack([shades[:, None].expand(-1, 320), shades.expand(256, -1).repeat(1, 2)[:, :320]] * 2)[:3]
    read = torch.from_numpy(cover(frame_CHW.permute(1, 2, 0).numpy(), config.read_size)).permute(2, 0, 1)
    ours = normalise(middle_view(read[None, None], config), *config.pixels)
    theirs = published("mvit_v2_s").transforms()(frame_CHW[None, None])  # [N, C, T, H, W]
    torch.testing.assert_close(ours[0, 0], theirs[0, :, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {"frame_size": [224, 224], "load_size": [256, 256], "eval_crop": "unscaled"}),
        ({"frame_size": [96, 128]}, {"frame_size": [96, 128], "load_size": None, "eval_crop": "centre"}),
        ({"load_size": [300, 400]}, {"frame_size": [224, 224], "load_size": [300, 400], "eval_crop": "unscaled"}),
        ({"eval_crop": "three"}, {"frame_size": [224, 224], "load_size": [256, 256], "eval_crop": "three"}),
        ({"mean": [0.5] * 3, "std": [0.2] * 3}, {"mean": [0.5] * 3, "std": [0.2] * 3}),
        ({"short_videos": "skip"}, {"short_videos": "skip"}),
    ],
)
def test_data_say_otherwise(data: dict[str, Any], expected: dict[str, Any]) -> None:
    values = torchvision_config("swin3d_t", None, data).model_dump()
    assert {key: values[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("window", "frequency", "per_second", "sampling"),
    [
        ({"length": 12}, None, 15.0, "dense"),
        ({"frequency": 5}, 5, None, "dense"),
        ({"frequency_fps": 3.0}, None, 3.0, "dense"),
        ({"frequency": 5, "frequency_fps": 3.0}, 5, 3.0, "dense"),
        ({"sampling": "uniform"}, None, None, "uniform"),
    ],
)
def test_a_distance_of_frames_of_the_datas_own_takes_the_place_of_the_published_one(
    window: dict[str, Any], frequency: int | None, per_second: float | None, sampling: str
) -> None:
    found = torchvision_config("r2plus1d_18", None, {"window": window}).window
    assert (found.frequency_fps, found.sampling) == (per_second, sampling)
    assert found.length == window.get("length", 16)
    if frequency is not None:
        assert found.frequency == frequency


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"window": {"length": 4}}, "encoder and window.length disagree: s3d needs 8 frames or more, not 4"),
        ({"load_size": [100, 100]}, "100 x 100 pixels hold no 224 x 224; load_size=[224,224] would fit, or eval_crop="),
        ({"window": {"lenght": 8}}, "unknown key window.lenght (--dataset); did you mean window.length?"),
        ({"frame_size": "large"}, "frame_size (--dataset): expected a list, got 'large'"),
        ({"window": 8}, "window (--dataset): expected a mapping, got 8"),
    ],
)
def test_data_that_do_not_fit_are_one_line(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        torchvision_config("s3d", None, data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("s3d", ("s3d", None)),
        ("swin3d_t:a/b:c.pth", ("swin3d_t", "a/b:c.pth")),
        ("./s3d", None),
        ("outputs/s3d:2", None),
        ("resnet", None),
    ],
)
def test_a_name_may_have_a_file(given: str, expected: tuple[str, str | None] | None) -> None:
    assert split_name(given) == expected


# -------------------------------------------------------------------------------------------------- the weights


@pytest.mark.parametrize("name", ["s3d", "mvit_v2_s"])
def test_torchvisions_own_weights_come_from_its_cache(cache: Path, name: str) -> None:
    random_state = torch.get_rng_state()
    network = torchvision_network(torchvision_config(name, None, {}))
    assert torch.equal(torch.get_rng_state(), random_state)
    assert isinstance(network, TorchvisionNetwork)
    assert not network.training
    found, expected = weights_of(network.network), weights_of(new_network(name, seed=1))
    assert {key for key in expected if key not in found} == {
        key for key in expected if key.startswith(f"{network.classifier_name}.")
    }
    assert all(torch.equal(found[key], expected[key]) for key in found)


def test_a_file_may_be_torchvisions_or_that_of_a_run(cache: Path, tmp_path: Path) -> None:
    fine_tuned = new_network("s3d", seed=2)
    fine_tuned.classifier = nn.Conv3d(1024, 7, 1)  # other classes than those of Kinetics
    torch.save(fine_tuned.state_dict(), tmp_path / "mine.pth")
    started = torchvision_network(torchvision_config("s3d", str(tmp_path / "mine.pth"), SMALL))
    own = started.state_dict()
    assert all(torch.equal(tensor, fine_tuned.state_dict()[key[len("network.") :]]) for key, tensor in own.items())
    of_run = save_encoder(started.state_dict(), {}, tmp_path)
    again = torchvision_network(torchvision_config("s3d", str(of_run), SMALL))
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in started.state_dict().items())


def test_without_network_one_line_says_what_to_fetch_and_how_to_give_it(cache: Path) -> None:
    config = torchvision_config("swin3d_t", None, {})
    with pytest.raises(InputError) as caught:
        torchvision_network(config)
    message = str(caught.value)
    file = published("swin3d_t").url.rpartition("/")[2]
    assert message.startswith(f"swin3d_t: {file} is not in {cache} and cannot be downloaded (")
    assert message.endswith(f"put it there, or say where it is: swin3d_t:FOLDER/{file}")
    assert "\n" not in message
    assert not (cache / file).exists()


def test_what_is_downloaded_is_checked_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()[:8]
    elsewhere = tmp_path / f"net-{digest}.pth"
    elsewhere.write_bytes(content)
    file = cached_weights("s3d", elsewhere.as_uri())
    assert (file.read_bytes(), file.parent) == (content, tmp_path / "home/hub/checkpoints")
    elsewhere.unlink()
    assert cached_weights("s3d", elsewhere.as_uri()) == file  # it is there
    damaged = tmp_path / "net-01234567.pth"
    damaged.write_bytes(content)
    with pytest.raises(InputError, match="cannot be downloaded"):
        cached_weights("s3d", damaged.as_uri())
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"s3d: net-1.pth is not in .* \(.*Not a directory.*\); put it there"):
        cached_weights("s3d", "file:///net-1.pth")


def test_files_that_are_no_such_weights_are_one_line(cache: Path, tmp_path: Path) -> None:
    other = cache / published("mvit_v2_s").url.rpartition("/")[2]
    (tmp_path / "cut.pth").write_bytes(other.read_bytes()[:1000])
    torch.save({"model": {}, "epoch": 3}, tmp_path / "nested.pth")
    for file, message in (
        (tmp_path / "none.pth", "s3d: cannot read"),
        (tmp_path / "cut.pth", "is damaged or holds no weights"),
        (tmp_path / "nested.pth", "holds more than the weights of one network"),
        (other, "lacks features.0.0.0.weight"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            torchvision_network(torchvision_config("s3d", str(file), SMALL))
        assert str(caught.value).startswith("s3d: ")
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_damaged_weights_of_the_cache_can_be_had_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub/checkpoints" / published("s3d").url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"half of it")
    with pytest.raises(InputError, match=f"is damaged .*; without {file} it is downloaded again"):
        torchvision_network(torchvision_config("s3d", None, {}))


# -------------------------------------------------------------------------------------------- in place of a run


def test_the_floor_is_the_same_network_with_new_weights(cache: Path) -> None:
    encoder = open_encoder("s3d", "best", SMALL)
    assert (encoder.name, encoder.folder, encoder.classifier) == ("s3d", None, None)
    floor = encoder.at_init()
    assert isinstance(floor, TorchvisionNetwork)
    trained, untrained = encoder.network.state_dict(), floor.state_dict()
    assert list(trained) == list(untrained)
    assert not torch.equal(trained["network.features.0.0.0.weight"], untrained["network.features.0.0.0.weight"])
    assert all(torch.equal(tensor, encoder.at_init().state_dict()[key]) for key, tensor in untrained.items())


def test_eval_scores_networks_side_by_side_on_frames_of_any_size(
    cache: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    torch.save(new_network("s3d", seed=2).state_dict(), tmp_path / "mine.pth")
    videos = ", ".join(f"{split}: {count}" for split, count in TINY_VIDEOS.items())
    data = tmp_path / "digits.yaml"
    data.write_text(
        f"dataset: {{name: moving_digits, root: '{tiny_dataset}', videos: {{{videos}}}, seed: 0, difficulty: easy}}\n"
        "frame_size: [16, 24]\nwindow: {length: 8, frequency: 1, eval_windows: 1}\nnum_workers: 0\n"
    )
    encoders = ["s3d", f"s3d:{tmp_path / 'mine.pth'}"]
    out = tmp_path / "out"
    assert main([*encoders, "--dataset", str(data), "--protocol", "knn", "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())["results"]
    names = ["s3d", "s3d-mine"]
    assert [result["encoder"] for result in results if result["labels"] == "program"] == names
    assert {(result["level"], result["evaluation"]) for result in results} == {("clip", "knn")}
    for result in results:
        assert 0 <= result["value"] <= 100
        assert result["random_init"] is not None
        assert result["chance"] is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s3d"], "s3d was trained by no run whose data it could be scored on: name some with --dataset"),
        (
            ["s3d", "--checkpoint", "last", "--dataset", "DATA"],
            "--checkpoint last: s3d is no run; s3d:FILE names other",
        ),
        (["s3d:none.pth", "--dataset", "DATA"], "s3d: cannot read none.pth: No such file or directory"),
        (["swin3d_t", "--dataset", "DATA"], "swin3d_t: swin3d_t-7615ae03.pth is not in"),
        (["s3", "--dataset", "DATA"], "s3 does not exist; give the folder of a run, its encoder.safetensors, or"),
    ],
)
def test_what_cannot_be_scored_is_one_line(
    cache: Path,
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(tiny_dataset) if word == "DATA" else word for word in arguments]
    assert main(given) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())
