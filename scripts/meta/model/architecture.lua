---@meta hone.model.architecture
--- What a model's HuggingFace config says of its architecture, and what follows from it: the pattern, the
--- dimensions, what each layer is made of, the cache that a token fills, the number of parameters.
---
---     local config = assert(require("hone.model.config").from_file("config.json"))
---     local about = assert(require("hone.model.architecture").of(config))
---     print(about.architecture_pattern, about.parameters.total) --> MLA + MoE  671026419200
---
--- Fields are read under every name that model families have for them; what a family's classes fix and its
--- config cannot say (biases of Qwen2, norms of Gemma 2) is in scripts/hone/model/traits.lua.
local architecture = {}

--- The part of a config that describes the language model: the config itself, or what a multimodal config
--- holds under text_config, llm_config, language_config or thinker_config.
---@param data table a decoded config
---@return table data
---@return string? name of the field that it is in; nil for the config itself
function architecture.language(data) end

--- Read a config's architecture. The result is plain data, ready to be written as model_architecture.json:
--- `architecture_pattern` ("Standard", "MoE", "MLA + MoE", "Hybrid + GDN + MoE", ...) and `patterns`, its parts;
--- `dimensions`, `attention`, `indexer`, `moe`, `linear_attention`, `mamba`: sizes, those that there are;
--- `derived`: head_dim, query_heads_per_kv_head, and bytes: kv_bytes_per_token over all layers in the model's own
--- dtype, kv_bytes_per_token_in_window what of it is kept for a window only, index_bytes_per_token,
--- state_bytes_per_sequence of linear attention (float32) and Mamba;
--- `parameters`: total and active_per_token of the language model without draft layers, by_module with the
--- checkpoint's names (layers together), not_counted the kinds of layers whose sizes the config does not give;
--- `layers`: for each layer mixer (full_attention, sliding_attention, chunked_attention, linear_attention, mamba,
--- or null) and feed_forward (dense, moe, or null).
---@param config hone.ModelConfig
---@return table? about
---@return string? message which field is missing or absurd
---@return string? missing the field's name, when one is missing
function architecture.of(config) end

return architecture
