"""An export to `.tflite` but for its floor and the layers that stay in float32, so that another try does only those."""

import dataclasses
import difflib
import functools
import hashlib
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

from lucid_keras.export.accumulator import check_accumulators
from lucid_keras.export.accuracy import LayerAccuracy
from lucid_keras.export.claims import Claim
from lucid_keras.export.coverage import copied_weights
from lucid_keras.export.elsewhere import proven_elsewhere
from lucid_keras.export.fewer_products import with_fewer_products
from lucid_keras.export.files import write_atomically
from lucid_keras.export.mixed import Mixed
from lucid_keras.export.origins import Origins, operations
from lucid_keras.export.proof import BLAMED_DB, BelowFloorError, Floor, proven
from lucid_keras.export.report import CurvePoint, ExportReport
from lucid_keras.export.selection import fewest, ratio_db, worst_layer
from lucid_keras.runtimes import LiteRT

FloatLayers = Sequence[str] | Literal["auto"]
CLIPPED_SHARE = 1e-2  # of a layer's values: more than it are told of


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What an export has found.

    Attributes:
        model: what is exported.
        destination: where the file goes.
        mixed: writes it.
        claims: what it has to compute.
        further: names of runtimes that it has to be right on too.
        layers: gives `LayerAccuracy` of the layers for those that stay in float32.
        compare_layers: whether they go into the report.
        exact_products: whether convolutions in float32 keep the multiplications that define them.
        facts: what `proof.proven` takes besides.
    """

    model: Any
    destination: pathlib.Path
    mixed: Mixed
    claims: Sequence[Claim]
    further: Sequence[str]
    layers: Callable[[Sequence[str]], Sequence[LayerAccuracy]]
    compare_layers: bool
    exact_products: bool
    facts: dict[str, Any]

    def export(self, float_layers: FloatLayers, floor: Floor) -> ExportReport:
        """Write the file once it is proven; raises `BelowFloorError`, which can try again."""
        try:
            curve: tuple[CurvePoint, ...] = ()
            if float_layers == "auto":
                curve = fewest(self.mixed, self.claims, floor.decibels)
                kept = curve[-1].kept
            else:
                kept = chosen_layers(self.mixed, self.model, float_layers)
            return self.write_proven(kept, floor, curve)
        except BelowFloorError as refusal:
            refusal.attempt = self
            raise

    def again(self, float_layers: FloatLayers, floor_db: float | None) -> ExportReport:
        """`export` for arguments that are not checked yet."""
        check_float_layers(float_layers, self.mixed.recipe)
        return self.export(float_layers, Floor.of(floor_db, self.mixed.recipe))

    def write_proven(self, kept: tuple[str, ...], floor: Floor, curve: tuple[CurvePoint, ...]) -> ExportReport:
        """Write the file with these layers in float32 once it is proven."""
        content = self.mixed.written(kept)
        warnings = copied_weights(self.model, content)
        if not (self.exact_products or self.mixed.recipe.integers):
            fewer, saved = with_fewer_products(content)
            if saved:
                try:
                    return self.prove_and_write(fewer, floor, warnings, fewer_products=self._of_layers(saved))
                except BelowFloorError as refusal:
                    warnings += [f"exact_products: with fewer multiplications it was refused. {refusal}"]
        elif self.mixed.recipe.activations == "int16":
            warnings += check_accumulators(content)
        blame = functools.partial(self._blame, kept, curve)
        return self.prove_and_write(content, floor, warnings, blame=blame, float_layers=kept, curve=curve)

    def prove_and_write(self, content, floor, warnings=(), *, float_layers=(), **facts):
        report = proven(
            self.model,
            self.claims,
            LiteRT(content),
            floor,
            layers=lambda: self.layers(float_layers),
            compare_layers=self.compare_layers,
            path=self.destination,
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            float_layers=float_layers,
            **facts,
            **self.facts | {"warnings": (*self.facts["warnings"], *warnings)},
        )
        elsewhere = proven_elsewhere(self.model, self.claims, content, self.further, floor, self.facts["seconds"])
        write_atomically(self.destination, content)
        return dataclasses.replace(report, elsewhere=elsewhere)

    def _of_layers(self, saved):
        """What was saved by layers, not by tensors."""
        origins = Origins(self.model)
        return tuple(dataclasses.replace(one, name=origins.named(one.name) or one.name) for one in saved)

    def _blame(self, kept, curve, snr):
        """What a refusal says of the layer that loses the most, and what would help."""
        if curve:
            return f"; float_layers='auto' came no nearer with {len(kept)} layers in float32"
        if not self.mixed.recipe.integers:
            return self._blamed_by_itself(kept, snr)
        worst = worst_layer(self.mixed, self.claims, kept)
        if worst is None or worst[1] > snr + BLAMED_DB:
            return ""
        name, alone = worst
        reached = ratio_db(LiteRT(self.mixed.written((*kept, name))), self.claims)
        return (
            f"; the layer {name!r} loses the most, {alone:.1f} dB by itself: float_layers={[*kept, name]} reaches "
            f"{reached:.1f} dB, and 'auto' looks for as many layers as the floor needs"
        )

    def _blamed_by_itself(self, kept, snr):
        try:
            lossy = min(self.layers(kept), key=lambda layer: layer.own_snr_db, default=None)
        except ValueError:  # a layer that cannot be an output must not hide the reason
            return ""
        if lossy is None or lossy.own_snr_db > snr + BLAMED_DB:
            return ""
        return f"; the layer {lossy.name!r} loses the most, {lossy.own_snr_db:.1f} dB by itself"


def uncovered(mixed: Mixed, samples: dict[str, list]) -> tuple[str, ...]:
    """A warning, with numbers, where verified samples go beyond what a recipe was calibrated on."""
    shares = {path: share for path, share in mixed.uncovered(samples).items() if share > CLIPPED_SHARE}
    if not shares:
        return ()
    worst = sorted(shares, key=lambda path: -shares[path])[:3]
    listed = ", ".join(f"{100 * shares[path]:.2g} % of {path!r}" for path in worst)
    return (
        f"calibration: of {len(shares)} layers more values than one in a hundred lie outside what calibration_data "
        f"brought and are clipped, {listed}",
    )


def check_float_layers(float_layers, recipe):
    """Raise unless they are names, or `"auto"`, in a recipe that leaves them anything to choose."""
    named = isinstance(float_layers, Sequence) and all(isinstance(name, str) for name in float_layers)
    if not named or (isinstance(float_layers, (str, bytes)) and float_layers != "auto"):
        raise TypeError(f"float_layers must be a sequence of layers' names, or 'auto'. Received: {float_layers!r}")
    if len(float_layers) and not recipe.integers:
        raise ValueError(f"float_layers are for recipes with integers. Received: quantization={recipe.name!r}")


def chosen_layers(mixed: Mixed, model, names: Sequence[str]) -> tuple[str, ...]:
    """The paths of the layers of these names, which may be paths and models in the model too."""
    paths = list(operations(model))
    found: list[str] = []
    for name in names:
        fitting = [path for path in paths if f"/{name}/" in f"/{path}/"]
        if not fitting:
            near = difflib.get_close_matches(name, paths, 3) or paths[:3]
            raise ValueError(
                f"float_layers must name layers of the model, such as {', '.join(map(repr, near))}. Received: {name!r}"
            )
        found += fitting
    return tuple(path for path in dict.fromkeys(found) if path in mixed.layers)
