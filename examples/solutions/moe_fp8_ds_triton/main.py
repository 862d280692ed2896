import torch
import triton
import triton.language as tl

from .routing import CHOSEN, route, tiles

BLOCK = 128  # elements that share a scale: also what a program multiplies at once


@triton.jit
def gate_and_up(x, x_scale, w, w_scale, order, tile_expert, tile_start, tile_end, middle, tokens, size, inner,
                CHOSEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    """silu(gate) * up of one tile of choices: [rows, inner] in float32."""
    tile, column_block = tl.program_id(1), tl.program_id(0)
    expert = tl.load(tile_expert + tile).to(tl.int64)
    if expert < 0:
        return
    row = tl.load(tile_start + tile) + tl.arange(0, ROWS)
    is_row = row < tl.load(tile_end + tile)
    token = tl.load(order + row, mask=is_row, other=0) // CHOSEN
    column = column_block * COLUMNS + tl.arange(0, COLUMNS)
    depth = tl.arange(0, BLOCK)
    blocks, inner_blocks = size // BLOCK, inner // BLOCK
    scale_row = column_block * COLUMNS // BLOCK

    up_at = w + (expert * 2 * inner + column)[:, None] * size + depth[None, :]
    gate_at = up_at + inner.to(tl.int64) * size
    up_scale = w_scale + (expert * 2 * inner_blocks + scale_row) * blocks
    gate_scale = up_scale + inner_blocks * blocks
    up = tl.zeros([ROWS, COLUMNS], tl.float32)
    gate = tl.zeros([ROWS, COLUMNS], tl.float32)
    for k in range(blocks):
        a = tl.load(x + token[:, None] * size + k * BLOCK + depth[None, :], mask=is_row[:, None], other=0.0)
        by = tl.load(x_scale + k * tokens + token, mask=is_row, other=0.0)
        a = a.to(tl.bfloat16)
        u = tl.load(up_at + k * BLOCK).to(tl.bfloat16)
        up += tl.dot(a, tl.trans(u)) * (by * tl.load(up_scale + k))[:, None]
        g = tl.load(gate_at + k * BLOCK).to(tl.bfloat16)
        gate += tl.dot(a, tl.trans(g)) * (by * tl.load(gate_scale + k))[:, None]
    result = up * gate * tl.sigmoid(gate)
    tl.store(middle + row.to(tl.int64)[:, None] * inner + column[None, :], result, mask=is_row[:, None])


@triton.jit
def down(middle, w, w_scale, weights, order, tile_expert, tile_start, tile_end, output, size, inner,
         CHOSEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    """Adds each choice's share to its token. A float32 is two bfloat16s, so that nothing is lost before the product."""
    tile, column_block = tl.program_id(1), tl.program_id(0)
    expert = tl.load(tile_expert + tile).to(tl.int64)
    if expert < 0:
        return
    row = tl.load(tile_start + tile) + tl.arange(0, ROWS)
    is_row = row < tl.load(tile_end + tile)
    choice = tl.load(order + row, mask=is_row, other=0)
    column = column_block * COLUMNS + tl.arange(0, COLUMNS)
    depth = tl.arange(0, BLOCK)
    blocks = inner // BLOCK

    w_at = w + (expert * size + column)[:, None] * inner + depth[None, :]
    scale_at = w_scale + (expert * (size // BLOCK) + column_block * COLUMNS // BLOCK) * blocks
    sums = tl.zeros([ROWS, COLUMNS], tl.float32)
    for k in range(blocks):
        a = tl.load(middle + row.to(tl.int64)[:, None] * inner + k * BLOCK + depth[None, :], mask=is_row[:, None],
                    other=0.0)
        high = a.to(tl.bfloat16)
        low = (a - high.to(tl.float32)).to(tl.bfloat16)
        b = tl.trans(tl.load(w_at + k * BLOCK).to(tl.bfloat16))
        sums += (tl.dot(high, b) + tl.dot(low, b)) * tl.load(scale_at + k)
    share = tl.load(weights + choice, mask=is_row, other=0.0)
    at = output + (choice // CHOSEN)[:, None] * size + column[None, :]
    tl.atomic_add(at, sums * share[:, None], mask=is_row[:, None], sem="relaxed")


def run(routing_logits, routing_bias, hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale,
        gemm2_weights, gemm2_weights_scale, local_expert_offset, routed_scaling_factor, output):
    tokens, size = hidden_states.shape
    if tokens == 0:
        return
    count, inner = gemm1_weights.shape[0], gemm2_weights.shape[2]
    rows = 16 if tokens <= 256 else 64
    columns = 64 if tokens <= 256 else 128
    experts, weights = route(routing_logits, routing_bias, routed_scaling_factor)
    order, expert, start, end = tiles(experts, local_expert_offset, count, rows)
    middle = torch.empty((tokens * CHOSEN, inner), dtype=torch.float32, device=output.device)
    sums = torch.zeros((tokens, size), dtype=torch.float32, device=output.device)
    shape = dict(CHOSEN=CHOSEN, ROWS=rows, COLUMNS=columns, BLOCK=BLOCK, num_warps=4 if rows == 16 else 8)
    gate_and_up[(inner // columns, expert.numel())](
        hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale, order, expert, start, end, middle,
        tokens, size, inner, **shape)
    down[(size // columns, expert.numel())](
        middle, gemm2_weights, gemm2_weights_scale, weights, order, expert, start, end, sums, size, inner, **shape)
    output.copy_(sums)
