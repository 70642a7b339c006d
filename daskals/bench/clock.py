"""Clocks: of the wall, and of this process's threads; the second tells a busy machine from a slow system."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Laps:
    """Times of the runs of something.

    `seconds`: by the clock; `cpu_seconds`: of all threads of this process together.
    """

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    def run(self, function: Callable[[], object]) -> None:
        """Call the function and note its times."""
        started, cpu_started = time.perf_counter(), time.process_time()
        function()
        self.seconds.append(time.perf_counter() - started)
        self.cpu_seconds.append(time.process_time() - cpu_started)
