"""{{definition}} in Triton: {{summary}}

{{signature}}
"""

import triton
import triton.language as tl

N, K = {{N}}, {{K}}


@triton.jit
def gemm(a, b, c, m, N: tl.constexpr, K: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.program_id(1) * BN + tl.arange(0, BN)
    steps = tl.arange(0, BK)
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for first in range(0, K, BK):
        k = first + steps
        left = tl.load(a + rows[:, None] * K + k[None, :], mask=(rows[:, None] < m) & (k[None, :] < K), other=0.0)
        right = tl.load(b + columns[None, :] * K + k[:, None], mask=(columns[None, :] < N) & (k[:, None] < K), other=0.0)
        total = tl.dot(left, right, total)
    mask = (rows[:, None] < m) & (columns[None, :] < N)
    tl.store(c + rows[:, None] * N + columns[None, :], total.to(c.dtype.element_ty), mask=mask)


def run({{all_names}}):
    m = A.shape[0]
    if m == 0:
        return
    bm, bn = 16 if m <= 16 else 64, 64
    gemm[(triton.cdiv(m, bm), triton.cdiv(N, bn))](A, B, C, m, N, K, bm, bn, 64)
