"""`from_torch`: a PyTorch module as a Keras model, in one call."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras

from lucid_keras import ops
from lucid_keras._arguments import check_choice, check_text
from lucid_keras._extras import needed

if TYPE_CHECKING:
    import torch


def from_torch(
    module: "torch.nn.Module | torch.export.ExportedProgram | str | os.PathLike[str]",
    example_inputs: "torch.Tensor | Sequence[torch.Tensor] | None" = None,
    *,
    data_format: ops.DataFormat = "channels_first",
    other_inputs: "Sequence[Sequence[torch.Tensor]] | None" = None,
    name: str | None = None,
) -> keras.Model:
    """A PyTorch module as a functional Keras model of ordinary layers, compared with the module before it is given.

    The module is traced by `torch.export`, whole operations at a time. What depends on no input, as weight norm, is
    computed by PyTorch, once. The layers have PyTorch's names, so that `load_state_dict` fills the model again; inside,
    signals lie channels last, with no transpose between convolutions. The model trains, is saved and loaded as `.keras`
    without PyTorch, exports in every recipe, and streams where its operations do.

    A length stays open where the module takes others: it is tried at two more, traced at two, and compared at all. A
    window that only a longer signal fills is found by how far its mask looks.

    Args:
        module: a `torch.nn.Module` in float32, which is taken in `eval()`; a `torch.export.ExportedProgram`; or the
            path of a `.pt2` file of `torch.export.save`, which is loaded without executing anything of it. The length
            of a program is open where it was exported so (`dynamic_shapes`).
        example_inputs: a tensor, or a tuple of tensors, as the module takes them: `[batch, ...]` each, such as
            `[batch, channels, length]`. A program has its own. A short length, a second or less of audio, is enough.
        data_format: `"channels_first"`: inputs and outputs lie as PyTorch's (default); or `"channels_last"`: the length
            comes second, as Keras and `StreamingModel` take signals; one that is not open is taken to be the last axis.
        other_inputs: examples at one or more other lengths, for a module whose inputs' lengths are not one length or
            multiples. Default None: they are found by trying.
        name: of the model. Default: the module's class.

    Returns:
        A `keras.Model` that takes one tensor, or a list of as many as the module does. Integers are int32.

    Raises:
        ValueError: the module cannot be traced, or has operations that have no translation, all of them named with
            their module; or the model does not give what the module does, with the first operation that differs: a
            relative error above 1e-5 and four times what PyTorch itself loses in float32. A file would execute code.
        TypeError: an argument of the wrong type, a module in another number format than float32.
        ImportError: PyTorch is not installed.

    Example:

    >>> import torch
    >>> up = torch.nn.Sequential(torch.nn.ConvTranspose1d(4, 2, 6, stride=3), torch.nn.ELU())
    >>> model = from_torch(up, torch.randn(1, 4, 10))
    >>> model.input_shape, model.output_shape, [layer.name for layer in model.layers if layer.weights]
    ((None, 4, None), (None, 2, None), ['0'])

    Source: J. Ansel et al., "PyTorch 2", ASPLOS 2024, section 3 (graphs of whole operations).
    """
    check_choice("data_format", data_format, ops.DATA_FORMATS)
    check_text("name", name)
    needed("torch", "from_torch needs PyTorch", "torch")
    from lucid_keras.interop.translation.model import translated

    return translated(module, example_inputs, data_format, other_inputs, name)[0]
