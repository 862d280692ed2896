--- One benchmark on a GPU at a time: a file for each GPU, named after its UUID, that is locked by flock(2). Other tools
--- can take part: `flock /tmp/gpu-GPU-….lock COMMAND`.
local fs = require "hone.fs"
local properties = require("hone.bench.device").properties

local lock = {}

---The lock's file: in HONE_GPU_LOCKS, else in TMPDIR, else in /tmp.
function lock.path(uuid)
  local function named(name)
    local folder = os.getenv(name)
    return folder and folder ~= "" and folder or nil
  end
  return fs.join(named "HONE_GPU_LOCKS" or named "TMPDIR" or "/tmp", ("gpu-%s.lock"):format(uuid))
end

---Take the locks of devices ("cuda:0", …): something to be closed, or nil and who has one of them.
---@param options { wait: number?, on_wait: fun(device: string, holder: string)? }
---@return table? held
---@return string? message
function lock.devices(devices, options)
  local held = setmetatable({}, {
    __close = function(list)
      for _, one in ipairs(list) do
        getmetatable(one).__close(one)
      end
    end,
  })
  for _, device in ipairs(devices) do
    local uuid = properties(device).uuid or device:gsub(":", "")
    local one, why, code = fs.lock(lock.path(uuid), {
      wait = options.wait,
      note = ("process %d"):format(require("hone.core.process").pid()),
      on_wait = options.on_wait and function(holder) options.on_wait(device, holder) end,
    })
    if not one then
      getmetatable(held).__close(held)
      if code == "EWOULDBLOCK" then
        return nil,
          ("cannot run on %s: another benchmark uses it; try later, or --wait SECONDS (%s)"):format(
            device,
            why
          )
      end
      return nil, why
    end
    held[#held + 1] = one
  end
  return held
end

return lock
