"""PyTorch as the second judge: its own sample configurations, the registry, gradients, output_size and istft."""

import arrays
import numpy as np
import pytest
import tensorflow as tf
import torch
from cases import CASES
from tolerances import relative_tolerance

import lucid_keras as lk

torch.set_num_threads(1)

# torch.testing._internal: sample_inputs_conv_transpose1d, as (x, weight, bias?, parameters).
TORCH_SAMPLES = [
    ((1, 3, 4), (3, 3, 3), True, {"stride": 2, "padding": 2, "output_padding": 1, "groups": 1}),
    ((2, 2, 4), (2, 2, 4), True, {"stride": 3, "padding": 2, "output_padding": 1, "groups": 2, "dilation": 4}),
    ((1, 1, 4), (1, 1, 4), True, {"stride": 2, "padding": 1, "output_padding": 1, "groups": 1, "dilation": 2}),
    ((1, 1, 4), (1, 2, 3), False, {"stride": 2, "padding": 1, "output_padding": 1, "groups": 1}),
    ((1, 4, 5), (4, 8, 3), False, {}),
]
# common_nn and common_modules: constructor arguments and the input's shape.
TORCH_MODULES = [
    ((3, 4, 3), {"stride": 3, "padding": 1, "output_padding": 1}, (1, 3, 7)),
    ((3, 4, 3), {"stride": 3, "padding": 1, "output_padding": 1, "bias": False}, (1, 3, 6)),
    ((3, 4, 3), {"stride": 3, "padding": 1, "output_padding": 1, "dilation": 2}, (1, 3, 6)),
    ((4, 6, 3), {"stride": 3, "padding": 1, "output_padding": 1, "groups": 2}, (2, 4, 7)),
]


def close(got, want, terms):
    got, want = np.asarray(got), want.detach().numpy()
    assert got.shape == want.shape
    scale = abs(want).max() if want.size else 1
    assert (abs(got - want) <= relative_tolerance(str(want.dtype), terms) * scale).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_forward_and_gradients(case, dtype, rng):
    if not case.output_length:
        dtype = "float32"  # the only dtype in which PyTorch's CPU kernels give an empty output
    data = arrays.normals(case, rng, dtype)
    tensors = [torch.tensor(a, requires_grad=True) for a in (data.x, data.weight, data.bias) if a is not None]
    want = torch.nn.functional.conv_transpose1d(*tensors, **case.parameters)
    wanted = torch.autograd.grad(want, tensors, torch.tensor(data.dy)) if data.dy.size else []
    ours = [tf.constant(tensor.detach().numpy()) for tensor in tensors]
    with tf.GradientTape() as tape:
        tape.watch(ours)
        y = lk.conv_transpose1d(*ours, **case.parameters)
        loss = tf.reduce_sum(y * data.dy)
    reach = case.kernel_size * max(case.in_channels, case.out_channels) // case.groups
    terms = max(reach, case.batch * case.output_length)
    close(y, want, terms)
    for gradient, expected in zip(tape.gradient(loss, ours), wanted, strict=bool(wanted)):
        close(gradient, expected, terms)


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("sample", TORCH_SAMPLES)
def test_torchs_sample_inputs(sample, batched, rng):
    x_shape, weight_shape, has_bias, parameters = sample
    groups = parameters.get("groups", 1)
    x, weight = rng.standard_normal(x_shape), rng.standard_normal(weight_shape)
    bias = rng.standard_normal(weight_shape[1] * groups) if has_bias else None
    x = x if batched else x[0]
    torch_bias = None if bias is None else torch.tensor(bias)
    want = torch.nn.functional.conv_transpose1d(torch.tensor(x), torch.tensor(weight), torch_bias, **parameters)
    close(lk.conv_transpose1d(x, weight, bias, **parameters), want, weight.size)


@pytest.mark.parametrize(("arguments", "options", "shape"), TORCH_MODULES)
def test_torchs_modules_by_argument_order(arguments, options, shape, rng):
    module = torch.nn.ConvTranspose1d(*arguments, **options)
    layer = lk.ConvTranspose1d(*arguments, **options)
    assert tuple(layer.weight.shape) == tuple(module.weight.shape)
    layer.weight.assign(module.weight.detach().numpy())
    if layer.bias is not None:
        layer.bias.assign(module.bias.detach().numpy())
    x = rng.standard_normal(shape).astype("float32")
    want = module(torch.tensor(x))
    close(layer(x), want, layer.weight.numpy().size)
    for extra in range(layer.stride):
        size = [want.shape[2] - layer.output_padding + extra]
        close(layer(x, output_size=size), module(torch.tensor(x), output_size=size), layer.weight.numpy().size)


def test_initialisation_has_torchs_bounds():
    module, layer = torch.nn.ConvTranspose1d(64, 32, 16, groups=2), lk.ConvTranspose1d(64, 32, 16, groups=2)
    for ours, theirs in ((layer.weight, module.weight), (layer.bias, module.bias)):
        bound = abs(theirs.detach().numpy()).max()
        assert abs(abs(ours.numpy()).max() / bound - 1) < 0.25


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("n_fft", "hop", "win", "window", "center"),
    [
        (16, 4, 16, "hann", True),
        (15, 4, 15, "hann", True),
        (32, 8, 20, "hann", True),
        (32, 8, 31, "hamming", True),
        (16, 5, 16, "hamming", False),
        (16, 16, 16, "rectangular", False),
        (256, 64, 256, "hann", True),
    ],
)
def test_istft(n_fft, hop, win, window, center, known, rng):
    windows = {"hann": torch.hann_window, "hamming": torch.hamming_window}
    torch_window = windows[window](win, dtype=torch.float64) if window in windows else torch.ones(win).double()
    signal = torch.tensor(rng.standard_normal((2, 9 * n_fft + 3)))
    options = {"hop_length": hop, "win_length": win, "window": torch_window, "center": center}
    spectrum = torch.stft(signal, n_fft, **options, return_complex=True)
    want = torch.istft(spectrum, n_fft, **options)
    parts = torch.cat([spectrum.real, spectrum.imag], 1).numpy()
    for data_format in ("channels_first", "channels_last"):
        layer = lk.ISTFT(n_fft, hop, win, window, center, data_format=data_format, dtype="float64")
        x = arrays.in_layout(parts, data_format)
        shape = [None, *x.shape[1:]] if known else [None if n == parts.shape[2] else n for n in x.shape]
        got = tf.function(layer, input_signature=[tf.TensorSpec(shape, tf.float64)], autograph=False)(x)
        assert layer.compute_output_shape(x.shape) == tuple(got.shape)
        close(got, want, n_fft)


@pytest.mark.parametrize("window", ["hann", [0, 0, 1, 1]])
def test_what_torchs_istft_refuses_is_refused(window):
    values = torch.hann_window(4) if window == "hann" else torch.tensor(window).float()
    with pytest.raises(RuntimeError, match="window overlap add min"):
        torch.istft(torch.ones(1, 3, 9, dtype=torch.cfloat), 4, 1, 4, values, center=False)
    with pytest.raises(ValueError, match=r"must leave no sample uncovered.*Received: 0 at sample 0"):
        lk.ISTFT(4, 1, window=window, center=False)
