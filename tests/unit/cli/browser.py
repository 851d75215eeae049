"""A page in a real browser, headless. Needs Chromium on PATH."""

import base64
import hashlib
import html
import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH")

_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


def title_after(folder, page, script):
    """What a script makes of the page's title; it is let pass the page's policy, which lets no other pass.

    What is written to the console, errors of the page's own scripts among it, fails the test.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    assert allowed != page
    file = folder / "page.html"
    file.write_text(allowed.replace("</body>", f"<script>{script}</script></body>"))
    logging = ["--enable-logging=stderr", "--v=0", "--window-size=1400,1000", "--virtual-time-budget=5000"]
    run = subprocess.run(
        [CHROMIUM, *_OPTIONS, *logging, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    assert not said, said
    return html.unescape(re.search("<title>(.*?)</title>", run.stdout, re.DOTALL)[1])
