"""The traced PyTorch module behind the same server: `python -m benchmarks.serving_torch FILE.pt --port ...`.

It serves as `ray_serve.py` does, with everything else the same; signals of one length share a call, which is right
whatever the module looks ahead at.
"""

import collections
import pathlib
import sys

import numpy as np

SERVING = pathlib.Path(__file__).resolve().parents[2] / "export/serving"


class Traced:
    """What `workers.Decoder` wants of a decoder."""

    def __init__(self, path, most, threads):
        import torch

        torch.set_num_threads(threads)
        self.torch, self.module, self.most = torch, torch.jit.load(str(path)).eval(), most

    def describe(self):
        return "signals of one length share a call"

    def check(self, signal):
        if signal.ndim != 2 or not np.isfinite(signal).all():
            raise ValueError(f"A signal must be [frames, bands], finite. Received: {list(signal.shape)}")

    def to_recording(self, y):
        return y[:, np.newaxis]

    def decode(self, signals):
        by_length = collections.defaultdict(list)
        for index, signal in enumerate(signals):
            by_length[len(signal)].append(index)
        found = [None] * len(signals)
        with self.torch.inference_mode():
            for group in by_length.values():
                batch = self.torch.from_numpy(np.stack([signals[index] for index in group]))
                for index, y in zip(group, self.module(batch).numpy().reshape(len(group), -1), strict=True):
                    found[index] = y
        return found


def opened(path, threads):
    return lambda most: Traced(path, most, threads)


def main():
    sys.path.insert(0, str(SERVING))
    import ray_serve

    given = ray_serve.parser().parse_args()
    ray_serve.serve_until_ended(opened(given.model.resolve(), given.threads), given)


if __name__ == "__main__":
    main()
