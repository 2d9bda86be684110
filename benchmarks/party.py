"""Processes that take part in a benchmark, from outside: what they say, and what they use of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Party:
    """`python -m MODULE ARGUMENTS...`: it says what it has to say in lines of JSON, first its `url`."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)
        self.url = str(self.next()["url"])

    def next(self) -> dict[str, Any]:
        """The next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a party of the benchmark has ended")
        told: dict[str, Any] = json.loads(line)
        return told

    def cpu_s(self) -> float:
        """What it has used so far."""
        return cpu_s(self._process.pid)

    def memory_bytes(self) -> int:
        """What it holds in memory now."""
        return self._status("VmRSS")

    def forget_peak(self) -> int:
        """From now on `peak_bytes` counts anew; what it has now."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")
        return self.memory_bytes()

    def peak_bytes(self) -> int:
        """The most memory that it had since `forget_peak`."""
        return self._status("VmHWM")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise KeyError(name)

    def end(self) -> None:
        """Kill it, once or again."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def cpu_s(process: int, *, with_ended_children: bool = False) -> float:
    """Seconds of CPU, in user and kernel."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if with_ended_children else 13])) / os.sysconf("SC_CLK_TCK")
