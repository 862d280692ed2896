--- A folder of its own to run hone in: no skills, settings or git configuration of the machine reach it.
local fs = require "hone.fs"
local process = require "hone.process"

local Sandbox = {}
Sandbox.__index = Sandbox

local function new()
  local dir = assert(fs.tempdir("hone-spec-"))
  assert(fs.mkdir(fs.join(dir.path, "home")))
  local env = {
    HOME = fs.join(dir.path, "home"),
    XDG_CONFIG_HOME = fs.join(dir.path, "config"),
    XDG_CACHE_HOME = fs.join(dir.path, "cache"),
    HONE_HOME = fs.cwd(),
  }
  return setmetatable({ dir = dir, path = dir.path, env = env }, Sandbox)
end

function Sandbox:at(...) return fs.join(self.path, ...) end

---Write a file, folders included.
function Sandbox:write(path, text)
  local full = self:at(path)
  assert(fs.mkdir(fs.dirname(full)))
  assert(fs.write(full, text))
  return full
end

function Sandbox:options(words, env)
  local options = { cwd = self.path, env = {}, timeout = self.timeout or 60 }
  for name, value in pairs(self.env) do
    options.env[name] = value
  end
  for name, value in pairs(env or {}) do
    options.env[name] = value
  end
  return table.move(words, 1, #words, #options + 1, options)
end

---Run a program in the folder; returns its result.
function Sandbox:run(words, env) return assert(process.run(self:options(words, env))) end

---Run hone in the folder.
function Sandbox:hone(words, env)
  return self:run(table.move(words, 1, #words, 2, { package.loaded["hone.paths"].exe }), env)
end

---Start hone in the folder without waiting for it.
function Sandbox:start(words, env)
  return assert(
    process.start(self:options(table.move(words, 1, #words, 2, { package.loaded["hone.paths"].exe }), env))
  )
end

function Sandbox:close() self.dir:remove() end

return { new = new }
