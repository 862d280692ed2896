--- Dumps for specs: lines of Python over `log`, the log of one process in a folder, with all of flashinfer_dumps.py.
local process = require "hone.process"

local HEAD = [[
import sys
sys.path.insert(0, "spec/support")
from flashinfer_dumps import *
log = Log(sys.argv[1])
]]

---@param folder string # of the dumps
---@param lines string # of Python
return function(folder, lines) assert(process.run { "python3", "-c", HEAD .. lines, folder, check = true }) end
