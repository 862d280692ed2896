--- One call that FlashInfer logged at level 10: a folder with metadata.jsonl and the call's tensors.
--
-- What a call was given is looked up by the names of its parameters: `kwarg_<name>`, or `arg_<i>` by the place of
-- the name in the function's signature. Items of a tuple or list have `__<i>` behind that. Tensors are not read
-- before somebody asks for their values: metadata.jsonl has their shapes.
local fs, json = require "hone.fs", require "hone.json"
local safetensors = require "hone.safetensors"

local dump = {}

local Dump = {}
Dump.__index = Dump

-- ---- metadata ----------------------------------------------------------------------------------------

-- The names of a signature's parameters in order, `self` among them; those after `*` have no place, and may stand here.
local function parse_parameters(signature)
  local text = signature:match "^%s*%((.*)%)%s*$" or signature:match "^%s*%((.*)%)%s*%->" or signature
  local names, depth, start = {}, 0, 1
  local function add(piece)
    local name = piece:match "^%s*([%a_][%w_]*)"
    if name then names[#names + 1] = name end
  end
  for at, character in text:gmatch "()([%[%](){},])" do
    if character == "," and depth == 0 then
      add(text:sub(start, at - 1))
      start = at + 1
    elseif character:find "[%[({]" then
      depth = depth + 1
    elseif character ~= "," then
      depth = depth - 1
    end
  end
  add(text:sub(start))
  return names
end

local places_of = setmetatable({}, {
  __index = function(known, signature)
    local places = {}
    for i, name in ipairs(parse_parameters(signature)) do
      places[name] = i - 1
    end
    known[signature] = places
    return places
  end,
})

-- The last whole record: the call is described once before it runs and once after; a process may die in between.
local function last_record(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do
    lines[#lines + 1] = line
  end
  for i = #lines, 1, -1 do
    local record = json.decode(lines[i], { nan = true })
    if type(record) == "table" and json.is_object(record) then return record end
  end
end

local function is_size(value) return math.type(value) == "integer" and value >= 0 end

-- What is wrong with what the metadata says of tensors, or nil: files are torn, and who writes them has mistakes.
local function details_fault(details)
  for key, about in pairs(details) do
    local shape = type(about) == "table" and about.shape
    if type(shape) ~= "table" or not json.is_array(shape) or type(about.dtype) ~= "string" then
      return ("its metadata does not say what %s looks like"):format(key)
    end
    for i = 1, #shape do
      if not is_size(shape[i]) then return ("a size of %s in its metadata is no number"):format(key) end
    end
  end
end

local DONE = { completed = true, inputs_saved = true }

---Read the metadata of a dump.
---@param path string its folder
---@return hone.workloads.Dump? dump
---@return string? why
function dump.open(path)
  local text, why = fs.read(fs.join(path, "metadata.jsonl"))
  if not text then return nil, why end
  local record = last_record(text)
  if not record or type(record.function_name) ~= "string" then
    return nil, "its metadata.jsonl holds no whole record"
  end
  if not DONE[record.execution_status] then
    return nil, ("its call ended as %s"):format(tostring(record.execution_status))
  end
  local self = setmetatable({ path = path, record = record }, Dump)
  self.name = record.function_name
  self.arguments = type(record.input_metadata) == "table" and record.input_metadata or {}
  self.details = json.is_object(record.tensor_details) and record.tensor_details or {}
  local fault = details_fault(self.details)
  if fault then return nil, fault end
  local object = record.self_id
  self.object = (type(object) == "number" or type(object) == "string") and tostring(object) or nil
  self.places = places_of[type(record.function_signature) == "string" and record.function_signature or ""]
  return self
end

-- ---- tensors -----------------------------------------------------------------------------------------

-- The file of the call's tensors; of one in PyTorch's own format, the copy that was made of it.
local function open_file(self)
  if self.file then return self.file end
  local path = self.converted or fs.join(self.path, "inputs.safetensors")
  if not fs.is_file(path) then
    if fs.is_file(fs.join(self.path, "inputs.pt")) then
      return nil, "its tensors are in inputs.pt, which Python with torch must read"
    end
    return nil, "it has no inputs.safetensors"
  end
  local why
  self.file, why = safetensors.open(path)
  if self.file then return self.file end
  local at = why:find(path, 1, true) -- the dump's name is said elsewhere; so equal refusals are counted as one
  return nil, at and why:sub(1, at - 1) .. "its inputs.safetensors" .. why:sub(at + #path) or why
end

-- Shape and dtype under a key: from the metadata, or from the file where that leaves them out, as for CUDA graphs.
local function describe(self, key)
  local about = self.details[key]
  if about then return about end
  if next(self.details) ~= nil then return nil end
  local file = open_file(self)
  return file and file:info(key)
end

---A tensor argument's values, from the dump's file.
---@param info { key: string, shape: integer[] } # as tensor_info gives it
---@return hone.Tensor? tensor
---@return string? why
function Dump:tensor(info)
  local file, why = open_file(self)
  if not file then return nil, why end
  local t
  t, why = file:tensor(info.key)
  if not t then return nil, why end
  local shape = t:shape()
  if table.concat(shape, ", ") == table.concat(info.shape, ", ") then return t end
  local text = "its file has %s as [%s], its metadata says [%s]"
  return nil, text:format(info.key, table.concat(shape, ", "), table.concat(info.shape, ", "))
end

function Dump:close()
  if self.file then self.file:close() end
  self.file = nil
end

Dump.__close = Dump.close

-- ---- arguments ---------------------------------------------------------------------------------------

---@alias hone.workloads.Parameter string|{ [1]: string, item: integer? } # a parameter, or an item of its tuple

-- The keys that a parameter may be under: by its name first, then by its place.
local function keys_of(self, parameter)
  local place = self.places[parameter]
  return "kwarg_" .. parameter, place and "arg_" .. place
end

local function tensor_under(self, key, item)
  local about = key and describe(self, key)
  if about then return about, key end
  if not (key and item) then return nil end
  local nested = ("%s__%d"):format(key, item)
  return describe(self, nested), nested
end

local function parts(parameter)
  if type(parameter) == "table" then return parameter[1], parameter.item end
  return parameter
end

---What a tensor argument looks like.
---@param parameter hone.workloads.Parameter
---@return { shape: integer[], dtype: string, key: string }? info # nil where no tensor was passed
function Dump:tensor_info(parameter)
  local name, item = parts(parameter)
  local by_name, by_place = keys_of(self, name)
  local about, key = tensor_under(self, by_name, item)
  if not about then
    about, key = tensor_under(self, by_place, item)
  end
  if not about then return nil end
  local sizes = table.move(about.shape, 1, #about.shape, 1, {})
  return { shape = sizes, dtype = (tostring(about.dtype):gsub("^torch%.", "")), key = key }
end

---A number, boolean or string argument. Nothing is returned for one that was not passed: its default is not on record.
---@param parameter string
function Dump:scalar(parameter)
  local by_name, by_place = keys_of(self, parameter)
  local value = self.arguments[by_name]
  if value == nil and by_place then value = self.arguments[by_place] end
  if type(value) == "table" and value.value ~= nil then value = value.value end
  if type(value) ~= "table" then return value end
end

-- ---- a folder of dumps ---------------------------------------------------------------------------------

---What a folder's name says: when, by which process, which function. Nothing for other names.
---@return { process: string, name: string, call: integer }?
function dump.parse_name(name)
  local process, called, call = name:match "_pid(%d+)_(.+)_call(%d+)$"
  if not process then return nil end
  return { process = process, name = called, call = math.tointeger(tonumber(call)) }
end

---The folders of dumps in the order of their calls.
---@param folder string
---@return string[]? names # relative to the folder
---@return string? why
function dump.list(folder)
  local entries, why = fs.list(folder)
  if not entries then return nil, why end
  local names = {}
  for _, entry in ipairs(entries) do
    if dump.parse_name(entry) and utf8.len(entry) then names[#names + 1] = entry end
  end
  table.sort(names)
  return names
end

---A dump's own folder, and those of the replays of a CUDA graph that it was captured in.
---@param folder string
---@param name string
---@return string[] names # relative to the folder
function dump.replays(folder, name)
  local names = { name }
  local flushes = fs.join(folder, name, "graph_flushes")
  local entries = fs.is_dir(flushes) and fs.list(flushes) or {}
  table.sort(entries)
  for _, flush in ipairs(entries) do
    names[#names + 1] = ("%s/graph_flushes/%s"):format(name, flush)
  end
  return names
end

return dump
