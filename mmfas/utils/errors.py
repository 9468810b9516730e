"""Errors that are made for users: a sentence that names what is wrong and what to do about it.

Commands print their message alone; any other error is a bug and keeps its traceback. Every class also is the
builtin that callers expect to catch.
"""

from __future__ import annotations


class UserError(Exception):
    """What the user can fix: a wrong value, a missing file, settings that contradict each other.

    A mixin: classes also derive from a builtin. They are made from one text, so that data loaders and process
    pools can carry them from a worker to the main process.

    >>> issubclass(InputError, ValueError), str(UnknownKeyError("there is no kind 'x'"))
    (True, "there is no kind 'x'")
    """

    def __str__(self) -> str:
        """Return the sentence, not quoted as a `KeyError` quotes its key."""
        return str(self.args[0]) if len(self.args) == 1 else super().__str__()


class InputError(UserError, ValueError):
    """A value, the content of a file, or a combination of settings that cannot be used."""


class WrongTypeError(UserError, TypeError):
    """A value or a part of a kind that does not belong there."""


class UnknownKeyError(UserError, KeyError):
    """A name that is not known, or a key that is missing."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that must exist and does not."""


class FileError(UserError, OSError):
    """A file that cannot be read or written."""


class RunError(UserError, RuntimeError):
    """Work that cannot start or continue, here or now."""


class NotFiniteError(UserError, FloatingPointError):
    """A loss, weight or score that is NaN or infinite."""


class PackageError(UserError, ImportError):
    """A package or plugin that cannot be imported."""


class MissingPackageError(PackageError, ModuleNotFoundError):
    """A package that is not installed."""


def restate(error: Exception, text: str) -> UserError:
    """Return an error of the same kind with another text, such as one that also names the file.

    Args:
        error: What was raised.
        text: The whole sentence.

    >>> restate(ValueError('not a picture'), 'rgb.png: not a picture')
    InputError('rgb.png: not a picture')
    """
    if isinstance(error, UserError):
        return type(error)(text)
    return MissingFileError(text) if isinstance(error, FileNotFoundError) else InputError(text)


class ConfigError(InputError):
    """A config that cannot be read, or an option that does not fit it; the message says which and why."""
