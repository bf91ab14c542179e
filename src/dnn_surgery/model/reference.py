"""What a user calls a model: a name in the zoo, ``package.module:factory``, or a file (.onnx, .pt2, .bundle)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnn_surgery.errors import ModelError, WeightsError
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.onnx_extra import require_onnx
from dnn_surgery.model.pictures import detects, with_picture, with_postprocess
from dnn_surgery.model.zoo import canonical_name
from dnn_surgery.model.zoo import entry as zoo_entry

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from dnn_surgery.model.postprocess import Postprocess
    from dnn_surgery.model.preprocess import Preprocess
    from dnn_surgery.model.zoo import ZooEntry

# More is a slip of the pen, which should not end in a machine without memory.
MAX_CLASSES = 1_000_000


def load_model(
    ref: str,
    weights: str | Path | None = None,
    *,
    trust_model: bool = False,
    classes: int | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    preprocess: Preprocess | None = None,
    postprocess: Postprocess | None = None,
) -> ModelGraph:
    """The graph of a model.

    Args:
        ref: a name in the zoo (case, hyphens and underscores do not matter), ``package.module:factory``, a file
            ``.onnx``, a file ``.pt2`` that `torch.export.save` wrote, or a ``.bundle``, which has everything in it.
        weights: a ``.pth``, ``.pt`` or ``.safetensors`` file. Without one a network of the zoo has the trained weights
            that are installed for it, or seeded ones, which a notice of the graph says.
        trust_model: allows factories and ``.pt2`` files, which are code and can do whatever their author wants.
        classes: how many classes a network of the zoo tells apart, where the weights are of a network of its kind that
            was trained for other ones; it has no labels then.
        input_shapes: sizes for inputs that an ``.onnx`` file leaves open.
        preprocess: how a picture becomes the input of a factory's or a file's network; becomes part of the graph.
        postprocess: what the outputs mean. A detector's confidence and suppression become part of the graph.

    Raises:
        ModelError: there is no such model, it is not trusted, it cannot be built or traced, or torch is missing.
        WeightsError: the weights file is missing, damaged, unsafe, or of another model.
    """
    suffix = Path(ref).suffix.lower()
    if suffix == ".bundle":
        options = {"weights": weights, "classes": classes, "input shapes": input_shapes}
        return _load_bundle(Path(ref), {**options, "preprocess": preprocess, "postprocess": postprocess})
    if suffix == ".onnx":
        if weights is not None:
            raise WeightsError(f"{ref} brings its own weights; {weights} cannot be put into it")
        if classes is not None:
            raise ModelError(f"classes can be chosen for a model of the zoo, not for {ref}")
        graph = _load_onnx(Path(ref), input_shapes, preprocess, postprocess)
        return with_postprocess(with_picture(graph), postprocess, suppressed=detects(postprocess))
    if input_shapes:
        raise ModelError(f"input shapes can be chosen for an .onnx file, not for {ref}")
    if suffix in (".pth", ".safetensors", ".pt"):
        raise ModelError(f"{ref} is a weights file, not a model: name the model and give this file as its weights")
    is_code = suffix == ".pt2" or ":" in ref
    if not is_code:
        ref = canonical_name(ref)
    elif not trust_model:
        kind = "a .pt2 file holds" if suffix == ".pt2" else "a factory is"
        raise ModelError(
            f"{ref} is not trusted: {kind} code that could do anything here; if you trust its author, say so with "
            "--trust-model (trust_model=True)"
        )
    elif classes is not None:
        raise ModelError(f"classes can be chosen for a model of the zoo, not for {ref}")
    _require_torch()
    if suffix == ".pt2":
        return _load_exported(Path(ref), weights, preprocess, postprocess)
    if is_code:
        from dnn_surgery.model.factory import load_factory

        return load_factory(ref, weights, preprocess=preprocess, postprocess=postprocess)
    if preprocess is not None:
        raise ModelError(f"{ref} says itself how it reads pictures; preprocess is for models that do not")
    return with_postprocess(_load_zoo(zoo_entry(ref), weights, classes), postprocess)


def _load_onnx(
    path: Path,
    input_shapes: Mapping[str, Sequence[int]] | None,
    preprocess: Preprocess | None,
    postprocess: Postprocess | None,
) -> ModelGraph:
    require_onnx()
    from dnn_surgery.model.onnx_graph import load_onnx

    return load_onnx(path, input_shapes=input_shapes, preprocess=preprocess, postprocess=postprocess)


def _load_bundle(path: Path, options: Mapping[str, object]) -> ModelGraph:
    if given := [name for name, value in options.items() if value]:
        raise ModelError(f"{path} is a bundle, which has everything in it; {given[0]} cannot be put into it")
    require_onnx()
    from dnn_surgery.model.bundle_file import load_bundle

    return load_bundle(path)


def _load_zoo(found: ZooEntry, weights: str | Path | None, classes: int | None) -> ModelGraph:
    import torch

    from dnn_surgery.model.normalisation import example_picture
    from dnn_surgery.model.tracing import trace

    classes = found.classes if classes is None else classes
    if not 1 <= classes <= MAX_CLASSES:
        raise ModelError(f"{found.name} needs from 1 to {MAX_CLASSES} classes, got {classes}")
    # No memory and no random numbers for weights that are replaced at once.
    with torch.device("meta"):
        module = found.build(classes)
    notices = _fill(module, found, weights, classes)
    return trace(
        module.requires_grad_(False),
        example_picture(found.picture),
        name=found.name,
        layers=found.layers,
        picture=found.picture,
        labels=found.labels if classes == found.classes else None,
        notices=notices,
    )


def _fill(module: nn.Module, found: ZooEntry, weights: str | Path | None, classes: int) -> tuple[str, ...]:
    """Gives the module its weights; what the user should be told about them."""
    from dnn_surgery.model.weights import load_weights, seed_weights

    if weights is None and found.weights is not None and classes == found.classes:
        weights = found.weights()
    if weights is not None:
        load_weights(module, weights)
        return ()
    seed_weights(module)
    return (f"{found.name} has no weights file: its weights are random (seed 0), so its answers mean nothing",)


def _load_exported(
    path: Path, weights: str | Path | None, preprocess: Preprocess | None, postprocess: Postprocess | None
) -> ModelGraph:
    from dnn_surgery.model.stages import needs_stages
    from dnn_surgery.model.tracing import from_exported

    if weights is not None:
        raise WeightsError(f"{path} brings its own weights; {weights} cannot be put into it")
    if not path.is_file():
        raise ModelError(f"no model file {path}")
    program = _read_exported(path)
    if needs_stages(preprocess, postprocess):
        return _between_stages(program, path, preprocess, postprocess)
    return with_postprocess(with_picture(from_exported(program, name=path.stem)), postprocess)


def _between_stages(
    program: ExportedProgram, path: Path, preprocess: Preprocess | None, postprocess: Postprocess | None
) -> ModelGraph:
    """Makes the program a tree of modules again, so that its layers keep their names, and traces that."""
    import torch

    from dnn_surgery.model.stages import trace_with_stages
    from dnn_surgery.model.tracing import examples_of

    examples = examples_of(program, path.stem)
    names = program.graph_signature.user_inputs
    shapes = [getattr(node.meta.get("val"), "shape", ()) for node in program.graph.nodes if node.name in names]
    varying = [place for place, side in enumerate(shapes[0] if shapes else ()) if not isinstance(side, int)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = torch.export.unflatten(program)
        except Exception as error:
            lines = str(error).splitlines() or ["no message"]
            raise ModelError(f"{path}: no stage can be put around it: {type(error).__name__}: {lines[0]}") from error
    return trace_with_stages(
        module, examples, name=path.stem, preprocess=preprocess, postprocess=postprocess, varying=varying
    )


def _read_exported(path: Path) -> ExportedProgram:
    import torch

    # torch logs a traceback before it raises; the error below is what a user is to see.
    logger = logging.getLogger("torch.export")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        return torch.export.load(path)
    except Exception as error:
        raise ModelError(
            f"cannot load {path}: it is damaged, or was not written by torch.export.save of a version near "
            f"{torch.__version__}"
        ) from error
    finally:
        logger.disabled = was_disabled


def _require_torch() -> None:
    try:
        import torch  # noqa: F401 - whether it is there is the question
    except ImportError as error:
        raise ModelError("PyTorch models need torch: pip install dnn-surgery[torch]") from error
