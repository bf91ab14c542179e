"""A network's weights: read from a file that can hold nothing but tensors, or drawn from integers if there is none."""

from __future__ import annotations

import hashlib
import math
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from dnn_surgery.errors import WeightsError

_NORMS: tuple[type[nn.Module], ...] = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
# Uint64 numbers drawn at a time, so that what is worked on stays in the cache.
_CHUNK = 1 << 16
# Names of an error message's list before it is cut short.
_SHOWN = 3


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Copies a state dict (``.pth``, ``.pt`` or ``.safetensors``) into a module, in the module's datatypes.

    A state dict may stand under the key ``state_dict``, and its names may begin with ``module.``, as training scripts
    write them. Nothing in the file is executed: ``torch.load`` runs with ``weights_only=True``.

    Raises:
        WeightsError: the file is missing, damaged, holds more than tensors, or is of another model; in that case the
            message lists missing and unexpected names and wrong shapes.
    """
    path = Path(path)
    target = _materialised(module).state_dict()
    state = _fitted(_read(path), module)
    if problems := _differences(target, state):
        raise WeightsError(f"{path} is not of {type(module).__name__}: {'; '.join(problems)}")
    module.load_state_dict(state, strict=False)  # The names are compared above; batch counters may lack.


def seed_weights(module: nn.Module, *, seed: int = 0) -> None:
    """Fills a module with weights that are the same bytes on every platform and with every version of torch.

    Matrices and kernels are uniform in +-sqrt(6 / fan_in) (He et al. 2015, which keeps the size of activations through
    ReLUs); biases are 0, normalisation is neutral. 16 random bits become an exact float32, which one correctly rounded
    multiplication scales. The bits come from numpy's Philox, whose raw stream numpy promises to keep, keyed by seed and
    the weight's name: so they do not depend on the order of modules.
    """
    with torch.no_grad():
        for prefix, owner in _materialised(module).named_modules():
            for name, parameter in owner.named_parameters(prefix=prefix, recurse=False):
                leaf = name.rpartition(".")[2]
                if isinstance(owner, _NORMS):
                    parameter.fill_(0.0 if leaf == "bias" else 1.0)
                elif "bias" in leaf:
                    parameter.zero_()
                else:
                    _fill_uniform(parameter, f"{seed}:{name}")
            if isinstance(owner, _NormBase):
                owner.reset_running_stats()


def _fill_uniform(parameter: Tensor, key: str) -> None:
    """Uniform numbers in +-sqrt(6 / fan_in)."""
    fan_in = max(1, math.prod(parameter.shape[1:]) if parameter.dim() > 1 else parameter.numel())
    scale = np.float32(math.sqrt(6 / fan_in) / 32767.5)
    if parameter.device.type == "cpu" and parameter.dtype == torch.float32 and parameter.is_contiguous():
        # In place: the memory of a second copy costs more than the numbers.
        _draw(parameter.detach().view(-1).numpy(), key, scale)
    else:
        values = np.empty(parameter.numel(), dtype=np.float32)
        _draw(values, key, scale)
        parameter.copy_(torch.from_numpy(values).view(parameter.shape))


def _draw(values: NDArray[np.float32], key: str, scale: np.float32) -> None:
    """Fills a vector with uniform numbers in +-32767.5 scale."""
    generator = np.random.Philox(key=int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little"))
    for start in range(0, values.size, 4 * _CHUNK):
        part = values[start : start + 4 * _CHUNK]
        words = generator.random_raw(-(-part.size // 4))
        # Little endian whatever the machine, so that the four halves of a word have one order.
        halves = words.astype("<u8", copy=False).view("<u2")[: part.size]
        np.subtract(halves, np.float32(32767.5), out=part, dtype=np.float32)
        np.multiply(part, scale, out=part)


def _materialised(module: nn.Module) -> nn.Module:
    """The module, with memory for those weights that it was built without (on torch's meta device)."""
    for owner in module.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            if parameter.is_meta:
                empty = torch.empty_like(parameter, device="cpu")
                setattr(owner, name, nn.Parameter(empty, requires_grad=parameter.requires_grad))
        for name, buffer in list(owner.named_buffers(recurse=False)):
            if buffer.is_meta:
                setattr(owner, name, torch.empty_like(buffer, device="cpu"))
        if isinstance(owner, _NormBase):
            owner.reset_running_stats()
    return module


def _read(path: Path) -> dict[str, Tensor]:
    readers = {".pth": _read_torch, ".pt": _read_torch, ".safetensors": _read_safetensors}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise WeightsError(f"{path} is no weights file: its name must end with {', '.join(readers)}")
    if not path.is_file():
        raise WeightsError(f"no weights file {path}")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise WeightsError(f"cannot read weights file {path}: {error.strerror}") from error
    content = reader(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path} holds no state dict: names and tensors were expected")
    return {str(name): value for name, value in content.items()}


def _fitted(given: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The same tensors under the module's names.

    DataParallel writes ``module.`` before every name; formats that store a shared tensor once leave out its other
    names.
    """
    expected = module.state_dict(keep_vars=True)
    if not given.keys() & expected.keys():
        given = {name.removeprefix("module."): value for name, value in given.items()}
    names: dict[int, list[str]] = {}
    for name, value in expected.items():
        names.setdefault(id(value), []).append(name)
    for shared in names.values():
        present = [name for name in shared if name in given]
        if present:
            given |= {name: given[present[0]] for name in shared if name not in given}
    return given


def _read_torch(path: Path) -> object:
    try:
        # Its warnings are about pickle protocols and archives; the errors below say what matters of that.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # What it asks for is the only part of torch's message that is about the file and not about torch's history.
        asked = re.search(r"GLOBAL (?:torch\.)?([\w.]+)", str(error))
        detail = f"it asks for {asked[1]}" if asked else "it is not what torch.save writes for a state dict"
        raise WeightsError(f"{path} is refused, since it holds more than tensors or is damaged: {detail}") from error
    except Exception as error:
        # Where a file was cut short decides what the reader stumbles over: struct.error and OSError are among it.
        if "TorchScript" in str(error):
            raise WeightsError(f"{path} is a TorchScript program, not a state dict") from error
        raise WeightsError(f"{path} is truncated or damaged: PyTorch cannot read it") from error


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is truncated or damaged: {error}") from error


def _differences(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """What keeps a state dict from fitting, each kind in one phrase."""
    # Files of old versions of torch lack the number of batches seen in training, and inference needs none.
    missing = [name for name in expected if name not in given and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in expected]
    shapes = [
        f"{name} is {list(given[name].shape)} instead of {list(expected[name].shape)}"
        for name in expected
        if name in given and given[name].shape != expected[name].shape
    ]
    odd = [f"{name} is {kind}" for name in expected if name in given and (kind := _odd_kind(given[name]))]
    kinds = (("missing ", missing), ("unexpected ", unexpected), ("", shapes), ("", odd))
    return [f"{kind}{_shortened(names)}" for kind, names in kinds if names]


def _odd_kind(value: Tensor) -> str:
    """What keeps a tensor from being a weight; empty where nothing does."""
    if value.is_quantized:
        return "quantized"
    if value.is_complex():
        return "complex"
    if value.is_meta:
        return "without values"
    return "" if value.layout == torch.strided else "sparse"


def _shortened(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
