---@meta hone.inspect

--- Values as text for people: tables by their contents, short ones on one line, long ones cut. The REPL
--- shows its results with this. A table whose metatable has `__tostring` describes itself; one with
--- `__pairs`, such as an object of hone.json, keeps its own order; other keys are sorted.
local inspect = {}

--- How a value is shown.
---@class hone.inspect.Options
---@field width? integer # columns; 80 by default
---@field depth? integer # levels of tables; 6 by default
---@field items? integer # entries of one table; 50 by default
---@field entries? integer # entries of all tables together; 400 by default
---@field text? integer # bytes of a string; 400 by default
---@field colours? boolean # with a terminal's colours; false by default

--- The text of a value. Strings are quoted and their control characters and broken UTF-8 escaped, so that
--- the text is safe to print. A table inside itself is shown as `<cycle>`, one nested too deeply as `{...}`,
--- and what is left out is counted: `... (960 more)`.
---@param value any
---@param options? hone.inspect.Options
---@return string text # without a final newline
function inspect.render(value, options) end

--- A string in double quotes, escaped as `render` does.
---@param text string
---@return string
function inspect.quote(text) end

return inspect
