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

--- Whether a kernel may write into an input: where its op type or the input's description says so.
---@param definition table
---@param name string of the input
---@return boolean
function ops.may_change(definition, name) end

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

--- What a call of a kernel has to do at the least.
---@class hone.ops.Work
---@field bytes integer `read` and `written` together
---@field read integer bytes that have to be read: those of inputs that no result can do without
---@field written integer bytes of all outputs
---@field flops integer additions and multiplications of numbers; functions such as exp are not counted
---@field dtype string what is multiplied: which of a device's ceilings counts
---@field exact boolean whether this is what there is to do, and not only the least there can be
---@field usual? { bytes: integer, read: integer, written: integer, flops: integer } where it is not: what
---  there is to do when lengths, pages and experts are spread evenly

--- What a call of a kernel cannot do without, however it is implemented: what a latency can be compared with.
--- Inputs that decide how much there is to do (where sequences start, which pages are theirs, how tokens are
--- routed) may be given in `structure`, as lists or tensors; without them the least is taken, and `usual` is
--- added.
---
---     local work = ops.work(definition, { M = 512 })
---     print(work.flops / work.bytes) --> arithmetic intensity
---@param definition table a valid definition
---@param axes table<string, integer> sizes of the variable axes
---@param structure? table<string, table> values of structural inputs: qo_indptr, kv_indptr, kv_indices,
---  kv_last_page_len, cu_seqlens, sparse_indices, seq_lens, topk_ids, state_batch_indices,
---  initial_state_indices, positions, top_k, top_p
---@return hone.ops.Work? work
---@return string? message no formula for this definition, or an axis without a size
function ops.work(definition, axes, structure) end

return ops
