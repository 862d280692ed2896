--- Several datasets into a new one. All that can be kept is kept; what two of them say differently is a conflict: the
--- first is kept, and the conflict is told.
local fs, json = require "hone.fs", require "hone.json"
local traceset, records = require "hone.dataset.traceset", require "hone.dataset.records"
local solution, trace = require "hone.dataset.solution", require "hone.dataset.trace"

local merge = {}

local function conflict(state, message, ...) table.insert(state.conflicts, message:format(...)) end

local function count(state, what) state.counts[what] = state.counts[what] + 1 end

-- Write what is new; what is there already must be equal to it.
local function put(state, what, name, path, text, from)
  local known = state.placed[path]
  if known and known.text == text then return true end
  if known then
    conflict(state, "%s %s of %s differs from that of %s, which is kept", what, name, from, known.from)
    return true
  end
  state.placed[path] = { text = text, from = from }
  local ok, why = fs.write(fs.join(state.folder, path), text, { sync = false })
  if ok then count(state, what .. "s") end
  return ok, why
end

local function is_file_name(name) return name ~= "." and name ~= ".." and not name:find "[/%z]" end

local function merge_definitions(state, set)
  for _, entry in ipairs(traceset.definitions(set)) do
    local def = entry.definition
    local known = state.definitions[def.name]
    if known and known.op_type ~= def.op_type then
      conflict(
        state,
        "definition %s of %s has op type %s; %s is kept",
        def.name,
        set.root,
        def.op_type,
        known.op_type
      )
    elseif not is_file_name(def.name) or not is_file_name(def.op_type) then
      conflict(state, "%s: its name or op type cannot name a file; it is left out", entry.path)
    else
      state.definitions[def.name] = known or def
      local path = fs.join("definitions", def.op_type, def.name .. ".json")
      -- Compared and written as data: two layouts of one definition are no conflict.
      local text = json.encode(def, { indent = 2 }) .. "\n"
      local ok, why = put(state, "definition", def.name, path, text, set.root)
      if not ok then return nil, why end
    end
  end
  return true
end

local function op_type_of(state, name, path, position)
  local def = state.definitions[name]
  if def then return def.op_type end
  local parts = {}
  for part in path:gmatch "[^/]+" do
    parts[#parts + 1] = part
  end
  return parts[#parts - position] or "unknown"
end

local function merge_solutions(state, set)
  for _, definition in ipairs(records.solved(set)) do
    for _, found in ipairs(set:solutions(definition)) do
      local _, from = set:solution(found.name)
      local path, why = solution.path("", found, op_type_of(state, definition, from, 2))
      local known = state.solutions[found.name]
      if not path then
        conflict(state, "%s: %s; it is left out", from, why)
      elseif known and known.path ~= path then
        conflict(
          state,
          "solution %s of %s is another one than that of %s, which is kept",
          found.name,
          set.root,
          known.from
        )
      else
        state.solutions[found.name] = known or { path = path, from = set.root, author = found.author }
        local ok
        ok, why = put(state, "solution", found.name, path, solution.encode(found), set.root)
        if not ok then return nil, why end
      end
    end
  end
  return true
end

-- ---- workloads and traces -------------------------------------------------------------------------

local function add_line(state, what, path, t)
  local line, why = trace.line(t)
  if not line then return conflict(state, "%s: %s", path, why) end
  local file = state.lines[path]
  if not file then
    file = { seen = {} }
    state.lines[path] = file
    state.line_files[#state.line_files + 1] = path
  end
  if file.seen[line] then return end
  file.seen[line] = true
  file[#file + 1] = line
  count(state, what)
end

-- Take a workload's blob along: true, or nil when the workload cannot be kept with it.
local function take_blob(state, set, t, blob)
  local relative = fs.normalize(blob)
  if relative:sub(1, 1) == "/" or relative:sub(1, 2) == ".." then
    return conflict(
      state,
      "workload %s of %s: its file %s is outside the dataset",
      t.workload.uuid,
      set.root,
      blob
    )
  end
  local from, known = fs.join(set.root, relative), state.blobs[relative]
  if not fs.is_file(from) then
    conflict(
      state,
      "workload %s of %s: its file %s is missing; the workload is kept",
      t.workload.uuid,
      set.root,
      blob
    )
    return true
  end
  if known then
    if known == from or fs.sha256_file(known) == fs.sha256_file(from) then return true end
    local uuid = t.workload.uuid
    return conflict(state, "workload %s is left out: %s differs from %s, which is kept", uuid, from, known)
  end
  local to = fs.join(state.folder, relative)
  local ok, why = fs.mkdir(fs.dirname(to))
  if ok then
    ok, why = fs.copy(from, to)
  end
  if not ok then return conflict(state, "cannot copy %s: %s; the workload is left out", from, why) end
  state.blobs[relative] = from
  count(state, "blobs")
  return true
end

local function take_blobs(state, set, t)
  for _, input in pairs(t.workload.inputs) do
    if input.type == "safetensors" and not take_blob(state, set, t, input.path) then return false end
  end
  return true
end

local function merge_workloads(state, set)
  for t, path in records.each(set, "workloads") do
    if take_blobs(state, set, t) and is_file_name(t.definition) then
      add_line(
        state,
        "workloads",
        fs.join("workloads", op_type_of(state, t.definition, path, 1), t.definition .. ".jsonl"),
        t
      )
    end
  end
end

local function author_of(state, t, path)
  local known = t.solution ~= json.null and state.solutions[t.solution]
  if known then return known.author end
  conflict(state, "%s: a trace of %s, of which there is no solution; it is kept", path, tostring(t.solution))
  local author = path:match "/traces/([^/]+)/[^/]+/[^/]+$"
  return author or "unknown"
end

local function merge_traces(state, set)
  for t, path in records.each(set, "traces") do
    if is_file_name(t.definition) then
      local author = author_of(state, t, path)
      local op_type = op_type_of(state, t.definition, path, 1)
      add_line(state, "traces", fs.join("traces", author, op_type, t.definition .. ".jsonl"), t)
    end
  end
end

local function write_lines(state)
  for _, path in ipairs(state.line_files) do
    local text = table.concat(state.lines[path], "\n") .. "\n"
    local ok, why = fs.write(fs.join(state.folder, path), text, { sync = false })
    if not ok then return nil, why end
  end
  return true
end

local function merge_all(state, sets)
  for _, part in ipairs { merge_definitions, merge_solutions } do
    for _, set in ipairs(sets) do
      local ok, why = part(state, set)
      if not ok then return nil, why end
    end
  end
  for _, set in ipairs(sets) do
    merge_workloads(state, set)
    merge_traces(state, set)
    for _, list in ipairs { traceset.errors(set), set.problems } do
      for _, problem in ipairs(list) do
        conflict(state, "%s (left out)", problem.message)
      end
    end
  end
  return write_lines(state)
end

---Merge the datasets at `roots` into a new one at `output`, which appears when it is complete:
---{ counts = {definitions, solutions, workloads, traces, blobs}, conflicts = lines }.
function merge.into(output, roots)
  if fs.exists(output) then
    return nil,
      ("cannot merge into %s: it exists already; name a folder that does not"):format(output),
      "EEXIST"
  end
  local sets, why = traceset.open_all(roots)
  if not sets then return nil, why end
  local folder = output:gsub("/+$", "") .. ".partial"
  if fs.exists(folder) then
    return nil, ("cannot merge into %s: remove %s first"):format(output, folder), "EEXIST"
  end
  local state = {
    folder = folder,
    counts = json.object {
      { "definitions", 0 },
      { "solutions", 0 },
      { "workloads", 0 },
      { "traces", 0 },
      { "blobs", 0 },
    },
    conflicts = {},
    placed = {},
    definitions = {},
    solutions = {},
    blobs = {},
    lines = {},
    line_files = {},
  } -- stylua: ignore
  local _ <close> = setmetatable({}, { __close = function() fs.remove(folder) end })
  local ok, message = fs.mkdir(folder)
  if ok then
    ok, message = merge_all(state, sets)
  end
  if ok then
    ok, message = fs.rename(folder, output)
  end
  if not ok then return nil, ("cannot merge into %s: %s"):format(output, message) end
  return { counts = state.counts, conflicts = state.conflicts }
end

return merge
