"""The HTML page of an export report: verdict, runtimes, outputs, pictures, and what is folded behind headings."""

import html
import string

from lucid_keras.export.accuracy import heard
from lucid_keras.export.pictures import error_per_layer, over_kept_layers, spectrograms, waveforms
from lucid_keras.export.tables import (
    CURVE_HEADER,
    OUTPUT_HEADER,
    PRODUCTS_HEADER,
    RUNTIME_HEADER,
    curve_rows,
    decibels,
    output_rows,
    product_rows,
    runtime_rows,
    signature_rows,
)

PAGE = string.Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #8c959f; --good: #116329; --ground: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --faint: #6e7681; --good: #56d364; --ground: #0d1117; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
body { color: var(--ink); background: var(--ground); }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2, summary { font-size: 1.15rem; font-weight: 600; }
h2 { margin-top: 2rem; } details { margin-top: 1rem; } summary { cursor: pointer; }
table { border-collapse: collapse; } th, td { padding: .3rem .9rem .3rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid var(--faint); font-weight: 600; } td { font-variant-numeric: tabular-nums; }
code { font-size: .9em; overflow-wrap: anywhere; }
.verdict { color: var(--good); font-weight: 600; } .wide { overflow-x: auto; }
@media (max-width: 40rem) { tr:first-child:has(th), tr:first-child:has(th) ~ tr { white-space: nowrap; } }
svg { display: block; width: 100%; min-width: 36rem; height: auto; }
</style><title>$name</title></head><body>
<h1>$name</h1>
$body
</body></html>
""")


def page(report):
    """An `ExportReport` as one self-contained HTML page; its pictures need matplotlib."""
    pictures, escape = _pictures(report), html.escape
    verdict = f"{decibels(report.snr_db)} against the Keras model; the floor is {report.floor_db:g} dB."
    verdict += f" Of a voice: {heard(report.snr_db)}."
    about = [fact for fact in report.facts() if fact[0] not in ("operators", "latency")]
    layers = [(one.name, decibels(one.snr_db), decibels(one.own_snr_db)) for one in report.layers]
    folded = {
        "Layers": (("layer", "SNR of its output", "SNR given exact inputs"), layers),
        "Operators": (("operator", "count"), report.counts().items()),
        "Fewer products": (PRODUCTS_HEADER, product_rows(report.fewer_products)),
        "Signatures": (("signature", "", "tensor"), signature_rows(report.signatures)),
        "Made with": ((), report.versions.items()),
    }
    parts = [
        f'<p class="verdict">{escape(verdict)}</p>',
        *(f"<p>Warning: {escape(warning)}</p>" for warning in report.warnings),
        _html_table((), about),
        "<h2>Runtimes</h2>",
        _html_table(RUNTIME_HEADER, runtime_rows([report, *report.elsewhere])),
        "<h2>Outputs</h2>",
        _html_table(OUTPUT_HEADER, output_rows(report.outputs)),
        *_curve(report.curve),
        *(f'<h2>{escape(title)}</h2><div class="wide">{drawn}</div>' for title, drawn in pictures),
    ]
    for title, (header, rows) in folded.items():
        if rows:
            parts.append(f"<details><summary>{title}</summary>{_html_table(header, rows)}</details>")
    if report.kind == "tflite":
        drawn = f"model-explorer {report.path.name}"
        parts.append(f"<p>The graph: <code>{escape(drawn)}</code> of <code>ai-edge-model-explorer</code> draws it.</p>")
    if report.sha256:
        parts.append(f"<p>SHA-256 <code>{report.sha256}</code></p>")
    return PAGE.substitute(name=escape(report.path.name), body="\n".join(parts))


def _curve(points):
    """What was tried, as a picture where there are several files of a recipe to draw."""
    if not points:
        return []
    drawn = f'<div class="wide">{over_kept_layers(points)}</div>' if any(one.kept for one in points) else ""
    return ["<h2>Tried</h2>", drawn, _html_table(CURVE_HEADER, curve_rows(points))]


def _pictures(report):
    """(title, SVG) of each that there is something to draw of."""
    drawn, (before, after) = [], report.example
    if before.size:
        drawn += [draw(before, after, report.time_axis) for draw in (waveforms, spectrograms)]
    if report.layers:
        drawn.append(error_per_layer(report.layers))
    return [one for one in drawn if one]


def _html_table(header, rows):
    cells = lambda tag, row: "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row)  # noqa: E731
    head = f"<tr>{cells('th', header)}</tr>" if header else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table>{head}{body}</table></div>'
