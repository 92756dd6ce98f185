"""`to_tflite`: a Keras model to a `.tflite` file of builtin operators, shown to compute the same."""

import dataclasses
import functools
import os
from collections.abc import Sequence

import keras

from lucid_keras._arguments import check_flag, number
from lucid_keras._extras import needed
from lucid_keras.export.attempt import Attempt, FloatLayers, check_float_layers, uncovered
from lucid_keras.export.claims import Claim, computed, whole_claims
from lucid_keras.export.convert import in_recipe, unquantized
from lucid_keras.export.elsewhere import RuntimeName, chosen
from lucid_keras.export.files import checked_destination
from lucid_keras.export.layer_accuracy import layer_accuracies, observed_layers
from lucid_keras.export.progress import doing
from lucid_keras.export.proof import Floor
from lucid_keras.export.recipes import Quantization, recipe_named
from lucid_keras.export.report import ExportReport
from lucid_keras.export.samples import Data, Given, read_given, windows
from lucid_keras.export.signatures import Length, check_model, model_inputs, signatures
from lucid_keras.runtimes import LiteRT

TOLD_SAMPLES = 8  # of those verified, that are looked at for values that calibration had not


def to_tflite(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    quantization: Quantization = "float32",
    calibration_data: Data | None = None,
    length: Length | Sequence[Length] | None = None,
    verification_data: Data | None = None,
    integer_io: bool = False,
    floor_db: float | None = None,
    float_layers: FloatLayers = (),
    compare_layers: bool = False,
    exact_products: bool = False,
    timing_seconds: float = 0.3,
    prove_on: Sequence[RuntimeName] = (),
) -> ExportReport:
    """Export a Keras model to a `.tflite` file of builtin operators, verified before it takes its name.

    Args:
        model: a built `keras.Model` that knows its inputs (functional or `Sequential`).
        path: where the file goes; it appears whole or not at all, and only if the export reaches its floor.
        quantization: `"float32"` (default), `"float16"`, `"dynamic_int8"`, `"weight_only_int8"`,
            `"weight_only_int4"`, `"int8"` or `"int16x8"`; `lucid_keras.export.recipes` says what each means.
        calibration_data: for `"int8"` and `"int16x8"`, what real inputs look like: an array `[samples, ...]`, a dict
            of such arrays by input name, an iterable of samples, or the path of a `.npz`, a `.npy` or a folder of
            recordings and `.npy` files. Each fifth sample is held out for verification.
        length: positions of the inputs where the model leaves them open, and only there: an int, `"dynamic"` to leave
            them open in the file too, a dict by input name, or a list of those, one signature each (`length_100`, ...),
            of which LiteRT's default delegate takes the first alone.
        verification_data: as `calibration_data`; what the file is compared on. Default: the samples held out, or
            standard normal ones.
        integer_io: whether inputs and outputs are integers too, for `"int8"` and `"int16x8"`, and all that lies between
            them, as NPUs want it; but inverse transforms. Default False: what integers hold badly stays in float32.
        floor_db: least signal-to-noise ratio against the Keras model in dB. Default: the recipe's own, or where the
            model itself, in float32, is further than that from its float64 self, 3 dB more than it loses; then a
            warning says so.
        float_layers: names of layers that stay in float32, in a recipe with integers: layers and Keras operations,
            paths like `"block/dense"`, or models in the model. `"auto"` keeps the fewest that the floor needs, found by
            what the output loses to each, and the report shows the curve. Default: none but what the recipe leaves.
        compare_layers: whether the report compares layer by layer (converts once more). Default False.
        exact_products: whether convolutions in float32 keep the multiplications that define them. Default False: where
            it pays on a processor, outputs share products, exact but for rounding, and the file is larger by sums of
            its weights; the report says how many are saved. (Fast FIR: Winograd 1980; Parker and Parhi 1997.)
        timing_seconds: how long the latency is measured, in seconds. Default 0.3.
        prove_on: names of further runtimes that the file has to be right on, such as `("arm64", "gpu")`; `lucid-keras
            runtimes` lists them. Default: none.

    Returns:
        An `ExportReport`.

    Raises:
        BelowFloorError: the file stays below its floor; the message names the layer that loses the most and what would
            help, and `retry` does that without converting anew.
        ValueError: the model is not built or its weights are not finite, an operator is not builtin, data do not fit
            or say nothing, the model has no such layer, or a runtime of `prove_on` refuses the file, ends or is below
            the floor.
        TypeError: an argument of the wrong type.
        ImportError: LiteRT, or for some recipes the LiteRT Quantizer, is not installed.
        OSError: the path cannot be written, or a runtime of `prove_on` is not installed.

    Example:

    >>> import keras, lucid_keras as lk, tempfile
    >>> layer = lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1)
    >>> model = keras.Sequential([keras.Input((4, None)), layer])
    >>> report = to_tflite(model, tempfile.mkdtemp() + "/up.tflite", length=32)
    >>> report.delegated == report.total, report.snr_db > 110
    (True, True)
    """
    recipe = recipe_named(quantization)
    check_float_layers(float_layers, recipe)
    check_flag("integer_io", integer_io)
    check_flag("compare_layers", compare_layers)
    check_flag("exact_products", exact_products)
    number("timing_seconds", timing_seconds, least=0)
    check_recipe(recipe, calibration_data)
    _check_integer_io(recipe, integer_io)
    further, destination, floor = chosen(prove_on, "tflite"), checked_destination(path), Floor.of(floor_db, recipe)
    task = whole_task(model, length, verification_data, calibration_data)
    mixed = task.mixed(recipe, integer_io=integer_io)
    observed = functools.partial(_layer_accuracies, task, recipe, integer_io)
    attempt = Attempt(
        model, destination, mixed, task.claims, further, layers=observed, compare_layers=compare_layers,
        exact_products=exact_products,
        facts={"seconds": timing_seconds, "warnings": task.warnings_of(mixed), "verified_on": task.verified_on},
    )  # fmt: skip
    return attempt.export(float_layers, floor)


@dataclasses.dataclass(frozen=True)
class Task:
    """What a file of a model has to compute, whatever its recipe, and what its recipe may be calibrated on."""

    model: keras.Model
    signatures: list
    given: Given
    claims: list[Claim]
    verified_on: str

    def unquantized(self, recipe):
        """The bytes of the file in the recipe's floating-point numbers."""
        return unquantized(self.model, self.signatures, recipe)

    def mixed(self, recipe, content=None, *, integer_io=False):
        """What writes the file in a recipe; of the bytes of an unquantized file where there are some."""
        content = self.unquantized(recipe) if content is None else content
        cut = functools.partial(windows, self.given.calibration)
        calibration = {one.name: cut(one) for one in self.signatures} if recipe.calibrated else None
        return in_recipe(self.model, content, recipe, calibration, integer_io=integer_io)

    def warnings_of(self, mixed):
        """What a person has to know of the data, for what writes a file."""
        if not mixed.recipe.calibrated:
            return self.given.warnings
        return (*self.given.warnings, *uncovered(mixed, {one.name: one.samples[:TOLD_SAMPLES] for one in self.claims}))


def whole_task(model, length, verification_data, calibration_data) -> Task:
    """The `Task` of whole inputs, everything that a user gave looked at before any work is done."""
    inputs, made = model_inputs(model), signatures(model, length, batch=1)
    check_model(model, "float32")
    given = read_given(inputs, verification_data, calibration_data)
    claims, verified_on = whole_claims(model, made, given)
    _check_not_empty(claims)
    return Task(model, made, given, claims, verified_on)


def check_tools(recipe):
    """Raise unless what writes and runs a recipe's file is installed."""
    needed("ai_edge_litert.interpreter", "running a .tflite file needs LiteRT")
    if recipe.edge_recipe is not None:
        needed("litert_quantizer", f"{recipe.name!r} needs the LiteRT Quantizer")


def check_recipe(recipe, calibration_data):
    """Raise unless its tools are installed, and there are data where it needs them, and none where it does not."""
    check_tools(recipe)
    if recipe.calibrated and calibration_data is None:
        raise ValueError(
            f"quantization={recipe.name!r} needs calibration_data, samples of what the model will be given. "
            "Received: calibration_data=None"
        )
    if not recipe.calibrated and calibration_data is not None:
        raise ValueError(f"calibration_data is for 'int8' and 'int16x8' only. Received: quantization={recipe.name!r}")


def _check_integer_io(recipe, integer_io):
    if integer_io and not recipe.calibrated:
        raise ValueError(f"integer_io is for 'int8' and 'int16x8' only. Received: quantization={recipe.name!r}")


def _check_not_empty(claims):
    for claim in claims:
        for name, array in claim.references[0].items():
            if not array.size:
                raise ValueError(
                    "Every output of a .tflite file must have at least one element. "
                    f"Received: the output {name!r} of {claim.name!r} of shape {list(array.shape)}"
                )


@doing("comparing layers")
def _layer_accuracies(task, recipe, integer_io, kept):
    """`LayerAccuracy` of the model's layers at the first signature; none where they cannot be reached."""
    observed, claim = observed_layers(task.model), task.claims[0]
    if observed is None:
        return []
    other = dataclasses.replace(task, model=observed)
    runtime = LiteRT(other.mixed(recipe, integer_io=integer_io).written(kept))
    references = [computed(observed, [sample[name] for name in model_inputs(observed)]) for sample in claim.samples]
    results = [runtime.run(claim.name, sample) for sample in claim.samples]
    return layer_accuracies(observed, claim.samples, references, results)
