---@meta hone.dataset.tags

--- Tags of definitions (`model:llama-3.1-8b`, `stage:decode`, `fused`), and how models are named in them.
local tags = {}

--- The values of the tags with a prefix, in their order: `{ "decode" }` for "stage".
---@param definition table
---@param prefix string without the colon
---@return string[]
function tags.values(definition, prefix) end

--- The models that a definition is tagged with.
---@param definition table
---@return string[]
function tags.models(definition) end

--- Whether a definition has a tag.
---@param definition table
---@param tag string
---@return boolean
function tags.has(definition, tag) end

--- Add a tag that is not there yet, after the last one of its prefix, else at the end.
---@param definition table changed in place
---@param tag string
---@return boolean added
function tags.add(definition, tag) end

--- The name of a model in tags, from a repository on the hub, a folder or a name:
--- `meta-llama/Llama-3.1-8B-Instruct` -> `llama-3.1-8b`.
---
--- The last part of the path in lower case, its words joined by hyphens, without a leading `meta`, and
--- without the last words that tell how a checkpoint was tuned (`instruct`, `chat`, `it`, `base`,
--- `thinking`, ...), released (`0324`, `2507`; `v0.1` after a size), stored (`hf`, `fp8`, `awq`, `gguf`,
--- ...) or how long its context is (`8k`, `1m`). `DeepSeek-V3.1` keeps its version: no size precedes it.
---@param model string
---@return string
function tags.model_name(model) end

--- Whether two names in tags mean one model. The dataset writes some with their size and some without:
--- `qwen3-next` is `qwen3-next-80b-a3b`, and `glm-4.5` is not `glm-4.5-air`.
---@param a string
---@param b string
---@return boolean
function tags.same_model(a, b) end

--- The name of a model in sentences, by the same rules: `Llama 3.1 8B`.
---@param model string
---@return string
function tags.display_name(model) end

return tags
