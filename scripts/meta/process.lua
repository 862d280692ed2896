---@meta hone.process

--- Other programs: run one to its end, talk to one while it runs, run many at once.
---
--- A command is a list of words, `{ "git", "status" }`, never a line for a shell: nothing is quoted or
--- expanded. Every process leads a session of its own, and ends together with the processes that it
--- started: at its time limit, when an error passes, on Ctrl-C and when the program ends. (A process that
--- makes itself a session of its own gets away.) It inherits its three streams and no other open file.
---
--- What the system refuses comes back as `nil, message, code`: "cannot run gti: not found in PATH",
--- "ENOENT". A wrong command or option is the caller's mistake and raises an error.
local process = {}

--- A command and how to run it.
---
--- An output is captured (the default), shared with ours, thrown away, or given to a function as it comes;
--- stderr can also join stdout, in order. `on_line` gets each line of the captured outputs as it comes; the
--- result holds them all the same. Without `input` and `stdin` there is nothing to read.
---@class hone.process.Command
---@field [integer] string|number # the program, looked up in PATH unless it holds a slash, and its arguments
---@field cwd? string # the folder to run in
---@field env? table<string, string|number|false> # variables to add or change; false removes one
---@field clear_env? boolean # start from an empty environment, not from ours
---@field input? string # what it reads on stdin; it need not read it all
---@field stdin? "inherit" # read what we would read
---@field stdout? "capture"|"inherit"|"discard"|fun(chunk: string)
---@field stderr? "capture"|"inherit"|"discard"|"stdout"|fun(chunk: string)
---@field on_line? fun(stream: "stdout"|"stderr", line: string)
---@field timeout? number # seconds after which the process and all that it started are ended
---@field grace? number # seconds from SIGTERM to SIGKILL; 2 by default
---@field check? boolean # refuse any end but exit status 0 (run and run_all)

--- How a process ended.
---@class hone.process.Result
---@field status? integer # exit status; nil when a signal ended it
---@field signal? string # "SIGKILL"; nil when it exited
---@field stdout? string # where it was captured
---@field stderr? string # where it was captured
---@field timed_out boolean # its time limit ended it
---@field seconds number # from its start to its end
---@field error? string # run_all only: why it could not be started, or what `check` refuses
---@field code? string # goes with error

--- Run a program to its end, which includes the end of its outputs: a process that it leaves behind in the
--- background is waited for as long as it holds them. An exit status other than 0 is a result like any
--- other, unless `check` is set: then it is refused with "git: exit status 128: fatal: ..." and the code
--- "ESTATUS", "ESIGNAL" or "ETIMEDOUT", and the result comes fourth. When a callback raises, the process is
--- ended and the error goes on.
---@param command hone.process.Command
---@return hone.process.Result? result
---@return string? message
---@return string? code
---@return hone.process.Result? refused
function process.run(command) end

--- Start a program and go on. Its stdin is open for `write` unless `input` is given. Outputs that nobody
--- takes are read up to about 1 MiB each; then the process waits. Use it as
--- `local server <close> = assert(process.start { ... })` to end it when the variable goes out of scope; it
--- also ends when it is collected. Its time limit is looked at while it is waited for or read from.
---@param command hone.process.Command
---@return hone.process.Process? process
---@return string? message
---@return string? code
function process.start(command) end

--- A started process.
---@class hone.process.Process
---@field pid integer # also the number of its process group
---@field name string # the program, as it was asked for
local Process = {}

--- Wait for its end. Outputs read with `lines` are not in the result.
---@param timeout? number # seconds to wait; it goes on running then: nil, message, "ETIMEDOUT"
---@return hone.process.Result? result
---@return string? message
---@return string? code
function Process:wait(timeout) end

--- Has it not exited yet?
---@return boolean
function Process:running() end

--- Send a signal to it and the processes that it started.
---@param signal? string|integer # "SIGINT", "INT" or 2; "SIGTERM" by default
---@return true? ok
---@return string? message
---@return string? code # "ESRCH" when it is over
function Process:kill(signal) end

--- End it, and the processes that it started: SIGTERM, then SIGKILL for what is left after the grace.
---@param grace? number # seconds; the command's `grace` by default
---@return hone.process.Result result
function Process:stop(grace) end

--- End it as `stop` does, without waiting for that: it goes on while other processes are waited for, and at the
--- latest when the program ends.
---@param grace? number
function Process:end_soon(grace) end

--- Write to its stdin. Waits only while more than 1 MiB is still to be read by the process.
---@param data string
---@return true? ok
---@return string? message
---@return string? code # "EPIPE" when it no longer reads
function Process:write(data) end

--- Let it read the end of its stdin, after all that was written.
function Process:close_input() end

--- Read a captured stream by lines, without their newlines, waiting for each:
--- `for line in server:lines() do ... end`. One may stop and go on later with `wait`.
---@param stream? "stdout"|"stderr" # "stdout" by default
---@return fun(): string?
function Process:lines(stream) end

--- Run several programs, a number of them at once. A command that cannot be started, or that `check`
--- refuses, says so in its result's `error`; the others go on. When a callback raises, all are ended and
--- the error goes on. `max` is the number of processors by default. `on_done` may add commands to the list. Started
--- processes that stand in `alongside` have their functions called with their output meanwhile, so that what they
--- say does not hold them up.
---@param commands hone.process.Command[]
---@param options? {max: integer?, on_done: fun(i: integer, result: hone.process.Result)?, alongside: hone.process.Process[]?}
---@return hone.process.Result[] results # in the order of the commands
function process.run_all(commands, options) end

--- Find a program in PATH, as `run` does.
---@param name string # one with a slash is only checked
---@return string? path # absolute
---@return string? message
---@return string? code
function process.which(name) end

return process
