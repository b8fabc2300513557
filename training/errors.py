"""Errors of training.

    TrainingError
    ├── ConfigInvalid        no such recipe or option, or values that a config cannot have
    ├── WeightsUnusable      pretrained weights cannot be had, or have other sizes than the run
    ├── NothingToTrain       the graph has too few users, posts or follows for a run
    ├── PostInputsUnusable   pinned texts, or caches of tokens or pixels, cannot be written or read
    ├── EvaluationImpossible too few held-out follows or labels to evaluate on
    ├── NotFinite            a loss is NaN or infinite
    ├── ClusterUnreachable   the Ray cluster that RAY_ADDRESS names does not answer
    ├── ClusterTooSmall      the Ray cluster has fewer CPUs or GPUs than workers were asked for
    ├── RayUnusable          Ray cannot start on this machine
    ├── Unwritable           a folder of the home cannot be written, or its disk is full
    ├── RunFailed            workers failed more often than allowed, or with a permanent error
    └── RunUnreadable        a run's files are of another format or damaged

Every message names the thing, the value and the remedy.
"""


class TrainingError(Exception):
    """Root of the errors that `training` raises."""


class ConfigInvalid(TrainingError):
    """No such recipe or option, or values that a config cannot have."""


class WeightsUnusable(TrainingError):
    """Pretrained weights or their tokenizer cannot be had, or have other sizes than the run."""


class NothingToTrain(TrainingError):
    """The graph has too few users, posts or follows for a run."""


class PostInputsUnusable(TrainingError):
    """Pinned texts, or caches of tokens or pixels, cannot be written or read."""


class EvaluationImpossible(TrainingError):
    """There are too few held-out follows or labels to evaluate on."""


class NotFinite(TrainingError):
    """A loss is NaN or infinite."""


class ClusterUnreachable(TrainingError):
    """The Ray cluster that RAY_ADDRESS names does not answer."""


class ClusterTooSmall(TrainingError):
    """The Ray cluster has fewer CPUs or GPUs than workers were asked for."""


class RayUnusable(TrainingError):
    """Ray cannot start on this machine: its temporary folder, or what it says itself."""


class Unwritable(TrainingError):
    """A folder of the home cannot be written, or its disk is full."""


class RunFailed(TrainingError):
    """The workers of a run failed more often than allowed, or with a permanent error."""


class RunUnreadable(TrainingError):
    """A run's files are of another format or damaged."""


LASTING = (NotFinite, NothingToTrain)
"""Permanent errors of a worker: they recur when the run resumes."""
