---@meta hone.tensor

--- Tensors on the CPU and on GPUs: arrays of numbers with PyTorch's names and semantics.
---
--- A tensor is a view of memory that it may share with others: `t:view(...)`, `t[2]` and `t:t()` copy
--- nothing. dtypes are "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2",
--- "float4_e2m1" (an element is a byte with two values), "int64", "int32", "int16", "int8", "uint8" and
--- "bool"; a tensor has at most 8 dimensions and may have none, or no elements.
---
--- Dimensions and positions count from 1, negative ones from the end; what tensors hold counts from 0.
--- So `t[1]` is the first slice along the first dimension, and `t[tensor.new{0}]` is that slice too.
---
---     local t = tensor.arange(12):view(3, 4)
---     t[2]                              -- second row
---     t[{ tensor.all, -1 }]             -- last column
---     t[{ { 1, 2 }, { 1, -1, 2 } }]     -- rows 1 and 2, every second column: ranges include both ends
---     t[{ tensor.ellipsis, tensor.newaxis }]
---     t[t:gt(5)]                        -- by a mask
---     t[{ tensor.new { 0, 2 } }] = 0    -- by positions that a tensor holds
---
--- Operators `+ - * / // % ^ & | ~ << >>` and unary `-` and `~` take tensors and numbers, promote as
--- torch does (a Lua number does not widen a tensor of its kind) and broadcast; `//` and `%` floor.
--- `==` asks whether two are the same tensor; `t:eq(u)` compares elements. `#t` is the first size. A
--- method whose name ends in `_` writes into its tensor and gives it back.
---
--- A tensor lies on the CPU or on a GPU: `tensor.zeros(2, 3, { device = "cuda:0" })`, `t:to "cuda:0"`. What
--- two tensors are made into lies where they lie; only a tensor without dimensions may come from the CPU. Work
--- on a GPU is queued on the device's current stream (see hone.cuda) and runs on while the script does; `item`,
--- `tolist`, `bytes`, printing and `to "cpu"` wait for it. Results that rounding does not touch, random numbers
--- among them, are the same bits on every device. The kernels are compiled when they are first needed, by
--- NVRTC, and kept on disk; products are cuBLASLt's. A tensor on a GPU can be the argument of a kernel.
---
--- Index tensors and masks may lie on the CPU while what they index lies on a GPU. An index out of range is an
--- error, on the CPU before anything is done. On a GPU the kernel finds out: it reads and writes nothing at
--- such a place (what is read there is 0), does the rest, and the next operation on that GPU's tensors, or the
--- copy to the host that waited for the kernel, raises the error, once.
---
--- Memory is let go of by the collector, or early by `local t <close> = ...` and `t:close()`. Where there
--- is none left, garbage is collected once before that is an error. A mistake is an error of one line:
--- "cannot add float32 [3, 4] and float32 [3, 5]: dimension 2 differs (4 and 5)".
local tensor = {}

---@alias hone.tensor.Dtype string one of the names above
---@alias hone.tensor.Value hone.Tensor|number|boolean

--- How a tensor is made. A dtype's name may stand for the whole table, and a table of sizes may hold
--- the fields too: `tensor.zeros{2, 3, dtype = "int32"}`.
---@class hone.tensor.Options
---@field dtype? hone.tensor.Dtype
---@field device? string # "cpu", "cuda:0", "cuda:1"...; "cuda" is the first

--- In an index: all of a dimension.
tensor.all = nil ---@type string

--- In an index: all dimensions that no other item takes.
tensor.ellipsis = nil ---@type string

--- In an index: a new dimension of size 1.
tensor.newaxis = nil ---@type string

--- The table of methods; a function that is put there becomes a method of every tensor.
tensor.Tensor = nil ---@type table

--- A tensor of a number, a boolean, or evenly nested tables of them. Without a dtype: bool for
--- booleans, int64 for integers, float32 where there is a float.
---@param value number|boolean|table
---@param options? hone.tensor.Options|hone.tensor.Dtype
---@return hone.Tensor
function tensor.new(value, options) end

--- Memory as it is found. Sizes are numbers or a table; float32 unless said otherwise.
---@param ... integer|integer[]|hone.tensor.Options
---@return hone.Tensor
function tensor.empty(...) end

--- All zeros.
---@param ... integer|integer[]|hone.tensor.Options
---@return hone.Tensor
function tensor.zeros(...) end

--- All ones.
---@param ... integer|integer[]|hone.tensor.Options
---@return hone.Tensor
function tensor.ones(...) end

--- All the same number. Without a dtype: int64, float32 or bool, as the number is.
---@param sizes integer[]
---@param value number|boolean|hone.Tensor
---@param options? hone.tensor.Options|hone.tensor.Dtype
---@return hone.Tensor
function tensor.full(sizes, value, options) end

--- A new tensor of t's shape and dtype, not initialised.
---@param t hone.Tensor
---@param options? hone.tensor.Options|hone.tensor.Dtype
---@return hone.Tensor
function tensor.empty_like(t, options) end

--- Zeros of t's shape and dtype.
---@param t hone.Tensor
---@param options? hone.tensor.Options|hone.tensor.Dtype
---@return hone.Tensor
function tensor.zeros_like(t, options) end

--- Ones of t's shape and dtype.
---@param t hone.Tensor
---@param options? hone.tensor.Options|hone.tensor.Dtype
---@return hone.Tensor
function tensor.ones_like(t, options) end

--- The same number in t's shape and dtype.
---@param t hone.Tensor
---@param value number|boolean|hone.Tensor
---@param options? hone.tensor.Options|hone.tensor.Dtype
---@return hone.Tensor
function tensor.full_like(t, value, options) end

--- first, first + step, ... below last: `arange(last)`, `arange(first, last)`,
--- `arange(first, last, step)`, then options. int64 for integers, else float32.
---@param ... number|hone.tensor.Options
---@return hone.Tensor
function tensor.arange(...) end

--- n numbers from first to last, both included, evenly spaced.
---@param first number
---@param last number
---@param n integer
---@param options? hone.tensor.Options|hone.tensor.Dtype
---@return hone.Tensor
function tensor.linspace(first, last, n, options) end

--- A matrix with ones on its diagonal: `eye(n)` or `eye(rows, columns)`, then options.
---@param rows integer
---@param ... integer|hone.tensor.Options
---@return hone.Tensor
function tensor.eye(rows, ...) end

--- A tensor over a copy of a string's bytes, little-endian; of one dimension without sizes.
---@param bytes string
---@param dtype hone.tensor.Dtype
---@param ... integer|integer[]
---@return hone.Tensor
function tensor.from_bytes(bytes, dtype, ...) end

--- Tensors one after the other along a dimension, the first unless given: `cat{a, b, dim = 2}` or
--- `cat({a, b}, 2)`. dtypes are promoted.
---@param tensors hone.Tensor[]
---@param dim? integer
---@return hone.Tensor
function tensor.cat(tensors, dim) end

--- Tensors side by side along a new dimension, in front unless given.
---@param tensors hone.Tensor[]
---@param dim? integer
---@return hone.Tensor
function tensor.stack(tensors, dim) end

--- a where the condition holds, else b; all three broadcast.
---@param condition hone.Tensor bool
---@param a hone.tensor.Value
---@param b hone.tensor.Value
---@return hone.Tensor
function tensor.where(condition, a, b) end

--- The dtype that two operands promote to.
---@param a hone.tensor.Value
---@param b hone.tensor.Value
---@return hone.tensor.Dtype
function tensor.result_type(a, b) end

--- How far a is from b, in one pass, in float32: a table with `max_absolute_error`,
--- `max_relative_error` (|a - b| / (|b| + 1e-8)), `matched_ratio`, `mismatches`, `nonfinite_mismatches`
--- and, where there is one, `first_bad`, the first mismatch's positions. An element mismatches when both
--- errors are beyond their tolerance, 1e-2 unless given. NaN matches NaN, an infinity the same one; any
--- other pair that is not finite mismatches and makes both errors infinite.
---@param a hone.Tensor
---@param b hone.Tensor
---@param options? { rtol?: number, atol?: number }
---@return table
function tensor.compare(a, b, options) end

--- Whether a value is a tensor.
---@param value any
---@return boolean
function tensor.is_tensor(value) end

--- How many threads large loops run on: the processors that this process may use.
---@return integer
function tensor.threads() end

--- Set how many threads large loops run on. Results do not depend on it.
---@param n integer
function tensor.set_threads(n) end

--- The sum that an equation says, as torch.einsum: `einsum("bij,bjk->bik", a, b)`.
---@param equation string
---@param ... hone.Tensor|hone.Tensor[]
---@return hone.Tensor
function tensor.einsum(equation, ...) end

--- A stream of random numbers of its own (Philox 4x32-10), at its beginning. What element i of a draw is
--- depends on the seed, on how many draws there were before and on i alone: not on shape, strides, threads
--- or machine.
---@param seed? integer
---@return hone.Generator
function tensor.generator(seed) end

--- Seed the generator that is used where none is given.
---@param seed integer
---@return hone.Generator
function tensor.manual_seed(seed) end

--- Uniform in [0, 1). The options may hold a `generator`.
---@param ... integer|integer[]|hone.tensor.Options
---@return hone.Tensor
function tensor.rand(...) end

--- Normal, of mean 0 and deviation 1.
---@param ... integer|integer[]|hone.tensor.Options
---@return hone.Tensor
function tensor.randn(...) end

--- Uniform in [0, 1), in t's shape and dtype.
---@param t hone.Tensor
---@param options? hone.tensor.Options
---@return hone.Tensor
function tensor.rand_like(t, options) end

--- Normal, in t's shape and dtype.
---@param t hone.Tensor
---@param options? hone.tensor.Options
---@return hone.Tensor
function tensor.randn_like(t, options) end

--- Integers from low, 0 unless given, to below high: `randint(high, sizes)` or
--- `randint(low, high, sizes)`, then options.
---@param ... integer|integer[]|hone.tensor.Options
---@return hone.Tensor
function tensor.randint(...) end

--- 0 to n - 1 in random order.
---@param n integer
---@param options? hone.tensor.Options
---@return hone.Tensor
function tensor.randperm(n, options) end

--- A stream of random bits.
---@class hone.Generator
local Generator = {}

--- The seed.
---@return integer
function Generator:seed() end

--- How many draws there were since the seed was set; each counts one, whatever its size.
---@return integer
function Generator:offset() end

--- Go to a draw: the next one is what it was at this offset.
---@param n integer
---@return hone.Generator
function Generator:set_offset(n) end

--- Begin another stream.
---@param seed integer
---@return hone.Generator
function Generator:manual_seed(seed) end

--- An array of numbers. `t.dtype` and `t.device` are strings.
---@class hone.Tensor
---@field dtype hone.tensor.Dtype
---@field device string
local Tensor = {}

--- Let go of the memory now, unless another tensor shares it. Any use after that is an error.
function Tensor:close() end

--- The sizes.
---@return integer[]
function Tensor:shape() end

--- One size; without a dimension, all of them.
---@param dim? integer
---@return integer|integer[]
function Tensor:size(dim) end

--- The strides, in elements.
---@return integer[]
function Tensor:stride() end

--- The number of dimensions.
---@return integer
function Tensor:dim() end

--- The number of elements.
---@return integer
function Tensor:numel() end

--- Bytes an element.
---@return integer
function Tensor:element_size() end

--- Where in its memory the tensor begins, in elements.
---@return integer
function Tensor:storage_offset() end

--- The address of the first element.
---@return integer
function Tensor:data_ptr() end

--- Whether the elements lie in order, without gaps.
---@return boolean
function Tensor:is_contiguous() end

--- Whether the dtype is a float's.
---@return boolean
function Tensor:is_floating_point() end

--- The number or boolean of a tensor of one element.
---@return number|boolean
function Tensor:item() end

--- Nested tables; a number or boolean for a 0-d tensor.
---@return table|number|boolean
function Tensor:tolist() end

--- The elements in order as bytes, little-endian.
---@return string
function Tensor:bytes() end

--- The tensor as torch prints it; also what `print` and `tostring` show. Options: `precision`,
--- `threshold` (of elements, before parts are left out), `edge_items`, `line_width`, `scientific`.
---@param options? table
---@return string
function Tensor:tostring(options) end

--- float4_e2m1 of half the last size, rounded to nearest even; what is beyond 6 becomes 6.
---@return hone.Tensor
function Tensor:pack_float4() end

--- float32 of twice the last size, of float4_e2m1.
---@return hone.Tensor
function Tensor:unpack_float4() end

--- The same memory in another shape (one size may be -1), or, given a dtype's name, as another dtype:
--- its bytes are not converted, the last size grows or shrinks.
---@param ... integer|integer[]|hone.tensor.Dtype
---@return hone.Tensor
function Tensor:view(...) end

--- Any sizes and strides over the same memory, from an offset on, all in elements.
---@param sizes integer[]
---@param strides integer[]
---@param offset? integer
---@return hone.Tensor
function Tensor:as_strided(sizes, strides, offset) end

--- Another shape: a view where that is possible, else a copy.
---@param ... integer|integer[]
---@return hone.Tensor
function Tensor:reshape(...) end

--- Dimensions first to last as one; all of them unless given.
---@param first? integer
---@param last? integer
---@return hone.Tensor
function Tensor:flatten(first, last) end

--- One dimension as several.
---@param dim integer
---@param sizes integer[]
---@return hone.Tensor
function Tensor:unflatten(dim, sizes) end

--- Dimensions of size 1 to any size without copying; -1 keeps a size.
---@param ... integer|integer[]
---@return hone.Tensor
function Tensor:expand(...) end

--- Expanded to another tensor's shape.
---@param other hone.Tensor
---@return hone.Tensor
function Tensor:expand_as(other) end

--- The dimensions in another order.
---@param ... integer|integer[]
---@return hone.Tensor
function Tensor:permute(...) end

--- Two dimensions exchanged.
---@param a integer
---@param b integer
---@return hone.Tensor
function Tensor:transpose(a, b) end

--- A matrix transposed.
---@return hone.Tensor
function Tensor:t() end

--- Without the dimensions of size 1, or without that one if it is so.
---@param dim? integer
---@return hone.Tensor
function Tensor:squeeze(dim) end

--- With a dimension of size 1 put in.
---@param dim integer
---@return hone.Tensor
function Tensor:unsqueeze(dim) end

--- A dimension's elements from position first, so many of them.
---@param dim integer
---@param first integer
---@param length integer
---@return hone.Tensor
function Tensor:narrow(dim, first, length) end

--- One position of a dimension, which is gone then.
---@param dim integer
---@param index integer
---@return hone.Tensor
function Tensor:select(dim, index) end

--- A matrix's diagonal, as a view.
---@return hone.Tensor
function Tensor:diagonal() end

--- The elements in order, without gaps: itself if it is so.
---@return hone.Tensor
function Tensor:contiguous() end

--- A copy, contiguous.
---@return hone.Tensor
function Tensor:clone() end

--- As another dtype, rounded to nearest even as torch casts: itself if it is so.
---@param options hone.tensor.Options|hone.tensor.Dtype
---@return hone.Tensor
function Tensor:to(options) end

--- The tensor on the CPU: itself if it lies there, else a copy, which waits for what makes it.
---@return hone.Tensor
function Tensor:cpu() end

--- The tensor on a GPU: itself if it lies there, else a copy.
---@param index? integer # of the GPU, from 0; 0 by default
---@return hone.Tensor
function Tensor:cuda(index) end

--- At most n views of even size along a dimension, the first unless given.
---@param n integer
---@param dim? integer
---@return hone.Tensor[]
function Tensor:chunk(n, dim) end

--- Views of a size, or of the sizes of a table, along a dimension.
---@param size integer|integer[]
---@param dim? integer
---@return hone.Tensor[]
function Tensor:split(size, dim) end

--- The slices along a dimension.
---@param dim? integer
---@return hone.Tensor[]
function Tensor:unbind(dim) end

--- Repeated so many times along each dimension, as torch's `repeat` (a word of Lua's): times for
--- dimensions that are not there make them, in front; missing times, in front too, are 1.
---@param ... integer|integer[]
---@return hone.Tensor
function Tensor:tile(...) end

--- Each slice repeated, all alike or as an integer tensor says; of all elements without a dimension.
---@param times integer|hone.Tensor
---@param dim? integer
---@return hone.Tensor
function Tensor:repeat_interleave(times, dim) end

--- Dimensions turned around.
---@param ... integer|integer[]
---@return hone.Tensor
function Tensor:flip(...) end

--- What lies on or below a diagonal of each matrix, else 0.
---@param diagonal? integer
---@return hone.Tensor
function Tensor:tril(diagonal) end

--- What lies on or above a diagonal of each matrix, else 0.
---@param diagonal? integer
---@return hone.Tensor
function Tensor:triu(diagonal) end

--- `t[{...}]`.
---@param items table
---@return hone.Tensor
function Tensor:index(items) end

--- `t[{...}] = value`; with accumulate, added there, also several times. Sums are the same bits in every run
--- and on every device: a GPU sorts the places and adds in their order (integers of 32 and 64 bits atomically).
--- Without accumulate, which of several values for one place stays is not said on a GPU.
---@param items table
---@param value hone.tensor.Value
---@param accumulate? boolean
---@return hone.Tensor
function Tensor:index_put_(items, value, accumulate) end

--- The slices of a dimension at positions that a vector holds, counted from 0.
---@param dim integer
---@param index hone.Tensor
---@return hone.Tensor
function Tensor:index_select(dim, index) end

--- Copy the source's slices to t's at the index.
---@param dim integer
---@param index hone.Tensor
---@param source hone.Tensor
---@return hone.Tensor
function Tensor:index_copy_(dim, index, source) end

--- Add the source's slices to t's at the index, to the same bits in every run: see index_put_.
---@param dim integer
---@param index hone.Tensor
---@param source hone.Tensor
---@return hone.Tensor
function Tensor:index_add_(dim, index, source) end

--- For dim 1: out[i][j] = t[index[i][j]][j].
---@param dim integer
---@param index hone.Tensor
---@return hone.Tensor
function Tensor:gather(dim, index) end

--- For dim 1: t[index[i][j]][j] = source[i][j].
---@param dim integer
---@param index hone.Tensor
---@param source hone.tensor.Value
---@return hone.Tensor
function Tensor:scatter_(dim, index, source) end

--- For dim 1: t[index[i][j]][j] is increased by source[i][j], to the same bits in every run: see index_put_.
---@param dim integer
---@param index hone.Tensor
---@param source hone.tensor.Value
---@return hone.Tensor
function Tensor:scatter_add_(dim, index, source) end

--- int64 [n, dimensions]: where elements are not zero, counted from 0, in order.
---@return hone.Tensor
function Tensor:nonzero() end

--- The elements where a mask holds, as a vector.
---@param mask hone.Tensor
---@return hone.Tensor
function Tensor:masked_select(mask) end

--- Elements by their number in order, counted from 0.
---@param index hone.Tensor
---@return hone.Tensor
function Tensor:take(index) end

--- t where the condition holds, else other.
---@param condition hone.Tensor
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:where(condition, other) end

--- Take another's elements, broadcast and cast.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:copy_(other) end

--- Set all elements to a number.
---@param value number|boolean|hone.Tensor
---@return hone.Tensor
function Tensor:fill_(value) end

--- Set all elements to 0.
---@return hone.Tensor
function Tensor:zero_() end

--- The sum over dimensions, all unless given: `t:sum()`, `t:sum(2)`, `t:sum({1, 2}, true)`,
--- `t:sum{1, 2, keepdim = true}`. Integers and bools sum to int64.
---@param dims? integer|integer[]
---@param keepdim? boolean
---@param options? hone.tensor.Options
---@return hone.Tensor
function Tensor:sum(dims, keepdim, options) end

--- The product over dimensions.
---@param dims? integer|integer[]
---@param keepdim? boolean
---@param options? hone.tensor.Options
---@return hone.Tensor
function Tensor:prod(dims, keepdim, options) end

--- The mean over dimensions, of a float dtype.
---@param dims? integer|integer[]
---@param keepdim? boolean
---@param options? hone.tensor.Options
---@return hone.Tensor
function Tensor:mean(dims, keepdim, options) end

--- The greatest over dimensions; NaN if there is one.
---@param dims? integer|integer[]
---@param keepdim? boolean
---@return hone.Tensor
function Tensor:amax(dims, keepdim) end

--- The least over dimensions; NaN if there is one.
---@param dims? integer|integer[]
---@param keepdim? boolean
---@return hone.Tensor
function Tensor:amin(dims, keepdim) end

--- Whether any element is not zero.
---@param dims? integer|integer[]
---@param keepdim? boolean
---@return hone.Tensor
function Tensor:any(dims, keepdim) end

--- Whether no element is zero.
---@param dims? integer|integer[]
---@param keepdim? boolean
---@return hone.Tensor
function Tensor:all(dims, keepdim) end

--- The root of the sum of squares.
---@param dims? integer|integer[]
---@param keepdim? boolean
---@return hone.Tensor
function Tensor:norm(dims, keepdim) end

--- The variance over n - 1, or over n - correction: `t:var{2, correction = 0}`.
---@param dims? integer|integer[]
---@param keepdim? boolean
---@return hone.Tensor
function Tensor:var(dims, keepdim) end

--- The root of the variance.
---@param dims? integer|integer[]
---@param keepdim? boolean
---@return hone.Tensor
function Tensor:std(dims, keepdim) end

--- log(sum(exp(t))), without overflow.
---@param dims? integer|integer[]
---@param keepdim? boolean
---@return hone.Tensor
function Tensor:logsumexp(dims, keepdim) end

--- The greatest of all; along a dimension, the greatest and where they are, counted from 0; given a
--- tensor, `t:maximum(other)`.
---@param dim? integer|hone.Tensor
---@param keepdim? boolean
---@return hone.Tensor
---@return hone.Tensor? indices
function Tensor:max(dim, keepdim) end

--- The least, likewise.
---@param dim? integer|hone.Tensor
---@param keepdim? boolean
---@return hone.Tensor
---@return hone.Tensor? indices
function Tensor:min(dim, keepdim) end

--- Where the greatest is, counted from 0, the first of equal ones; of all elements without a dimension.
---@param dim? integer
---@param keepdim? boolean
---@return hone.Tensor
function Tensor:argmax(dim, keepdim) end

--- Where the least is.
---@param dim? integer
---@param keepdim? boolean
---@return hone.Tensor
function Tensor:argmin(dim, keepdim) end

--- exp(t) / sum(exp(t)) along a dimension.
---@param dim integer
---@param options? hone.tensor.Options
---@return hone.Tensor
function Tensor:softmax(dim, options) end

--- The logarithm of the softmax.
---@param dim integer
---@param options? hone.tensor.Options
---@return hone.Tensor
function Tensor:log_softmax(dim, options) end

--- Running sums along a dimension; integers as int64.
---@param dim integer
---@return hone.Tensor
function Tensor:cumsum(dim) end

--- Running products along a dimension.
---@param dim integer
---@return hone.Tensor
function Tensor:cumprod(dim) end

--- Whether shape and elements are the same.
---@param other hone.Tensor
---@return boolean
function Tensor:equal(other) end

--- Whether |t - other| <= atol + rtol * |other| everywhere; 1e-5 and 1e-8 unless given. The shapes must
--- be the same.
---@param other hone.Tensor
---@param options? { rtol?: number, atol?: number, equal_nan?: boolean }
---@return boolean
function Tensor:allclose(other, options) end

--- Sorted along a dimension, the last unless given, stably; and where they were, counted from 0.
---@param dim? integer
---@param descending? boolean
---@return hone.Tensor
---@return hone.Tensor indices
function Tensor:sort(dim, descending) end

--- Where the sorted elements are, counted from 0.
---@param dim? integer
---@param descending? boolean
---@return hone.Tensor
function Tensor:argsort(dim, descending) end

--- The k greatest (or least) along a dimension, in order; and where they are, counted from 0.
---@param k integer
---@param dim? integer
---@param largest? boolean
---@return hone.Tensor
---@return hone.Tensor indices
function Tensor:topk(k, dim, largest) end

--- The different elements in order, which of them each element is, and how many there are of each.
---@return hone.Tensor
---@return hone.Tensor inverse
---@return hone.Tensor counts
function Tensor:unique() end

--- Where in a sorted tensor values would go, counted from 0: before equal ones, or after with `right`.
---@param values hone.Tensor
---@param right? boolean
---@return hone.Tensor
function Tensor:searchsorted(values, right) end

--- The matrix product, as torch.matmul: vectors, matrices, batches that broadcast.
---@param other hone.Tensor
---@return hone.Tensor
function Tensor:matmul(other) end

--- The product of two matrices.
---@param other hone.Tensor
---@return hone.Tensor
function Tensor:mm(other) end

--- The products of two batches of matrices.
---@param other hone.Tensor
---@return hone.Tensor
function Tensor:bmm(other) end

--- A matrix times a vector.
---@param vector hone.Tensor
---@return hone.Tensor
function Tensor:mv(vector) end

--- The product of two vectors.
---@param other hone.Tensor
---@return hone.Tensor
function Tensor:dot(other) end

--- All products of two vectors' elements.
---@param other hone.Tensor
---@return hone.Tensor
function Tensor:outer(other) end

--- beta * t + alpha * a @ b.
---@param a hone.Tensor
---@param b hone.Tensor
---@param options? { beta?: number, alpha?: number }
---@return hone.Tensor
function Tensor:addmm(a, b, options) end

--- beta * t + alpha * a @ b, of batches.
---@param a hone.Tensor
---@param b hone.Tensor
---@param options? { beta?: number, alpha?: number }
---@return hone.Tensor
function Tensor:baddbmm(a, b, options) end

--- n draws from categories with t's weights, counted from 0.
---@param n integer
---@param replacement? boolean
---@param generator? hone.Generator
---@return hone.Tensor
function Tensor:multinomial(n, replacement, generator) end

--- 1 with the probability that each element is.
---@param generator? hone.Generator
---@return hone.Tensor
function Tensor:bernoulli(generator) end

--- Fill with 1 at a probability, 0 else.
---@param p? number|hone.Tensor
---@param generator? hone.Generator
---@return hone.Tensor
function Tensor:bernoulli_(p, generator) end

--- Fill with numbers uniform in [low, high).
---@param low? number
---@param high? number
---@param generator? hone.Generator
---@return hone.Tensor
function Tensor:uniform_(low, high, generator) end

--- Fill with normal numbers.
---@param mean? number
---@param deviation? number
---@param generator? hone.Generator
---@return hone.Tensor
function Tensor:normal_(mean, deviation, generator) end

--- Fill with exponentially distributed numbers.
---@param rate? number
---@param generator? hone.Generator
---@return hone.Tensor
function Tensor:exponential_(rate, generator) end

--- Fill with integers in [low, high).
---@param low integer
---@param high integer
---@param generator? hone.Generator
---@return hone.Tensor
function Tensor:random_(low, high, generator) end

--- t + other.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:add(other) end

--- `t:add` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:add_(other) end

--- t - other.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:sub(other) end

--- `t:sub` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:sub_(other) end

--- t * other.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:mul(other) end

--- `t:mul` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:mul_(other) end

--- t / other, of a float dtype.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:div(other) end

--- `t:div` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:div_(other) end

--- t // other, floored. Integers divided by 0 are an error.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:floor_divide(other) end

--- `t:floor_divide` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:floor_divide_(other) end

--- t % other, with the divisor's sign.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:remainder(other) end

--- `t:remainder` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:remainder_(other) end

--- The rest of a division, with t's sign.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:fmod(other) end

--- `t:fmod` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:fmod_(other) end

--- t ^ other. Integers have no negative powers.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:pow(other) end

--- `t:pow` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:pow_(other) end

--- The greater of two, NaN if one is.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:maximum(other) end

--- `t:maximum` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:maximum_(other) end

--- The lesser of two, NaN if one is.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:minimum(other) end

--- `t:minimum` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:minimum_(other) end

--- The angle of (other, t).
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:atan2(other) end

--- `t:atan2` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:atan2_(other) end

--- Whether t == other, element by element.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:eq(other) end

--- `t:eq` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:eq_(other) end

--- Whether t ~= other.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:ne(other) end

--- `t:ne` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:ne_(other) end

--- Whether t < other.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:lt(other) end

--- `t:lt` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:lt_(other) end

--- Whether t <= other.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:le(other) end

--- `t:le` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:le_(other) end

--- Whether t > other.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:gt(other) end

--- `t:gt` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:gt_(other) end

--- Whether t >= other.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:ge(other) end

--- `t:ge` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:ge_(other) end

--- Whether both are not zero.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:logical_and(other) end

--- `t:logical_and` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:logical_and_(other) end

--- Whether one is not zero.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:logical_or(other) end

--- `t:logical_or` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:logical_or_(other) end

--- Whether one and only one is not zero.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:logical_xor(other) end

--- `t:logical_xor` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:logical_xor_(other) end

--- t & other, of integers or bools.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:bitwise_and(other) end

--- `t:bitwise_and` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:bitwise_and_(other) end

--- t | other, of integers or bools.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:bitwise_or(other) end

--- `t:bitwise_or` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:bitwise_or_(other) end

--- t ~ other, of integers or bools.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:bitwise_xor(other) end

--- `t:bitwise_xor` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:bitwise_xor_(other) end

--- t << other.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:bitwise_left_shift(other) end

--- `t:bitwise_left_shift` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:bitwise_left_shift_(other) end

--- t >> other; the sign stays.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:bitwise_right_shift(other) end

--- `t:bitwise_right_shift` into t.
---@param other hone.tensor.Value
---@return hone.Tensor
function Tensor:bitwise_right_shift_(other) end

--- -t.
---@return hone.Tensor
function Tensor:neg() end

--- `t:neg` into t.
---@return hone.Tensor
function Tensor:neg_() end

--- |t|.
---@return hone.Tensor
function Tensor:abs() end

--- `t:abs` into t.
---@return hone.Tensor
function Tensor:abs_() end

--- -1, 0 or 1.
---@return hone.Tensor
function Tensor:sign() end

--- `t:sign` into t.
---@return hone.Tensor
function Tensor:sign_() end

--- t * t.
---@return hone.Tensor
function Tensor:square() end

--- `t:square` into t.
---@return hone.Tensor
function Tensor:square_() end

--- Rounded down.
---@return hone.Tensor
function Tensor:floor() end

--- `t:floor` into t.
---@return hone.Tensor
function Tensor:floor_() end

--- Rounded up.
---@return hone.Tensor
function Tensor:ceil() end

--- `t:ceil` into t.
---@return hone.Tensor
function Tensor:ceil_() end

--- Rounded towards 0.
---@return hone.Tensor
function Tensor:trunc() end

--- `t:trunc` into t.
---@return hone.Tensor
function Tensor:trunc_() end

--- Rounded to nearest, halves to even.
---@return hone.Tensor
function Tensor:round() end

--- `t:round` into t.
---@return hone.Tensor
function Tensor:round_() end

--- What is behind the point.
---@return hone.Tensor
function Tensor:frac() end

--- `t:frac` into t.
---@return hone.Tensor
function Tensor:frac_() end

--- 0 where t is negative.
---@return hone.Tensor
function Tensor:relu() end

--- `t:relu` into t.
---@return hone.Tensor
function Tensor:relu_() end

--- 1 / t.
---@return hone.Tensor
function Tensor:reciprocal() end

--- `t:reciprocal` into t.
---@return hone.Tensor
function Tensor:reciprocal_() end

--- The square root.
---@return hone.Tensor
function Tensor:sqrt() end

--- `t:sqrt` into t.
---@return hone.Tensor
function Tensor:sqrt_() end

--- 1 / sqrt(t).
---@return hone.Tensor
function Tensor:rsqrt() end

--- `t:rsqrt` into t.
---@return hone.Tensor
function Tensor:rsqrt_() end

--- e to the power t.
---@return hone.Tensor
function Tensor:exp() end

--- `t:exp` into t.
---@return hone.Tensor
function Tensor:exp_() end

--- 2 to the power t.
---@return hone.Tensor
function Tensor:exp2() end

--- `t:exp2` into t.
---@return hone.Tensor
function Tensor:exp2_() end

--- exp(t) - 1.
---@return hone.Tensor
function Tensor:expm1() end

--- `t:expm1` into t.
---@return hone.Tensor
function Tensor:expm1_() end

--- The natural logarithm.
---@return hone.Tensor
function Tensor:log() end

--- `t:log` into t.
---@return hone.Tensor
function Tensor:log_() end

--- The logarithm to base 2.
---@return hone.Tensor
function Tensor:log2() end

--- `t:log2` into t.
---@return hone.Tensor
function Tensor:log2_() end

--- The logarithm to base 10.
---@return hone.Tensor
function Tensor:log10() end

--- `t:log10` into t.
---@return hone.Tensor
function Tensor:log10_() end

--- log(1 + t).
---@return hone.Tensor
function Tensor:log1p() end

--- `t:log1p` into t.
---@return hone.Tensor
function Tensor:log1p_() end

--- The sine.
---@return hone.Tensor
function Tensor:sin() end

--- `t:sin` into t.
---@return hone.Tensor
function Tensor:sin_() end

--- The cosine.
---@return hone.Tensor
function Tensor:cos() end

--- `t:cos` into t.
---@return hone.Tensor
function Tensor:cos_() end

--- The tangent.
---@return hone.Tensor
function Tensor:tan() end

--- `t:tan` into t.
---@return hone.Tensor
function Tensor:tan_() end

--- The hyperbolic tangent.
---@return hone.Tensor
function Tensor:tanh() end

--- `t:tanh` into t.
---@return hone.Tensor
function Tensor:tanh_() end

--- The error function.
---@return hone.Tensor
function Tensor:erf() end

--- `t:erf` into t.
---@return hone.Tensor
function Tensor:erf_() end

--- 1 / (1 + exp(-t)).
---@return hone.Tensor
function Tensor:sigmoid() end

--- `t:sigmoid` into t.
---@return hone.Tensor
function Tensor:sigmoid_() end

--- t * sigmoid(t).
---@return hone.Tensor
function Tensor:silu() end

--- `t:silu` into t.
---@return hone.Tensor
function Tensor:silu_() end

--- t * (1 + erf(t / sqrt(2))) / 2.
---@return hone.Tensor
function Tensor:gelu() end

--- `t:gelu` into t.
---@return hone.Tensor
function Tensor:gelu_() end

--- gelu, by its approximation with tanh.
---@return hone.Tensor
function Tensor:gelu_tanh() end

--- `t:gelu_tanh` into t.
---@return hone.Tensor
function Tensor:gelu_tanh_() end

--- Whether it is zero.
---@return hone.Tensor
function Tensor:logical_not() end

--- `t:logical_not` into t.
---@return hone.Tensor
function Tensor:logical_not_() end

--- ~t, of integers or bools.
---@return hone.Tensor
function Tensor:bitwise_not() end

--- `t:bitwise_not` into t.
---@return hone.Tensor
function Tensor:bitwise_not_() end

--- Whether it is NaN.
---@return hone.Tensor
function Tensor:isnan() end

--- Whether it is infinite.
---@return hone.Tensor
function Tensor:isinf() end

--- Whether it is neither infinite nor NaN.
---@return hone.Tensor
function Tensor:isfinite() end

--- Between two bounds, of which one may be nil.
---@param min? hone.tensor.Value
---@param max? hone.tensor.Value
---@return hone.Tensor
function Tensor:clamp(min, max) end

--- `t:clamp` into t.
---@param min? hone.tensor.Value
---@param max? hone.tensor.Value
---@return hone.Tensor
function Tensor:clamp_(min, max) end

--- log(1 + exp(beta * t)) / beta; t itself where beta * t is beyond the threshold.
---@param beta? number
---@param threshold? number
---@return hone.Tensor
function Tensor:softplus(beta, threshold) end

--- `t:softplus` into t.
---@param beta? number
---@param threshold? number
---@return hone.Tensor
function Tensor:softplus_(beta, threshold) end

--- t + weight * (other - t).
---@param other hone.tensor.Value
---@param weight hone.tensor.Value
---@return hone.Tensor
function Tensor:lerp(other, weight) end

--- `t:lerp` into t.
---@param other hone.tensor.Value
---@param weight hone.tensor.Value
---@return hone.Tensor
function Tensor:lerp_(other, weight) end

--- A number where a mask holds.
---@param mask hone.Tensor
---@param value number|boolean|hone.Tensor
---@return hone.Tensor
function Tensor:masked_fill(mask, value) end

--- `t:masked_fill` into t.
---@param mask hone.Tensor
---@param value number|boolean|hone.Tensor
---@return hone.Tensor
function Tensor:masked_fill_(mask, value) end

return tensor
