"""Serve the built page to this machine alone: `python export/web/serve.py [FOLDER] [--port 8765]`."""

import argparse
import functools
import http.server
import pathlib
import sys

WEB = pathlib.Path(__file__).resolve().parents[2] / "saved_models" / "web"
HOST = "127.0.0.1"  # a secure context, as https is: without one there is neither WebGPU nor an audio worklet
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",  # both: threads, and a clock of microseconds
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",
    # Nothing comes from elsewhere and nothing goes there. The import map stands in the page, LiteRT.js is WebAssembly.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'",
}


class Page(http.server.SimpleHTTPRequestHandler):
    """The files of a folder, and no list of them."""

    extensions_map = {  # noqa: RUF012, as in the class above
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
        "": "application/octet-stream",
    }

    def end_headers(self):
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path):
        self.send_error(404)

    def log_message(self, *_):
        pass


def server(folder, port):
    """A server of the folder; raises one line where there is no page, or the port is taken."""
    if not (folder / "index.html").is_file():
        raise FileNotFoundError(f"The folder must hold the page: python export/web/build.py. Received: {folder}")
    try:
        return http.server.ThreadingHTTPServer((HOST, port), functools.partial(Page, directory=str(folder)))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"The port must be a free one, --port 0 takes any. Received: {port}: {reason}") from None


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=WEB)
    parser.add_argument("--port", type=int, default=8765)
    given = parser.parse_args(argv)
    try:
        with server(given.folder, given.port) as serving:
            print(f"http://{HOST}:{serving.server_port}/ (Ctrl-C ends it)", flush=True)
            serving.serve_forever()
    except OSError as error:
        sys.exit(f"serve: {error}")
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
