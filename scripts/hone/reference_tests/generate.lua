--- The pytest file of a definition: constants, its reference, seeded inputs, ground truths and checks.
local axis_value = require("hone.dataset.definition").axis_value
local json = require "hone.json"
local truth = require "hone.ops.truth"

local generate = {}

-- Of outputs element by element, and of all their elements together: `distance`, in norms of the truth, is little more
-- than what rounding to bfloat16 comes to. Kernels of libraries round in between, too.
local DEFAULT = { atol = 1e-2, rtol = 1e-2, ratio = 1.0, distance = 5e-3, library_distance = 2e-2 }

---The tolerance of a definition's comparison.
---@param given number? # absolute, relative and of all elements together, instead of the op type's
function generate.tolerance(about, given)
  local own, tolerance = about and about.tolerance or {}, {}
  for name, value in pairs(DEFAULT) do
    tolerance[name] = name ~= "ratio" and given or own[name] or value
  end
  return tolerance
end

local function shape_text(spec)
  if spec.shape == json.null then return "None" end
  local parts = {}
  for i, axis in ipairs(spec.shape) do
    parts[i] = ('"%s"'):format(axis)
  end
  return "(" .. table.concat(parts, ", ") .. (#parts == 1 and ",)" or ")")
end

local function input_specs(definition)
  local lines = {}
  for _, name in ipairs(json.keys(definition.inputs)) do
    lines[#lines + 1] = ('    "%s": %s,'):format(name, shape_text(definition.inputs[name]))
  end
  return table.concat(lines, "\n")
end

local function output_specs(definition)
  local lines = {}
  for _, name in ipairs(json.keys(definition.outputs)) do
    local spec = definition.outputs[name]
    lines[#lines + 1] = ('    "%s": (torch.%s, %s),'):format(name, spec.dtype, shape_text(spec))
  end
  return table.concat(lines, "\n")
end

local function constant_axes(definition)
  local parts = {}
  for _, name in ipairs(json.keys(definition.axes)) do
    local value = axis_value(definition.axes[name])
    if value then parts[#parts + 1] = ('"%s": %d'):format(name, value) end
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- A source to be laid into the file as text: it is run in a namespace of its own, so that nothing of it hides the
-- test's own names.
local function quoted(source)
  local text = source:gsub("\\", "\\\\"):gsub('"""', '\\"\\"\\"')
  return '"""\n' .. text:gsub("^\n+", ""):gsub("%s+$", "") .. '\n"""'
end

local TEMPLATE = [==[
"""Tests of the reference of ${name}. Written by `hone add-reference-tests`; --force writes it anew."""

${math}import pytest
import torch
from conftest import ${imports}

${constants}

AXES = ${axes}
INPUTS = {
${inputs}
}
OUTPUTS = {
${outputs}
}
ATOL, RTOL, RATIO = ${atol}, ${rtol}, ${ratio}
DISTANCE, LIBRARY_DISTANCE = ${distance}, ${library_distance}

REFERENCE = ${reference}

${truth_source}


def load(source, name):
    space = {}
    exec(compile(source, f"<{name}>", "exec"), space)
    return space[name]


run = load(REFERENCE, "run")
${truth_loader}

${make}

${ground}
${sizes}

def inputs_of(case, device, seed=0):
    return make_inputs(case, Inputs(device, seed))


def outputs_of(case, device, seed=0):
    """Inputs, and what the reference makes of copies of them, in the form that the definition says."""
    inputs = inputs_of(case, device, seed)
    outputs = as_list(call(run, INPUTS, inputs))
    check_form(outputs, OUTPUTS, bind_axes(inputs, INPUTS, AXES))
    return inputs, outputs


@pytest.mark.parametrize("case", CASES, ids=str)
def test_shapes_and_dtypes(case, device):
    outputs_of(case, device)


${checks}
]==]

local DETERMINISM = [==[
@pytest.mark.parametrize("case", CASES[-1:], ids=str)
def test_determinism(case, device):
    _, first = outputs_of(case, device)
    _, second = outputs_of(case, device)
    for one, other in zip(first, second):
        assert torch.equal(one, other) or torch.equal(one.isnan(), other.isnan()) and torch.equal(
            one.nan_to_num(), other.nan_to_num())
]==]

local AGAINST_TORCH = [==[
@pytest.mark.parametrize("case", CASES, ids=str)
def test_against_torch(case, device):
    inputs, outputs = outputs_of(case, device)
    for name, got, expected in zip(OUTPUTS, outputs, as_list(truth(*copies(inputs)))):
        compare(name, got, expected, ATOL, RTOL, RATIO, DISTANCE)
]==]

local AGAINST_LIBRARY = [==[
@pytest.mark.parametrize("case", CASES, ids=str)
def test_against_${library}(case):
    needs(${modules})
    inputs, outputs = outputs_of(case, "cuda")
    for name, got, expected in zip(OUTPUTS, outputs, as_list(${library}_truth(*copies(inputs)))):
        compare(name, got, expected, ATOL, RTOL, RATIO, LIBRARY_DISTANCE, is_scaled=False)
]==]

local DISTRIBUTION = [==[
@pytest.mark.parametrize("case", CASES, ids=str)
def test_draws_what_may_be_drawn(case, device):
    inputs, outputs = outputs_of(case, device)
    distribution = truth(*copies(inputs))
    check_drawn(outputs[0], distribution)


def test_draws_as_often_as_it_should(device):
    inputs = inputs_of(CASES[0], device)
    few = [value[:1] if isinstance(value, torch.Tensor) else value for value in inputs]
    check_shares(lambda: call(run, INPUTS, few), truth(*copies(few)), draws=${draws})
]==]

local DISTRIBUTION_LIBRARY = [==[
@pytest.mark.parametrize("case", CASES, ids=str)
def test_${library}_draws_what_may_be_drawn(case):
    needs(${modules})
    inputs = inputs_of(case, "cuda")
    check_drawn(as_list(${library}_truth(*copies(inputs)))[0], truth(*copies(inputs)))
]==]

local WITHOUT_FLASHINFER = [==[
def test_against_flashinfer():
    pytest.skip("${why}")
]==]

local MODULES = { flashinfer = "flashinfer", sglang = "sgl_kernel" }
local LIBRARIES = { "flashinfer", "sglang" }

-- What must be there for a library's test, as Python's arguments: the library, and more where its kernel wants that.
local function modules_of(about, library)
  local names = { MODULES[library], table.unpack(about[library .. "_needs"] or {}) }
  for i, name in ipairs(names) do
    names[i] = ('"%s"'):format(name)
  end
  return table.concat(names, ", ")
end

local function checks_of(about)
  local list = {}
  if about.is_distribution then
    list[1] = truth.fill(DISTRIBUTION, { draws = "400" })
  else
    list[1], list[2] = DETERMINISM, AGAINST_TORCH
  end
  for _, library in ipairs(LIBRARIES) do
    if about[library] then
      local template = about.is_distribution and DISTRIBUTION_LIBRARY or AGAINST_LIBRARY
      list[#list + 1] = truth.fill(template, { library = library, modules = modules_of(about, library) })
    end
  end
  if not about.flashinfer and about.without_flashinfer then
    list[#list + 1] = truth.fill(WITHOUT_FLASHINFER, { why = about.without_flashinfer })
  end
  return (table.concat(list, "\n\n"):gsub("%s+$", ""))
end

local function ground_of(definition)
  local list = {}
  for _, library in ipairs(LIBRARIES) do
    list[#list + 1] = truth.call(definition, library)
  end
  local text = table.concat(list, "\n\n")
  return text ~= "" and "\n" .. text or ""
end

local function imports_of(about)
  local names = { "Inputs", "as_list", "bind_axes", "call", "check_form", "copies" }
  if about.is_distribution then
    names[#names + 1], names[#names + 2] = "check_drawn", "check_shares"
  else
    names[#names + 1] = "compare"
  end
  if about.flashinfer or about.sglang then names[#names + 1] = "needs" end
  if about.flashinfer and about.flashinfer:find "workspace" then names[#names + 1] = "workspace" end
  table.sort(names)
  return table.concat(names, ", ")
end

local function number(value) return ("%.17g"):format(value):gsub("^(%d+)$", "%1.0") end

---The test file of a definition.
---@param definition table
---@param options { sizes: integer?, tolerance: number? }? # sizes: how many of the op type's cases, from the smallest up
---@return string? text
---@return string? why
function generate.test(definition, options)
  options = options or {}
  local formula, about = truth.formula(definition)
  if not formula then return nil, about end
  local tolerance = generate.tolerance(about, options.tolerance)
  local make_parts = about.make_parts or about.parts
  local make = truth.fill(about.make, make_parts and make_parts(definition) or {})
  return (
    truth.fill(TEMPLATE, {
      name = definition.name,
      math = (about.flashinfer or ""):find("math%.") and "import math\n\n" or "",
      imports = imports_of(about),
      constants = truth.constants(definition, about),
      axes = constant_axes(definition),
      inputs = input_specs(definition),
      outputs = output_specs(definition),
      atol = number(tolerance.atol),
      rtol = number(tolerance.rtol),
      ratio = number(tolerance.ratio),
      distance = number(tolerance.distance),
      library_distance = number(tolerance.library_distance),
      reference = quoted(definition.reference),
      truth_source = "TRUTH = " .. quoted(formula),
      truth_loader = 'truth = load(TRUTH, "truth")\n',
      make = make:gsub("%s+$", ""),
      ground = ground_of(definition),
      sizes = options.sizes and ("\nCASES = CASES[:%d]\n"):format(options.sizes) or "",
      checks = checks_of(about),
    })
  )
end

return generate
