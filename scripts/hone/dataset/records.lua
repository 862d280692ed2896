--- A dataset's solutions, workloads and traces, each file read when somebody asks for what is in it. What cannot be
--- read is kept as a problem, and the rest goes on.
local fs, json = require "hone.fs", require "hone.json"
local forms = require "hone.dataset.forms"
local solution, trace = require "hone.dataset.solution", require "hone.dataset.trace"

local records = {}

local function list(root, folder, extension)
  local top, files = fs.join(root, folder), {}
  if not fs.is_dir(top) then return files end
  local walked, why = fs.walk(top, { files_only = true })
  if not walked then return files, why end
  local length, slash = #extension, ("/"):byte()
  for path in walked do -- a hidden file's name is no extension
    if path:sub(-length) == extension and path:byte(-length - 1) ~= slash then files[#files + 1] = path end
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
  set.whole_solutions = setmetatable({}, { __mode = "v" })
  set.results_of_file = {}
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

-- What is known of every solution without keeping its sources: { name, definition, author }.
local function glance(set, path)
  local known = forms.solution(path)
  if known then return known end
  local found = read_solution(set, path)
  return found and { name = found.name, definition = found.definition, author = found.author }
end

local function read_solutions(set)
  if set.solution_by_name then return end
  set.solution_by_name, set.solutions_of = {}, {}
  local files, why = list(set.root, "solutions", ".json")
  if why then problem(set, set.root, why) end
  for _, path in ipairs(files) do
    local found = glance(set, path)
    local taken = found and set.solution_by_name[found.name]
    if taken then
      problem(set, path, ("%s: solution '%s' is already in %s"):format(path, found.name, taken.path))
    elseif found then
      found.path = path
      set.solution_by_name[found.name] = found
      set.solutions_of[found.definition] = set.solutions_of[found.definition] or {}
      table.insert(set.solutions_of[found.definition], found)
    end
  end
end

-- The whole solution, read when somebody asks for it and kept as long as somebody has it.
local function whole(set, entry)
  local found = set.whole_solutions[entry.path]
  if not found then
    found = read_solution(set, entry.path)
    set.whole_solutions[entry.path] = found
  end
  return found
end

---The solutions of a definition, in the order of their paths.
function records.solutions(set, name)
  read_solutions(set)
  local found = {}
  for _, entry in ipairs(set.solutions_of[name] or {}) do
    found[#found + 1] = whole(set, entry)
  end
  return found
end

---Names and authors of a definition's solutions, in the order of their paths: a list of { name, definition, author,
---path }.
function records.authors(set, name)
  read_solutions(set)
  return set.solutions_of[name] or {}
end

---The solution called `name` and its path, or nil.
function records.solution(set, name)
  read_solutions(set)
  local entry = set.solution_by_name[name]
  if entry then return whole(set, entry), entry.path end
end

---Name, definition, author and path of the solution called `name`, or nil.
function records.author(set, name)
  read_solutions(set)
  return set.solution_by_name[name]
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

-- ---- results --------------------------------------------------------------------------------------

-- A workload's line among traces is a problem to be reported.
local function has_workload(results)
  for i = 1, results.count do
    if not results.solution[i] and not results.status[i] then return true end
  end
  return false
end

-- What came of solutions, of one file of traces; read once.
local function results_of_file(set, path)
  local known = set.results_of_file[path]
  if known then return known end
  known = forms.results(path)
  if not known or has_workload(known) then known = forms.columns_of(read_lines(set, path, "traces")) end
  set.results_of_file[path] = known
  return known
end

-- Where a definition's results are among the files that are not named after a definition.
local function unnamed_rows(set)
  if set.unnamed_rows then return set.unnamed_rows end
  set.unnamed_rows = {}
  for _, path in ipairs(index(set, "traces").named[""] or {}) do
    local results = results_of_file(set, path)
    for row = 1, results.count do
      local name = results.definition[row]
      set.unnamed_rows[name] = set.unnamed_rows[name] or {}
      table.insert(set.unnamed_rows[name], { results, row })
    end
  end
  return set.unnamed_rows
end

---What came of solutions on a definition: an iterator of columns (as `forms.results` gives them) and a row in them.
function records.results(set, name)
  return coroutine.wrap(function()
    for _, path in ipairs(name ~= "" and index(set, "traces").named[name] or {}) do
      local results = results_of_file(set, path)
      for row = 1, results.count do
        if results.definition[row] == name then coroutine.yield(results, row) end
      end
    end
    for _, place in ipairs(unnamed_rows(set)[name] or {}) do
      coroutine.yield(place[1], place[2])
    end
  end)
end

---The results of all traces, file by file: an iterator of columns, path.
function records.each_result(set)
  local files, at = index(set, "traces").files, 0
  return function()
    at = at + 1
    if files[at] then return results_of_file(set, files[at]), files[at] end
  end
end

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
