"""Does bfloat16 pay on this processor? One product of the first model's training in both precisions, as a ratio.

python benchmarks/precision.py
"""

from __future__ import annotations

import time

import torch


def gflops(dtype: torch.dtype, repeats: int = 50) -> float:
    """10⁹ operations a second of a (2,048 × 256) · (256 × 704) product."""
    a, b = torch.randn(2048, 256).to(dtype), torch.randn(704, 256).to(dtype).T  # as a linear layer holds it
    for _ in range(3):
        a @ b
    begun = time.perf_counter()
    for _ in range(repeats):
        a @ b
    return 2 * 2048 * 256 * 704 * repeats / (time.perf_counter() - begun) / 1e9


if __name__ == "__main__":
    whole, half = gflops(torch.float32), gflops(torch.bfloat16)
    print(f"float32 {whole:.0f} GFLOP/s, bfloat16 {half:.0f} GFLOP/s: {half / whole:.2f} times as fast")
