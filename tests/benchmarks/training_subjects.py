"""Who trains a whole model: each subject in a process of its own. This is a registry of `bench.worker`."""

import dataclasses
import functools
import pathlib

import numpy as np

from benchmarks.training_cases import CASES, with_keras_own
from lucid_keras.bench.prepared import Prepared

THREADS = 2
JUDGED = 3  # steps, whose losses are compared
# Beyond it Keras and PyTorch add another epsilon: the one before, the other after the correction of the bias.
ADAM = {"learning_rate": 1e-4, "epsilon": 1e-12}


def _weights(folder):
    return pathlib.Path(folder) / "weights.pt"


def made(subject, model, folder):
    """The PyTorch module's weights, for every subject."""
    import torch

    torch.manual_seed(0)
    torch.save(CASES[model]().module().state_dict(), _weights(folder))
    return {}


def prepared(subject, model, folder):
    """A call trains some steps; the results are the losses of the first steps on one batch."""
    case = CASES[model]()
    return dataclasses.replace(SUBJECTS[subject](case, _weights(folder)), facts={"steps": case.steps})


def _in_keras(case, weights, own=False, **options):
    """As a user trains: `fit` on arrays, with its defaults."""
    import keras

    import lucid_keras as lk

    model = case.keras_model()
    lk.interop.load_state_dict(model, weights, rename=case.rename)
    model = with_keras_own(model) if own else model
    model.compile(keras.optimizers.Adam(**ADAM), "mean_squared_error", **options)
    fit = functools.partial(model.fit, batch_size=case.batch, verbose=0, shuffle=False)
    x, y = case.data()

    def losses():
        return [np.array(fit(x[: case.batch], y[: case.batch], epochs=JUDGED).history["loss"])]

    return Prepared(call=lambda: fit(x, y), results=losses, held=None)


def _in_torch(case, weights, compiled=False):
    import torch

    torch.set_num_threads(THREADS)
    module = case.module()
    module.load_state_dict(torch.load(weights))
    run = torch.compile(module) if compiled else module
    optimizer = torch.optim.Adam(module.parameters(), lr=ADAM["learning_rate"], eps=ADAM["epsilon"])
    x, y = map(torch.from_numpy, case.data())
    x = x.mT.contiguous() if case.channels_first else x

    def step(number):
        rows = slice(number * case.batch, (number + 1) * case.batch)
        optimizer.zero_grad()
        said = run(x[rows])
        loss = torch.nn.functional.mse_loss(said, y[rows].mT if said.ndim == 3 else y[rows, :, 0])
        loss.backward()
        optimizer.step()
        return loss.item()

    def call():
        for number in range(case.steps):
            step(number)

    return Prepared(call=call, results=lambda: [np.array([step(0) for _ in range(JUDGED)])], held=None)


ORIGINAL = "torch eager"
SUBJECTS = {
    "ours": _in_keras,
    "ours, XLA": functools.partial(_in_keras, jit_compile=True),
    "Keras's Conv1DTranspose": functools.partial(_in_keras, own=True),
    "Keras's Conv1DTranspose, XLA": functools.partial(_in_keras, own=True, jit_compile=True),
    ORIGINAL: _in_torch,
    "torch.compile": functools.partial(_in_torch, compiled=True),
}
