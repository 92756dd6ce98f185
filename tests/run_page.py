"""Run the Python blocks of a Markdown page in order, in one namespace: `python tests/run_page.py README.md`."""

import pathlib
import re
import sys

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)  # its language and its code


def run_python(code, page, names):
    exec(compile(code, page, "exec"), names)


def run_page(path):
    names = {"__name__": "__main__"}
    blocks = [code for language, code in BLOCK.findall(pathlib.Path(path).read_text()) if language == "python"]
    for code in blocks:
        run_python(code, str(path), names)
    return len(blocks)


if __name__ == "__main__":
    print(f"{run_page(sys.argv[1])} blocks of {sys.argv[1]} ran")
