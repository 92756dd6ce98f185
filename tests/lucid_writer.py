"""A writer of `.lucid` files for the tests, from the format's description alone."""

import io
import json
import pickle


class Tensor:
    """What stands for a Lucid tensor while it is pickled."""

    def __init__(self, array, dtype_name=None, device="cpu"):
        self.array, self.dtype_name, self.device = array, dtype_name or array.dtype.name, device


class _Pickler(pickle.Pickler):
    version = 2

    def persistent_id(self, obj):
        if not isinstance(obj, Tensor):
            return None
        shared = (list(obj.array.shape), obj.dtype_name, obj.device, obj.array.tobytes())
        return ("tensor_v3", *shared) if self.version == 2 else ("tensor", *shared, obj.array.dtype.str)


def lucid_bytes(obj, version=2, protocol=4, **more):
    """The bytes of a `.lucid` file around `obj`, whose tensors are `Tensor`s."""
    stream = io.BytesIO()
    pickler = _Pickler(stream, protocol=protocol)
    pickler.version = version
    pickler.dump({"_lucid_format": version, "obj": obj, **more})
    return stream.getvalue()


def write_sharded(directory, shards):
    """A sharded checkpoint: one `.lucid` file for each dict in `shards`, and their index."""
    directory.mkdir()
    index = []
    for number, shard in enumerate(shards):
        file = f"shard-{number:05d}-of-{len(shards):05d}.lucid"
        (directory / file).write_bytes(lucid_bytes(shard))
        index.append({"file": file, "keys": list(shard)})
    (directory / "index.json").write_text(json.dumps({"_lucid_sharded": 1, "shards": index}))
