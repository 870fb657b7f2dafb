#!/usr/bin/env python3
"""`rxn build`: programs say what rxn says, byte for byte, and need nothing; what is refused; what is emitted."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys

from harness import NEEDS, SMALL, Run, Skipped, check_equal, check_in, main, models

SMALL_FIT = SMALL + """fit {
  data "data.csv"
  loss mse(mean(A), data.A)
  estimator score
  optimizer adam
  trajectories 200
  steps 5
}
"""
# Falls below zero, which `=>` does not forbid.
BAD = """model bad
species A = 3
=> 0 @ 1
"""
FAULTY = """model faulty
species A = 3
A => 0 @ 1 - 0.4 * A
simulate until 50 every 10
"""
NETWORK = """begin parameters
  1 k 0.5
end parameters
begin species
  1 A() 40
  2 B() 0
end species
begin reactions
  1 1 2 k
end reactions
begin groups
  1 Btot 2
end groups
"""


FEW = ["dosing", "vilar_oscillator"]


def add_arguments(parser):
    parser.add_argument("--models", choices=["all", "few", "others"], default="all", help="of the library; 'others': nothing but those")


def needs_a_target(program):
    if program.device:
        raise Skipped("a build without LLVM does not compile ahead")


def is_sanitized(program):
    return "asan" in Run(["ldd", program.path]).out


def build(program, model, *options, name="program"):
    needs_a_target(program)
    path = program.file(name)
    program.good("build", model, "-o", path, "--quiet", *options)
    return path


def same(program, path, model, command, *arguments, cwd=None):
    """Output, messages and exit status of both."""
    ours = program.call(command, model, *arguments, cwd=cwd)
    theirs = Run([path, command] + [str(a) for a in arguments], cwd=cwd)
    what = "%s %s" % (command, " ".join(str(a) for a in arguments))
    check_equal(theirs.status, ours.status, what + ": exit status")
    check_equal(theirs.out, ours.out, what)
    check_equal(theirs.err, ours.err, what + ": messages")
    return ours


def test_every_model_says_the_same(program):
    for model in [m for m in models() if program.arguments.models == "all" or (m in FEW) == (program.arguments.models == "few")]:
        path = build(program, model)
        more = NEEDS.get(model, [])
        for arguments in (["-n", 100, "--seed", 3], ["-n", 3, "--each"], ["-n", 40, "--precision", "f32"], ["-n", 1, "--until", 5]):
            run = same(program, path, model, "run", *more, *arguments, "-o", "-")
            check_equal(run.status, 0)
            check_equal(run.err, "", "%s is interpreted, or warns" % model)


def test_processors(program):
    model = program.file("small.rxn", SMALL)
    whole = program.good("run", model, "-n", "500", "-o", "-").out
    for march in ("x86-64", "x86-64-v2", "native", "native,x86-64-v2"):
        if os.uname().machine != "x86_64" and march != "native":
            continue
        path = build(program, model, "--march", march)
        run = Run([path, "run", "-n", "500", "-o", "-"])
        check_equal((run.out, run.err), (whole, ""), march)
        for name in march.split(","):
            check_in(" %s " % name, Run([path, "info"]).out)


def test_one_trajectory(program):
    """A code with one lane, which changes nothing but the time."""
    needs_a_target(program)
    if os.uname().machine != "x86_64":
        raise Skipped("vectors are short here")
    path = build(program, "sir", "--march", "x86-64-v3", "--of", "I", "--at", "1", "--estimator", "score")
    kernels = Run([path, "info"]).out.partition("\nkernels (3)\n")[2].splitlines()
    check_equal(len([line for line in kernels if line.startswith("    x86-64-v3     1 lane, ")]), 2, "\n".join(kernels))
    for n, lanes in ((1, 1), (2, 8), (4, 8), (5, 8)):
        run = Run([path, "run", "-n", str(n), "--each", "-o", program.file("out.csv"), "--json", "-", "--quiet"])
        check_equal(json.loads(run.out)["lanes"], lanes, "lanes with -n %d" % n)
        check_equal(open(program.file("out.csv")).read(), program.good("run", "sir", "-n", n, "--each", "-o", "-").out)
    run = Run([path, "run", "-n", "100", "--lanes", "1", "--json", "-", "--quiet"])
    check_equal(json.loads(run.out)["lanes"], 1, "--lanes")


def test_modules_and_networks(program):
    program.file("part.rxn", "species X = 5\nparam k = 1\nX -> 0 @ k\n")
    model = program.file("whole.rxn", 'model whole\nuse "part.rxn" as a (k = 2)\nuse "telegraph" as b\nspecies Y = 1\nY -> 0 @ 1\nsimulate until 3 every 1\n')
    path = build(program, model)
    kept = {name: open(program.file(name)).read() for name in ("part.rxn", "whole.rxn")}
    expected = program.good("run", model, "-n", "50", "-o", "-").out
    for name in kept:
        os.remove(program.file(name))
    check_equal(Run([path, "run", "-n", "50", "-o", "-"]).out, expected, "without the model's files")
    network = program.file("decay.net", NETWORK)
    path = build(program, network)
    same(program, path, network, "run", "--until", 4, "--every", 1, "-n", 30, "-o", "-")
    path = program.file("piped")
    program.good("build", "-", "-o", path, "--quiet", text=SMALL)
    check_equal(Run([path, "run", "-n", "20", "-o", "-"]).out, program.good("run", "-", "-n", "20", "-o", "-", text=SMALL).out)


def test_odd_texts(program):
    """What C would read otherwise: quotes, backslashes, trigraphs, bytes beyond ASCII, digits behind an escape."""
    model = program.file("odd.rxn", 'model odd # "\\n" ??/ ??= é µ \t7\n' + SMALL.split("\n", 1)[1].replace("observe A", "observe A # 😀\"\\"))
    path = build(program, model)
    same(program, path, model, "run", "-n", 20, "-o", "-")
    same(program, path, model, "grad", "--of", "nothing", "--at", 1)


def test_faults_and_mistakes(program):
    model = program.file("faulty.rxn", FAULTY)
    path = build(program, model)
    run = same(program, path, model, "run", "-n", 100)
    check_equal(run.status, 1)
    check_in("faulty.rxn:3:", run.err)
    for arguments in (["--sed", "3"], ["-n", "0"], ["--set", "zz=1"], ["--set", "A"], ["--method", "none"], ["--device", "moon"], ["--at", "x"]):
        check_equal(same(program, path, model, "run", *arguments).status != 0, True)
    run = Run([path, "run", model])
    check_equal((run.status, run.out, run.err), (2, "", "error: '%s' is one MODEL too many\n" % (model if len(model) <= 60 else model[:60] + "...")))
    check_equal(Run([path]).status, 2)
    check_equal(Run([path, "rum"]).err, "error: there is no command 'rum'\nnote: did you mean '%s run'?\n" % path)
    check_in("usage: %s run [OPTION…]\n" % path, Run([path, "run", "--help"]).out)
    check_equal("MODEL" in Run([path, "run", "--help"]).out, False)
    same(program, path, model, "check")


def test_derivatives(program):
    model = program.file("small.rxn", SMALL)
    path = build(program, model, "--of", "A", "--of", "var(A)", "--at", "1,2", "--wrt", "k", "--estimator", "all")
    wishes = ["--of", "A", "--of", "var(A)", "--at", "1,2", "--wrt", "k", "--estimator", "all"]
    run = same(program, path, model, "grad", *wishes, "-n", 300, "-o", "-", "--quiet")
    check_equal("interpreted" in run.err, False)
    alone = Run([path, "grad", "-n", "300", "-o", "-", "--quiet"])
    check_equal((alone.out, alone.err), (run.out, run.err), "what it was built for")
    # Only one of them, the rest as built.
    one = Run([path, "grad", "--estimator", "score", "-n", "300", "-o", "-", "--quiet"])
    check_equal(one.out, program.good("grad", model, *wishes[:-1], "score", "-n", "300", "-o", "-", "--quiet").out)
    check_equal("interpreted" in one.err, False)
    info = Run([path, "info"]).out
    check_in("--of 'A' --of 'var(A)' --at 1,2 --wrt k --estimator all\n", info)
    check_in("  grad --estimator path\n", info)


def test_selftest(program):
    path = build(program, program.file("small.rxn", SMALL), "--of", "A", "--at", "1", "--estimator", "score,path")
    run = Run([path, "selftest"])
    check_equal((run.status, run.err), (0, ""), str(run))
    verdicts = {line[2:30].strip(): line[31:39].strip() for line in run.out.splitlines()[2:] if line.startswith("  ")}
    check_equal(verdicts, {what: "ok" for what in (
        "code, f64", "code of one lane, f64", "code, f32", "code of one lane, f32", "threads", "means", "gradients by score",
        "gradients by path")})
    check_in("\nall 8 checks are good\n", run.out)
    lanes = {line[2:30].strip(): re.search(r"by ([0-9]+ lanes?) ", line) for line in run.out.splitlines()}
    check_equal(lanes["code of one lane, f64"][1], "1 lane")
    check_equal(int(lanes["code, f64"][1].split()[0]) > 1, True)
    check_equal(Run([path, "selftest", "--set", "zz=1"]).status, 1)


def test_what_it_was_not_built_for(program):
    model = program.file("small.rxn", SMALL)
    path = build(program, model)
    wishes = ["grad", "--of", "A", "--at", "1", "--estimator", "score", "-n", "50", "-o", "-", "--quiet"]
    run = Run([path] + wishes)
    check_equal(run.out, program.good(*wishes[:1], model, *wishes[1:]).out)
    check_equal(
        "".join(run.err.splitlines(keepends=True)[:2]),
        "warning: this was not compiled when the program was built, so it is interpreted, which is many times slower\n"
        "note: a program that has it: rxn build MODEL -o FILE --of 'A' --at 1 --estimator score\n",
    )
    run = Run([path, "run", "--method", "direct-table", "-n", "20", "-o", "-"])
    check_equal(run.out, program.good("run", model, "--method", "direct-table", "-n", "20", "-o", "-").out)
    check_in("note: a program that has it: rxn build MODEL -o FILE --method direct-table\n", run.err)
    path = build(program, model, "--method", "direct-table")
    check_equal(Run([path, "run", "--method", "direct-table", "-n", "20", "-o", "-"]).err, "")
    by_itself = Run([path, "run", "-n", "20", "-o", "-"])
    check_equal((by_itself.out, by_itself.err), (run.out, ""), "a program takes the method that it was built with")
    run = Run([path, "grad", "--of", "A", "--at", "1", "--tape-memory", "1M"])
    check_equal((run.status, run.err), (2, "error: the tapes of this program were given their size when it was built: 'rxn build --tape BYTES'\n"))


def without_times(text):
    result = json.loads(text)
    for part in (result, result.get("history", {})):
        for name in [name for name in part if name.startswith("seconds")]:
            del part[name]
    return result


def test_fits(program):
    model = program.file("small.rxn", SMALL_FIT)
    program.file("data.csv", "time,A\n0,50\n1,20\n2,9\n")
    path = build(program, model)
    folder = os.path.dirname(path)
    for arguments in ([], ["--seed", "4", "--steps", "3"]):
        ours = program.good("fit", "small.rxn", *arguments, "-o", "a.json", "--quiet", cwd=folder)
        theirs = Run([path, "fit", *arguments, "-o", "b.json", "--quiet"], cwd=folder)
        check_equal((theirs.status, theirs.err), (0, ours.err))
        check_equal(without_times(open(program.file("b.json")).read()), without_times(open(program.file("a.json")).read()))
    os.remove(program.file("data.csv"))
    run = program.good("build", model, "-o", path)
    check_in("warning: cannot read 'data.csv'", run.err)
    check_in("note: so the program has no kernels for 'fit', which it will interpret\n", run.err)
    check_equal(Run([path, "run", "-n", "10", "-o", "-"]).status, 0)


def test_needs_nothing(program):
    needs_a_target(program)
    if is_sanitized(program):
        raise Skipped("sanitizers bring libraries of their own")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    path = build(program, "dimerisation")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    libraries = {line.split()[0] for line in Run(["ldd", path]).out.splitlines()}
    usual = {name for name in libraries if name.startswith(("linux-vdso", "libc.so", "libm.so", "/lib"))}
    check_equal(libraries - usual, set(), "libraries")
    size = os.path.getsize(path)
    assert size <= 2 << 20, "%d bytes" % size
    assert seconds < 5, "building took %.1f s of the processor" % seconds  # 0.3 s are usual
    # Nothing of the machine but the file: no environment, no folder of models.
    bare = program.file("bare")
    os.mkdir(bare)
    shutil.move(path, os.path.join(bare, "m"))
    run = subprocess.run(["./m", "run", "-n", "20", "-o", "-"], cwd=bare, env={}, stdout=subprocess.PIPE, text=True, check=True)
    check_equal(run.stdout, program.good("run", "dimerisation", "-n", "20", "-o", "-").out)


def test_static(program):
    needs_a_target(program)
    if is_sanitized(program):
        raise Skipped("sanitizers do not link statically")
    path = program.file("program")
    run = program.call("build", "dimerisation", "-o", path, "--static", "--quiet")
    if run.status != 0 and "-lc" in run.err:
        raise Skipped("there is no static C library here")
    check_equal((run.status, run.err), (0, ""))
    assert "=>" not in Run(["ldd", path]).out
    same(program, path, "dimerisation", "run", "-n", 30, "-o", "-")


CALLER = r"""
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "one.h"
#include "two.h"

static const double times[] = {1, 2};

static void *
run(void *context)
{
    char error[100];
    double *mean = context, sd[2];
    small_model *model = small_open(0, error, sizeof error);
    small_request request = {.seed = 3, .trajectories = 400, .times = times, .time_count = 2};
    if (!model || small_run(model, &request, mean, sd) != 0)
        mean[0] = -1;
    small_close(model);
    return NULL;
}

int
main(void)
{
    char error[200];
    double mean[2][2], k[small_PARAMS], value[small_OUTPUTS], slope[small_OUTPUTS][small_WRT];
    double samples[3][2][small_COLUMNS];
    int code;
    /* Twice at once. */
    pthread_t threads[2];
    for (int t = 0; t < 2; t++)
        pthread_create(&threads[t], NULL, run, mean[t]);
    for (int t = 0; t < 2; t++)
        pthread_join(threads[t], NULL);
    printf("%.17g %.17g %d\n", mean[0][0], mean[0][1], memcmp(mean[0], mean[1], sizeof mean[0]));
    /* Derivatives, once more at other values, and back. */
    small_model *model = small_open(0, error, sizeof error);
    small_parameters(model, k);
    small_request request = {.parameters = k, .seed = 3, .trajectories = 400, .threads = 1};
    for (int turn = 0; turn < 3; turn++) {
        k[small_param_g] = turn == 1 ? 2 : 1;
        if (small_gradient(model, &request, value, NULL, &slope[0][0], NULL) != 0)
            printf("%s\n", small_error(model));
        printf("%.17g %.17g\n", value[0], slope[0][small_wrt_k]);
    }
    /* Trajectories 5 to 7. */
    request.first = 5;
    request.trajectories = 3;
    request.times = times;
    request.time_count = 2;
    if (small_trajectories(model, &request, &samples[0][0][0]) == 0)
        printf("%g %g %g\n", samples[0][1][0], samples[1][1][0], samples[2][1][small_column_A]);
    /* What cannot be done, and that it can be done afterwards. */
    k[small_param_k] = NAN;
    code = small_run(model, &request, &mean[0][0], NULL);
    printf("%d %s\n", code, small_error(model));
    k[small_param_k] = 1e9;
    code = small_run(model, &request, &mean[0][0], NULL);
    printf("%d %s\n", code, small_error(model));
    k[small_param_k] = 0.1;
    request.times = NULL;
    code = small_run(model, &request, &mean[0][0], NULL);
    printf("%d %s\n", code, small_error(model));
    request.times = times;
    request.time_count = 0;
    code = small_run(model, &request, &mean[0][0], NULL);
    printf("%d %s\n", code, small_error(model));
    request.time_count = 2;
    code = small_run(model, &request, &mean[0][0], NULL);
    printf("%d '%s'\n", code, small_error(model));
    small_close(model);
    /* Another model in the same program, which faults. */
    faulty_model *faulty = faulty_open(1, error, sizeof error);
    faulty_request bad = {.seed = 1, .trajectories = 100, .times = times, .time_count = 2};
    bad.times = (double[]){40, 50};
    code = faulty_run(faulty, &bad, &mean[0][0], NULL);
    printf("%d %s\n", code, faulty_error(faulty));
    faulty_close(faulty);
    faulty_close(NULL);
    return 0;
}
"""


def test_libraries(program):
    needs_a_target(program)
    if is_sanitized(program):
        raise Skipped("sanitizers would have to be linked into the caller too")
    model, faulty = program.file("small.rxn", SMALL.replace("fit\n", "fit # a */ comment\n", 1)), program.file("faulty.rxn", FAULTY)
    run = program.good("build", model, "--emit", "lib", "-o", program.file("one"), "--of", "A", "--at", "2")
    check_in("libone.so: small, ", run.out)
    program.good("build", faulty, "--emit", "lib", "-o", program.file("two"), "--quiet")
    header = open(program.file("one.h")).read()
    check_in("small_param_k = 0, /* a +/ comment */\n", header)
    check_equal(program.good("build", model, "--emit", "header", "--of", "A", "--at", "2").out, header)
    folder = os.path.dirname(program.file("x"))
    program.file("caller.c", CALLER)
    cc = os.environ.get("CC", "cc").split()
    done = Run(cc + ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-variable", "caller.c", "libone.a", "libtwo.a", "-lm", "-ldl", "-pthread", "-o", "caller"], cwd=folder)
    check_equal((done.status, done.err), (0, ""))
    shared = Run(cc + ["-std=c11", "caller.c", "-L.", "-lone", "-ltwo", "-lm", "-pthread", "-Wl,-rpath,$ORIGIN", "-o", "shared"], cwd=folder)
    check_equal((shared.status, shared.err), (0, ""))
    out = Run(["./caller"], cwd=folder).out.splitlines()
    check_equal(Run(["./shared"], cwd=folder).out.splitlines(), out)
    means = [row[1] for row in program.table(model, "-n", 400, "--seed", 3, "--at", "1,2")[1]]
    check_equal(out[0], " ".join(means + ["0"]))

    def derivative(*arguments):
        run = program.good("grad", model, "--of", "A", "--at", 2, "-n", 400, "--seed", 3, "--json", "-", *arguments)
        found = json.loads(run.out)[0]
        return "%.17g %.17g" % (found["value"], found["parameters"][0]["gradient"])

    check_equal(out[1:4], [derivative(), derivative("--set", "g=2"), derivative()])
    rows = program.table(model, "-n", 8, "--each", "--seed", 3, "--at", "2")[1]
    check_equal(out[4], " ".join(row[2] for row in rows[5:]))
    check_equal(out[5:10], ["2 error: the parameter 'k' has no value", "2 error: k = 1000000000 is outside of its bounds 0.001 .. 10", "2 error: no times are given",
                            "2 error: no times are given", "0 ''"])
    check_in("1 %s:3:" % faulty, out[10])


def test_names_in_headers(program):
    """What is a name in C keeps it; what becomes one by losing its signs gets a number; and what cannot be one is refused."""
    text = "species D' = 3, D_ = 7\nD' -> 0 @ 0.1\nD_ -> 0 @ 0.1\nobserve D', D_\nsimulate until 1\n"
    header = program.good("build", program.file("signs.rxn", "model signs\n" + text), "--emit", "header").out
    for line in ("signs_column_D_ = 1,", "signs_column_D__0 = 0,", "signs_species_D_ = 1,", "signs_species_D__0 = 0,"):
        check_in("    %s\n" % line, header)
    for name, why in (("1", "C does not take"), ("rxn", "rxn itself has"), ("rxn_model", "rxn itself has")):
        model = program.file(name + ".rxn", text)
        err = program.bad(1, "build", model, "--emit", "header").err
        check_equal(err, "error: a library of the model '%s' would have names that %s\nnote: give it another one: 'model NAME' on its first line\n" % (name, why))


CANCELLER = r"""
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include "small.h"

static volatile int stop;

static void *
stop_soon(void *context)
{
    usleep(200000);
    stop = 1;
    return context;
}

int
main(void)
{
    char error[200];
    double mean, value, slope[small_WRT];
    const double time = 2;
    small_model *model = small_open(0, error, sizeof error);
    small_request request = {.seed = 3, .times = &time, .time_count = 1, .cancel = &stop};
    for (int turn = 0; turn < 4; turn++) { /* run, gradient; cancelled, not cancelled */
        pthread_t thread;
        stop = 0;
        request.trajectories = turn % 2 ? 100 : 1000000000000;
        if (turn % 2 == 0)
            pthread_create(&thread, NULL, stop_soon, NULL);
        int code = turn < 2 ? small_run(model, &request, &mean, NULL)
                            : small_gradient(model, &request, &value, NULL, slope, NULL);
        if (turn % 2 == 0)
            pthread_join(thread, NULL);
        printf("%d %s\n", code, small_error(model));
    }
    printf("%.17g %.17g\n", mean, value);
    small_close(model);
    return 0;
}
"""


def test_cancelling(program):
    needs_a_target(program)
    if is_sanitized(program):
        raise Skipped("sanitizers would have to be linked into the caller too")
    model = program.file("small.rxn", SMALL)
    program.good("build", model, "--emit", "lib", "-o", program.file("small"), "--quiet", "--of", "A", "--at", "2", "--estimator", "score")
    program.file("caller.c", CANCELLER)
    cc = os.environ.get("CC", "cc").split()
    done = Run(cc + ["-std=gnu11", "caller.c", "libsmall.a", "-lm", "-ldl", "-pthread", "-o", "caller"], cwd=program.folder)
    check_equal((done.status, done.err), (0, ""))
    out = Run(["./caller"], cwd=program.folder).out.splitlines()
    for line in (out[0], out[2]):
        assert line.startswith("5 error: cancelled after ") and line.endswith(" of 1000000000000 trajectories"), line
    check_equal([out[1], out[3]], ["0 "] * 2)
    mean = program.table(model, "-n", 100, "--seed", 3, "--at", "2")[1][0][1]
    check_equal(out[4].split()[0], mean)


FITTER = r"""
#include <math.h>
#include <stdio.h>
#include "small.h"

int
main(void)
{
    char error[200];
    double start[small_PARAMS], parameters[small_PARAMS], se[small_PARAMS], loss[2];
    const int stop = 1;
    small_model *model = small_open(1, error, sizeof error);
    small_fit_request request = {.seed = 4, .steps = 3};
    for (int turn = 0; turn < 5; turn++) {
        request.threads = turn == 1;
        request.data = turn == 2 ? "nope.csv" : NULL;
        request.cancel = turn == 3 ? &stop : NULL;
        if (turn == 4) {
            small_parameters(model, start);
            start[small_param_g] = 0.8;
            request.parameters = start;
        }
        parameters[small_param_k] = NAN;
        int code = small_fit(model, &request, parameters, se, loss);
        printf("%d %.17g %.17g %.17g %.17g %.17g %.17g\n", code, parameters[small_param_k], parameters[small_param_g],
               se[small_param_k], se[small_param_g], loss[0], loss[1]);
        if (code)
            printf("%s\n", small_error(model));
    }
    small_close(model);
    return 0;
}
"""


def fitted(program, folder, *arguments):
    """What `rxn fit` finds, as the library gives it: values, standard errors, loss."""
    path = program.file("fitted.json")
    program.good("fit", "small.rxn", "--seed", 4, "--steps", 3, *arguments, "-o", path, "--quiet", cwd=folder)
    result = json.load(open(path))
    rows = result["parameters"]
    return [row["value"] for row in rows], [row["se_simulation"] for row in rows], [result["loss"], result["loss_se"]]


def test_libraries_fit(program):
    """A model with a fit block has the function that trains it, with the numbers of `rxn fit`; others have nothing of it."""
    needs_a_target(program)
    if is_sanitized(program):
        raise Skipped("sanitizers would have to be linked into the caller too")
    folder = os.path.dirname(program.file("small.rxn", SMALL))
    program.good("build", "small.rxn", "--emit", "lib", "-o", "plain", "--quiet", cwd=folder)
    model = program.file("small.rxn", SMALL_FIT)
    program.file("data.csv", "time,A\n0,50\n1,20\n2,9\n")
    run = program.good("build", model, "--emit", "lib", "-o", program.file("small"), "--quiet")
    check_equal(run.err, "")
    check_equal(program.good("build", model, "--emit", "header").out, open(program.file("small.h")).read())
    check_equal("fit" in open(program.file("plain.h")).read().replace("_fit_request", "fit"), False)
    for name, has in (("small", True), ("plain", False)):
        for library, options in (("lib%s.a" % name, ["-g"]), ("lib%s.so" % name, ["-D"])):
            names = Run(["nm", "--defined-only", *options, library], cwd=folder).out
            check_equal(" T small_fit\n" in names, has, library)
        check_equal(" rxn__fit_train\n" in Run(["nm", "lib%s.a" % name], cwd=folder).out, has, "lib%s.a" % name)
    program.file("fitter.c", FITTER)
    cc = os.environ.get("CC", "cc").split()
    warnings = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
    for linked, flags in (("archive", ["libsmall.a", "-lm", "-ldl"]), ("shared", ["-L.", "-lsmall", "-Wl,-rpath,$ORIGIN"])):
        done = Run(cc + warnings + ["fitter.c"] + flags + ["-pthread", "-o", linked], cwd=folder)
        check_equal((done.status, done.err), (0, ""))
        done = Run(["./" + linked], cwd=folder)
        check_equal((done.status, done.err), (0, ""))
        lines = done.out.splitlines()
        values, errors, loss = fitted(program, folder)
        expected = " ".join(["0"] + ["%.17g" % number for number in values + errors + loss])
        check_equal(lines[:2], [expected] * 2, linked)
        check_equal(lines[2].split()[:2], ["1", "nan"])
        check_in("error: cannot read 'nope.csv'", lines[3])
        cancelled = [k for k, line in enumerate(lines) if line.startswith("5 ")]
        check_equal(len(cancelled), 1, done.out)
        check_in("error: interrupted after 0 of 3 steps", lines[cancelled[0] + 1])
        values, errors, loss = fitted(program, folder, "--set", "g=0.8")
        check_equal(lines[-1], " ".join(["0"] + ["%.17g" % number for number in values + errors + loss]), linked)
    # From elsewhere its data are not to be found; a table that is named is.
    os.rename(program.file("data.csv"), program.file("other.csv"))
    run = program.good("build", model, "--emit", "lib", "-o", program.file("small"), "--quiet")
    check_in("note: so the library has no kernels for 'fit', which it will interpret\n", run.err)


FROM_PYTHON = r"""
import ctypes

class Request(ctypes.Structure):
    _fields_ = [("parameters", ctypes.c_void_p), ("data", ctypes.c_char_p), ("steps", ctypes.c_uint64), ("trajectories", ctypes.c_uint64),
                ("seed", ctypes.c_uint64), ("threads", ctypes.c_uint32), ("cancel", ctypes.c_void_p)]

library = ctypes.CDLL("./libsmall.so")
library.small_open.restype = ctypes.c_void_p
library.small_error.restype = ctypes.c_char_p
library.small_error.argtypes = library.small_close.argtypes = [ctypes.c_void_p]
library.small_fit.argtypes = [ctypes.c_void_p, ctypes.POINTER(Request)] + [ctypes.c_void_p] * 3
error = ctypes.create_string_buffer(200)
model = library.small_open(0, error, len(error))
parameters, se, loss = ((ctypes.c_double * 2)() for _ in range(3))
for data in (b"other.csv", b"nope.csv"):
    code = library.small_fit(model, Request(data=data, seed=4, steps=3), parameters, se, loss)
    print([code, list(parameters), list(se), list(loss)])
print(library.small_error(model).decode())
library.small_close(model)
"""


def test_libraries_fit_from_python(program):
    """The same with a table that is named when it is called, and with ctypes."""
    needs_a_target(program)
    if is_sanitized(program):
        raise Skipped("sanitizers would have to be linked into the caller too")
    folder = os.path.dirname(program.file("small.rxn", SMALL_FIT))
    program.file("data.csv", "time,A\n0,50\n1,20\n2,9\n")
    program.file("other.csv", "time,A\n0,50\n1,22\n2,10\n")
    program.good("build", "small.rxn", "--emit", "lib", "-o", "small", "--quiet", cwd=folder)
    run = Run([sys.executable, "-c", FROM_PYTHON], cwd=folder)
    check_equal((run.status, run.err), (0, ""))
    lines = run.out.splitlines()
    values, errors, loss = fitted(program, folder, "--data", "other.csv")
    check_equal(lines[0], str([0, values, errors, loss]))
    check_equal(lines[1], str([1, values, errors, loss]), "nothing is filled in")
    check_in("error: cannot read 'nope.csv'", lines[2])


def test_static_libraries_go_anywhere(program):
    """Into a shared library, and into a program without any."""
    needs_a_target(program)
    if is_sanitized(program):
        raise Skipped("sanitizers would have to be linked into the caller too")
    model = program.file("small.rxn", SMALL)
    program.good("build", model, "--emit", "lib", "-o", program.file("small"), "--quiet")
    program.file("part.c", '#include "small.h"\nint opens(void) { char e[9]; small_model *m = small_open(0, e, 9); small_close(m); return m != 0; }\n')
    program.file("main.c", "#include <stdio.h>\nint opens(void);\nint main(void) { return printf(\"%d\\n\", opens()) < 0; }\n")
    cc, libraries = os.environ.get("CC", "cc").split(), ["libsmall.a", "-lm", "-ldl", "-pthread"]
    done = Run(cc + ["-shared", "-fPIC", "-Wl,-z,text", "-Wl,-z,defs", "part.c"] + libraries + ["-o", "libpart.so"], cwd=program.folder)
    check_equal((done.status, done.err), (0, ""))
    done = Run(cc + ["main.c", "-L.", "-lpart", "-Wl,-rpath,$ORIGIN", "-o", "main"], cwd=program.folder)
    check_equal((done.status, done.err), (0, ""))
    check_equal(Run(["./main"], cwd=program.folder).out, "1\n")
    for how in ("-static", "-static-pie"):
        done = Run(cc + [how, "-fPIE", "main.c", "part.c"] + libraries + ["-o", "main"], cwd=program.folder)
        if done.status != 0 and ("-lc" in done.err or "rcrt1.o" in done.err):
            raise Skipped("there is no static C library here")
        check_equal(done.status, 0, str(done))
        check_equal(Run(["./main"], cwd=program.folder).out, "1\n", how)


def test_refusals(program):
    needs_a_target(program)
    model = program.file("small.rxn", SMALL)
    out = program.file("out", "precious\n")
    cases = [
        ([], 2, "error: no file is given: -o FILE\n"),
        (["-o", "-"], 2, "error: a program or a library does not go to standard output: -o FILE\n"),
        (["-o", out, "--at", "3"], 2, "error: --at, --wrt and --estimator belong to --of\n"),
        (["-o", out, "--emit", "elf"], 2, "error: --emit takes no 'elf'\nnote: it takes exe, lib, header, network, kir, llvm, asm, obj, cuda, ptx, cubin\n"),
        (["-o", out, "--tape", "lots"], 2, "error: --tape takes a number of bytes as 500K or 16M, not 'lots'\n"),
        (["-o", "/nowhere/x"], 1, "error: '/nowhere/x' cannot be written: No such file or directory\n"),
        (["-o", "/"], 1, "error: '/' cannot be written: it is a directory\n"),
        (["-o", "/dev/null"], 1, "error: '/dev/null' cannot be written: it is no plain file\n"),
        (["-o", model], 1, "error: '%s' is the model itself; it is not overwritten\n" % model),
    ]
    for arguments, status, expected in cases:
        check_equal(program.bad(status, "build", model, *arguments).err, expected)
    check_in("error: --march takes no 'i386'\n", program.bad(2, "build", model, "-o", out, "--march", "i386").err)
    check_in("error: there is no estimator 'guess'\n", program.bad(2, "build", model, "-o", out, "--of", "A", "--at", "1", "--estimator", "guess").err)
    check_in("bad.rxn:3:", program.bad(1, "build", program.file("bad.rxn", BAD), "-o", out).err)
    check_in("--of:1:1: error:", program.bad(2, "build", model, "-o", out, "--of", "B", "--at", "1").err)
    check_equal(open(out).read(), "precious\n", "a failure leaves what was there")
    check_equal(open(model).read(), SMALL)


def test_without_a_compiler(program):
    needs_a_target(program)
    out = program.file("out", "precious\n")
    run = program.bad(1, "build", "sir", "-o", out, env={"PATH": "/nowhere", "CC": ""})
    check_in("error: there is no C compiler '", run.err)
    check_in("note: Debian has one in the packages gcc and libc6-dev; $CC names another\n", run.err)
    run = program.bad(1, "build", "sir", "-o", out, env={"CC": "sh -c 'echo no; exit 1'"})
    check_in("error: the C compiler 'sh' could not link the program\nnote: it said:\n", run.err)
    check_equal(open(out).read(), "precious\n")
    check_equal(sorted(os.listdir(program.folder)), ["out"], "nothing is left lying about")


def test_emits(program):
    needs_a_target(program)
    model = program.file("small.rxn", SMALL)
    begins = {"network": "network small\n", "kir": "kernel ", "llvm": "; ModuleID", "asm": "\t", "cuda": "#line "}
    for form, begin in begins.items():
        text = program.good("build", model, "--emit", form).out
        assert text.startswith(begin), "%s begins %r" % (form, text[:40])
        path = program.file("stage." + form)
        program.good("build", model, "--emit", form, "-o", path)
        check_equal(open(path).read(), text, form)
    plain = program.good("build", model, "--emit", "kir").out
    assert plain != program.good("build", model, "--emit", "kir", "--of", "A", "--at", "1").out
    assert plain != program.good("build", model, "--emit", "kir", "--precision", "f32").out
    folder = program.file("trace")
    program.good("trace", model, "-o", folder)
    last = sorted(f for f in os.listdir(folder) if f.endswith(".kir"))[-1]
    check_equal(plain, open(os.path.join(folder, last)).read(), "the kernel of rxn trace")
    path = program.file("small.o")
    program.good("build", model, "--emit", "obj", "-o", path)
    check_equal(open(path, "rb").read(4), b"\x7fELF")


def test_what_suits_a_kernel(program):
    """No more than 16 lanes where each trajectory has a large state; LLVM's order of instructions where there is a tape."""
    needs_a_target(program)
    text = "index site = %d\nspecies X[site] = 1\nfor i in site { X[i] -> 0 @ 1 }\nobserve X[0]\nsimulate until 1\n"
    for sites, limits in ((300, []), (30000, ["  lanes 16"])):
        kernel = program.good("build", program.file("many.rxn", text % sites), "--method", "rejection", "--emit", "kir").out
        check_equal([line for line in kernel.splitlines() if line.startswith("  lanes ")], limits, "%d sites" % sites)
    if os.uname().machine != "x86_64":
        return
    for march, estimator, found in (("x86-64-v4", "path-adjoint", True), ("x86-64-v4", "score", False), ("x86-64-v3", "path-adjoint", False)):
        code = program.good("build", "sir", "--emit", "llvm", "--march", march, "--of", "I", "--at", "1", "--estimator", estimator).out
        check_equal('"tune-cpu"="atom"' in code, found, "%s for %s" % (estimator, march))


if __name__ == "__main__":
    tests = [f for name, f in list(globals().items()) if name.startswith("test_")]
    sys.exit(main([test_every_model_says_the_same] if "others" in sys.argv else tests, add_arguments))
