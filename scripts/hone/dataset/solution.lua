--- Solutions: somebody's code for a definition. Their rules, their hash, their file.
local fs, json, schema = require "hone.fs", require "hone.json", require "hone.dataset.schema"

local solution = {}

local function entry_point(value, field)
  local checked, why = schema.text(value, field)
  if not checked then return nil, why end
  local _, count = value:gsub("::", "")
  if count ~= 1 then return nil, ("%s must be FILE::SYMBOL, got %q"):format(field, value) end
  return value
end

local function source_path(value, field)
  local checked, why = schema.text(value, field)
  if not checked then return nil, why end
  if value:sub(1, 1) == "/" then return nil, ("%s must not be absolute, got %q"):format(field, value) end
  if ("/" .. value .. "/"):find("/../", 1, true) then
    return nil, ("%s must not leave its folder, got %q"):format(field, value)
  end
  return value
end

local LANGUAGES = "python triton cpp cuda tilelang"

local function build_spec(languages, more)
  local fields = {
    { "language", schema.choice(languages) },
    { "target_hardware", schema.list(schema.string, 1) },
    { "entry_point", entry_point },
    { "dependencies", schema.list(schema.text), schema.absent },
    { "destination_passing_style", schema.flag, schema.absent },
    { "binding", schema.nullable(schema.choice "tvm-ffi torch"), schema.absent },
  }
  fields[#fields + 1] = more
  return schema.record(fields)
end

local SPEC = build_spec(LANGUAGES)
-- What only hone runs says so itself: `"extension": "hone"`.
local EXTENDED_SPEC = build_spec(LANGUAGES .. " lua", { "extension", schema.choice "hone" })

local SOURCE = schema.record { { "path", source_path }, { "content", schema.text } }

local function check_sources(t, field)
  local seen = {}
  for i, source in ipairs(t.sources) do
    if seen[source.path] then
      return ("%s.sources[%d].path is a duplicate of %q"):format(field, i - 1, source.path)
    end
    seen[source.path] = true
  end
  local entry = t.spec.entry_point:match "^(.-)::"
  if not seen[entry] then return ("%s.spec.entry_point: %q is none of the sources"):format(field, entry) end
end

local function checker(of_spec)
  return schema.record({
    { "name", schema.text },
    { "definition", schema.text },
    { "author", schema.text },
    { "spec", of_spec },
    { "sources", schema.list(SOURCE, 1) },
    { "description", schema.nullable(schema.string), schema.absent },
  }, check_sources)
end

local CHECK, CHECK_EXTENDED = checker(SPEC), checker(EXTENDED_SPEC)

local function is_extension(t)
  return schema.is_object(t) and schema.is_object(t.spec) and t.spec.extension == "hone"
end

---The solution as flashinfer-bench would read it, or nil and what is wrong. Fields that were not given stay out:
---`solution.build_of` fills them in. With `extensions`, one that marks itself as hone's own is read too; others never see
---the difference.
function solution.check(t, options)
  local extended = options and options.extensions and is_extension(t)
  return (extended and CHECK_EXTENDED or CHECK)(t, "solution")
end

---What building needs, with the format's defaults: language, binding ("tvm-ffi" where cuda or cpp say none), dps,
---entry (a source's path), symbol, dependencies.
function solution.build_of(t)
  local spec = t.spec
  local entry, symbol = spec.entry_point:match "^(.-)::(.*)$"
  local binding = spec.binding ~= json.null and spec.binding or nil
  if not binding and (spec.language == "cuda" or spec.language == "cpp") then binding = "tvm-ffi" end
  return {
    language = spec.language,
    binding = binding,
    dps = spec.destination_passing_style ~= false,
    entry = entry,
    symbol = symbol,
    dependencies = spec.dependencies or {},
  }
end

---Whether a solution runs on a GPU: some of its targets is none of the CPU.
function solution.needs_gpu(t)
  for _, target in ipairs(t.spec.target_hardware) do
    if target:lower() ~= "cpu" then return true end
  end
  return false
end

---SHA-1, in hex, over what makes the solution behave as it does: not its name, author, description, hardware or style.
function solution.hash(t)
  local spec = t.spec
  local parts = { t.definition, spec.language, spec.entry_point }
  if spec.binding and spec.binding ~= json.null then parts[#parts + 1] = spec.binding end
  for _, dependency in ipairs(spec.dependencies or {}) do
    parts[#parts + 1] = dependency
  end
  for _, source in ipairs(t.sources) do
    parts[#parts + 1] = source.path
    parts[#parts + 1] = source.content
  end
  return require "hone.dataset.sha1"(table.concat(parts))
end

---A copy whose name ends in the first eight digits of its hash.
function solution.with_unique_name(t)
  local copy = json.object()
  for key, value in pairs(t) do
    copy[key] = value
  end
  copy.name = t.name .. "_" .. solution.hash(t):sub(1, 8)
  return copy
end

-- A name becomes a folder or a file: it must not be a way to somewhere else.
local function is_file_name(name) return name ~= "." and name ~= ".." and not name:find "[/%z]" end

---Where a solution's file is in the dataset at `root`, or nil and which name cannot be a file's.
function solution.path(root, t, op_type)
  for _, name in ipairs { t.author, op_type, t.definition, t.name } do
    if not is_file_name(name) then
      return nil, ("cannot write solution %q: %q cannot name a file"):format(t.name, name)
    end
  end
  return fs.join(root, "solutions", t.author, op_type, t.definition, t.name .. ".json")
end

---The file's text, byte for byte as flashinfer-bench writes it.
function solution.encode(t) return json.encode(t, { indent = 2 }) end

-- The op type of a definition in the dataset, from where its file is.
local function op_type_of(root, name)
  local def = require("hone.dataset.traceset").open(root)
  local found = def and def:definition(name)
  return found and found.op_type
end

---Write a solution into the dataset at `root`, in one step: its path, or nil and why not. Its op type is that of its
---definition there, unless given.
function solution.write(root, t, op_type)
  local checked, why = solution.check(t, { extensions = true })
  if not checked then return nil, ("cannot write solution %s: %s"):format(tostring(t.name), why) end
  op_type = op_type or op_type_of(root, checked.definition)
  if not op_type then
    return nil,
      ("cannot write solution %s: %s has no definition '%s'"):format(checked.name, root, checked.definition),
      "ENOENT"
  end
  local path
  path, why = solution.path(root, checked, op_type)
  if not path then return nil, why end
  local ok, message, code = fs.write(path, solution.encode(checked))
  if not ok then return nil, message, code end
  return path
end

return solution
