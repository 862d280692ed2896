--- Mending a dataset where there is only one way to do it: files laid out and placed as the format says, tags that
--- follow from what a definition is, lines that are torn, there twice or in another definition's file.
--
-- A plan is made first and holds every file's new text; then files are written, each beside itself and renamed, and
-- only then those are removed whose content is elsewhere by now. What is stopped in between leaves things twice, and
-- the next run mends that.
local fs, json = require "hone.fs", require "hone.json"
local definition_rules, solution = require "hone.dataset.definition", require "hone.dataset.solution"
local forms = require "hone.dataset.forms"
local ops, tags, trace = require "hone.ops", require "hone.dataset.tags", require "hone.dataset.trace"

local fix = {}

local DEFINITION_KEYS =
  { "name", "description", "op_type", "tags", "axes", "constraints", "inputs", "outputs", "reference" }
local SOLUTION_KEYS = { "name", "definition", "author", "spec", "sources", "description" }

-- ---- what a plan is made of ------------------------------------------------------------------------

-- `files` holds what is known of each path: `before` and `text` (its new content, false where it goes away).
local function new_plan(root) return { root = root, changes = {}, said = {}, files = {}, order = {} } end

local function shown(plan, path) return fs.relative(path, plan.root) end

local function note(plan, sign, path, text, ...)
  table.insert(plan.changes, { sign = sign, path = shown(plan, path), text = text:format(...) })
  plan.said[path] = true
end

local function file_of(plan, path)
  local file = plan.files[path]
  if not file then
    file = { path = path, before = fs.is_file(path) and fs.read(path) or nil }
    file.text = file.before
    plan.files[path] = file
    table.insert(plan.order, file)
  end
  return file
end

local function list(root, folder, extension)
  local top, found = fs.join(root, folder), {}
  if not fs.is_dir(top) then return found end
  for path in assert(fs.walk(top, { files_only = true })) do
    if fs.extension(path) == extension then found[#found + 1] = path end
  end
  table.sort(found)
  return found
end

local function is_file_name(name)
  return type(name) == "string" and name ~= "" and name ~= "." and name ~= ".." and not name:find "[/%z]"
end

-- A path below the root, nil where one of its parts cannot be a file's name.
local function place(root, folder, parts, extension)
  for _, part in ipairs(parts) do
    if not is_file_name(part) then return nil end
  end
  return fs.join(root, folder, table.unpack(parts)) .. extension
end

-- ---- files of one object -----------------------------------------------------------------------------

-- A copy with the known keys first.
local function ordered(value, keys)
  local copy = json.object()
  for _, key in ipairs(keys) do
    copy[key] = value[key]
  end
  for key, item in pairs(value) do
    copy[key] = item
  end
  return copy
end

-- Tags that a definition of hone's op types has, where it has none of their kind.
local function missing_tags(definition)
  local op_type, variant = ops.parse(definition.name)
  if op_type ~= definition.op_type then return {} end
  local kind, found = ops.get(op_type).variants[variant], {}
  for _, name in ipairs { "stage", "fi_api" } do
    if kind[name] and #tags.values(definition, name) == 0 then
      found[#found + 1] = name .. ":" .. kind[name]
    end
  end
  for _, flag in ipairs(kind.flags or {}) do
    local prefix = flag:match "^([^:]+):"
    local has = prefix and #tags.values(definition, prefix) > 0 or tags.has(definition, flag)
    if not has then found[#found + 1] = flag end
  end
  return found
end

-- An object's file goes where it belongs, unless something else is there.
local function move(plan, file, target)
  if not target or target == file.path then return file end
  local there = file_of(plan, target)
  if there.text == file.text then
    note(plan, "-", file.path, "the same as %s", shown(plan, target))
  elseif there.text then
    note(plan, "?", file.path, "belongs to %s, where there is another", shown(plan, target))
    return file
  else
    note(plan, ">", file.path, "%s", shown(plan, target))
    there.text = file.text
  end
  file.text = false
  return there
end

local function lay_out(plan, file, value, keys, ending)
  local text = json.encode(ordered(value, keys), { indent = 2 }) .. ending
  if text == file.text then return end
  local same_layout = json.encode(value, { indent = 2 }) == file.text:gsub("%s+$", "")
  note(plan, "~", file.path, same_layout and "order of keys, last newline" or "layout")
  file.text = text
end

local function fix_definitions(plan, root)
  local known = {}
  for _, path in ipairs(list(root, "definitions", ".json")) do
    local file = file_of(plan, path)
    local value = json.decode(file.text or "")
    if value and definition_rules.validate(value, { python = false }) then
      for _, tag in ipairs(missing_tags(value)) do
        tags.add(value, tag)
        note(plan, "+", path, "tag %s", tag)
      end
      lay_out(plan, file, value, DEFINITION_KEYS, "\n")
      move(plan, file, place(root, "definitions", { value.op_type, value.name }, ".json"))
      known[value.name] = known[value.name] or value
    end
  end
  return known
end

local function fix_solutions(plan, root, definitions)
  local known = {}
  for _, path in ipairs(list(root, "solutions", ".json")) do
    local file = file_of(plan, path)
    local value = json.decode(file.text or "")
    if value and solution.check(value) then
      lay_out(plan, file, value, SOLUTION_KEYS, "")
      local definition = definitions[value.definition]
      local parts = definition and { value.author, definition.op_type, value.definition, value.name }
      move(plan, file, parts and place(root, "solutions", parts, ".json"))
      known[value.name] = known[value.name] or value
    end
  end
  return known
end

-- ---- files of lines ----------------------------------------------------------------------------------

-- Paths of blobs start at the root, as the public dataset writes them.
local function fix_blobs(t, root)
  local changed = false
  for _, input in
    pairs(type(t.workload) == "table" and type(t.workload.inputs) == "table" and t.workload.inputs or {})
  do
    local path = type(input) == "table" and input.type == "safetensors" and input.path
    if type(path) == "string" and path ~= "" then
      local inside = path:sub(1, 1) == "/" and fs.relative(path, fs.absolute(root)) or path
      local plain = inside:gsub("^%./", "")
      if plain:sub(1, 1) ~= "/" and plain:sub(1, 3) ~= "../" and "./" .. plain ~= path then
        input.path, changed = "./" .. plain, true
      end
    end
  end
  return changed
end

-- Where a line belongs; nil where that cannot be told.
local function home_of(t, folder, root, definitions, solutions)
  local definition = definitions[t.definition]
  if not definition then return nil end
  if folder == "workloads" then
    return place(root, folder, { definition.op_type, definition.name }, ".jsonl")
  end
  local author = solutions[t.solution] and solutions[t.solution].author
  return author and place(root, folder, { author, definition.op_type, definition.name }, ".jsonl")
end

-- One line: what becomes of it, and the path it belongs to.
local function fix_line(plan, file, line, number, context)
  local value = json.decode(line, { nan = true, big = "float" })
  if value == nil then
    table.insert(file.torn, line)
    note(plan, "!", file.path, "line %d is no JSON: to %s.torn", number, fs.basename(file.path))
    return nil
  end
  if not trace.check(value) then return line, file.path end
  if context.folder == "workloads" and fix_blobs(value, context.root) then
    note(plan, "~", file.path, "line %d: paths of blobs", number)
    line = json.encode(value, { nan = "allow" })
  end
  -- What is not for this folder stays where it is, for the checks to name.
  if trace.is_workload(value) ~= (context.folder == "workloads") then return line, file.path end
  local home = home_of(value, context.folder, context.root, context.definitions, context.solutions)
  return line, home or file.path
end

local function lines_of(text)
  local found = {}
  for line in (text:gsub("\r\n", "\n") .. "\n"):gmatch "(.-)\n" do
    if line:find "%S" then found[#found + 1] = line end
  end
  return found
end

local function text_of(lines) return #lines > 0 and table.concat(lines, "\n") .. "\n" or "" end

local function open_lines(plan, path)
  local file = file_of(plan, path)
  if not file.lines then
    file.lines, file.has, file.torn = {}, {}, {}
  end
  return file
end

-- A file that lines move to holds its own already.
local function open_target(plan, path)
  local file = open_lines(plan, path)
  if not file.is_read then
    file.is_read = true
    for _, line in ipairs(lines_of(file.before or "")) do
      file.has[line] = true
      table.insert(file.lines, line)
    end
  end
  return file
end

local function add_line(plan, from, number, line, target)
  if target.has[line] then
    note(plan, "-", from, "line %d: there already, in %s", number, shown(plan, target.path))
    return
  end
  target.has[line] = true
  table.insert(target.lines, line)
  if target.path ~= from then note(plan, ">", from, "line %d: %s", number, shown(plan, target.path)) end
end

local function has_repeats(lines)
  local seen = {}
  for _, line in ipairs(lines) do
    if seen[line] then return true end
    seen[line] = true
  end
  return false
end

-- Whether a quick look at a file finds nothing to mend; most files are like that.
local function is_fine(file, context)
  local lines = lines_of(file.before or "")
  if text_of(lines) ~= file.before or has_repeats(lines) then return false end
  local is_workloads = context.folder == "workloads"
  local columns = (is_workloads and forms.workloads or forms.outcomes)(file.path)
  if not columns then return false end
  for i = 1, columns.count do
    local t = { definition = columns.definition[i], solution = columns.solution[i] }
    if is_workloads and fix_blobs({ workload = { inputs = columns.inputs[i] } }, context.root) then
      return false
    end
    local is_workload = not columns.solution[i] and not columns.status[i]
    local home = is_workload == is_workloads
      and home_of(t, context.folder, context.root, context.definitions, context.solutions)
    if home and home ~= file.path then return false end
  end
  return true
end

-- One file: lines that belong elsewhere are added to `moved`. What needs no mending is forgotten.
local function fix_file(plan, path, context, moved)
  local file = open_lines(plan, path)
  if is_fine(file, context) then
    plan.files[path] = nil
    plan.order[#plan.order] = nil
    return
  end
  file.is_read = true
  for number, line in ipairs(lines_of(file.before or "")) do
    local kept, home = fix_line(plan, file, line, number, context)
    if kept and home == path then
      add_line(plan, path, number, kept, file)
    elseif kept then
      moved[#moved + 1] = { path, number, kept, home }
    end
  end
  local text = text_of(file.lines)
  if text == file.before then
    plan.files[path] = nil
    plan.order[#plan.order] = nil
  elseif not plan.said[path] and (#moved == 0 or moved[#moved][1] ~= path) then
    note(plan, "~", path, "blank lines, line ends")
  end
end

local function fix_lines(plan, root, folder, definitions, solutions)
  local context = { root = root, folder = folder, definitions = definitions, solutions = solutions }
  local moved = {}
  for _, path in ipairs(list(root, folder, ".jsonl")) do
    fix_file(plan, path, context, moved)
  end
  for _, each in ipairs(moved) do
    local from, number, line, home = table.unpack(each)
    add_line(plan, from, number, line, open_target(plan, home))
  end
end

-- The new text of every file of lines; one that has none left goes away.
local function close_lines(plan)
  for _, file in ipairs(table.move(plan.order, 1, #plan.order, 1, {})) do
    if file.lines then
      file.text = #file.lines > 0 and text_of(file.lines)
      if #file.torn > 0 then
        local aside = file_of(plan, file.path .. ".torn")
        aside.text = (aside.before or "") .. text_of(file.torn)
      end
    end
  end
end

-- ---- the plan, and doing it --------------------------------------------------------------------------

---What could be mended in the dataset at `root`: a plan with `changes`, each { sign, path, text }. Signs are `+` for
---what is added, `-` for what is there twice, `~` for what is laid out anew, `>` for what moves, `!` for what is set
---aside, and `?` for what somebody has to decide. Nothing is written.
function fix.plan(root)
  if not fs.is_dir(root) then return nil, ("cannot mend %s: no such directory"):format(root), "ENOENT" end
  root = fs.absolute(root)
  local plan = new_plan(root)
  local definitions = fix_definitions(plan, root)
  local solutions = fix_solutions(plan, root, definitions)
  for _, folder in ipairs { "workloads", "traces" } do
    fix_lines(plan, root, folder, definitions, solutions)
  end
  close_lines(plan)
  return plan
end

---Write what a plan says: how many files were written and removed; nil, a message and a code where one cannot be.
function fix.apply(plan)
  local done = { written = 0, removed = 0 }
  for _, file in ipairs(plan.order) do
    if file.text and file.text ~= file.before then
      local ok, why, code = fs.write(file.path, file.text)
      if not ok then return nil, why, code end
      done.written = done.written + 1
    end
  end
  for _, file in ipairs(plan.order) do
    if file.text == false and file.before then
      local ok, why, code = fs.remove(file.path)
      if not ok then return nil, why, code end
      done.removed = done.removed + 1
    end
  end
  return done
end

---The changes as lines, one each.
function fix.lines(plan)
  local lines = {}
  for i, change in ipairs(plan.changes) do
    lines[i] = ("%s %s: %s"):format(change.sign, change.path, change.text)
  end
  return lines
end

return fix
