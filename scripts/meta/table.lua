---@meta hone.table
--- Text tables: columns aligned, numbers to the right, every row one line.
local tables = {}

--- Rows as text, without a final newline. Absent cells are empty; widths count characters.
---@param rows any[][]
---@param options? { headers?: string[], indent?: integer }
---@return string
function tables.format(rows, options) end

--- Print rows to stdout.
---@param rows any[][]
---@param options? { headers?: string[], indent?: integer }
function tables.print(rows, options) end

return tables
