"""The one error that a user can fix: bad input, reported in one line."""


class InputError(Exception):
    """Something the user gave is wrong: a config value, a file, a folder.

    The message is one line that says what is wrong and how to fix it. `main.py` and `prepare.py` print it
    and exit with status 2; every other exception is a bug and keeps its traceback.
    """

    def __str__(self) -> str:
        """The message; what would break the line, or could not be printed, as escapes: names of files have it all."""
        return "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in super().__str__()
        )
