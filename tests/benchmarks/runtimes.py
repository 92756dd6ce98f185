"""What runs where, out of what `pytest -m runtimes` leaves in `saved_models/runtimes/`: recipes by runtimes."""

import json
import pathlib

from benchmarks.marked import write

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / "saved_models" / "runtimes"
PAGE = ROOT / "docs" / "reference" / "what_runs_where.md"
COMMAND = "python -m benchmarks.runtimes"
# The heading and what it is, by the beginning of the files' names.
KINDS = {
    "layers": "Every case of the registry, side by side in one file",
    "decoder": "The golden decoder",
    "open length": "The golden decoder, exported with an open length",
    "integers in and out": "The golden decoder, exported with integers in and out",
    "SavedModel": "The golden decoder as a SavedModel",
    "StableHLO": "The golden decoder as StableHLO",
    "live": "A live decoder, its states in and out",
    "live vocoder": "A live vocoder that looks ahead, HiFi-GAN in small, its states in and out",
    "live with variables": "A live decoder that keeps its states",
    "golden live explicit": "The golden live file, its states in and out",
    "golden live variables": "The golden live file that keeps its states",
    "golden live dynamic_int8": "The golden live file in dynamic_int8",
}


def lines(results):
    """Markdown: a table for each kind of file, and the sentences that it refers to.

    Args:
        results: the rows of each runtime by (kind, recipe).
    """
    sentences, written = {}, []
    for kind, title in KINDS.items():
        rows = {recipe: found for (one, recipe), found in results.items() if one == kind}
        if not rows:
            continue
        names = [row["name"] for row in next(iter(rows.values()))]
        written += [f"## {title}", "", f"| recipe | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
        written += [
            f"| {recipe} | {' | '.join(_cell(one, sentences) for one in found)} |" for recipe, found in rows.items()
        ]
        written.append("")
    written += ["## Why not", ""]
    written += [f"{number}. {sentence}" for sentence, number in sentences.items()]
    return [*written, "", "## Which they are", "", *_versions(results)]


def _cell(row, sentences):
    if row["refusal"]:
        return f"no ({sentences.setdefault(row['refusal'], len(sentences) + 1)})"
    ratio = "exact" if row["snr_db"] is None else f"{row['snr_db']:.0f}"
    share = row["coverage"].partition(";")[0].partition(" on ")[0]
    taken, _, total = share.partition(" of ")
    return ratio if taken == total else f"{ratio} ({share})"


def _versions(results):
    runtimes = {row["name"]: row["runtime"] for found in results.values() for row in found if not row["refusal"]}
    return [f"- `{name}`: {runtime}" for name, runtime in runtimes.items()]


def results():
    """What lies in the folder, in the order of the recipes."""
    from lucid_keras.export.recipes import RECIPES

    found = {}
    for kind in KINDS:
        for recipe in RECIPES:
            path = RESULTS / f"{kind}-{recipe}.json"
            if path.is_file():
                found[kind, recipe] = json.loads(path.read_text())
    return found


if __name__ == "__main__":
    write(PAGE, COMMAND, lines(results()))
    print(f"written: {PAGE.relative_to(ROOT)}")
