#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark report as headless Chromium shows it: light and dark, on phone, screen and paper.

usage: BUILD=... tests/report_in_chromium.py [RESULTS.json]    (pictures go to BUILD/report/)

In each: nothing is wider than the window, every plot has a size, no words of a plot lie on others
or are cut, nothing is said on the console, and nothing but the page itself is asked for. First of
RESULTS, as of a real run; then of strange ones.
"""
import base64
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import test_bench_report  # noqa: E402

WAIT_S = 200
LOOK = """(() => {
    const wrong = [], root = document.documentElement, wide = root.clientWidth;
    if (root.scrollWidth > wide)
        wrong.push(`the page is ${root.scrollWidth} px wide`);
    const plots = [...document.querySelectorAll("svg")].filter(
        svg => !svg.parentElement.closest("svg"));
    for (const svg of plots) {
        const box = svg.getBoundingClientRect();
        const said = svg.querySelector("title")?.textContent ?? "a swatch";
        if (!(box.width > 0 && box.height > 0))
            wrong.push(`${said}: ${box.width} x ${box.height} px`);
        const words = [...svg.querySelectorAll("text")].map(
            text => [text.textContent, text.getBoundingClientRect()]);
        words.forEach(([word, one], place) => {
            if (!(one.width > 0 && one.height > 0))
                wrong.push(`${said}: "${word}" has no size`);
            if (one.left < 0 || one.right > wide + 0.5 || one.right > box.right + 1 ||
                one.left < box.left - 1)
                wrong.push(`${said}: "${word}" is cut`);
            for (const [other, two] of words.slice(place + 1))
                if (one.left < two.right - 0.5 && two.left < one.right - 0.5 &&
                    one.top < two.bottom - 3 && two.top < one.bottom - 3)
                    wrong.push(`${said}: "${word}" lies on "${other}"`);
        });
    }
    for (const box of document.querySelectorAll(".scroll")) {
        const open = getComputedStyle(box).overflowX === "visible";
        if (box.getBoundingClientRect().right > wide + 0.5 || (open && box.scrollWidth > wide))
            wrong.push(`the table "${box.ariaLabel}" is ${box.scrollWidth} px wide`);
    }
    return {wrong, plots: plots.length,
        words: document.querySelectorAll("svg text").length,
        paper: getComputedStyle(document.body).backgroundColor,
        height: Math.ceil(root.getBoundingClientRect().height)};
})()"""


class Browser:
    """Chromium, spoken to over its debugging pipe."""

    def __init__(self, profile):
        to_it, self.send_to = os.pipe()
        self.read_from, from_it = os.pipe()

        def places():  # the browser reads from 3 and writes to 4
            in_, out = os.dup(to_it), os.dup(from_it)
            os.dup2(in_, 3)
            os.dup2(out, 4)

        self.log = open(os.path.join(profile, "log"), "w+b")
        # A container has no namespaces for its sandbox; the page is our own.
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
             f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=places, close_fds=False, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        os.close(to_it)
        os.close(from_it)
        self.pending, self.events, self.last = b"", [], 0

    def message(self):
        while b"\0" not in self.pending:
            more = os.read(self.read_from, 1 << 16)
            if not more:
                self.log.seek(0)
                sys.exit("chromium has ended: " + self.log.read().decode(errors="replace"))
            self.pending += more
        said, _, self.pending = self.pending.partition(b"\0")
        return json.loads(said)

    def call(self, method, session=None, **parameters):
        self.last += 1
        asked = {"id": self.last, "method": method, "params": parameters}
        if session:
            asked["sessionId"] = session
        os.write(self.send_to, json.dumps(asked).encode() + b"\0")
        while True:
            said = self.message()
            if said.get("id") != self.last:
                self.events.append(said)
            elif "error" in said:
                sys.exit(f"{method}: {said['error']}")
            else:
                return said["result"]

    def until(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.message())

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def said_on_the_console(events):
    for event in events:
        what = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            yield str(what["exceptionDetails"])
        elif event.get("method") == "Runtime.consoleAPICalled":
            yield str(what["args"])
        elif event.get("method") == "Log.entryAdded":
            yield what["entry"]["text"]


def look(browser, url, wide, scheme, media):
    """What is wrong, and what the page told of itself. Returns with the page still open."""
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    browser.events.clear()
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.call(domain + ".enable", session)
    browser.call("Emulation.setDeviceMetricsOverride", session, width=wide, height=900,
             deviceScaleFactor=1, mobile=wide < 500)
    browser.call("Emulation.setEmulatedMedia", session, media=media,
             features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.call("Page.navigate", session, url=url)
    browser.until("Page.loadEventFired")
    answer = browser.call("Runtime.evaluate", session, expression=LOOK, returnByValue=True)
    seen = answer["result"].get("value")
    if not seen:
        sys.exit(f"the page cannot be looked at: {answer}")
    wrong = seen["wrong"] + list(said_on_the_console(browser.events))
    asked = [event["params"]["request"]["url"] for event in browser.events
         if event.get("method") == "Network.requestWillBeSent"]
    if asked != [url]:
        wrong.append(f"it asks for {asked}")
    if not (seen["plots"] and seen["words"]):
        wrong.append("there are no plots")
    return session, seen, wrong


def shoot(browser, session, seen, wide, path):
    clip = {"x": 0, "y": 0, "width": wide, "height": min(seen["height"], 16000), "scale": 1}
    png = browser.call("Page.captureScreenshot", session, format="png", clip=clip,
               captureBeyondViewport=True)["data"]
    path.write_bytes(base64.b64decode(png))


SCREENS = [(wide, scheme, "screen") for wide in (360, 1600) for scheme in ("light", "dark")]
PAPER = [(680, scheme, "print") for scheme in ("light", "dark")]  # A4 within its margins


def look_at_all(browser, page, folder, settings):
    """What is wrong in any of them, each with its name."""
    wrong, colours = [], {}
    for wide, scheme, media in settings:
        name = f"{page.stem}-{media}-{scheme}-{wide}"
        session, seen, here = look(browser, page.as_uri(), wide, scheme, media)
        shoot(browser, session, seen, wide, folder / (name + ".png"))
        colours.setdefault(media, set()).add(seen["paper"])
        wrong += [f"{name}: {what}" for what in here]
        print(f"{name}: {seen['plots']} plots, {seen['height']} px high, {len(here)} wrong")
    if len(colours["screen"]) != 2:
        wrong.append(f"{page.stem}: dark is as light")
    if len(colours.get("print", {0})) != 1:
        wrong.append(f"{page.stem}: paper is dark")
    pdf = browser.call("Page.printToPDF", session, preferCSSPageSize=True)["data"]
    (folder / (page.stem + ".pdf")).write_bytes(base64.b64decode(pdf))
    return wrong


def main():
    results = sys.argv[1] if len(sys.argv) > 1 else test_bench_report.RESULTS
    folder = pathlib.Path(os.environ.get("BUILD", "build"), "report").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with open(results, encoding="utf-8") as file:
        strange = test_bench_report.strange(json.load(file))
    (folder / "strange.json").write_text(json.dumps(strange), encoding="utf-8")
    pages = folder / "report.html", folder / "strange.html"
    for page, of in zip(pages, (results, folder / "strange.json")):
        subprocess.run(["bench/report.py", of, page], check=True)
    signal.alarm(WAIT_S)
    wrong = []
    with tempfile.TemporaryDirectory(prefix="test-of-tally-page-",
                                     ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            wrong += look_at_all(browser, pages[0], folder, SCREENS + PAPER)
            wrong += look_at_all(browser, pages[1], folder, SCREENS)
        finally:
            browser.close()
    for what in wrong:
        print(what)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
