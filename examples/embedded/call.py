#!/usr/bin/env python3
"""The dimerisation inside of a Python program: a shared library, ctypes and numpy. Usage: call.py libdimer.so"""

import ctypes
import sys

import numpy

PARAMS, COLUMNS = 2, 2  # as dimer.h has them
KON, D = 0, 1

Doubles = numpy.ctypeslib.ndpointer(dtype=numpy.float64, flags="C_CONTIGUOUS")


class Request(ctypes.Structure):
    _fields_ = [
        ("parameters", ctypes.c_void_p),
        ("inputs", ctypes.c_void_p),
        ("seed", ctypes.c_uint64),
        ("first", ctypes.c_uint64),
        ("trajectories", ctypes.c_uint64),
        ("times", ctypes.c_void_p),
        ("time_count", ctypes.c_uint32),
        ("threads", ctypes.c_uint32),
        ("cancel", ctypes.c_void_p),
    ]


library = ctypes.CDLL(sys.argv[1])
library.dimerisation_open.restype = ctypes.c_void_p
library.dimerisation_close.argtypes = [ctypes.c_void_p]
library.dimerisation_error.argtypes = [ctypes.c_void_p]
library.dimerisation_error.restype = ctypes.c_char_p
library.dimerisation_parameters.argtypes = [ctypes.c_void_p, Doubles]
library.dimerisation_trajectories.argtypes = [ctypes.c_void_p, ctypes.POINTER(Request), Doubles]

error = ctypes.create_string_buffer(500)
model = library.dimerisation_open(0, error, len(error))
if not model:
    sys.exit(error.value.decode())

parameters = numpy.empty(PARAMS)
library.dimerisation_parameters(model, parameters)
times = numpy.linspace(0, 40, 5)
samples = numpy.empty((1000, len(times), COLUMNS))
for factor in (0.5, 1, 2):
    changed = parameters.copy()
    changed[KON] *= factor
    request = Request(changed.ctypes.data, None, 1, 0, len(samples), times.ctypes.data, len(times), 0, None)
    if library.dimerisation_trajectories(model, request, samples) != 0:
        sys.exit(library.dimerisation_error(model).decode())
    quantiles = numpy.quantile(samples[:, -1, D], (0.05, 0.5, 0.95))
    print("kon = %.4f: dimers at 40, quantiles 5, 50 and 95 %%: %g %g %g" % (changed[KON], *quantiles))
library.dimerisation_close(model)
