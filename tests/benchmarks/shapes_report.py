"""Shapes drawn at random, out of `shapes.json`, as the lines of their page and a picture: a roofline."""

import json
import statistics

from benchmarks.marked import write
from benchmarks.model_cases import ROOT
from benchmarks.shapes import RECIPES, RESULTS

PAGE = ROOT / "docs/speed/shapes.md"
PICTURE = PAGE.with_suffix(".png")
COMMAND = "python -m benchmarks.shapes_report"
SIZES = ("in_channels", "out_channels", "kernel_size", "stride", "groups", "dilation")
TARGET = 1.15  # of the ceiling, for wide layers: they multiply less than the product
FLOOR = 0.6  # of the ceiling: what is below it is listed
COLOURS = dict(zip(RECIPES, ("tab:blue", "tab:orange", "tab:green"), strict=True))


def page(results):
    """Markdown: wide layers, how the shares of each recipe are spread, and every shape below the floor."""
    machine, shapes = results["machine"], results["shapes"]
    return [
        f"{machine['processor']}, {machine['threads']} threads; {len(shapes)} shapes.",
        "",
        *_wide(results["wide"]),
        "",
        *_spread(shapes),
        "",
        "| in, out, taps, stride, groups, dilation | length, batch | recipe | share | ms | multiplications a byte "
        "| partitions |",
        "|---|---|---|---:|---:|---:|---:|",
        *(_row(one) for one in sorted(shapes, key=lambda one: one["share"]) if one["share"] < FLOOR),
    ]


def _wide(wide):
    yield f"| wide layers in float32, {TARGET:g} of the ceiling asked | length | share of the ceiling | ms | |"
    yield "|---|---:|---:|---:|---|"
    for name, one in wide.items():
        verdict = "met" if one["share"] >= TARGET else "**missed**"
        yield f"| {name} | {one['length']} | {one['share']:.2f} | {one['milliseconds']:.2f} | {verdict} |"


def _spread(shapes):
    yield f"| recipe | shapes | share of the ceiling: a tenth below | median | a tenth above | below {FLOOR:g} |"
    yield "|---|---:|---:|---:|---:|---:|"
    for recipe in RECIPES:
        shares = [one["share"] for one in shapes if one["recipe"] == recipe]
        low, *_, middle, _, _, _, high = statistics.quantiles(shares, n=10)
        below = sum(share < FLOOR for share in shares)
        yield f"| {recipe} | {len(shares)} | {low:.2f} | {middle:.2f} | {high:.2f} | {below} |"


def _row(one):
    sizes = ", ".join(str(one[name]) for name in SIZES)
    cells = (sizes, f"{one['length']}, {one['batch']}", one["recipe"], f"{one['share']:.2f}",
             f"{one['milliseconds']:.2f}", f"{intensity(one):.0f}", one["partitions"])  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def intensity(one):
    """Multiplications a byte of input, weight and output."""
    return one["multiplications"] / one["bytes"]


def draw(results, path):
    """Each shape's share of the ceiling over its multiplications a byte; groups as crosses."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    axis = figure.subplots()
    for recipe, colour in COLOURS.items():
        for in_groups, marker in ((False, "o"), (True, "x")):
            chosen = [one for one in results["shapes"] if one["recipe"] == recipe and (one["groups"] > 1) == in_groups]
            label = f"{recipe}{', in groups' if in_groups else ''}"
            points = [intensity(one) for one in chosen], [one["share"] for one in chosen]
            axis.scatter(*points, s=18, c=colour, marker=marker, alpha=0.7, label=label)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.axhline(FLOOR, color="black", linewidth=0.8, linestyle="dotted")
    axis.set(xscale="log", yscale="log", xlabel="multiplications a byte of input, weight and output",
             ylabel="the product's time over the layer's")  # fmt: skip
    axis.yaxis.set_major_formatter("{x:g}")
    axis.legend(fontsize=8, ncols=3)
    figure.savefig(path, dpi=100)


def main():
    """Write the page's lines and its picture."""
    results = json.loads(RESULTS.read_text())
    write(PAGE, COMMAND, page(results))
    draw(results, PICTURE)


if __name__ == "__main__":
    main()
