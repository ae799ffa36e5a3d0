"""A browser without a screen: Chromium by its own driver, over the protocol WebDriver (W3C)."""
import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
PATIENCE = 60


class BrowserError(Exception):
    pass


class Browser:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="vweb-browser-")
        self.log = open(os.path.join(self.folder, "driver.log"), "w+", encoding="utf-8")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True,
                                       env={**os.environ, "HOME": self.folder})
        self.port = self.session = None
        try:
            self.begin()
        except Exception:
            self.end()
            raise

    def begin(self):
        self.wait(self.find_port, "chromedriver")
        capabilities = {"acceptInsecureCerts": True, "browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}, "goog:chromeOptions": {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run",
                     f"--user-data-dir={self.folder}/profile"]}}
        self.session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]

    def find_port(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as log:
            match = re.search(r"successfully on port (\d+)", log.read())
        self.port = int(match[1]) if match else None
        return match

    def wait(self, condition, text):
        end, last = time.monotonic() + PATIENCE, ""
        while True:
            try:
                found = condition()
                if found:
                    return found
            except BrowserError as error:  # what was found may have been drawn anew meanwhile
                last = f" ({error})"
            if time.monotonic() > end:
                raise BrowserError(f"in vain waited for: {text}{last}")
            time.sleep(0.05)

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path if self.session is None else f"/session/{self.session}{path}", json.dumps(body) if method == "POST" else None)
        answer = connection.getresponse()
        value = json.loads(answer.read())["value"]
        connection.close()
        if answer.status != 200:
            raise BrowserError(f"{path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def end(self):
        with contextlib.suppress(BrowserError, OSError):
            if self.session:
                self.call("DELETE", "")
        self.driver.terminate()
        self.driver.wait(PATIENCE)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- Pages ----

    def open(self, address):
        self.call("POST", "/url", {"url": address})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script, *arguments):
        return self.call("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def size(self, width, height):
        """What is seen of the page has this size, also where a window may not be so narrow."""
        self.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}})

    def picture(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("GET", "/screenshot")))

    def find(self, css, text=None):
        """The first that is seen, and says this; it is waited for."""
        script = """return [...document.querySelectorAll(arguments[0])].find((e) => e.checkVisibility() &&
                    (arguments[1] === null || e.textContent.includes(arguments[1])))"""
        return self.wait(lambda: self.run(script, css, text), f"{css} {text or ''}")[ELEMENT]

    def click(self, css, text=None):
        def once():
            self.call("POST", f"/element/{self.find(css, text)}/click", {})
            return True
        self.wait(once, f"a click on {css} {text or ''}")

    def write(self, css, text):
        element = self.find(css)
        self.call("POST", f"/element/{element}/clear", {})
        self.call("POST", f"/element/{element}/value", {"text": text})

    def attach(self, css, path):
        """A file of this machine, in a field for one."""
        element = self.find(css)
        self.call("POST", f"/element/{element}/value", {"text": path})

    def downloads(self, folder):
        self.call("POST", "/goog/cdp/execute", {"cmd": "Browser.setDownloadBehavior", "params": {"behavior": "allow", "downloadPath": folder}})

    def keys(self, text):
        """To what has the focus. Ctrl (\\ue009) is held to the end."""
        actions = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp") if (key, kind) != ("\ue009", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})
        self.call("DELETE", "/actions")

    def text(self, css="body"):
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", css)

    def complaints(self):
        """What it has to say about the page: errors, and what its policy forbids."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"}) if entry["level"] in ("SEVERE", "WARNING")]

    def addresses(self):
        """What was asked for over the network since this was asked."""
        found = []
        for entry in self.call("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                found.append(message["params"]["url"])
        return found
