"""Reads a file's header, for decoders that take the wrong stream of some files and cannot be told which to take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_utils.video_files.decoding import open_video, packets


@dataclass(frozen=True)
class Header:
    """Header of the best video stream, and its place among the others."""

    path: str | Path
    container: str
    """FFmpeg's name of the format."""
    video_streams: int
    first_is_best: bool
    """Whether FFmpeg's best video stream is the first one."""

    def count_packets(self) -> int:
        """Packets of the best stream that show a frame: what a full decode should give. Decodes nothing."""
        with open_video(self.path) as (container, stream):
            return sum(packet.size > 0 and not packet.is_discard for packet in packets(container, stream))


def read_header(path: str | Path) -> Header:
    """The header of a video.

    Raises:
        VideoError: as `open_video`.
    """
    with open_video(path) as (container, stream):
        streams = container.streams.video
        return Header(path, container.format.name, len(streams), streams[0].index == stream.index)
