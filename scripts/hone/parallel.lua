--- Several pieces of work at once, each written as if it were alone: it runs its commands with await().
local process = require "hone.process"

local parallel = {}

-- A piece of work that raises ends them all; an interrupt passes as it is, a bug with its own traceback.
local function raise(work, problem)
  if problem == "interrupted" then error(problem, 0) end
  error(debug.traceback(work, tostring(problem)), 0)
end

-- Closing a piece of work runs its <close> values, wherever it waits.
local function close_all(works)
  return setmetatable({}, {
    __close = function()
      for _, work in ipairs(works) do
        coroutine.close(work)
      end
    end,
  })
end

function parallel.run(pieces)
  local works, results, commands, owners = {}, {}, {}, {}
  local _ <close> = close_all(works)

  local function continue(i, ...)
    local outcome = table.pack(coroutine.resume(works[i], ...))
    if not outcome[1] then raise(works[i], outcome[2]) end
    if coroutine.status(works[i]) == "dead" then
      results[i] = table.pack(table.unpack(outcome, 2, outcome.n))
    else
      commands[#commands + 1] = outcome[2]
      owners[#commands] = i
    end
  end

  for i, piece in ipairs(pieces) do
    works[i] = coroutine.create(piece)
    continue(i, coroutine.yield)
  end
  -- The list grows while it runs: whoever got a result may ask for the next command.
  process.run_all(commands, {
    max = math.max(#pieces, 1),
    on_done = function(k, result)
      if result.error then
        continue(owners[k], nil, result.error)
      else
        continue(owners[k], result)
      end
    end,
  })
  return results
end

return parallel
