"""A run's encoder in one line: for every task and network, the features that evaluation computes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from architecture.encoder import Encoder
from config.errors import InputError
from config.schema import Config
from data_utils.batches.loader import Batch
from data_utils.batches.windows import evaluation_starts, frame_indices
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from data_utils.formats.hdf5 import HDF5Reader
from data_utils.formats.video import VideoReader
from data_utils.views.normalise import normalise
from data_utils.views.views import evaluation_views
from protocols.encoding import encode_split
from runs.checkpoint import save_encoder
from tasks import build_task
from tasks.pretrained import TrainedEncoder, load_encoder
from tasks.task import Task
from tests.data_utils.formats.stored_videos import store

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")
CAUSAL = ("architecture_space.causal_mask=true", "architecture_clip.causal_mask=true")
RUNS = {
    "strict": (),
    "overlap, normed, with convolutions": ("isolation=overlap", "output_batchnorm=true", "stem=cnn"),
    "causal": CAUSAL,
    "patches": ("groups=[backbone,space,time,clip]", "architecture_time.causal_mask=true"),
    "two levels": ("groups=[space,time]", "frames_per_clip=6", "architecture_time.causal_mask=true"),
    "teacher": ("targets=ema", "architecture_space.dropout=0.3"),
    "supervised": ("task=supervised", *CAUSAL),
    "vicreg": ("task=vicreg",),
    "vicreg with s3d": ("task=vicreg", "encoder=s3d", "window.length=8"),
    "supervised r2plus1d": ("task=supervised", "encoder=r2plus1d_18"),
    "vicreg with mvit": ("task=vicreg", "encoder=mvit_v2_s"),
    "vicreg with swin": ("task=vicreg", "encoder=swin3d_t"),
    "svt": ("task=svt", "output_batchnorm=true"),
    "masked": ("task=masked", "encoder=joint", "joint.cls_token=true", "joint.features=cls"),
    "masked levels": ("task=masked",),
    "masked images": (
        *("task=masked", "encoder=joint", "joint.tubelet=1", "window.length=1", "groups=[backbone,space]"),
        "hierarchy.frames_per_clip=1",
    ),
}


def make_pixels(frames: int, height: int = 16, width: int = 24, batch: int = 2) -> Tensor:
    shape = (batch, frames, 3, height, width)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def train_task(config: Config, catalog: Catalog) -> Task:
    """A task whose weights and statistics have left those of any seed."""
    torch.manual_seed(7)
    task = build_task(config, catalog)
    task.encoder.train()
    task.encoder(normalise(make_pixels(config.window.length, batch=4), *config.pixels))
    with torch.no_grad():
        for parameter in task.encoder.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    task.encoder.eval()
    return task


def export(task: Task, config: Config, run: Path) -> Path:
    """What main.py leaves of a run's encoder."""
    (run / "checkpoints").mkdir(parents=True)
    save_encoder(task.encoder.state_dict(), {"config": config.model_dump(), "step": 3}, run / "checkpoints")
    return run


@pytest.fixture
def run(tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path) -> Path:
    config = tiny_config(root=tiny_catalogs["train"].root)
    return export(train_task(config, tiny_catalogs["train"]), config, tmp_path / "run")


# ----------------------------------------------------------------------------------------- features and tokens


@pytest.mark.parametrize("setting", RUNS.values(), ids=RUNS)
@torch.no_grad()
def test_it_gives_what_the_tasks_own_encoder_gives(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, setting: tuple[str, ...]
) -> None:
    config = tiny_config(*setting)
    task = train_task(config, tiny_catalogs["train"])
    random_state = torch.get_rng_state()
    encoder: Encoder = load_encoder(export(task, config, tmp_path / "run"))
    assert torch.equal(torch.get_rng_state(), random_state)
    pixels = make_pixels(config.window.length)
    expected = task.encoder(normalise(pixels, *config.pixels))
    features, tokens = encoder.features_and_tokens(pixels)
    assert list(features) == list(tokens) == list(encoder(pixels)) == config.levels
    for level in config.levels:
        assert torch.equal(features[level], expected[level])
        assert torch.equal(encoder(pixels)[level], expected[level])
        assert tokens[level].shape[:2] == features[level].shape[:2]
        assert tokens[level].shape[3] == features[level].shape[2]
        if config.encoder == "hierarchical":
            assert tokens[level].shape[2] == max(1, config.geometry.tokens(level))
            if config.causal(level):  # the summary is one of the states
                assert (tokens[level] == features[level][:, :, None]).all(dim=-1).any(dim=-1).all()
    assert (encoder.inputs.frames, encoder.inputs.frequency) == (config.window.length, 1)
    assert (encoder.inputs.frame_size, encoder.inputs.read_size) == ((16, 24), (16, 24))
    assert (encoder.inputs.mean, encoder.inputs.std) == ((0.3,) * 3, (0.15,) * 3)


@pytest.mark.parametrize("setting", ["strict", "causal", "patches", "supervised", "svt"])
def test_frames_do_not_see_each_other_below_time(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, setting: str
) -> None:
    config = tiny_config(*RUNS[setting])
    encoder = load_encoder(export(train_task(config, tiny_catalogs["train"]), config, tmp_path / "run"))
    video = encoder.normalised(make_pixels(6)).requires_grad_()
    _, tokens = encoder.network.features_and_tokens(video)
    for level in config.levels[: config.levels.index("time")]:
        by_frame = tokens[level].flatten(1, 2).unflatten(1, (6, -1)) ** 2
        for frame in range(6):
            (gradient,) = torch.autograd.grad(by_frame[:, frame].sum(), video, retain_graph=True)
            assert gradient.flatten(2).any(dim=(0, 2)).tolist() == [other == frame for other in range(6)]


# ------------------------------------------------------------------------------------- pixels of any size and type


@pytest.mark.parametrize(
    "setting",
    [(), ("load_size=[32,64]",), ("load_size=[32,64]", "eval_crop=resize"), ("load_size=[20,30]",)],
    ids=str,
)
@torch.no_grad()
def test_its_features_are_those_that_eval_scores(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, setting: tuple[str, ...]
) -> None:
    catalog = tiny_catalogs["test"]
    config = tiny_config("window.eval_windows=1", *setting, root=catalog.root)
    task = train_task(config, tiny_catalogs["train"])
    encoder = load_encoder(export(task, config, tmp_path / "run"))
    split = encode_split(task.encoder, catalog, config, CPU, BadVideos(tmp_path / "bad_videos.csv", 48, 0.0, "digits"))
    for row in (0, 5, 11):
        length = int(catalog.table["frames"].iloc[row])
        (start,) = evaluation_starts(length, 25.0, config.window, config.short_videos)
        frames = frame_indices(start, length, 25.0, config.window, config.short_videos)
        path = catalog.root / catalog.table["path"].iloc[row]
        # As the decoder brings them to the size that is read, and as they are in the file: their scaling differs by a
        # grey level.
        for size, tolerance in ((config.read_size, 2e-5), ((36, 36), 0.05)):
            pixels = torch.from_numpy(VideoReader().read(path, frames, size)).permute(0, 3, 1, 2)[None]
            for level, units_BUD in encoder(pixels).items():
                expected = split.features[1][level][row, 0]
                np.testing.assert_allclose(units_BUD[0].mean(dim=0), expected, atol=tolerance)


@pytest.mark.parametrize("setting", [(), ("load_size=[20,22]", "eval_crop=three")], ids=str)
def test_frames_of_any_size_are_cut_like_stored_ones(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, setting: tuple[str, ...]
) -> None:
    config = tiny_config(*setting)
    encoder = load_encoder(export(train_task(config, tiny_catalogs["train"]), config, tmp_path / "run"))
    sizes = {"wide.mp4": (6, 32, 48), "tall.mp4": (6, 60, 40), "odd.mp4": (6, 37, 51), "small.mp4": (6, 9, 11)}
    for place, (count, height, width) in zip(store("hdf5", tmp_path, sizes), sizes.values(), strict=True):
        whole, read = (
            torch.from_numpy(HDF5Reader().read(tmp_path / place, np.arange(count), size)).permute(0, 3, 1, 2)[None]
            for size in ((height, width), config.read_size)
        )
        assert whole.shape[-2:] == (height, width)
        batch = Batch(read, torch.zeros(1, dtype=torch.int64), torch.arange(count)[None], [])
        seen = evaluation_views(batch, config, CPU).video_BTCHW[:1]  # of three crops the first, in the middle
        assert seen.shape[-2:] == (16, 24)
        assert torch.equal(encoder.normalised(whole), seen)
        assert torch.equal(encoder.normalised(whole.expand(3, -1, -1, -1, -1)), seen.expand(3, -1, -1, -1, -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_floats_are_the_same_pixels(run: Path, dtype: torch.dtype) -> None:
    encoder = load_encoder(run)
    pixels = torch.arange(256).to(torch.uint8).repeat(27).view(1, 6, 3, 16, 24)
    assert torch.equal(encoder.normalised(pixels.to(dtype) / 255), encoder.normalised(pixels))


@pytest.mark.parametrize(
    ("video", "said"),
    [
        (make_pixels(6)[0], "[6, 3, 16, 24]; video[None] makes one window a batch"),
        (make_pixels(6)[0, 0], "got [3, 16, 24]"),
        (make_pixels(7), "got 7 frames in [2, 7, 3, 16, 24]; the encoder takes windows of 6"),
        (make_pixels(6)[:, :, :1], "got 1 channels in [2, 6, 1, 16, 24]"),
        (make_pixels(6).permute(0, 1, 3, 4, 2), "video.permute(0, 1, 4, 2, 3) moves the channels"),
        (make_pixels(6)[:0], "got [0, 6, 3, 16, 24]"),
        (make_pixels(6).long(), "got torch.int64; video.to(torch.uint8) does"),
        (make_pixels(6).bool(), "got torch.bool"),
        (make_pixels(6).float(), "got floats from 0 to 255; video / 255"),
        (make_pixels(6) / 255 - 0.5, "the encoder normalises pixels itself"),
        (torch.full((1, 6, 3, 16, 24), torch.nan), "got floats from nan to nan"),
        (make_pixels(6).numpy(), "got a ndarray, not a torch.Tensor"),
    ],
    ids=range(12),
)
def test_other_videos_are_refused_in_one_line(run: Path, video: Tensor, said: str) -> None:
    encoder = load_encoder(run)
    for use in (encoder, encoder.features_and_tokens):
        with pytest.raises(InputError) as caught:
            use(video)
        message = str(caught.value)
        assert message.startswith("video: expected [B, 6, 3, H, W], uint8 or float in [0, 1], got ")
        assert said in message
        assert "\n" not in message


# --------------------------------------------------------------------------------------------------- the run folder


def test_the_folder_its_checkpoints_and_the_file_are_the_same_encoder(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(run.parent))
    pixels = make_pixels(6)
    expected = load_encoder(run)(pixels)
    for other in (str(run), "~/run", run / "checkpoints", run / "checkpoints" / "encoder.safetensors"):
        encoder = load_encoder(other)
        assert isinstance(encoder, TrainedEncoder)
        assert not any(module.training for module in encoder.modules())
        assert all(torch.equal(units, expected[level]) for level, units in encoder(pixels).items())


def change_config(run: Path, **changes: object) -> None:
    file = run / "checkpoints" / "encoder.json"
    description = json.loads(file.read_text())
    config = description["config"]
    numbers = {key: value for key, value in changes.items() if key in config["hierarchy"]}
    changed = config | {key: value for key, value in changes.items() if key not in numbers}
    file.write_text(json.dumps(description | {"config": changed | {"hierarchy": config["hierarchy"] | numbers}}))


def damage(name: str, run: Path) -> Path:
    """A folder, or a file, that holds no usable encoder."""
    checkpoints = run / "checkpoints"
    weights, description = checkpoints / "encoder.safetensors", checkpoints / "encoder.json"
    match name:
        case "nothing":
            return run / "elsewhere"
        case "no file":
            return checkpoints / "other.safetensors"
        case "another file":
            return description
        case "an empty folder":
            shutil.rmtree(checkpoints)
        case "no weights":
            weights.unlink()
        case "weights cut off":
            weights.write_bytes(weights.read_bytes()[:-10])
        case "a bit of the weights":
            content = bytearray(weights.read_bytes())
            content[-5] ^= 1
            weights.write_bytes(content)
        case "no description":
            description.unlink()
        case "a pipe":
            description.unlink()
            os.mkfifo(description)
        case "description cut off":
            description.write_bytes(description.read_bytes()[:-10])
        case "another description":
            description.write_text('{"levels": ["space"]}')
        case "a list":
            description.write_text("[1, 2]")
        case "config that is none":
            description.write_text('{"config": 3}')
        case "values that disagree":
            change_config(run, patch_size=7)
        case "other weights":
            change_config(run, position_embedding="sincos")
        case "no normalisation":
            change_config(run, mean=None, std=None)
    return run


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "elsewhere does not exist; give the folder of a run"),
        ("no file", "cannot read"),
        ("another file", "is not called encoder.safetensors"),
        ("an empty folder", "is the folder of no run that has ended"),
        ("no weights", "is the folder of no run that has ended"),
        ("weights cut off", "is damaged"),
        ("a bit of the weights", "is damaged"),
        ("no description", "cannot read"),
        ("a pipe", "not a regular file"),
        ("description cut off", "encoder.json is damaged"),
        ("another description", "does not describe the encoder of a run"),
        ("a list", "does not describe the encoder of a run"),
        ("config that is none", "does not describe the encoder of a run"),
        ("values that disagree", "frame_size and hierarchy.patch_size disagree"),
        ("other weights", "the encoder has no levels."),
        ("no normalisation", "no mean and std"),
    ],
)
def test_a_damaged_or_foreign_folder_is_one_line(run: Path, name: str, said: str) -> None:
    path = damage(name, run)
    with pytest.raises(InputError) as caught:
        load_encoder(path)
    message = str(caught.value)
    assert message.startswith("load_encoder: ")
    assert said in message
    assert "encoder_checkpoint" not in message
    assert "\n" not in message
