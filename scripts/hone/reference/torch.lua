--- A definition's reference in Python with torch, where those are installed: for what hone does not know, and as a
--- second opinion.
local M = {}

-- Reads inputs from a safetensors file, runs the reference, writes the outputs to another. It needs torch alone.
local DRIVER = [==[
import json, struct, sys, time
import torch
source, inputs, order, outputs, device, times = sys.argv[1:7]
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
          "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
          "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
def read(path):
    raw = open(path, "rb").read()
    size, = struct.unpack("<Q", raw[:8])
    header, data = json.loads(raw[8:8 + size]), memoryview(bytearray(raw[8 + size:]))
    values = {k: json.loads(v) for k, v in header.pop("__metadata__", {}).items()}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        empty = torch.empty(0, dtype=dtype)
        flat = torch.frombuffer(data[first:last], dtype=torch.uint8).clone().view(dtype) if last > first else empty
        values[name] = flat.reshape(entry["shape"]).to(device)
    return values
def write(path, tensors):
    header, chunks, at = {}, [], 0
    for name, t in tensors.items():
        t = t.detach().cpu().contiguous()
        raw = bytes(t.reshape(-1).view(torch.uint8).numpy()) if t.numel() else b""
        header[name] = {"dtype": NAMES[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        chunks.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + b"".join(chunks))
names = {}
exec(compile(open(source).read(), "reference", "exec"), names)
values = read(inputs)
arguments = [values.get(name) for name in json.loads(order)]
seconds = float("inf")
for _ in range(int(times)):
    if device != "cpu": torch.cuda.synchronize()
    start = time.perf_counter()
    results = names["run"](*arguments)
    if device != "cpu": torch.cuda.synchronize()
    seconds = min(seconds, time.perf_counter() - start)
if isinstance(results, dict): results = tuple(results.values())
results = results if isinstance(results, (tuple, list)) else (results,)
write(outputs, {str(i): t for i, t in enumerate(results)})
print(json.dumps(seconds))
]==]

local TIMEOUT = 600 -- seconds

-- The inputs as a file, numbers in its metadata; and their names in order.
local function write_inputs(path, list)
  local json, tensor = require "hone.json", require "hone.tensor"
  local tensors, numbers, order = {}, {}, json.array {}
  for i, entry in ipairs(list) do
    order[i] = entry.name
    if tensor.is_tensor(entry.value) then
      tensors[entry.name] = entry.value
    else
      numbers[entry.name] = json.encode(entry.value)
    end
  end
  local ok, why, code = require("hone.safetensors").write(path, tensors, numbers)
  if not ok then return nil, why, code end
  return json.encode(order)
end

-- What Python said last, which is what went wrong.
local function last_line(text)
  local last = "no message"
  for line in text:gmatch "[^\n]+" do
    last = line
  end
  return last
end

---Run a reference by python3.
---@param definition table
---@param list { name: string, value: any }[] # inputs in order
---@param device string
---@param times? integer # how often it runs, once by default; the least time counts
---@return hone.Tensor[]? outputs
---@return number|string seconds # or the message
---@return string? code
function M.run(definition, list, device, times)
  local fs, process = require "hone.fs", require "hone.process"
  local dir <close> = assert(fs.tempdir "hone-reference-")
  local source, inputs, results =
    fs.join(dir.path, "reference.py"), fs.join(dir.path, "in"), fs.join(dir.path, "out")
  local written, why, code = fs.write(source, definition.reference)
  if not written then return nil, why, code end
  local order
  order, why, code = write_inputs(inputs, list)
  if not order then return nil, why, code end
  local result
  result, why, code = process.run {
    "python3",
    "-c",
    DRIVER,
    source,
    inputs,
    order,
    results,
    device,
    times or 1,
    timeout = TIMEOUT,
  }
  if not result then return nil, ("cannot run %s in Python: %s"):format(definition.name, why), code end
  if result.status ~= 0 then
    return nil, ("%s in Python: %s"):format(definition.name, last_line(result.stderr)), "ESTATUS"
  end
  local tensors
  tensors, why, code = require("hone.safetensors").read(results, device)
  if not tensors then return nil, why, code end
  local outputs, i = {}, 0
  while tensors[tostring(i)] do
    outputs[i + 1], i = tensors[tostring(i)], i + 1
  end
  return outputs, tonumber(result.stdout)
end

return M
