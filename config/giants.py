"""Numbers so large that a run would end in minutes of swapping, or never, are refused before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from config.schema import Config

MAX_NUMBER = 1_000_000
_LARGEST = 2**63 - 1  # that torch and NumPy can hold
# Keys whose numbers cost nothing: a large one means "all" or "never".
_FREE = {"seed", "figure_videos", "figure_epochs", "log_interval", "val_interval", "max_bad_steps"}
_LIMITS = {"num_workers": 1024} | dict.fromkeys(_FREE, _LARGEST)
MAX_BATCH_GB = 100  # uint8: four times as much as the float32 that the model sees
MAX_PARAMETERS = 20_000_000_000  # of a level


def refuse_giants(config: Config) -> None:
    """Raises ValueError, in the user's words, for numbers that no machine can work with."""
    for dotted, number in _whole_numbers(
        config.model_dump(exclude={"curriculum"})
    ):  # each stage is looked at by itself
        free = dotted.startswith("evaluations.")  # its settings: neighbours, say, of which a large number means all
        limit = _LARGEST if free else _LIMITS.get(dotted.rpartition(".")[2], MAX_NUMBER)
        if number > limit:
            shown = f"{number:,}" if number < 10**24 else f"a number of {len(str(number))} digits"
            raise ValueError(f"{dotted}: expected at most {limit:,}, got {shown}")
    height, width = config.read_size
    gigabytes = config.batch_size * config.window.length * 3 * height * width / 1e9
    if gigabytes > MAX_BATCH_GB:
        size = "load_size" if config.load_size else "frame_size"
        raise ValueError(
            f"batch_size, window.length and {size} disagree: the frames of a batch would be {gigabytes:,.0f} GB; less "
            f"than {MAX_BATCH_GB} would fit"
        )
    if config.joint is not None:
        joint = config.joint
        parameters = joint.layers * joint.dim * (4 * joint.dim + 3 * joint.mlp_dim)
        if parameters > MAX_PARAMETERS:
            raise ValueError(
                f"joint: dim, layers and mlp_dim make {parameters:,} parameters; "
                f"fewer than {MAX_PARAMETERS:,} would fit"
            )
    for level in config.geometry.joining if config.hierarchy else ():
        numbers = config.level(level)
        width = numbers.heads * numbers.head_dim
        parameters = numbers.layers * numbers.dim * (4 * width + 2 * numbers.mlp_dim)
        if parameters > MAX_PARAMETERS:
            raise ValueError(
                f"hierarchy.{level}: dim, layers, heads, head_dim and mlp_dim make {parameters:,} parameters; "
                f"fewer than {MAX_PARAMETERS:,} would fit"
            )


def _whole_numbers(value: Any, dotted: str = "") -> Iterator[tuple[str, int]]:
    """Every whole number in nested mappings and lists, with its dotted key."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _whole_numbers(item, f"{dotted}.{key}" if dotted else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _whole_numbers(item, f"{dotted}[{index}]")
    elif isinstance(value, int) and not isinstance(value, bool):
        yield dotted, value
