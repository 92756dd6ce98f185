"""The page as its user has it: `python browse.py URL CHROMIUM`, a request on standard input, what became of it out.

Run by the Python of the browser's environment, which has Playwright. The request is JSON: the viewport's `width`, what
is `checked`, Chromium's `flags`, and the `files` to be given in place of the page's own.
"""

import json
import pathlib
import sys

from playwright.sync_api import sync_playwright

ENDED = ("done", "failed")
NUMBERS = "Object.fromEntries([...document.querySelectorAll('dd')].map((one) => [one.id, one.textContent]))"
DRAWN = """[...document.querySelectorAll('canvas')].map((one) =>
    one.getContext('2d').getImageData(0, 0, one.width, one.height).data.some((part) => part))"""


def main(url, chromium):
    request = json.load(sys.stdin)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=request.get("flags", ()))
        page = browser.new_page(viewport={"width": request["width"], "height": 900})
        page.set_default_timeout(120_000)
        errors, addresses = [], []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(error.message))
        page.on("request", lambda request: addresses.append(request.url))
        page.goto(url)
        reached(page, "ready", "failed")
        if "files" in request:
            page.click("summary")
            for field, path in request["files"].items():
                page.set_input_files(f"#{field}", path)
            page.click("#own button")
            page.get_by_text(f"Ready: {pathlib.Path(request['files']['file']).name}").wait_for()
        for value in request.get("checked", ()):
            page.check(f"[value={value}]")
        page.click("#go")
        reached(page, *ENDED)
        told = {
            "state": page.get_attribute("body", "data-state"),
            "status": page.inner_text("#status"),
            "numbers": page.evaluate(NUMBERS),
            "progress": page.evaluate("document.getElementById('progress').value"),
            "drawn": page.evaluate(DRAWN),
            "too_wide": page.evaluate("document.documentElement.scrollWidth - innerWidth"),
            "errors": errors,
            "elsewhere": [one for one in addresses if not one.startswith((url, "data:"))],
        }
    print(json.dumps(told))


def reached(page, *states):
    page.wait_for_selector(",".join(f"body[data-state={state}]" for state in states))


if __name__ == "__main__":
    main(*sys.argv[1:])
