---@meta hone.fs

--- Files and folders: reading, atomic writing, walking, globbing, hashing, paths.
---
--- What the file system refuses comes back as `nil, message, code`: one line that says what was tried, on
--- which path and why, "cannot write /a/b: Permission denied", and the errno's name, "EACCES". A path that
--- is no string, or that holds a zero byte, is the caller's mistake and raises an error.
local fs = {}

--- Join the parts of a path with slashes. An empty part adds nothing, and an absolute part starts anew:
--- `fs.join("a", "b/", "c")` is "a/b/c", `fs.join("a", "/b")` is "/b".
---@param ... string
---@return string
function fs.join(...) end

--- The path without its last name: "a/b" for "a/b/c" and for "a/b/c/", "." for "a", "/" for "/a".
---@param path string
---@return string
function fs.dirname(path) end

--- The last name of a path: "c" for "a/b/c" and for "a/b/c/", "" for "/".
---@param path string
---@return string
function fs.basename(path) end

--- The end of the last name from its last dot on: ".gz" for "a/b.tar.gz"; "" where there is none, as in
--- "a/b" and "a/.bashrc".
---@param path string
---@return string
function fs.extension(path) end

--- The last name without its extension: "b.tar" for "a/b.tar.gz".
---@param path string
---@return string
function fs.stem(path) end

--- Whether a path stays inside the folder that it is joined to, by its text: a relative one in plain form, without
--- "." and "..", control characters and backslashes. What is no string is none.
---@param path any
---@return boolean
function fs.is_inside(path) end

--- The path without "." and double slashes and, as far as that goes, without "..". Only the text is looked
--- at: where a part is a symbolic link, ".." after it may mean another folder. See `fs.realpath`.
---@param path string
---@return string
function fs.normalize(path) end

--- The current folder.
---@return string # absolute
function fs.cwd() end

--- The normalized path from the root. The file need not exist; links are not resolved.
---@param path string
---@return string
function fs.absolute(path) end

--- The way from one folder to a path: "../c/d" from "/a/b" to "/a/c/d".
---@param path string
---@param base? string # the current folder by default
---@return string
function fs.relative(path, base) end

--- The absolute path of something that exists, with all symbolic links resolved.
---@param path string
---@return string? path
---@return string? message
---@return string? code
function fs.realpath(path) end

--- The user's home folder: `HOME`, or where that is not set the one in the user database.
---@return string? path
---@return string? message
---@return string? code
function fs.home() end

--- Replace a "~" that begins a path ("~" or "~/x") by the home folder; other paths come back as they are.
---@param path string
---@return string? path
---@return string? message
---@return string? code
function fs.expand(path) end

--- Where hone keeps what it can make or fetch again: `XDG_CACHE_HOME/hone`, or `~/.cache/hone`. It is not
--- created.
---@return string? path
---@return string? message
---@return string? code
function fs.cache_dir() end

--- Where the user keeps skills and settings: `XDG_CONFIG_HOME/hone`, or `~/.config/hone`. It is not created.
---@return string? path
---@return string? message
---@return string? code
function fs.config_dir() end

--- Does the path lead to something? A link to nothing does not.
---@param path string
---@return boolean
function fs.exists(path) end

--- Does the path lead to a regular file? Links are followed.
---@param path string
---@return boolean
function fs.is_file(path) end

--- Does the path lead to a folder? Links are followed.
---@param path string
---@return boolean
function fs.is_dir(path) end

--- Is the path itself a symbolic link, whatever it leads to?
---@param path string
---@return boolean
function fs.is_link(path) end

--- The size of a file in bytes.
---@param path string
---@return integer? size
---@return string? message
---@return string? code
function fs.size(path) end

--- How many bytes we may still write on the file system of a path, as far as it can be foreseen.
---@param path string
---@return integer? bytes
---@return string? message
---@return string? code
function fs.free_space(path) end

--- When a file was last changed, in seconds since 1970 (UTC), as `os.time` counts.
---@param path string
---@return integer? seconds
---@return string? message
---@return string? code
function fs.mtime(path) end

--- The whole contents of a file.
---@param path string
---@return string? data
---@return string? message
---@return string? code
function fs.read(path) end

--- Read a file in pieces, in constant memory: `for piece in assert(fs.chunks(path)) do ... end`. The file
--- is closed when the loop ends, however it ends. A failure in the middle raises its message.
---@param path string
---@param size? integer # bytes of a piece (the last may be shorter); 1 MiB by default
---@return (fun(): string?)? next_chunk
---@return string? message
---@return string? code
---@return file*? file # what the loop closes
function fs.chunks(path, size) end

--- Write a file in one step: readers see the old contents or the new, never a part, and a crash leaves one
--- of the two. The data goes to a temporary file beside the target, to the disk, and then takes the
--- target's name. Folders that are missing are made. The target's permissions are kept, and a symbolic link
--- stays one: what it leads to is replaced. On failure the target is as it was and nothing is left behind.
--- A device or pipe (/dev/stdout) is written in place.
---@param path string
---@param data string
---@param options? {sync: boolean?} # sync=false does not wait for the disk
---@return true? ok
---@return string? message
---@return string? code
function fs.write(path, data, options) end

--- A file that comes into being when it is complete, for downloads and large outputs; otherwise as
--- `fs.write`. Use it as `local out <close> = assert(fs.writer(path))`: what was not committed is discarded
--- when the variable goes out of scope.
---@param path string
---@return hone.fs.Writer? writer
---@return string? message
---@return string? code
function fs.writer(path) end

--- A file being written. Using it after commit or discard is an error.
---@class hone.fs.Writer
local Writer = {}

--- Add data at the end.
---@param ... string
---@return hone.fs.Writer? self
---@return string? message
---@return string? code
function Writer:write(...) end

--- Add the contents of another file, and take over its permissions.
---@param path string
---@return hone.fs.Writer? self
---@return string? message
---@return string? code
function Writer:copy(path) end

--- Give the file its name. On failure it is discarded.
---@param sync? boolean # false does not wait for the disk; true by default
---@return true? ok
---@return string? message
---@return string? code
function Writer:commit(sync) end

--- Drop what was written; the target stays as it was. Does nothing after commit or discard.
function Writer:discard() end

--- Add a line to the end of a file, which is made where it is missing, with its folders. Safe when several
--- processes append to one file at once: each line arrives whole, in one write under a lock, and starts a
--- line even where the file did not end in a newline.
---@param path string
---@param line string # without newlines
---@return true? ok
---@return string? message
---@return string? code
function fs.append_line(path, line) end

--- Lock a file between processes by flock(2), as the program `flock` does; the file and the folders above are made
--- where they are missing.
--- Closing what is returned gives the lock back, and so does the end of the process.
---@param path string
---@param options? { wait: number?, note: string?, on_wait: fun(holder: string)? } # seconds to wait, none by default; what others are told of the holder; called once when it has to wait
---@return userdata? lock
---@return string? message
---@return string? code # "EWOULDBLOCK" while another holds it
function fs.lock(path, options) end

--- The SHA-256 of a string. Hashing needs OpenSSL's libcrypto, which is opened by the first call.
---@param data string
---@return string? digest # 64 lower case hexadecimal digits
---@return string? message
---@return string? code
function fs.sha256(data) end

--- The SHA-256 of a file's contents, in constant memory.
---@param path string
---@return string? digest # 64 lower case hexadecimal digits
---@return string? message
---@return string? code
function fs.sha256_file(path) end

--- Make a folder, and those above it that are missing. One that is there already is fine.
---@param path string
---@return true? ok
---@return string? message
---@return string? code
function fs.mkdir(path) end

--- The names in a folder, sorted by bytes, without "." and "..".
---@param path string
---@return string[]? names
---@return string? message
---@return string? code
function fs.list(path) end

--- Remove a file, a symbolic link (what it leads to stays) or a folder with all that is in it. What does not
--- exist is refused with the code "ENOENT".
---@param path string
---@return true? ok
---@return string? message
---@return string? code
function fs.remove(path) end

--- Make a folder for temporary files under `TMPDIR` or /tmp. Use it as
--- `local dir <close> = assert(fs.tempdir())`: it is removed with its contents when the variable goes out of
--- scope, and else when it is collected or the program ends, also after Ctrl-C.
---@param prefix? string # how its name begins; "hone-" by default
---@return hone.fs.TemporaryDirectory? dir
---@return string? message
---@return string? code
function fs.tempdir(prefix) end

--- A temporary folder; `tostring` gives its path.
---@class hone.fs.TemporaryDirectory
---@field path string # absolute
local TemporaryDirectory = {}

--- Remove it now. Does nothing the second time.
---@return true? ok
---@return string? message
---@return string? code
function TemporaryDirectory:remove() end

--- Walk through everything under a folder, each folder before what is in it, sorted by name:
--- `for path, kind in assert(fs.walk(dir)) do ... end`. Paths begin with `dir`. The kind is "file",
--- "directory", "other" (a device, pipe or socket) or "link" (a symbolic link to nothing); other links have
--- the kind of what they lead to. A folder that cannot be listed raises its message; one that disappears
--- meanwhile is skipped.
---
--- Options: `files_only` leaves out all but files; `follow` enters folders behind symbolic links too (not
--- those that lead back up); `filter(path, kind)` returning false leaves out a path and all below it.
---@param dir string
---@param options? {files_only: boolean?, follow: boolean?, filter: (fun(path: string, kind: string): any)?}
---@return (fun(): string?, string?)? next_path
---@return string? message
---@return string? code
function fs.walk(dir, options) end

--- The paths that match a pattern, sorted: "*" any run of characters but slashes, "?" one, "[a-z]" and
--- "[!a-z]" one of a set, "**" as a whole part any number of folders. As in a shell, a name that begins with
--- a dot is matched only by a part that does; "**" does not enter folders behind symbolic links. "[*]" is a
--- plain star. Folders that cannot be listed match nothing.
---@param pattern string
---@return string[]
function fs.glob(pattern) end

--- Copy a file with its permissions (atomically, as `fs.write`), or a folder with all that is in it.
--- Symbolic links inside the folder are copied as links. Folders above the target are made.
---@param from string
---@param to string # the new path itself, not the folder to put it in
---@return true? ok
---@return string? message
---@return string? code
function fs.copy(from, to) end

--- Give a file or folder another path, replacing a file of that name. Folders above it are made. To another
--- file system it is copied, then removed here.
---@param from string
---@param to string
---@return true? ok
---@return string? message
---@return string? code
function fs.rename(from, to) end

return fs
