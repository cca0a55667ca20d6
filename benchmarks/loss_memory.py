"""Measure memory and time of one training step over a large catalog: loss and gradients.

    pip install 'nextclick[neural]'
    python benchmarks/loss_memory.py --items 1000000 --width 100 --prefixes 512

Each case runs in its own process. "Beyond inputs" is the peak of the resident memory above its
level with query, table and targets. It includes the gradients; the dense gradient of the table
(first line) is as large as the table. The optimizer state is additional and the same for all cases.
Seconds are the minimum of `--repeats` steps after the first. A case that does not fit in memory
prints a message.

- full: `nextclick.losses.softmax.full_softmax`
- plain: `F.cross_entropy(query @ table[1:].T, targets - 1)`
- sampled: `nextclick.losses.sampled.sampled_softmax` with log-Q, dense gradient of the table
- sparse: the same with a sparse gradient of the table
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nextclick.batches.negatives import NegativeSampler
from nextclick.losses.sampled import sampled_softmax
from nextclick.losses.softmax import full_softmax

CASES = ("full", "plain", "sampled", "sparse")
MIB = 1 << 20


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """Most bytes that it ever had there."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Step:
    """Query, table and targets, and what a case makes of them."""

    def __init__(self, case: str, options: argparse.Namespace):
        torch.manual_seed(0)
        N, D, P = options.items, options.width, options.prefixes
        self.case = case
        self.query = torch.randn(P, D).requires_grad_()
        self.table = torch.empty(N + 1, D).normal_(std=0.1).requires_grad_()
        self.targets = torch.randint(1, N + 1, (P,))
        sampler = NegativeSampler(np.ones(N + 1), 0.0)
        drawn = sampler.draw(options.negatives, np.random.default_rng(0))
        self.negatives, self.log_q = torch.from_numpy(drawn), torch.from_numpy(sampler.log_q)

    def __call__(self) -> None:
        """Compute the loss and all gradients."""
        self.query.grad = self.table.grad = None
        self.loss().backward()  # type: ignore[no-untyped-call]

    def loss(self) -> Tensor:
        """Return the loss of the case."""
        if self.case == "full":
            return full_softmax(self.query, self.table, self.targets)
        if self.case == "plain":
            return cross_entropy(self.query @ self.table[1:].T, self.targets - 1)
        return sampled_softmax(
            self.query, self.table, self.targets, self.negatives,
            log_q=self.log_q, sparse=self.case == "sparse",
        )  # fmt: skip


def measure(case: str, options: argparse.Namespace) -> dict[str, float]:
    """Run one case in this process."""
    torch.set_num_threads(options.threads)
    step = Step(case, options)
    before = resident()
    step()
    most = peak()
    seconds = []
    for _ in range(options.repeats):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return {"beyond": most - before, "peak": most, "seconds": min(seconds)}


def main() -> None:
    """Run every case in a process of its own and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--prefixes", type=int, default=512)
    parser.add_argument("--negatives", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", choices=CASES, help="run this one here and print JSON")
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.case, options)))
        return

    N, D, P = options.items, options.width, options.prefixes
    print(f"one table gradient: {4 * (N + 1) * D:,} bytes; P x N logits: {4 * P * N:,} bytes")
    print(f"{'':8} {'beyond inputs, bytes':>22} {'peak, bytes':>16} {'seconds':>9}")
    for case in CASES:
        command = [sys.executable, *sys.argv, "--case", case]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{case:8} failed: {(done.stderr.strip() or 'killed').splitlines()[-1]}")
            continue
        found = json.loads(done.stdout)
        print(
            f"{case:8} {found['beyond']:22,} {found['peak']:16,} {found['seconds']:9.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
