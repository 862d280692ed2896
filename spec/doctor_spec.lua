local doctor = require "hone.doctor"
local fs = require "hone.fs"
local json = require "hone.json"
local process = require "hone.process"
local sandbox = require "support.sandbox"

local function by_name(checks)
  local found = {}
  for _, check in ipairs(checks) do
    found[check.name] = check
  end
  return found
end

-- A copy without the order of fields, which assert.same would compare too.
local function plain(object)
  local copy = {}
  for key, value in pairs(object) do
    copy[key] = value
  end
  return copy
end

describe("hone doctor", function()
  local box

  before_each(function() box = sandbox.new() end)
  after_each(function() box:close() end)

  local function ask(env, ...)
    local result = box:hone({ "doctor", "--json", ... }, env)
    assert.equal("", result.stderr)
    assert.equal(0, result.status)
    return by_name(assert(json.decode(result.stdout)).checks), result
  end

  it("finds what the specs themselves run on, with versions", function()
    local checks = ask()
    for _, name in ipairs { "git", "Python", "libcurl", "lfs", "cjson", "lyaml", "C compiler" } do
      assert.is_true(checks[name].found, name)
      assert.matches("^%d+%.[%d.]*%d$", checks[name].version)
    end
    assert.is_true(checks.grammars.found)
    assert.equal("python, typescript, tsx", checks.grammars.version)
  end)

  it("says of everything what it enables, and of what is missing what to install", function()
    local checks = doctor.examine()
    assert.is_true(#checks > 20)
    for _, check in ipairs(checks) do
      assert.is_boolean(check.found)
      assert.is_true(#check.enables > 0, check.name)
      if not check.found then assert.is_true(#check.install > 0, check.name) end
    end
  end)

  it("prints a table and, below it, what is missing", function()
    local result = box:hone { "doctor" }
    assert.equal(0, result.status)
    assert.matches("\ngit%s+found%s+%d+%.", result.stdout)
    assert.matches("\nMISSING%s+TO INSTALL", result.stdout)
    assert.matches("\ndataset%s+hone clone%-repos", result.stdout)
  end)

  it("keeps the order of fields in its data", function()
    local _, result = ask()
    local object = assert(json.decode(result.stdout))
    assert.same({ "checks", "devices" }, json.keys(object))
    assert.same({ "name", "found" }, table.move(json.keys(object.checks[1]), 1, 2, 1, {}))
  end)

  it("looks for the dataset in --local, FIB_DATASET_PATH and ./flashinfer-trace, in this order", function()
    for _, name in ipairs { "a", "b", "flashinfer-trace" } do
      assert(fs.mkdir(box:at(name, "definitions")))
    end
    assert.equal("a", ask({ FIB_DATASET_PATH = "b" }, "--local", "a").dataset.detail)
    assert.equal("b", ask({ FIB_DATASET_PATH = "b" }).dataset.detail)
    assert.equal("./flashinfer-trace", ask().dataset.detail)
    assert.is_false(ask(nil, "--local", "none").dataset.found)
  end)

  it("never shows a token", function()
    local secret = "hf_" .. ("q"):rep(30)
    local checks, result = ask { HF_TOKEN = secret }
    assert.is_true(checks["HuggingFace token"].found)
    assert.is_nil(result.stdout:find(secret, 1, true))
    box:write("hf/token", secret)
    checks, result = ask { HF_HOME = box:at("hf"), HF_TOKEN = false }
    assert.is_true(checks["HuggingFace token"].found)
    assert.is_nil(result.stdout:find(secret, 1, true))
  end)

  it("names the cache folder that cannot be written, and why", function()
    local checks = ask { XDG_CACHE_HOME = "/proc/nowhere" }
    assert.is_false(checks["cache folder"].found)
    assert.matches("/proc/nowhere", checks["cache folder"].detail)
  end)

  it("answers although no program is installed", function()
    local checks = ask { PATH = box:at("empty") }
    assert.is_false(checks.git.found)
    assert.is_false(checks.Python.found)
    assert.is_true(checks.cjson.found)
  end)

  describe("with a driver", function()
    local env

    before_each(function()
      local library = box:at("libcuda.so.1")
      local built = process.run { "cc", "-shared", "-fPIC", "-o", library, "spec/support/fake_cuda.c" }
      assert.equal(0, built.status, built.stderr)
      env = { LD_LIBRARY_PATH = box.path }
    end)

    it("tells of each device what the driver tells", function()
      local checks, result = ask(env)
      assert.equal("CUDA 12.8", checks["NVIDIA driver"].version)
      assert.is_true(checks["GPU 1"].found)
      assert.equal("Fake GPU 0, sm_7576, 1.0 GiB, 16 SMs, 0 MiB L2, 13 MHz", checks["GPU 0"].version)
      assert.same({
        name = "Fake GPU 1",
        capability = "75.76",
        memory = 2 << 30,
        processors = 16,
        l2_bytes = 38,
        clock_mhz = 13,
        memory_clock_mhz = 36,
        bus_bits = 37,
      }, plain(json.decode(result.stdout).devices[2]))
    end)

    it("says why it does not work", function()
      env.FAKE_CUDA_ERROR = "1"
      local checks = ask(env)
      assert.is_true(checks["NVIDIA driver"].found)
      assert.equal("no CUDA-capable device is detected", checks["NVIDIA driver"].detail)
      assert.is_false(checks.GPU.found)
      assert.equal("no CUDA-capable device is detected", checks.GPU.detail)
    end)
  end)

  it("finds the driver, the libraries and the device of a machine with a GPU #gpu", function()
    local checks, result = ask()
    if not checks["NVIDIA driver"].found then return pending("no GPU") end
    for _, name in ipairs { "NVIDIA driver", "NVRTC", "cuBLASLt", "GPU 0" } do
      assert.is_true(checks[name].found, name .. ": " .. result.stdout)
    end
    local device = assert(json.decode(result.stdout)).devices[1]
    assert.matches("%w", device.name)
    assert.matches("^%d+%.%d$", device.capability)
    assert.is_true(device.memory > 2 ^ 30)
    assert.is_true(device.processors > 0 and device.l2_bytes > 0 and device.clock_mhz > 0)
  end)
end)
