"""Runs solutions in Python, Triton and TileLang, and torch's extensions: python3 worker.py LIBRARY FD [MODULE...]

LIBRARY is libhone_worker.so, whose loop serves the judge at the other end of the socket FD and calls the hooks
below; MODULEs are imported ahead of time, as torch is. Tensors lie in the judge's memory: nothing is copied on the
way to a solution."""

import ctypes
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import sys
import traceback
import typing

sys.dont_write_bytecode = True  # what was built stays as it was built
del sys.path[0]  # this file's folder is nobody's package

try:
    import torch
    NO_TORCH = None
except Exception:  # a broken installation fails in many ways
    torch, NO_TORCH = None, traceback.format_exc()

COMPILE_ERROR, RUNTIME_ERROR, OUT_OF_MEMORY = 1, 2, 3
TENSOR, INTEGER, FLOAT, BOOL = 1, 2, 3, 4
CPU, CUDA = 1, 2
PID = os.getpid()

# ---- worker.h ----------------------------------------------------------------------------------------------------


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("rank", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class Value(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_int32), ("is_output", ctypes.c_int32), ("tensor", Tensor), ("integer", ctypes.c_int64),
        ("number", ctypes.c_double), ("dtype", ctypes.c_char_p),
    ]


LOAD = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
PREPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(Value), ctypes.c_int,
                           ctypes.c_int)
RUN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
FINISH = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
FORGET = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Language(ctypes.Structure):
    _fields_ = [("context", ctypes.c_void_p), ("load", LOAD), ("prepare", PREPARE), ("run", RUN),
                ("finish", FINISH), ("forget", FORGET)]


def open_library(path):
    library = ctypes.CDLL(path)
    library.hone_worker_fail.argtypes = [ctypes.c_int, ctypes.c_char_p]
    library.hone_worker_fail.restype = None
    library.hone_worker_take.argtypes = [
        ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int,
        ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(ctypes.c_int64), ctypes.c_int, ctypes.c_void_p,
    ]
    library.hone_worker_take.restype = None
    library.hone_worker_plain.argtypes, library.hone_worker_plain.restype = [ctypes.c_void_p, ctypes.c_int], None
    library.hone_worker_serve.argtypes = [ctypes.c_int, ctypes.POINTER(Language)]
    library.hone_worker_serve.restype = ctypes.c_int
    return library


# ---- tensors over the judge's memory -----------------------------------------------------------------------------

FLOAT4 = "float4_e2m1fn_x2"  # torch's name for a pair of the format's float4_e2m1


def torch_dtype(name):
    dtype = getattr(torch, FLOAT4 if name == "float4_e2m1" else name, None)
    if dtype is None:
        raise TypeError("torch %s has no dtype for %s" % (torch.__version__, name))
    return dtype


def dtype_name(dtype):
    name = str(dtype).split(".")[-1]
    return "float4_e2m1" if name == FLOAT4 else name


class Managed(ctypes.Structure):
    """DLManagedTensor, with the shape that it points to behind it."""
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
                ("size", ctypes.c_int64), ("stride", ctypes.c_int64)]


LIBC = ctypes.CDLL(None)
LIBC.malloc.argtypes, LIBC.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
NEW_CAPSULE = ctypes.pythonapi.PyCapsule_New
NEW_CAPSULE.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
NEW_CAPSULE.restype = ctypes.py_object


ADDRESS = ctypes.c_void_p.from_address


class Bytes:
    """So many bytes on a device, wherever they lie."""

    def __init__(self, size, device_type, device_id):
        self.form = Managed(size=size, stride=1)
        self.form.deleter = ctypes.cast(LIBC.free, ctypes.c_void_p).value
        tensor = self.form.tensor
        tensor.device_type, tensor.device_id = device_type, device_id
        tensor.rank, tensor.code, tensor.bits, tensor.lanes = 1, 1, 8, 1

    def at(self, address):
        """Memory as a tensor of bytes, by DLPack. The description is freed, by free() itself, with the last tensor that
        refers to it: a solution may keep one for longer than we do."""
        at = LIBC.malloc(ctypes.sizeof(Managed))
        if not at:
            raise MemoryError
        ctypes.memmove(at, ctypes.addressof(self.form), ctypes.sizeof(Managed))
        ADDRESS(at + Tensor.data.offset).value = address
        ADDRESS(at + Tensor.shape.offset).value = at + Managed.size.offset
        ADDRESS(at + Tensor.strides.offset).value = at + Managed.stride.offset
        return torch.utils.dlpack.from_dlpack(NEW_CAPSULE(at, b"dltensor", None))


def device_of(t):
    return torch.device("cuda", t.device_id) if t.device_type == CUDA else torch.device("cpu")


class Form:
    """What a tensor is in all calls of a request, wherever it lies in one of them."""

    def __init__(self, value):
        t = value.tensor
        self.dtype, self.device = torch_dtype(value.dtype.decode()), device_of(t)
        self.shape, self.strides = tuple(t.shape[:t.rank]), tuple(t.strides[:t.rank])
        elements = 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides))
        self.bytes = Bytes(elements * (t.bits * t.lanes // 8), t.device_type, t.device_id)

    def make(self, value):
        if 0 in self.shape:
            return torch.empty_strided(self.shape, self.strides, dtype=self.dtype, device=self.device)
        storage = self.bytes.at(value.tensor.data + value.tensor.byte_offset).untyped_storage()
        return torch.empty(0, dtype=self.dtype, device=self.device).set_(storage, 0, self.shape, self.strides)


class Plain:
    """What is no tensor, the same in all calls."""

    def __init__(self, value):
        made = {INTEGER: value.integer, FLOAT: value.number, BOOL: bool(value.integer)}
        self.made = made.get(value.kind)

    def make(self, _):
        return self.made


def form_of(value):
    return Form(value) if value.kind == TENSOR else Plain(value)


# ---- loading -----------------------------------------------------------------------------------------------------


class Refused(Exception):
    """What is wrong with a solution, without a traceback through our own code."""


def module_name(artefact):
    stem = os.path.splitext(artefact["entry"])[0]
    return ".".join([artefact["package"]] + [part for part in stem.split("/") if part not in ("", ".")])


def load_module(artefact):
    if artefact.get("library"):
        loader = importlib.machinery.ExtensionFileLoader(artefact["package"], artefact["library"])
        spec = importlib.util.spec_from_file_location(artefact["package"], artefact["library"], loader=loader)
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        return module
    if artefact["directory"] not in sys.path:
        sys.path.insert(0, artefact["directory"])
    importlib.invalidate_caches()
    return importlib.import_module(module_name(artefact))


def find_function(module, artefact):
    function = module
    for name in artefact["symbol"].split("."):
        if not hasattr(function, name):
            raise Refused("%s defines no '%s'" % (artefact["entry"], artefact["symbol"]))
        function = getattr(function, name)
    if not callable(function):
        raise Refused("'%s' in %s is not callable" % (artefact["symbol"], artefact["entry"]))
    return function


def returned_count(function, signature):
    """How many values the annotation promises; None where it does not say."""
    annotation = signature.return_annotation
    if isinstance(annotation, str):
        try:
            annotation = typing.get_type_hints(function).get("return", inspect.Signature.empty)
        except Exception:  # a name that only a type checker knows
            return None
    if annotation is inspect.Signature.empty or annotation is typing.Any:
        return None
    if annotation is None or annotation is type(None):
        return 0
    if typing.get_origin(annotation) is tuple:
        parts = typing.get_args(annotation)
        return None if Ellipsis in parts else len([part for part in parts if part != ()])
    return None if annotation in (tuple, list, typing.Tuple, typing.List) or typing.get_origin(annotation) else 1


def check_signature(function, artefact):
    inputs, outputs, dps = artefact["inputs"], artefact["outputs"], artefact["dps"]
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a function in C tells nothing
        return
    count = inputs + (outputs if dps else 0)
    try:
        signature.bind(*[None] * count)
    except TypeError as problem:
        raise Refused("%s%s cannot be called with %d arguments (%d inputs%s): %s" % (
            artefact["symbol"], signature, count, inputs, ", %d outputs" % outputs if dps else "", problem)) from None
    promised = None if dps else returned_count(function, signature)
    if promised is not None and promised != outputs:
        raise Refused("%s%s returns %d values by its annotation, the definition has %d outputs" % (
            artefact["symbol"], signature, promised, outputs))


# ---- what was returned -------------------------------------------------------------------------------------------

def type_name(value):
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)


TENSOR_TYPE, STRIDED = (torch.Tensor, torch.strided) if torch is not None else (None, None)


def unready(tensor):
    """Why a tensor's elements are not simply in memory; None when they are."""
    if tensor.layout is not torch.strided:
        return str(tensor.layout)
    if tensor.is_quantized:
        return "quantized"
    if tensor.is_conj() or tensor.is_neg():
        return "not resolved"
    if tensor._is_zerotensor():
        return "zero tensor"
    return None


class Place:
    """What is expected in the place of an output."""

    def __init__(self, value):
        t = value.tensor
        self.name, self.device = value.dtype.decode(), device_of(t)
        self.dtype = torch_dtype(self.name)
        self.shape, self.index = torch.Size(t.shape[:t.rank]), self.device.index if t.device_type == CUDA else -1

    def fits(self, tensor):
        """Is it a plain tensor of just this form? Its elements are in memory then, one behind the other."""
        return type(tensor) is TENSOR_TYPE and tensor.layout is STRIDED and tensor.dtype is self.dtype and tensor.shape == self.shape \
            and tensor.get_device() == self.index and tensor.is_contiguous() and not tensor.is_neg() \
            and tensor.data_ptr() != 0


def ready_triton():
    """Triton names what it compiles by a hash over all of itself, hundreds of megabytes: made before a solution's first
    call. Older ones have it elsewhere, or not."""
    for name in ("triton.runtime.cache", "triton.compiler.compiler"):
        key = getattr(sys.modules.get(name), "triton_key", None)
        if callable(key):
            key()
            return


class Solution:
    """The hooks, for one solution at a time."""

    def __init__(self, library):
        self.library = library
        self.function = self.artefact = None
        self.stream = self.device = None
        self.arguments, self.outputs, self.kept, self.addresses = (), [], [], None
        self.forms = None  # of the arguments in the request at hand

    def load(self, text):
        if NO_TORCH:
            raise Refused("this solution needs PyTorch in %s, which cannot be imported: `pip install torch`\n\n%s"
                          % (sys.executable, NO_TORCH))
        self.artefact = json.loads(text)
        function = find_function(load_module(self.artefact), self.artefact)
        check_signature(function, self.artefact)
        self.function = function
        ready_triton()

    def use_device(self, values):
        for value in values:
            if value.kind == TENSOR and value.tensor.device_type == CUDA:
                if self.device != value.tensor.device_id:
                    self.device = value.tensor.device_id
                    torch.cuda.set_device(self.device)
                return

    def prepare_request(self, values, inputs):
        self.use_device(values)
        self.forms = [form_of(value) for value in (values if self.artefact["dps"] else values[:inputs])]
        self.outputs = [Place(value) for value in values[inputs:]]

    def prepare(self, call, values, inputs, outputs):
        values = values[:inputs + outputs]
        if self.forms is None:
            self.prepare_request(values, inputs)
        self.kept = []
        self.arguments = tuple([form.make(value) for form, value in zip(self.forms, values)])
        self.addresses = (ctypes.c_void_p * max(outputs, 1))()
        self.library.hone_worker_plain(ctypes.addressof(self.addresses), outputs)

    def use_stream(self, stream):
        self.stream = stream
        if self.device is None:
            return
        device = torch.device("cuda", self.device)
        queue = torch.cuda.ExternalStream(stream, device=device) if stream else torch.cuda.default_stream(device)
        torch.cuda.set_stream(queue)

    def run(self, call, stream):
        if stream != self.stream:
            self.use_stream(stream)
        result = self.function(*self.arguments)
        if self.artefact["dps"]:
            return
        values = result if isinstance(result, (tuple, list)) else (result,)
        places, addresses, of = self.outputs, self.addresses, len(values)
        if of == len(places) and all(map(Place.fits, places, values)):
            for output, value in enumerate(values):
                addresses[output] = value.data_ptr()
            self.kept = values
            return
        addresses[0] = None
        if of != len(places):
            places = [None] * of
        self.kept = [self.take(call, output, of, value, place)
                     for output, (value, place) in enumerate(zip(values, places))]

    def take(self, call, output, of, value, place):
        """Tell the loop, while the clock runs, where a result lies: it copies the elements when the call is over, and
        what is no tensor by then, or is one whose elements are still to be made, is not copied. Returns what holds
        them."""
        if type(value) in (bool, int, float) and place is not None:  # a number is a tensor without dimensions
            value = torch.tensor(value, dtype=place.dtype, device=place.device)
        if type(value) is not TENSOR_TYPE:
            return self.told(call, output, of, type_name(value))
        if unready(value):
            return self.told(call, output, of, "Tensor (%s)" % unready(value))
        device = {"cpu": CPU, "cuda": CUDA}.get(value.device.type, 0)
        self.told(call, output, of, "Tensor", dtype_name(value.dtype), value.shape, value.stride(), device,
                  value.data_ptr())
        return value

    def told(self, call, output, of, kind, dtype="", shape=None, strides=(), device=0, data=None):
        rank = -1 if shape is None else len(shape)
        sizes = (ctypes.c_int64 * max(rank, 1))(*(shape or ()))
        steps = (ctypes.c_int64 * max(rank, 1))(*strides)
        self.library.hone_worker_take(call, output, of, kind.encode(), dtype.encode(), rank, sizes, steps, device, data)

    def forget(self):
        self.arguments, self.outputs, self.kept = (), [], []  # the addresses stay: the loop may look at them
        self.forms = None


# ---- hooks -------------------------------------------------------------------------------------------------------


def code_of(problem, otherwise):
    if isinstance(problem, MemoryError):
        return OUT_OF_MEMORY
    if torch is not None and isinstance(problem, torch.cuda.OutOfMemoryError):
        return OUT_OF_MEMORY
    return otherwise


def trace_of(problem):
    """The traceback from where it leaves this file."""
    if isinstance(problem, Refused):
        return str(problem)
    frames = problem.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(problem), problem, frames or problem.__traceback__)).rstrip()


def guarded(library, hook, otherwise):
    """A hook as C calls it: whatever is raised becomes a failure with its traceback."""

    def call(_, *arguments):
        try:
            hook(*arguments)
            status = 0
        except BaseException as problem:  # SystemExit and KeyboardInterrupt are a solution's failures too
            library.hone_worker_fail(code_of(problem, otherwise), trace_of(problem).encode("utf-8", "replace"))
            status = -1
        if os.getpid() != PID:  # a child that the solution forked: there is one worker
            os._exit(0)
        return status

    return call


def flush(hook):
    """What a solution prints is in the log before the judge reads it."""

    def call(*arguments):
        try:
            hook(*arguments)
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except Exception:
                    pass

    return call


def main():
    path, fd, ahead = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    for name in ahead:
        try:
            importlib.import_module(name)
            ready_triton()
        except Exception:  # a solution that needs it will say so
            pass
    library = open_library(path)
    solution = Solution(library)
    language = Language(
        None,
        LOAD(guarded(library, flush(solution.load), COMPILE_ERROR)),
        PREPARE(guarded(library, solution.prepare, RUNTIME_ERROR)),
        RUN(guarded(library, solution.run, RUNTIME_ERROR)),
        FINISH(),  # a solution can reach what is here: results are taken while the clock runs
        FORGET(lambda _: flush(solution.forget)()),
    )
    status = library.hone_worker_serve(fd, ctypes.byref(language))
    os._exit(status)


if __name__ == "__main__":
    main()
