"""Which recipes a device takes, from the smallest files up."""

from typing import Literal

Device = Literal["phone-cpu", "phone-gpu", "npu", "browser", "micro"]

# A recipe's name, and whether as few layers as the floor needs may stay in float32.
CPU = [
    ("weight_only_int4", False),
    ("dynamic_int8", False),
    ("int8", False),
    ("weight_only_int8", False),
    ("dynamic_int8", True),
    ("int8", True),
    ("float16", False),
    ("float32", False),
]
LADDERS: dict[str, list[tuple[str, bool]]] = {
    "phone-cpu": CPU,
    "browser": CPU,
    "phone-gpu": [("float16", False), ("float32", False)],
    "npu": [("int8", False), ("int16x8", False), ("int8", True)],
    "micro": [("int8", False), ("int16x8", False), ("int8", True), ("float32", False)],
}
IN_INTEGERS = ("npu", "micro")  # they are given integers, and give integers
