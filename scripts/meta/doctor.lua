---@meta hone.doctor

--- What this machine has of what hone can use, and what each thing is for. `hone doctor` prints it.
local doctor = {}

--- One thing that was looked for.
---@class hone.doctor.Check
---@field name string
---@field found boolean
---@field version? string
---@field detail? string # where it is, or why it cannot be used
---@field enables string
---@field install? string # what to do when it is missing

--- One GPU, as the driver tells of it.
---@class hone.doctor.Device
---@field name string
---@field capability string # "9.0"
---@field memory integer # bytes
---@field processors integer # streaming multiprocessors
---@field l2_bytes integer
---@field clock_mhz integer # the highest
---@field memory_clock_mhz integer # the highest
---@field bus_bits integer

--- Look at this machine: GPU and driver, CUDA's libraries, compilers, Python and its packages, other
--- programs, libraries, caches, the dataset. It takes about half a second; nothing is changed.
---@param options? { dataset: string? } # the dataset's folder; else FIB_DATASET_PATH or ./flashinfer-trace
---@return hone.doctor.Check[] checks # in the order in which they are shown
---@return hone.doctor.Device[] devices
function doctor.examine(options) end

return doctor
