"""A guest: a `.tflite` file under LiteRT.js in headless Chromium, on WebAssembly or WebGPU.

Needs PyPI's `playwright`, npm's `@litertjs/core` and a Chromium. Every request is answered from the disk: there is no
server and no network.
"""

import asyncio
import base64
import functools
import json
import pathlib
import re

import numpy as np
from channel import serve
from playwright.async_api import Error, async_playwright

HERE = pathlib.Path(__file__).resolve().parent
ORIGIN = "http://localhost"  # which a browser trusts as it does https, so that there is WebGPU
LIMIT = 120  # seconds that the browser may take to answer
# Chromium's GPU in software: there where no GPU is, and the same everywhere.
WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
TYPES = {".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm"}
ISOLATED = {  # threads and a clock of microseconds
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
# What LiteRT says goes to console.error, all of it: how it begins what is no failure, and what else is none.
TOLD = re.compile(
    r"INFO: |WARNING: |[IW]\d{4} |No available adapters\.|Failed to create default WebGPU device|%c\[LiteRT\]"
)
FAILED = re.compile(r"E\d{4} ")
GLOG = re.compile(r"^E\d{4} .*?\] ")  # when and where it failed, before what
TRACE = re.compile(r"ERROR: \[")  # an error that only says where: what it is was said before
# Of each graph in turn: what the GPU does not take, then that it compiles what it does.
REFUSED = re.compile(
    r"^ERROR: Following operations are not supported by GPU delegate:\n(.*?)\n"
    r"(?:No|\d+) operations will run on the GPU, and (?:the remaining|all) (\d+) operations will run on the CPU\.$",
    re.MULTILINE | re.DOTALL,
)
COMPILED = "Initializing WebGPU-based API from graph"
loop = asyncio.new_event_loop()


class Browser:
    """An opened file.

    Args:
        path: the file.
        options: `packages`, the folder that has `node_modules`; `chromium`, the browser's path; `accelerator`, `"wasm"`
            (default) or `"webgpu"`.

    Raises:
        ValueError: a part is missing, the browser refuses the file, dies or does not answer.
    """

    def __init__(self, path, options):
        self._path, self._console = pathlib.Path(path), []
        self._gpu = options.get("accelerator", "wasm") == "webgpu"
        self._package = pathlib.Path(options["packages"]).resolve() / "node_modules/@litertjs"
        if not (self._package / "core/package.json").is_file():
            raise ValueError(f"no LiteRT.js in {self._package}")
        chromium = started(str(options["chromium"]), self._gpu)
        self._page = within(LIMIT, self._loaded(chromium))
        adapter = self._asked("opened", "webgpu" if self._gpu else "wasm")
        core = json.loads((self._package / "core/package.json").read_text())
        self.version = f"{core['version']} in Chromium {chromium.version.split('.')[0]}"
        self.device = adapter if self._gpu else None

    def run(self, signature, inputs):
        """The outputs by name, in the file's own dtypes."""
        outputs = self._asked("run", signature, {name: packed(array) for name, array in inputs.items()})
        return {name: unpacked(one) for name, one in outputs.items()}

    def milliseconds(self, signature, seconds, inputs):
        """The median time of a call, measured in the page for that long."""
        given = {name: packed(array) for name, array in inputs.items()}
        return self._asked("milliseconds", signature, given, seconds, limit=LIMIT + seconds)

    def found(self):
        """How many of the first graph's operators the GPU left to the processor and why, and what failed.

        `left` is None where no graph got to the GPU; `failures` are the errors and warnings of the page and the GPU.
        """
        within(LIMIT, self._page.evaluate("0"))  # what was said meanwhile comes with an answer
        of_first, compiled, _ = self._said().partition(COMPILED)
        refused = REFUSED.search(of_first)
        return {
            "left": int(refused[2]) if refused else 0 if compiled else None,
            "reasons": refused[1].splitlines() if refused else [],
            "failures": self._failures(),
        }

    def _failures(self):
        said = REFUSED.sub("", self._said(lambda kind, line: kind in ("error", "warning") or FAILED.match(line)))
        return [line for line in said.splitlines() if line and not TOLD.match(line)]

    def _said(self, chosen=lambda *_: True):
        lines = ((kind, text.partition("\n")[0]) for kind, text in self._console)
        return "\n".join(line for kind, line in lines if chosen(kind, line))

    async def _loaded(self, chromium):
        page = await chromium.new_page()
        page.on("console", lambda message: self._console.append((message.type, message.text)))
        page.on("pageerror", lambda error: self._console.append(("error", error.message)))
        await page.route("**/*", self._answer)
        await page.goto(f"{ORIGIN}/")
        await page.wait_for_function("window.guest")
        return page

    async def _answer(self, route):
        name = route.request.url.removeprefix(ORIGIN).partition("?")[0]
        files = {"/": HERE / "browser.html", "/browser.js": HERE / "browser.js", "/file.tflite": self._path}
        file = files.get(name, self._package / name.removeprefix("/packages/@litertjs/"))
        if not file.is_file():
            await route.fulfill(status=404)
            return
        kind = TYPES.get(file.suffix, "application/octet-stream")
        await route.fulfill(path=file, content_type=kind, headers=ISOLATED)

    def _asked(self, function, *given, limit=LIMIT):
        try:
            return within(limit, self._page.evaluate("([name, given]) => guest[name](...given)", [function, given]))
        except ValueError as error:
            failures = self._failures() if TRACE.match(str(error)) else []
            raise ValueError(GLOG.sub("", failures[0]) if failures else str(error)) from None


@functools.cache
def started(path, gpu):
    """A Chromium, which ends with this process."""
    return within(LIMIT, launched(path, gpu))


async def launched(path, gpu):
    if not pathlib.Path(path).is_file():
        raise ValueError(f"no Chromium at {path}")
    playwright = await async_playwright().start()
    return await playwright.chromium.launch(executable_path=path, args=WEBGPU if gpu else ())


def within(seconds, doing):
    """What a coroutine gives; raises one line where it fails or takes longer."""
    try:
        return loop.run_until_complete(asyncio.wait_for(doing, seconds))
    except TimeoutError:
        raise ValueError(f"no answer within {seconds:g} s") from None
    except Error as error:
        said = re.split(r"\n +at ", error.message)[0]  # what follows is where in the page
        raise ValueError(said.removeprefix("Page.evaluate: ").removeprefix("Error: ").strip()) from None


def packed(array):
    """An array for the page."""
    return {"dtype": array.dtype.name, "shape": array.shape, "data": base64.b64encode(array.tobytes()).decode()}


def unpacked(array):
    """An array from the page."""
    return np.frombuffer(base64.b64decode(array["data"]), array["dtype"]).reshape(array["shape"])


serve(Browser)
