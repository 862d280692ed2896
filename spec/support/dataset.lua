--- Where the specs find the public dataset, and PyTorch.
local fs = require "hone.fs"

local support = {}

local ENVIRONMENT = "build/testenv"

---The dataset's folder (HONE_TRACE, or ../shared/flashinfer-trace), or nil and why not.
function support.trace()
  local path = os.getenv("HONE_TRACE") or "../shared/flashinfer-trace"
  if fs.is_dir(fs.join(path, "definitions")) then return path end
  return nil, ("no dataset at %s (HONE_TRACE says where it is)"):format(path)
end

---The Python with torch and flashinfer-bench, or nil and why not.
function support.python()
  -- Written last: without it the environment is still being made.
  if fs.exists(fs.join(ENVIRONMENT, ".requirements")) then return fs.join(ENVIRONMENT, "bin", "python") end
  return nil, ("no %s (tools/deps.sh test makes it)"):format(ENVIRONMENT)
end

---A checkout of flashinfer-bench's repository (HONE_FLASHINFER_BENCH), whose evaluators and settings the release on
---PyPI does not have yet; or nil and why not.
function support.checkout()
  local path = os.getenv "HONE_FLASHINFER_BENCH"
  if path and path ~= "" then return path end
  return nil, "no checkout of flashinfer-bench (HONE_FLASHINFER_BENCH says where it is)"
end

return support
