--- Rotary position embedding of queries and keys, the cosines and sines looked up in a cache.
--
-- A head's first rotary_dim elements are pairs that are rotated by the token's position; the rest, when there is
-- one, stays. In NeoX style an element of the first half is paired with that of the second half, in GPT-J style
-- the pairs lie next to each other.

local axes = {
  { "num_tokens", "var", "Number of tokens of all sequences." },
  { "num_qo_heads", "var", "Number of query heads." },
  { "num_kv_heads", "var", "Number of key heads." },
  { "head_size", "const", "Dimension of each head" },
  { "rotary_dim", "const", "How many of a head's first elements are rotated" },
  { "max_seq_len", "var", "Number of positions in the cache." },
}

local inputs = {
  { "q", { "num_tokens", "num_qo_heads", "head_size" }, "bfloat16", "Query of each token." },
  { "k", { "num_tokens", "num_kv_heads", "head_size" }, "bfloat16", "Key of each token." },
  {
    "cos_sin_cache",
    { "max_seq_len", "rotary_dim" },
    "float32",
    "A row for each position: rotary_dim/2 cosines, then as many sines.",
  },
  { "positions", { "num_tokens" }, "int64", "Position of each token, a row of cos_sin_cache." },
}

local outputs = {
  { "q_out", { "num_tokens", "num_qo_heads", "head_size" }, "bfloat16", "Rotated queries." },
  { "k_out", { "num_tokens", "num_kv_heads", "head_size" }, "bfloat16", "Rotated keys." },
}

-- Each style's name, and how a reference takes its pairs apart and puts them together again.
local NEOX = {
  name = "neox_style",
  called = "NeoX",
  apart = "first, second = x[..., : ROTARY_DIM // 2], x[..., ROTARY_DIM // 2 : ROTARY_DIM]",
  together = "torch.cat(rotated, dim=-1)",
}
local GPT_J = {
  name = "gptj_style",
  called = "GPT-J",
  apart = "first, second = x[..., 0:ROTARY_DIM:2], x[..., 1:ROTARY_DIM:2]",
  together = "torch.stack(rotated, dim=-1).flatten(-2)",
}

local REST = "\n    out = torch.cat((out, x[..., ROTARY_DIM:]), dim=-1)"

local function variant(style)
  return {
    names = { { ("rope_with_cos_sin_cache_%s_d${head_size}_rd${rotary_dim}"):format(style.name) } },
    description = "Rotary position embedding with a cosine and sine cache, "
      .. style.called
      .. " style, the first ${rotary_dim} of ${head_size} elements of each head.",
    fi_api = "flashinfer.rope.apply_rope_with_cos_sin_cache_inplace",
    logged = { run = { q = "query", k = "key" } },
    axes = axes,
    inputs = inputs,
    outputs = outputs,
    reference_parts = function(params)
      local rest = params.rotary_dim < params.head_size and REST or ""
      return { apart = style.apart, together = style.together, rest = rest }
    end,
    reference = [=[
import torch

HEAD_SIZE = ${head_size}
ROTARY_DIM = ${rotary_dim}


def rotate(heads, cos, sin):
    """Rotate each pair of the first ROTARY_DIM elements; what follows them stays."""
    x = heads.to(torch.float32)
    ${apart}
    rotated = (first * cos - second * sin, second * cos + first * sin)
    out = ${together}${rest}
    return out.to(heads.dtype)


@torch.no_grad()
def run(q, k, cos_sin_cache, positions):
    assert q.shape[-1] == HEAD_SIZE
    assert k.shape[-1] == HEAD_SIZE
    assert cos_sin_cache.shape[-1] == ROTARY_DIM

    # One row a token, the same for all of its heads: [num_tokens, 1, ROTARY_DIM / 2].
    cos_sin = cos_sin_cache[positions].to(torch.float32)
    cos, sin = cos_sin[:, None, : ROTARY_DIM // 2], cos_sin[:, None, ROTARY_DIM // 2 :]

    return rotate(q, cos, sin), rotate(k, cos, sin)
]=],
  }
end

-- The classes of rotary embeddings differ in how they fill the cache; those with a way of running of their own are
-- other kernels.
local FORWARD = "%.RotaryEmbedding%.forward_cuda$"

local function kernels(layer)
  local forward = layer:method "forward_cuda"
  if not forward or not forward:find(FORWARD) then
    return nil, "it rotates in a way of its own, which no definition describes"
  end
  local head_size, rotary_dim = layer:integer "head_size", layer:integer "rotary_dim"
  local neox = layer:value "is_neox_style"
  if not head_size or not rotary_dim or neox == nil then return nil, "its size or its style is not known" end
  if layer:value "use_fallback_kernel" then
    return nil, ("heads of %d elements are rotated from a cache in the model's dtype"):format(head_size)
  end
  return {
    {
      variant = neox and "neox" or "gptj",
      params = { head_size = head_size, rotary_dim = rotary_dim },
      origins = { head_size = layer:origin "head_size", rotary_dim = layer:origin "rotary_dim" },
      calls = layer:calls(),
    },
  }
end

local function check(params)
  if params.rotary_dim > params.head_size then
    return nil, ("rotary_dim %d is more than head_size %d"):format(params.rotary_dim, params.head_size)
  end
  if params.rotary_dim % 2 ~= 0 then
    return nil, ("rotary_dim %d is odd, and elements are rotated in pairs"):format(params.rotary_dim)
  end
  return true
end

-- Angles as models have them: a frequency for each pair of dimensions.
local function cos_sin_cache(sizes)
  local tensor = require "hone.tensor"
  local pairs_of_dims = sizes.rotary_dim // 2
  local exponents = tensor.arange(pairs_of_dims, "float32") * (-2 / sizes.rotary_dim)
  local angles = tensor.arange(sizes.max_seq_len, "float32"):outer((exponents * math.log(10000)):exp())
  return tensor.cat({ angles:cos(), angles:sin() }, 2)
end

local function make_inputs(_, sizes, make)
  local tensor = require "hone.tensor"
  local positions = make:integers(0, sizes.max_seq_len - 1, sizes.num_tokens)
  return {
    cos_sin_cache = cos_sin_cache(sizes),
    positions = tensor.new(positions, "int64"):reshape(sizes.num_tokens),
  }
end

-- Four products and two sums for each pair of elements. Rows of the cache are read for the positions there are: at
-- least one.
local function work(sizes, definition, structure)
  local count = require "hone.ops.parts.work"
  local written = count.outputs(definition, sizes)
  if written == 0 then return { read = 0, written = 0, flops = 0 } end
  local positions = count.list(structure, "positions")
  local row = count.bytes(definition.inputs.cos_sin_cache, sizes, 1)
  local heads = sizes.num_tokens * (sizes.num_qo_heads + sizes.num_kv_heads)
  local function with(rows)
    return {
      read = count.inputs(definition, sizes, { "q", "k", "positions" }) + rows * row,
      written = written,
      flops = 3 * sizes.rotary_dim * heads,
      dtype = "float32",
    }
  end
  local result = with(positions and count.distinct(positions) or 1)
  if not positions then result.usual = with(math.min(sizes.num_tokens, sizes.max_seq_len)) end
  return result
end

return {
  op_type = "rope",
  work = work,
  mistakes = "rope",
  usual_axes = { num_tokens = 8, num_qo_heads = 4, num_kv_heads = 2, max_seq_len = 128 },
  make_inputs = make_inputs,
  layers = {
    ["sglang.srt.layers.rotary_embedding.RotaryEmbedding"] = kernels,
    ["sglang.srt.layers.rotary_embedding.base.RotaryEmbedding"] = kernels,
  },
  check = check,
  -- Shapes do not show which elements are pairs: a reference that takes every other one pairs neighbours.
  hidden_constants = {
    {
      name = "pairs",
      read = function(source) return source:find ":2[%],]" and "neighbours" or "halves" end,
      of = function() return false end,
    },
  },
  variants = { neox = variant(NEOX), gptj = variant(GPT_J) },
}
