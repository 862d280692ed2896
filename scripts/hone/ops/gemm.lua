--- General matrix multiply C = A @ B.T: the linear layers of a model.
-- The dataset writes every GEMM in float16 and its name shows no dtype. The other dtypes put theirs in
-- front of the sizes (`gemm_bf16_n6144_k4096`, as FlashInfer's own trace templates do), so that no two
-- collide. Quantized GEMMs take scales as inputs: they would be variants, not dtypes.

local DTYPES = { float16 = true, bfloat16 = true, float32 = true }

return {
  op_type = "gemm",
  check = function(params)
    if DTYPES[params.dtype] then return true end
    local message = "no GEMM without scales is known in %s (only float16, bfloat16, float32)"
    return nil, message:format(params.dtype)
  end,
  variants = {
    gemm = {
      names = {
        { "gemm_n${N}_k${K}", with = { dtype = "float16" } },
        { "gemm_bf16_n${N}_k${K}", with = { dtype = "bfloat16" } },
        { "gemm_fp32_n${N}_k${K}", with = { dtype = "float32" } },
        { "gemm_n_${N}_k_${K}", with = { dtype = "float16" }, style = "older" },
        { "gemm_bf16_n_${N}_k_${K}", with = { dtype = "bfloat16" }, style = "older" },
        { "gemm_fp32_n_${N}_k_${K}", with = { dtype = "float32" }, style = "older" },
      },
      defaults = { dtype = "float16" },
      description = "General matrix multiply (GEMM) C = A @ B.T in ${dtype}, N=${N}, K=${K}.",
      axes = {
        { "M", "var", "Number of rows of A, one per token." },
        { "N", "const", "Output features of the layer" },
        { "K", "const", "Input features of the layer, summed over" },
      },
      inputs = {
        { "A", { "M", "K" }, "${dtype}", "Activations, one row per token." },
        { "B", { "N", "K" }, "${dtype}", "Weight, one row per output feature." },
      },
      outputs = { { "C", { "M", "N" }, "${dtype}", "Product A @ B.T." } },
      reference = [=[
import torch


@torch.no_grad()
def run(A, B):
    assert A.shape[1] == ${K}
    assert tuple(B.shape) == (${N}, ${K})

    return torch.matmul(A, B.transpose(0, 1))
]=],
    },
  },
}
