"""The one proof of every artefact: run what will lie on the disk, and compare it with the Keras model.

An exporter hands in what it claims, with the model's answers (`claims`), and the artefact opened by a runtime. What
comes back is the report; an artefact below its floor raises, and is not written.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn

import numpy as np

from lucid_keras._arguments import number
from lucid_keras._timing import cores, processor
from lucid_keras.export.accuracy import QUIET_DB, LayerAccuracy, OutputAccuracy, accuracy, snr_db
from lucid_keras.export.claims import Claim, lengths_of
from lucid_keras.export.coverage import coverage_warnings
from lucid_keras.export.float64 import exact_outputs
from lucid_keras.export.live import described, first_call, positions_of
from lucid_keras.export.progress import doing, each
from lucid_keras.export.recipes import Recipe
from lucid_keras.export.report import Conditions, ExportReport
from lucid_keras.export.versions import versions
from lucid_keras.runtimes.protocol import Runtime
from lucid_keras.streaming.contract import Streaming

SHOWN_DB = 6.0  # how much worse than the whole output a channel must be for that to hide it
BLAMED_DB = 20.0  # how much less than the output a layer may lose and be told of: several may add up
ROUNDING_DB = 3.0  # how much further from float64 than Keras itself an artefact may be where Keras misses the floor


class BelowFloorError(ValueError):
    """An artefact below its floor. What its export had found is kept: `retry` takes no more than another quantization.

    Example:

    >>> import keras, lucid_keras as lk, numpy as np, tempfile
    >>> layer = lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1, name="up")
    >>> model = keras.Sequential([keras.Input((4, 32)), layer])
    >>> try:
    ...     lk.export.to_tflite(model, tempfile.mkdtemp() + "/up.tflite", quantization="dynamic_int8", floor_db=90)
    ... except lk.export.BelowFloorError as refusal:
    ...     report = refusal.retry(float_layers=["up"], floor_db=90)
    >>> report.float_layers, report.snr_db > 110
    (('up',), True)
    """

    attempt: Any = None

    def retry(
        self, *, float_layers: Sequence[str] | Literal["auto"] = (), floor_db: float | None = None
    ) -> ExportReport:
        """Write the same file with other layers in float32, or to another floor.

        Args:
            float_layers, floor_db: as `to_tflite`'s.

        Returns:
            An `ExportReport`.

        Raises:
            BelowFloorError: it stays below the floor again.
            ValueError: what was refused is no export of a `.tflite` file; the model has no such layer.
            TypeError: an argument of the wrong type.
        """
        if self.attempt is None:
            raise ValueError("Only the refused export of a .tflite file can be tried again. Received: another artefact")
        return self.attempt.again(float_layers, floor_db)


@dataclasses.dataclass(frozen=True)
class Proof:
    """What was found: `OutputAccuracy` of every output, warnings, an output before and after, and its axis of time."""

    outputs: tuple[OutputAccuracy, ...]
    warnings: tuple[str, ...]
    example: tuple[np.ndarray, np.ndarray]
    time_axis: int | None


@dataclasses.dataclass(frozen=True)
class Floor:
    """The least signal-to-noise ratio in dB, and whether it gives way to what the model itself loses by rounding.

    `recipe` is the name of what the artefact was written in, whose numbers may lose `coarser_db` more than float32's
    do; `written`, that it lies on the disk already.
    """

    decibels: float
    yields: bool
    recipe: str = ""
    coarser_db: float = 0.0
    written: bool = False

    @classmethod
    def of(cls, given: float | None, recipe: Recipe) -> "Floor":
        """What the user asked for, which holds, or the recipe's, which asks for what can be had."""
        if given is None:
            return cls(recipe.floor_db, not recipe.integers, recipe.name, recipe.coarser_db)
        return cls(number("floor_db", given), False, recipe.name)


def proven(
    model,
    claims: Sequence[Claim],
    runtime: Runtime,
    floor: Floor,
    *,
    seconds: float,
    blame: Callable[[float], str] = lambda snr: "",
    layers: Callable[[], Sequence[LayerAccuracy]] = tuple,
    compare_layers: bool = False,
    warnings: Sequence[str] = (),
    **facts,
) -> ExportReport:
    """The report of an artefact that passes `prove`.

    Args:
        model, claims, runtime, floor, blame: as `prove`'s.
        seconds: how long a call is timed.
        layers: gives `LayerAccuracy` of the model's layers.
        compare_layers: whether they go into the report.
        warnings: what is known before.
        facts: the report's other fields.
    """
    proof = prove(model, claims, runtime, floor, blame=blame)
    coverage = runtime.coverage()
    signature, inputs = first_call(runtime, claims[0])
    with doing(f"timing in {runtime.name}"):
        median = runtime.milliseconds(signature, inputs, seconds)
    return ExportReport(
        kind=runtime.kind,
        quantization=floor.recipe,
        signatures={name: one.described() for name, one in runtime.signatures.items()},
        ops=coverage.ops,
        delegated=coverage.delegated,
        partitions=coverage.partitions,
        milliseconds=median,
        conditions=conditions(model, runtime, signature, inputs),
        runtime=f"{runtime.name} {runtime.version}",
        outputs=proof.outputs,
        floor_db=floor.decibels,
        stream=described(runtime.signatures),
        layers=tuple(layers()) if compare_layers else (),
        warnings=(*warnings, *proof.warnings, *coverage_warnings(model, runtime, claims[0])),
        versions=versions(),
        example=proof.example,
        time_axis=proof.time_axis,
        **facts,
    )


def conditions(model, runtime: Runtime, signature: str, inputs) -> Conditions:
    """Those of a call under a runtime."""
    positions = (positions_of(inputs, model),) if isinstance(model, Streaming) else None
    return Conditions(
        signature=signature,
        batch=len(next(iter(inputs.values()))),
        lengths=positions or lengths_of(model, [inputs]),
        threads=runtime.threads or cores(),
        device=runtime.device or processor(),
    )


def prove(
    model,
    claims: Sequence[Claim],
    runtime: Runtime,
    floor: Floor,
    *,
    blame: Callable[[float], str] = lambda snr: "",
) -> Proof:
    """Run every claim, and raise unless every output reaches the floor.

    Args:
        model: whose float64 self is asked where an artefact stays below a floor that yields.
        claims: what has to hold.
        runtime: the artefact, opened.
        floor: the least signal-to-noise ratio.
        blame: what the message says of what loses the most, for the ratio of the worst output; called before it raises.
    """
    proving = f"proving in {runtime.name}"
    results = [each(functools.partial(claim.run, runtime), claim.samples, proving) for claim in claims]
    outputs = [
        accuracy(
            claim.name,
            name,
            [reference[name] for reference in claim.references],
            [result.get(name) for result in given],
            claim.lengths,
            claim.time_axes.get(name),
        )
        for claim, given in zip(claims, results, strict=True)
        for name in claim.references[0]
    ]
    warnings = [_quiet_channel(one, floor) for one in outputs if _hidden(one, floor)]
    below = [one for one in outputs if one.snr_db < floor.decibels]
    if below:
        refuse = functools.partial(_refuse, floor=floor, blame=blame)
        warnings += _forgiven(below, claims, results, floor, model, refuse)
    first = next(iter(claims[0].references[0]))
    example = _longest(claims[0].references, results[0], first)
    return Proof(tuple(outputs), tuple(warnings), example, claims[0].time_axes.get(first))


def _longest(references, results, name):
    """The longest of an output's references, and its result."""
    pairs = [(one[name], other[name]) for one, other in zip(references, results, strict=True)]
    return max(pairs, key=lambda pair: pair[0].size)


def _hidden(one, floor):
    """Whether a channel, to the nearest dB, is too far below the floor to be of use, and the whole does not show it."""
    return one.channel_db < min(floor.decibels - QUIET_DB + 0.5, one.snr_db - SHOWN_DB)


def _quiet_channel(one, floor):
    return (
        f"channel {one.channel} of the output {one.name!r} of {one.signature!r} is at {one.channel_db:.1f} dB, "
        f"{QUIET_DB:g} dB and more below the floor of {floor.decibels:g}; louder channels hide it"
    )


def _forgiven(below, claims, results, floor, model, refuse):
    """A warning for each output that is below the floor by float32's own rounding; refuses for any other."""
    worst = min(below, key=lambda one: one.snr_db)
    if not floor.yields or worst.snr_db == -math.inf:
        refuse(worst)
    try:
        ideals = exact_outputs(model, claims)
    except ValueError as reason:
        refuse(worst, f"; the model has no float64 self that could excuse it ({reason})")
    by_signature = {claim.name: (claim.references, *both) for claim, *both in zip(claims, results, ideals, strict=True)}
    warnings = []
    for one in below:
        in_keras, in_file, ideal = ([arrays[one.name] for arrays in some] for some in by_signature[one.signature])
        keras_db, file_db = snr_db(ideal, in_keras), snr_db(ideal, in_file)
        reachable = keras_db - floor.coarser_db
        if file_db >= floor.decibels:
            why = f"two roundings differ by more than the floor of {floor.decibels:g} dB, which the artefact reaches"
        elif reachable >= floor.decibels or file_db < reachable - ROUNDING_DB:
            refuse(one, f"; against float64 Keras has {keras_db:.1f} dB, this has {file_db:.1f}")
        else:
            why = f"the floor of {floor.decibels:g} dB is beyond the model's own precision"
        warnings.append(
            f"{why}: against float64 the output {one.name!r} of {one.signature!r} has {keras_db:.1f} dB in Keras and "
            f"{file_db:.1f} dB in the artefact"
        )
    return warnings


def _refuse(one, why="", *, floor, blame) -> NoReturn:
    """Raise for an output below its floor; `why` says what kept the floor from yielding."""
    subject, otherwise = ("artefact", "") if floor.written else ("export", "; nothing was written")
    recipe = f" in {floor.recipe}" if floor.recipe else ""
    raise BelowFloorError(
        f"The {subject} must reach {floor.decibels:g} dB against the Keras model{otherwise}. Received: "
        f"{one.snr_db:.1f} dB{recipe} at the output {one.name!r} of {one.signature!r} "
        f"(max error {one.max_error:.3g}, peak {one.peak:.3g}){why}{blame(one.snr_db)}"
    )
