--- Calls of a solution: made in the judge's memory, by its worker, and looked at.
--
-- `of` is a judge ({ device, arena, watch, seen_by }), `made` the contents that calls are made with, `run` what is being
-- evaluated ({ worker, artefact, dps, deadline, evaluator, … }), `work` its workload.
local clock = require "hone.bench.clock"
local core = require "hone.core.worker"
local device = require "hone.bench.device"
local ops = require "hone.ops"
local slots = require "hone.bench.slots"
local tensor = require "hone.tensor"

local calls = {}

---A secret number, for a generator.
function calls.secret() return string.unpack("<i8", core.random(8)) & math.maxinteger end

-- What stands in the way of a call's outputs being looked at; nil when all is well. Fills `outputs`.
local function read_outputs(work, made, case, facts, outputs)
  local first = #made.inputs
  for i = 1, #made.outputs do
    outputs[i] = case.slot.views[first + i]
  end
  if case.dps then return nil end
  local count = #facts
  local is_sparse = work.evaluator.name == "dsa_sparse_attention"
  if count ~= #made.outputs and not is_sparse then
    return ("the solution returned %d values, it should be %d"):format(count, #made.outputs)
  end
  for i = 1, #made.outputs do
    local fact, value = facts[i], made.values[first + i]
    if not fact then
      outputs[i] = nil
    elseif not fact.shape then
      return ("the solution returned a %s as output '%s', not a tensor"):format(fact.type, value.name)
    elseif fact.dtype ~= value.dtype or table.concat(fact.shape, ",") ~= table.concat(value.shape, ",") then
      outputs[i] = { shape = fact.shape, dtype = fact.dtype }
    end
  end
end

---What a solution did in a call that it may not; nil where it kept the rules.
function calls.broken_rule(of, work, made, case, facts, list)
  local may_change_some = false
  for i, name in ipairs(made.inputs) do
    local view, may = case.slot.given[i], ops.may_change(work.definition, name)
    if view and not may and not slots.same_bytes(view, list[i]) then
      return ("refused: the solution changed its input '%s'"):format(name)
    end
    may_change_some = may_change_some or may
  end
  for i, fact in ipairs(facts) do
    if fact.in_arena and not may_change_some and not case.dps then
      return ("refused: what it returned as '%s' is its input's memory"):format(made.outputs[i] or i)
    end
  end
  local near = slots.broken_guard(of.arena, made.values, case.slot)
  if near then return ("refused: the solution wrote outside of '%s'"):format(near) end
end

-- Look at one call: nil, or an early verdict.
local function look(of, work, made, case, facts, evaluator)
  local outputs = {}
  local why = read_outputs(work, made, case, facts, outputs)
  if why then
    evaluator:note("%s", why)
    return evaluator:verdict "RUNTIME_ERROR"
  end
  local list = case.list
  local verdict = evaluator:check(outputs, case.content.expected, list)
  if verdict and verdict.status ~= "INCORRECT_NUMERICAL" then return verdict end
  local rule = calls.broken_rule(of, work, made, case, facts, list)
  if rule then
    evaluator:note("%s", rule)
    return evaluator:verdict "RUNTIME_ERROR"
  end
  if (verdict or evaluator.failed) and not evaluator.wrong_case then
    evaluator.wrong_case =
      { inputs = list, expected = case.content.expected, outputs = {}, evaluator = evaluator }
    for i, output in ipairs(outputs) do
      evaluator.wrong_case.outputs[i] = tensor.is_tensor(output) and output:clone() or output
    end
  end
  return verdict
end

---Make `n` calls of which `audited[i]` is a content whose outputs are known. Returns the reply and the cases that are to
---be looked at; or nil, why, code.
function calls.make(of, made, run, n, audited, warmup)
  local memory = of.arena
  if run.worker.arena ~= memory then
    local ok, why, code = run.worker:map(memory)
    if not ok then return nil, why, code end
    of.seen_by[run.worker] = true
  end
  local list, cases = slots.make(memory, made.values, n), {}
  for i, slot in ipairs(list) do
    local content = audited[i]
    local values = made:fill(slot.views, content and content.seed or calls.secret())
    if content then
      cases[#cases + 1] = { i = i, slot = slot, content = content, dps = run.dps, list = values }
    end
  end
  device.synchronize(of.device)
  of.watch:lap "inputs"
  local sent = clock.now()
  local left = run.deadline - sent
  if left <= 0 then return nil, "no time was left", "TIMEOUT" end
  local reply, why, code = run.worker:calls {
    values = made.values,
    inputs = #made.inputs,
    slots = list,
    warmup = warmup,
    cold = true,
    clock = run.clock,
    timeout = left,
  }
  of.watch:lap "calls"
  if not reply then return nil, why, code end
  reply.judged = clock.now() - sent
  return reply, cases
end

---Look at the chosen calls: nil, or a verdict that ends it.
function calls.look_at(of, work, made, cases, reply, evaluator)
  for k = #cases, 1, -1 do -- the last first: it has had the least time
    local case = cases[k]
    local verdict = look(of, work, made, case, reply.returned[case.i] or {}, evaluator)
    if verdict then return verdict end
  end
end

---How many slots a request can have.
function calls.capacity(of, made) return math.max(1, of.arena.bytes // slots.bytes(made.values) - 1) end

return calls
