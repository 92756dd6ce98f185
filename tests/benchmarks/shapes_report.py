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
FLOOR = 0.6  # of the ceiling: what is below it is listed
COLOURS = dict(zip(RECIPES, ("tab:blue", "tab:orange", "tab:green"), strict=True))


def page(results):
    """Markdown: how the shares are spread for each recipe, and every shape below the floor."""
    machine, shapes = results["machine"], results["shapes"]
    lines = [
        f"{machine['processor']}, {machine['threads']} threads; {len(shapes)} shapes.",
        "",
        f"| recipe | shapes | share of the ceiling: a tenth below | median | a tenth above | below {FLOOR:g} |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for recipe in RECIPES:
        shares = [one["share"] for one in shapes if one["recipe"] == recipe]
        tenths = statistics.quantiles(shares, n=10)
        cells = (
            len(shares),
            f"{tenths[0]:.2f}",
            f"{tenths[4]:.2f}",
            f"{tenths[8]:.2f}",
            sum(s < FLOOR for s in shares),
        )
        lines.append(f"| {recipe} | {' | '.join(map(str, cells))} |")
    lines += ["", "| in, out, taps, stride, groups, dilation | length, batch | recipe | share | ms | multiplications a "
              "byte | partitions |", "|---|---|---|---:|---:|---:|---:|"]  # fmt: skip
    slow = [one for one in shapes if one["share"] < FLOOR]
    return [*lines, *(_row(one) for one in sorted(slow, key=lambda one: one["share"]))]


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
