"""NVIDIA's run-time compiler from Python: found, asked what it knows, and made to compile.

For tests alone; the program has its own way to it (runtime/nvrtc.h), with the same options.
"""

import ctypes
import glob
import os
import re
import struct
import time

OPTIONS = ["--std=c++17", "--fmad=false", "--prec-div=true", "--prec-sqrt=true", "--ftz=false"]
INNER = ["", "lib64", "lib", "nvidia/cuda_nvrtc/lib", "nvidia/cu13/lib", "cuda_nvrtc/lib"]
PLACES = ["/usr/local/cuda", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/opt/cuda"]


def find(build=None):
    """The file of the library, or None: RXN_NVRTC (a file or a folder), what `./dev nvrtc` fetched, CUDA's."""
    places = [os.environ["RXN_NVRTC"]] if os.environ.get("RXN_NVRTC") else []
    if not places:
        fetched = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build")
        places = [os.path.join(b, "nvrtc") for b in (build, fetched) if b]
        places += [os.environ[v] for v in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(v)] + PLACES
    for place in places:
        if os.path.isfile(place):
            return place
        for inner in INNER:
            found = sorted(glob.glob(os.path.join(place, inner, "libnvrtc.so*")))
            found = [f for f in found if re.search(r"libnvrtc\.so(\.\d+)*$", f)]
            if found:
                return found[0]
    return None


class Nvrtc:
    def __init__(self, path):
        self.path = path
        self.dll = ctypes.CDLL(path)
        major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self.dll.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.version = (major.value, minor.value)
        self.dll.nvrtcGetNumSupportedArchs(ctypes.byref(count))
        known = (ctypes.c_int * count.value)()
        self.dll.nvrtcGetSupportedArchs(known)
        self.architectures = list(known)

    def compile(self, source, architecture, name="kernel.cu"):
        """(the cubin, or None where it does not compile; the log; seconds)"""
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        self.dll.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None)
        options = ["--gpu-architecture=sm_%d" % architecture, "--ptxas-options=-v"] + OPTIONS
        words = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
        began = time.perf_counter()
        result = self.dll.nvrtcCompileProgram(program, len(options), words)
        seconds = time.perf_counter() - began
        self.dll.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value + 1)
        self.dll.nvrtcGetProgramLog(program, log)
        code = None
        if result == 0:
            self.dll.nvrtcGetCUBINSize(program, ctypes.byref(size))
            code = ctypes.create_string_buffer(size.value)
            self.dll.nvrtcGetCUBIN(program, code)
            code = code.raw
        self.dll.nvrtcDestroyProgram(ctypes.byref(program))
        return code, log.value.decode(errors="replace"), seconds


def figures(log):
    """Per function of the text, what ptxas says of it. (It counts spills to shared memory too, and below zero.)"""
    out, entry = {}, None
    for line in log.splitlines():
        found = re.search(r"Compiling entry function '(\w+)'", line)
        if found:
            entry = out.setdefault(found.group(1), {"registers": 0, "stack": 0, "spill": 0, "shared": 0})
        if entry is None:
            continue
        found = re.search(r"(\d+) bytes stack frame, (-?\d+) bytes spill stores, (-?\d+) bytes spill loads", line)
        if found:
            entry["stack"] = int(found.group(1))
            entry["spill"] = max(0, int(found.group(2))) + max(0, int(found.group(3)))
        for what, pattern in (("registers", r"Used (\d+) registers"), ("shared", r"(\d+) bytes smem"), ("stack", r"(\d+) bytes cumulative stack")):
            found = re.search(pattern, line)
            if found:
                entry[what] = max(entry[what], int(found.group(1)))
    return out


def code_bytes(cubin):
    """Per function the size of its machine code: the sections .text.NAME of an ELF file."""
    table, size, count, names = struct.unpack_from("<Q", cubin, 40)[0], *struct.unpack_from("<HHH", cubin, 58)
    rows = [struct.unpack_from("<IIQQQQ", cubin, table + k * size) for k in range(count)]
    out = {}
    for name, _, _, _, _, length in rows:
        start = rows[names][4] + name
        text = cubin[start : cubin.index(b"\0", start)].decode()
        if text.startswith(".text."):
            out[text[len(".text.") :]] = length
    return out
