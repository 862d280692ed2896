--- A dataset's solutions, workloads and traces, each file read when somebody asks for what is in it. What cannot be
--- read is kept as a problem, and the rest goes on.
local fs, json = require "hone.fs", require "hone.json"
local solution, trace = require "hone.dataset.solution", require "hone.dataset.trace"

local records = {}

local function list(root, folder, extension)
  local top, files = fs.join(root, folder), {}
  if not fs.is_dir(top) then return files end
  local walked, why = fs.walk(top, { files_only = true })
  if not walked then return files, why end
  for path in walked do
    if fs.extension(path) == extension then files[#files + 1] = path end
  end
  table.sort(files)
  return files
end

local function problem(set, path, message)
  if set.reported[path .. message] then return end
  set.reported[path .. message] = true
  table.insert(set.problems, { path = path, message = message })
end

---What `traceset.open` adds to a set.
function records.attach(set)
  set.problems, set.reported = {}, {}
  set.lines = setmetatable({}, { __mode = "v" }) -- what a file holds, as long as somebody uses it
end

-- ---- solutions ------------------------------------------------------------------------------------

local function read_solution(set, path)
  local value, why = json.read(path)
  if value ~= nil then
    value, why = solution.check(value, { extensions = true })
    if value then return value end
    why = ("%s: %s"):format(path, why)
  end
  problem(set, path, why)
end

local function read_solutions(set)
  if set.solution_by_name then return end
  set.solution_by_name, set.solutions_of, set.solution_paths = {}, {}, {}
  local files, why = list(set.root, "solutions", ".json")
  if why then problem(set, set.root, why) end
  for _, path in ipairs(files) do
    local found = read_solution(set, path)
    local taken = found and set.solution_paths[found.name]
    if taken then
      problem(set, path, ("%s: solution '%s' is already in %s"):format(path, found.name, taken))
    elseif found then
      set.solution_by_name[found.name], set.solution_paths[found.name] = found, path
      set.solutions_of[found.definition] = set.solutions_of[found.definition] or {}
      table.insert(set.solutions_of[found.definition], found)
    end
  end
end

---The solutions of a definition, in the order of their paths.
function records.solutions(set, name)
  read_solutions(set)
  local found = set.solutions_of[name] or {}
  return table.move(found, 1, #found, 1, {})
end

---The solution called `name` and its path, or nil.
function records.solution(set, name)
  read_solutions(set)
  return set.solution_by_name[name], set.solution_paths[name]
end

---The definitions that have solutions, sorted.
function records.solved(set)
  read_solutions(set)
  local names = {}
  for name in pairs(set.solutions_of) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

-- ---- workloads and traces -------------------------------------------------------------------------

local function misplaced(t, folder)
  if trace.is_workload(t) == (folder == "workloads") then return nil end
  return folder == "workloads" and "a workload must have neither solution nor evaluation"
    or "a trace must have a solution or an evaluation"
end

local function read_lines(set, path, folder)
  local known = set.lines[path]
  if known then return known end
  known = {}
  local lines, why = json.lines(path, { nan = true, big = "float" })
  if not lines then
    problem(set, path, why)
    return known
  end
  for number, value, message in lines do
    local checked = value
    if value ~= nil then
      checked, message = trace.check(value)
      local wrong = checked and misplaced(checked, folder)
      if wrong then
        checked, message = nil, wrong
      end
      if not checked then message = ("%s:%d: %s"):format(path, number, message) end
    end
    if checked then
      known[#known + 1] = checked
    else
      problem(set, path, message)
    end
  end
  set.lines[path] = known
  return known
end

-- The files of a folder by the definition that they are named after; what is named after none can hold any.
local function index(set, folder)
  local key = folder .. "_index"
  if set[key] then return set[key] end
  local files, why = list(set.root, folder, ".jsonl")
  if why then problem(set, set.root, why) end
  local stems, named = {}, {}
  for _, path in ipairs(set.files) do
    stems[fs.stem(path)] = true
  end
  for _, path in ipairs(files) do
    local stem = fs.stem(path)
    local at = stems[stem] and stem or ""
    named[at] = named[at] or {}
    table.insert(named[at], path)
  end
  set[key] = { files = files, named = named }
  return set[key]
end

local function of_definition(set, folder, name)
  local found, named = {}, index(set, folder).named
  for _, paths in ipairs { named[name] or {}, name ~= "" and named[""] or {} } do
    for _, path in ipairs(paths) do
      for _, t in ipairs(read_lines(set, path, folder)) do
        if t.definition == name then found[#found + 1] = t end
      end
    end
  end
  return found
end

---The workload lines of a definition: traces with neither solution nor evaluation.
function records.workloads(set, name) return of_definition(set, "workloads", name) end

---The traces of a definition.
function records.traces(set, name) return of_definition(set, "traces", name) end

---Every line below `folder` ("workloads" or "traces"), file by file: an iterator of trace, path.
function records.each(set, folder)
  local files, at, lines, position = index(set, folder).files, 0, {}, 0
  return function()
    while position >= #lines do
      at = at + 1
      if not files[at] then return nil end
      lines, position = read_lines(set, files[at], folder), 0
    end
    position = position + 1
    return lines[position], files[at]
  end
end

return records
