"""How repositories of this field load video, written as they do it: what our formats are measured against.

Every sample opens its file or files anew, and a worker hands over normalised float32 [T, 3, 224, 224]. Where such
repositories differ, both ways are here: the figures of the faster one are the ones to beat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from data_utils.video_files.decoding import fit, numbered_frames, open_video

SIDE = 224
QUALITY = 90
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Sample(NamedTuple):
    """One window."""

    place: Path
    """The video file, or the folder of its frames."""
    frames: list[int]


@dataclass(frozen=True)
class Windows:
    """Every window of every video is as likely."""

    places: Sequence[Path]
    """The video files."""
    num_frames: int
    """Frames of each video."""
    length: int
    frequency: int
    batch_size: int

    def drawn(self, turn: int, count: int) -> list[list[Sample]]:
        """`count` batches, a function of `turn`."""
        generator = np.random.default_rng(turn)
        room = self.num_frames - (self.length - 1) * self.frequency
        batches = []
        for _ in range(count):
            starts, videos = (generator.integers(limit, size=self.batch_size) for limit in (room, len(self.places)))
            batches.append([self._sample(int(v), int(s)) for v, s in zip(videos, starts, strict=True)])
        return batches

    def _sample(self, video: int, start: int) -> Sample:
        return Sample(self.places[video], [start + self.frequency * step for step in range(self.length)])


class DecordWindows(Dataset[Tensor]):
    """A video reader for every sample, `get_batch`, then resize, crop, float and normalisation of the clip."""

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        """`size`: height and width to which decord itself scales; None: the frames are scaled after decoding."""
        self._size = size
        self._transform = transforms.Compose(
            [
                transforms.Resize(SIDE, antialias=True),
                transforms.CenterCrop(SIDE),
                transforms.ConvertImageDtype(torch.float32),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __getitem__(self, sample: Sample) -> Tensor:
        """The window [T, 3, 224, 224]."""
        from decord import VideoReader, cpu  # in the worker: its threads do not survive a fork

        height, width = self._size or (-1, -1)
        reader = VideoReader(str(sample.place), ctx=cpu(0), num_threads=1, width=width, height=height)
        pictures = reader.get_batch(sample.frames).asnumpy()
        return self._transform(torch.from_numpy(pictures).permute(0, 3, 1, 2))  # type: ignore[no-any-return]


class PillowWindows(Dataset[Tensor]):
    """One JPEG file per frame, opened by Pillow; every frame is resized, cut, made float and normalised by itself."""

    def __init__(self) -> None:
        self._transform = transforms.Compose(
            [
                transforms.Resize(SIDE),
                transforms.CenterCrop(SIDE),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __getitem__(self, sample: Sample) -> Tensor:
        """The window [T, 3, 224, 224]."""
        return torch.stack([self._transform(self._load(sample.place / frame_name(i))) for i in sample.frames])

    def _load(self, file: Path) -> Image.Image:
        with Image.open(file) as picture:
            return picture.convert("RGB")


class OpenCVWindows(Dataset[Tensor]):
    """One JPEG file per frame, all of it in OpenCV and NumPy, the clip made float and normalised at once."""

    def __getitem__(self, sample: Sample) -> Tensor:
        """The window [T, 3, 224, 224]."""
        pictures = np.stack([self._picture(sample.place / frame_name(i)) for i in sample.frames])
        video = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(255)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        return video.sub_(mean).div_(std)

    def _picture(self, file: Path) -> NDArray[np.uint8]:
        picture = cv2.imread(str(file))
        if picture is None:
            raise FileNotFoundError(file)
        height, width = picture.shape[:2]
        scale = SIDE / min(height, width)
        if scale != 1:
            picture = cv2.resize(picture, (round(width * scale), round(height * scale)))
            height, width = picture.shape[:2]
        top, left = (height - SIDE) // 2, (width - SIDE) // 2
        cut = picture[top : top + SIDE, left : left + SIDE]
        return np.asarray(cv2.cvtColor(cut, cv2.COLOR_BGR2RGB), np.uint8)


def frame_name(index: int) -> str:
    """File of a frame in the folder of its video."""
    return f"img_{index + 1:05d}.jpg"


def write_frames(video: Path, folder: Path, size: tuple[int, int]) -> None:
    """A video's frames, scaled to `size` (height, width), as the files that the baselines read."""
    folder.mkdir(parents=True)
    reformatter = VideoReformatter()
    with open_video(video) as (container, stream):
        for index, frame in numbered_frames(container, stream):
            picture = cv2.cvtColor(fit(frame, size, reformatter), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / frame_name(index)), picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


class Baseline:
    """A dataset of the baselines behind torch's DataLoader, asked for random windows of random videos."""

    limit = 1_000_000
    """Batches that a turn can have."""

    def __init__(self, dataset: Dataset[Tensor], windows: Windows, num_workers: int) -> None:
        """Starts nothing yet; the processes live until `close`."""
        self._windows = windows
        self._lists: list[list[Sample]] = []  # changes from turn to turn, the object stays
        self._loader = DataLoader(
            dataset, batch_sampler=self._lists, num_workers=num_workers, persistent_workers=num_workers > 0
        )

    def batches(self, turn: int, count: int) -> Iterator[Tensor]:
        """So many batches, others in every turn."""
        self._lists[:] = self._windows.drawn(turn, count)
        yield from self._loader

    def close(self) -> None:
        """Ends the processes."""
        iterator, self._loader._iterator = self._loader._iterator, None
        if iterator is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]
