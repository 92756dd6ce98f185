"""Where a stream's latency and its states come from, layer by layer, as a table of text with a bar for the delay."""

import math

import numpy as np

WIDTH = 24  # of the longest bar in characters
HEADER = ("layer", "adds", "latency", "states", "the signal's delay")


def description(nodes, output, states, sample_rate=None):
    """The table as text: what each layer adds to the latency, in samples of the output, and the bytes that it keeps.

    Args:
        nodes: the `graph.Node`s.
        output: the output's `Signal`.
        states: the specs of the states by name.
        sample_rate: of the output, samples a second, for milliseconds; or None.
    """
    rows = []
    for node in nodes:
        if node.stage is not None:
            before = max(_latency(place.signal, output) for place in node.inputs if place.signal)
            after = _latency(node.outputs[0].signal, output)
            kept = sum(_bytes(states[name]) for name in node.state_names.values())
            rows.append((node.name, max(after - before, 0), after, kept))
    told = [row for row in rows if row[1] or row[3]]
    longest = max((row[2] for row in told), default=0)
    cells = [
        (name, _samples(adds), _samples(after, sample_rate), f"{kept:,} B" if kept else "", _bar(after, longest))
        for name, adds, after, kept in told
    ]
    widths = [max(len(row[index]) for row in [HEADER, *cells]) for index in range(len(HEADER))]
    lines = [_line(HEADER, widths), *(_line(row, widths) for row in cells)]
    total = sum(map(_bytes, states.values()))
    return "\n".join([*lines, f"latency {_samples(output.latency, sample_rate)}, {total:,} bytes of states a stream"])


def _latency(signal, output):
    """A latency in samples of the output."""
    return max(signal.latency, 0) * output.rate / signal.rate


def _bytes(spec):
    return math.prod(spec.shape) * np.dtype(spec.dtype.as_numpy_dtype).itemsize


def _samples(count, sample_rate=None):
    text = f"{float(count):,.10g}" if count else ""
    return f"{text or 0} ({1000 * float(count) / sample_rate:.1f} ms)" if sample_rate else text


def _bar(count, longest):
    return "" if not longest else "#" * round(WIDTH * count / longest)


def _line(row, widths):
    name, *numbers, bar = row
    middle = "  ".join(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=False))
    return f"{name.ljust(widths[0])}  {middle}  {bar}".rstrip()
