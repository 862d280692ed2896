---@meta hone.cuda

--- Kernels and time on NVIDIA GPUs: devices, memory, compiling, launching, streams, graphs, timing.
---
--- Nothing of CUDA is needed to load this library: the driver and NVRTC are opened when something first needs
--- them, and what is missing is said in one line. Devices count from 0, as everywhere in CUDA. What the
--- machine refuses comes back as `nil, message, code`, where the code is the driver's name of the error
--- ("CUDA_ERROR_OUT_OF_MEMORY"), or "REFUSED", "ENOENT", "ECOMPILE". A wrong argument is the caller's mistake
--- and raises an error.
---
--- Work is queued and runs later: a fault in a kernel is told by a later call, by the kernel's name. It costs
--- the process the device: every later call says so. Work goes to one stream per device, in order, unless a
--- stream is named.
---
---     local add = assert(assert(cuda.compile [[
---       extern "C" __global__ void add(const float *x, float by, float *out, int n) {
---         int i = blockIdx.x * blockDim.x + threadIdx.x;
---         if (i < n) out[i] = x[i] + by;
---       }
---     ]]):kernel "add")
---     assert(add:launch { grid = (n + 255) // 256, block = 256, x, 1.5, out, n })
---     print(out:read())
local cuda = {}

-- ---- devices --------------------------------------------------------------------------------------

--- Is there a driver, and a device?
---@return boolean available
---@return string? why # not
function cuda.available() end

--- A device.
---@class hone.cuda.Device
---@field index integer # from 0
---@field name string
---@field uuid? string # "GPU-…", as nvidia-smi says it; nil with a driver older than CUDA 11.4
---@field capability string # "9.0"
---@field memory integer # bytes
---@field processors integer # multiprocessors
---@field l2_bytes integer
---@field clock_mhz integer # the highest of the multiprocessors
---@field memory_clock_mhz integer
---@field bus_bits integer
---@field max_threads_per_block integer
---@field max_threads_per_processor integer
---@field max_shared_per_block integer # bytes of shared memory that a kernel can ask for
---@field max_shared_per_processor integer
---@field warp_size integer

--- All devices; no context is made.
---@return hone.cuda.Device[]? devices
---@return string? message
---@return string? code
function cuda.devices() end

--- The device for what comes next; with `index`, choose it, which makes its context.
---@param index? integer
---@return integer? index # of the chosen device, 0 at first
---@return string? message
---@return string? code
function cuda.device(index) end

--- Wait until a device has nothing left to do.
---@param index? integer # the chosen device by default
---@param seconds? number # at most so long; then this is refused, and the work goes on
---@return true? ok
---@return string? message
---@return string? code
function cuda.synchronize(index, seconds) end

--- Give up a device's context with all memory, modules, streams and graphs in it; the next use makes a new
--- one. Objects of the old one raise an error when they are used. What a fault has cost does not come back.
---@param index? integer # the chosen device by default
---@return true? ok
---@return string? message
---@return string? code
function cuda.reset(index) end

--- Memory of a device, in bytes.
---@class hone.cuda.Memory
---@field used integer # handed out here
---@field peak integer # the most that was
---@field reserved integer # held by the pool
---@field free integer # of the device's
---@field total integer # of the device's

--- What memory is in use.
---@param index? integer # the chosen device by default
---@return hone.cuda.Memory? memory
---@return string? message
---@return string? code
function cuda.memory(index) end

--- Let the peak start again from what is in use.
---@param index? integer # the chosen device by default
---@return true? ok
---@return string? message
---@return string? code
function cuda.reset_peak(index) end

--- The clock of the multiprocessors, by NVML.
---@param index? integer # the chosen device by default
---@return integer? megahertz # now
---@return integer|string highest # or the message
---@return string? code
function cuda.clock(index) end

--- What of CUDA is there; a field is nil when there is none.
---@class hone.cuda.Versions
---@field driver? string # "13.0", the newest CUDA that the driver knows
---@field nvrtc? string # "13.0"
---@field nvrtc_path? string
---@field nvcc_path? string
---@field include string[] # folders with CUDA's own headers

--- What of CUDA is found on this machine.
---@return hone.cuda.Versions found
function cuda.versions() end

-- ---- memory ---------------------------------------------------------------------------------------

--- Allocate memory on the chosen device, uninitialised, in stream order. When there is none, garbage is
--- collected once before this is refused. `local buffer <close> = assert(cuda.alloc(n))` frees it early.
---@param bytes integer
---@return hone.cuda.Buffer? buffer
---@return string? message # with the sizes
---@return string? code
function cuda.alloc(bytes) end

--- Memory on a device. `#buffer` is its size in bytes. Offsets count bytes from 0.
---@class hone.cuda.Buffer
local Buffer = {}

--- Copy bytes to the device.
---@param data string
---@param offset? integer
---@return hone.cuda.Buffer? self
---@return string? message
---@return string? code
function Buffer:write(data, offset) end

--- Copy bytes from the device, after the work queued so far.
---@param offset? integer
---@param bytes? integer # the rest by default
---@return string? data
---@return string? message
---@return string? code
function Buffer:read(offset, bytes) end

--- Set every byte.
---@param byte integer # 0 to 255
---@param offset? integer
---@param bytes? integer # the rest by default
---@return hone.cuda.Buffer? self
---@return string? message
---@return string? code
function Buffer:fill(byte, offset, bytes) end

--- Copy from another buffer, also from another device, which waits for both.
---@param from hone.cuda.Buffer
---@param offset? integer # here
---@param from_offset? integer
---@param bytes? integer # the rest of `from` by default
---@return hone.cuda.Buffer? self
---@return string? message
---@return string? code
function Buffer:copy(from, offset, from_offset, bytes) end

--- Its size in bytes.
---@return integer bytes
function Buffer:size() end

--- Its address on the device; a kernel also takes an integer for a pointer, such as address() + 16.
---@return integer address
function Buffer:address() end

--- The device that it lies on.
---@return integer index
function Buffer:device() end

--- Free it now; work that is queued may still use it. Does nothing the second time.
function Buffer:free() end

--- Memory as the copy engine sees it; dimensions are listed outermost first.
---@class hone.cuda.TensorMapOptions
---@field data any # a buffer or tensor, or an address
---@field type string # a dtype's name, or "tfloat32"
---@field shape integer[]
---@field strides? integer[] # in elements, the innermost 1; by default there are no gaps
---@field box integer[] # what one copy moves
---@field steps? integer[] # from element to element of the box; 1 by default
---@field swizzle? "none"|"32B"|"64B"|"128B"
---@field promotion? "none"|"64B"|"128B"|"256B" # of reads, in the L2 cache
---@field fill? "zero"|"nan" # what is read outside of the bounds

--- Make what the copy engine of compute capability 9.0 needs to know of memory (a tensor map for
--- `cp.async.bulk.tensor`), to be passed to a kernel as `const __grid_constant__ CUtensorMap`.
---@param options hone.cuda.TensorMapOptions
---@return hone.cuda.TensorMap? map
---@return string? message
---@return string? code
function cuda.tensor_map(options) end

--- A tensor map.
---@class hone.cuda.TensorMap
local TensorMap = {}

--- Its 128 bytes.
---@return string
function TensorMap:bytes() end

-- ---- compiling ------------------------------------------------------------------------------------

--- How to compile. CUDA's own headers are found without being told.
---@class hone.cuda.CompileOptions
---@field options? string[] # more words for the compiler, such as "--use_fast_math"
---@field name? string # of the source, for errors; without it they tell the lines of the calling script
---@field arch? string # "sm_90a"; that of the chosen device by default. With it, no device is needed
---@field include? string[] # folders of headers
---@field headers? table<string, string> # text of headers, by name
---@field std? string # "c++17" by default
---@field kernels? string[] # instances of templates that are wanted: "scale<float>"
---@field cache? boolean # false: neither look into the cache nor keep the result

--- Compile CUDA C++ by NVRTC. Results are kept on disk under `XDG_CACHE_HOME/hone/kernels`, by the content of
--- the source and of the headers that it includes from `include`, the options, the architecture and the
--- compiler's version. NVRTC is found by the loader, in `CUDA_HOME`, /usr/local/cuda*, and among the packages
--- of the python on PATH.
---@param source string
---@param options? hone.cuda.CompileOptions
---@return hone.cuda.Module? module
---@return string? message # with the compiler's log
---@return string? code # "ECOMPILE" when the source is at fault
---@return string? log # the compiler's, then
function cuda.compile(source, options) end

--- Compile a file; errors tell its name, and it may include what lies beside it.
---@param path string
---@param options? hone.cuda.CompileOptions
---@return hone.cuda.Module? module
---@return string? message
---@return string? code
---@return string? log
function cuda.compile_file(path, options) end

--- Compile by nvcc, for what needs the whole toolkit; otherwise as `cuda.compile`.
---@param source string
---@param options? hone.cuda.CompileOptions
---@return hone.cuda.Module? module
---@return string? message
---@return string? code
---@return string? log
function cuda.nvcc(source, options) end

--- Load machine code (cubin, fatbin) or PTX onto the chosen device. Machine code tells the sizes of a
--- kernel's parameters and nothing more: give floats as 1.0 then, not as 1.
---@param image string # the bytes, not a path
---@return hone.cuda.Module? module
---@return string? message
---@return string? code
function cuda.load(image) end

--- Compiled kernels. They are loaded on a device when they are first wanted there.
---@class hone.cuda.Module
---@field image string # cubin, or PTX
---@field ptx? string
---@field log? string # the compiler's warnings
---@field arch? string
---@field cached boolean # it came from the cache
local Module = {}

--- A kernel, on the chosen device: by its name in the machine code (`extern "C"`), by a name among the
--- option `kernels`, or by a C++ name that only one has.
---@param name string
---@return hone.cuda.Kernel? kernel
---@return string? message
---@return string? code
function Module:kernel(name) end

--- The names of its kernels in the machine code.
---@return string[]? names
---@return string? message
---@return string? code
function Module:kernels() end

--- Where a `__device__` or `__constant__` variable lies.
---@param name string
---@return integer? address
---@return integer|string bytes # or the message
---@return string? code
function Module:global(name) end

-- ---- kernels --------------------------------------------------------------------------------------

--- How to launch, and the arguments in order. A buffer or tensor passes its address; a number, what the
--- parameter is, when it fits; a boolean, an integer; a tensor map, itself; a string, its bytes, for
--- structs and half-precision numbers.
---@class hone.cuda.LaunchOptions
---@field grid integer|integer[] # blocks: x, or { x, y, z }
---@field block integer|integer[] # threads of a block
---@field smem? integer # bytes of dynamic shared memory; above 48 KiB too
---@field cluster? integer|integer[] # blocks of a cluster
---@field cooperative? boolean # the grid can wait for itself
---@field stream? hone.cuda.Stream
---@field [integer] any # the arguments

--- A kernel on a device.
---@class hone.cuda.Kernel
local Kernel = {}

--- Launch it. The arguments are checked against the kernel's parameters first.
---@param options hone.cuda.LaunchOptions
---@return true? ok
---@return string? message
---@return string? code
function Kernel:launch(options) end

--- Prepare a launch. Calling the result launches with the bound arguments, `launch()`, or with others,
--- `launch(a, b)`, at hardly more than the driver's own cost. Arguments need not be bound.
---@param options hone.cuda.LaunchOptions
---@return hone.cuda.Launch? launch
---@return string? message
---@return string? code
function Kernel:bind(options) end

--- What a kernel needs of the device, in bytes and counts for each thread or block.
---@class hone.cuda.Attributes
---@field registers integer # of a thread
---@field local_bytes integer # of a thread: spilled registers, arrays
---@field shared_bytes integer # of a block, dynamic ones left out
---@field max_dynamic_shared_bytes integer # allowed so far
---@field constant_bytes integer
---@field max_threads integer # of a block
---@field ptx_version integer
---@field binary_version integer # 90 for sm_90

--- What it needs of the device.
---@return hone.cuda.Attributes? attributes
---@return string? message
---@return string? code
function Kernel:attributes() end

--- Its parameters: kind is "integer" (pointers too), "float", "bytes", or "unknown" from machine code alone.
---@return { size: integer, offset: integer, kind: string }[] parameters
function Kernel:parameters() end

--- How many of its blocks a multiprocessor holds at once.
---@param threads integer # of a block
---@param smem? integer # bytes of dynamic shared memory
---@return integer? blocks
---@return number|string share # of the multiprocessor's threads; or the message
---@return string? code
function Kernel:occupancy(threads, smem) end

--- The size of a block with which it occupies most of the device.
---@param smem? integer # bytes of dynamic shared memory
---@return integer? threads
---@return integer|string blocks # that fill the device; or the message
---@return string? code
function Kernel:best_block(smem) end

--- Its name in the machine code.
---@return string name
function Kernel:name() end

--- A prepared launch: call it.
---@class hone.cuda.Launch

-- ---- streams, events, graphs ----------------------------------------------------------------------

--- Make a stream, beside the device's own: what is queued on two streams has no order.
---@param priority? integer # between those of `cuda.priorities`; 0 by default
---@return hone.cuda.Stream? stream
---@return string? message
---@return string? code
function cuda.stream(priority) end

--- The range of priorities; lower numbers are served first.
---@return integer? least
---@return integer|string greatest # or the message
---@return string? code
function cuda.priorities() end

--- A stream.
---@class hone.cuda.Stream
local Stream = {}

--- Wait until it has nothing left to do.
---@param seconds? number # at most so long; then this is refused, and the work goes on
---@return true? ok
---@return string? message
---@return string? code
function Stream:synchronize(seconds) end

--- Has it nothing left to do?
---@return boolean? idle
---@return string? message
---@return string? code
function Stream:is_idle() end

--- What is queued on it from now on waits for an event, or for what another stream has queued.
---@param other hone.cuda.Event|hone.cuda.Stream
---@return hone.cuda.Stream? self
---@return string? message
---@return string? code
function Stream:wait(other) end

--- Call a function; its work that names no stream goes to this one.
---@param f function
---@param ... any # for f
---@return any ... # f's results
function Stream:with(f, ...) end

--- Close it; what is queued is done all the same.
function Stream:close() end

--- Make an event.
---@return hone.cuda.Event? event
---@return string? message
---@return string? code
function cuda.event() end

--- A point in a stream's work.
---@class hone.cuda.Event
local Event = {}

--- Mark the end of what a stream has queued so far.
---@param stream? hone.cuda.Stream
---@return hone.cuda.Event? self
---@return string? message
---@return string? code
function Event:record(stream) end

--- Wait until the work before it is done.
---@param seconds? number # at most so long
---@return true? ok
---@return string? message
---@return string? code
function Event:synchronize(seconds) end

--- The device's time from this event to a later one, which is waited for.
---@param later hone.cuda.Event
---@return number? seconds
---@return string? message
---@return string? code
function Event:elapsed(later) end

--- Close it.
function Event:close() end

--- Capture what a function launches on the chosen device, to be replayed by calling the graph. Nothing runs
--- meanwhile; waiting, reading and allocating are refused. What the launches use stays alive with the graph.
---@param f function
---@return hone.cuda.Graph? graph
---@return string? message
---@return string? code
function cuda.graph(f) end

--- A captured graph; `graph()` launches it too.
---@class hone.cuda.Graph
local Graph = {}

--- Replay it.
---@param stream? hone.cuda.Stream
---@return true? ok
---@return string? message
---@return string? code
function Graph:launch(stream) end

--- How many launches, copies and fills it has.
---@return integer
function Graph:nodes() end

--- Close it.
function Graph:close() end

-- ---- time -----------------------------------------------------------------------------------------

--- How to measure.
---@class hone.cuda.TimeOptions
---@field clock? "auto"|"events"|"graph"|"cupti" # events, and CUPTI's records where the work is short and CUPTI is there; always events; of a graph of the work; always CUPTI
---@field cold? boolean # false: do not flush the L2 cache before each run
---@field block? boolean # false: do not hold the stream back while the work is queued; the host's pace counts
---@field body? boolean # leave out what starting and ending a kernel takes, as its own clock does
---@field warmup? integer # runs before the first that counts; 3 by default
---@field stop? "noise"|"entropy" # when there are enough samples; noise by default
---@field noise? number # relative standard deviation that is good enough; 0.005 by default
---@field min_time? number # seconds to go on at least; 0.02 by default
---@field max_time? number # seconds to go on at most; 5 by default
---@field min_samples? integer # 20 by default
---@field max_samples? integer # 100000 by default
---@field confidence? number # of the interval of the median; 0.95 by default, 0.99 to compare
---@field throttle? number # samples at clocks below this share of the highest are dropped; 0.75 by default
---@field timeout? number # seconds after which a run is given up; 60 by default
---@field bytes? number # that the work moves, for bytes_per_second
---@field flops? number # that the work does, for flops_per_second

--- What was measured; times in seconds.
---@class hone.cuda.Timing
---@field median number
---@field median_low number # confidence interval of the median, by order statistics
---@field median_high number
---@field confidence number # of that interval, at least what was asked for when there are samples enough
---@field mean number
---@field min number
---@field max number
---@field p10 number
---@field p90 number
---@field stddev number
---@field noise number # stddev / mean
---@field count integer
---@field samples number[] # in the order in which they were taken
---@field reason? string # why it stopped
---@field clock "events"|"graph"|"cupti" # that the samples are by
---@field by_events? number # the median by events, where they were too coarse and CUPTI was asked
---@field overhead? number # events: what they themselves take, subtracted from each sample
---@field resolution? number # events: by how much they differ for one duration; the median is about that sure
---@field resolved? boolean # events: false when that is more than a fifth of the median: then CUPTI knows better
---@field blocked boolean # the stream was held back: false when the work waits for the device
---@field outside integer # samples in which another stream worked longer than the timed one, and counted
---@field wall number # the least time from the call to the idle device by the host's clock, during warm-up
---@field host number # the least time of the call itself
---@field sm_clock? integer # MHz, the median over the samples
---@field sm_clock_max? integer
---@field throttled integer # samples taken at low clocks
---@field dropped integer # of those, left out; when they are most, none is
---@field bytes_per_second? number
---@field flops_per_second? number

--- Measure how long the device takes for what a function launches: again and again, until the rule says that
--- more would not tell more. Before each run the L2 cache is flushed (twice its size is written, and lines
--- that persist no longer do) and the stream is held back until all is queued. The end is that of all streams
--- of the device. With events, what they show around a kernel of known duration beyond that is subtracted,
--- so that the time is that of the work from its start to its end, as CUPTI counts; work of less than 30 us is
--- measured once more by CUPTI, where there is one.
---@param f function # or a prepared launch, or a graph
---@param options? hone.cuda.TimeOptions
---@return hone.cuda.Timing? timing
---@return string? message # f's own too, when it returns nil and a message
---@return string? code
function cuda.time(f, options) end

--- How the time of one function compares to that of another.
---@class hone.cuda.Comparison
---@field verdict "faster"|"slower"|"same"|"undecided" # of the first over the second
---@field confidence number # in the verdict
---@field ratio number # median of first / second
---@field low number # confidence interval of the ratio
---@field high number
---@field pairs integer
---@field reason string # why it stopped
---@field first hone.cuda.Timing
---@field second hone.cuda.Timing

--- Measure two functions in turn, in pairs whose order alternates, until it is clear which is faster. The
--- verdict is that of the first over the second: "faster" or "slower" when the confidence interval of the
--- median ratio leaves out 1, "same" when it lies within `margin` of 1, else "undecided".
---@param f function
---@param g function
---@param options? hone.cuda.TimeOptions # and margin: number, 0.005 by default
---@return hone.cuda.Comparison? comparison
---@return string? message
---@return string? code
function cuda.compare(f, g, options) end

-- ---- ranges for profilers -------------------------------------------------------------------------

--- Call a function within a range that profilers show by its name (NVTX), also when it raises an error. Under
--- no profiler this is the call alone. Profilers are told through NVIDIA's libnvtx3interop or libnvToolsExt,
--- which the CUDA toolkit has; they announce themselves by NVTX_INJECTION64_PATH.
---@param name string
---@param f function
---@param ... any # for f
---@return any ... # f's results
function cuda.range(name, f, ...) end

--- Begin a range, in that which was begun last.
---@param name string
---@return boolean shown # does a profiler see it?
---@return string? why # not
function cuda.range_push(name) end

--- End the range that was begun last.
function cuda.range_pop() end

--- A point in time with a name.
---@param name string
---@return boolean shown # does a profiler see it?
---@return string? why # not
function cuda.mark(name) end

return cuda
