"""Seconds of a training step by precision: float32, bfloat16 and float16 in turn, one thread each, the same pictures.

    .venv/bin/python infra/benchmarks/training_precision.py [--arch resnet18] [--size 160x120] [--batch 16] [--steps 30]

Steps of the real loop on random pictures: a speed does not depend on them. All precisions stand side by side and take
a few steps each, round after round, so that other work on the machine harms all alike; the first steps of each aren't
counted. Medians are told: CPU seconds, which other work changes little, and seconds of the clock.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Iterator

import numpy as np
import torch

from models.dataset import Pictures
from models.fit import Fit, FitSpec, Hooks, Step
from models.resnet import Classifier, bf16_is_native, build_network
from schemas.records import Precision

WARM_UP, TURN = 3, 5  # steps
PRECISIONS = (Precision.FP32, Precision.BF16, Precision.FP16)


class Course:
    """One training in a thread of its own, which goes on by so many steps as it is told."""

    def __init__(self, fit: Fit) -> None:
        self.cpu_s, self.clock_s = list[float](), list[float]()
        self._may, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._before = (0.0, 0.0)
        self._fit = fit
        threading.Thread(target=self._run, daemon=True).start()

    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self._may.release()
            self._done.acquire()

    def _run(self) -> None:
        torch.set_num_threads(1)
        self._may.acquire()
        self._fit.run(Hooks(self._stepped))

    def _stepped(self, step: Step) -> None:
        cpu_s, clock_s = time.thread_time() - self._before[0], time.perf_counter() - self._before[1]
        if step.number > WARM_UP:
            self.cpu_s.append(cpu_s)
            self.clock_s.append(clock_s)
        self._done.release()
        self._may.acquire()
        self._before = time.thread_time(), time.perf_counter()


def courses(options: argparse.Namespace) -> Iterator[Course]:
    width, height = map(int, options.size.split("x"))
    rng = np.random.default_rng(1)
    count = 4 * options.batch
    data = Pictures(rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8), np.arange(count) % 2)
    for precision in PRECISIONS:
        torch.manual_seed(0)
        classifier = Classifier(build_network(options.arch, 2), (0.5,) * 3, (0.25,) * 3, 1.0)
        spec = FitSpec(practice=0, epochs=1_000, batch=options.batch, precision=precision)
        yield Course(Fit(classifier, data, 0, spec, 0))


def main(options: argparse.Namespace) -> None:
    running = list(courses(options))
    for _ in range(-(-(options.steps + WARM_UP) // TURN)):
        for course in running:
            course.go_on(TURN)
    print(f"{options.arch} at {options.size}, batch {options.batch}, bfloat16 native: {bf16_is_native()}")
    first = statistics.median(running[0].cpu_s)
    for precision, course in zip(PRECISIONS, running, strict=True):
        cpu_s, clock_s = statistics.median(course.cpu_s), statistics.median(course.clock_s)
        ratio = f"{cpu_s / first:.2f} of float32's"
        print(
            f"{precision.name:<6}{cpu_s:8.3f} CPU-s a step ({len(course.cpu_s)}), {ratio}; {clock_s:.3f} s of the clock"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--size", default="160x120")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=30, help="of each precision")
    main(parser.parse_args())
