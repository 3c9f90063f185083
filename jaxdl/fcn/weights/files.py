"""Files of weights as keys and arrays, whichever the format; none of them may run code.

A shape is held against VGG-16's before memory is taken for it: a file of a hundred bytes can claim
any. No file may name another one for its data.
"""

import importlib
import math
import zipfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from packaging.version import Version
from safetensors import safe_open

from jaxdl.errors import InputError
from jaxdl.files.text import reason, show

SUFFIXES = (".safetensors", ".npz", ".h5", ".hdf5", ".model", ".onnx", ".pth", ".pt")
_MOST = 3 * 3 * 512 * 512  # numbers of VGG-16's largest convolution
_EXTRA = "pip install 'jaxdl-functional[weights]'"
_WHOLE = 1 << 31  # bytes of a file that its library reads whole
_TORCH_SAFE = "2.10"  # before, weights_only could be led astray: CVE-2025-32434, CVE-2026-24747


def _library(path: Path, name: str, remedy: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{path}: reading {path.suffix} needs {name}; {remedy}") from error


@contextmanager
def open_arrays(path: Path) -> Generator[tuple[list[str], Callable[[str], Any], Mapping[str, str]]]:
    """(keys, key -> array, metadata): fc6 alone is 400 MB, so nothing is read before it is asked.

    Whatever a reader raises about a damaged file becomes one line that names the file.
    """
    try:
        if path.suffix.lower() in (".onnx", ".pth", ".pt") and path.stat().st_size > _WHOLE:
            raise InputError(f"{path}: more than {_WHOLE >> 30} GiB; VGG-16 has .6; take another")
        match path.suffix.lower():
            case ".safetensors":
                with safe_open(path, framework="numpy") as file:

                    def tensor(key: str) -> np.ndarray:
                        _check_size(path, key, file.get_slice(key).get_shape())
                        return file.get_tensor(key)

                    yield list(file.keys()), tensor, file.metadata() or {}
            case ".npz":
                with zipfile.ZipFile(path) as archive:
                    arrays = [name.removesuffix(".npy") for name in archive.namelist()]
                    yield arrays, partial(_npy, path, archive), {}
            case ".h5" | ".hdf5" | ".model":
                with _library(path, "h5py", _EXTRA).File(path, "r") as file:
                    found: list[str] = []
                    file.visititems(lambda k, at: found.append(k) if hasattr(at, "dtype") else None)
                    yield found, lambda key: _hdf5(path, file, key), {}
            case ".onnx":
                onnx = _library(path, "onnx", _EXTRA)
                loaded = onnx.load(str(path), load_external_data=False)
                stored = {t.name: t for t in loaded.graph.initializer}

                def constant(key: str) -> np.ndarray:
                    _check_size(path, key, stored[key].dims)
                    if stored[key].data_location == onnx.TensorProto.EXTERNAL:
                        text = f"{show(key)} is in another file, which a model may not name here"
                        raise InputError(f"{path}: {text}; save it as one file")
                    return onnx.numpy_helper.to_array(stored[key])

                yield list(stored), constant, {}
            case _:
                remedy = "convert the file to .safetensors, or install PyTorch's CPU build"
                torch = _library(path, "torch", remedy)
                if Version(torch.__version__) < Version(_TORCH_SAFE):
                    text = f"PyTorch {torch.__version__} can be made to run code by such a file"
                    raise InputError(f"{path}: {text}; install {_TORCH_SAFE} or later")
                # Weights only: a pickle can run any code, and these files come from anywhere.
                state = torch.load(path, weights_only=True, map_location="cpu")
                state = state.get("state_dict", state)
                tensors = [key for key, value in state.items() if hasattr(value, "detach")]
                yield tensors, lambda key: state[key].detach().float().numpy(), {}
    except InputError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {reason(error)}"
        text = f"cannot be read as {path.suffix} ({why}); fetch the file again"
        raise InputError(f"{path}: {text}") from error


def _check_size(path: Path, key: str, shape: Sequence[int]) -> None:
    """A shape that a file claims, before memory is taken for it."""
    if len(shape) > 4 or math.prod(shape) > _MOST:
        text = f"{show(key)} has the shape {show(str(tuple(shape)))}, more than VGG-16's layers"
        raise InputError(f"{path}: {text}; give a full-width VGG-16")


def _npy(path: Path, archive: zipfile.ZipFile, key: str) -> np.ndarray:
    """An array of an .npz: `np.load` would take memory for whatever shape is claimed."""
    form = np.lib.format
    with archive.open(f"{key}.npy") as file:
        readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
        shape, _, dtype = readers[form.read_magic(file)](file)
        _check_size(path, key, shape)
        if dtype.itemsize > 16:
            raise InputError(f"{path}: {show(key)} is {dtype.name}, not numbers; fetch it again")
    with archive.open(f"{key}.npy") as file:
        return form.read_array(file, allow_pickle=False)


def _hdf5(path: Path, file: Any, key: str) -> np.ndarray:
    """An array of an HDF5 file, which may claim any shape, and name other files for its data."""
    dataset = file[key]
    _check_size(path, key, dataset.shape or ())
    _check_size(path, key, (math.prod(dataset.chunks or ()),))
    if dataset.external or dataset.is_virtual:
        raise InputError(f"{path}: {show(key)} is in another file; save it as one file")
    return dataset[()]
