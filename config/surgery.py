"""`encoder_checkpoint_rules`: how the names in a file of weights become those of the encoder."""

from __future__ import annotations

from pydantic import Field, model_validator

from config.section import Section


class CheckpointRule(Section):
    """One rule; in patterns, `*` stands for any part of a name."""

    inside: str | None = Field(
        default=None, description="go on with the mapping under this key of the file, such as `model`"
    )
    drop: str | None = Field(default=None, description="leave out the tensors whose names match")
    keep: str | None = Field(default=None, description="leave out the tensors whose names do not match")
    rename: str | None = Field(default=None, description="give the tensors whose names match the name in `to`")
    to: str | None = Field(
        default=None, description="with `rename`: the new name; its `*` are what those of the pattern stood for"
    )
    prepend: str | None = Field(default=None, description="put this before all names")
    flatten: str | None = Field(
        default=None,
        description="make linear layers of the convolutions whose names match: kernels [D, C, T, H, W], or "
        "[D, C, H, W] of pictures, become the weights that `encoder: joint` embeds its tubelets by",
    )

    @model_validator(mode="after")
    def _one_thing_at_a_time(self) -> CheckpointRule:
        """ValueError where a rule does none of these, or several, or renames to nothing that could be a name."""
        kinds = ("inside", "drop", "keep", "rename", "prepend", "flatten")
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"one of {', '.join(kinds[:-1])} and {kinds[-1]}, not {' and '.join(given) or 'none'}")
        if (self.to is not None) != (self.rename is not None):
            raise ValueError("rename and to belong together")
        if self.rename is not None and self.to is not None and self.to.count("*") != self.rename.count("*"):
            raise ValueError(f"'{self.rename}' and '{self.to}' disagree: give both as many *")
        return self

    def __str__(self) -> str:
        """The rule as a config writes it."""
        return ", ".join(f"{name}: {value}" for name, value in self.model_dump().items() if value is not None)
