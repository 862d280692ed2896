--- Where SGLang's sources are: HONE_SGLANG names a checkout, a site-packages folder or the package itself.
local lfs = require "lfs"

local sglang = {}

---@return string? folder the one that holds srt/
function sglang.folder()
  local root = os.getenv("HONE_SGLANG")
  if not root then return nil end
  for _, below in ipairs { "", "/sglang", "/python/sglang" } do
    if lfs.attributes(root .. below .. "/srt/models", "mode") == "directory" then return root .. below end
  end
end

---@return string[] paths of all model files, sorted
function sglang.models()
  local folder, paths = sglang.folder(), {}
  for name in lfs.dir(folder .. "/srt/models") do
    if name:sub(-3) == ".py" then table.insert(paths, folder .. "/srt/models/" .. name) end
  end
  table.sort(paths)
  return paths
end

return sglang
