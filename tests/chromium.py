"""Finds the browser of the page's tests, or has the system's package manager bring it. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLAYWRIGHTS_OWN = (
    (".cache/ms-playwright", "chromium-*/chrome-linux*/chrome"),
    ("Library/Caches/ms-playwright", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*"),
    ("AppData/Local/ms-playwright", "chromium-*/chrome-win*/chrome.exe"),
)


class NoChromium(Exception):
    """There is no browser and no way to get one from here; the message is one sentence that says what to do."""


def find() -> Path | None:
    """The browser's program: on the PATH, in a Mac's place, or one that Playwright brought."""
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    if mac.exists():
        return mac
    for folder, pattern in PLAYWRIGHTS_OWN:
        if owned := sorted((Path.home() / folder).glob(pattern)):
            return owned[-1]
    return None


def see_to_it() -> Path:
    """The browser, installed with apt-get where it is missing and that needs no password. Raises NoChromium."""
    if found := find():
        return found
    if shutil.which("apt-get") and (sudo := _without_password()) is not None:
        print("Chromium is missing; installing it with apt-get.", file=sys.stderr, flush=True)
        for step in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            if subprocess.run([*sudo, "apt-get", *step], check=False).returncode:
                break
    if found := find():
        return found
    raise NoChromium(
        "The page's tests need Chromium; install it (or run: python -m playwright install chromium), "
        "or leave those tests out with --ignore=tests/browser."
    )


def _without_password() -> list[str] | None:
    """What stands before a command that root gives; None where that needs a password."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return []
    sudo = ["sudo", "--non-interactive"]
    allowed = shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode == 0
    return sudo if allowed else None
