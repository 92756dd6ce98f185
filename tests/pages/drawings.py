"""The drawings of `docs/explanation/`, from the geometry that computes: `python -m pages.drawings` writes them.

A column is an output position, a row an input position; a square is a tap where it lands, in the colour of its phase.
"""

import pathlib

from lucid_keras._geometry import ConvTranspose1dGeometry

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "explanation"
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")  # told apart by the colour-blind too
SIDE, LEFT, TOP = 26, 84, 34
LENGTH = 4  # input positions


def landing(stride, kernel_size, padding=0, dilation=1):
    """Where each tap of each input position lands, and which phase it belongs to."""
    geometry = ConvTranspose1dGeometry(1, 1, kernel_size, stride, padding, 0, 1, dilation)
    extent = geometry.output_length(LENGTH) + 2 * padding
    blocks = -(-extent // stride)
    shapes = [_text(LEFT - 8, TOP - 12, "output", "end")]
    shapes += [_text(LEFT + SIDE * (u + 0.5), TOP - 12, u - padding) for u in range(padding, extent - padding)]
    for row in range(LENGTH):
        shapes.append(_text(LEFT - 8, TOP + SIDE * (row + 0.7), f"input {row}", "end"))
        for tap in range(kernel_size):
            u = row * stride + tap * dilation
            faint = not padding <= u < extent - padding
            shapes.append(_square(u, row, COLOURS[u % stride % len(COLOURS)], tap, faint))
    bottom = TOP + SIDE * LENGTH
    for block in range(blocks):
        middle = LEFT + SIDE * stride * (block + 0.5)
        shapes += [_text(middle, bottom + 22, f"block {block}"), _line(block * stride, bottom)]
    shapes.append(_line(blocks * stride, bottom))
    return _page(LEFT + SIDE * blocks * stride + 10, bottom + 34, shapes)


def _square(column, row, colour, tap, faint):
    x, y, opacity = LEFT + SIDE * column, TOP + SIDE * row, 0.25 if faint else 1
    square = f'<rect x="{x + 1}" y="{y + 1}" width="{SIDE - 2}" height="{SIDE - 2}" rx="3" fill="{colour}"'
    return f'{square} opacity="{opacity}"/>' + _text(x + SIDE / 2, y + SIDE * 0.7, f"w{tap}", fill="#ffffff")


def _line(column, bottom):
    x = LEFT + SIDE * column
    return f'<line x1="{x}" y1="{TOP - 6}" x2="{x}" y2="{bottom + 8}" stroke="#888888" stroke-dasharray="3 3"/>'


def _text(x, y, text, anchor="middle", fill="#777777"):
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{fill}">{text}</text>'


def _page(width, height, shapes):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
    return "\n".join([f'{head} font-family="sans-serif" font-size="12">', *shapes, "</svg>", ""])


DRAWINGS = {
    "phases": lambda: landing(stride=3, kernel_size=6),
    "phases_cut": lambda: landing(stride=2, kernel_size=4, padding=1),
    "phases_dilated": lambda: landing(stride=3, kernel_size=3, dilation=2),
}

if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (FOLDER / f"{name}.svg").write_text(draw())
