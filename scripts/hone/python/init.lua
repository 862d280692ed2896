--- Reading Python without running it: an evaluator over syntax trees. See scripts/meta/python.lua.
local python = {}

local function abstract() return require "hone.python.abstract" end
local function unknown() return require "hone.python.unknown" end

function python.abstract(options)
  if type(options) ~= "table" then error("options expected: { packages = { name = path } }", 2) end
  return abstract().new(options)
end

function python.parse(path)
  local source = require "hone.python.source"
  local tree, message = source.whole(path)
  if not tree then return nil, message end
  return tree.root, nil, tree
end

function python.number(v)
  local plain = unknown().plain(v)
  return math.type(plain) and plain or nil
end

function python.value(v) return unknown().plain(v) end
function python.is_unknown(v) return unknown().is(v) end
function python.is_none(v) return v == require("hone.python.core").None end
function python.alternatives(v) return unknown().alternatives(v) end
function python.explain(v) return unknown().explain(v) end
function python.chain(v) return unknown().chain(v) end
function python.traced(value, name) return unknown().traced(value, { name = name, line = false }) end
function python.tracked(value, name, on_read, on_test) return unknown().tracked(value, name, on_read, on_test) end
function python.unknown(origin, reason) return unknown().new(origin, reason) end
function python.object(options) return abstract().object(options) end
function python.fn(name, fn) return abstract().fn(name, fn) end
function python.class(name, base, methods, open) return abstract().class(name, base, methods, open) end
function python.instance(class, fields) return abstract().instance(class, fields or {}) end
function python.remember_properties(instance) instance.memo = {} end
function python.tuple(list) return require("hone.python.core").tuple(list) end
function python.from_lua(v, trace) return abstract().from_lua(v, trace) end
function python.to_lua(v) return abstract().to_lua(v) end
function python.none() return require("hone.python.core").None end

return python
