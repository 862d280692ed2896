--- General matrix multiply C = A @ B.T: the linear layers of a model.
-- The dataset writes every GEMM in float16 and its name shows no dtype. The other dtypes put theirs in
-- front of the sizes (`gemm_bf16_n6144_k4096`, as FlashInfer's own trace templates do), so that no two
-- collide. GEMMs of FP8 take scales as inputs: they are variants, not dtypes.

local BLOCK = 128 -- elements that share a scale: of a row of A, and in each direction of B

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

local QUANTIZED = "its weights are quantized by %s, which no definition of a GEMM describes yet"

-- The variant that runs a linear layer of a quantized checkpoint; a remark where there is none for it.
local function quantized_variant(layer, settings)
  local world, method = layer.world, layer.world:attribute(layer.instance, "quant_method")
  local name = method and world:class_name(method)
  if not name then return "gemm", QUANTIZED:format(settings.quantization) end
  if name:find "^Unquantized" then return "gemm" end
  if name:find "^Fp8Linear" and world:attribute(method, "block_quant") == true then
    local size = require("hone.python").to_lua(world:attribute(method, "weight_block_size"))
    if type(size) == "table" and size[1] == BLOCK and size[2] == BLOCK then return "fp8_block_scale" end
  elseif name:find "^Fp8Linear" or name:find "^ModelOptFp8" then
    return "fp8_per_tensor_scale"
  end
  return "gemm", QUANTIZED:format(name)
end

-- The GEMM of a linear layer; with `settings.quantization` as its weights are quantized.
local function kernels(layer, settings)
  local features, origin = qkv_features(layer)
  if not features then
    features, origin = layer:integer("output_size"), layer:origin("output_size")
  end
  local inputs = layer:integer("input_size")
  if not features or not inputs then return nil, "its sizes are not known" end
  local variant, remark = "gemm", nil
  if settings.quantization then
    variant, remark = quantized_variant(layer, settings)
  end
  local gemm = {
    variant = variant,
    params = { N = features, K = inputs, dtype = variant == "gemm" and settings.gemm_dtype or nil },
    origins = { N = origin, K = layer:origin("input_size") },
    calls = layer:calls(),
  }
  return { gemm }, remark
end

-- The GEMM of torch's own linear layer, which is never quantized.
local function plain_kernels(layer, settings)
  local features, inputs = layer:integer("out_features"), layer:integer("in_features")
  if not features or not inputs then return nil, "its sizes are not known" end
  local origins = { N = layer:origin("out_features"), K = layer:origin("in_features") }
  local params = { N = features, K = inputs, dtype = settings.gemm_dtype }
  return { { variant = "gemm", params = params, origins = origins, calls = layer:calls() } }
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

-- ---- GEMMs of FP8 ----------------------------------------------------------------------------------

local M_AXIS = { "M", "var", "Number of rows of A, one per token." }
local N_AXIS = { "N", "const", "Output features of the layer" }
local K_AXIS = { "K", "const", "Input features of the layer, summed over" }

local function blocks(name)
  return function(params) return (params[name] + BLOCK - 1) // BLOCK end
end

local A = { "A", { "M", "K" }, "float8_e4m3fn", "Activations in FP8, one row per token." }
local B = { "B", { "N", "K" }, "float8_e4m3fn", "Weight in FP8, one row per output feature." }
local C = { "C", { "M", "N" }, "bfloat16", "Product of what A and B stand for, A @ B.T." }

local fp8_block_scale = {
  names = { { "gemm_fp8_block_scale_n${N}_k${K}" } },
  description = "General matrix multiply (GEMM) C = A @ B.T in FP8 with a scale for each block of 128 elements, "
    .. "N=${N}, K=${K}.",
  flags = { "quantization:float8_e4m3fn" },
  fi_api = "flashinfer.gemm.gemm_fp8_nt_groupwise",
  axes = {
    M_AXIS,
    N_AXIS,
    K_AXIS,
    { "num_n_blocks", "const", "Scales along N, one for 128 elements", value = blocks "N" },
    { "num_k_blocks", "const", "Scales along K, one for 128 elements", value = blocks "K" },
  },
  inputs = {
    A,
    B,
    {
      "A_scale",
      { "M", "num_k_blocks" },
      "float32",
      "Scales of A, one for 128 elements of a row.",
    },
    {
      "B_scale",
      { "num_n_blocks", "num_k_blocks" },
      "float32",
      "Scales of B, one for 128 x 128 elements.",
    },
  },
  outputs = { C },
  reference = [=[
import torch

BLOCK = 128  # elements that share a scale


@torch.no_grad()
def run(A, B, A_scale, B_scale):
    N, K = B.shape
    assert A.shape[1] == ${K}
    assert tuple(B.shape) == (${N}, ${K})

    # Each scale as often as it has elements; the last block of a row or column may be shorter.
    a_scale = A_scale.repeat_interleave(BLOCK, dim=1)[:, :K]
    b_scale = B_scale.repeat_interleave(BLOCK, dim=0)[:N].repeat_interleave(BLOCK, dim=1)[:, :K]

    a = A.to(torch.float32) * a_scale
    b = B.to(torch.float32) * b_scale
    return torch.matmul(a, b.transpose(0, 1)).to(torch.bfloat16)
]=],
}

local fp8_per_tensor_scale = {
  names = { { "gemm_fp8_per_tensor_scale_n${N}_k${K}" } },
  description = "General matrix multiply (GEMM) C = A @ B.T in FP8 with one scale for each matrix, "
    .. "N=${N}, K=${K}.",
  flags = { "quantization:float8_e4m3fn" },
  axes = { M_AXIS, N_AXIS, K_AXIS },
  inputs = {
    A,
    B,
    { "A_scale", nil, "float32", "Factor of A." },
    { "B_scale", nil, "float32", "Factor of B." },
  },
  outputs = { C },
  reference = [=[
import torch


@torch.no_grad()
def run(A, B, A_scale, B_scale):
    assert A.shape[1] == ${K}
    assert tuple(B.shape) == (${N}, ${K})

    product = torch.matmul(A.to(torch.float32), B.to(torch.float32).transpose(0, 1))
    return (product * (A_scale * B_scale)).to(torch.bfloat16)
]=],
}

-- Both matrices are read whole, and each element of C is a sum of K products.
local function work(axes, definition)
  local count = require "hone.ops.parts.work"
  local written = count.outputs(definition, axes)
  if written == 0 then return { read = 0, written = 0, flops = 0 } end
  return {
    read = count.inputs(definition, axes),
    written = written,
    flops = 2 * axes.M * axes.N * axes.K,
    dtype = definition.inputs.A.dtype,
  }
end

return {
  op_type = "gemm",
  work = work,
  mistakes = "gemm",
  layers = {
    ["sglang.srt.layers.linear.LinearBase"] = kernels,
    ["torch.nn.functional.linear"] = own_kernels,
    ["torch.nn.Linear"] = plain_kernels,
  },
  check = function(params)
    if not params.dtype or DTYPES[params.dtype] then return true end
    local message = "no GEMM without scales is known in %s (only float16, bfloat16, float32)"
    return nil, message:format(params.dtype)
  end,
  variants = {
    fp8_block_scale = fp8_block_scale,
    fp8_per_tensor_scale = fp8_per_tensor_scale,
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
      axes = { M_AXIS, N_AXIS, K_AXIS },
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
