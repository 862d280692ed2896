local fs = require "hone.fs"
local json = require "hone.json"
local process = require "hone.process"
local settings = require "hone.bench.settings"
local support = require "support.dataset"

describe("hone.bench.settings", function()
  local folder
  before_each(function() folder = assert(fs.tempdir()) end)
  after_each(function() folder:remove() end)

  local function file(text)
    local path = fs.join(folder.path, "settings.yaml")
    assert(fs.write(path, text))
    return path
  end

  local function resolved(options, op_type, name)
    return settings.resolve(
      assert(settings.load(options)),
      { op_type = op_type, name = name or "some_definition" }
    )
  end

  it("has flashinfer-bench's defaults", function()
    local r = resolved({}, "gemm")
    assert.same({ 10, 50, 3, 0.01, 0.01 }, { r.warmup_runs, r.iterations, r.num_trials, r.rtol, r.atol })
    assert.is_nil(r.required_matched_ratio)
    assert.is_true(r.profile_baseline)
    assert.same({}, r.extra)
    assert.equal("defaults", r.from.rtol)
  end)

  it("ships what experts and sampling are judged by, and says so", function()
    local moe, sampling = resolved({}, "moe"), resolved({}, "sampling")
    assert.equal(0.95, moe.required_matched_ratio)
    assert.equal("op_type_config.moe of shipped settings", moe.from.required_matched_ratio)
    assert.same({ sampling_validation_trials = 100, sampling_tvd_threshold = 0.2 }, sampling.extra)
  end)

  it("replaces the shipped settings by a file", function()
    local path = file "op_type_config:\n  gemm:\n    atol: 0.5\n"
    assert.is_nil(resolved({ config = path }, "moe").required_matched_ratio)
    assert.equal(0.5, resolved({ config = path }, "gemm").atol)
  end)

  it("lays the definition over the op type, the top level over both, the command line over all", function()
    local path = file [[
rtol: 0.3
op_type_config:
  gemm: { atol: 0.1, rtol: 0.1, iterations: 7, extra: { a: 1, b: 1 } }
definition_config:
  g: { atol: 0.2, warmup_runs: 0, extra: { b: 2 } }
]]
    local r = resolved({ config = path, overrides = { num_trials = 9 } }, "gemm", "g")
    assert.same({ 0.2, 0.3, 7, 0, 9 }, { r.atol, r.rtol, r.iterations, r.warmup_runs, r.num_trials })
    assert.same({ a = 1, b = 2 }, r.extra)
    assert.equal(path, r.from.rtol)
    assert.equal("definition_config.g of " .. path, r.from.atol)
    assert.equal("op_type_config.gemm of " .. path, r.from.iterations)
    assert.equal("command line", r.from.num_trials)
    assert.equal(0.4, resolved({ config = path, overrides = { rtol = 0.4 } }, "gemm", "g").rtol)
  end)

  it("puts the deprecated sampling fields into extra, last", function()
    local path =
      file "sampling_tvd_threshold: 0.1\nop_type_config: {sampling: {extra: {sampling_tvd_threshold: 0.5}}}\n"
    assert.equal(0.1, resolved({ config = path }, "sampling").extra.sampling_tvd_threshold)
  end)

  it("takes a null as if the key were not there", function()
    local path = file "rtol: null\nop_type_config:\n  gemm:\n    atol: ~\n  moe:\n"
    assert.equal(0.01, resolved({ config = path }, "gemm").atol)
    assert.equal(0.01, resolved({ config = path }, "moe").rtol)
  end)

  it("takes numbers in words as YAML's readers give them", function()
    assert.equal(1e-3, resolved({ config = file "rtol: 1e-3\n" }, "gemm").rtol)
    assert.equal(25, resolved({ config = file 'iterations: "25"\n' }, "gemm").iterations)
  end)

  for name, case in pairs {
    ["a ratio above 1"] = { "required_matched_ratio: 1.5\n", "above 0 and at most 1, got 1.5" },
    ["a tolerance of 0"] = { "atol: 0\n", "atol must be a number above 0, got 0" },
    ["half an iteration"] = { "iterations: 2.5\n", "iterations must be an integer at least 1, got 2.5" },
    ["negative warm-up"] = { "warmup_runs: -1\n", "at least 0" },
    ["words for numbers"] = { "rtol: small\n", "rtol must be a number" },
    ["a list for a mapping"] = { "op_type_config: [1, 2]\n", "op_type_config must be a mapping" },
    ["a scalar for a layer"] = { "definition_config: {a: 3}\n", "definition_config.a must be a mapping" },
    ["a scalar for definitions"] = { "definitions: gemm\n", "definitions must be a list of names" },
    ["a list as a file"] = { "- 1\n- 2\n", "not a mapping" },
    ["what is no YAML"] = { "a: [1\nb: }\n", "cannot read the settings" },
  } do
    it("refuses " .. name .. " in one line", function()
      local loaded, why, code = settings.load { config = file(case[1]) }
      assert.is_nil(loaded)
      assert.truthy(why:find(case[2], 1, true), why)
      assert.falsy(why:find("\n", 1, true))
      assert.equal("EBADMSG", code)
    end)
  end

  it("says that a file is not there", function()
    local loaded, why, code = settings.load { config = fs.join(folder.path, "none.yaml") }
    assert.is_nil(loaded)
    assert.truthy(why:find("none.yaml", 1, true))
    assert.equal("ENOENT", code)
  end)

  it("notes what nobody knows, and what it may have been meant to be", function()
    local s = assert(settings.load { config = file "iteration: 3\nop_type_config: {gemm: {atoll: 1}}\n" })
    table.sort(s.notes)
    assert.equal(2, #s.notes)
    assert.truthy(s.notes[1]:find("did you mean", 1, true))
  end)

  it(
    "describes the tolerances and their layers",
    function()
      assert.equal(
        "tolerances: atol 0.01 (defaults), rtol 0.01 (defaults), "
          .. "required_matched_ratio 0.95 (op_type_config.moe of shipped settings)",
        settings.describe(resolved({}, "moe"))
      )
    end
  )

  it("resolves as flashinfer-bench does", function()
    -- the release on PyPI has no layers: this runs where HONE_FLASHINFER_BENCH names a checkout that has them
    local python, absent = support.python()
    local checkout, no_checkout = support.checkout()
    if not python or not checkout then return pending(absent or no_checkout) end
    local path = file [[
rtol: 0.3
iterations: 5
op_type_config:
  gemm: { atol: 0.1, rtol: 0.1, iterations: 7, extra: { a: 1, b: 1 } }
  moe: { required_matched_ratio: 0.9 }
definition_config:
  g: { atol: 0.2, warmup_runs: 0, extra: { b: 2 } }
]]
    local code = [[
import json, sys, types
sys.path.insert(0, sys.argv[2])
sys.modules["flashinfer"] = types.ModuleType("flashinfer")
sys.modules["flashinfer.testing"] = types.ModuleType("flashinfer.testing")
sys.modules["flashinfer.testing"].bench_gpu_time_with_cupti = None
from flashinfer_bench.bench.config import BenchmarkConfig
c = BenchmarkConfig.from_yaml(sys.argv[1])
for op, name in [("gemm", "g"), ("gemm", "h"), ("moe", "g"), ("x", "y")]:
    print(c.resolve_eval_config(types.SimpleNamespace(op_type=op, name=name)).model_dump_json())
]]
    local result = assert(process.run { python, "-c", code, path, checkout, check = true })
    local i, cases = 0, { { "gemm", "g" }, { "gemm", "h" }, { "moe", "g" }, { "x", "y" } }
    for line in result.stdout:gmatch "[^\n]+" do
      i = i + 1
      local theirs, ours = json.decode(line), resolved({ config = path }, cases[i][1], cases[i][2])
      for key, value in pairs(theirs) do
        local mine = ours[key]
        if value == json.null then
          assert.is_nil(mine, key)
        elseif type(value) == "table" then
          for inner, x in pairs(value) do
            assert.equal(x, mine[inner])
          end
        else
          assert.equal(value, mine, key)
        end
      end
    end
    assert.equal(#cases, i)
  end)
end)
