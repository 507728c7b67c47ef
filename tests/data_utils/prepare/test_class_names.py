from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from config.errors import InputError
from data_utils.prepare.class_names import ClassNames, spelling_key

FILE = Path("classes.txt")


@pytest.mark.parametrize(
    "spelling",
    [
        "ApplyEyeMakeup",
        "apply eye makeup",
        "apply_eye_makeup",
        "Apply-Eye-Makeup",
        "APPLY EYE MAKEUP",
        " applyEyeMakeup",
    ],
)
def test_every_spelling_is_the_same_class(spelling: str) -> None:
    classes = ClassNames(["ApplyEyeMakeup", "Archery"], FILE)
    assert classes.find(spelling) == "ApplyEyeMakeup"
    assert classes.resolve(spelling, "list.txt, line 1") == "ApplyEyeMakeup"


def test_the_names_of_folders_that_downloaders_make_are_found() -> None:
    official = ["massaging person's head", "tying knot (not on a tie)", "faire du café"]
    classes = ClassNames(official, FILE)
    folders = ["massaging_persons_head", "tying_knot_not_on_a_tie", unicodedata.normalize("NFD", "Faire_du_Café")]
    assert [classes.find(folder) for folder in folders] == official
    assert classes.find("massaging person’s head") == official[0]
    assert classes.names == official


def test_other_letters_are_other_classes() -> None:
    classes = ClassNames(["c", "c#", "c++", "-", "_"], FILE)
    assert [classes.find(name) for name in ("C", "C#", "C++", "-", "_")] == ["c", "c#", "c++", "-", "_"]
    assert classes.find("c+") is None
    assert spelling_key("a1") != spelling_key("a2")


def test_what_cannot_be_told_apart_or_found_is_refused() -> None:
    with pytest.raises(InputError, match=r"classes.txt: the classes 'jump' and 'Ju_mp' differ in spelling only"):
        ClassNames(["jump", "run", "Ju_mp"], FILE)
    with pytest.raises(InputError, match=r"classes.txt names no classes"):
        ClassNames([], FILE)
    classes = ClassNames(["Archery", "Basketball Dunk"], FILE)
    with pytest.raises(InputError, match=r"l.txt, line 3: 'basketball_dank' is not a class of .*'Basketball Dunk'\?"):
        classes.resolve("basketball_dank", "l.txt, line 3")
    with pytest.raises(InputError, match=r"'xyz' is not a class of classes.txt; correct it"):
        classes.resolve("xyz", "l.txt, line 3")
