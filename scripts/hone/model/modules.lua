--- Modules of a model as the web application has them: a flat map of unique names, each with its parent.
local json = require "hone.json"

local M = {}

-- ---- names -----------------------------------------------------------------------------------------------

-- How far two texts agree from the start, cut back to where a word of CamelCase begins in both.
local function common_start(a, b)
  local n = 0
  while n < #a and n < #b and a:byte(n + 1) == b:byte(n + 1) do
    n = n + 1
  end
  while n > 0 and not ((a:sub(n + 1, n + 1)):find("^%u?$") and (b:sub(n + 1, n + 1)):find("^%u?$")) do
    n = n - 1
  end
  return n
end

-- The same from the end: what agrees begins with a capital.
local function common_end(a, b)
  local n = 0
  while n < #a and n < #b and a:byte(#a - n) == b:byte(#b - n) do
    n = n + 1
  end
  while n > 0 and not a:sub(#a - n + 1, #a - n + 1):find("%u") do
    n = n - 1
  end
  return n
end

-- What is a class's own among others: "Mamba" of NemotronHMambaDecoderLayer beside NemotronHAttentionDecoderLayer.
local function own_part(class, others)
  local start, finish = #class, #class
  for _, other in ipairs(others) do
    if other ~= class then
      start = math.min(start, common_start(class, other))
      finish = math.min(finish, common_end(class, other))
    end
  end
  if start + finish >= #class then return nil end
  return class:sub(start + 1, #class - finish):lower()
end

-- A word of a variant's definitions that the others' do not have: "swa" of gqa_paged_decode_swa4096_h16.
local function own_word(node, siblings)
  local theirs = {}
  for _, other in ipairs(siblings) do
    if other ~= node then
      for _, name in ipairs(other.definitions) do
        for word in name:gmatch("[^_]+") do
          theirs[(word:gsub("%d+$", ""))] = true
        end
      end
    end
  end
  for _, name in ipairs(node.definitions) do
    for word in name:gmatch("[^_]+") do
      local letters = word:gsub("%d+$", "")
      if letters ~= "" and not theirs[letters] then return letters end
    end
  end
end

local function group_by(nodes, key_of)
  local groups, list = {}, {}
  for _, node in ipairs(nodes) do
    local key = key_of(node)
    if not groups[key] then
      groups[key] = {}
      list[#list + 1] = groups[key]
    end
    table.insert(groups[key], node)
  end
  return list
end

-- Siblings at the same place are variants of each other. What tells each apart, by its class or by its kernels: a
-- word, or "" for the one that has none of its own.
local function find_words(nodes)
  local words = {}
  local places = group_by(
    nodes,
    function(node) return (node.parent and node.parent.key or "") .. "/" .. node.path end
  )
  for _, siblings in ipairs(places) do
    local classes, same_class = {}, true
    for i, node in ipairs(siblings) do
      classes[i] = node.class
      same_class = same_class and node.class == siblings[1].class
    end
    for _, node in ipairs(#siblings > 1 and siblings or {}) do
      words[node] = (
        same_class and own_word(node, siblings) or not same_class and own_part(node.class, classes)
      ) or ""
    end
  end
  return words
end

local function nearest_word(node, words)
  while node do
    if words[node] then return words[node] end
    node = node.parent
  end
end

-- Whether the parents of all these nodes are variants.
local function below_variants(nodes, words)
  for _, node in ipairs(nodes) do
    if not node.parent or not words[node.parent] then return false end
  end
  return true
end

-- A name for each node. Where several have the same: those below variants get what tells their variant apart; of
-- others, the later ones get their parent's name.
local function choose_names(nodes)
  local words, names, taken = find_words(nodes), {}, {}
  local function parent_base(node) return node.parent and node.parent.base or "" end
  for _, alike in ipairs(group_by(nodes, function(node) return node.base end)) do
    local variants = below_variants(alike, words)
    for i, family in ipairs(group_by(alike, parent_base)) do
      for _, node in ipairs(family) do
        local name = node.base
        if i > 1 and not variants then
          local own = #family == 1 and words[node.parent] or ""
          name = name .. "_" .. (own ~= "" and own or parent_base(node))
        end
        local word = (variants or #family > 1) and #alike > 1 and nearest_word(node, words) or ""
        if word ~= "" and node.base:lower() ~= word then name = name .. "_" .. word end
        names[node] = name
      end
    end
  end
  for _, node in ipairs(nodes) do
    local name, number = names[node], 2
    while taken[name] do
      name, number = names[node] .. "_" .. number, number + 1
    end
    taken[name], names[node] = true, name
  end
  return names
end

---@class hone.model.Module
---@field name string
---@field count integer
---@field parent string?
---@field type "block"|"layer"
---@field definitions string[]
---@field node table # what it was made of

---Names for nodes, which are in the order in which they are to stand, parents first.
---@param nodes hone.sglang.ModuleNode[]
---@return hone.model.Module[]
function M.named(nodes)
  local names, list = choose_names(nodes), {}
  for i, node in ipairs(nodes) do
    list[i] = {
      name = names[node],
      count = node.count,
      parent = node.parent and names[node.parent],
      type = node.is_block and "block" or "layer",
      definitions = node.definitions,
      node = node,
    }
  end
  return list
end

---Modules as plain data: name to { count, parent, type, definitions }, in order.
---@param modules hone.model.Module[]
---@param more (fun(module: hone.model.Module): table[])? # further fields: a list of { name, value }
---@return table
function M.json(modules, more)
  local result = json.object()
  for _, module in ipairs(modules) do
    local entry = json.object { { "count", module.count } }
    entry.parent = module.parent
    entry.type = module.type
    entry.definitions = json.array(table.move(module.definitions, 1, #module.definitions, 1, {}))
    for _, field in ipairs(more and more(module) or {}) do
      entry[field[1]] = field[2]
    end
    result[module.name] = entry
  end
  return result
end

return M
