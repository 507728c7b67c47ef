"""The keys of a config that say where a run can be watched, beside its own folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from config.section import Section

TrackerName = Literal["wandb", "tensorboard"]

# What W&B's keys look like: 40 letters and digits at least, some with a prefix.
_LIKE_A_KEY = re.compile(r"[\w-]{40,}")
_WHERE = "set WANDB_API_KEY, or write the key into the file wandb.key"


def _no_key(value: str | None) -> str | None:
    """The value as it is; ValueError, which does not repeat it, where it looks like a key."""
    if value is not None and _LIKE_A_KEY.fullmatch(value.strip()):
        raise ValueError(f"this looks like a key, which every run folder would keep a copy of; {_WHERE}")
    return value


Text = Annotated[str, Field(min_length=1)]


class WandbSettings(Section):
    """`wandb`: how a run appears at Weights & Biases; counts where `tracking` has `wandb`."""

    project: Text = Field(default="hierarchical-video-transformer", description="project that the run belongs to")
    name: Text | None = Field(default=None, description="name of the run there; null: `model_name`")
    entity: Text | None = Field(default=None, description="user or team; null: the key's own")
    tags: list[Text] = Field(default=[], description="tags of the run")
    notes: Text | None = Field(default=None, description="a few words about the run")
    mode: Literal["auto", "online", "offline"] = Field(
        default="auto",
        description="auto: online where there is a key, else offline; online: without a key the run does not start; "
        "offline: nothing is sent, `wandb sync` does that later. Where the server does not answer, a run goes on "
        "offline in any case",
    )
    key_file: Annotated[str, AfterValidator(_no_key)] | None = Field(
        default=None,
        description="file that holds the key, for when WANDB_API_KEY is not set; null: wandb.key in the repository",
    )

    @model_validator(mode="before")
    @classmethod
    def _keys_stay_out(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and ("key" in values or "api_key" in values):
            raise ValueError(f"a key has no place in a config or on a command line; {_WHERE}")
        return values
