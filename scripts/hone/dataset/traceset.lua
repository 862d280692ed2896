--- A dataset's definitions: reading them, finding out which kernels are new, writing those.
local fs, json = require "hone.fs", require "hone.json"
local ops, tags = require "hone.ops", require "hone.dataset.tags"
local definition, records = require "hone.dataset.definition", require "hone.dataset.records"

local traceset = {}

-- What can be asked of a set with a colon; what needs much else is found when it is called.
local Set = {}
Set.__index = Set

function Set:definition(name) return traceset.definition(self, name) end

-- Names, sorted by the paths of their files.
function Set:definitions()
  local names = {}
  for i, entry in ipairs(traceset.definitions(self)) do
    names[i] = entry.definition.name
  end
  return names
end

for _, name in ipairs {
  "solutions",
  "solution",
  "authors",
  "author",
  "solved",
  "workloads",
  "traces",
  "results",
  "each_result",
  "each",
} do
  Set[name] = records[name]
end

for _, name in ipairs {
  "filter_traces",
  "best_trace",
  "solution_score",
  "author_score",
  "rank_authors",
  "summary",
} do
  Set[name] = function(...) return require("hone.dataset.scores")[name](...) end
end

-- ---- reading --------------------------------------------------------------------------------------

local function list_files(folder)
  local files = {}
  for path in fs.walk(folder, { files_only = true }) do
    if fs.extension(path) == ".json" then files[#files + 1] = path end
  end
  return files
end

---Where the dataset is: at `chosen`, else where FIB_DATASET_PATH says, else ./flashinfer-trace.
function traceset.locate(chosen)
  local root = chosen or os.getenv "FIB_DATASET_PATH"
  if root == nil or root == "" then root = "./flashinfer-trace" end
  return fs.expand(root)
end

---Open several datasets, or, where none is named, the one that `locate` finds: a list; nil and why.
function traceset.open_all(roots)
  if not roots or #roots == 0 then roots = { traceset.locate() } end
  local sets = {}
  for i, root in ipairs(roots) do
    local set, why = traceset.open(root)
    if not set then return nil, why end
    sets[i] = set
  end
  return sets
end

---Open the dataset at `root`. Nothing is read yet. A folder that is not there is refused, unless
---options.create: then it is an empty dataset, made when something is written.
function traceset.open(root, options)
  if not fs.is_dir(root) and not (options and options.create) then
    return nil, ("cannot open the dataset %s: no such directory"):format(root)
  end
  local folder = fs.join(root, "definitions")
  local files = {}
  if fs.is_dir(folder) then
    local listed, result = pcall(list_files, folder)
    if not listed and result == "interrupted" then error(result, 0) end
    if not listed then return nil, ("cannot open the dataset %s: %s"):format(root, result) end
    files = result
  end
  local set = setmetatable({ root = root, files = files, read = {} }, Set)
  records.attach(set)
  return set
end

-- The entry of one file, read once: { path, definition } or { path, error }.
local function read_file(set, path)
  local entry = set.read[path]
  if entry then return entry end
  entry = { path = path }
  set.read[path] = entry

  local text, why = fs.read(path)
  if not text then
    entry.error = { path = path, message = why }
    return entry
  end
  local value, message, position = json.decode(text, { name = path })
  if value == nil then
    entry.error = { path = path, message = message, line = position.line, column = position.column }
    return entry
  end
  local ok, messages = definition.validate(value, { python = false })
  if ok then
    entry.definition = value
  else
    entry.error = { path = path, message = ("%s: %s"):format(path, table.concat(messages, "; ")) }
  end
  return entry
end

-- All files, in the order of their paths. The second definition of a name is an error of its file.
local function read_all(set)
  if set.entries then return end
  set.entries, set.failed, set.by_name = {}, {}, {}
  for _, path in ipairs(set.files) do
    local entry = read_file(set, path)
    local name = entry.definition and entry.definition.name
    local first = name and set.by_name[name]
    local failure = entry.error
      or first
        and { path = path, message = ("%s: name '%s' is taken by %s"):format(path, name, first.path) }
    if failure then
      set.failed[#set.failed + 1] = failure
    else
      set.entries[#set.entries + 1] = entry
      set.by_name[name] = entry
    end
  end
end

---All definitions, in the order of their paths: a list of { path, definition }.
function traceset.definitions(set)
  read_all(set)
  return table.move(set.entries, 1, #set.entries, 1, {})
end

---What could not be read: a list of { path, message, line?, column? }.
function traceset.errors(set)
  read_all(set)
  return table.move(set.failed, 1, #set.failed, 1, {})
end

---The definition called `name` and its path, or nil. The file of that name is tried first, so that one
---definition costs one file.
function traceset.definition(set, name)
  if not set.entries then
    for _, path in ipairs(set.files) do
      local entry = fs.stem(path) == name and read_file(set, path)
      if entry and entry.definition and entry.definition.name == name then return entry.definition, path end
    end
  end
  read_all(set)
  local entry = set.by_name[name]
  if entry then return entry.definition, entry.path end
end

---The definitions that are the same kernel: a list of { path, definition }.
function traceset.by_signature(set, signature)
  read_all(set)
  local same = {}
  for _, entry in ipairs(set.entries) do
    if ops.signature(entry.definition) == signature then same[#same + 1] = entry end
  end
  return same
end

-- ---- planning -------------------------------------------------------------------------------------

-- What planning remembers of a definition, of the dataset or planned: its tags may grow without touching it.
local function kernel_of(def, path, planned, signature, details)
  return {
    name = def.name,
    path = path,
    tags = table.move(def.tags or {}, 1, #(def.tags or {}), 1, {}),
    signature = signature,
    details = details,
    planned = planned and def,
  }
end

local function push(map, key, value)
  map[key] = map[key] or {}
  table.insert(map[key], value)
end

local function remember(index, kernel)
  index.by_name[kernel.name] = kernel
  index.taken[kernel.name] = true
  push(index.by_shape, kernel.details.shape, kernel)
  -- What a reference hides and nobody can read is not known to be equal to anything.
  if #kernel.details.unknown == 0 then push(index.by_signature, kernel.signature, kernel) end
end

local function index_of(set)
  local index = { by_name = {}, by_shape = {}, by_signature = {}, taken = {} }
  for _, entry in ipairs(traceset.definitions(set)) do
    remember(index, kernel_of(entry.definition, entry.path, false, ops.signature(entry.definition)))
  end
  for _, path in ipairs(set.files) do
    index.taken[fs.stem(path)] = true
  end
  return index
end

local function named(kernels, name)
  for _, kernel in ipairs(kernels or {}) do
    if kernel.name == name then return kernel end
  end
  return kernels and kernels[1]
end

local function free_name(index, name)
  if not index.taken[name] then return name end
  local version = 2
  while index.taken[("%s_v%d"):format(name, version)] do
    version = version + 1
  end
  return ("%s_v%d"):format(name, version)
end

local function append(list, more) return table.move(more, 1, #more, #list + 1, list) end

-- The kernel is there already, perhaps without the tags of these models.
local function decide_known(kernel, def, details)
  local decision = {
    action = "unchanged",
    name = kernel.name,
    path = kernel.path,
    definition = def,
    planned = kernel.planned and true or nil,
    tags = {},
    notes = append(append({}, kernel.details.notes), details.notes),
  }
  if kernel.name ~= def.name then
    table.insert(decision.notes, ("%s is called %s here"):format(def.name, kernel.name))
  end
  for _, model in ipairs(tags.models(def)) do
    local tag = "model:" .. model
    if tags.add(kernel, tag) then
      decision.action = "existing"
      table.insert(decision.tags, tag)
      if kernel.planned then tags.add(kernel.planned, tag) end
    end
  end
  return decision
end

-- In what a definition differs from one of the same name or shape, in words.
local function differences(here, there)
  local words = {}
  for _, part in ipairs { "axes", "inputs", "outputs" } do
    if here.parts[part] ~= there.parts[part] then words[#words + 1] = "other " .. part end
  end
  for name, value in pairs(here.hidden) do
    local other = there.hidden[name] or "unknown"
    if value ~= other or value == "unknown" then
      words[#words + 1] = ("%s %s there, %s here"):format(name, other, value)
    end
  end
  return #words > 0 and table.concat(words, ", ") or "the same name"
end

-- Whether two names tell two variants of an op type apart.
local function are_variants(name, other)
  local _, variant = ops.parse(name)
  local _, other_variant = ops.parse(other)
  return variant ~= nil and other_variant ~= nil and variant ~= other_variant
end

-- What a new definition is in conflict with: one of its name, or of its shape with other hidden constants that their
-- names do not show.
local function find_rival(index, def, signature, details)
  if index.by_name[def.name] then return index.by_name[def.name] end
  for _, kernel in ipairs(index.by_shape[details.shape] or {}) do
    local differs = kernel.signature ~= signature or #details.unknown > 0
    if differs and not are_variants(def.name, kernel.name) then return kernel end
  end
end

local function conflict_reason(index, def, signature, details)
  local rival = find_rival(index, def, signature, details)
  if rival then return ("differs from %s: %s"):format(rival.name, differences(details, rival.details)) end
  if index.taken[def.name] then return def.name .. ".json holds another definition, or none" end
end

local function renamed(def, name)
  local copy = json.object()
  for key, value in pairs(def) do
    copy[key] = value
  end
  copy.name = name
  return copy
end

-- The kernel is not there: it is written, under another name where its own is taken.
local function decide_missing(index, root, def, signature, details)
  local reason = conflict_reason(index, def, signature, details)
  local name = free_name(index, def.name)
  local path = fs.join(root, "definitions", def.op_type, name .. ".json")
  local copy = renamed(def, name)
  copy.tags = append({}, def.tags or {})
  remember(index, kernel_of(copy, path, true, signature, details))
  return {
    action = reason and "conflict" or "new",
    name = name,
    path = path,
    definition = copy,
    reason = reason,
    notes = details.notes,
  }
end

---Decide for each of `definitions` what the dataset needs.
function traceset.plan(set, definitions, options)
  local deduplicate = not (options and options.deduplicate == false)
  local index = index_of(set)
  local plan = { root = set.root, decisions = {} }
  for i, def in ipairs(definitions) do
    local signature, details = ops.signature(def)
    local known = deduplicate and #details.unknown == 0 and named(index.by_signature[signature], def.name)
    plan.decisions[i] = known and decide_known(known, def, details)
      or decide_missing(index, set.root, def, signature, details)
  end
  return plan
end

-- ---- writing --------------------------------------------------------------------------------------

-- Add tags to a definition's file; every byte that is not a new tag stays. The file may have changed since
-- the plan was made: it is looked at again, and a tag that it has got meanwhile is not added twice.
local function tagged(text, path, new_tags)
  local current, why = json.decode(text, { name = path })
  if current == nil then return nil, "cannot add tags to " .. why end
  local ok, messages = definition.validate(current, { python = false })
  if not ok then return nil, ("cannot add tags to %s: %s"):format(path, table.concat(messages, "; ")) end
  if not current.tags then
    text, why = json.insert(text, {}, json.array {}, "tags")
  end
  for _, tag in ipairs(new_tags) do
    if text and not tags.has(current, tag) then
      text, why = json.insert(text, { "tags" }, tag)
    end
  end
  if text then return text end
  return nil, ("cannot add tags to %s: %s"):format(path, why)
end

-- What a decision makes of a file: `text` is what it holds already, nil where it is not there.
local function rewritten(decision, text)
  if decision.action == "existing" then return tagged(text, decision.path, decision.tags) end
  return json.encode(decision.definition, { indent = 2 }) .. "\n"
end

-- The new content of every file that a plan writes: nothing is written before all of it is known.
local function contents(plan)
  local files, by_path = {}, {}
  for _, decision in ipairs(plan.decisions) do
    if decision.action ~= "unchanged" and not decision.planned then
      local path, created = decision.path, decision.action ~= "existing"
      local text = by_path[path] and by_path[path].text
      local why
      if not text and not created then
        text, why = fs.read(path)
        if not text then return nil, why end
      end
      text, why = rewritten(decision, text)
      if not text then return nil, why end
      if not by_path[path] then
        by_path[path] = { path = path, created = created }
        files[#files + 1] = by_path[path]
      end
      by_path[path].text = text
    end
  end
  return files
end

---Write what a plan decided.
function traceset.apply(plan)
  local files, why = contents(plan)
  if not files then return nil, why end
  local done = { created = {}, tagged = {} }
  for _, file in ipairs(files) do
    local ok, refused, code = fs.write(file.path, file.text)
    if not ok then return nil, refused, code end
    table.insert(file.created and done.created or done.tagged, file.path)
  end
  return done
end

return traceset
