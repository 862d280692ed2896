--- General matrix multiply C = A @ B.T: the linear layers of a model.
-- The dataset writes every GEMM in float16 and its name shows no dtype. The other dtypes put theirs in
-- front of the sizes (`gemm_bf16_n6144_k4096`, as FlashInfer's own trace templates do), so that no two
-- collide. Quantized GEMMs take scales as inputs: they would be variants, not dtypes.

local DTYPES = { float16 = true, bfloat16 = true, float32 = true }

-- Output features of the fused query, key and value projection. SGLang's output_size counts key-value heads
-- once per rank that holds a copy; the GEMM of the dataset is the whole layer's, whatever the parallelism.
local function qkv_features(layer)
  local heads, kv_heads = layer:integer("total_num_heads"), layer:integer("total_num_kv_heads")
  local head_size = layer:integer("head_size")
  local v_head_size = layer:integer("v_head_size") or head_size
  if not (heads and kv_heads and head_size) then return nil end
  local features = (heads + kv_heads) * head_size + kv_heads * v_head_size
  local text = v_head_size == head_size
      and ("(%d + 2 * %d) heads * %d = %d"):format(heads, kv_heads, head_size, features)
    or ("(%d + %d) heads * %d + %d heads * %d = %d"):format(
      heads,
      kv_heads,
      head_size,
      kv_heads,
      v_head_size,
      features
    )
  return features, text
end

local QUANTIZED = "its weights are quantized (%s); no definition describes a GEMM with scales yet"

-- The GEMM of a linear layer; a remark too when the checkpoint's weights are quantized.
local function kernels(layer, settings)
  local features, origin = qkv_features(layer)
  if not features then
    features, origin = layer:integer("output_size"), layer:origin("output_size")
  end
  local inputs = layer:integer("input_size")
  if not features or not inputs then return nil, "its sizes are not known" end
  local gemm = {
    variant = "gemm",
    params = { N = features, K = inputs, dtype = settings.gemm_dtype },
    origins = { N = origin, K = layer:origin("input_size") },
    calls = layer:calls(),
  }
  return { gemm }, settings.quantization and QUANTIZED:format(settings.quantization) or nil
end

-- The GEMM of a class that multiplies by a weight of its own.
local function own_kernels(layer, settings)
  local python = require "hone.python"
  local rows, columns = layer:matrix()
  local features, inputs = math.tointeger(python.number(rows)), math.tointeger(python.number(columns))
  if not features or not inputs then return nil, "its sizes are not known" end
  local origins = { N = python.explain(rows), K = python.explain(columns) }
  local params = { N = features, K = inputs, dtype = settings.gemm_dtype }
  return { { variant = "gemm", params = params, origins = origins, calls = layer:calls() } }
end

return {
  op_type = "gemm",
  layers = {
    ["sglang.srt.layers.linear.LinearBase"] = kernels,
    ["torch.nn.functional.linear"] = own_kernels,
  },
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
