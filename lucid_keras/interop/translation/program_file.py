"""Programs that `torch.export.save` wrote, loaded only where loading them executes nothing of the file's.

`torch.export.load` unpickles tensors that say so and falls back to unpickling anything, evaluates expressions of sizes
as Python, and looks functions up by name; a program's guards are Python too, and are never run here.
"""

import io
import json
import os
import re

import torch

from lucid_keras._untrusted import DAMAGED, archive_in, content_of, unique

OPERATION = re.compile(r"torch\.ops\.aten\.(?!from_file\b)\w+\.\w+|_operator\.\w+|torch\.sym_\w+|math\.\w+")
# Names of sizes, whole numbers, and what torch makes of them: s77, Mul(Integer(2), Symbol('s77', integer=True)).
EXPRESSION = re.compile(
    r"(?:Symbol\('[a-z]{1,3}\d++'(?:, [a-z]++=True)*+\)|[A-Z][A-Za-z]*+\(|[a-z]{1,3}\d++|(?!\*\*)[\d\s()*+,/-])*+"
)
# What such an archive holds beside compiled code.
MEMBER = re.compile(
    r"[^/]+/(?:models/[^/]+\.json|data/(?:weights|constants|sample_inputs)/[^/]+|extra/.+|\.data/[^/]+"
    r"|archive_format|archive_version|byteorder|version)"
)


def loaded(path: str | os.PathLike[str]) -> torch.export.ExportedProgram:
    """The program in a `.pt2` file; raises ValueError for one that is damaged or would have to execute code."""
    content = content_of(path)
    try:
        with archive_in(content) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        documents = [
            json.loads(raw, object_pairs_hook=unique) for name, raw in members.items() if name.endswith(".json")
        ]
    except (*DAMAGED, ValueError) as error:
        raise ValueError(f"a .pt2 file must be what torch.export.save writes. Received: {path} ({error})") from None
    unknown = [name for name in members if not MEMBER.fullmatch(name)]
    if unknown or not any("/models/" in name for name in members):
        raise ValueError(
            "a .pt2 file must be what torch.export.save writes, without compiled code. "
            f"Received: {path} with {', '.join(unknown[:3]) or 'no model'}"
        )
    for document in documents:
        _check(path, document)
    try:
        for name, raw in members.items():
            if "/sample_inputs/" in name and raw:
                torch.load(io.BytesIO(raw), weights_only=True)
        return torch.export.load(io.BytesIO(content))
    except Exception as error:  # torch documents none
        raise ValueError(
            f"a .pt2 file must hold a program that loads without its own code. Received: {path} ({error})"
        ) from None


def _check(path, document):
    """Raise where a document names what would be executed."""
    pending = [("", document)]
    while pending:
        key, value = pending.pop()
        if isinstance(value, dict):
            pending += value.items()
        elif isinstance(value, list):
            pending += [(key, one) for one in value]
        is_code = (
            (key == "use_pickle" and value is True)
            or (key == "target" and isinstance(value, str) and not OPERATION.fullmatch(value))
            or (key == "expr_str" and not (isinstance(value, str) and EXPRESSION.fullmatch(value)))
        )
        if is_code:
            raise ValueError(
                "a .pt2 file must hold tensors and operations of PyTorch alone, for nothing else can be loaded without "
                f"executing it. Received: {path} with {key}={value!r}"
            )
