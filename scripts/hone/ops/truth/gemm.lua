--- Ground truth and test inputs of matrix products.
local truth = [=[
import torch


def truth(A, B):
    return A.to(torch.float64) @ B.to(torch.float64).t()
]=]

local make = [=[
CASES = [{"rows": 1}, {"rows": 7}, {"rows": 64}]


def make_inputs(case, rng):
    return [rng.normal(case["rows"], K, dtype=DTYPE), rng.normal(N, K, dtype=DTYPE)]
]=]

local block_truth = [=[
import torch


def blocks(count, device):
    """The block of 128 that each of so many elements is in."""
    return torch.arange(count, device=device) // 128


def truth(A, B, A_scale, B_scale):
    rows, columns = blocks(B.shape[0], B.device), blocks(B.shape[1], B.device)
    a = A.to(torch.float64) * A_scale.to(torch.float64)[:, columns]
    b = B.to(torch.float64) * B_scale.to(torch.float64)[rows][:, columns]
    return a @ b.t()
]=]

local make_block = [=[
CASES = [{"rows": 1}, {"rows": 7}, {"rows": 64}]


def make_inputs(case, rng):
    scales = rng.uniform(case["rows"], NUM_K_BLOCKS) + 0.5, rng.uniform(NUM_N_BLOCKS, NUM_K_BLOCKS) + 0.5
    return [rng.fp8(case["rows"], K), rng.fp8(N, K), *scales]
]=]

local tensor_truth = [=[
import torch


def truth(A, B, A_scale, B_scale):
    return (A.to(torch.float64) * A_scale) @ (B.to(torch.float64) * B_scale).t()
]=]

local make_tensor = [=[
CASES = [{"rows": 1}, {"rows": 7}, {"rows": 64}]


def make_inputs(case, rng):
    return [rng.fp8(case["rows"], K), rng.fp8(N, K), 0.75, 1.25]
]=]

-- FlashInfer asks for scales of shape (M, K // 128) and never looks at their strides: its kernel takes them block after
-- block. Scales in the order of rows are others' scales to it, and where rows are no whole fours it reads past them.
local flashinfer_block = [=[
def block_after_block(scales):
    """The same scales, in memory all rows' of the first block, then of the next, each filled up to whole fours."""
    rows, blocks = scales.shape
    memory = scales.new_zeros(blocks, -(-rows // 4) * 4)
    memory[:, :rows] = scales.t()
    return memory[:, :rows].t()


def flashinfer_truth(A, B, A_scale, B_scale):
    from flashinfer.gemm import fp8_blockscale_gemm_sm90

    if torch.cuda.get_device_capability()[0] != 9 or A.shape[1] % 128 or B.shape[0] % 128:
        pytest.skip("FlashInfer's kernel is for Hopper and whole blocks")
    return fp8_blockscale_gemm_sm90(A, B, block_after_block(A_scale), B_scale)
]=]

local flashinfer_tensor = [=[
def flashinfer_truth(A, B, A_scale, B_scale):
    from flashinfer.gemm import bmm_fp8

    if A.shape[1] % 16 or B.shape[0] % 16:
        pytest.skip("cuBLASLt takes rows of whole sixteens")
    scales = (torch.tensor(scale, dtype=torch.float32, device=A.device) for scale in (A_scale, B_scale))
    return bmm_fp8(A.unsqueeze(0), B.t().unsqueeze(0), *scales, torch.bfloat16, backend="cublas").squeeze(0)
]=]

-- Sums of so many products lose digits in proportion to their size: what is compared is scaled by it.
local TOLERANCE = { atol = 0.25, rtol = 0.01 }

return {
  fp8_block_scale = {
    truth = block_truth,
    make = make_block,
    tolerance = TOLERANCE,
    flashinfer = flashinfer_block,
    flashinfer_needs = { "flashinfer.gemm" },
  },
  fp8_per_tensor_scale = {
    truth = tensor_truth,
    make = make_tensor,
    tolerance = TOLERANCE,
    flashinfer = flashinfer_tensor,
    flashinfer_needs = { "flashinfer.gemm" },
    telling = function() return { A_scale = 0.75, B_scale = 1.25 } end,
  },
  gemm = {
    truth = truth,
    make = make,
    tolerance = TOLERANCE,
    make_parts = function() return {} end,
    without_flashinfer = "a plain product is cuBLAS's, which torch calls as well",
    constants = function(definition) return { DTYPE = "torch." .. definition.inputs.A.dtype } end,
  },
}
