"""The keys of augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.section import AboveZeroRange, NonNegative, Section, Share, ShareRange


class StaticSwap(Section):
    """The static part of a window exchanged for that of another window of the batch."""

    probability: Share = Field(
        description="share of windows that are changed; none in a batch of one window or where windows have one frame"
    )
    mode: Literal["add", "mask"] = Field(
        description="add: each pixel keeps its difference from its median over the window's frames, and the other "
        "window's median is added; mask: the other window's median wherever a pixel stays near its own"
    )


class Crop(Section):
    """Random resized crop, one rectangle for all frames of a window."""

    probability: Share = Field(description="share of windows that are cropped")
    scale: ShareRange = Field(description="least and largest share of the frame's area, as it is read")
    ratio: AboveZeroRange = Field(
        description="least and largest width / height of the rectangle as a share of `frame_size`'s; 1: nothing is "
        "stretched"
    )


class Shift(Section):
    """The whole picture moved, the same for all frames of a window; the frame's border reflects."""

    probability: Share = Field(description="share of windows that are moved")
    pixels: NonNegative = Field(description="largest distance along each axis, pixels of `frame_size`")


class Rotation(Section):
    """The whole picture turned about its centre, the same for all frames of a window; the frame's border reflects."""

    probability: Share = Field(description="share of windows that are turned")
    degrees: Annotated[float, Field(ge=0, le=180)] = Field(description="angle from [-x, x]")


class ColorJitter(Section):
    """Random brightness, contrast, saturation and hue, the same for all frames of a window."""

    probability: Share = Field(description="share of windows that are changed")
    brightness: NonNegative = Field(description="factor from [max(0, 1 - x), 1 + x]")
    contrast: NonNegative = Field(description="factor from [max(0, 1 - x), 1 + x]")
    saturation: NonNegative = Field(description="factor from [max(0, 1 - x), 1 + x]")
    hue: float = Field(ge=0, le=0.5, description="shift from [-x, x]; 1 is the whole circle")


class Blur(Section):
    """Gaussian blur."""

    probability: Share = Field(description="share of windows that are blurred")
    sigma: AboveZeroRange = Field(description="least and largest standard deviation, pixels")


class Noise(Section):
    """Gaussian noise, another in every pixel, frame and view."""

    probability: Share = Field(description="share of windows that get noise")
    std: AboveZeroRange = Field(
        description="least and largest standard deviation, of pixels in [0, 1]; one for all frames of a window"
    )


class Augmentation(Section):
    """How one window becomes many: the same draw for all of its frames, in the order of the keys."""

    static_swap: StaticSwap
    crop: Crop
    flip: Share | None = Field(
        description="share of windows that are mirrored; null: what the dataset's dataset.json says, 0.5 or, where its "
        "labels know left from right, 0; 0 without a dataset.json"
    )
    rotation: Rotation
    shift: Shift
    color_jitter: ColorJitter
    grayscale: Share = Field(description="share of windows that lose their colour")
    blur: Blur
    noise: Noise
