--- Cases with PyTorch's answers (torch_cases.py), and what compares tensors with them.
local assert = require "luassert"
local dataset = require "support.dataset"
local fs = require "hone.fs"
local json = require "hone.json"
local process = require "hone.process"
local safetensors = require "hone.safetensors"

local torch_cases = {}

---The cases of a room and their tensors by name; nil and why not.
function torch_cases.load(room)
  local python, why = dataset.python()
  if not python then return nil, why end
  local folder <close> = assert(fs.tempdir())
  local made = assert(process.run { python, "spec/support/torch_cases.py", room, folder.path })
  assert(made.status == 0, made.stderr)
  local cases = assert(json.read(fs.join(folder.path, "cases.json")))
  return cases, assert(safetensors.read(fs.join(folder.path, "tensors.safetensors")))
end

local function describe(t) return ("%s [%s]"):format(t.dtype, table.concat(t:shape(), ", ")) end

---The same dtype, shape and bits, also of NaN.
function torch_cases.assert_same(expected, t, what)
  assert.equal(describe(expected), describe(t), what)
  if expected:bytes() ~= t:bytes() then
    error(("%s\nexpected %s\ngot %s"):format(what, tostring(expected), tostring(t)))
  end
end

---Every element at most as far from `exact` (float64) as `bound` says.
function torch_cases.assert_near(exact, bound, t, what)
  assert.same(exact:shape(), t:shape(), what)
  local distance = t:to("float64"):sub(exact):abs()
  if not distance:le(bound):all():item() then
    error(("%s\nexpected %s\ngot %s"):format(what, tostring(exact), tostring(t)))
  end
end

return torch_cases
