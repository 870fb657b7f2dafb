#!/usr/bin/env python3
"""Programs that `rxn build --cuda` makes, on a machine that has no GPU.

    programs.py --rxn PATH --cuda LIBCUDA --nvrtc LIBNVRTC [--cache DIR] [--build DIR]

They are built with the pretended compiler and run on the pretended GPU where there is no compiler at all: the output has
to be that of `rxn --device cuda`, byte by byte. What needs NVIDIA's own compiler is skipped where it is not at hand.
"""

import json
import os
import re
import struct
import sys

import nvrtc
from cases import without
from gpu import ESTIMATORS, NEEDS, Fakes, model_path
from host import need_compiler

from harness import SMALL, Run, Skipped, check_equal, check_in, main

NOWHERE = {"RXN_NVRTC": "/nowhere/libnvrtc.so"}
FIT = SMALL + """fit {
  data "data.csv"
  loss mse(mean(A), data.A)
  estimator path
  optimizer adam
  trajectories 100
  steps 3
}
"""


class Builder:
    """rxn with the pretended compiler, and its programs without any."""

    def __init__(self, program):
        if program.device:
            raise Skipped("a build without LLVM does not compile ahead")
        need_compiler()
        self.program = program
        cache = program.arguments.cache or os.path.join(program.folder, "modules")
        self.fakes = Fakes(program.arguments.cuda, program.arguments.nvrtc, cache, optimize=0)  # they run briefly

    def environment(self, options="", **more):
        return self.fakes.environment(options, self.program.folder, **more)

    def rxn(self, *arguments, options="", cwd=None, **more):
        return self.program.call(*arguments, env=self.environment(options, **more), cwd=cwd, timeout=300)

    def build(self, model, *flags, name="program"):
        path = self.program.file(name)
        run = self.rxn("build", model, "-o", path, "--quiet", *flags)
        check_equal((run.status, run.err), (0, ""), "building")
        return path

    def run(self, path, *arguments, options="", cwd=None, **more):
        words = [path] + [str(a) for a in arguments]
        return Run(words, env=self.environment(options, **dict(NOWHERE, **more)), cwd=cwd, timeout=300)

    def same(self, path, model, command, *arguments, options=""):
        ours = self.rxn(command, model, *arguments, "--device", "cuda", options=options)
        theirs = self.run(path, command, *arguments, "--device", "cuda", options=options)
        what = "%s %s %s" % (model, command, " ".join(map(str, arguments)))
        check_equal((theirs.status, theirs.err), (ours.status, ours.err), what)
        check_equal(theirs.out, ours.out, what)
        check_equal(ours.status, 0, str(ours))
        return ours


def test_runs(program):
    """A thread, a warp and a block a trajectory; events; inputs; tables."""
    b = Builder(program)
    for name in ("dimerisation", "hopping_line", "dosing", "day_night", "gene_readout", "cell_division"):
        path = b.build(model_path(name), "--cuda", "sm_80,sm_90")
        more = NEEDS.get(name, [])
        for arguments in (["-n", 40, "--each"], ["-n", 150, "--precision", "f32"]):
            b.same(path, model_path(name), "run", *arguments, *more, "-o", "-", "--quiet")


def test_derivatives(program):
    """All estimators; tapes have the same size on every GPU."""
    b = Builder(program)
    wishes = ["--of", "P", "--at", "3", "--estimator", ",".join(ESTIMATORS)]
    path = b.build("dimerisation", "--cuda", "sm_90", *wishes)
    flags = ["-n", 30, "--pilot", 20, "-o", "-", "--quiet"]
    first = b.same(path, "dimerisation", "grad", *wishes, *flags)
    alone = b.run(path, "grad", "--device", "cuda", *flags, options="processors=7,memory=96M")
    check_equal((alone.status, alone.out), (0, first.out), "what it was built for, on another GPU")
    tiny = b.build("dimerisation", "--cuda", "sm_90", "--cuda-tape", "1K", *wishes[:-1], "path-adjoint", name="tiny")
    some = b.same(tiny, "dimerisation", "grad", *wishes[:-1], "path-adjoint", *flags)
    assert some.out != first.out
    # So short that a trajectory does not fit, with the words for it.
    model = program.file("small.rxn", SMALL)
    none = b.build(model, "--cuda", "sm_90", "--cuda-tape", "64", "--of", "A", "--at", "2", "--estimator", "path-adjoint", name="none")
    run = b.run(none, "grad", "--device", "cuda", *flags)
    check_equal(run.status, 1)
    check_in("the memory for the backward pass is full", run.err)
    check_in("note: 'rxn build --cuda' with --cuda-tape SIZE gives it more", run.err)
    run = b.run(path, "grad", "--device", "cuda", "--tape-memory", "1M")
    check_equal((run.status, run.err), (2, "error: the tapes of this program were given their size when it was built: "
                                           "'rxn build --tape BYTES', on GPUs '--cuda-tape BYTES'\n"))


def test_fits(program):
    b = Builder(program)
    model = program.file("fit.rxn", FIT)
    program.file("data.csv", "time,A\n0,50\n1,20\n2,9\n")
    path = b.build(model, "--cuda", "sm_90")
    flags = ["--device", "cuda", "--quiet", "-o"]
    ours = b.rxn("fit", "fit.rxn", *flags, "a.json", cwd=program.folder)
    theirs = b.run(path, "fit", *flags, "b.json", cwd=program.folder)
    check_equal(ours.status, 0, str(ours))
    check_equal((theirs.status, theirs.err), (ours.status, ours.err))
    ours, theirs = (json.load(open(program.file(f))) for f in ("a.json", "b.json"))
    check_equal(without(theirs), without(ours))
    traced = b.run(path, "fit", *flags, "c.json", options="trace", cwd=program.folder)
    check_in("cuLaunchKernel", traced.out + traced.err)


def test_which_code(program):
    """That of the GPU, that of its major number, PTX; and where there is none, what to do."""
    b = Builder(program)
    path = b.build("sir", "--cuda", "sm_90,sm_80,sm_90")
    command = ["run", "--device", "cuda", "-n", 30, "-o", "-", "--quiet"]
    expected = b.rxn("run", "sir", *command[1:]).out
    notes = {
        90: "",
        80: "",
        86: "",
        100: "note: there is no machine code for GPU 0 (pretended GPU 0, sm_100): the driver compiles PTX for sm_80\n",
    }
    for architecture, note in notes.items():
        run = b.run(path, *command, options="arch=%d" % architecture)
        check_equal((run.status, run.out, run.err), (0, expected, note), "sm_%d" % architecture)
    run = b.run(path, *command, options="arch=75")
    check_equal((run.status, run.out), (1, ""))
    check_in("error: this program holds no code that GPU 0 (pretended GPU 0, sm_75) can run, only machine code for sm_90, sm_80 and PTX "
             "for sm_80 and newer: build it with 'rxn build --cuda sm_75', or run it on the processor; nor can it be compiled here: ", run.err)
    run = b.run(path, *command, options="arch=75", RXN_NVRTC=b.fakes.nvrtc)
    check_equal((run.status, run.out, run.err), (0, expected, "note: this program holds no code for GPU 0 (pretended GPU 0, sm_75), so "
                                                              "NVRTC compiles it; 'rxn build --cuda sm_75' puts it in\n"))


def test_what_it_was_not_built_for(program):
    b = Builder(program)
    model = program.file("small.rxn", SMALL)
    wish = ["grad", "--of", "A", "--at", "1", "--estimator", "score", "--device", "cuda", "-n", 20, "-o", "-", "--quiet"]
    expected = b.rxn(wish[0], model, *wish[1:])
    for flags, note in (
        (["--cuda", "sm_90"], "note: the program holds code for GPUs, but not for this: 'rxn build MODEL -o FILE --cuda sm_90' with the "
                              "--of, --at, --wrt, --estimator, --method of this call puts it in\n"),
        ([], "note: a program needs no NVRTC if it is built with 'rxn build MODEL -o FILE --cuda sm_90'\n"),
    ):
        path = b.build(model, *flags)
        run = b.run(path, *wish)
        check_equal((run.status, run.out), (1, ""))
        check_in("error: RXN_NVRTC is '/nowhere/libnvrtc.so', which is not there", run.err)
        check_in(note, run.err)
        run = b.run(path, *wish, RXN_NVRTC=b.fakes.nvrtc)
        check_equal((run.status, run.out, run.err), (0, expected.out, expected.err))


def test_auto(program):
    """The GPU where there is code for it; else the processor, which needs no compiler."""
    b = Builder(program)
    flags = ["-n", 50000, "--at", "0.02", "--quiet", "--json", "-"]
    for cuda, device in ((["--cuda", "sm_90"], "cuda"), (["--cuda", "sm_100"], "cpu"), ([], "cpu")):
        path = b.build("sir", *cuda)
        run = b.run(path, "run", *flags)
        check_equal((run.status, run.err), (0, ""))
        check_equal(json.loads(run.out)["device"].split(":")[0], device, " ".join(cuda))


def test_info(program):
    b = Builder(program)
    model = program.file("small.rxn", SMALL)
    path = b.build(model, "--cuda", "sm_80,sm_90", "--of", "A", "--at", "1", "--estimator", "score")
    run = b.run(path, "info")
    lines = run.out[run.out.index("kernels for GPUs"):].splitlines()
    check_equal(lines[0], "kernels for GPUs (3), compiled by NVRTC 12.4")
    check_equal([line for line in lines[1:13] if not line.startswith("    ")], ["  run", "  run --precision f32", "  grad --estimator score"])
    check_equal([line[:25] for line in lines[2:5]], ["    sm_80                ", "    sm_90                ", "    PTX, sm_80 or newer  "])
    check_equal("GPU" in b.run(b.build(model), "info").out, False)
    said = b.rxn("build", model, "-o", path, "--cuda", "sm_80,sm_90").out
    check_in(": small, 2 kernels for ", said)
    check_in(" and 2 for sm_80,sm_90; ", said)


def test_refusals(program):
    b = Builder(program)
    model = program.file("small.rxn", SMALL)
    out = program.file("out", "precious\n")
    known = "note: NVRTC 12.4 makes code for sm_75, sm_90\n"
    cases = [
        (["--cuda", "sm_91"], 2, "error: --cuda takes no 'sm_91'\n" + known),
        (["--cuda", "sm_90,ampere"], 2, "error: --cuda takes no 'ampere'\n" + known),
        (["--cuda", "sm_90a"], 2, "error: --cuda takes no 'sm_90a'\n" + known),
        (["--cuda", ""], 2, "error: --cuda takes no ''\n" + known),
        (["--cuda", "sm_90", "--static"], 2, "error: --cuda does not go with --static: what is linked without shared libraries cannot open the driver\n"),
        (["--cuda", "sm_90", "--emit", "lib"], 2, "error: --cuda goes with programs, and with --emit ptx and cubin\n"),
        (["--cuda", "sm_90", "--emit", "cuda"], 2, "error: --cuda goes with programs, and with --emit ptx and cubin\n"),
        (["--cuda", "sm_75,sm_90", "--emit", "cubin"], 2, "error: --emit cubin is for one architecture, not 2\n"),
        (["--cuda-tape", "1M"], 2, "error: --cuda-tape goes with --cuda\n"),
        (["--cuda", "sm_90", "--cuda-tape", "lots"], 2, "error: --cuda-tape takes a number of bytes as 500K or 16M, not 'lots'\n"),
    ]
    for flags, status, expected in cases:
        run = b.rxn("build", model, "-o", out, *flags, options="archs=75:90")
        check_equal((run.status, run.out, run.err), (status, "", expected), " ".join(flags))
    for flags, note in ((["--cuda", "sm_90"], "a program that is built without --cuda has its kernels compiled where it runs, by the NVRTC there"),
                        (["--emit", "ptx"], "--emit cuda writes what NVRTC would compile")):
        run = b.rxn("build", model, "-o", out, *flags, **NOWHERE)
        check_equal((run.status, run.err), (1, "error: RXN_NVRTC is '/nowhere/libnvrtc.so', which is not there: set it to libnvrtc.so or its folder, "
                                               "or unset it\nnote: %s\n" % note))
    run = b.rxn("build", model, "-o", out, "--cuda", "sm_90", options="fail_compile")
    check_equal(run.status, 3)
    check_in("this compiler compiles nothing", run.err)
    check_equal(open(out).read(), "precious\n", "a failure leaves what was there")


def test_emits(program):
    b = Builder(program)
    model = program.file("small.rxn", SMALL)
    ptx = b.rxn("build", model, "--emit", "ptx").out
    head = "// PTX of the pretended compiler\n"
    check_equal(ptx[: len(head)], head)
    text = b.rxn("build", model, "--emit", "cuda").out
    check_equal("\0" in ptx, False)
    check_in("rxn_kernel(const RxnLaunch launch)", text)
    other = b.rxn("build", model, "--emit", "ptx", "--of", "A", "--at", "1", "--estimator", "path-adjoint").out
    assert other != ptx
    longer = b.rxn("build", model, "--emit", "ptx", "--of", "A", "--at", "1", "--estimator", "path-adjoint", "--cuda-tape", "1M").out
    assert longer != other, "the tape is that of GPUs"
    path = program.file("small.cubin")
    check_equal(b.rxn("build", model, "--emit", "cubin", "--cuda", "sm_86", "-o", path).status, 0)
    check_equal(open(path, "rb").read(4), b"\x7fELF")


def real_compiler(program):
    if program.device:
        raise Skipped("a build without LLVM does not compile ahead")
    path = nvrtc.find(program.arguments.build)
    if not path:
        raise Skipped("NVRTC is not at hand; get it with `./dev nvrtc`, or name it in RXN_NVRTC")
    compiler = nvrtc.Nvrtc(path)
    if compiler.version < (12, 0):
        raise Skipped("NVRTC %d.%d is too old" % compiler.version)
    return compiler, {"RXN_NVRTC": path}


def test_the_real_compiler(program):
    """PTX says for which GPUs it is; a cubin is an ELF file of NVIDIA's machine; a program holds what was asked for."""
    compiler, environment = real_compiler(program)
    model = program.file("small.rxn", SMALL)
    wanted = [a for a in (80, 90, 120) if a in compiler.architectures] or compiler.architectures[-1:]
    for architecture in wanted:
        name = "sm_%d" % architecture
        ptx = program.good("build", model, "--emit", "ptx", "--cuda", name, env=environment).out
        directives = [line for line in ptx.splitlines() if line and not line.startswith("//")]
        assert directives[0].startswith(".version "), ptx[:400]
        check_equal(directives[1], ".target " + name)
        check_in(".visible .entry rxn_kernel(", ptx)
        path = program.file("small.cubin")
        program.good("build", model, "--emit", "cubin", "--cuda", name, "-o", path, env=environment)
        with open(path, "rb") as f:
            code = f.read()
        check_equal((code[:4], struct.unpack_from("<H", code, 18)[0]), (b"\x7fELF", 190), "ELF, of the machine EM_CUDA")
        flags = struct.unpack_from("<I", code, 48)[0]
        assert architecture in [flags >> shift & 0xff for shift in (0, 8, 16)], "flags %x, not of %s" % (flags, name)
        check_in(b"rxn_kernel", code)
    path = program.file("program")
    names = ",".join("sm_%d" % a for a in wanted)
    program.good("build", model, "-o", path, "--cuda", names, "--of", "A", "--at", "1", "--estimator", "path,score", env=environment)
    info = Run([path, "info"]).out
    check_in("kernels for GPUs (4), compiled by NVRTC %d.%d\n" % compiler.version, info)
    for architecture in wanted:
        rows = re.findall(r"^    sm_%d +[0-9,]+ bytes$" % architecture, info, re.M)
        check_equal(len(rows), 4, "kernels for sm_%d" % architecture)
    run = program.bad(2, "build", model, "-o", path, "--cuda", "sm_1", env=environment)
    check_in(", ".join("sm_%d" % a for a in compiler.architectures), run.err)


def arguments_of(parser):
    parser.add_argument("--cuda", required=True, help="the pretended driver")
    parser.add_argument("--nvrtc", required=True, help="the pretended NVRTC")
    parser.add_argument("--cache", help="where to keep what was compiled for it")
    parser.add_argument("--build", help="where `./dev nvrtc` put the real one")


if __name__ == "__main__":
    sys.exit(main([f for name, f in list(globals().items()) if name.startswith("test_")], arguments_of))
