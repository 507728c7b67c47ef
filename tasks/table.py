"""The tasks: a line for each, its name in a config and the section that belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, create_model

from config.section import Section
from tasks.hierarchical_settings import HierarchicalSettings
from tasks.language_settings import DualSettings, GenerativeSettings, LanguageMaskedSettings
from tasks.masked_settings import MaskedSettings
from tasks.r3m_settings import R3MSettings
from tasks.settings import TaskSettings
from tasks.supervised_settings import SupervisedSettings
from tasks.svt_settings import SVTSettings
from tasks.vicreg_settings import VICRegSettings

TASKS: dict[str, type[TaskSettings]] = {
    "hierarchical": HierarchicalSettings,
    "supervised": SupervisedSettings,
    "vicreg": VICRegSettings,
    "svt": SVTSettings,
    "masked": MaskedSettings,
    "language_masked": LanguageMaskedSettings,
    "dual": DualSettings,
    "generative": GenerativeSettings,
    "r3m": R3MSettings,
}


def is_unused(section: Section | None) -> bool:
    """Whether a config holds nothing of a section, which it then does not write either."""
    return section is None


if TYPE_CHECKING:
    TaskName = str

    class TaskSections(Section):
        """The sections of all tasks, by the name of the task; None where a config does not use it."""
else:
    TaskName = Literal[tuple(TASKS)]
    TaskSections = create_model(
        "TaskSections",
        __base__=Section,
        **{name: (kind | None, Field(default=None, exclude_if=is_unused)) for name, kind in TASKS.items()},
    )
