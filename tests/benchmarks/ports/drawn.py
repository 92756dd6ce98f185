"""Random weights that behave like trained ones, where the libraries' own would fade, saturate or hide an error."""

import contextlib
import re

import numpy as np

LAYERS = ("Conv1d", "ConvTranspose1d", "Linear")


@contextlib.contextmanager
def drawn(model, levels=None, spans=None):
    """Within it, each layer of a PyTorch model gets weights that suit its first input: a varied signal of unit level.

    Weights are normal; a layer's first output, each channel centred by the bias where there is one, has a standard
    deviation of 1 over all channels, or what `levels` has for the layer's name. Other parameters are uniform over what
    `spans` has for theirs, and norms near their start: the libraries begin `alpha`, layer scales and norms at a
    constant, which hides an error in their order. Both are by regular expressions of whole names.

    Source: T. Salimans and D. Kingma, "Weight Normalization", arXiv:1602.07868, section 3, where all channels
    get the same level too.
    """
    import torch

    torch.manual_seed(0)
    hooks = [
        module.register_forward_hook(_levelled(_of(name, levels) or 1.0))
        for name, module in model.named_modules()
        if type(module).__name__ in LAYERS
    ]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.2, 0.2)
        for name, parameter in model.named_parameters():
            if span := _of(name, spans):
                parameter.uniform_(*span)
        yield
    for hook in hooks:
        hook.remove()


def _of(name, table):
    return next((value for pattern, value in (table or {}).items() if re.fullmatch(pattern, name)), None)


def _levelled(level):
    """A hook for one layer's first call: draws its weights, and gives the output that these make."""
    seen = False

    def hook(layer, inputs, _):
        nonlocal seen
        if seen:
            return None
        seen = True
        layer.weight.normal_()
        if layer.bias is not None:
            layer.bias.zero_()
        elif type(layer).__name__ == "Conv1d" and layer.groups == 1:  # without a bias the taps must sum to no offset
            of_channel = inputs[0].mean([0, 2])[:, None]
            offset = layer.forward(*inputs).mean([0, 2])[:, None, None]
            layer.weight.sub_(offset * of_channel / (of_channel.square().sum() * layer.kernel_size[0]))
        output = layer.forward(*inputs)
        others = [0, 1] if type(layer).__name__ == "Linear" else [0, 2]
        mean = output.mean(others, keepdim=True) * (layer.bias is not None)
        scale = level / (output - mean).std()
        layer.weight.mul_(scale)
        if layer.bias is not None:
            layer.bias.copy_(-scale * mean.flatten())
        return scale * (output - mean)

    return hook


def codebook_of(vectors, entries):
    """`[entries, channels]`: as many means of two random vectors of `[..., channels]`, as centroids are means."""
    import torch

    vectors = vectors.reshape(-1, vectors.shape[-1])
    pairs = np.random.default_rng(0).integers(len(vectors), size=(2, entries))
    return vectors[torch.from_numpy(pairs)].mean(0)
