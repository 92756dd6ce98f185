"""`to_tflite`: a Keras model to a `.tflite` file of builtin operators, shown to compute the same."""

import hashlib

from lucid_keras.export.accumulator import check_accumulators
from lucid_keras.export.convert import convert
from lucid_keras.export.files import checked_destination, write_atomically
from lucid_keras.export.flatbuffer import contents
from lucid_keras.export.litert import Runner, milliseconds
from lucid_keras.export.progress import progress_bar
from lucid_keras.export.recipes import recipe_named
from lucid_keras.export.report import ExportReport
from lucid_keras.export.samples import SYNTHETIC, at_more_lengths, held_out, read_samples, synthetic_samples, windows
from lucid_keras.export.signatures import model_inputs, signatures
from lucid_keras.export.verify import accuracies, check_floor, layer_accuracies, observed_layers, reference_outputs
from lucid_keras.export.versions import versions


def to_tflite(
    model,
    path,
    *,
    quantization="float32",
    calibration_data=None,
    length=None,
    verification_data=None,
    integer_io=False,
    floor_db=None,
    compare_layers=False,
    timing_seconds=0.3,
):
    """Export a Keras model to a `.tflite` file of builtin operators, verified before it takes its name.

    Args:
        model: a built `keras.Model` that knows its inputs (functional or `Sequential`).
        path: where the file goes; it appears whole or not at all, and only if the export reaches its floor.
        quantization: `"float32"` (default), `"float16"`, `"dynamic_int8"`, `"weight_only_int8"`,
            `"weight_only_int4"`, `"int8"` or `"int16x8"`; `lucid_keras.export.recipes` says what each means.
        calibration_data: for `"int8"` and `"int16x8"`, what real inputs look like: an array `[samples, ...]`, a dict
            of such arrays by input name, an iterable of samples, or the path of a `.npz`, a `.npy` or a folder of
            recordings and `.npy` files. Each fifth sample is held out for verification.
        length: positions of the inputs where the model leaves them open: an int, `"dynamic"` to leave them open in
            the file too, a dict by input name, or a list of those, one signature each (`length_100`, ...).
        verification_data: as `calibration_data`; what the file is compared on. Default: the samples held out, or
            standard normal ones.
        integer_io: whether inputs and outputs are integers too, for `"int8"` and `"int16x8"`. Default False.
        floor_db: least signal-to-noise ratio against the Keras model in dB. Default: the recipe's own.
        compare_layers: whether the report compares layer by layer (converts once more). Default False.
        timing_seconds: how long the latency is measured, in seconds. Default 0.3.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: the model is not built, an operator is not builtin, data do not fit, or the file stays below its
            floor; then the message names the layer that loses the most.
        TypeError: an argument of the wrong type.
        OSError: the path cannot be written.

    Example:

    >>> import keras, lucid_keras as lk, tempfile
    >>> layer = lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1)
    >>> model = keras.Sequential([keras.Input((4, None)), layer])
    >>> report = to_tflite(model, tempfile.mkdtemp() + "/up.tflite", length=32)
    >>> report.delegated == report.total, report.snr_db > 110
    (True, True)
    """
    recipe = recipe_named(quantization)
    inputs = model_inputs(model)
    made = signatures(model, length, batch=1)
    path = checked_destination(path)
    _check_compute_dtypes(model)
    _check_arguments(recipe, made, calibration_data, integer_io)
    calibration, verification, verified_on = _data(recipe, inputs, made, calibration_data, verification_data)
    references = {name: reference_outputs(model, samples) for name, samples in verification.items()}
    _check_not_empty(references)
    floor_db = recipe.floor_db if floor_db is None else floor_db
    write = lambda of: convert(of, made, recipe, calibration, integer_io=integer_io, progress=progress_bar)  # noqa: E731
    content = write(model)
    warnings = check_accumulators(content) if recipe.name == "int16x8" else []
    runner = Runner(content)
    outputs, example = _compare(model, runner, verification, references)
    check_floor(outputs, floor_db, recipe.name, lambda: _layers_if_possible(model, made, write, verification))
    report = ExportReport(
        path=path,
        kind="tflite",
        quantization=recipe.name,
        outputs=tuple(outputs),
        floor_db=floor_db,
        verified_on=verified_on,
        layers=tuple(_compare_layers(model, made[0].name, write, verification) if compare_layers else ()),
        warnings=tuple(warnings),
        example=example,
        **_measured(content, runner, made[0].name, verification, timing_seconds),
    )
    write_atomically(path, content)
    return report


def _measured(content, runner, first, verification, seconds):
    """What the report says of the file itself, and of running its first signature."""
    latency = milliseconds(runner.invocation(first, verification[first][0]), seconds)
    coverage = runner.coverage()
    return {
        "bytes": len(content),
        "signatures": contents(content).signatures,
        "ops": coverage.ops,
        "delegated": coverage.delegated,
        "milliseconds": latency,
        "versions": versions("ai-edge-litert", "ai-edge-quantizer"),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _check_arguments(recipe, made, calibration_data, integer_io):
    if recipe.name == "int16x8" and len(made) > 1:
        raise ValueError(  # the TFLite converter quantizes the weights that signatures share once for each of them
            f'int16x8 takes one length or "dynamic", not a list. Received: {len(made)} lengths'
        )
    if recipe.calibrated and calibration_data is None:
        raise ValueError(
            f"quantization={recipe.name!r} needs calibration_data, samples of what the model will be given. "
            "Received: calibration_data=None"
        )
    if not recipe.calibrated and calibration_data is not None:
        raise ValueError(f"calibration_data is for 'int8' and 'int16x8' only. Received: quantization={recipe.name!r}")
    if integer_io and recipe.activations is None:
        raise ValueError(f"integer_io is for 'int8' and 'int16x8' only. Received: quantization={recipe.name!r}")


def _check_compute_dtypes(model):
    for layer in model._flatten_layers(include_self=False):
        if layer.compute_dtype in ("float16", "bfloat16", "float64"):
            raise ValueError(
                "LiteRT computes in float32: load the weights into a model of dtype policy 'float32'. "
                f"Received: the layer {layer.name!r} computing in {layer.compute_dtype}"
            )


def _data(recipe, inputs, made, calibration_data, verification_data):
    """Samples by signature name to calibrate on (None for other recipes) and to verify on, and where those are from."""
    calibration, verification = None, None
    if recipe.calibrated:
        samples = read_samples(calibration_data, inputs, lambda raw: progress_bar(raw, "reading samples"))
        calibration, verification = held_out(samples)
        verified_on = (
            f"{len(verification)} samples held out of {len(samples)}" if len(samples) > 1 else "the one sample"
        )
        calibration = {signature.name: windows(calibration, signature) for signature in made}
    if verification_data is not None:
        verification = read_samples(verification_data, inputs)
        verified_on = f"{len(verification)} samples given"
    if verification is None:
        return calibration, {one.name: synthetic_samples(one) for one in made}, SYNTHETIC
    verification = {one.name: at_more_lengths(windows(verification, one), one) for one in made}
    return calibration, verification, verified_on


def _check_not_empty(references):
    for signature, outputs in references.items():
        for name, array in outputs[0].items():
            if not array.size:
                raise ValueError(
                    "Every output of a .tflite file must have at least one element. "
                    f"Received: the output {name!r} of {signature!r} of shape {list(array.shape)}"
                )


def _compare(model, run, verification, references):
    """`OutputAccuracy` of all outputs of all signatures, and one example of an output, before and after."""
    found, example = [], None
    for signature, samples in verification.items():
        results = [run(signature, sample) for sample in samples]
        found += accuracies(signature, model_inputs(model), samples, references[signature], results)
        if example is None:
            name = next(iter(results[0]))
            example = references[signature][0][name], results[0][name]
    return found, example


def _compare_layers(model, first, write, verification):
    """`LayerAccuracy` of the model's layers at the first signature; empty where they cannot be reached."""
    observed = observed_layers(model)
    if observed is None:
        return ()
    samples = {first: verification[first]}
    references = {first: reference_outputs(observed, samples[first])}
    outputs, _ = _compare(observed, Runner(write(observed)), samples, references)
    return layer_accuracies(observed, outputs)


def _layers_if_possible(model, made, write, verification):
    """`_compare_layers` for an export that fails anyway: a layer that cannot be an output must not hide the reason."""
    try:
        return _compare_layers(model, made[0].name, write, verification)
    except ValueError:
        return ()
