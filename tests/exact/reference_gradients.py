#!/usr/bin/env python3
"""Estimates of single trajectories against a second implementation, digit by digit.

    reference_gradients.py --rxn PATH [--case NAME] [--list]

Statistics say whether an estimator is right on the average. The biased ones (gumbel, propensity, path outside of
affine networks) have no such oracle, and an unbiased one can be wrong where no statistic looks. So every trajectory
is made here a second time, from the definitions: Philox, the direct method, and then the estimator. Nothing is
shared with the compiler, and all that can be is done in another way: the compiler goes backward with adjoints of
symbolic derivatives and undoes the path from a tape; here tangents go forward, one parameter at a time, and the
derivatives of rates and functionals are complex steps, Im f(x + i h)/h (W. Squire, G. Trapp, SIAM Review 40, 110,
1998), which have no cancellation and so are exact up to rounding.

    score        F S; S = sum over events of d log a_j/dp, less the integral of d a0/dp
    path         y' = J y + b between events, y the derivative of the state, by the series of the exponential of
                 the matrix; events keep y, assignments take it through their derivative
    propensity   dx(n+1) = dx(n) + sum_j v_j dy_j, dy_j = y_j (da_j/a_j - sum_k y_k da_k/a_k)/tau over a_j > 0, and
    gumbel       dt(n+1) = dt(n) - d sum_j da_j/a0 for the wait d. y_j = a_j/a0 in propensity. In gumbel
                 y = softmax((log a + g)/tau), with g the Gumbel noise that would have chosen j: given that, the
                 least of the exponential times T_j = exp(-(log a_j + g_j)) is E_j/a0 and the others are
                 E_j/a0 + E_k/a_k, E standard exponentials from the streams of the noise. A state read at a time
                 is read on the line between the states around it. Where a time that is given (the end, a
                 switch of a rate) cuts a wait, the wait that was cut still makes the line.

Compared are the derivatives of one trajectory (-n 1) for some seeds, and the mean and standard error of a few
(the delta method for outputs such as variances, where the error is that of the influence of one trajectory: here
the derivative of the estimate by its weight).
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

STEP = 1e-100  # of complex steps
RUNS = ((1, 1), (0x123456789ABCDEF, 3))  # seed, trajectories


# ---- random numbers ---------------------------------------------------------------------------------------------


def philox(key, counter):
    """Philox4x32-10 (J. Salmon and others, SC 2011). key: 64 bits; counter: four words of 32."""
    mask = 0xFFFFFFFF
    k0, k1 = key & mask, key >> 32
    c0, c1, c2, c3 = counter
    for _ in range(10):
        a, b = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & mask, (a >> 32) ^ c3 ^ k1, a & mask
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return c0, c1, c2, c3


def block(seed, trajectory, step, stream):
    return philox(seed, (step & 0xFFFFFFFF, stream << 16 | step >> 32, trajectory & 0xFFFFFFFF, trajectory >> 32))


def uniforms(seed, trajectory, step):
    """For the wait, in (0, 1): 26 bits of a word, 26 of the next, and half a unit. For the choice, in [0, 1): 27 and 26."""
    w = block(seed, trajectory, step, 0)
    return (w[0] >> 6) * 2.0**-26 + ((w[1] >> 6) * 2.0**-52 + 2.0**-53), (w[2] >> 5) * 2.0**-27 + (w[3] >> 6) * 2.0**-53


def exponentials(seed, trajectory, step, reactions, draw):
    """Standard exponentials of the noise, 16 bits each: eight in a block, and the blocks of a draw after those of the
    one before."""
    blocks = (reactions + 7) // 8
    halves = []
    for k in range(blocks):
        for word in block(seed, trajectory, step, 16 + draw * blocks + k):
            halves += [word & 0xFFFF, word >> 16]
    return [-math.log((h + 0.5) / 65536) for h in halves[:reactions]]


# ---- derivatives ------------------------------------------------------------------------------------------------


def all_along(f, direction, *where):
    """The derivatives of the list f(*where), each argument a list, in a direction: lists too."""
    moved = [[v + 1j * STEP * d for v, d in zip(values, change)] for values, change in zip(where, direction)]
    return [complex(value).imag / STEP for value in f(*moved)]


def along(f, direction, *where):
    """The same of a number."""
    return all_along(lambda *at: [f(*at)], direction, *where)[0]


def unit(count, index):
    return [1.0 if k == index else 0.0 for k in range(count)]


# ---- models -----------------------------------------------------------------------------------------------------


class Model:
    """rates(x, p, t): propensities of a state, of parameters, and, where they switch, of a time between switches.
    assign: time -> function of (x, p) that gives the new state. initial(p)."""

    def __init__(self, text, start, values, changes, rates, switches=(), assign=None, initial=None):
        self.text, self.start, self.values, self.changes, self.rates = text, start, values, changes, rates
        self.switches, self.assign, self.initial = switches, assign or {}, initial


def hill(x, k, n):
    if x == 0:  # 0 to a complex power is refused
        return 0.0
    return x**n / (k**n + x**n)


MODELS = {
    "birth_death": Model(
        """model birth_death
species X = 3
param k = 4
param g = 0.7
0 -> X @ k
X -> 0 @ g
""",
        [3], [4, 0.7], [[1], [-1]], lambda x, p, t: [p[0], p[1] * x[0]]),
    # Dies out, so that the last steps have no propensity at all.
    "dies": Model(
        """model dies
species X = 5, Y = 0
param g = 0.9
param h = 1.4
X -> Y @ g
Y -> 0 @ h
X + Y -> 2 Y @ g*h
""",
        [5, 0], [0.9, 1.4], [[-1, 1], [0, -1], [-1, 1]],
        lambda x, p, t: [p[0] * x[0], p[1] * x[1], p[0] * p[1] * x[0] * x[1]]),
    "dimerisation": Model(
        """model dimerisation
species M = 20, D = 0
param k1 = 0.03
param k2 = 0.4
2 M -> D @ k1
D -> 2 M @ k2
""",
        [20, 0], [0.03, 0.4], [[-2, 1], [2, -1]], lambda x, p, t: [p[0] * x[0] * (x[0] - 1) / 2, p[1] * x[1]]),
    "telegraph": Model(
        """model telegraph
species off = 1, on = 0, R = 0
param a = 1.5
param b = 0.8
param s = 6
param d = 1
off -> on      @ a
on  -> off     @ b
on  -> on + R  @ s
R   -> 0       @ d
""",
        [1, 0, 0], [1.5, 0.8, 6, 1], [[-1, 1, 0], [1, -1, 0], [0, 0, 1], [0, 0, -1]],
        lambda x, p, t: [p[0] * x[0], p[1] * x[1], p[2] * x[1], p[3] * x[2]]),
    # Five reactions: two blocks of noise. The law of B is zero, and so is its slope, while there is no A.
    "cascade": Model(
        """model cascade
species A = 0, B = 0, C = 2
param k = 3
param v = 5
param K = 2
param n = 2
param d = 0.5
let activity = v * hill(A, K, n)
0 => A     @ k
A -> 0     @ d
0 => B     @ activity
B -> C     @ d * k / 2
C => 0     @ d * C + 0.1 * C * B / (1 + C)
""",
        [0, 0, 2], [3, 5, 2, 2, 0.5], [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 1], [0, 0, -1]],
        lambda x, p, t: [p[0], p[4] * x[0], p[1] * hill(x[0], p[2], p[3]), p[4] * p[0] / 2 * x[1],
                         p[4] * x[2] + 0.1 * x[2] * x[1] / (1 + x[2])]),
    "switch": Model(
        """model switch
species X = 2
param k = 3
param g = 0.8
0 => X @ if t < 0.75 then k else 2.5*k
X -> 0 @ if t < 1.5 then g else 2*g
""",
        [2], [3, 0.8], [[1], [-1]],
        lambda x, p, t: [p[0] if t < 0.75 else 2.5 * p[0], (p[1] if t < 1.5 else 2 * p[1]) * x[0]],
        switches=(0.75, 1.5)),
    "dosing": Model(
        """model dosing
species X = 4, Y = 1
param k = 2
param g = 0.8
0 -> X @ k
X -> Y @ g
2 Y -> 0 @ g
at 0.5:           X = 3*X + Y, Y = k
every 0.75 from 1: Y = Y + X
""",
        [4, 1], [2, 0.8], [[1, 0], [-1, 1], [0, -2]],
        lambda x, p, t: [p[0], p[1] * x[0], p[1] * x[1] * (x[1] - 1) / 2],
        assign={0.5: lambda x, p: [3 * x[0] + x[1], p[0]], 1.0: lambda x, p: [x[0], x[1] + x[0]],
                1.75: lambda x, p: [x[0], x[1] + x[0]]}),
}


# ---- what is read -----------------------------------------------------------------------------------------------


class State:
    """of(x, p) at a time."""

    def __init__(self, of, at):
        self.of, self.at = of, at


class Integral:
    def __init__(self, of, begin, at):
        self.of, self.begin, self.at = of, begin, at


class Output:
    """text: --of, with --at. value(q, p) of the means q of the functionals; a functional f(atoms, p). alone: also in
    a run of its own, since an output that is a sum of more functionals takes one backward sweep there."""

    def __init__(self, text, at, atoms, functionals=None, value=None, alone=False):
        self.text, self.at, self.atoms, self.alone = text, at, atoms, alone
        self.functionals = functionals or [lambda q, p: q[0]]
        self.value = value or (lambda q, p: q[0])


X2 = [State(lambda x, p: x[0], 2)]
LAST = lambda s, at: [State(lambda x, p: x[s], at)]  # noqa: E731

OUTPUTS = {
    "birth_death": [
        Output("X", 2, X2),
        Output("X", 0, LAST(0, 0)),
        Output("X^2 + k*X", 2, [State(lambda x, p: x[0] ** 2 + p[0] * x[0], 2)]),
        Output("at(X, 0.5)*X", 2, [State(lambda x, p: x[0], 0.5)] + X2, [lambda q, p: q[0] * q[1]]),
        Output("integral(X)", 2, [Integral(lambda x, p: x[0], 0, 2)]),
        Output("average(X^2, 0.5, 1.25)", 2, [Integral(lambda x, p: x[0] ** 2, 0.5, 1.25)], [lambda q, p: q[0] / 0.75]),
        Output("integral(X, 0.3, 1)*at(X, 0.5)*exp(g*X/10)", 2,
               [Integral(lambda x, p: x[0], 0.3, 1), State(lambda x, p: x[0], 0.5)] + X2,
               [lambda q, p: q[0] * q[1] * complex_exp(p[1] * q[2] / 10)]),
        # Terms of a sum that end at different times are functionals of their own.
        Output("total(X*t, 0, 2, 0.25)", 2,
               [State(lambda x, p, t=k / 4: x[0] * t, k / 4) for k in range(9)],
               [lambda q, p, k=k: q[k] for k in range(9)], lambda q, p: sum(q), alone=True),
        Output("var(X)", 2, X2, [lambda q, p: q[0] ** 2, lambda q, p: q[0]], lambda q, p: q[0] - q[1] ** 2),
        # Of two times: counted from the start, where X is 3; a reading is, for its mean, not.
        Output("cov(at(X, 1), X)/mean(X) - k", 2, [State(lambda x, p: x[0], 1)] + X2,
               [lambda q, p: (q[0] - 3) * (q[1] - 3), lambda q, p: q[0], lambda q, p: q[1] - 3, lambda q, p: q[1]],
               lambda q, p: (q[0] - (q[1] - 3) * q[2]) / q[3] - p[0]),
    ],
    "dies": [
        Output("Y", 1, LAST(1, 1)),
        Output("Y + 2*X", 20, [State(lambda x, p: x[1] + 2 * x[0], 20)]),
        Output("integral(X*Y)", 20, [Integral(lambda x, p: x[0] * x[1], 0, 20)]),
        Output("at(X, 0.5)*at(Y, 1)*integral(Y, 0.5, 30)", 30,
               [State(lambda x, p: x[0], 0.5), State(lambda x, p: x[1], 1), Integral(lambda x, p: x[1], 0.5, 30)],
               [lambda q, p: q[0] * q[1] * q[2]]),
    ],
    "dimerisation": [
        Output("M", 1, LAST(0, 1)),
        Output("M*D + k1*M", 1, [State(lambda x, p: x[0] * x[1] + p[0] * x[0], 1)]),
        Output("average(D)", 1, [Integral(lambda x, p: x[1], 0, 1)]),
        Output("(M - at(M, 0.25))^2", 1, [State(lambda x, p: x[0], 0.25)] + LAST(0, 1), [lambda q, p: (q[1] - q[0]) ** 2]),
    ],
    "telegraph": [
        Output("R", 3, LAST(2, 3)),
        Output("R*on + R^2", 3, [State(lambda x, p: x[2] * x[1] + x[2] ** 2, 3)]),
        Output("average(R, 1, 3)", 3, [Integral(lambda x, p: x[2], 1, 3)], [lambda q, p: q[0] / 2]),
        Output("at(on, 1)*integral(R)", 3, [State(lambda x, p: x[1], 1), Integral(lambda x, p: x[2], 0, 3)],
               [lambda q, p: q[0] * q[1]]),
    ],
    "cascade": [
        Output("C", 2, LAST(2, 2)),
        Output("activity*C", 2, [State(lambda x, p: p[1] * hill(x[0], p[2], p[3]) * x[2], 2)]),
        Output("integral(activity, 0.5, 2)", 2, [Integral(lambda x, p: p[1] * hill(x[0], p[2], p[3]), 0.5, 2)]),
        Output("at(B, 1)*C", 2, [State(lambda x, p: x[1], 1)] + LAST(2, 2), [lambda q, p: q[0] * q[1]]),
    ],
    "switch": [
        Output("X", 2, X2),
        Output("at(X, 0.75)", 2, LAST(0, 0.75)),
        Output("at(X, 0.75)*at(X, 0.5)*X", 2, LAST(0, 0.75) + LAST(0, 0.5) + X2, [lambda q, p: q[0] * q[1] * q[2]]),
        Output("integral(X, 0.5, 1.5)", 2, [Integral(lambda x, p: x[0], 0.5, 1.5)]),
        Output("integral(X)", 2, [Integral(lambda x, p: x[0], 0, 2)]),
        Output("g*integral(X, 0.5, 1) - X", 2, [Integral(lambda x, p: x[0], 0.5, 1)] + X2,
               [lambda q, p: q[0], lambda q, p: q[1]], lambda q, p: p[1] * q[0] - q[1], alone=True),
    ],
    "dosing": [
        Output("X*Y", 2, [State(lambda x, p: x[0] * x[1], 2)]),
        Output("at(Y, 0.5)*at(X, 1)", 2, [State(lambda x, p: x[1], 0.5), State(lambda x, p: x[0], 1)],
               [lambda q, p: q[0] * q[1]]),
        Output("average(Y)", 1.75, [Integral(lambda x, p: x[1], 0, 1.75)], [lambda q, p: q[0] / 1.75]),
        Output("Y", 1.75, LAST(1, 1.75)),
    ],
}

# Estimators: what they are here, their options, and what relative error is tolerated: rounding; in gumbel's shares, and in
# the higher terms of path-adjoint's series, that of single precision; in path-forward the terms that are left out
# (compiler/method/pathwise.h).
ESTIMATORS = {
    "score": ("score", {}, 1e-12),
    "path-adjoint": ("path", {}, 5e-7),
    "path-forward": ("path", {}, 5e-8),
    "score-table": ("score", {"form": "table"}, 1e-10),
    "path-adjoint-table": ("path", {"form": "table"}, 5e-7),
    "propensity": ("propensity", {}, 1e-10),
    "gumbel": ("gumbel", {}, 1e-4),
    "gumbel-sharp": ("gumbel", {"tau": 0.3, "draws": 3}, 1e-4),
}


RELAXED = ("propensity", "gumbel")  # they do not take events


def complex_exp(z):
    return math.exp(z.real) * complex(math.cos(z.imag), math.sin(z.imag)) if isinstance(z, complex) else math.exp(z)


# ---- the path ---------------------------------------------------------------------------------------------------


class Piece:
    """The state x from start to end. There reaction `fires` (None: the wait was cut); with `wait` and `virtual`, what was
    drawn for it, and `number`, the number of its block of random numbers."""

    def __init__(self, x, start, end, middle, fires, wait, virtual, number):
        self.x, self.start, self.end, self.middle = x, start, end, middle
        self.fires, self.wait, self.virtual, self.number = fires, wait, virtual, number


def simulate(model, p, until, seed, trajectory):
    x, t, number, pieces = list(model.start), 0.0, 0, []
    stops = sorted({s for s in list(model.switches) + list(model.assign) if s < until} | {float(until)})
    for stop in stops:
        while True:
            middle = (t + stop) / 2
            a = model.rates(x, p, middle)
            total = sum(a)
            u, v = uniforms(seed, trajectory, number)
            wait = -math.log(u) / total if total > 0 else math.inf
            virtual, running = None, 0.0
            for j, rate in enumerate(a):
                running += rate
                if virtual is None and v * total < running:
                    virtual = j
            fires = virtual if t + wait < stop else None
            end = t + wait if fires is not None else stop
            pieces.append(Piece(list(x), t, end, middle, fires, wait, virtual, number))
            number += 1
            t = end
            if fires is None:
                break
            x = [n + c for n, c in zip(x, model.changes[fires])]
        if stop in model.assign:
            x = [round(n) for n in model.assign[stop](x, p)]
    pieces.append(Piece(list(x), t, t, t, None, math.inf, None, number))
    return pieces


def read(atoms, pieces, p):
    """The atoms' values. A state is the one after everything that happens at its time."""
    values = []
    for atom in atoms:
        if isinstance(atom, State):
            values.append(atom.of([piece.x for piece in pieces if piece.start <= atom.at][-1], p))
        else:
            values.append(sum(atom.of(piece.x, p) * max(0.0, min(piece.end, atom.at) - max(piece.start, atom.begin))
                              for piece in pieces))
    return values


def covers(piece, last, time):
    """Whether a state read at `time`, after all that happens then, is that of this piece."""
    return piece.start <= time and (time < piece.end or piece is last)


# ---- the estimators: derivatives of the atoms along the path ----------------------------------------------------


def rate_tangents(model, p, piece, leaf, dx):
    """Of all propensities."""
    return all_along(lambda y, q: model.rates(y, q, piece.middle), (dx, unit(len(p), leaf)), piece.x, p)


def assigned(model, p, before, time, dx):
    """Parameters in it are held, since counts are whole numbers."""
    return all_along(model.assign[time], (dx, [0.0] * len(p)), before, p)


def flow(matrix, source, dx, t):
    """y' = J y + b for the time t from dx: y(t) and the integral of y, by the series, t cut into 2^k parts."""
    n = len(dx)
    norm = max((sum(abs(v) for v in row) for row in matrix), default=0) * t
    parts = max(1, math.ceil(norm / 0.5))
    step, y, area = t / parts, list(dx), [0.0] * n
    for _ in range(parts):
        term = [sum(matrix[r][c] * y[c] for c in range(n)) + source[r] for r in range(n)]
        new, more = list(y), [v * step for v in y]
        for k in range(1, 16):  # term: the k-th derivative of y
            scale = step**k / math.factorial(k)
            new = [v + w * scale for v, w in zip(new, term)]
            more = [v + w * scale * step / (k + 1) for v, w in zip(more, term)]
            term = [sum(matrix[r][c] * term[c] for c in range(n)) for r in range(n)]
        y, area = new, [v + w for v, w in zip(area, more)]
    return y, area


def path_tangents(model, p, atoms, pieces, leaf):
    """d atom/dp of one trajectory, state derivatives taken along the flow."""
    species, out, y = len(model.start), [0.0] * len(atoms), [0.0] * len(model.start)
    for piece, after in zip(pieces, pieces[1:] + [None]):
        if after is not None and after.start == piece.start and piece.end == piece.start:
            continue
        columns = [rate_tangents(model, p, piece, leaf, unit(species, s)) for s in range(species)]
        own = rate_tangents(model, p, piece, leaf, [0.0] * species)
        matrix = [[sum(nu[r] * (columns[c][j] - own[j]) for j, nu in enumerate(model.changes)) for c in range(species)]
                  for r in range(species)]
        source = [sum(nu[r] * own[j] for j, nu in enumerate(model.changes)) for r in range(species)]
        for k, atom in enumerate(atoms):
            if isinstance(atom, State):
                if covers(piece, pieces[-1], atom.at):
                    there, _ = flow(matrix, source, y, atom.at - piece.start)
                    out[k] = along(atom.of, (there, unit(len(p), leaf)), piece.x, p)
                continue
            begin, end = max(piece.start, atom.begin), min(piece.end, atom.at)
            if end > begin:
                there, _ = flow(matrix, source, y, begin - piece.start)
                _, area = flow(matrix, source, there, end - begin)
                out[k] += along(atom.of, (area, [0.0] * len(p)), piece.x, p)
                out[k] += along(atom.of, ([0.0] * species, unit(len(p), leaf)), piece.x, p) * (end - begin)
        y, _ = flow(matrix, source, y, piece.end - piece.start)
        if piece.fires is None and piece.end in model.assign and after is not None:
            y = assigned(model, p, piece.x, piece.end, y)
    return out


def softmax_of(rates, piece, noise, tau):
    """y of one draw, and the a_j of zero left out."""
    total = sum(rates)
    if noise is None:
        return [a / total for a in rates]
    least = noise[piece.virtual] / total
    times = [(least if j == piece.virtual else least + noise[j] / a) if a > 0 else math.inf
             for j, a in enumerate(rates)]
    weights = [(least / t) ** (1 / tau) for t in times]
    return [w / sum(weights) for w in weights]


def relaxed_tangents(model, p, atoms, pieces, leaf, seed, trajectory, tau, draws):
    """The same of the relaxed path. draws: of the noise, to average over; 0: none, the shares are a_j/a0."""
    species, reactions = len(model.start), len(model.changes)
    out, dx, dt = [0.0] * len(atoms), [0.0] * species, 0.0
    for piece in pieces[:-1]:
        rates = model.rates(piece.x, p, piece.middle)
        total, moved = sum(rates), rate_tangents(model, p, piece, leaf, dx)
        behind, later = list(dx), dt  # of the state and the time that were drawn, even if a stop came first
        if total > 0:
            for draw in range(draws or 1):
                noise = exponentials(seed, trajectory, piece.number, reactions, draw) if draws else None
                share = softmax_of(rates, piece, noise, tau)
                logs = [m / a if a > 0 else 0.0 for m, a in zip(moved, rates)]
                mean = sum(y * g for y, g in zip(share, logs))
                for j, nu in enumerate(model.changes):
                    dy = share[j] * (logs[j] - mean) / tau / (draws or 1)
                    behind = [v + c * dy for v, c in zip(behind, nu)]
            later = dt - piece.wait * sum(m for m, a in zip(moved, rates)) / total
        for k, atom in enumerate(atoms):
            own = along(atom.of, ([0.0] * species, unit(len(p), leaf)), piece.x, p)
            if isinstance(atom, State):
                if atom.at == 0.0:
                    out[k] = own
                if piece.start < atom.at <= piece.end:  # a time that is given is the end of the wait that it cuts
                    s = (atom.at - piece.start) / piece.wait if total > 0 else 0.0
                    there = [(1 - s) * v + s * w for v, w in zip(dx, behind)]
                    if total > 0:
                        ds = -((1 - s) * dt + s * later) / piece.wait
                        there = [v + ds * c for v, c in zip(there, model.changes[piece.virtual])]
                    out[k] = along(atom.of, (there, [0.0] * len(p)), piece.x, p) + own
                continue
            begin, end = max(piece.start, atom.begin), min(piece.end, atom.at)
            if end > begin:
                value = atom.of(piece.x, p)
                out[k] += along(atom.of, (dx, unit(len(p), leaf)), piece.x, p) * (end - begin)
                if piece.fires is not None and end == piece.end:
                    out[k] += value * later
                if begin == piece.start:
                    out[k] -= value * dt
        if piece.fires is not None:
            dx, dt = behind, later
        else:
            dt = 0.0
    return out


def score(model, p, pieces, leaf, until):
    total = 0.0
    for piece in pieces:
        if piece.start >= until:
            break
        moved = rate_tangents(model, p, piece, leaf, [0.0] * len(model.start))
        total -= sum(moved) * (min(piece.end, until) - piece.start)
        if piece.fires is not None and piece.end <= until:
            total += moved[piece.fires] / model.rates(piece.x, p, piece.middle)[piece.fires]
    return total


# ---- ensembles --------------------------------------------------------------------------------------------------


def explicit(model, p, atoms, pieces, leaf):
    """d atom/dp where it reads the parameter itself."""
    out, still = [], [0.0] * len(model.start)
    for atom in atoms:
        slope = lambda x, atom=atom: along(atom.of, (still, unit(len(p), leaf)), x, p)  # noqa: E731
        if isinstance(atom, State):
            out.append(slope([piece.x for piece in pieces if piece.start <= atom.at][-1]))
        else:
            out.append(sum(slope(piece.x) * max(0.0, min(piece.end, atom.at) - max(piece.start, atom.begin))
                           for piece in pieces))
    return out


def last_time(output, functional, q, p):
    """The last that a functional reads."""
    return max(atom.at for k, atom in enumerate(output.atoms)
               if along(functional, (unit(len(q), k), [0.0] * len(p)), [v + 1.0 + 0.3 * n for n, v in enumerate(q)], p) != 0)


def row(model, output, kind, options, seed, trajectory):
    """Of one trajectory: the functionals' values; [functional][leaf]: scores, and derivatives that need none."""
    p, leaves = [float(v) for v in model.values], range(len(model.values))
    pieces = simulate(model, p, max([output.at] + [atom.at for atom in output.atoms]), seed, trajectory)
    q = read(output.atoms, pieces, p)
    values = [f(q, p) for f in output.functionals]
    scores = [[0.0] * len(p) for _ in values]
    direct = [[0.0] * len(p) for _ in values]
    for leaf in leaves:
        if kind == "path":
            tangents = path_tangents(model, p, output.atoms, pieces, leaf)
        elif kind in RELAXED:
            draws = options.get("draws", 1) if kind == "gumbel" else 0
            tangents = relaxed_tangents(model, p, output.atoms, pieces, leaf, seed, trajectory, options.get("tau", 1.0), draws)
        else:
            tangents = explicit(model, p, output.atoms, pieces, leaf)
        for i, f in enumerate(output.functionals):
            direct[i][leaf] = along(f, (tangents, unit(len(p), leaf)), q, p)
            if kind == "score":
                scores[i][leaf] = score(model, p, pieces, leaf, last_time(output, f, q, p))
    return values, scores, direct


def difference(f, h):
    """f'(0), with an error of h^6."""
    return (45 * (f(h) - f(-h)) - 9 * (f(2 * h) - f(-2 * h)) + f(3 * h) - f(-3 * h)) / (60 * h)


def reduce(model, output, table):
    """The output's value, and by each parameter the derivative and its standard error (n = 1: None)."""
    p, n, every = [float(v) for v in model.values], len(table), range(len(output.functionals))
    mean = [sum(values[i] for values, _, _ in table) / n for i in every]
    found = []
    for leaf in range(len(p)):
        # What each trajectory says of the derivative of each functional, centred by the mean of the others.
        others = [[(n * mean[i] - values[i]) / (n - 1) if n > 1 else 0.0 for i in every] for values, _, _ in table]
        c = [[(values[i] - others[t][i]) * scores[i][leaf] + direct[i][leaf] for i in every]
             for t, (values, scores, direct) in enumerate(table)]
        slope = [sum(of_one[i] for of_one in c) / n for i in every]

        def estimate(t, weight):
            """If trajectory t had more weight."""
            at = [v + weight * (w - v) for v, w in zip(mean, table[t][0])]
            toward = [v + weight * (w - v) for v, w in zip(slope, c[t])]
            return along(output.value, (toward, unit(len(p), leaf)), at, p)

        influence = [difference(lambda w, t=t: estimate(t, w), 0.003) for t in range(n)]
        error = math.sqrt(sum(v * v for v in influence) / (n - 1) / n) if n > 1 else None
        found.append((estimate(0, 0.0), error))
    return output.value(mean, p), found


# ---- the comparison ---------------------------------------------------------------------------------------------


def call(rxn, device, path, outputs, names, seed, n):
    """{(estimator, text of the output): what it writes}."""
    options = ESTIMATORS[names[0]][1]
    command = [rxn, "grad", path, "--at", str(outputs[0].at), "-n", str(n), "--seed", str(seed), "--json", "-", "--quiet"]
    command += ["--cache", path + ".cache"]
    command += ["--estimator", ",".join(command_name(name) for name in names)]
    command += [word for output in outputs for word in ("--of", output.text)]
    command += [str(word) for key, value in options.items() for word in ("--" + key, value)]
    command += ["--device", device] if device else []
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("%s\nexit status %d\n%s" % (" ".join(command), done.returncode, done.stderr))
    entries = json.loads(done.stdout)
    keys = [(name, output.text) for output in outputs for name in names]
    assert len(entries) == len(keys), "%d entries for %d" % (len(entries), len(keys))
    for (name, _), entry in zip(keys, entries):
        assert entry["estimator"] == command_name(name), (name, entry["estimator"])
    return " ".join(command), dict(zip(keys, entries))


def command_name(name):
    return name.replace("-sharp", "").replace("-table", "")


def off(got, expected, scale):
    """In units of what is tolerated. None, for an error of one trajectory, is only like itself."""
    if got is None or expected is None:
        return 0.0 if got is expected else math.inf
    return abs(got - expected) / scale if math.isfinite(got) else math.inf


def compare(model, output, name, entry, seed, n, known):
    """[(what, how far off, got, expected)]. known: what has been computed before."""
    kind, options, tolerance = ESTIMATORS[name]
    key = (output.text, output.at, kind, options.get("tau"), seed, n)
    if key not in known:
        known[key] = reduce(model, output, [row(model, output, kind, options, seed, t) for t in range(n)])
    value, found = known[key]
    largest = max(abs(g) for g, _ in found)
    near = 0.01 * largest + 0.01  # what else is added to a sum that cancels
    checks = [("value", off(entry["value"], value, tolerance * (abs(value) + 1e-3)), entry["value"], value)]
    assert len(entry["parameters"]) == len(found)
    for parameter, (gradient, error) in zip(entry["parameters"], found):
        p, g, e = parameter["name"], parameter["gradient"], parameter["se"]
        checks.append(("derivative by " + p, off(g, gradient, tolerance * (abs(gradient) + near)), g, gradient))
        checks.append(("error by " + p, off(e, error, (1e-8 + tolerance) * ((error or 0) + near)), e, error))
    return checks


def run_case(rxn, device, case, folder):
    model = MODELS[case]
    path = os.path.join(folder, case + ".rxn")
    with open(path, "w") as f:
        f.write(model.text)
    worst, known = {}, {}
    at_once = [name for name in ESTIMATORS if not (model.assign and ESTIMATORS[name][0] in RELAXED)]
    options = [ESTIMATORS[name][1] for name in at_once]
    # Those of equal options run together.
    groups = [[name for name in at_once if ESTIMATORS[name][1] == some] for k, some in enumerate(options)
              if some not in options[:k]]
    for at in sorted({output.at for output in OUTPUTS[case]}):
        outputs = [output for output in OUTPUTS[case] if output.at == at]
        for together in [outputs] + [[output] for output in outputs if output.alone]:
            for names in groups:
                for seed, n in RUNS:
                    command, entries = call(rxn, device, path, together, names, seed, n)
                    for (name, text), entry in entries.items():
                        output = [o for o in together if o.text == text][0]
                        for what, far, got, expected in compare(model, output, name, entry, seed, n, known):
                            worst[name] = max(worst.get(name, 0), far)
                            if not far <= 1:
                                print("%s\n  WRONG: %s, %s, %s: %r, expected %r" % (command, name, text, what, got, expected))
    for name, far in worst.items():
        print("%-14s %-14s off by %.2g of what is tolerated" % (case, name, far), flush=True)
    return max(worst.values()) <= 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rxn", required=True)
    parser.add_argument("--case", choices=sorted(MODELS))
    parser.add_argument("--device", help="run everything on this device (the interpreter, say)")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(MODELS))
        return
    with tempfile.TemporaryDirectory() as folder:
        bad = [case for case in ([arguments.case] if arguments.case else MODELS)
               if not run_case(arguments.rxn, arguments.device, case, folder)]
    if bad:
        sys.exit("WRONG: " + ", ".join(bad))


if __name__ == "__main__":
    main()
