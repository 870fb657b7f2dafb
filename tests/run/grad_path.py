#!/usr/bin/env python3
"""The adjoint along the exact path (path-adjoint), trajectory by trajectory.

A second program of the same thing, in Python: it draws the same random numbers (Philox, from seed, step and
trajectory), follows the same events, keeps the whole path, and goes back over it in the coordinates of the
species with derivatives by complex steps and a series of 30 terms. What `rxn grad -n 1` gives for a trajectory has to
be that, to 1e-7. The kernel has a basis of its own, a tape, checkpoints and few terms, so that little is shared but the
formulas of GRADIENTS: λ' = -Jᵀλ - ∇g, dF/dp = Σ ∫ da_j/dp (ν_j·λ) dt.
"""

import json
import math
import random
import sys

from harness import check_equal, main, peak_of

# ---- the random numbers --------------------------------------------------------------------------

MASK = 0xFFFFFFFF


def philox(counter, key):
    """Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & MASK, (a >> 32) ^ c3 ^ k1, a & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


def uniforms(seed, trajectory, step):
    w = philox((step & MASK, step >> 32, trajectory & MASK, trajectory >> 32), (seed & MASK, seed >> 32))
    u = (w[0] >> 6) * 2.0**-26 + ((w[1] >> 6) * 2.0**-52 + 2.0**-53)
    v = (w[2] >> 5) * 2.0**-27 + (w[3] >> 6) * 2.0**-53
    return u, v


# ---- the models, twice ---------------------------------------------------------------------------


class Model:
    """reactions: (changes, rate(x, p, t)); stops: times where something is assigned or a rate changes,
    with a function of (x, p) to the new state, or None. Rates read the time only to compare it."""

    def __init__(self, text, species, params, start, reactions, stops=()):
        self.text, self.species, self.params = text, species, params
        self.start, self.reactions, self.stops = start, reactions, sorted(stops, key=lambda s: s[0])


def mass(index, n=1):
    def count(x):
        total = 1
        for k in range(n):
            total *= (x[index] - k) / (k + 1)
        return total

    return count


M0, M0_2, M0_3, M1 = mass(0), mass(0, 2), mass(0, 3), mass(1)

MODELS = {
    "birth_death": Model(
        "species X = 0\nparam k = 20\nparam g = 1\n0 -> X @ k\nX -> 0 @ g\n",
        ["X"], {"k": 20.0, "g": 1.0}, [0],
        [([1], lambda x, p, t: p[0]), ([-1], lambda x, p, t: p[1] * x[0])],
    ),
    "dimerisation": Model(
        "species M = 100, D = 0\nparam k1 = 0.001\nparam k2 = 0.1\n2 M -> D @ k1\nD -> 2 M @ k2\n",
        ["M", "D"], {"k1": 0.001, "k2": 0.1}, [100, 0],
        [([-2, 1], lambda x, p, t: p[0] * M0_2(x)), ([2, -1], lambda x, p, t: p[1] * x[1])],
    ),
    "schlogl": Model(
        "species X = 250\nparam a = 0.03\nparam b = 1e-4\nparam c = 200\nparam d = 3.5\n"
        "2 X -> 3 X @ a\n3 X -> 2 X @ b\n0 -> X @ c\nX -> 0 @ d\n",
        ["X"], {"a": 0.03, "b": 1e-4, "c": 200.0, "d": 3.5}, [250],
        [([1], lambda x, p, t: p[0] * M0_2(x)), ([-1], lambda x, p, t: p[1] * M0_3(x)),
         ([1], lambda x, p, t: p[2]), ([-1], lambda x, p, t: p[3] * x[0])],
    ),
    # A gene that waits long while the adjoint of its product dies away: a step is many life times long.
    "slow_gene": Model(
        "species G = 0, P = 0\nparam on = 0.02\nparam off = 0.5\nparam make = 40\nparam die = 3\n"
        "0 => G @ on * (1 - G)\nG -> 0 @ off\nG -> G + P @ make\nP -> 0 @ die\n",
        ["G", "P"], {"on": 0.02, "off": 0.5, "make": 40.0, "die": 3.0}, [0, 0],
        [([1, 0], lambda x, p, t: p[0] * (1 - x[0])), ([-1, 0], lambda x, p, t: p[1] * x[0]),
         ([0, 1], lambda x, p, t: p[2] * x[0]), ([0, -1], lambda x, p, t: p[3] * x[1])],
    ),
    # A law of its own, conservation.
    "enzyme": Model(
        "species S = 60, P = 0\nparam v = 9\nparam h = 20\nparam r = 0.05\n"
        "S => P @ v * S / (h + S)\nP -> S @ r\n",
        ["S", "P"], {"v": 9.0, "h": 20.0, "r": 0.05}, [60, 0],
        [([-1, 1], lambda x, p, t: p[0] * x[0] / (p[1] + x[0])), ([1, -1], lambda x, p, t: p[2] * x[1])],
    ),
    # Events, and a rate that changes at given times.
    "doses": Model(
        "species A = 5, B = 0\nparam dose = 30\nparam k = 0.8\nparam g = 0.4\n"
        "A -> B @ if t < 1.5 or t > 3.25 then k else 0.3 * k\nB -> 0 @ g * dose / 30\n"
        "at 1: A = A + dose\nevery 1.25 from 0.5: B = 2 * B, A = A + B\n",
        ["A", "B"], {"dose": 30.0, "k": 0.8, "g": 0.4}, [5, 0],
        [([-1, 1], lambda x, p, t: (p[1] if t < 1.5 or t > 3.25 else 0.3 * p[1]) * x[0]),
         ([0, -1], lambda x, p, t: p[2] * p[0] / 30 * x[1])],
        [(1.0, lambda x, p: [x[0] + p[0], x[1]]), (1.5, None), (3.25, None)]
        + [(0.5 + 1.25 * k, lambda x, p: [x[0] + x[1], 2 * x[1]]) for k in range(20)],
    ),
}  # fmt: skip

# ---- the path and its adjoint, in Python ---------------------------------------------------------


def follow(model, params, seed, end):
    """[(start, end, middle, state, what happens at the end)], in order; the last entry has length 0."""
    x = [float(c) for c in model.start]
    t, step, stops, path = 0.0, 0, [s for s in model.stops if s[0] <= end], []
    while True:
        stop = stops[0][0] if stops else end
        middle = 0.5 * (t + min(stop, end))
        rates = [rate(x, params, middle) for _, rate in model.reactions]
        total = 0.0
        sums = []
        for rate in rates:
            total += rate
            sums.append(total)
        u, v = uniforms(seed, 0, step)
        step += 1
        arrival = t + abs(math.log(u) / total) if total else math.inf
        if arrival < stop:
            fired = next(j for j, c in enumerate(sums) if v * total < c)
            path.append((t, arrival, middle, x, None))
            x = [a + b for a, b in zip(x, model.reactions[fired][0])]
            t = arrival
            continue
        assigns = stops.pop(0)[1] if stops else None
        path.append((t, stop, middle, x, assigns))
        if assigns:
            x = [float(round(c)) for c in assigns(x, params)]
        t = stop
        if t >= end and not stops:
            path.append((end, end, end, x, None))
            return path


def slopes(function, values):
    """The derivatives by complex steps."""
    found = []
    for k in range(len(values)):
        moved = [complex(v) for v in values]
        moved[k] += 1e-30j
        found.append(complex(function(moved)).imag / 1e-30)
    return found


def back_over(matrix, force, length, adjoint):
    """The adjoint at the start of a piece, and its integral."""
    n = len(adjoint)
    size = max([sum(abs(e) for e in row) for row in matrix] + [0]) * length
    parts = max(1, math.ceil(4 * size))
    h, area = length / parts, [0.0] * n
    for _ in range(parts):
        term, now = list(adjoint), list(adjoint)
        for c in range(n):
            area[c] += h * term[c]
        for k in range(1, 31):
            term = [
                h / k * (sum(matrix[c][d] * term[d] for d in range(n)) + (force[c] if k == 1 else 0)) for c in range(n)
            ]
            for c in range(n):
                now[c] += term[c]
                area[c] += h / (k + 1) * term[c]
        adjoint = now
    return adjoint, area


def reference(model, params, path, states, integrals, functional):
    """dF/dp. states: (time, g(x)); integrals: (from, to, g(x)); functional: F(values of both)."""
    species, names = len(model.species), len(params)

    def state_at(time):
        return [x for start, _, _, x, _ in path if start <= time][-1]

    values = [g(state_at(time)) for time, g in states]
    for a, b, g in integrals:
        values.append(sum(max(0.0, min(e, b) - max(s, a)) * g(x) for s, e, _, x, _ in path))
    weights = slopes(functional, values)
    marks = sorted({time for time, _ in states} | {e for a, b, _ in integrals for e in (a, b)}, reverse=True)
    adjoint, gradient, force_weight = [0.0] * species, [0.0] * names, [0.0] * len(integrals)
    waiting = list(marks)
    for start, end, middle, x, assigns in reversed(path):
        if assigns:
            after = adjoint  # parameters in what is assigned are held: counts are whole numbers
            adjoint = slopes(lambda y: sum(l * v for l, v in zip(after, assigns(y, params))), x)
        by_state = [slopes(lambda y: rate(y, params, middle), x) for _, rate in model.reactions]
        by_param = [slopes(lambda q: rate(x, q, middle), params) for _, rate in model.reactions]
        matrix = [
            [sum(change[d] * by_state[j][c] for j, (change, _) in enumerate(model.reactions)) for d in range(species)]
            for c in range(species)
        ]
        at = end
        while True:
            to = max(start, waiting[0]) if waiting else start
            force = [0.0] * species
            for k, (_, _, g) in enumerate(integrals):
                if force_weight[k]:
                    force = [f + force_weight[k] * s for f, s in zip(force, slopes(g, x))]
            adjoint, area = back_over(matrix, force, at - to, adjoint)
            for j, (change, _) in enumerate(model.reactions):
                worth = sum(c * a for c, a in zip(change, area))
                for p in range(names):
                    gradient[p] += by_param[j][p] * worth
            at = to
            if not waiting or waiting[0] < start:
                break
            mark = waiting.pop(0)
            for k, (time, g) in enumerate(states):
                if time == mark:
                    adjoint = [l + weights[k] * s for l, s in zip(adjoint, slopes(g, x))]
            for k, (a, b, _) in enumerate(integrals):
                if b == mark:
                    force_weight[k] += weights[len(states) + k]
                if a == mark:
                    force_weight[k] -= weights[len(states) + k]
    return functional(values), gradient


# ---- the checks ----------------------------------------------------------------------------------

# What is asked of the program, and of the reference: model, --of, end, states, integrals, functional.
CASES = [
    ("birth_death", "X", 2, [(2, lambda x: x[0])], [], lambda v: v[0]),
    ("birth_death", "X^2", 2, [(2, lambda x: x[0] ** 2)], [], lambda v: v[0]),
    ("dimerisation", "M", 10, [(10, lambda x: x[0])], [], lambda v: v[0]),
    ("dimerisation", "average(D, 2, 7) * at(M, 5)", 10, [(5, lambda x: x[0])], [(2, 7, lambda x: x[1])],
     lambda v: v[0] * v[1] / 5),
    ("schlogl", "X", 0.5, [(0.5, lambda x: x[0])], [], lambda v: v[0]),
    ("slow_gene", "P", 60, [(60, lambda x: x[1])], [], lambda v: v[0]),
    ("slow_gene", "integral(P*P) + 3*at(G, 20)", 60, [(20, lambda x: x[0])], [(0, 60, lambda x: x[1] * x[1])],
     lambda v: v[1] + 3 * v[0]),
    ("enzyme", "total(P^2, 0, 8, 0.5)", 8,
     [(0.5 * k, lambda x: x[1] ** 2) for k in range(17)], [], sum),
    ("doses", "B + A", 4.5, [(4.5, lambda x: x[0] + x[1])], [], lambda v: v[0]),
    ("doses", "average(A*B, 1, 4) + at(B, 3)", 4.5, [(3, lambda x: x[1])], [(1, 4, lambda x: x[0] * x[1])],
     lambda v: v[0] + v[1] / 3),
]  # fmt: skip


def model_file(program, name):
    return program.file(name + ".rxn", "model %s\n%s" % (name, MODELS[name].text))


def grad(program, model, of, at, *flags, estimator="path-adjoint"):
    done = program.good("grad", model, "--of", of, "--at", str(at), "--estimator", estimator, "--json", "-", "--quiet",
                        *[str(f) for f in flags])  # fmt: skip
    return json.loads(done.out)


def numbers(result):
    return [[e["value"]] + [p["gradient"] for p in e["parameters"]] for e in result]


def names_of(result):
    return [p["name"] for p in result[0]["parameters"]]


def test_against_the_reference(program):
    """Trajectory by trajectory, the same number."""
    for name, of, end, states, integrals, functional in CASES:
        model = MODELS[name]
        params = list(model.params.values())
        for seed in (1, 2, 20240229):
            value, expected = reference(
                model, params, follow(model, params, seed, end), states, integrals, functional
            )
            result = grad(program, model_file(program, name), of, end, "-n", 1, "--seed", seed)
            assert names_of(result) == list(model.params), names_of(result)
            found = numbers(result)[0]
            assert abs(found[0] - value) <= 1e-9 * abs(value), (name, of, seed, found[0], value)
            scale = max(abs(p * g) for p, g in zip(params, expected))
            for k, (p, a, b) in enumerate(zip(params, found[1:], expected)):
                assert abs(a - b) * p <= 1e-7 * scale, (name, of, seed, list(model.params)[k], a, b)


def test_forward_mode_agrees(program):
    """Forward mode is another program for the same number; here over many trajectories."""
    for name, of, end, *_ in CASES:
        model = model_file(program, name)
        backward = numbers(grad(program, model, of, end, "-n", 50))
        forward = numbers(grad(program, model, of, end, "-n", 50, estimator="path-forward"))
        params = list(MODELS[name].params)
        for a, b, p in zip(backward[0][1:], forward[0][1:], params):
            assert abs(a - b) <= 1e-7 * max(abs(b), 1e-3 * abs(forward[0][0])), (name, of, p, a, b)


# More tangents than are written out one by one: the forward mode has loops then.
MANY = """model many
param k[6] = 1.3, d[6] = 0.4, b = 0.02
species A[6] = 12
for s in 0 .. 4 { hop: A[s] -> A[s+1] @ k[s] * (1 + 0.1 * s) }
for s in 0 .. 5 { lose: A[s] -> 0 @ d[s] }
0 -> A[0] @ 5 * k[5]
A[0] + A[1] -> A[2] @ b
at 0.4: A[2] = A[2] + 2 * A[0], A[4] = A[3]
every 0.3: A[5] = 3
simulate until 1 every 0.5
"""


def test_forward_mode_of_many_parameters(program):
    """Against the adjoint, which shares nothing with it but the slopes; and the interpreter, against compiled code."""
    model = program.file("many.rxn", MANY)
    for of in ("A[5]", "average(A[2] * A[3])", "A[1]^2 * at(A[4], 0.5)", "integral(A[2], 0.2, 0.9)", "k[1] * A[3]"):
        backward = numbers(grad(program, model, of, 1, "-n", 40))[0]
        forward = numbers(grad(program, model, of, 1, "-n", 40, estimator="path-forward"))[0]
        assert len(forward) == 14, forward
        largest = max(abs(g) for g in forward[1:])
        assert largest > 0, of
        for a, b in zip(backward, forward):
            assert abs(a - b) <= 1e-7 * max(abs(b), 1e-2 * largest), (of, backward, forward)
        if not program.device:
            again = grad(program, model, of, 1, "-n", 40, "--device", "interpreter", estimator="path-forward")
            check_equal(numbers(again)[0], forward, "in the interpreter")


def test_rounding_averages_out(program):
    """The adjoint's steps are f32, whose rounding is 6e-8; what is left of it over many trajectories is far less, unless
    something is rounded the same way in every step, as a constant would be."""
    model = program.file("many.rxn", MANY)
    for of in ("A[5]", "average(A[2] * A[3])", "integral(A[2], 0.2, 0.9)"):
        backward = numbers(grad(program, model, of, 1, "-n", 2000))[0]
        forward = numbers(grad(program, model, of, 1, "-n", 2000, estimator="path-forward"))[0]
        largest = max(abs(g) for g in forward[1:])
        for a, b in zip(backward, forward):
            assert abs(a - b) <= 1e-8 * largest, (of, backward, forward)


# ---- random networks -----------------------------------------------------------------------------


def random_network(r):
    """A model, its params, an end, and what is differentiated. Of each reaction a few dozen events in a trajectory at most, whatever
    the populations (up to 10^8) and the time's unit; events that assign in some."""
    species = ["S%d" % k for k in range(r.randint(2, 6))]
    end, many = 10 ** r.uniform(-6, 6), r.choice([1, 1, 1, 1000, 10**6, 3 * 10**7])
    params, reactions = {}, []
    while len(reactions) < 2 or r.random() < 0.8:
        a, b, c = (r.choice(species) for _ in range(3))
        form, slower = r.choice([
            ("0 -> {a} @ {k}", 1 / 5), ("{a} -> 0 @ {k}", many), ("0 => {b} @ {k} * hill({a}, {half}, 2)", 1 / 5),
            ("{a} -> {b} @ {k}", many), ("{a} -> {a} + {b} @ {k}", 3 * many),
            ("{a} + {b} -> {c} @ {k}", 4 * many**2), ("2 {a} -> {b} @ {k}", 8 * many**2),
        ])  # fmt: skip
        if len({a, b, c}) < 3 and "{b}" in form and (a == b or "{c}" in form):
            continue
        name = "k%d" % len(params)
        params[name] = 10 ** r.uniform(-1, 1.2) / end / slower
        reactions.append(form.format(a=a, b=b, c=c, k=name, half=5 * many))
    if r.random() < 0.3:
        reactions.append("at %r: %s = %s + 3" % (end * r.random(), species[0], species[0]))
    if r.random() < 0.2:
        reactions.append("every %r: %s = 2" % (end * 0.37, species[-1]))
    lines = ["model random", "species " + ", ".join("%s = %d" % (s, r.randint(0, 20) * many) for s in species)]
    lines += ["param %s = %r" % param for param in params.items()]
    of = r.choice(["{0}", "{0}*{1}", "average({0})", "integral({0}, %r, %r)" % (end * 0.2, end * 0.8)])
    return "\n".join(lines + reactions) + "\n", params, end, of.format(r.choice(species), r.choice(species))


def test_random_networks(program):
    """Against the forward mode, by the largest of all params' effects: the adjoint's steps are f32."""
    for seed in range(16):
        text, params, end, of = random_network(random.Random(seed))
        model = program.file("random%d.rxn" % seed, text)
        flags = ["-n", [1, 20, 200][seed % 3], "--seed", seed, "--wrt", ",".join(params)]
        backward = numbers(grad(program, model, of, repr(end), *flags))[0]
        forward = numbers(grad(program, model, of, repr(end), *flags, estimator="path-forward"))[0]
        largest = max(abs(k * b) for k, b in zip(params.values(), forward[1:]))
        assert abs(backward[0] - forward[0]) <= 1e-9 * abs(forward[0]), (text, of)
        for k, a, b in zip(params.values(), backward[1:], forward[1:]):
            assert abs(k * (a - b)) <= 1e-6 * largest, (text, of, backward, forward)


# Constants and times that are none of f32's numbers.
FAR = """model far
species A = 5, B = 0
param V = 1e-45, k = 1e45, d = 1, s = 2e40, q = 3
A -> B @ k * V
B -> A @ d
2 A + 2 B -> 0 @ 0.1 * s * 1e-41
0 -> A @ q
"""
SHORT = """model short
species A = 5, B = 0
param k = 1e41, d = 2e41, q = 3e41
A -> B @ k
B -> A @ d
B -> 0 @ 0.3 * k
0 -> A @ q
"""


def test_constants_of_any_size(program):
    """Part of a backward step is f32: what f32 does not hold has to go another way. Against the forward mode, which is f64."""
    for name, text, end in (("far", FAR, 2), ("short", SHORT, 2e-41)):
        model = program.file(name + ".rxn", text)
        backward = numbers(grad(program, model, "A*B", end, "-n", 20))[0]
        forward = numbers(grad(program, model, "A*B", end, "-n", 20, estimator="path-forward"))[0]
        for a, b in zip(backward, forward):
            assert b != 0 and abs(a - b) <= 1e-6 * abs(b), (name, backward, forward)


def test_blocks_and_checkpoints(program):
    """A tape of a few steps gives the same bits as one that takes all. The smallest that is not full has all its
    checkpoints in use."""
    for name, of, end, *_ in CASES:
        model = model_file(program, name)
        flags = ["-n", 40, "--threads", 1, "--lanes", 1]
        whole = numbers(grad(program, model, of, end, *flags, "--tape-memory", "1M"))
        sizes = []
        for size in [64000 // 2**k for k in range(12)]:
            try:
                parts = numbers(grad(program, model, of, end, *flags, "--tape-memory", size))
            except AssertionError as failed:
                assert "the memory for the backward pass is full" in str(failed), failed
                break
            assert parts == whole, (name, of, size, parts, whole)
            sizes.append(size)
        assert 0 < len(sizes) < 12, (name, of, sizes)


def test_full_tape(program):
    """A tape too small even for its checkpoints is an error that says what helps."""
    model = model_file(program, "schlogl")
    done = program.bad(1, "grad", model, "--of", "X", "--at", "4", "--estimator", "path-adjoint", "-n", "4",
                       "--threads", "1", "--tape-memory", "20K")  # fmt: skip
    assert "the memory for the backward pass is full" in done.err and "--tape-memory" in done.err, done.err


def test_lanes_threads_interpreter(program):
    """The same bits for every number of lanes and threads, and from the interpreter."""
    for name, of, end, *_ in CASES:
        model = model_file(program, name)
        flags = ["-n", 12, "--tape-memory", "1M"]
        first = numbers(grad(program, model, of, end, *flags, "--threads", 1))
        for more in (["--lanes", 1], ["--lanes", 4], ["--threads", 3], ["--device", "interpreter"]):
            assert numbers(grad(program, model, of, end, *flags, *more)) == first, (name, of, more)


def test_path_is_the_one_or_the_other(program):
    """`path` goes backward for many parameters, forward for many outputs, and says so."""
    model = model_file(program, "schlogl")
    for wrt, goes in (("a,b,c,d", "backward"), ("d", "forward")):
        result = grad(program, model, "X", 0.5, "-n", 8, "--wrt", wrt, estimator="path")[0]
        assert goes in result["remarks"], result["remarks"]


def test_refusals(program):
    """What it cannot do, and who can."""
    model = program.file("when.rxn", "species X = 5\nparam k = 1\n0 -> X @ k\nwhen X > 8: X = 0\n")
    done = program.bad(1, "grad", model, "--of", "X", "--at", "2", "--estimator", "path-adjoint")
    assert "'when'" in done.err and "score" in done.err, done.err
    model = model_file(program, "birth_death")
    done = program.bad(1, "grad", model, "--of", "floor(X/2)", "--at", "2", "--estimator", "path-adjoint")
    assert "score" in done.err, done.err


def test_memory_is_bounded(program):
    """Many steps on a small tape: the process stays small."""
    model = program.file("busy.rxn", "species X = 100\nparam k = 1000\nparam g = 10\n0 -> X @ k\nX -> 0 @ g\n")
    peak = []
    for end in (1, 1000):
        command = [program.path, "grad", model, "--of", "X", "--at", str(end), "-n", "16", "--threads", "1", "--quiet"]
        command += ["--estimator", "path-adjoint", "--tape-memory", "8M", "--json", "-"]
        size, out = peak_of(command)
        peak.append(size)
        events = json.loads(out)[0]["events"]
    assert events > 3e7, events  # 300 MB, were all steps kept
    assert peak[1] - peak[0] < 20e3, peak


if __name__ == "__main__":
    sys.exit(main([test for name, test in list(globals().items()) if name.startswith("test_")]))
