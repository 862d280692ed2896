--- safetensors and .npy files: against the Python packages both ways, and against files that lie.
local dataset = require "support.dataset"
local fs = require "hone.fs"
local npy = require "hone.npy"
local process = require "hone.process"
local safetensors = require "hone.safetensors"
local tensor = require "hone.tensor"

local DTYPES = {
  "float64",
  "float32",
  "float16",
  "bfloat16",
  "float8_e4m3fn",
  "float8_e5m2",
  "float4_e2m1",
  "int64",
  "int32",
  "int16",
  "int8",
  "uint8",
  "bool",
}

local folder

before_each(function() folder = assert(fs.tempdir()) end)
after_each(function() fs.remove(folder.path) end)

local function at(name) return fs.join(folder.path, name) end

local function file_of(header, data, length)
  local path = at("file.safetensors")
  assert(fs.write(path, ("<I8"):pack(length or #header) .. header .. (data or "")))
  return path
end

local function python(code, ...)
  local program, why = dataset.python()
  if not program then return nil, why end
  local result = assert(process.run { program, "-c", code, ... })
  assert.equal(0, result.status, result.stderr)
  return result.stdout
end

local function sample(dtype, ...)
  local n = 1
  for _, size in ipairs { ... } do
    n = n * size
  end
  local bytes = {}
  for i = 1, n * tensor.empty(1, dtype):element_size() do
    bytes[i] = string.char(dtype == "bool" and i % 2 or (i * 37) % 256)
  end
  return tensor.from_bytes(table.concat(bytes), dtype, { ... })
end

local function assert_same(expected, t, what)
  assert.same({ expected.dtype, expected:shape() }, { t.dtype, t:shape() }, what)
  assert.is_true(expected:bytes() == t:bytes(), what)
end

describe("safetensors", function()
  it("come back as they were written, every dtype, any shape", function()
    local tensors =
      { ['ünïcode "name"'] = tensor.ones(2), empty = tensor.zeros(0, 3), scalar = tensor.new(3.5) }
    for _, dtype in ipairs(DTYPES) do
      tensors["t." .. dtype] = sample(dtype, 3, 4)
    end
    assert(safetensors.write(at("a"), tensors, { format = "pt", note = "x" }))
    local back, metadata = assert(safetensors.read(at("a")))
    assert.same({ format = "pt", note = "x" }, metadata)
    for name, t in pairs(tensors) do
      assert_same(t, back[name], name)
      back[name] = nil
    end
    assert.is_nil(next(back))
  end)

  it("are written from views as they look", function()
    local t = tensor.arange(24):view(4, 6)
    assert(safetensors.write(at("a"), { turned = t:t(), part = t:narrow(2, 2, 3) }))
    local back = assert(safetensors.read(at("a")))
    assert_same(t:t():contiguous(), back.turned)
    assert_same(t:narrow(2, 2, 3):contiguous(), back.part)
  end)

  it("are the bytes that the reference writer writes", function()
    local code = [[
import sys, torch
from safetensors.torch import save_file
names = "float64 float32 float16 bfloat16 float8_e4m3fn float8_e5m2 int64 int32 int16 int8 uint8 bool"
types = [getattr(torch, name) for name in names.split()]
tensors = {f"x{i}": torch.arange(6).reshape(2, 3).float().to(t) for i, t in enumerate(types)}
tensors["four"] = torch.arange(6, dtype=torch.uint8).reshape(2, 3).view(torch.float4_e2m1fn_x2)
tensors["b\u00e9"] = torch.zeros(0, 2)
tensors["scalar"] = torch.tensor(1.5)
save_file(tensors, sys.argv[1], metadata={"format": "pt"})
]]
    local ran, why = python(code, at("theirs"))
    if not ran then return pending(why) end
    local tensors, metadata = assert(safetensors.read(at("theirs")))
    assert.equal(1.5, tensors.scalar:item())
    assert(safetensors.write(at("ours"), tensors, metadata))
    assert.is_true(fs.read(at("theirs")) == fs.read(at("ours")))
  end)

  it("are read by the Python package", function()
    local code = [[
import sys, torch
from safetensors.torch import load_file
for name, t in sorted(load_file(sys.argv[1]).items()):
    shape = "x".join(map(str, t.shape))
    print(name, str(t.dtype).removeprefix("torch."), shape, t.view(torch.uint8).numpy().tobytes().hex())
]]
    local tensors, expected = {}, {}
    table.sort(DTYPES)
    for _, dtype in ipairs(DTYPES) do
      local t = sample(dtype, 2, 6)
      tensors[dtype] = t
      local name = dtype == "float4_e2m1" and "float4_e2m1fn_x2" or dtype
      local hex = t:bytes():gsub(".", function(c) return ("%02x"):format(c:byte()) end)
      table.insert(expected, ("%s %s 2x6 %s\n"):format(dtype, name, hex))
    end
    assert(safetensors.write(at("a"), tensors))
    local printed, why = python(code, at("a"))
    if not printed then return pending(why) end
    assert.equal(table.concat(expected), printed)
  end)

  it("are opened without being read, and live as long as their tensors", function()
    assert(safetensors.write(at("a"), { x = tensor.arange(1000), y = tensor.ones(3) }))
    local file = assert(safetensors.open(at("a")))
    assert.same({ "x", "y" }, file.names)
    assert.same({ type = "F32", dtype = "float32", shape = { 3 } }, file:info("y"))
    local x = file:tensor("x")
    file:close()
    file = nil -- luacheck: ignore 311
    fs.remove(at("a"))
    collectgarbage()
    collectgarbage()
    assert.equal(499500, x:sum():item())
    x:add_(1)
    assert.equal(500500, x:sum():item())
  end)

  it("are not changed by what is done to their tensors", function()
    assert(safetensors.write(at("a"), { x = tensor.zeros(4) }))
    local before = fs.read(at("a"))
    assert(safetensors.read(at("a"))).x:add_(1)
    assert.equal(before, fs.read(at("a")))
  end)

  it("may hold tensors at odd places", function()
    local header = '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
      .. '"b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}'
    local t = assert(safetensors.read(file_of(header, "\7" .. ("<ff"):pack(1.5, -2)))).b
    assert.same({ 1.5, -2 }, t:tolist())
  end)

  it("keep what hone has no dtype for closed", function()
    local header = '{"a":{"dtype":"U32","shape":[2],"data_offsets":[0,8]}}'
    local file = assert(safetensors.open(file_of(header, ("x"):rep(8))))
    assert.same({ type = "U32", shape = { 2 } }, file:info("a"))
    local t, why = file:tensor("a")
    assert.is_nil(t)
    assert.equal(('cannot read tensor "a" of %s: hone has no U32 [2]'):format(file.path), why)
    assert.same({ nil, ('%s has no tensor "b"'):format(file.path), "ENOENT" }, { file:tensor("b") })
  end)
end)

describe("a file that is no safetensors file", function()
  local function reason(path)
    local file, why, code = safetensors.open(path)
    assert.is_nil(file)
    assert.is_nil(why:find("\n", 1, true))
    assert.is_string(code)
    local prefix = "cannot read " .. path .. ": "
    assert.equal(prefix, why:sub(1, #prefix))
    return why:sub(#prefix + 1)
  end

  local function entry(dtype, shape, first, last)
    return ('{"dtype":"%s","shape":%s,"data_offsets":[%s,%s]}'):format(dtype, shape, first, last)
  end

  it("is named for what it is", function()
    assert.equal("No such file or directory", reason(at("none")))
    assert.equal("Is a directory", reason(folder.path))
    assert(fs.write(at("a"), ""))
    assert.equal("it has 0 bytes, a safetensors file at least 8", reason(at("a")))
    assert.matches("its header would be too long", reason(file_of("{}", "", 1 << 40)))
    assert.matches("its header would be too long", reason(file_of("{}", "", -1)))
    assert.equal("it has 10 bytes, its header alone 108: truncated?", reason(file_of("{}", "", 100)))
    assert.matches("does not begin with {", reason(file_of("[]")))
  end)

  it("has a header that cannot be", function()
    local function fault(header, data) return reason(file_of(header, data)) end
    local eight = ("x"):rep(8)
    assert.matches("^header:1:", fault("{nonsense"))
    assert.matches(
      'duplicate key "a"',
      fault(("{%q:%s,%q:%s}"):format("a", entry("U8", "[1]", 0, 1), "a", entry("U8", "[1]", 1, 2)), "xx")
    )
    assert.matches('unknown dtype "F3"', fault(('{"a":%s}'):format(entry("F3", "[2]", 0, 8)), eight))
    assert.matches("not a list of sizes", fault(('{"a":%s}'):format(entry("F32", "[-2]", 0, 8)), eight))
    assert.matches("not a list of sizes", fault(('{"a":%s}'):format(entry("F32", "[2.0]", 0, 8)), eight))
    assert.matches("not a list of sizes", fault(('{"a":%s}'):format(entry("F32", "2", 0, 8)), eight))
    assert.matches("not two offsets", fault(('{"a":%s}'):format(entry("F32", "[2]", 0, "8,9")), eight))
    assert.matches("its entry is not an object", fault('{"a":3}'))
    assert.matches('__metadata__ has "n", which is no string', fault('{"__metadata__":{"n":1}}'))
  end)

  it("has tensors that do not fit their bytes", function()
    local function fault(data, ...)
      local entries = {}
      for i, text in ipairs { ... } do
        entries[i] = ('"t%d":%s'):format(i, text)
      end
      return reason(file_of("{" .. table.concat(entries, ",") .. "}", data))
    end
    local eight = ("x"):rep(8)
    assert.matches("bytes 0 to 16 are not among the 8", fault(eight, entry("F32", "[4]", 0, 16)))
    assert.matches("bytes 8 to 0 are not among", fault(eight, entry("F32", "[2]", 8, 0)))
    assert.matches("shape takes 12 bytes, its data_offsets 8", fault(eight, entry("F32", "[3]", 0, 8)))
    assert.matches("larger than any file", fault(eight, entry("F32", "[4611686018427387904,4]", 0, 8)))
    assert.matches("larger than any file", fault(eight, entry("F32", "[9223372036854775807,2]", 0, 0)))
    assert.matches("ends within a byte", fault(eight, entry("F4", "[3]", 0, 2)))
    assert.matches('"t1" and "t2" overlap', fault(eight, entry("U8", "[5]", 0, 5), entry("U8", "[5]", 3, 8)))
    assert.matches(
      "no tensor has the bytes 3 to 5",
      fault(eight, entry("U8", "[3]", 0, 3), entry("U8", "[3]", 5, 8))
    )
    assert.matches("no tensor has the bytes 6 to 8", fault(eight, entry("U8", "[6]", 0, 6)))
  end)

  it("is a Git LFS pointer: says how to get the file", function()
    assert(fs.mkdir(at("repository/.git")))
    assert(fs.mkdir(at("repository/blobs")))
    local path = at("repository/blobs/x.safetensors")
    assert(fs.write(path, "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 5\n"))
    assert.equal("it is a Git LFS pointer; run git lfs pull --include blobs/x.safetensors", reason(path))
    local _, why = npy.read(path)
    assert.matches("is a Git LFS pointer; run git lfs pull", why)
  end)

  it("never crashes, whichever byte of it is changed or missing", function()
    assert(safetensors.write(at("a"), { x = tensor.arange(3), y = tensor.ones(2, "bfloat16") }, { k = "v" }))
    local bytes = fs.read(at("a"))
    for i = 1, #bytes do
      for _, changed in ipairs { bytes:sub(1, i - 1), bytes:sub(1, i - 1) .. "9" .. bytes:sub(i + 1) } do
        assert(fs.write(at("b"), changed, { sync = false }))
        local tensors, why = safetensors.read(at("b"))
        if not tensors then assert.is_nil(why:find("\n", 1, true)) end
      end
    end
  end)
end)

describe("safetensors.write", function()
  it("blames its caller", function()
    local function refused(...)
      local done, why = pcall(safetensors.write, at("a"), ...)
      assert.is_false(done)
      return why
    end
    assert.matches("table of tensors expected", refused(3))
    assert.matches('"x" is not a tensor', refused { x = 3 })
    assert.matches("cannot be a tensor's name", refused { tensor.zeros(1) })
    assert.matches("cannot be a tensor's name", refused { __metadata__ = tensor.zeros(1) })
    assert.matches("n is not a string", refused({ x = tensor.zeros(1) }, { n = 3 }))
    assert.is_false(fs.exists(at("a")))
  end)

  it("leaves the old file where the new one cannot be written", function()
    assert(fs.write(at("a"), "old"))
    assert.is_nil((safetensors.write(at("a/b"), { x = tensor.zeros(1) })))
    assert.equal("old", fs.read(at("a")))
    assert.equal(1, #fs.glob(at("*")))
  end)
end)

describe("npy", function()
  local KINDS = { "float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool" }

  it("comes back as it was written", function()
    for _, dtype in ipairs(KINDS) do
      for _, shape in ipairs { {}, { 0 }, { 7 }, { 2, 3, 4 } } do
        local t = sample(dtype, table.unpack(shape))
        assert(npy.write(at("a.npy"), t))
        assert_same(t, assert(npy.read(at("a.npy"))), dtype)
      end
    end
  end)

  it("is what NumPy writes, and reads both orders and versions of NumPy", function()
    local code = [[
import sys, numpy
from numpy.lib import format
folder = sys.argv[1]
for kind in ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "b1"]:
    for name, shape in [("0", ()), ("1", (5,)), ("2", (2, 3)), ("3", (0, 4)), ("4", (128, 1, 2))]:
        a = (numpy.arange(numpy.prod(shape, dtype=int)) % 100).reshape(shape).astype(kind)
        numpy.save(f"{folder}/{kind}-{name}.npy", a)
a = numpy.arange(24, dtype="f4").reshape(2, 3, 4)
numpy.save(f"{folder}/plain.npy", a)
numpy.save(f"{folder}/fortran.npy", numpy.asfortranarray(a))
for version in [(2, 0), (3, 0)]:
    with open(f"{folder}/version{version[0]}.npy", "wb") as file:
        format.write_array(file, a, version=version)
numpy.save(f"{folder}/big.npy", a.astype(">f4"))
numpy.save(f"{folder}/complex.npy", a.astype("c8"))
numpy.save(f"{folder}/object.npy", numpy.array([None, 1]), allow_pickle=True)
numpy.save(f"{folder}/record.npy", numpy.zeros(2, dtype=[("x", "f4")]))
]]
    local ran, why = python(code, folder.path)
    if not ran then return pending(why) end
    local files = fs.glob(at("*-*.npy"))
    assert.equal(45, #files)
    for _, path in ipairs(files) do
      local t = assert(npy.read(path))
      assert(npy.write(at("ours"), t))
      assert.is_true(fs.read(path) == fs.read(at("ours")), path)
    end
    local plain = assert(npy.read(at("plain.npy")))
    assert.equal(23, plain:select(1, 2):select(1, 3):select(1, 4):item())
    for _, name in ipairs { "fortran", "version2", "version3" } do
      assert_same(plain, assert(npy.read(at(name .. ".npy"))):contiguous(), name)
    end
    local function reason(name)
      local t, said = npy.read(at(name .. ".npy"))
      assert.is_nil(t)
      return said
    end
    assert.matches("its elements are big%-endian %(>f4%)", reason "big")
    assert.matches("hone has no dtype <c8", reason "complex")
    assert.matches("hone has no dtype |O", reason "object")
    assert.matches("its header is not one of a plain array", reason "record")
  end)

  it("refuses what is none, or less than it says", function()
    local function reason(bytes)
      assert(fs.write(at("a.npy"), bytes, { sync = false }))
      local t, why = npy.read(at("a.npy"))
      assert.is_nil(t)
      assert.is_nil(why:find("\n", 1, true))
      return why
    end
    assert(npy.write(at("b.npy"), tensor.arange(10)))
    local whole = fs.read(at("b.npy"))
    assert.matches("it is no .npy file", reason("PK\3\4"))
    assert.matches("unknown version 9", reason("\x93NUMPY\9\0" .. whole:sub(9)))
    assert.matches("its shape takes more", reason(whole:sub(1, -2)))
    assert.matches("it is truncated", reason(whole:sub(1, 60)))
    assert.matches("its shape takes more", reason((whole:gsub("%(10,%)", "(9999999999999999,)"))))
    for i = 1, 128 do
      local changed = whole:sub(1, i - 1) .. "7" .. whole:sub(i + 1)
      assert(fs.write(at("a.npy"), changed, { sync = false }))
      local t, why = npy.read(at("a.npy"))
      if not t then assert.is_nil(why:find("\n", 1, true)) end
    end
  end)

  it("is not written of what NumPy has no type for", function()
    local done, why = pcall(npy.write, at("a"), tensor.zeros(2, "bfloat16"))
    assert.is_false(done)
    assert.matches(".npy has no bfloat16; convert it first", why)
  end)
end)
