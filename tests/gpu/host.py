#!/usr/bin/env python3
"""The program with `--device cuda` on a machine that has no GPU.

    host.py --rxn PATH --cuda LIBCUDA --nvrtc LIBNVRTC [--cache DIR] --part forward|gradients|device

Driver and compiler are the pretended ones (fake_driver.c, fake_nvrtc.c), which run the very text that a GPU would
get. Trajectories, statistics and derivatives have to be those of the CPU, byte by byte and digit by digit, for
every model of the library, each form of kernel and each estimator; faults have to be the same words; and what can
be wrong with a machine has to be said.
"""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from cases import without
from gpu import ESTIMATORS, NEEDS, Fakes, exact, functional, model_path, models

import determinism
import faults
import grad_family
import gradients
import sums
from harness import Skipped, check_equal, check_in, main

# As many at a time as there are processors: most of the time goes into compilers.
WORKERS = os.cpu_count() or 1

# Trajectories of kernels with a warp or a block for each, whose threads all are fibers here: enough that each block has several.
COSTLY = 20


class Machine:
    """The program on the pretended GPU, and its reference: the CPU, or the interpreter in a build without LLVM."""

    def __init__(self, program):
        self.program = program
        cache = program.arguments.cache or os.path.join(program.folder, "modules")
        # Many kernels that run briefly, or few that run long.
        optimize = 1 if program.arguments.part == "device" else 0
        self.fakes = Fakes(program.arguments.cuda, program.arguments.nvrtc, cache, optimize)
        self.reference = program.device or "cpu"
        self.slow = self.reference == "interpreter"

    def cuda(self, *arguments, options="", device="cuda", **more):
        environment = self.fakes.environment(options, self.program.folder, **more)
        return self.program.call(*arguments, "--device", device, env=environment, timeout=300)

    def cpu(self, *arguments):
        return self.program.call(*arguments, "--device", self.reference, timeout=300)

    def same(self, *arguments, options="", device="cuda"):
        """Both end well with the same output, and the one was on the GPU."""
        expected = self.cpu(*arguments)
        assert expected.status == 0, str(expected)
        got = self.cuda(*arguments, options=options, device=device)
        assert got.status == 0, str(got)
        assert got.out == expected.out, difference(arguments, expected.out, got.out)
        return got


def difference(arguments, expected, got):
    a, b = expected.splitlines(), got.splitlines()
    for k, (x, y) in enumerate(zip(a, b)):
        if x != y:
            return "%s\nline %d:\n  CPU  %s\n  CUDA %s" % (" ".join(map(str, arguments)), k + 1, x, y)
    return "%s\n%d lines from the CPU, %d from CUDA" % (" ".join(map(str, arguments)), len(a), len(b))


def need_compiler():
    if not shutil.which(os.environ.get("CC", "cc").split()[0]):
        raise Skipped("no C compiler to run the kernels with (cc, or CC)")


def all_of(work):
    """Runs functions side by side, and returns what they do; fails with the messages of some and the names of all."""
    need_compiler()
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        jobs = {name: pool.submit(function) for name, function in work.items()}
        bad = {name: job.exception() for name, job in jobs.items() if job.exception()}
    for name, error in list(bad.items())[:5]:
        print("# %s: %s" % (name, str(error)[:2000].replace("\n", "\n#   ")))
    assert not bad, "%d of %d differ: %s" % (len(bad), len(jobs), ", ".join(bad))
    return [job.result() for job in jobs.values()]


# ---- forward


def short(name):
    return determinism.SHORT.get(name, []) + NEEDS.get(name, [])


def trajectories(program, names, path_of, *flags, n=67):
    machine = Machine(program)
    n = min(n, 9) if machine.slow else n
    work = {}
    for k, name in enumerate(names):
        command = ["run", path_of(name), "-n", n, "--each", "--quiet", "-o", "-", "--seed", 12] + short(name)
        # Another schedule of the device's threads for each model.
        work[name] = lambda command=command + list(flags), k=k: machine.same(*command, options="seed=%d" % (k + 1))
    all_of(work)


def test_trajectories_f64(program):
    trajectories(program, models(), model_path, "--precision", "f64")


def test_trajectories_f32(program):
    trajectories(program, models(), model_path, "--precision", "f32")


def own_models(program):
    circuit = grad_family.CIRCUIT % 12 + "observe H[0], H[5], D[1], E\nsimulate until 1 every 0.25\n"
    layer = grad_family.LAYER % (40, 33)
    texts = dict(determinism.OWN, circuit=circuit)
    if "simulate" in layer:
        texts["layer"] = layer
    return {name: program.file(name + ".rxn", text) for name, text in texts.items()}


def test_all_forms(program):
    """Tables, families with weights, events of all kinds, rates that depend on time."""
    paths = own_models(program)
    for precision in ("f64", "f32"):
        trajectories(program, sorted(paths), paths.get, "--precision", precision, n=COSTLY)


def test_the_table_form(program):
    """On models that are unrolled otherwise."""
    names = ["dimerisation", "dosing", "day_night", "cell_division", "antisense"]
    trajectories(program, names, model_path, "--method", "direct-table")


def test_kept_sums(program):
    """Weighted sums of the laws, kept from event to event."""
    paths = {name: sums.model_of(program, name) for name in sums.LAWS}
    for precision in ("f64", "f32"):
        trajectories(program, sorted(paths), paths.get, "--precision", precision, "--set", "x=0.3", "--until", "2", "--at", "1,2", n=COSTLY)


def test_models_of_the_benchmarks(program):
    machine = Machine(program)
    n = 3 if machine.slow else 20
    work = {}
    for name in ("birth_death", "telegraph", "cascade", "dimerisation", "chain"):
        until = "1" if name in ("chain", "cascade") else "5"
        command = ["run", model_path("bench/" + name), "-n", n, "--each", "--quiet", "-o", "-", "--until", until, "--at", until]
        work[name] = lambda command=command: machine.same(*command)
    # Dense weights: two trajectories, a short time.
    inputs = program.file("x.csv", "x\n" + "".join("%g\n" % (0.01 * (i % 17)) for i in range(784)))
    path = model_path("bench/gene_network")
    command = ["run", path, "-n", 2, "--each", "--quiet", "-o", "-", "--until", "0.05", "--at", "0.05", "--input", inputs]
    work["gene_network"] = lambda: machine.same(*command)
    all_of(work)


def test_statistics_of_any_number(program):
    """Means and standard deviations, to the last digit, of ensembles that fill nothing evenly."""
    machine = Machine(program)
    work = {}
    for n in (1, 2, 31, 33, 129, 1000, 4099):
        if machine.slow and n > 1000:
            continue
        command = ["run", model_path("sir"), "-n", n, "--quiet", "-o", "-"]
        work["n = %d" % n] = lambda command=command: machine.same(*command)
    for name in ("dosing", "hopping_line"):
        command = ["run", model_path(name), "-n", 300, "--quiet", "-o", "-"]
        work[name] = lambda command=command: machine.same(*command)
    all_of(work)


# ---- gradients

def same_gradient(machine, path, of, at, n, estimator, *flags, on_gpu=()):
    command = ["grad", path, "--of", of, "--at", at, "-n", n, "--estimator", estimator, "--json", "-", "--quiet"]
    command += ["--seed", 5, "--pilot", 40] if estimator == "martingale" else ["--seed", 5]
    expected, got = machine.cpu(*command, *flags), machine.cuda(*command, *flags, *on_gpu)
    assert got.status == expected.status, "exit status %d, of the CPU %d: %s" % (got.status, expected.status, got.err)
    if expected.status != 0: # it does not apply, and says why
        check_equal(got.err, expected.err, "message")
        return False
    a, b = exact(expected.out), exact(got.out)
    assert all(entry["device"].startswith("cuda") for entry in b), got.out
    check_equal(without(b), without(a), "%s of %s in %s" % (estimator, of, path))
    check_equal(got.err, expected.err, "remarks")
    return True


def gradients_of(program, problems, estimators, n, *flags):
    machine = Machine(program)
    n = min(n, 6) if machine.slow else n
    applied = set()

    def one(path, of, at, sets, estimator):
        if same_gradient(machine, path, of, at, n, estimator, *flags, *sets):
            applied.add(estimator)

    work = {}
    for name, (path, of, at, sets) in problems.items():
        for estimator in estimators:
            work["%s by %s" % (name, estimator)] = lambda a=(path, of, at, sets, estimator): one(*a)
    all_of(work)
    check_equal(sorted(applied), sorted(estimators), "estimators that applied to at least one model")


def test_estimators(program):
    """All estimators on the models by which tests/exact holds them to the master equation."""
    problems = {}
    for name, (model, species, at, sets) in gradients.MODELS.items():
        flags = [word for s in sets for word in ("--set", s)]
        if model in gradients.WRT:
            flags += ["--wrt", gradients.WRT[model]]
        # The short one of the bistable model will do.
        if name != "schlogl_4":
            problems[name] = (model_path(model), species, min(at, 5), flags)
    gradients_of(program, problems, ESTIMATORS, 40)


def test_functionals(program):
    """Products, averages over time, several outputs and times."""
    path = model_path("dimerisation")
    problems = {of: (path, of, "3,10", ["--set", "k2=0.1"]) for of in ("P^2", "average(P)", "P*P2")}
    gradients_of(program, problems, ["score", "path-adjoint", "gumbel"], 40)


def test_whole_library(program):
    """One backward estimator and one forward, on every model; where it does not apply, in the same words."""
    problems = {name: (model_path(name),) + functional(name) + (NEEDS.get(name, []),) for name in models()}
    gradients_of(program, problems, ["path-adjoint", "score"], 20)


def test_single_precision(program):
    names = ["dimerisation", "telegraph", "hopping_line"]
    problems = {name: (model_path(name),) + functional(name) + ([],) for name in names}
    gradients_of(program, problems, ["score", "path-adjoint", "gumbel"], 40, "--precision", "f32")


def test_more_numbers_than_registers(program):
    """Scalars that live in shared memory, of a thread, and of a warp; parameters that a warp's threads share out."""
    for name, estimators in {"vilar_oscillator": ["path-forward", "coupled"], "gene_readout": ["martingale", "coupled"]}.items():
        problem = (model_path(name),) + functional(name) + (NEEDS.get(name, []),)
        gradients_of(program, {name: problem}, estimators, 10)


def test_families(program):
    """Networks that are differentiated in loops over tables."""
    path = program.file("circuit.rxn", grad_family.CIRCUIT % 12)
    problems = {"circuit": (path, "H[0] + E", "0.5", []), "whens": (program.file("whens.rxn", grad_family.WHENS), "H[1]", "2", [])}
    gradients_of(program, problems, ["score", "path-adjoint"], 10, "--form", "table")


def test_tapes_in_little_memory(program):
    """Checkpoints and recomputation: how long the tape is changes nothing."""
    need_compiler()
    machine = Machine(program)
    path = model_path("dimerisation")
    for memory in ("4M", "60M"):
        assert same_gradient(machine, path, "P", "10", 12, "path-adjoint", "--set", "k2=0.1", on_gpu=["--tape-memory", memory])


def test_memory_of_tapes(program):
    """All tapes together keep to what they are allowed, whatever room the device has besides."""
    need_compiler()
    machine = Machine(program)
    command = ["grad", model_path("dimerisation"), "--of", "P", "--at", 0.5, "-n", 20000, "--estimator", "path-adjoint", "--json", "-", "--quiet"]
    results = set()
    for allowed in (24, 48):
        run = machine.cuda(*command, "--tape-memory", "%dM" % allowed, options="trace,memory=512M")
        assert run.status == 0, str(run)
        taken = sum(int(size) for size in re.findall(r"… of (\d+) bytes", run.err)) / 2**20
        assert allowed / 3 < taken < allowed + 2, "%g MiB for tapes of %d MiB and all else" % (taken, allowed)
        results.add(json.dumps(without(exact(run.out))))
    assert len(results) == 1, "results depend on the memory of tapes"


# ---- the device


def test_two_devices_are_one(program):
    need_compiler()
    machine = Machine(program)
    for n in (5, 3000):
        command = ["run", model_path("sir"), "-n", n, "--quiet", "-o", "-"]
        one = machine.same(*command)
        two = machine.same(*command, options="devices=2", device="cuda:0,1")
        check_equal(two.out, one.out, "two devices")
    machine.same("run", model_path("sir"), "-n", 40, "--each", "--quiet", "-o", "-", options="devices=3", device="cuda:2")


def test_any_schedule(program):
    """Whatever order the device's threads, blocks and streams run in."""
    machine = Machine(program)
    command = ["run", model_path("dosing"), "-n", 200, "--quiet", "-o", "-"]
    family = ["run", model_path("gene_readout"), "-n", 30, "--each", "--quiet", "-o", "-", "--set", "x=1"]
    work = {"dosing, seed %d" % s: lambda s=s: machine.same(*command, options="seed=%d" % s) for s in range(2, 7)}
    for s in range(2, 5):
        work["gene_readout, seed %d" % s] = lambda s=s: machine.same(*family, options="seed=%d,processors=%d" % (s, s))
    all_of(work)


def test_faults_in_the_same_words(program):
    machine = Machine(program)
    need_compiler()

    def one(name):
        command, got = faults.command_of(name), {}
        for device in (machine.reference, "cuda"):
            environment = machine.fakes.environment("", program.folder)
            got[device] = program.call(*command, "--device", device, cwd=faults.FOLDER, env=environment)
        a, b = got[machine.reference], got["cuda"]
        check_equal((b.status, b.out, b.err), (a.status, a.out, a.err), "status, output, message")
        return a.status

    seen = all_of({name: lambda name=name: one(name) for name in faults.names()})
    assert 1 in seen, "nothing was a fault"


def test_the_lowest_trajectory_wins(program):
    need_compiler()
    machine = Machine(program)
    text = "model late\nspecies A = 0, B = 0\n0 -> A @ 1\n0 => B @ if A > 9 then 0 - 1 else 0\nsimulate until 4.5 every 1\n"
    command = ["run", program.file("late.rxn", text), "-n", 3000, "-o", "-"]
    expected = machine.cpu(*command)
    check_in("in trajectory", expected.err)
    for s in range(1, 5):
        got = machine.cuda(*command, options="devices=2,seed=%d" % s, device="cuda:0,1")
        check_equal((got.status, got.out, got.err), (1, "", expected.err), "fault")


def test_little_memory(program):
    """Chunks of what there is room for; and where there is none, a message instead of a result."""
    need_compiler()
    machine = Machine(program)
    command = ["run", model_path("sir"), "-n", 3000, "--quiet", "-o", "-", "--every", "0.1"]
    for memory in ("24M", "6M"):
        machine.same(*command, options="memory=" + memory)
    # At some size it has to give up, and then it says so.
    seen = set()
    for memory in ("1M", "256K", "64K", "8K"):
        run = machine.cuda(*command, options="memory=" + memory)
        seen.add(run.status)
        if run.status:
            check_equal((run.status, run.out), (1, ""), "status, output")
            check_in("memory", run.err)
    assert 1 in seen, "8 KiB of device memory suffice?"


def test_allocations_that_fail(program):
    """Each in turn: the run ends well all the same, or says that there is no memory."""
    need_compiler()
    machine = Machine(program)
    command = ["run", model_path("sir"), "-n", 100, "--quiet", "-o", "-"]
    expected = machine.cpu(*command).out
    refused = 0
    for k in range(1, 40):
        run = machine.cuda(*command, options="fail_alloc=%d" % k)
        if run.status == 0:
            check_equal(run.out, expected, "output although allocation %d failed" % k)
        else:
            refused += 1
            check_equal((run.status, run.out), (1, ""), "status, output where allocation %d fails" % k)
            check_in("memory", run.err)
    assert refused > 0, "no allocation failed"


def test_a_fault_of_the_device(program):
    need_compiler()
    machine = Machine(program)
    for k in range(1, 4):
        run = machine.cuda("run", model_path("sir"), "-n", 100, "--quiet", "-o", "-", options="fail_launch=%d" % k)
        assert run.status in (1, 3) and run.out == "" and run.err != "", str(run)
        check_in("CUDA_ERROR_LAUNCH_FAILED", run.err)


def interrupt(machine, text, *flags):
    program = machine.program
    model = program.file("endless.rxn", text)
    environment = dict(os.environ, **machine.fakes.environment("", program.folder))
    command = [program.path, "run", model, "--device", "cuda"] + list(flags)
    machine.cuda("run", model, "-n", "1", "--until", "0.001", "--every", "0.001", "--quiet") # it is compiled then
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        time.sleep(4)
        assert child.poll() is None, "it ended by itself: %s" % (child.communicate(),)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
        check_equal((child.returncode, out), (1, ""), "status, output; it said: " + err)
        check_in("interrupted after", err)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def test_ctrl_c(program):
    need_compiler()
    machine = Machine(program)
    endless = "model endless\nspecies A = 0\n0 -> A @ 1000\nA -> 0 @ 1\nsimulate until %s every %s\n"
    interrupt(machine, endless % (1, 0.1), "-n", "100000000", "--quiet", "-o", program.file("out.csv"))
    assert not os.path.exists(program.file("out.csv"))
    interrupt(machine, endless % ("1e12", "1e11"), "-n", "1")


def test_what_can_be_missing(program):
    """Each with a message that names it."""
    need_compiler()
    machine = Machine(program)
    command = ["run", model_path("sir"), "-n", 10, "--quiet", "-o", "-"]
    nowhere = program.file("nowhere.so")
    broken = program.file("broken.so", "no library")
    cases = {
        "no driver": ({"RXN_CUDA_DRIVER": nowhere}, "", "cuda", "driver"),
        "a driver that is none": ({"RXN_CUDA_DRIVER": broken}, "", "cuda", "driver"),
        "no device": ({}, "devices=0", "cuda", "GPU"),
        "no such device": ({}, "devices=2", "cuda:2", "2"),
        "an old driver": ({}, "driver=11080", "cuda", "11.8"),
        "a driver that does not start": ({}, "init=803", "cuda", "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
        "no NVRTC": ({"RXN_NVRTC": nowhere}, "", "cuda", "NVRTC"),
        "an old NVRTC": ({}, "nvrtc=11.8", "cuda", "11.8"),
    }
    for name, (more, options, device, part) in cases.items():
        run = machine.cuda(*command, options=options, device=device, **more)
        assert run.status in (1, 2) and run.out == "", "%s:\n%s" % (name, run)
        assert part in run.err, "%s: '%s' is not in:\n%s" % (name, part, run)


def test_a_newer_gpu_gets_ptx(program):
    """NVRTC that does not know the GPU makes PTX, which the driver compiles."""
    need_compiler()
    machine = Machine(program)
    machine.same("run", model_path("sir"), "-n", 40, "--each", "--quiet", "-o", "-", options="arch=100,archs=75:80:90")


def test_a_text_that_does_not_compile(program):
    """Ours to answer for: exit status 3, with what the compiler said."""
    machine = Machine(program)
    run = machine.cuda("run", model_path("sir"), "-n", 10, "--quiet", "-o", "-", options="fail_compile")
    check_equal((run.status, run.out), (3, ""), "status, output")
    check_in("this compiler compiles nothing", run.err)


def test_the_cache(program):
    """What was compiled is not compiled again, by another compiler it is, and a broken entry does no harm."""
    need_compiler()
    machine = Machine(program)
    folder = program.file("kernels")

    def compiled(options=""):
        keep = tempfile.mkdtemp(dir=program.folder)
        words = ",".join([w for w in (options, "keep=" + keep) if w])
        command = ["run", model_path("sir"), "-n", 20, "--each", "--quiet", "-o", "-", "--cache", folder]
        run = machine.cuda(*command, options=words)
        assert run.status == 0, str(run)
        return run.out, len(os.listdir(keep))

    first, count = compiled()
    check_equal(count, 1, "texts compiled at first")
    check_equal(compiled(), (first, 0), "the second time")
    check_equal(compiled("nvrtc=12.6"), (first, 1), "with another NVRTC")
    check_equal(compiled("arch=80"), (first, 1), "for another architecture")
    for where, _, files in os.walk(folder):
        for f in files:
            with open(os.path.join(where, f), "r+b") as entry:
                entry.truncate(max(0, os.path.getsize(entry.name) - 100))
    check_equal(compiled(), (first, 1), "with entries that are cut")


def test_auto_falls_back(program):
    """Without a GPU `auto` is the CPU; with one, it says what it took."""
    need_compiler()
    machine = Machine(program)
    command = ["run", model_path("sir"), "-n", 10, "--quiet", "-o", "-", "--json", program.file("run.json")]
    expected = machine.cpu(*command[:-2]).out
    if not machine.slow:  # enough trajectories for a GPU, which is there, but not its compiler
        many = ["run", model_path("sir"), "-n", 50000, "--at", "0.1", "--quiet", "-o", "-"]
        run = machine.cuda(*many, device="auto", RXN_NVRTC=program.file("nowhere.so"))
        check_equal((run.status, run.out), (0, machine.cpu(*many).out))
        check_in("note: --device auto: the processor, for there is no GPU to be had: RXN_NVRTC is '", run.err)
    for more, device in (({"RXN_CUDA_DRIVER": program.file("nowhere.so")}, ("cpu", "interpreter")), ({}, ("cpu", "cuda", "interpreter"))):
        run = machine.cuda(*command, device="auto", **more)
        assert run.status == 0, str(run)
        check_equal(run.out, expected, "output of auto")
        with open(program.file("run.json")) as f:
            assert exact(f.read())["device"].startswith(device), "device of auto"


PARTS = {
    "forward": [test_trajectories_f64, test_trajectories_f32, test_all_forms, test_the_table_form, test_kept_sums, test_models_of_the_benchmarks, test_statistics_of_any_number],
    "gradients": [test_estimators, test_functionals, test_whole_library, test_single_precision, test_more_numbers_than_registers, test_families, test_tapes_in_little_memory],
    "device": [
        test_two_devices_are_one,
        test_any_schedule,
        test_faults_in_the_same_words,
        test_the_lowest_trajectory_wins,
        test_little_memory,
        test_memory_of_tapes,
        test_allocations_that_fail,
        test_a_fault_of_the_device,
        test_ctrl_c,
        test_what_can_be_missing,
        test_a_newer_gpu_gets_ptx,
        test_a_text_that_does_not_compile,
        test_the_cache,
        test_auto_falls_back,
    ],
}


def arguments_of(parser):
    parser.add_argument("--cuda", required=True, help="the pretended driver")
    parser.add_argument("--nvrtc", required=True, help="the pretended NVRTC")
    parser.add_argument("--cache", help="where to keep what was compiled for it")
    parser.add_argument("--part", choices=sorted(PARTS), required=True)
    parser.add_argument("--only", help="the test of this name alone")


if __name__ == "__main__":
    words = sys.argv
    chosen = PARTS.get(words[words.index("--part") + 1], []) if "--part" in words else []
    if "--only" in words:
        chosen = [t for t in chosen if t.__name__ == "test_" + words[words.index("--only") + 1]]
    sys.exit(main(chosen, arguments_of))
