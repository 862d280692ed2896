--- Dumps in PyTorch's own format: where Python with torch is installed, copies of their small tensors as safetensors.
--- One Python makes them as they are asked for, and they are removed when they have been read.
local fs, json = require "hone.fs", require "hone.json"
local dump = require "hone.workloads.dump"

local pt = {}

local MOST_WARNINGS = 40

local SCRIPT = [=[
import json, struct, sys
import torch

NAMES = {torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
         torch.bool: "BOOL", torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
MOST = 1 << 20  # larger floats are only noted as random


def keep(tensor):
    if tensor.dtype not in NAMES:
        return False
    return not tensor.dtype.is_floating_point or tensor.numel() * tensor.element_size() <= MOST


for line in sys.stdin:
    source, target = json.loads(line)
    try:
        tensors = torch.load(source, map_location="cpu", weights_only=True)
        header, data = {}, []
        offset = 0
        for name, tensor in tensors.items():
            if not isinstance(tensor, torch.Tensor) or not keep(tensor):
                continue
            raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape),
                            "data_offsets": [offset, offset + len(raw)]}
            data.append(raw)
            offset += len(raw)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(target, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + b"".join(data))
        print(json.dumps([target, None]), flush=True)
    except Exception as error:
        print(json.dumps([target, str(error).split("\n")[0]]), flush=True)
]=]

local Copies = {}
Copies.__index = Copies

-- Whether a dump's tensors are only there in PyTorch's format. A process writes one format, so the first of its dumps
-- tells.
local function is_ours(self, name)
  local process = dump.parse_name(name:match "^[^/]*").process
  if self.formats[process] == "safetensors" then return false end
  local path = fs.join(self.job.folder, name)
  if fs.is_file(fs.join(path, "inputs.safetensors")) then
    self.formats[process] = "safetensors"
    return false
  end
  return fs.is_file(fs.join(path, "inputs.pt"))
end

-- Python cannot do it: said once, with the last that it said.
local function give_up(self, why)
  self.problem = why
  self.warnings[#self.warnings + 1] = (
    "dumps are in PyTorch's format, and Python cannot read them here (%s): set "
    .. "FLASHINFER_DUMP_SAFETENSORS=1 when dumping, or install torch"
  ):format(why)
end

local function start(self)
  if self.python or self.problem then return self.python end
  local why
  self.temporary, why = fs.tempdir "hone-dumps-"
  if not self.temporary then return give_up(self, why) end
  self.python, why = require("hone.process").start { "python3", "-c", SCRIPT }
  if not self.python then give_up(self, why) end
  return self.python
end

local function answer(self)
  local line = self.python:lines()()
  local said = line and json.decode(line)
  if said then return said end
  local result = self.python:wait()
  give_up(self, result.stderr:match "([^\n]+)%s*$" or "it ended without a word")
  self.python = nil
end

local function convert(self, name)
  self.made = self.made + 1
  local copy = fs.join(self.temporary.path, self.made .. ".safetensors")
  local asked = json.array { fs.absolute(fs.join(self.job.folder, name, "inputs.pt")), copy }
  self.python:write(json.encode(asked) .. "\n")
  local said = answer(self)
  if not said then return nil end
  if said[2] == json.null then return copy end
  if #self.warnings < MOST_WARNINGS then
    self.warnings[#self.warnings + 1] = ("a dump's inputs.pt cannot be read: %s"):format(said[2])
  end
end

---@class hone.workloads.Copies # to be closed
---@field warnings string[]

---@param job hone.workloads.Job
---@return hone.workloads.Copies
function pt.copies(job) return setmetatable({ job = job, formats = {}, made = 0, warnings = {} }, Copies) end

local function copy_all(self, names)
  local paths = {}
  for _, name in ipairs(names) do
    if is_ours(self, name) and start(self) then paths[name] = convert(self, name) end
  end
  return next(paths) and paths or nil
end

---Copy what the wanted ones among dumps need, their replays too.
---@param names string[]
---@return table<string, string>? paths # of the copies, by dump; nil where there are none
function Copies:of(names)
  local wanted = {}
  for _, name in ipairs(names) do
    local about = dump.parse_name(name)
    if self.job.by_name[about.name] and self.formats[about.process] ~= "safetensors" then
      local replays = dump.replays(self.job.folder, name)
      table.move(replays, 1, #replays, #wanted + 1, wanted)
    end
  end
  return copy_all(self, wanted)
end

---Copies of single dumps as they are looked up by name.
---@return table<string, string>
function Copies:lazy()
  return setmetatable({}, {
    __index = function(paths, name)
      local made = copy_all(self, { name })
      paths[name] = made and made[name]
      return made and made[name]
    end,
  })
end

---Remove copies that have been read.
---@param paths table<string, string>?
function pt.drop(paths)
  for _, path in pairs(paths or {}) do
    fs.remove(path)
  end
end

function Copies:__close()
  if self.python then self.python:stop() end
  if self.temporary then self.temporary:remove() end
end

return pt
