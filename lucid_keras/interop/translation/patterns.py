"""Operations that mean one thing become that: a padded convolution, a Snake, attention with rotary positions."""

import torch

from lucid_keras.interop.translation.attention import rotary
from lucid_keras.interop.translation.operations import name_of
from lucid_keras.interop.translation.trace import Call, Constant, Trace, leaves

EPSILON = 1e-9


def recognized(trace: Trace) -> list[Call]:
    """The calls that what comes out needs, in their order, where patterns have become one call."""
    for call in trace.calls:
        for pattern in (_padded_convolution, _snake, _rotated_attention):
            pattern(call, trace)
    needed, pending = set(), calls_in(trace.outputs)
    while pending:
        call = pending.pop()
        if call not in needed:
            needed.add(call)
            pending += calls_in((call.args, dict(call.kwargs)))
    return [call for call in trace.calls if call in needed]


def calls_in(tree):
    """The calls among arguments or outputs."""
    return [one for one in leaves(tree) if isinstance(one, Call)]


def _is(one, *names):
    return isinstance(one, Call) and one.target is not None and name_of(one.target) in names


def _padded_convolution(call, trace):
    """Zeros before and after a signal are the padding of the convolution that takes it."""
    if not _is(call, "conv1d") or not _is(call.args[0], "pad"):
        return
    x, ends, mode, value = (*call.args[0].args, None, None)[:4]
    are_zeros = mode in (None, "constant") and not value and len(ends) == 2
    if are_zeros and all(type(end) is int and end >= 0 for end in ends):
        call.args, call.kwargs = (x, *call.args[1:]), {**call.kwargs, "zeros": tuple(ends)}


def _sides(call, *names):
    """The inputs of a call of these names, either way round."""
    if not _is(call, *names) or len(call.args) != 2 or call.kwargs:
        return ()
    one, other = call.args
    return ((one, other), (other, one))


def _snake(call, trace):
    """`x + sin(alpha*x)**2 / beta`, in whatever order it is written."""
    for x, term in _sides(call, "add"):
        squared, beta, is_divisor = _over(term)
        sine = _root(squared)
        if beta is None or not _is(sine, "sin"):
            continue
        for factor, again in _sides(sine.args[0], "mul"):
            if again is x and isinstance(factor, Constant):
                options = _weights(factor, beta, is_divisor, trace.held)
                if options:
                    call.target, call.args, call.kwargs = "snake", (x,), options
                    return


def _over(term):
    """The square, what it is multiplied with or divided by, and which of the two."""
    for one, other in _sides(term, "mul"):
        if isinstance(one, Constant) and isinstance(other, Call):
            return other, one, False
    if _is(term, "div") and isinstance(term.args[1], Constant):
        return term.args[0], term.args[1], True
    return None, None, False


def _root(squared):
    if _is(squared, "pow") and squared.args[1] == 2:
        return squared.args[0]
    if _is(squared, "mul") and squared.args[0] is squared.args[1]:
        return squared.args[0]
    return squared.args[0] if _is(squared, "square") else None


def _weights(factor, beta, is_divisor, held):
    """The parameters of a Snake and how they are read, if its factors are made of them."""
    if any(len(one.names) != 1 or one.longer is not None for one in (factor, beta)):
        return None
    (alpha_name,), (beta_name,) = factor.names, beta.names
    ends = [name.rpartition(".")[2] for name in (alpha_name, beta_name)]
    if ends not in (["alpha", "alpha"], ["alpha", "beta"]):
        return None
    for logarithmic in (False, True):
        alpha, divisor = (held[name].exp() if logarithmic else held[name] for name in (alpha_name, beta_name))
        other = divisor + EPSILON if is_divisor else 1 / (divisor + EPSILON)
        if _alike(factor.array, alpha) and _alike(beta.array, other):
            names = {"alpha": alpha_name} | ({"beta": beta_name} if beta_name != alpha_name else {})
            weights = {entry: Constant(held[name], frozenset([name]), True) for entry, name in names.items()}
            full = factor.array.shape
            return {"weights": weights, "logarithmic": logarithmic, "shape": tuple(full)}
    return None


def _alike(one, other):
    return one.numel() == other.numel() and torch.allclose(one.reshape(-1), other.reshape(-1), rtol=1e-5, atol=0)


def _rotated_attention(call, trace):
    """Queries and keys that are rotated by their positions before they meet."""
    if not _is(call, "scaled_dot_product_attention"):
        return
    (query, base), (key, of_key) = _unrotated(call.args[0]), _unrotated(call.args[1])
    if base is not None and base == of_key:
        call.args, call.kwargs = (query, key, *call.args[2:]), {**call.kwargs, "rotary_base": base}


def _unrotated(call):
    """What `x*cos + cat(-x2, x1)*sin` rotates, and the base of the angles."""
    for straight, crossed in _sides(call, "add"):
        for x, cosines in _sides(straight, "mul"):
            for halves, sines in _sides(crossed, "mul"):
                tables = isinstance(cosines, Constant) and isinstance(sines, Constant)
                if tables and isinstance(x, Call) and _halves_of(halves) is x:
                    return x, rotary(cosines, sines)
    return call, None


def _halves_of(call):
    """What `cat([-x[..., size/2:], x[..., :size/2]], -1)` is made of."""
    if not _is(call, "cat") or len(call.args[0]) != 2 or call.args[1:] not in ((-1,), (3,)):
        return None
    second, first = call.args[0]
    if not _is(second, "neg") or not _is(second.args[0], "slice") or not _is(first, "slice"):
        return None
    x, *from_half = second.args[0].args
    half = x.shape[-1] // 2
    is_so = first.args[0] is x and from_half[0] in (-1, 3) and from_half[1] == half
    return x if is_so and first.args[1] == from_half[0] and first.args[2:] in ((0, half), (None, half)) else None
