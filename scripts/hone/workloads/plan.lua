--- What it takes to have a model's kernels logged: FlashInfer's environment, and the servers to be run.
local tags = require "hone.dataset.tags"
local axis_value = require("hone.dataset.definition").axis_value
local api = require "hone.workloads.api"

local plan = {}

local MAX_COUNT = 50000 -- of dumps by one process

---FlashInfer's variables for dumping the calls of definitions.
---@param definitions table[]
---@param folder string # absolute
---@param max_gib number # of dumps by one process
---@return table<string, string> environment
function plan.environment(definitions, folder, max_gib)
  return {
    FLASHINFER_LOGLEVEL = "10",
    FLASHINFER_DUMP_DIR = folder,
    FLASHINFER_DUMP_SAFETENSORS = "1",
    FLASHINFER_DUMP_INCLUDE = api.include(definitions),
    FLASHINFER_DUMP_EXCLUDE = "*.__init__",
    FLASHINFER_DUMP_MAX_COUNT = tostring(MAX_COUNT),
    FLASHINFER_DUMP_MAX_SIZE_GB = ("%.6g"):format(max_gib),
    FLASHINFER_LOGDEST = folder .. "/flashinfer_%i.log",
    -- what SGLang would otherwise replace, or refuse to start with
    FLASHINFER_USE_CUDA_NORM = "1",
    FLASHINFER_DISABLE_VERSION_CHECK = "1",
    SGLANG_SKIP_SGL_KERNEL_VERSION_CHECK = "1",
    SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK = "0",
  }
end

-- ---- kinds of servers ----------------------------------------------------------------------------------

-- How a kind of kernel is made to run: flags of the server, how many requests at once, how long the answers are.
local KINDS = {
  ragged = {
    wrapper = "BatchPrefillWithRaggedKVCacheWrapper",
    flags = { "--disable-piecewise-cuda-graph", "--disable-radix-cache" },
    concurrency = { 1, 2, 4, 8, 16, 32, 64 },
    new_tokens = 1,
  },
  paged_prefill = {
    wrapper = "BatchPrefillWithPagedKVCacheWrapper",
    flags = { "--enable-deterministic-inference" },
    concurrency = { 1, 2, 4, 8, 16, 32, 64, 128, 256 },
    shared_prefix = true,
    new_tokens = 1,
  },
  decode = { flags = {}, concurrency = { 8, 32, 64, 128 }, new_tokens = 8 },
}

local function kind_of(definition)
  local found = api.of(definition)
  for name, kind in pairs(KINDS) do
    if kind.wrapper and found and found.last == kind.wrapper then return name end
  end
  return "decode"
end

local function largest(definition, prefix)
  local most
  for _, value in ipairs(tags.values(definition, prefix)) do
    local size = math.tointeger(tonumber(value))
    if size and (not most or size > most) then most = size end
  end
  return most
end

local function page_size(definition)
  local axis = definition.axes.page_size
  return axis and axis_value(axis)
end

---@class hone.workloads.Server
---@field kind "ragged"|"paged_prefill"|"decode"
---@field tp integer
---@field ep integer?
---@field page_size integer?
---@field definitions table[]
---@field flags string[] # of SGLang's server, the model and the port excepted
---@field concurrency integer[] # one round of requests for each
---@field new_tokens integer
---@field shared_prefix boolean?

local function flags_of(server)
  local flags = {
    "--tp",
    tostring(server.tp),
    "--attention-backend",
    "flashinfer",
    "--disable-cuda-graph",
    "--log-level",
    "info",
    "--max-running-requests",
    "256",
    "--skip-server-warmup",
  }
  local function add(...)
    for _, flag in ipairs { ... } do
      flags[#flags + 1] = flag
    end
  end
  if server.page_size then add("--page-size", tostring(server.page_size)) end
  if server.ep and server.ep > 1 then add("--ep", tostring(server.ep)) end
  add(table.unpack(KINDS[server.kind].flags))
  return flags
end

-- Definitions that no size changes go with the first server of their kind.
local function join(servers)
  local first, joined = {}, {}
  for _, server in ipairs(servers) do
    if not server.is_free then
      first[server.kind] = first[server.kind] or server
      joined[#joined + 1] = server
    end
  end
  for _, server in ipairs(servers) do
    local host = server.is_free and (first[server.kind] or joined[1])
    if server.is_free and not host then
      joined[#joined + 1] = server
    elseif host then
      table.move(server.definitions, 1, #server.definitions, #host.definitions + 1, host.definitions)
    end
  end
  return joined
end

---The servers that definitions need: one has one way of running, one TP, one EP and one page size.
---@param definitions table[]
---@param asked { tp: integer?, ep: integer?, page_size: integer? }? # instead of what the tags and axes say
---@return hone.workloads.Server[]
function plan.servers(definitions, asked)
  asked = asked or {}
  local servers, by_key = {}, {}
  for _, definition in ipairs(definitions) do
    local tp, ep = asked.tp or largest(definition, "tp"), asked.ep or largest(definition, "ep")
    local pages = asked.page_size or page_size(definition)
    local kind = kind_of(definition)
    local key = ("%s %s %s %s"):format(kind, tp or "", ep or "", pages or "")
    if not by_key[key] then
      by_key[key] = {
        kind = kind,
        tp = tp or ep or 1,
        ep = ep,
        page_size = pages,
        definitions = {},
        is_free = not (tp or ep or pages),
      }
      servers[#servers + 1] = by_key[key]
    end
    table.insert(by_key[key].definitions, definition)
  end
  local joined = join(servers)
  for _, server in ipairs(joined) do
    local kind = KINDS[server.kind]
    server.is_free = nil
    server.flags, server.concurrency = flags_of(server), kind.concurrency
    server.new_tokens, server.shared_prefix = kind.new_tokens, kind.shared_prefix
  end
  return joined
end

---The command that starts a server of SGLang's.
---@param server hone.workloads.Server
---@param options { model: string, port: integer, python: string?, extra: string[]? }
---@return string[]
function plan.command(server, options)
  local words = { options.python or "python3", "-m", "sglang.launch_server", "--model-path", options.model }
  local function add(list) table.move(list, 1, #list, #words + 1, words) end
  add { "--host", "127.0.0.1", "--port", tostring(options.port) }
  add(server.flags)
  add(options.extra or {})
  return words
end

return plan
