import triton
import triton.language as tl

# Rows of A up to which a tile is used, the tile's rows, columns and depth, warps, stages.
TILES = (
    (16, 16, 64, 128, 4, 4),
    (32, 32, 64, 128, 4, 4),
    (64, 64, 64, 128, 4, 4),
    (256, 128, 64, 64, 4, 4),
    (None, 128, 256, 64, 8, 3),
)
TOGETHER = 8  # rows of tiles that go one after another, so that B is read from the cache


@triton.jit
def gemm(a, b, c, m, n, k, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, TOGETHER: tl.constexpr):
    program = tl.program_id(0)
    down, across = tl.cdiv(m, ROWS), tl.cdiv(n, COLUMNS)
    band = program // (TOGETHER * across)
    height = tl.minimum(down - band * TOGETHER, TOGETHER)
    row = (band * TOGETHER + program % (TOGETHER * across) % height) * ROWS + tl.arange(0, ROWS)
    column = program % (TOGETHER * across) // height * COLUMNS + tl.arange(0, COLUMNS)
    depth = tl.arange(0, DEPTH)

    from_a = a + (row % m).to(tl.int64)[:, None] * k + depth[None, :]  # rows below the last are not stored
    from_b = b + column.to(tl.int64)[None, :] * k + depth[:, None]
    sums = tl.zeros([ROWS, COLUMNS], tl.float32)
    for at in range(0, k, DEPTH):
        sums = tl.dot(tl.load(from_a + at), tl.load(from_b + at), sums)
    where = c + row.to(tl.int64)[:, None] * n + column[None, :]
    tl.store(where, sums.to(c.dtype.element_ty), mask=(row < m)[:, None])


def run(A, B, C):
    (m, k), n = A.shape, B.shape[0]
    if m == 0:
        return
    _, rows, columns, depth, warps, stages = next(tile for tile in TILES if tile[0] is None or m <= tile[0])
    programs = triton.cdiv(m, rows) * triton.cdiv(n, columns)
    gemm[(programs,)](A, B, C, m, n, k, ROWS=rows, COLUMNS=columns, DEPTH=depth, TOGETHER=TOGETHER,
                      num_warps=warps, num_stages=stages)
