--- Where hone's files are. In hone itself the host has set this table; here stock lua5.4 finds it.
local file = debug.getinfo(1, "S").source:match("^@(.*)$") or ""
local folder = file:match("^(.*)/[^/]*$") or "."

-- In a source tree this file is scripts/hone/paths.lua below the home; LuaRocks puts it beside skills/.
local home = folder:match("^(.*)/scripts/hone$") or folder
if folder == "scripts/hone" then home = "." end

local told = os.getenv("HONE_HOME")
if told and told ~= "" then home = told end

local core = package.searchpath("hone.core.json", package.cpath)

return {
  home = home, -- the folder that holds scripts/ and skills/
  lib = core and core:match("^(.*)/hone/core/[^/]*$"), -- the folder that holds hone/core/ and hone/grammar/
  exe = nil, -- the hone binary, known to the host only
}
