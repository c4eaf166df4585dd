"""`connector demo` from start to end, twice, and broken off with Ctrl-C in between: nothing of it stays behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow


class Demo:
    """One run of the demo as a terminal starts it: a process group that Ctrl-C reaches as a whole."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "connector", "demo", "--leads", "80", "--contacts", "80", *options],
            env=environment | {"TMPDIR": str(folder)},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def interrupt_at(self, words: str, delay: float) -> tuple[int, str]:
        """Press Ctrl-C so long after it says these words; return its status and what it said then."""
        assert self.process.stderr
        for line in self.process.stderr:
            if words in line:
                break
        time.sleep(delay)
        os.killpg(self.process.pid, signal.SIGINT)
        watchdog = threading.Timer(60, self.process.kill)
        watchdog.start()
        said = self.process.communicate()[1]
        watchdog.cancel()
        return self.process.returncode, said

    def leaves_nothing(self) -> bool:
        """Whether no file and, shortly after, no process of it is left."""
        assert list(self.folder.iterdir()) == []
        deadline = time.monotonic() + 20
        while any(self._processes()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def _processes(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("TMPDIR") == str(self.folder)
                if ours or str(self.folder) in " ".join(process.cmdline()):
                    yield process
            except psutil.Error:
                continue


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "somewhere"
    made.mkdir()
    return made


def play(folder: Path) -> None:
    demo = Demo(folder, "--json")
    out, said = demo.process.communicate(timeout=120)
    assert demo.process.returncode == 0, said
    assert "Traceback" not in said
    told = json.loads(out.splitlines()[-1])
    assert len(told["edits"]) == 3
    assert len(told["people_by_source"]) == 3
    kinds = {change[1] for change in told["changes"]}
    assert {"changed"} <= kinds <= {"changed", "gone", "new person"}
    touched = {change[0] for change in told["changes"]}
    assert told["person"] in touched
    assert len(touched) == len(told["changes"]) <= 4
    assert demo.leaves_nothing()


def test_ctrl_c_leaves_nothing_and_the_demo_runs_again(folder: Path) -> None:
    for words, delay in (("Starting PostgreSQL", 1.5), ("Connecting both orgs", 1.0)):
        demo = Demo(folder)
        status, said = demo.interrupt_at(words, delay)
        assert status == 130, said
        assert "Traceback" not in said
        assert "Interrupted" in said
        assert demo.leaves_nothing()
    play(folder)


def test_the_demo_tells_its_story(folder: Path) -> None:
    demo = Demo(folder)
    out, said = demo.process.communicate(timeout=120)
    assert demo.process.returncode == 0, said
    for words in ("together", "acme", "globex", "What changed, and nothing else", "Done in"):
        assert words in out
    assert demo.leaves_nothing()
