---@meta hone.paths

--- Where hone's files are.
local paths = {}

--- The folder that holds scripts/ and skills/: HONE_HOME, the source tree, or PREFIX/share/hone.
paths.home = nil ---@type string

--- The folder that holds hone/core/ and hone/grammar/, the libraries written in C.
paths.lib = nil ---@type string

--- The hone binary, symbolic links resolved; nil in stock lua5.4.
paths.exe = nil ---@type string?

return paths
