--- The definitions of which the tests are run on a GPU: of every kernel the first ones of a folder, and one of small
--- sizes of each that the folder has none of. hone spec/gpu/reference_definitions.lua FOLDER OUT [OF_EACH]
package.path = arg[0]:match "^(.*)/gpu/[^/]*$" .. "/?.lua;" .. package.path
local fs, json, ops = require "hone.fs", require "hone.json", require "hone.ops"
local kernels = require "support.kernels"
local folder, out, of_each = arg[1], arg[2], math.tointeger(tonumber(arg[3] or 2))

local ATTENTION = {
  num_qo_heads = 32,
  num_kv_heads = 8,
  head_dim = 128,
  page_size = 16,
  window_size = 33,
  logits_soft_cap = 30,
}
local LATENT = { num_qo_heads = 16, head_dim_ckv = 512, head_dim_kpe = 64, page_size = 64, topk = 2048 }
local EXPERTS =
  { hidden_size = 512, intermediate_size = 256, num_experts = 16, num_local_experts = 16, top_k = 4 }
local GROUPS = { n_group = 4, topk_group = 2, num_local_experts = 8 }

local PARAMS = {
  dsa_paged = { LATENT, { num_index_heads = 64, index_head_dim = 128 } },
  gdn = { { num_q_heads = 4, num_v_heads = 8, head_size = 128 } },
  gemm = { { N = 512, K = 1024 } },
  gqa_paged = { ATTENTION },
  gqa_ragged = { ATTENTION },
  mamba_ssu = { { nheads = 64, head_dim = 64, dstate = 128, ngroups = 4 } },
  mla_paged = { LATENT },
  mla_ragged = { { num_qo_heads = 16, qk_dim = 192, vo_dim = 128 } },
  moe = { EXPERTS },
  rmsnorm = { { hidden_size = 2048, eps = 1e-6 } },
  rope = { { head_size = 128, rotary_dim = 64 } },
  sampling = { { vocab_size = 32000 } },
}

-- The definitions of the folder by op type and variant, in the order of their names.
local function given()
  local paths, by_kind = {}, {}
  for path in fs.walk(folder, { files_only = true }) do
    if fs.extension(path) == ".json" then paths[#paths + 1] = path end
  end
  table.sort(paths)
  for _, path in ipairs(paths) do
    local definition = assert(json.read(path))
    local op_type, variant = ops.parse(definition.name)
    local kind = op_type and op_type .. " " .. variant or definition.name
    by_kind[kind] = by_kind[kind] or {}
    table.insert(by_kind[kind], definition)
  end
  return by_kind
end

local function sizes_of(op_type, variant)
  local sizes = {}
  for _, list in ipairs(PARAMS[op_type]) do
    for name, value in pairs(list) do
      sizes[name] = value
    end
  end
  if variant:find "llama4" then sizes.top_k = 1 end
  if op_type == "moe" and variant:find "_ds$" then
    for name, value in pairs(GROUPS) do
      sizes[name] = value
    end
  end
  return sizes
end

local found, written = given(), 0
for _, op_type in ipairs(ops.list()) do
  for _, variant in ipairs(ops.variants(op_type)) do
    local list = found[op_type .. " " .. variant]
      or { kernels.build(op_type, variant, sizes_of(op_type, variant)) }
    for i = 1, math.min(of_each, #list) do
      assert(json.write(fs.join(out, op_type, list[i].name .. ".json"), list[i]))
      written = written + 1
    end
  end
end
print(("%d definitions"):format(written))
