--- Dumps in PyTorch's own format: where Python with torch is installed, copies of their small tensors as safetensors.
local fs, json = require "hone.fs", require "hone.json"
local dump = require "hone.workloads.dump"

local pt = {}

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

local function wanted_names(targets)
  local wanted = {}
  for _, target in ipairs(targets) do
    for name in pairs(target.api.calls) do
      wanted[name], wanted[name:match "[^.]*$"] = true, true
    end
    if target.api.plan then wanted[target.api.plan] = true end
  end
  return wanted
end

-- The folders whose tensors are only there in PyTorch's format, of calls that somebody wants. A process writes one
-- format, so the first of its dumps tells.
local function find(folder, names, targets)
  local wanted, found, formats = wanted_names(targets), {}, {}
  for _, name in ipairs(names) do
    local about = dump.parse_name(name)
    if wanted[about.name] and formats[about.process] ~= "safetensors" then
      for _, replay in ipairs(dump.replays(folder, name)) do
        local path = fs.join(folder, replay)
        if fs.is_file(fs.join(path, "inputs.safetensors")) then
          formats[about.process] = "safetensors"
        elseif fs.is_file(fs.join(path, "inputs.pt")) then
          found[#found + 1] = replay
        end
      end
    end
  end
  return found
end

---@class hone.workloads.Copies # removed when closed
---@field paths table<string, string> # the copy of each dump, by its folder's name
---@field warnings string[]

---Copy what the targets' calls need.
---@param folder string
---@param all string[] # its dumps
---@param targets hone.workloads.Target[]
---@return hone.workloads.Copies copies
function pt.convert(folder, all, targets)
  local copies = { paths = {}, warnings = {} }
  setmetatable(copies, {
    __close = function()
      if copies.folder then copies.folder:remove() end
    end,
  })
  local names = find(folder, all, targets)
  if #names == 0 then return copies end
  copies.folder = assert(fs.tempdir "hone-dumps-")
  local lines = {}
  for i, name in ipairs(names) do
    local copy = fs.join(copies.folder.path, i .. ".safetensors")
    copies.paths[name] = copy
    lines[i] = json.encode(json.array { fs.absolute(fs.join(folder, name, "inputs.pt")), copy })
  end
  local result, why =
    require("hone.process").run { "python3", "-c", SCRIPT, input = table.concat(lines, "\n") .. "\n" }
  if not result or result.status ~= 0 then
    local said = result and result.stderr:match "([^\n]+)%s*$" or why
    copies.warnings[1] = (
      "%d dumps are in PyTorch's format, and Python cannot read them here (%s): set "
      .. "FLASHINFER_DUMP_SAFETENSORS=1 when dumping, or install torch"
    ):format(#names, said)
    return copies
  end
  for line in result.stdout:gmatch "[^\n]+" do
    local answer = json.decode(line)
    if answer and answer[2] ~= json.null then
      copies.warnings[#copies.warnings + 1] = ("a dump's inputs.pt cannot be read: %s"):format(answer[2])
    end
  end
  return copies
end

return pt
