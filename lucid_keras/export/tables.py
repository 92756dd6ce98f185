"""What a report, `inspect` and `verify` tell, as rows, and as tables for the terminal."""

import math


def decibels(value):
    """A ratio as text; infinite where nothing differs."""
    return "exact" if value == math.inf else f"{value:.1f} dB"


OUTPUT_HEADER = ("signature and output", "SNR", "worst channel", "max error", "peak", "lengths", "samples")


def output_rows(outputs):
    """The rows under `OUTPUT_HEADER`."""
    for one in outputs:
        worst = "" if one.channel is None else f"{decibels(one.channel_db)} ({one.channel})"
        lengths = ", ".join(map(str, one.lengths))
        numbers = (f"{one.max_error:.3g}", f"{one.peak:.3g}", lengths, one.samples)
        yield (f"{one.signature}: {one.name}", decibels(one.snr_db), worst, *numbers)


RUNTIME_HEADER = ("runtime", "SNR", "operators", "ms", "call")


def runtime_rows(proofs):
    """The rows under `RUNTIME_HEADER` of what runtimes found: `RuntimeProof`s, or an `ExportReport`'s own."""
    for one in proofs:
        if getattr(one, "refusal", ""):
            yield (one.runtime, "refused", one.refusal, "", "")
            continue
        time = "" if math.isnan(one.milliseconds) else f"{one.milliseconds:.3g}"
        coverage = one.coverage if isinstance(one.coverage, str) else one.coverage()
        yield (one.runtime, decibels(one.snr_db), coverage, time, str(one.conditions))


def runtime_table(proofs, **options):
    """The runtimes as a table for the terminal, which leaves the conditions out."""
    return rich_table(RUNTIME_HEADER[:-1], [row[:-1] for row in runtime_rows(proofs)], **options)


CURVE_HEADER = ("recipe", "layers in float32", "SNR", "MB", "ms", "partitions", "operators outside")


def curve_rows(points):
    """The rows under `CURVE_HEADER` of what was tried, a recipe after the other, by the layers in float32."""
    order = list(dict.fromkeys(one.recipe for one in points))
    for one in sorted(points, key=lambda one: (order.index(one.recipe), len(one.kept))):
        numbers = (f"{one.bytes / 1e6:.3g}", f"{one.milliseconds:.3g}", one.partitions, one.outside)
        yield (one.recipe, len(one.kept), decibels(one.snr_db), *numbers)


def curve_table(points):
    """What was tried as a table for the terminal."""
    return rich_table(CURVE_HEADER, curve_rows(points), title="tried")


PRODUCTS_HEADER = ("layer", "multiplications", "of which are left", "share")


def product_rows(fewer):
    """The rows under `PRODUCTS_HEADER` of `FewerProducts`, for each length or chunk one."""
    return [(one.name, f"{one.before:,}", f"{one.after:,}", f"{one.after / one.before:.0%}") for one in fewer]


def signature_rows(described):
    """A row for each tensor of signatures that are described by name."""
    return [(name, kind, text) for name, both in described.items() for kind, texts in both.items() for text in texts]


def rich_table(header, rows, **options):
    """A table for the terminal; in a column whose heading is a `rich.table.Column`, as that says."""
    from rich.table import Table

    table = Table(*header, **options)
    for row in rows:
        table.add_row(*map(str, row))
    return table


def output_table(outputs):
    """The outputs as a table for the terminal, which has no room for the last column; names give way to numbers."""
    from rich.table import Column

    name, *numbers = OUTPUT_HEADER[:-1]
    header = [Column(name, overflow="fold"), *(Column(number, no_wrap=True) for number in numbers)]
    return rich_table(header, [row[:-1] for row in output_rows(outputs)])
