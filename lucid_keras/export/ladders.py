"""Which recipes a device takes, from the smallest files up."""

from typing import Literal

Device = Literal["phone-cpu", "phone-gpu", "npu", "browser", "micro"]

# Which layers stay in float32: none; those whose arithmetic integers hold badly, as where a device takes floating point
# too; or as few as the floor needs.
Kept = Literal["none", "floating", "fewest"]
CPU: list[tuple[str, Kept]] = [
    ("weight_only_int4", "none"),
    ("dynamic_int8", "none"),
    ("int8", "none"),
    ("weight_only_int8", "none"),
    ("dynamic_int8", "fewest"),
    ("int8", "fewest"),
    ("float16", "none"),
    ("float32", "none"),
]
INTEGERS: list[tuple[str, Kept]] = [
    ("int8", "none"),
    ("int16x8", "none"),
    ("int16x8", "floating"),
    ("int8", "fewest"),
]
# The recipes' names, and what stays in float32.
LADDERS: dict[str, list[tuple[str, Kept]]] = {
    "phone-cpu": CPU,
    "browser": CPU,
    "phone-gpu": [("float16", "none"), ("float32", "none")],
    "npu": INTEGERS,
    "micro": [*INTEGERS, ("float32", "none")],
}
IN_INTEGERS = ("npu", "micro")  # they are given integers, and give integers
