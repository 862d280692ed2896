--- hone spec/support/tensor_parity_part.lua FOLDER DEVICE PART PARTS: run a part of the cases that
--- tensor_cases.py wrote, and print what came of each group as a line of JSON.
package.path = "spec/?.lua;" .. package.path
local json = require "hone.json"

local folder, device, part, parts = table.unpack(arg)
for _, group in ipairs(require("support.tensor_parity").run(folder, device, tonumber(part), tonumber(parts))) do
  print(json.encode(group))
end
