--- Results that wait: whatever is done with them, they are to the bit what they are when none waits.
local tensor = require "hone.tensor"

local PROGRAMS = tonumber(os.getenv "HONE_PROGRAMS") or 300
local STEPS = 40

local function pick(list) return list[math.random(#list)] end

-- Run f while results wait on `mode`.
local function waiting(mode, f, ...)
  local before = tensor._later(mode)
  local results = table.pack(pcall(f, ...))
  tensor._later(before)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

-- ---- programs of random steps ----------------------------------------------------------------------

local DTYPES =
  { "float32", "float32", "float32", "bfloat16", "float16", "float64", "int64", "int32", "uint8", "bool" }
local SHAPES =
  { {}, { 1 }, { 4 }, { 3, 4 }, { 1, 4 }, { 3, 1 }, { 2, 3, 4 }, { 2, 1, 4 }, { 600 }, { 5, 130 }, { 0, 4 } }
local BINARY = { "add", "sub", "mul", "div", "maximum", "minimum", "eq", "lt", "ge", "logical_or", "pow" }
local UNARY =
  { "neg", "abs", "exp", "sqrt", "sigmoid", "silu", "square", "floor", "logical_not", "isnan", "rsqrt" }
local NUMBERS = { 0, 1, 2, -1, 0.5, 3.25, true }

local function make(device)
  local shape = pick(SHAPES)
  local t = tensor.randint(-4, 5, shape, { device = device })
  if math.random(2) == 1 then t = t * 0.375 end
  return t:to(pick(DTYPES))
end

local VIEWS = {
  function(t) return t:unsqueeze(math.random(t:dim() + 1)) end,
  function(t) return t:squeeze() end,
  function(t) return t:transpose(1, -1) end,
  function(t) return t:narrow(1, 1, t:size(1) // 2) end,
  function(t) return t:narrow(-1, 2, t:size(-1) - 1) end,
  function(t) return t:select(1, t:size(1)) end,
  function(t) return t:reshape(-1) end,
  function(t) return t:view(1, t:numel()) end,
  function(t) return t:flatten() end,
  function(t) return t:unflatten(-1, { 2, t:size(-1) // 2 }) end,
  function(t) return t[{ ":", { 1, -1, 2 } }] end,
  function(t) return t:expand(pick { { 2, -1 }, { 3, 4 }, { 2, 3, 4 } }) end,
  function(t) return t:permute(pick { { 2, 1 }, { 3, 1, 2 } }) end,
  function(t) return t:diagonal() end,
}

-- Each takes the pool's tensors and gives a new one, or nothing.
local STEPS_KNOWN = {
  function(t, u) return t[pick(BINARY)](t, u) end,
  function(t, u) return t[pick(BINARY)](t, u) end,
  function(t) return t[pick(BINARY)](t, pick(NUMBERS)) end,
  function(t) return pick(NUMBERS) * t end,
  function(t) return t[pick(UNARY)](t) end,
  function(t) return t[pick(UNARY)](t) end,
  function(t) return t:to(pick(DTYPES)) end,
  function(t) return pick(VIEWS)(t) end,
  function(t) return pick(VIEWS)(t) end,
  function(t) return pick(VIEWS)(t) end,
  function(t, u, v) return tensor.where(v:to "bool", t, u) end,
  function(t) return t:clamp(-1, 2) end,
  function(t) return t:masked_fill(t:gt(0), 7) end,
  function(t) return t:clone() end,
  function(t) return t:contiguous() end,
  function(t) return t:repeat_interleave(math.random(3), math.random(t:dim())) end,
  function(t, u) return tensor.cat({ t, u }, 1) end,
  function(t) return t:sum(-1) end,
  function(t) return t:to("float32"):matmul(t:to("float32"):t()) end,
  function(t) return t:index_select(1, (t:new_index())) end,
  function(t) t[pick { "add_", "mul_", "sub_" }](t, pick(NUMBERS)) end,
  function(t, u) t[pick { "add_", "mul_", "maximum_" }](t, u) end,
  function(t) t:masked_fill_(t:lt(1), 2) end,
  function(t, u) t:copy_(u) end,
  function(t, u) t[1] = u end,
  function(t, u) t[{ { 1, -2 } }] = u end,
  function(t) t[{ { 2, -1 } }] = t[{ { 1, -2 } }]:clone() end,
  function(t) t[{ { 2, -1 } }] = t[{ { 1, -2 } }] + 1 end,
  function(t, u) t[t:gt(1)] = u end,
  function(t) return t[t:gt(1)] end,
  function(t) t:zero_() end,
}

-- Places in the first dimension, from what the tensor holds.
function tensor.Tensor.new_index(t)
  local n = t:size(1)
  return t:reshape(-1):narrow(1, 1, 3):to("int64") % n
end

-- All that a program made, as bytes; what it refused, as messages.
local function run_program(seed, device)
  math.randomseed(seed)
  tensor.manual_seed(seed)
  local pool, told = {}, {}
  for i = 1, 4 do
    pool[i] = make(device)
  end
  for i = 1, STEPS do
    local a, b, c, step = pick(pool), pick(pool), pick(pool), pick(STEPS_KNOWN)
    local state = math.random(1 << 40)
    local ok, made = pcall(step, a, b, c)
    if ok and made and made:numel() < 20000 then pool[#pool + 1] = made end
    told[i] = ok or made
    math.randomseed(state) -- a step that is refused may draw less
  end
  for i, t in ipairs(pool) do
    pool[i] = { t.dtype, table.concat(t:shape(), " "), t:dtype_bytes() }
  end
  return pool, told
end

-- NaN is NaN, whatever its bits.
function tensor.Tensor.dtype_bytes(t)
  if t:is_floating_point() then t = t:masked_fill(t:isnan(), 12345) end
  return t:contiguous():cpu():bytes()
end

local function check_programs(first, last, device, mode)
  for seed = first, last do
    local expected, refused = run_program(seed, device)
    local pool, told = waiting(mode, run_program, seed, device)
    for i = 1, STEPS do
      assert.equal(refused[i], told[i], ("program %d, step %d"):format(seed, i))
    end
    for i, t in ipairs(expected) do
      for k = 1, 3 do
        if t[k] ~= pool[i][k] then
          error(("program %d: tensor %d of %d, %s [%s] differs"):format(seed, i, #expected, t[1], t[2]))
        end
      end
    end
  end
end

describe("results that wait", function()
  for part = 0, 3 do
    it(("are what they are when none waits, in random programs (%d)"):format(part), function()
      local n = PROGRAMS // 4
      check_programs(part * n + 1, part * n + n, "cpu", "everywhere")
    end)
  end
end)
