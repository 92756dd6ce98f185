"""Operations of PyTorch with random arguments, each as a module and the inputs that it takes: one registry."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  as PyTorch's own documentation calls it


class Applied(nn.Module):
    """A function of itself and its inputs, with parts that it holds."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def weight(*shape):
    return nn.Parameter(torch.randn(*shape))


def signal(rng, channels=None):
    """`[batch, channels, length]`, the batch one at times."""
    channels = int(rng.integers(1, 7)) if channels is None else channels
    return torch.randn(int(rng.integers(1, 3)), channels, int(rng.integers(9, 14)))


def between(rng, low, high):
    return int(rng.integers(low, high + 1))


def one_of(rng, *choices):
    return choices[between(rng, 0, len(choices) - 1)]


def conv1d(rng):
    groups, stride = between(rng, 1, 3), between(rng, 1, 3)
    channels, dilation = groups * between(rng, 1, 2), between(rng, 1, 3) if stride == 1 else 1
    taps = between(rng, 1, 4)
    out = groups * between(rng, 1, 3)
    options = {"stride": stride, "dilation": dilation, "groups": groups, "bias": one_of(rng, True, False)}
    padding = one_of(rng, 0, between(rng, 0, 3), *(["same", "valid"] if stride == 1 else []))
    return nn.Conv1d(channels, out, taps, padding=padding, **options), [signal(rng, channels)]


def conv_transpose1d(rng):
    groups, stride, dilation, taps = (between(rng, 1, 3) for _ in range(4))
    options = {"stride": stride, "dilation": dilation, "groups": groups, "bias": one_of(rng, True, False)}
    options["padding"] = between(rng, 0, dilation * (taps - 1))
    options["output_padding"] = between(rng, 0, max(stride, dilation) - 1)
    channels = groups * between(rng, 1, 2)
    return nn.ConvTranspose1d(channels, groups * between(rng, 1, 3), taps, **options), [signal(rng, channels)]


def padded_conv(rng):
    """A padding of either end, zeros or the signal's own, and a convolution."""
    mode, ends = one_of(rng, "constant", "constant", "reflect", "replicate"), (between(rng, 0, 5), between(rng, 0, 5))
    dilation, taps, channels = between(rng, 1, 2), between(rng, 1, 4), between(rng, 1, 4)
    if one_of(rng, True, False):
        ends = (dilation * (taps - 1), 0)
    groups = one_of(rng, 1, channels)
    conv = nn.Conv1d(channels, groups * 2, taps, dilation=dilation, groups=groups)
    return Applied(lambda m, x: m.conv(F.pad(x, ends, mode=mode)), conv=conv), [signal(rng, channels)]


def weight_norm(rng):
    conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 3, padding=1))
    return nn.Sequential(conv, nn.utils.parametrizations.weight_norm(nn.ConvTranspose1d(4, 2, 4, 2))), [signal(rng, 3)]


def pad(rng):
    ends = tuple(between(rng, 0, 3) for _ in range(one_of(rng, 2, 4)))
    value = one_of(rng, 0.0, 1.5)
    return Applied(lambda m, x: F.pad(x, ends, value=value)), [signal(rng)]


def cropped(rng):
    before, after = between(rng, 0, 3), between(rng, 1, 3)
    return Applied(lambda m, x: F.pad(x, (-before, -after))), [signal(rng)]


def linear(rng):
    channels = between(rng, 1, 5)
    layer = nn.Linear(channels, between(rng, 1, 5), bias=one_of(rng, True, False))
    if one_of(rng, True, False):
        return layer, [signal(rng, channels).mT]
    return Applied(lambda m, x: m.layer(x.transpose(1, 2)).transpose(1, 2), layer=layer), [signal(rng, channels)]


def recurrent(kind):
    def make(rng):
        channels, batch_first = between(rng, 1, 4), one_of(rng, True, False)
        options = {"num_layers": between(rng, 1, 3), "bidirectional": one_of(rng, True, False)}
        layer = kind(channels, between(rng, 1, 4), batch_first=batch_first, bias=one_of(rng, True, False), **options)
        turned = (lambda x: x.permute(0, 2, 1)) if batch_first else (lambda x: x.permute(2, 0, 1))
        back = (lambda x: x.permute(0, 2, 1)) if batch_first else (lambda x: x.permute(1, 2, 0))
        return Applied(lambda m, x: back(m.layer(turned(x))[0]), layer=layer), [signal(rng, channels)]

    return make


def elementwise(*functions):
    """Each of the functions at times, on numbers of either sign."""

    def make(rng):
        function = one_of(rng, *functions)
        return Applied(lambda m, x: function(x)), [signal(rng)]

    return make


def positive(*functions):
    def make(rng):
        function = one_of(rng, *functions)
        return Applied(lambda m, x: function(x.abs() + 0.1)), [signal(rng)]

    return make


def prelu(rng):
    channels = between(rng, 2, 4)
    layer = nn.PReLU(one_of(rng, 1, channels))
    nn.init.normal_(layer.weight)
    return layer, [signal(rng, channels)]


def snake(rng):
    """In the spellings of DAC, of BigVGAN and of Oobleck, and one of nobody's."""
    channels, beta = between(rng, 1, 4), one_of(rng, True, False)
    spelling = one_of(rng, "linear", "logarithmic", "divided", "odd")
    parts = {"alpha": nn.Parameter(torch.rand(1, channels, 1) + 0.3)}
    if beta:
        parts["beta"] = nn.Parameter(torch.rand(1, channels, 1) + 0.3)

    def apply(m, x):
        a, b = m.alpha, getattr(m, "beta", m.alpha)
        if spelling == "logarithmic":
            return x + (1.0 / (b.exp() + 1e-9)) * torch.sin(x * a.exp()).pow(2)
        if spelling == "divided":
            return torch.square((a * x).sin()) / (b + 1e-9) + x
        if spelling == "odd":
            return x + (b + 0.5).reciprocal() * torch.sin(a * x) ** 2
        return x + (b + 1e-9).reciprocal() * torch.sin(a * x).pow(2)

    return Applied(apply, **parts), [signal(rng, channels)]


def arithmetic(rng):
    """Of two signals, of a signal and a number, and of a signal and a parameter, either way round."""
    channels = between(rng, 2, 4)
    function = one_of(rng, torch.add, torch.sub, torch.mul, torch.maximum, lambda a, b: a / (b.abs() + 1))
    other = one_of(rng, "signal", "number", "parameter", "broad", "buffer")
    number = float(rng.normal())
    swap = one_of(rng, True, False)

    def apply(m, x):
        two = {"signal": x.tanh, "broad": lambda: x.mean(1, keepdim=True), "buffer": lambda: m.held}.get(other)
        two = two() if two else m.weight if other == "parameter" else torch.tensor(number)
        return function(two, x) if swap else function(x, two)

    module = Applied(apply, weight=weight(channels, 1))
    module.register_buffer("held", torch.randn(1, channels, 1))
    return module, [signal(rng, channels)]


def scaled_sum(rng):
    alpha = float(rng.normal())
    return Applied(lambda m, x: torch.sub(torch.add(x, x.sin(), alpha=alpha), m.w, alpha=2)
                   + torch.rsub(x, 1.5), w=weight(1)), [signal(rng)]  # fmt: skip


def in_place(rng):
    def apply(m, x):
        y = x * 2
        y += x.tanh()
        y[:, :1].mul_(0.5)
        return y

    return Applied(apply), [signal(rng)]


def powers(rng):
    exponent = one_of(rng, 2, 3, 0.5, -1, -0.5, 1.7)
    return Applied(lambda m, x: (x.abs() + 0.2) ** exponent), [signal(rng)]


def clamps(rng):
    low = one_of(rng, None, -0.4)
    high = 0.7 if low is None else one_of(rng, None, 0.7)
    return Applied(lambda m, x: torch.clamp(x, low, high)), [signal(rng)]


def norm(rng):
    channels = 2 * between(rng, 1, 3)
    kind = one_of(rng, "layer", "rms", "group", "instance", "batch", "by hand")
    affine = one_of(rng, True, False)
    if kind == "by hand":
        apply = lambda m, x: m.w * (x.mT * torch.rsqrt(x.mT.pow(2).mean(-1, keepdim=True) + 1e-6))  # noqa: E731
        return Applied(apply, w=weight(channels)), [signal(rng, channels)]
    layer = {
        "layer": lambda: nn.LayerNorm(channels, elementwise_affine=affine),
        "rms": lambda: nn.RMSNorm(channels, eps=1e-6),
        "group": lambda: nn.GroupNorm(one_of(rng, 1, 2, channels), channels, affine=affine),
        "instance": lambda: nn.InstanceNorm1d(channels, affine=affine),
        "batch": lambda: nn.BatchNorm1d(channels, affine=affine),
    }[kind]()
    for name, held in (*layer.named_parameters(), *layer.named_buffers()):
        if held.is_floating_point():
            nn.init.uniform_(held.data, 0.5, 1.5)
            assert name
    if kind in ("layer", "rms"):
        return Applied(lambda m, x: m.layer(x.mT).mT, layer=layer), [signal(rng, channels)]
    return layer, [signal(rng, channels)]


def axes(rng):
    """Axes turned, cut, joined, added and taken away."""
    channels = 4
    return Applied(
        one_of(
            rng,
            lambda m, x: x.permute(0, 2, 1).contiguous().transpose(-1, 1),
            lambda m, x: x.reshape(x.shape[0], 2, 2, -1).flatten(1, 2),
            lambda m, x: x.view(x.shape[0], 2, 2, x.shape[2]).transpose(1, 2).reshape(x.shape[0], 4, -1),
            lambda m, x: x.unsqueeze(1).squeeze(1),
            lambda m, x: x.unsqueeze(2).expand(-1, -1, 3, -1).mean(2),
            lambda m, x: x[:, :, None].squeeze(2).unflatten(1, (2, 2)).sum(1),
            lambda m, x: x.mT.reshape(x.shape[0], -1, 2, 2).permute(0, 2, 3, 1).flatten(1, 2),
            lambda m, x: x.mT.reshape(x.shape[0], -1, 2),
            lambda m, x: torch.stack([x, -x], 1).flatten(1, 2),
            lambda m, x: x.transpose(1, 2)[:, :, :1].squeeze(),
        )
    ), [signal(rng, channels)]


def parts(rng):
    """Slices, chunks, splits, single elements and what is joined again."""
    channels, start, stop = 6, between(rng, 0, 4), between(rng, 1, 4)
    return Applied(
        one_of(
            rng,
            lambda m, x: x[..., start:-stop],
            lambda m, x: x[:, start : start + 2],
            lambda m, x: x[..., : x.shape[-1] - stop],
            lambda m, x: x[:, :, :stop],
            lambda m, x: x[:, ::2] + x.narrow(1, start % 3, 3),
            lambda m, x: torch.cat(x.chunk(3, dim=1)[::-1], 1),
            lambda m, x: torch.cat([part.tanh() for part in x.split([1, 3, 2], dim=1)], 1),
            lambda m, x: torch.cat([x, x.sin()], 2),
            lambda m, x: torch.cat([x.new_zeros(x.shape[0], x.shape[1], stop), x], 2),
            lambda m, x: x[:, start] * x.select(1, 0),
            lambda m, x: sum(x.unbind(1)),
            lambda m, x: F.glu(x, dim=1),
            lambda m, x: x.flip(1) + x.flip([2]),
            lambda m, x: x + torch.zeros_like(x) + torch.full_like(x, 0.5),
        )
    ), [signal(rng, channels)]


def sums(rng):
    function = one_of(rng, torch.mean, torch.sum)
    dim, keep = one_of(rng, 1, 2, -1), one_of(rng, True, False)
    return Applied(lambda m, x: x * 0.5 + function(x, dim, True) if keep else function(x, dim)), [signal(rng, 4)]


def interpolated(rng):
    factor, mode = between(rng, 2, 5), one_of(rng, "nearest", "linear")
    return Applied(lambda m, x: F.interpolate(x, scale_factor=factor, mode=mode)), [signal(rng)]


def codes(rng):
    """Codebooks looked up and summed, as residual quantizers do."""
    books, size = between(rng, 1, 3), between(rng, 1, 4)
    tables = nn.ModuleList([nn.Embedding(7, size) for _ in range(books)])
    given = torch.randint(0, 7, (between(rng, 1, 2), books, 11))
    apply = lambda m, x: sum(m.tables[i](x[:, i]) for i in range(books)).mT  # noqa: E731
    first = lambda m, x: sum(t(c) for t, c in zip(m.tables, x.transpose(0, 1), strict=True)).permute(0, 2, 1)  # noqa: E731
    return Applied(one_of(rng, apply, first), tables=tables), [given]


def istft(rng):
    n_fft = 2 * between(rng, 4, 8)
    bins, hop = n_fft // 2 + 1, n_fft // 4
    polar = one_of(rng, True, False)

    def apply(m, x, y):
        spectrum = torch.polar(x.exp(), y) if polar else torch.complex(x, y)
        return torch.istft(spectrum, n_fft, hop, window=m.window)

    module = Applied(apply)
    module.register_buffer("window", torch.hann_window(n_fft))
    x = signal(rng, bins)
    return module, [x, torch.randn_like(x)]


def rotated(x, base):
    """Queries or keys `[batch, heads, length, size]`, turned by their positions."""
    angles = torch.arange(x.shape[2])[:, None] * base ** (-torch.arange(0, x.shape[3], 2) / x.shape[3])
    angles = torch.cat([angles, angles], -1)
    one, two = x[..., : x.shape[3] // 2], x[..., x.shape[3] // 2 :]
    return x * angles.cos() + torch.cat([-two, one], -1) * angles.sin()


def apart(x, heads):
    """`[batch, heads, length, size]` of `[batch, length, heads * size]`."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def seen(length, window):
    """Which positions see which: themselves and those before, within the window."""
    back = torch.arange(length)[:, None] - torch.arange(length)
    return (back >= 0) & (back < window)


def attended(m, x, heads, window, base):
    """Attention over a window with rotary positions, its projections the parts of a module."""
    q, k, v = (apart(layer(x), heads) for layer in (m.q, m.k, m.v))
    mask = seen(x.shape[1], window)
    y = F.scaled_dot_product_attention(rotated(q, base), rotated(k, base), v, attn_mask=mask)
    return m.o(y.transpose(1, 2).reshape(x.shape))


def attention(rng):
    """Over all, causal, and causal over a window, with rotary positions."""
    heads, size, kind = between(rng, 1, 3), 4, one_of(rng, "all", "causal", "window", "rotary", "additive")
    window, base = between(rng, 2, 30), one_of(rng, 100.0, 10_000.0)
    channels = heads * size
    projections = {name: nn.Linear(channels, channels) for name in ("q", "k", "v", "o")}
    given = [torch.randn(between(rng, 1, 2), between(rng, 6, 9), channels)]
    if kind == "rotary":
        return Applied(lambda m, x: attended(m, x, heads, window, base), **projections), given

    def apply(m, x):
        mask = None
        if kind in ("window", "additive"):
            mask = seen(x.shape[1], window)
            if kind == "additive":
                mask = torch.where(mask, 0.0, float("-inf"))
        q, k, v = (apart(layer(x), heads) for layer in (m.q, m.k, m.v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=kind == "causal")
        return m.o(y.transpose(1, 2).reshape(x.shape))

    return Applied(apply, **projections), given


def attention_by_hand(rng):
    def apply(m, x):
        scores = torch.matmul(x.mT, x) / 3
        return torch.matmul(scores.softmax(-1), x.mT)

    return Applied(apply), [signal(rng, 4)]


def several(rng):
    """Two inputs, the second without a length, and two outputs."""
    layer = nn.Linear(3, 4)
    x = signal(rng, 4)
    return Applied(lambda m, x, s: (x + m.layer(s)[:, :, None], x.tanh()), layer=layer), [x, torch.randn(len(x), 3)]


def shared(rng):
    """A layer that is called twice."""
    return Applied(lambda m, x: m.conv(m.conv(x).tanh()), conv=nn.Conv1d(3, 3, 3, padding=1)), [signal(rng, 3)]


OPERATIONS = {
    "conv1d": conv1d,
    "conv_transpose1d": conv_transpose1d,
    "padding and convolution": padded_conv,
    "weight norm": weight_norm,
    "pad": pad,
    "cropping by less than no padding": cropped,
    "linear": linear,
    "lstm": recurrent(nn.LSTM),
    "gru": recurrent(nn.GRU),
    "activations": elementwise(
        *(torch.tanh, torch.sigmoid, F.silu, F.relu, F.elu, F.gelu, F.leaky_relu, F.softplus, F.relu6, F.mish),
        *(lambda x: F.gelu(x, approximate="tanh"), lambda x: F.leaky_relu(x, 0.2), lambda x: F.elu(x, 0.7)),
        *(lambda x: F.hardtanh(x, -0.5, 0.6), lambda x: F.softmax(x, 1), lambda x: F.dropout(x, 0.5, False)),
    ),
    "functions": elementwise(torch.sin, torch.cos, torch.exp, torch.abs, torch.neg, torch.square, torch.erf),
    "functions of positive numbers": positive(torch.log, torch.log10, torch.sqrt, torch.rsqrt, torch.reciprocal),
    "prelu": prelu,
    "snake": snake,
    "arithmetic": arithmetic,
    "scaled sums": scaled_sum,
    "in place": in_place,
    "powers": powers,
    "clamp": clamps,
    "norms": norm,
    "axes": axes,
    "parts": parts,
    "sums over axes": sums,
    "interpolate": interpolated,
    "codes": codes,
    "istft": istft,
    "attention": attention,
    "attention by hand": attention_by_hand,
    "several inputs and outputs": several,
    "a layer twice": shared,
}
