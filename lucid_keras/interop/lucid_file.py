"""Lucid's checkpoint files, single and sharded, read without Lucid and without trusting them.

A `.lucid` file is a pickle of `{"_lucid_format": 1 or 2, "obj": <state dict>, ...}` in which each tensor is a
persistent id `("tensor_v3", shape, dtype, device, bytes)`, or in older files `("tensor", ..., numpy_dtype)`; a sharded
checkpoint is a directory of them with an `index.json`. A pickle is a program, so it is read twice: first its
operations are checked one by one without running any, then an unpickler that knows one class and nothing else runs
them.
"""

import io
import json
import pathlib
import pickle
import pickletools

from lucid_keras._untrusted import array_of, content_of, unique

FORMATS = (1, 2)
MAX_OPERATIONS = 1_000_000  # about 25 a tensor; each may cost some 100 bytes
MAX_DEPTH = 32
MAX_INDEX_BYTES = 64 << 20

# What a pickle of dicts, lists, tuples, numbers, strings, bytes and OrderedDict consists of, protocol 3 and later.
OPERATIONS = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
        *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("APPEND", "APPENDS", "SETITEM", "SETITEMS"),
        *("MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
        *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID"),
    )
)
FILLING = frozenset(("APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD"))  # put into what is there, make nothing new
SHAREABLE = ("UNICODE", "BYTES", "GLOBAL")  # in the names of the operations that make text, bytes and classes
MARK = object()

# All that the standard unpickler and the checks below are known to raise for a stream that is not what it should be.
UNREADABLE = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError, OverflowError),
    *(RecursionError, MemoryError),
)


def read_lucid(path):
    """The object in a `.lucid` file."""
    return loads(content_of(path), path)


def loads(content, name="<bytes>"):
    """The object in the bytes of a `.lucid` file; raises ValueError for anything else, having run nothing of it."""
    try:
        check_operations(content)
        container = _Unpickler(content).load()
    except UNREADABLE as error:
        raise ValueError(f"{name} is not a readable .lucid file: {error!s:.500}") from error
    if type(container) is not dict or container.get("_lucid_format") not in FORMATS or "obj" not in container:
        raise ValueError(
            f"a .lucid file must hold a dict with _lucid_format 1 or 2 and an obj. Received: {name}, which holds "
            + (f"the keys {_shown(container)}" if type(container) is dict else type(container).__name__)
        )
    return container["obj"]


def check_operations(content):
    """Raise ValueError unless every operation of a pickle is harmless in kind, in size and in number.

    Lengths are checked against the bytes that are there, memo places against the operations so far, nesting against
    `MAX_DEPTH`; and only text, bytes and classes may be taken from the memo again, so that the result is a tree: no
    cycle, and nothing whose size or hash grows exponentially.
    """
    memo: dict[object, str] = {}
    stack: list[object] = []
    made = ""  # the operation that made the object on top of the stack
    for count, (operation, argument, position) in enumerate(pickletools.genops(content)):
        if operation.name not in OPERATIONS:
            raise ValueError(f"the operation {operation.name} at byte {position} has no place in a state dict")
        if count >= MAX_OPERATIONS:
            raise ValueError(f"a state dict needs at most {MAX_OPERATIONS} operations")
        match operation.name:
            case "MEMOIZE" | "BINPUT" | "LONG_BINPUT":
                place = len(memo) if argument is None else argument
                if place > count:
                    raise ValueError(f"the memo's place {place} at byte {position} is beyond the operations so far")
                memo[place] = made
            case "BINGET" | "LONG_BINGET":
                made = memo.get(argument, "")
                if not any(kind in made for kind in SHAREABLE):
                    raise ValueError(f"the object taken from the memo at byte {position} may not be shared")
                stack.append(0)
            case _:
                _apply(operation, stack, position)
                made = operation.name


def _apply(operation, stack, position):
    """Move `stack`, which holds the nesting depth of each object, as the operation would move the objects."""
    before, taken = operation.stack_before, []
    try:
        if pickletools.markobject in before:
            while (depth := stack.pop()) is not MARK:
                taken.append(depth)
            before = before[: before.index(pickletools.markobject)]
        taken += [stack.pop() for _ in before]
    except IndexError:
        taken = [MARK]
    if MARK in taken:
        raise ValueError(f"{operation.name} at byte {position} finds too little on the stack")
    if operation.name in FILLING:
        *contents, container = taken
        stack.append(max([container, *(1 + depth for depth in contents)]))
    else:
        for product in operation.stack_after:
            stack.append(MARK if product is pickletools.markobject else 1 + max(taken) if taken else 0)
    if stack and stack[-1] is not MARK and stack[-1] > MAX_DEPTH:
        raise ValueError(f"objects are nested more than {MAX_DEPTH} deep at byte {position}")


class _Ordered(dict):
    """What an OrderedDict in the file becomes: it takes no attributes, which might stand before a dict's methods."""

    __slots__ = ()

    def __setstate__(self, state):
        """Leaves out what Lucid's state dicts carry as an attribute, the modules' versions."""


class _Unpickler(pickle.Unpickler):
    """Knows OrderedDict and tensors; anything else that the stream names is refused."""

    def __init__(self, content):
        super().__init__(io.BytesIO(content))
        self._bytes_left = len(content)

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return _Ordered
        raise pickle.UnpicklingError(f"only dicts, lists, numbers and text are read, never {module}.{name}")

    def persistent_load(self, pid):
        if not isinstance(pid, tuple) or not pid or (pid[0], len(pid)) not in (("tensor_v3", 5), ("tensor", 6)):
            raise pickle.UnpicklingError("a persistent id must be a tensor of the kinds tensor_v3 or tensor")
        _, shape, dtype_name, _, raw = pid[:5]
        self._bytes_left -= len(raw) if isinstance(raw, (bytes, bytearray)) else 0
        if self._bytes_left < 0:
            raise pickle.UnpicklingError("the tensors hold more bytes than the file")
        return array_of(raw, shape, dtype_name)


def read_sharded(directory):
    """The merged state dict of a sharded checkpoint's directory."""
    index_path = directory / "index.json"
    if not index_path.is_file():
        raise ValueError(f"a sharded checkpoint must have an index.json. Received: the directory {directory}")
    if index_path.stat().st_size > MAX_INDEX_BYTES:
        raise ValueError(f"an index.json has at most {MAX_INDEX_BYTES} bytes. Received: {index_path}")
    try:
        index = json.loads(content_of(index_path), object_pairs_hook=unique)
        shards = [(shard["file"], shard["keys"]) for shard in index["shards"]]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ValueError(f"{index_path} is not the index of a sharded Lucid checkpoint: {error!s:.200}") from error
    if index.get("_lucid_sharded") != 1:
        raise ValueError(f"the index must say _lucid_sharded: 1. Received: {index_path}")
    merged: dict[str, object] = {}
    for file, keys in shards:
        if not isinstance(file, str) or pathlib.PurePath(file).name != file or file in ("", ".", ".."):
            raise ValueError(f"a shard must be a file beside its index. Received: file={file!r:.200}")
        shard = read_lucid(directory / file)
        if len(shards) == 1 and keys is None:
            return shard
        if not isinstance(shard, dict) or not isinstance(keys, list) or list(shard) != keys:
            raise ValueError(f"a shard must hold the keys that the index names. Received: {directory / file}")
        if merged.keys() & shard.keys():
            raise ValueError(f"a key must be in one shard. Received: {_shown(merged.keys() & shard.keys())}")
        merged.update(shard)
    return merged


def _shown(keys):
    return ", ".join(sorted(f"{key!s:.40}" for key in keys if isinstance(key, str))[:8])
