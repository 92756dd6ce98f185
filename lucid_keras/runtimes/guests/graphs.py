"""The graphs of a `.tflite` file: how many operators each has, and which signature it is. Standard library alone."""

import pathlib
import struct

# Fields of the schema's tables, by position.
SUBGRAPHS, SIGNATURES = 2, 7  # of Model
OPERATORS = 3  # of SubGraph
KEY, GRAPH = 2, 4  # of SignatureDef


class Graphs:
    """What stands in a file.

    Args:
        path: the file.

    Raises:
        ValueError: it is none.

    Attributes:
        operators: how many each graph has.
        signatures: the number of each signature's graph by its name, the first graph's first.
    """

    def __init__(self, path):
        try:
            self._content = pathlib.Path(path).read_bytes()
            model = self._followed(0)
            self.operators = [len(self._tables(graph, OPERATORS)) for graph in self._tables(model, SUBGRAPHS)]
            numbers = {self._text(one, KEY): self._number(one, GRAPH) for one in self._tables(model, SIGNATURES)}
        except (OSError, struct.error, TypeError, UnicodeDecodeError) as error:
            raise ValueError(f"The file must be a whole .tflite file. Received: {path}: {error}") from None
        self.signatures = dict(sorted(numbers.items(), key=lambda one: one[1]))

    def _read(self, kind, position):
        return struct.unpack_from(f"<{kind}", self._content, position)[0]

    def _followed(self, position):
        return position + self._read("I", position)

    def _field(self, table, index):
        """Where a table has a field; None where it is left out."""
        fields = table - self._read("i", table)
        beyond = 4 + 2 * index >= self._read("H", fields)
        offset = 0 if beyond else self._read("H", fields + 4 + 2 * index)
        return table + offset if offset else None

    def _tables(self, table, index):
        field = self._field(table, index)
        if field is None:
            return []
        vector = self._followed(field)
        return [self._followed(vector + 4 + 4 * one) for one in range(self._read("I", vector))]

    def _text(self, table, index):
        at = self._followed(self._field(table, index))
        return self._content[at + 4 : at + 4 + self._read("I", at)].decode()

    def _number(self, table, index):
        field = self._field(table, index)
        return 0 if field is None else self._read("I", field)
