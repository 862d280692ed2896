--- What specs of workers share: a judge of one call, which knows what it put in and reads what came out.
local arena = require "hone.bench.arena"
local build = require "hone.bench.build"
local fs = require "hone.fs"
local json = require "hone.json"
local slots = require "hone.bench.slots"
local tensor = require "hone.tensor"
local worker = require "hone.bench.worker"

local support = {}

-- What every case is given: x, and a number s.
support.X = { { 1, 2, 3 }, { 4, 5, 6 } }
support.S = 2.5

---y = x * s, for x of a dtype; with other outputs where a case asks for them.
function support.definition(dtype, outputs)
  local text = ([[{"name": "scale", "op_type": "test", "axes": {},
    "inputs": {"x": {"shape": ["A", "B"], "dtype": "%s"}, "s": {"shape": null, "dtype": "float32"}},
    "outputs": %s}]]):format(
    dtype,
    outputs or ([[{"y": {"shape": ["A", "B"], "dtype": "%s"}}]]):format(dtype)
  )
  return assert(json.decode(text))
end

---A solution of one source, and another where it has one.
function support.solution(language, file, content, dps, more)
  return {
    name = "case",
    definition = "scale",
    author = "spec",
    spec = {
      language = language,
      target_hardware = { language == "cuda" and "cuda" or "cpu" },
      entry_point = file .. "::run",
      destination_passing_style = dps,
    },
    sources = { { path = file, content = content }, more },
  }
end

local Judge = {}
Judge.__index = Judge

---A judge of a device, with workers that are kept from case to case: a failure of a case's must not end them.
function support.judge(device)
  return setmetatable({
    device = device,
    workers = {},
    memory = assert(arena.new(device, 1 << 16)),
    cache = assert(fs.tempdir "hone-spec-build-"),
  }, Judge)
end

function Judge:close()
  for _, each in pairs(self.workers) do
    each:stop()
  end
  self.memory:close()
  self.cache:remove()
end

function Judge:worker(kind)
  if not self.workers[kind] or self.workers[kind].dead then
    self.workers[kind] = assert(worker.start { kind = kind, device = self.device })
    assert(self.workers[kind]:map(self.memory))
  end
  return self.workers[kind]
end

local function values_of(definition, outputs)
  local dtype = definition.inputs.x.dtype
  local values =
    { { name = "x", dtype = dtype, shape = { 2, 3 } }, { name = "s", dtype = "float32", value = support.S } }
  for _, output in ipairs(outputs or { { name = "y", dtype = dtype, shape = { 2, 3 } } }) do
    output.is_output = true
    values[#values + 1] = output
  end
  return values
end

---Build, load and call three times. The first output of each call as a list, and what was returned; or nil, why, code.
function Judge:call(definition, solution, outputs)
  local options = { cache = self.cache.path, device = self.device }
  local artefact, why, log = build.solution(definition, solution, options)
  assert(artefact, why and why .. log)
  local it = self:worker(artefact.worker)
  local ok, code
  ok, why, code = it:load(artefact)
  if not ok then return nil, why, code end
  local values = values_of(definition, outputs)
  local list = slots.make(self.memory, values, 3)
  for _, slot in ipairs(list) do
    slot.views[1]:copy_(tensor.new(support.X):to(definition.inputs.x.dtype):to(self.device))
  end
  if self.device ~= "cpu" then require("hone.cuda").synchronize() end
  local reply
  reply, why, code = it:calls { values = values, inputs = 2, slots = list, warmup = 1, timeout = 60 }
  if not reply then return nil, why, code end
  local results = {}
  for i, slot in ipairs(list) do
    results[i] = slot.views[3]:to("cpu"):to("float32"):tolist()
  end
  return results, reply.returned
end

return support
