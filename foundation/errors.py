"""Errors of the foundation.

    FoundationError
    ├── SettingInvalid       a variable of the environment has a value that cannot be used
    └── TensorsUnreadable    a safetensors file is cut short or holds something else

Every message names the thing, the value and the remedy.
"""


class FoundationError(Exception):
    """Root of the errors that `foundation` raises."""


class SettingInvalid(FoundationError):
    """A variable of the environment has a value that cannot be used."""


class TensorsUnreadable(FoundationError):
    """A safetensors file is cut short or holds something else."""
