--- The skill add-flashinfer-solution, on a copy of the small dataset of the examples.
local fs, json = require "hone.fs", require "hone.json"
local sandbox = require "support.sandbox"

local NORM = "fused_add_rmsnorm_h2048"

describe("hone add-flashinfer-solution", function()
  local box

  before_each(function()
    box = sandbox.new()
    assert(require("hone.process").run { "cp", "-r", "examples/dataset", box:at "d", check = true })
  end)
  after_each(function() box:close() end)

  local function add(...) return box:hone { "add-flashinfer-solution", "--local", "d", ... } end

  it("lists the definitions that there are to pick from", function()
    local done = add("--op-type", "rmsnorm", "--json")
    assert.equal(0, done.status, done.stderr)
    local list = assert(json.decode(done.stdout)).definitions
    assert.same(
      { NORM, "rmsnorm", 3, 2 },
      { list[1].name, list[1].op_type, list[1].workloads, list[1].solutions }
    )
  end)

  it("goes all the way: sources, build, dataset, traces, page", function()
    local done = add(NORM, "--template", "cpp", "--author", "me", "--json")
    assert.equal(0, done.status, done.stderr)
    local result = assert(json.decode(done.stdout))
    assert.equal(3, #result.traces)
    for _, t in ipairs(result.traces) do
      assert.equal("PASSED", t.evaluation.status)
    end
    assert.is_true(fs.exists(box:at("d/solutions/me/rmsnorm/" .. NORM .. "/" .. NORM .. "_cpp.json")))
    assert.matches("^<!doctype html>", fs.read(box:at(NORM .. "_cpp.html")))
  end)

  it("brings a kernel along, also one whose function is called as the solution's", function()
    local source = assert(fs.read("examples/solutions/fused_add_rmsnorm_torch/main.py"))
    assert(fs.write(box:at "norm.py", source))
    local done = add(NORM, "--template", "vendored", "--kernel", "norm.py::run", "--target", "cpu", "--json")
    assert.equal(0, done.status, done.stderr)
    for _, t in ipairs(assert(json.decode(done.stdout)).traces) do
      assert.equal("PASSED", t.evaluation.status, t.evaluation.log)
    end
  end)

  it("goes on where files of workloads are missing, as a run does, and says so once", function()
    assert(fs.remove(box:at "d/blob"))
    local done = add("gqa_paged_decode_h32_kv4_d128_ps1", "--template", "cpp", "--until", "check")
    assert.equal(0, done.status, done.stderr)
    local _, times = done.stderr:gsub("blob missing", "")
    assert.equal(1, times)
    assert.matches("errors of the dataset itself %(hone validate %-%-definitions gqa_paged", done.stderr)
  end)

  it("takes a folder as it is, and shows what the compiler says to an edit", function()
    assert.equal(0, add(NORM, "--template", "cpp", "--folder", "work", "--until", "start").status)
    local path = box:at "work/kernel.cpp"
    assert(fs.write(path, (fs.read(path):gsub("double squares = 0;", "double squares = nothing;"))))
    local done = add(NORM, "--folder", "work", "--until", "build")
    assert.equal(1, done.status)
    assert.matches("nothing", done.stderr)
    assert.is_false(fs.exists(box:at "d/solutions/me"))
  end)

  it("fails where results are wrong, and shows why", function()
    assert.equal(0, add(NORM, "--template", "cpp", "--folder", "work", "--until", "start").status)
    local path = box:at "work/kernel.cpp"
    assert(fs.write(path, (fs.read(path):gsub("narrow%(x %* scale", "narrow(2 * x * scale"))))
    local done = add(NORM, "--folder", "work", "--until", "inspect")
    assert.equal(1, done.status)
    assert.matches("INCORRECT_NUMERICAL", done.stdout)
    assert.matches("does not pass on 3 of 3 workloads", done.stderr)
  end)

  it("says what is missing", function()
    local done = add "no_such_definition"
    assert.equal(1, done.status)
    assert.matches("there is no definition 'no_such_definition'", done.stderr)
    assert.equal(2, add(NORM).status)
    assert.equal(2, add(NORM, "--folder", "nowhere").status)
    assert.equal(2, add(NORM, "--template", "vendored").status)
  end)

  it("does not take a name that is somebody's", function()
    local done =
      add(NORM, "--template", "cpp", "--name", "fused_add_rmsnorm_cpp", "--author", "me", "--until", "check")
    assert.equal(1, done.status)
    assert.matches("the name fused_add_rmsnorm_cpp is taken", done.stderr)
  end)
end)
