--- Run a definition's reference on inputs that are valid for it.
local skill = {
  summary = "run a definition's reference on valid inputs and show what comes out",
  description = [[
Makes inputs of the sizes asked for: where sequences start, which pages are theirs and how tokens are routed is
made by the op type's own rules, the rest is random from a seed. A workload's inputs are taken from its files;
those that are missing are made, and the table says so. The reference runs on hone's own tensors, without
Python; what it returns is checked against the definition.]],
  params = {
    {
      name = "definition",
      type = "string",
      required = true,
      positional = true,
      help = "its name, or a .json file",
    },
    { name = "local", type = "path", help = "the dataset; else FIB_DATASET_PATH or ./flashinfer-trace" },
    { name = "axes", type = "list", help = "sizes of variable axes, NAME=SIZE each; others are made to fit" },
    { name = "workload", type = "string", help = "uuid of a workload of the dataset, or how it begins" },
    { name = "device", type = "string", default = "cpu", help = "cpu, cuda:0, cuda:1 ..." },
    { name = "seed", type = "integer", default = 0, help = "seed of the random inputs" },
    {
      name = "reference",
      type = "choice",
      choices = { "auto", "native", "torch" },
      default = "auto",
      help = "native: on hone's tensors; torch: by Python; auto: by Python where hone does not know a construct",
    },
    {
      name = "steps",
      type = "integer",
      min = 1,
      help = "how often loops may go round before the run is given up",
    },
    { name = "print", type = "boolean", help = "print the outputs" },
    { name = "save", type = "path", help = "write inputs and outputs to a safetensors file" },
  },
  outputs = {
    { name = "axes", help = "sizes of all axes" },
    { name = "inputs", help = "for each: name, dtype, shape, from" },
    { name = "outputs", help = "for each: name, dtype, shape, and its least, greatest and mean value" },
    { name = "seconds", help = "what the reference took, kernels' compilation included" },
  },
  examples = {
    "hone eval rmsnorm_h4096 --axes batch_size=7",
    "hone eval gqa_paged_decode_h32_kv8_d128_ps1 --workload e2142798 --device cuda:0",
  },
}

local function parse_axes(list)
  local axes = {}
  for _, text in ipairs(list or {}) do
    local name, value = text:match "^([%a_][%w_]*)=(%d+)$"
    if not name then return nil, ("'%s' is not NAME=SIZE, such as batch_size=4"):format(text), "usage" end
    axes[name] = math.tointeger(tonumber(value))
  end
  return axes
end

-- The definition named, or in the file given, and the dataset that it is of.
local function find_definition(name, root)
  local fs, json = require "hone.fs", require "hone.json"
  if name:find "%.json$" then
    local definition, why = json.read(name)
    if not definition then return nil, why end
    return definition
  end
  local pattern = fs.join(root, "definitions", "*", name .. ".json")
  local path = (fs.glob(pattern) or {})[1]
  if not path then
    return nil, ("there is no definition '%s' in %s/definitions"):format(name, root), "ENOENT"
  end
  return json.read(path)
end

-- The workload of a uuid; without one, none.
local function find_workload(definition, uuid, root)
  if not uuid then return nil end
  local fs, json = require "hone.fs", require "hone.json"
  local path = fs.join(root, "workloads", definition.op_type, definition.name .. ".jsonl")
  if not fs.is_file(path) then
    return nil, ("there are no workloads of %s (%s)"):format(definition.name, path), "ENOENT"
  end
  for _, trace in json.lines(path) do
    if trace.workload and trace.workload.uuid:sub(1, #uuid) == uuid then return trace.workload end
  end
  return nil, ("no workload of %s has a uuid that begins with %s"):format(definition.name, uuid), "ENOENT"
end

-- ---- what is shown ---------------------------------------------------------------------------------

local function statistics(t)
  if t:numel() == 0 then return "empty" end
  local x = t:to "float64"
  local finite = x:isfinite()
  local strange = t:numel() - finite:to("int64"):sum():item()
  local note = strange > 0 and (", %d not finite"):format(strange) or ""
  local kept = strange > 0 and x:masked_select(finite) or x
  if kept:numel() == 0 then return "none finite" end
  return ("%.4g .. %.4g, mean %.4g%s"):format(kept:min():item(), kept:max():item(), kept:mean():item(), note)
end

local function row(name, value, from)
  local tensor = require "hone.tensor"
  if not tensor.is_tensor(value) then return { name, "", "", tostring(value), from or "" } end
  local shape = "[" .. table.concat(value:shape(), ", ") .. "]"
  return { name, value.dtype, shape, statistics(value), from or "" }
end

local function save(path, list, outputs)
  local json, tensor = require "hone.json", require "hone.tensor"
  local tensors, numbers = {}, {}
  for _, entries in ipairs { list, outputs } do
    for _, entry in ipairs(entries) do
      if tensor.is_tensor(entry.value) then
        tensors[entry.name] = entry.value:contiguous()
      else
        numbers[entry.name] = json.encode(entry.value)
      end
    end
  end
  return require("hone.safetensors").write(path, tensors, numbers)
end

-- ---- running ---------------------------------------------------------------------------------------

local function run_native(definition, list, args, ctx)
  local reference, why = require("hone.reference").new(definition, { steps = args.steps })
  if not reference then return nil, why, "ENOSYS" end
  if reference.note then ctx.warn("%s: %s; it is called by names", definition.name, reference.note) end
  local values = {}
  for i, entry in ipairs(list) do
    values[i] = entry.value
  end
  local now = require("hone.core.process").now
  local start = now()
  local outputs
  outputs, why = reference(table.unpack(values, 1, #list))
  if not outputs then return nil, why end
  if args.device ~= "cpu" then require("hone.cuda").synchronize() end
  return outputs, now() - start
end

local function run_torch(definition, list, args)
  return require("hone.reference.torch").run(definition, list, args.device)
end

local function run_reference(definition, list, args, ctx)
  if args.reference == "torch" then return run_torch(definition, list, args) end
  local outputs, seconds, code = run_native(definition, list, args, ctx)
  if outputs or args.reference == "native" or code ~= "ENOSYS" then return outputs, seconds, code end
  local note = seconds
  outputs, seconds, code = run_torch(definition, list, args)
  return outputs, outputs and seconds or note .. "; and " .. tostring(seconds), code
end

-- ---- the skill -------------------------------------------------------------------------------------

local function plain(entry)
  local tensor, json = require "hone.tensor", require "hone.json"
  local v = entry.value
  if not tensor.is_tensor(v) then
    return json.object { { "name", entry.name }, { "value", v }, { "from", entry.from } }
  end
  return json.object {
    { "name", entry.name },
    { "dtype", v.dtype },
    { "shape", json.array(v:shape()) },
    { "from", entry.from },
  }
end

local function plain_list(entries)
  local list = require("hone.json").array {}
  for i, entry in ipairs(entries) do
    list[i] = plain(entry)
  end
  return list
end

local function show(ctx, list, outputs, args, title)
  local rows = {}
  for _, entries in ipairs { list, outputs } do
    for _, entry in ipairs(entries) do
      rows[#rows + 1] = row(entry.name, entry.value, entry.from)
    end
  end
  ctx.say(
    "%s",
    require("hone.table").format(rows, { headers = { "NAME", "DTYPE", "SHAPE", "VALUES", "FROM" } })
  )
  ctx.say("%s", title)
  for _, output in ipairs(args.print and outputs or {}) do
    ctx.say("%s = %s", output.name, tostring(output.value))
  end
end

local function name_outputs(definition, values)
  local named = {}
  for i, name in ipairs(require("hone.json").keys(definition.outputs)) do
    named[i] = { name = name, value = values[i], from = "output" }
  end
  return named
end

-- The definition and its inputs; nil, message, code.
local function prepare(args)
  local root = args["local"] or os.getenv "FIB_DATASET_PATH" or "./flashinfer-trace"
  local axes, why, code = parse_axes(args.axes)
  if not axes then return nil, why, code end
  local definition, workload
  definition, why, code = find_definition(args.definition, root)
  if not definition then return nil, why, code end
  workload, why, code = find_workload(definition, args.workload, root)
  if not workload and why then return nil, why, code end
  local options = { axes = axes, workload = workload, root = root, seed = args.seed, device = args.device }
  local list, sizes = require("hone.dataset.inputs").make(definition, options)
  if not list then return nil, sizes end
  return definition, list, sizes
end

function skill.run(args, ctx)
  local definition, list, sizes = prepare(args)
  if not definition then return nil, list, sizes end
  local values, seconds, code = run_reference(definition, list, args, ctx)
  if not values then return nil, seconds, code end
  local outputs = name_outputs(definition, values)
  local title = ("%s: %.3f ms on %s"):format(definition.name, seconds * 1e3, args.device)
  if not ctx.json then show(ctx, list, outputs, args, title) end
  if args.save then
    local saved, why
    saved, why, code = save(args.save, list, outputs)
    if not saved then return nil, why, code end
  end
  return require("hone.json").object {
    { "definition", definition.name },
    { "axes", sizes },
    { "inputs", plain_list(list) },
    { "outputs", plain_list(outputs) },
    { "seconds", seconds },
  }
end

return skill
