--- The library's front door: `hone.json`, `hone.fs` and the rest on first use, and `hone.skills`.
local hone = {}

-- hone.skills["clone-repos"]{ target_dir = "x" } -> result | nil, message, code
hone.skills = setmetatable({}, {
  __index = function(_, name)
    -- A tail call: what is wrong with the arguments is blamed on whoever called this function.
    return function(args) return require("hone.skill").run(name, args) end
  end,
  __pairs = function()
    local names = {}
    for _, entry in ipairs(require("hone.skill").list()) do
      names[entry.name] = hone.skills[entry.name]
    end
    return next, names
  end,
})

-- A library that does not exist is nil, as any absent field; one that fails to load raises its own error.
return setmetatable(hone, {
  __index = function(_, name)
    local module = "hone." .. tostring(name)
    if not package.loaded[module] and not package.searchpath(module, package.path) then return nil end
    return require(module)
  end,
})
