"""Decoders of other people's libraries as Keras models, by public names only: what exports are measured on."""

from benchmarks.ports import dac, encodec, mimi, speecht5, univnet, vits, vocos
from benchmarks.ports.port import Port, fed, held_out

__all__ = ["PORTS", "Port", "fed", "held_out"]

PORTS: dict[str, Port] = {
    "DAC 16 kHz": dac.port(),
    "VITS, VCTK": vits.port(),
    "Vocos 24 kHz": vocos.port(),
    "EnCodec 24 kHz": encodec.port(),
    "HiFi-GAN, SpeechT5's": speecht5.port(),
    "Mimi": mimi.port(),
    "UnivNet": univnet.port(),
}
