---@meta hone.bench.build

--- Solutions made ready to run: C++ and CUDA compiled, Python and the like written as a package. What was built is
--- kept by content under hone's cache folder; several processes may ask for the same at once.
---
---     local artefact, why, log = build.solution(definition, solution, { device = "cuda:0" })
---     local jobs = {}
---     for i, each in ipairs(solutions) do jobs[i] = build.start(definition, each) end
---     for _, job in ipairs(jobs) do print(job:wait()) end
---
--- What fails is told in one line, with the compiler's whole output (5 MiB at most) after it and a code: what is wrong
--- with the solution is a "COMPILE_ERROR", what took too long a "TIMEOUT", and what this machine lacks, a compiler, a
--- library or room on its disk, is "UNAVAILABLE".
local build = {}

--- What was built: plain data, which a worker can be given.
---@class hone.bench.Artefact
---@field name string # the solution's
---@field worker "native"|"python"|"lua" # who runs it
---@field language string
---@field binding? "tvm-ffi"|"torch"
---@field directory string # of the build
---@field library? string # path of the shared library
---@field runtime? string # path of libtvm_ffi.so, to be opened before the library
---@field package string # the Python package below the directory, and the name of a torch extension
---@field entry string # the entry file
---@field symbol string # the function in it
---@field dps boolean # destination-passing style
---@field inputs integer
---@field outputs integer
---@field cached boolean # it was there
---@field hash string # of all that went into it

--- How to build.
---@class hone.bench.BuildOptions
---@field device? string # "cuda:0" by default: CUDA is compiled for its compute capability
---@field architecture? string # what to compile for, "9.0a"; TVM_FFI_CUDA_ARCH_LIST and the device come after it
---@field cache? string # the folder to keep builds in; hone's cache folder by default
---@field timeout? number # seconds, 300 by default; what still runs then is ended with its children
---@field download? boolean # false: do not fetch apache-tvm-ffi where it is not installed
---@field jobs? integer # sources compiled at once

--- Which kind of worker runs a solution; nil for a language that is not known.
---@param solution table
---@return "native"|"python"|"lua"|nil kind
function build.worker_of(solution) end

--- What a worker of a solution is started as: its kind, and behind it a module that it may import before it is given
--- the solution, "python triton"; nil for a language that is not known.
---@param solution table
---@return string? kit
function build.kit_of(solution) end

--- Build one solution, or find it built.
---@param definition table
---@param solution table # checked, see hone.dataset.solution
---@param options? hone.bench.BuildOptions
---@return hone.bench.Artefact? artefact
---@return string? message
---@return string? log # what the compilers printed
---@return "COMPILE_ERROR"|"TIMEOUT"|"UNAVAILABLE"|nil code
function build.solution(definition, solution, options) end

--- Build beside us, in a process of its own; as many at once as there are processors. What is built already is done
--- at once. Jobs move on whenever one of them is asked.
---@param definition table
---@param solution table
---@param options? hone.bench.BuildOptions
---@return hone.bench.Build job
function build.start(definition, solution, options) end

--- A build under way. It is cancelled when a `<close>` variable that holds it goes out of scope.
---@class hone.bench.Build
local Build = {}

--- Wait for it. After `timeout` seconds it goes on, and the code is "RUNNING".
---@param timeout? number
---@return hone.bench.Artefact? artefact
---@return string? message
---@return string? log
---@return string? code # as of `solution`; "CANCELLED"
function Build:wait(timeout) end

--- Is it over? Does not wait.
---@return boolean
function Build:done() end

--- End it, with all that it started. Does not wait.
function Build:cancel() end

return build
