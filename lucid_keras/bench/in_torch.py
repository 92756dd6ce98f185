"""Subjects in PyTorch: `torch.nn.ConvTranspose1d`, eager and by `torch.compile`."""

import torch

from lucid_keras.bench.prepared import Prepared, held_bytes


def layer(workload, arrays, threads, *, compiled=False):
    """PyTorch's layer in inference mode, or its gradients by autograd."""
    torch.set_num_threads(threads)
    module = torch.nn.ConvTranspose1d(**workload.layer_arguments)
    module.load_state_dict({name: torch.from_numpy(getattr(arrays, name)) for name in ("weight", "bias")})
    forward = torch.compile(module) if compiled else module
    train = workload.mode == "train"
    x, dy = torch.tensor(arrays.x, requires_grad=train), torch.from_numpy(arrays.dy)

    def infer():
        with torch.inference_mode():
            return [forward(x)]

    def step():
        return torch.autograd.grad(forward(x), [x, module.weight, module.bias], dy)

    call = step if train else infer
    return Prepared(call, lambda: [tensor.numpy() for tensor in call()], held_bytes(workload, arrays))
