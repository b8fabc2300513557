"""Errors of the foundation.

    FoundationError
    ├── SettingInvalid       a variable of the environment has a value that cannot be used
    ├── TensorsUnreadable    a safetensors file is cut short or holds something else
    └── Interrupted          a signal ended the work before its end

Every message names the thing, the value and the remedy.
"""


class FoundationError(Exception):
    """Root of the errors that `foundation` raises."""


class SettingInvalid(FoundationError):
    """A variable of the environment has a value that cannot be used."""


class TensorsUnreadable(FoundationError):
    """A safetensors file is cut short or holds something else."""


class Interrupted(FoundationError):
    """A signal ended the work before its end; what was written stays.

    `exit_status` is that of the command: 128 and the number of the signal.
    """

    def __init__(self, message: str, *, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status
