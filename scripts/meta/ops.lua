---@meta hone.ops

--- What hone knows about each op type: how its definitions are named, what is in them, and which two of
--- them are the same kernel. Each op type is one file, `scripts/hone/ops/<op_type>.lua`, found by being
--- there: adding a file adds an op type. `init.lua` beside them says what such a file holds.
---
---     local ops = require "hone.ops"
---     local definition = ops.build("rmsnorm", "rmsnorm", { hidden_size = 4096, eps = 1e-5 })
---     print(definition.name) --> rmsnorm_h4096
local ops = {}

--- Names of all op types, sorted.
---@return string[]
function ops.list() end

--- The table of one op type: data and small functions, as its file returns it. Do not change it.
---@param op_type string
---@return table? op
---@return string? message which op types there are
function ops.get(op_type) end

--- Names of the variants of an op type, sorted: `{ "decode", "prefill_causal" }` for "gqa_paged".
---@param op_type string
---@return string[]
function ops.variants(op_type) end

--- The name of a definition. Parameters as for `ops.build`; a norm's `eps`, which no name shows, may be
--- left out.
---
--- GEMMs are named as the dataset does, `gemm_n6144_k4096`, in float16. Other dtypes stand before the
--- sizes: `gemm_bf16_n6144_k4096`, `gemm_fp32_n6144_k4096`.
---@param op_type string
---@param variant string
---@param params table<string, integer|number|string>
---@param style? "older" `gemm_n_6144_k_4096`, where such a spelling exists
---@return string? name
---@return string? message there is no definition with these parameters
function ops.name(op_type, variant, params, style) end

--- Read a name back, in the newer or the older spelling, with or without a version: `rmsnorm_h4096_v2`.
--- Nothing is returned for a name that no op type writes.
---@param name string
---@return string? op_type
---@return string? variant
---@return table<string, integer|string>? params
---@return integer? version
function ops.parse(name) end

--- What is known about a kernel besides its parameters.
---@class hone.ops.About
---@field models? string[] names for the `model:` tags
---@field display? string the model's name in the description: "Llama 3.1 8B"
---@field module? string|string[] the modules that it comes from: "attn.qkv_proj"
---@field tp? integer tensor parallel size; tagged where the op type depends on it
---@field ep? integer expert parallel size; tagged where the op type depends on it
---@field origins? table<string, string> arithmetic by constant axis: "num_heads 32 / tp_size 1 = 32"
---@field style? "older" how to spell the name

--- Make the definition of a kernel, in the dataset's order of keys, with a reference in plain PyTorch. It
--- shares no table with other definitions. An unknown or missing parameter raises an error.
---
--- Parameters: rmsnorm: hidden_size, eps; gemm: N, K, dtype ("float16" unless given, "bfloat16",
--- "float32"); gqa_paged: num_qo_heads, num_kv_heads, head_dim, page_size; gqa_ragged: the same without
--- page_size; sampling: vocab_size. Numbers of heads are those of one rank.
---@param op_type string
---@param variant string
---@param params table<string, integer|number|string>
---@param about? hone.ops.About
---@return table? definition
---@return string? message there is no kernel with these parameters
function ops.build(op_type, variant, params, about) end

--- The parts of a signature.
---@class hone.ops.SignatureDetails
---@field shape string the signature without the hidden constants
---@field parts { axes: string, inputs: string, outputs: string }
---@field hidden table<string, string> what only the reference fixes: `{ eps = "1e-05" }`, or "unknown"
---@field unknown string[] names of those that cannot be read from the reference
---@field notes string[] where this definition is one of the dataset's known contradictions, and which

--- What makes a definition the kernel that it is, as one line: op type, axes, inputs and outputs with their
--- names, shapes and dtypes, and the constants that only its reference fixes. Name, description, tags and
--- the order of axes do not count. Two definitions with the same signature are the same kernel, unless
--- `details.unknown` names a constant.
---@param definition table a valid definition
---@return string signature
---@return hone.ops.SignatureDetails details
function ops.signature(definition) end

return ops
