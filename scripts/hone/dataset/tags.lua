--- Tags of definitions, and how models are named in them.
local tags = {}

---The values of the tags with a prefix: tags.values(definition, "model") -> { "llama-3.1-8b", … }
function tags.values(definition, prefix)
  local values = {}
  for _, tag in ipairs(definition.tags or {}) do
    local value = tag:sub(1, #prefix + 1) == prefix .. ":" and tag:sub(#prefix + 2)
    if value then values[#values + 1] = value end
  end
  return values
end

---The models a definition is tagged with.
function tags.models(definition) return tags.values(definition, "model") end

function tags.has(definition, tag)
  for _, present in ipairs(definition.tags or {}) do
    if present == tag then return true end
  end
  return false
end

---Add a tag that is not there yet: after the last one of its prefix, else at the end. True when it was added.
function tags.add(definition, tag)
  if tags.has(definition, tag) then return false end
  definition.tags = definition.tags or {}
  local prefix, at = tag:match("^[^:]*:"), #definition.tags + 1
  for i, present in ipairs(definition.tags) do
    if prefix and present:sub(1, #prefix) == prefix then at = i + 1 end
  end
  table.insert(definition.tags, at, tag)
  return true
end

-- ---- names of models ------------------------------------------------------------------------------

local function set(words)
  local members = {}
  for word in words:gmatch("%S+") do
    members[word] = true
  end
  return members
end

-- Last words of a repository's name that tell how a checkpoint was tuned, stored or quantized: the kernels of
-- the architecture are the same (or, when quantized, are told apart by their own tags).
local TUNING = set [[instruct chat it base pretrain pt sft dpo rlhf thinking reasoning preview exp hf]]
local STORAGE = set [[fp8 fp4 nvfp4 mxfp4 bf16 fp16 int8 int4 w8a8 w4a16 w8a16 4bit 8bit awq gptq gguf mlx bnb
  dynamic quantized kv]]

local function is_size(word) return word:find("^%d[%d.]*[bm]$") or word:find("^%d+x%d[%d.]*b$") end

local function has_size(words)
  for _, word in ipairs(words) do
    if is_size(word:lower()) then return true end
  end
  return false
end

-- Words about a checkpoint rather than its architecture, when they come last.
local function is_about_checkpoint(word, before)
  return TUNING[word]
    or STORAGE[word]
    or word:find("^%d%d%d%d$") -- the month of a release: -0324, -2507
    or word:find("^%d+k$")
    or word == "1m" -- the length of its context
    or word:find("^v%d+%.%d+$") and has_size(before) -- a release of one size: Mixtral-8x22B-v0.1, not V3.1
end

-- The words of a model's name, in the case they are given in.
local function name_words(model)
  local name = model:gsub("/+$", ""):match("[^/]*$")
  local words = {}
  for word in name:gmatch("[^-_%s]+") do
    words[#words + 1] = word
  end
  while #words > 1 do
    local last = table.remove(words)
    if not is_about_checkpoint(last:lower(), words) then
      words[#words + 1] = last
      break
    end
  end
  if #words > 1 and words[1]:lower() == "meta" then table.remove(words, 1) end
  return words
end

---The name of a model in tags: `meta-llama/Llama-3.1-8B-Instruct` -> `llama-3.1-8b`.
function tags.model_name(model) return table.concat(name_words(model), "-"):lower() end

-- Words that only tell how large a model is: 80b, a3b, 16e, 8x7b.
local function is_measure(word) return word:find("^[a-z]?%d[%dx.]*[bme]$") ~= nil end

---Whether two names in tags are of one model: the longer one may tell its size as well.
function tags.same_model(a, b)
  if #a > #b then
    a, b = b, a
  end
  if b:sub(1, #a) ~= a then return false end
  local rest = b:sub(#a + 1)
  if rest ~= "" and rest:sub(1, 1) ~= "-" then return false end
  for word in rest:gmatch("[^-]+") do
    if not is_measure(word) then return false end
  end
  return true
end

---The name of a model in sentences: `meta-llama/Llama-3.1-8B-Instruct` -> `Llama 3.1 8B`.
function tags.display_name(model)
  local words = name_words(model)
  for i, word in ipairs(words) do
    if is_size(word:lower()) or word:find("^a%d+b$") then
      words[i] = word:lower():gsub("[abm]", string.upper)
    elseif not word:find("%u") then
      words[i] = word:gsub("^%l", string.upper)
    end
  end
  return table.concat(words, " ")
end

return tags
