"""`smallest_tflite`: recipes tried in turn, from the smallest file up, for the device that it is for."""

import os
import time
from collections.abc import Sequence
from typing import get_args

import keras

from lucid_keras._arguments import check_choice, number
from lucid_keras.export.attempt import Attempt
from lucid_keras.export.elsewhere import RuntimeName, chosen
from lucid_keras.export.files import checked_destination
from lucid_keras.export.ladders import IN_INTEGERS, LADDERS, Device
from lucid_keras.export.progress import doing
from lucid_keras.export.proof import BelowFloorError, Floor
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.report import CurvePoint, ExportReport
from lucid_keras.export.samples import Data
from lucid_keras.export.selection import fewest, tried
from lucid_keras.export.signatures import Length
from lucid_keras.export.tflite import check_tools, whole_task


def smallest_tflite(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    device: Device = "phone-cpu",
    floor_db: float = 25.0,
    calibration_data: Data | None = None,
    length: Length | None = None,
    verification_data: Data | None = None,
    time_limit: float = 1800.0,
    timing_seconds: float = 0.3,
    prove_on: Sequence[RuntimeName] = (),
) -> ExportReport:
    """Export a Keras model to the smallest `.tflite` file that a device takes and that reaches a floor.

    Args:
        model, path, length, verification_data, timing_seconds, prove_on: as `to_tflite`'s.
        device: what the file is for: `"phone-cpu"` (default), `"phone-gpu"`, `"npu"`, `"browser"` or `"micro"`, a
            microcontroller. NPUs and microcontrollers get integers in and out.
        floor_db: the least signal-to-noise ratio against the Keras model in dB. Default 25.
        calibration_data: as `to_tflite`'s; without it recipes for activations are left out.
        time_limit: seconds after which no further recipe of integers is begun: what is left are floating-point ones,
            for the devices that take them, and a warning. Default 1800.

    Returns:
        An `ExportReport`, whose `curve` holds what was tried.

    Raises:
        BelowFloorError: nothing that was tried reaches the floor; the message names the best.
        ValueError, TypeError, ImportError, OSError: as `to_tflite`; the device needs calibration data.

    Example:

    >>> import keras, lucid_keras as lk, tempfile
    >>> layer = lk.ConvTranspose1d(16, 16, kernel_size=4, stride=2, padding=1)
    >>> model = keras.Sequential([keras.Input((16, 32)), layer])
    >>> report = smallest_tflite(model, tempfile.mkdtemp() + "/up.tflite", floor_db=30)
    >>> [point.recipe for point in report.curve], report.snr_db > 30
    (['weight_only_int4', 'dynamic_int8'], True)
    """
    check_choice("device", device, get_args(Device))
    number("timing_seconds", timing_seconds, least=0)
    floor, until = number("floor_db", floor_db), time.monotonic() + number("time_limit", time_limit, least=0)
    ladder = _ladder(device, calibration_data)
    further, destination = chosen(prove_on, "tflite"), checked_destination(path)
    task = whole_task(model, length, verification_data, calibration_data)
    points, refusals, late, mixed = _tried(task, ladder, device, floor, until)
    if not points or points[-1].snr_db < floor:
        raise BelowFloorError(_nothing_holds(device, floor, points, [*refusals, *late]))
    attempt = Attempt(
        model, destination, mixed, task.claims, further, layers=lambda kept: (), compare_layers=False,
        exact_products=True,
        facts={
            "seconds": timing_seconds, "warnings": (*task.warnings_of(mixed), *late), "verified_on": task.verified_on
        },
    )  # fmt: skip
    recipe = points[-1].recipe
    return attempt.write_proven(points[-1].kept, Floor(floor, False, recipe), tuple(points))


def _ladder(device, calibration_data):
    """The recipes that can be tried; raises where their tools or all data are missing."""
    ladder = [one for one in LADDERS[device] if calibration_data is not None or not RECIPES[one[0]].calibrated]
    if not ladder:
        raise ValueError(
            f"{device!r} takes integers alone, whose ranges need calibration_data, samples of what the model will be "
            "given. Received: calibration_data=None"
        )
    for name, _ in ladder:
        check_tools(RECIPES[name])
    return ladder


def _tried(task, ladder, device, floor, until):
    """What was tried, the first that holds last; what could not be written; a sentence if the time did not suffice; and
    what writes the last."""
    writers = _Writers(task, device in IN_INTEGERS)
    points: list[CurvePoint] = []
    refusals: list[str] = []
    late: dict[str, None] = {}
    with doing(f"trying {len(ladder)} recipes for {device}", len(ladder)) as advance:
        for name, kept in ladder:
            if points and time.monotonic() > until and RECIPES[name].integers:
                late[name] = None
                continue
            try:
                mixed = writers[name]
                points += _found(mixed, kept, task.claims, floor, until)
            except ValueError as error:  # an operator that the recipe cannot write
                refusals.append(f"{name}: {error}")
                continue
            if points[-1].snr_db >= floor:
                return points, refusals, _untried(late), mixed
            if kept == "fewest" and time.monotonic() > until:
                late[name] = None
            advance()
    return points, refusals, _untried(late), None


def _found(mixed, kept, claims, floor, until):
    """What was tried of a recipe that was not tried before."""
    if kept == "none":
        return [tried(mixed, claims)]
    if kept == "floating":
        return [tried(mixed, claims, mixed.floating)] if mixed.floating else []
    return [one for one in fewest(mixed, claims, floor, until) if one.kept]


def _untried(late):
    return (f"time_limit: it had passed before all was tried of {', '.join(late)}",) if late else ()


class _Writers(dict):
    """What writes a task's file by the recipe's name: all recipes of integers from one conversion, calibrated once."""

    def __init__(self, task, in_integers):
        super().__init__()
        self._task, self._in_integers, self._contents = task, in_integers, {}

    def __missing__(self, name):
        recipe = RECIPES[name]
        if recipe.weights not in self._contents:
            self._contents[recipe.weights] = self._task.unquantized(recipe)
        content, integer_io = self._contents[recipe.weights], self._in_integers and recipe.calibrated
        self[name] = self._task.mixed(recipe, content, integer_io=integer_io)
        return self[name]


def _nothing_holds(device, floor, points, refusals):
    """The sentence for a floor that nothing reached."""
    parts = [f"A file for {device!r} must reach {floor:g} dB against the Keras model; nothing was written. Received: "]
    if points:
        best = max(points, key=lambda one: one.snr_db)
        kept = f" with {len(best.kept)} layers in float32" if best.kept else ""
        parts.append(f"{best.snr_db:.1f} dB at the best, {best.recipe}{kept}, of {len(points)} files tried")
    return "".join([*parts, *(f"; {refusal}" for refusal in refusals)])
