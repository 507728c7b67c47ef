"""The keys of augmentation."""

from __future__ import annotations

from pydantic import Field

from config.section import AboveZeroRange, NonNegative, Section, Share, ShareRange


class Crop(Section):
    """Random resized crop, one rectangle for all frames of a window."""

    probability: Share = Field(description="share of windows that are cropped")
    scale: ShareRange = Field(description="least and largest share of the frame's area, as it is read")
    ratio: AboveZeroRange = Field(
        description="least and largest width / height of the rectangle as a share of `frame_size`'s; 1: nothing is "
        "stretched"
    )


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


class Augmentation(Section):
    """How one window becomes many: the same draw for all of its frames."""

    crop: Crop
    flip: Share | None = Field(
        description="share of windows that are mirrored; null: what the dataset's dataset.json says, 0.5 or, where its "
        "labels know left from right, 0; 0 without a dataset.json"
    )
    color_jitter: ColorJitter
    grayscale: Share = Field(description="share of windows that lose their colour")
    blur: Blur
