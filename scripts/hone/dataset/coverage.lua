--- How much of what models run a dataset has. Documented in scripts/meta/dataset/coverage.lua.
local fs = require "hone.fs"
local ops, tags = require "hone.ops", require "hone.dataset.tags"
local traceset = require "hone.dataset.traceset"

local coverage = {}

-- ---- the dataset's side ---------------------------------------------------------------------------------

local function count_lines(path)
  local text = fs.read(path)
  local count = 0
  for line in (text or ""):gmatch("[^\n]+") do
    if line:find("%S") then count = count + 1 end
  end
  return count
end

function coverage.workloads(root, definition)
  return count_lines(fs.join(root, "workloads", definition.op_type, definition.name .. ".jsonl"))
end

function coverage.index(set)
  local index = { root = set.root, definitions = {}, by_name = {}, by_signature = {}, counted = {} }
  for _, entry in ipairs(traceset.definitions(set)) do
    local def = entry.definition
    local signature, details = ops.signature(def)
    index.definitions[#index.definitions + 1] = def
    index.by_name[def.name] = def
    -- What a reference hides and nobody can read is not known to be equal to anything.
    if #details.unknown == 0 and not index.by_signature[signature] then
      index.by_signature[signature] = def
    end
  end
  return index
end

local function workloads_of(index, def)
  index.counted[def.name] = index.counted[def.name] or coverage.workloads(index.root, def)
  return index.counted[def.name]
end

function coverage.find(index, definition)
  local signature, details = ops.signature(definition)
  return #details.unknown == 0 and index.by_signature[signature] or nil
end

function coverage.tagged(index, model)
  local found = {}
  for _, def in ipairs(index.definitions) do
    for _, name in ipairs(tags.models(def)) do
      if tags.same_model(name, model) then
        found[#found + 1] = def
        break
      end
    end
  end
  return found
end

function coverage.models(index)
  local names, seen = {}, {}
  for _, def in ipairs(index.definitions) do
    for _, name in ipairs(tags.models(def)) do
      if not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  end
  table.sort(names)
  return names
end

-- ---- a model against it ---------------------------------------------------------------------------------

-- The sizes that a definition was written for: { "tp:4" }.
local function parallel_of(def)
  local list = {}
  for _, prefix in ipairs { "tp", "ep" } do
    for _, value in ipairs(tags.values(def, prefix)) do
      list[#list + 1] = ("%s:%s"):format(prefix, value)
    end
  end
  return list
end

local function entry_of(index, def, theirs)
  local count = theirs and workloads_of(index, theirs) or 0
  return {
    name = theirs and theirs.name or def.name,
    op_type = def.op_type,
    parallel = parallel_of(def),
    status = not theirs and "missing" or count > 0 and "workloads" or "present",
    workloads = count,
    definition = theirs,
    namesake = not theirs and index.by_name[def.name] ~= nil,
    found = true,
  }
end

function coverage.of(index, model, definitions)
  local entries, seen = {}, {}
  for _, def in ipairs(definitions) do
    local theirs = coverage.find(index, def)
    local entry = entry_of(index, def, theirs)
    if not seen[entry.name] then
      seen[entry.name] = true
      entries[#entries + 1] = entry
    end
  end
  for _, def in ipairs(coverage.tagged(index, model)) do
    if not seen[def.name] then
      local entry = entry_of(index, def, def)
      entry.found = false
      entries[#entries + 1] = entry
    end
  end
  return entries
end

function coverage.count(entries)
  local counts = { workloads = 0, present = 0, missing = 0, total = #entries }
  for _, entry in ipairs(entries) do
    counts[entry.status] = counts[entry.status] + 1
  end
  return counts
end

return coverage
