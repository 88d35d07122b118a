"""A JupyterLab server of its own: on 127.0.0.1, in a directory of its own, reading no settings of the user."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from ipykernel.kernelspec import write_kernel_spec
from jupyter_core.paths import jupyter_path

ROOT = Path(__file__).resolve().parents[2]
START_S = 90
STOP_S = 20

SETTINGS = {
    # All cells are in the page, also those that would have to be scrolled to.
    "notebook-extension/tracker": {"windowingMode": "none"},
    # What a notebook shows after a test is not written over what the next one reads.
    "docmanager-extension/plugin": {"autosave": False},
    # The news are asked of a network, and the question about them covers the page.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
EXTENSIONS = frozenset({"@jupyter-widgets/jupyterlab-manager", "anywidget"})
"""What is added to JupyterLab. Others that happen to be installed bring errors of their own."""
OPTIONS = (
    "--no-browser",
    "--allow-root",
    "--expose-app-in-browser",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--ServerApp.terminals_enabled=False",
    "--LabApp.extension_manager=readonly",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LanguageServerManager.autodetect=False",
)


class JupyterServer:
    """JupyterLab in a process of its own, on copies of the notebooks and beside their data."""

    def __init__(self, directory: Path) -> None:
        self.files = directory / "files"
        self.notebooks = self.files / "notebooks"
        self.token = secrets.token_hex(16)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = directory / "server.log"
        shutil.copytree(ROOT / "notebooks", self.notebooks, ignore=shutil.ignore_patterns("*.png"))
        (self.files / "data").symlink_to(ROOT / "data")
        environment = self._environment(directory)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyterlab", *OPTIONS),
                    f"--ServerApp.port={self.port}",
                    f"--ServerApp.root_dir={self.files}",
                ],
                env={**environment, "JUPYTER_TOKEN": self.token},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _environment(self, directory: Path) -> dict[str, str]:
        """The environment of the server and its kernels, with directories that are written for it."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ABSDB_", "JUPYTER", "PYTEST_", "IPYTHON"))
        }
        places = {
            "JUPYTER_CONFIG_DIR": directory / "config",
            "JUPYTER_DATA_DIR": directory / "share",
            "JUPYTER_RUNTIME_DIR": directory / "run",
            "JUPYTERLAB_SETTINGS_DIR": directory / "settings",
            "JUPYTERLAB_WORKSPACES_DIR": directory / "workspaces",
            "IPYTHONDIR": directory / "ipython",
        }
        write_kernel_spec(directory / "share" / "kernels" / "python3")  # of this interpreter
        for name, values in SETTINGS.items():
            file = directory / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values), encoding="utf-8")
        disabled = dict.fromkeys(installed_extensions() - EXTENSIONS, True)
        file = directory / "config" / "labconfig" / "page_config.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"disabledExtensions": disabled}), encoding="utf-8")
        return {**kept, **{name: str(place) for name, place in places.items()}}

    def _wait(self) -> None:
        end = time.monotonic() + START_S
        while True:
            try:
                self.get("/api/status")
                return
            except (urllib.error.URLError, ConnectionError):
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"JupyterLab did not start:\n{self.log()}") from None
                time.sleep(0.1)

    def get(self, path: str) -> object:
        """What the server answers to a GET of its REST interface."""
        asked = urllib.request.Request(self.url + path, headers={"Authorization": f"token {self.token}"})
        # Not through a proxy that the environment may name.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(asked, timeout=10) as answer:
            return json.load(answer)

    def log(self) -> str:
        """What the server and its kernels have printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def installed_extensions() -> set[str]:
    """The names of JupyterLab's extensions that this interpreter would load."""
    return {
        package.parent.relative_to(place).as_posix()
        for place in map(Path, jupyter_path("labextensions"))
        for pattern in ("[!@]*/package.json", "@*/*/package.json")
        for package in place.glob(pattern)
    }
