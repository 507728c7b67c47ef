"""What `data_utils` may know of: files, tensors and its own section of the config, and nothing of models or tasks."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "config.schema",
    "config.load",
    "architecture",
    "tasks",
    "losses",
    "eval",
    "train",
    "main",
    "monitors",
    "optimizers",
    "visualization",
}


def files() -> dict[str, Path]:
    """Our modules by name."""
    folders = ("data_utils", "config", "runs", "architecture", "tasks")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")] + list(ROOT.glob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in found}


def imports_of(path: Path, known: dict[str, Path]) -> set[str]:
    """Our modules that a file imports, also late ones inside functions; those for the type checker alone are none."""
    names: set[str] = set()
    for_types_alone: set[ast.AST] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for_types_alone |= {child for statement in node.body for child in ast.walk(statement)}
        if node in for_types_alone:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names & known.keys()


def reached_from(start: str, known: dict[str, Path]) -> dict[str, str]:
    """Every module that `start` imports, directly or not, and which one imports it."""
    by: dict[str, str] = {}
    left = [start]
    while left:
        module = left.pop()
        for found in imports_of(known[module], known) - by.keys():
            by[found] = module
            left.append(found)
    return by


def test_data_utils_knows_neither_the_whole_config_nor_models() -> None:
    known = files()
    assert "data_utils.catalog.catalog" in known
    assert "config.schema" in reached_from("config.load", known)
    for module in [name for name in known if name.split(".")[0] == "data_utils"]:
        reached = reached_from(module, known)
        wrong = {f"{by} imports {name}" for name, by in reached.items() if {name, name.split(".")[0]} & FORBIDDEN}
        assert not wrong, f"{module} reaches what it must not know: {', '.join(sorted(wrong))}"


def test_what_a_catalog_is_knows_nothing_of_windows_and_of_how_data_are_made() -> None:
    known = files()
    reached = reached_from("data_utils.catalog.catalog", known)
    assert not {name for name in reached if name.startswith("data_utils.prepare")}
    assert not {"data_utils.batches.windows", "data_utils.batches.loader", "data_utils.views.views"} & reached.keys()


# From folder to folder: what each of them may import of the others. A new edge wants a reason.
EDGES = {
    "catalog": {"video_files"},
    "video_files": set(),
    "formats": {"video_files"},
    "batches": {"catalog", "formats", "video_files"},
    "views": {"batches", "video_files"},
    "prepare": {"catalog", "formats", "video_files", "batches"},
}


def test_the_folders_of_data_utils_stand_on_each_other_in_one_order() -> None:
    known = files()
    found: dict[str, set[str]] = {folder: set() for folder in EDGES}
    for module, path in known.items():
        if not module.startswith("data_utils."):
            continue
        folder = module.split(".")[1]
        others = {name.split(".")[1] for name in imports_of(path, known) if name.startswith("data_utils.")}
        found[folder] |= others - {folder}
    assert found == EDGES
