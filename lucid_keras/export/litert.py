"""Running a `.tflite` file under LiteRT: its outputs, its operators, what the delegate takes, how long it needs."""

import collections
import dataclasses
import statistics
import time

DELEGATE = "DELEGATE"


@dataclasses.dataclass(frozen=True)
class Coverage:
    """The operators of a file, by name and in order, and how many of them the XNNPACK delegate runs."""

    ops: tuple[str, ...]
    delegated: int
    partitions: int

    @property
    def share(self):
        """Delegated operators over all operators."""
        return self.delegated / len(self.ops) if self.ops else 1.0

    def counts(self):
        """How often each operator occurs."""
        return dict(collections.Counter(self.ops))


def interpreter(content, threads=2):
    """A LiteRT interpreter over the bytes of a file, XNNPACK applied, its tensors allocated."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise ImportError("running a .tflite file needs LiteRT: pip install 'lucid_keras[export]'") from None
    loaded = Interpreter(model_content=content, num_threads=threads)
    loaded.allocate_tensors()
    return loaded


def coverage(loaded):
    """What XNNPACK took of an interpreter's graph: the operators between each delegate node's inputs and outputs."""
    nodes = loaded._get_ops_details()  # the only way to the nodes from Python; covered by a test
    delegates = [node for node in nodes if node["op_name"] == DELEGATE]
    operators = [node for node in nodes if node["op_name"] != DELEGATE]
    producer = {tensor: node["index"] for node in operators for tensor in node["outputs"]}
    by_index = {node["index"]: node for node in operators}
    taken = set()
    for delegate in delegates:
        borders = set(delegate["inputs"])
        pending = list(delegate["outputs"])
        while pending:
            tensor = pending.pop()
            node = producer.get(tensor)
            if tensor in borders or node is None or node in taken:
                continue
            taken.add(node)
            pending.extend(by_index[node]["inputs"])
    return Coverage(tuple(node["op_name"] for node in operators), len(taken), len(delegates))


def milliseconds(invoke, seconds=1.0, least=10):
    """The median time of `invoke()` in milliseconds, over `least` calls or as many as fit in `seconds`."""
    invoke()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        invoke()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)
