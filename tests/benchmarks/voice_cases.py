"""The trained voices that recipes are measured on: their models, what calibrates them, and what is held out."""

import dataclasses
import functools
import pathlib

import encodec_decoder
import keras
import kokoro_vocoder
import numpy as np

from benchmarks import voice_codec
from benchmarks.ports import PORTS, fed, held_out
from benchmarks.voice_distances import stft_distance
from lucid_keras.export import snr_db
from lucid_keras.interop import load_state_dict, read_state_dict, to_state_dict

FRAMES = 100  # of Kokoro in a window, 1.25 s
BETWEEN = 50  # frames between the windows that calibrate
SPEAKERS = 4  # whose utterances are recorded
UNHEARD = 10  # samples at the beginning, which Kokoro's ONNX file divides by almost nothing


@dataclasses.dataclass(frozen=True)
class Voice:
    """A decoder of a fixed length, trained or with random weights.

    `calibration` and `held_out` are inputs by name, a first axis of windows. `onnx` is a file that computes the same
    from them but for a factor, `louder`. Of each window's samples the first `unheard` are left out. `check` holds
    facts of the port itself.
    """

    model: keras.Model
    rate: int
    calibration: dict
    held_out: dict
    trained: bool = True
    speech: bool = False
    onnx: pathlib.Path | None = None
    louder: float = 1.0
    unheard: int = 0
    check: list = dataclasses.field(default_factory=list)

    def said(self):
        """What the Keras model says of each window that is held out: `[windows, samples]`."""
        count = len(next(iter(self.held_out.values())))
        windows = [
            {name: column[index : index + 1] for name, column in self.held_out.items()} for index in range(count)
        ]
        return np.stack([np.ravel(self.model(fed(window))) for window in windows])


def kokoro(folder):
    """Kokoro-82M's vocoder, calibrated on three speakers and measured on the fourth."""
    recording = read_state_dict(folder / "kokoro.npz")
    utterances = [kokoro_vocoder.inputs_of(recording, index) for index in range(SPEAKERS)]
    model = kokoro_vocoder.kokoro_vocoder(FRAMES)
    load_state_dict(model, recording, rename=kokoro_vocoder.TO_LAYERS)
    return Voice(
        model=model,
        rate=kokoro_vocoder.SAMPLE_RATE,
        calibration=_stacked([one for each in utterances[:-1] for one in cut(each, BETWEEN)]),
        held_out=_stacked(cut(utterances[-1], FRAMES)),
        speech=True,
        onnx=folder / "kokoro.onnx",
        louder=kokoro_vocoder.LOUDER,
        unheard=UNHEARD,
        check=_against_recordings(recording, utterances),
    )


def cut(utterance, step):
    """The inputs of an utterance cut to windows that begin so many frames apart."""
    x, har, style = (utterance[name] for name in ("x", "har", "style"))
    rate = har.shape[1] // x.shape[1]
    return [
        {"x": x[:, at : at + FRAMES], "har": har[:, rate * at : rate * (at + FRAMES) + 1], "style": style}
        for at in range(0, x.shape[1] - FRAMES + 1, step)
    ]


def _against_recordings(recording, utterances):
    """For each utterance how far the Keras model is from what the ONNX file said."""
    model = kokoro_vocoder.kokoro_vocoder()
    load_state_dict(model, recording, rename=kokoro_vocoder.TO_LAYERS)
    found = []
    for index, utterance in enumerate(utterances):
        said = recording[f"utterance.{index}.samples"][UNHEARD:] / kokoro_vocoder.LOUDER
        ours = np.ravel(model(utterance))[UNHEARD:]
        found.append({"snr_db": snr_db(said, ours), "stft": stft_distance(said, ours)})
    return found


def codec(folder):
    """A small codec's decoder, calibrated on what it learned and measured on seconds that it never heard."""
    frames = encodec_decoder.SAMPLE_RATE // voice_codec.HOP
    model = encodec_decoder.encodec_decoder(**voice_codec.DECODER, length=frames)
    load_state_dict(model, to_state_dict(keras.saving.load_model(folder / "codec.keras")))
    with np.load(folder / "codec.npz") as latents:
        known, held_out = ({model.inputs[0].name: _seconds(latents[name], frames)} for name in ("known", "held_out"))
    return Voice(model, encodec_decoder.SAMPLE_RATE, known, held_out)


def _seconds(latents, frames):
    return latents[: len(latents) // frames * frames].reshape(-1, frames, latents.shape[1])


def _stacked(inputs):
    return {name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]}


def port(name, _):
    """A decoder of somebody's library with random weights, on what a recording gives it."""
    model, parts = PORTS[name].keras_model(), held_out(PORTS[name].features())
    if len(model.inputs) == 1:  # which some models leave without a name
        parts = [dict(zip([model.inputs[0].name], part.values(), strict=True)) for part in parts]
    return Voice(model, PORTS[name].rate, *parts, trained=False)


# By the name in the results and of the folder to listen to.
VOICES = {"kokoro": kokoro, "codec": codec} | {name: functools.partial(port, name) for name in PORTS}
