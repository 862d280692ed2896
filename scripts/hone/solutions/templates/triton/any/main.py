"""{{definition}} in Triton: {{summary}}

{{signature}}

A beginning that runs, and is wrong: every output is filled with zeros.
"""

import triton
import triton.language as tl


@triton.jit
def fill(target, count, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(target + i, tl.zeros((BLOCK,), dtype=target.dtype.element_ty), mask=i < count)


def run({{all_names}}):
    for target in ({{output_names}},):
        if target.numel() > 0:
            fill[(triton.cdiv(target.numel(), 1024),)](target, target.numel(), 1024)
