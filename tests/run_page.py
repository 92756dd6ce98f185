"""Run the Python blocks of a Markdown page in order, in one namespace: `python tests/run_page.py README.md`."""

import pathlib
import re
import sys


def run_page(path):
    namespace: dict = {}
    blocks = re.findall(r"^```python\n(.*?)^```", pathlib.Path(path).read_text(), re.DOTALL | re.MULTILINE)
    for block in blocks:
        exec(compile(block, str(path), "exec"), namespace)
    return len(blocks)


if __name__ == "__main__":
    print(f"{run_page(sys.argv[1])} blocks of {sys.argv[1]} ran")
