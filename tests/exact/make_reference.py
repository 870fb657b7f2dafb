#!/usr/bin/env python3
"""Makes the reference files of the exact tests. Shares no code with the compiler.

A reference is one CSV: time, then mean, standard deviation and fourth central moment of every
observable. The moments come, in order of preference, from

  closed forms   where the law of the count is known (Poisson, binomial, sums of such);
  the master     equation on a truncated state space (finite state projection: B. Munsky,
  equation       M. Khammash, J. Chem. Phys. 124 (2006) 044104), solved by uniformisation
                 (A. Jensen, Skand. Aktuarietidskr. 36 (1953) 87-91). Probability that leaves the
                 truncated space is lost for good, so what is missing from the sum at the end
                 bounds the error of every probability; each file states it;
  simulation     by reference_ssa.c where neither can be had. Then the file states the number
                 of trajectories and the test allows for the reference's own error.

Where two ways exist, both are taken and compared. Run it with numpy and scipy at hand:

    python3 make_reference.py [CASE ...]      (all cases where none is named)

Set RXN_REFERENCE_SAMPLES to a folder to keep the raw samples of the simulated cases there.
"""

import math
import os
import subprocess
import sys
import tempfile

import numpy as np
import scipy
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.sparse import coo_matrix

HERE = os.path.dirname(os.path.abspath(__file__))
MAKERS = {}


def case(function):
    MAKERS[function.__name__] = function
    return function


def times(until, every):
    return np.arange(int(round(until / every)) + 1) * every


# ---------------------------------------------------------------- writing


class Table:
    """Moments of some observables at some times, and how they were had."""

    def __init__(self, t, how, trajectories=None):
        self.t = np.asarray(t, float)
        self.how = how
        self.trajectories = trajectories
        self.columns = {}

    def moments(self, name, mean, variance, m4):
        zero = np.zeros(len(self.t))
        variance = np.maximum(variance + zero, 0.0)
        self.columns[name] = (mean + zero, np.sqrt(variance), m4 + zero)
        return self

    def cumulants(self, name, k1, k2, k4):
        return self.moments(name, k1, k2, k4 + 3 * k2**2)

    def write(self, name):
        path = os.path.join(HERE, "reference", name + ".csv")
        with open(path, "w") as f:
            f.write("# %s\n" % self.how)
            f.write("# made by make_reference.py, numpy %s, scipy %s\n" % (np.__version__, scipy.__version__))
            if self.trajectories:
                f.write("# sampled %d\n" % self.trajectories)
            header = ["time"]
            for o in self.columns:
                header += [o + ".mean", o + ".sd", o + ".m4"]
            f.write(",".join(header) + "\n")
            for i, t in enumerate(self.t):
                row = ["%.17g" % t]
                for columns in self.columns.values():
                    row += ["%.17g" % c[i] for c in columns]
                f.write(",".join(row) + "\n")


def compare(name, a, b, tolerance):
    """Two ways to the same moments have to agree."""
    worst = np.max(np.abs(np.asarray(a) - np.asarray(b)) / (1.0 + np.abs(np.asarray(b))))
    print("    %-46s agree to %.1e" % (name, worst))
    if not worst < tolerance:
        sys.exit("make_reference: %s: the two ways disagree by %g" % (name, worst))


# ---------------------------------------------------------------- the master equation


class Box:
    """A truncated state space: all whole vectors within `shape`, and a network on it.

    A reaction is (change, propensity), the propensity a function of the arrays of counts.
    `redirect` maps the arrays of counts after a reaction, where an event follows at once.
    """

    def __init__(self, shape, reactions, redirect=None):
        self.shape = shape
        self.counts = [g.ravel() for g in np.indices(shape)]
        size = self.counts[0].size
        rows, columns, values = [], [], []
        exit_rate = np.zeros(size)
        for change, propensity in reactions:
            rate = propensity(*self.counts) + np.zeros(size)
            if np.any(rate < 0):
                sys.exit("make_reference: negative propensity")
            after = [c + d for c, d in zip(self.counts, change)]
            if redirect:
                after = redirect(*after)
            inside = rate > 0
            exit_rate += rate
            for a, n in zip(after, shape):
                if np.any((a < 0) & (rate > 0)):
                    sys.exit("make_reference: a reaction takes a count below zero")
                inside &= (a >= 0) & (a < n)
            rows.append(np.ravel_multi_index([a[inside] for a in after], shape))
            columns.append(np.nonzero(inside)[0])
            values.append(rate[inside])
        self.rate = exit_rate.max()
        rows.append(np.arange(size))
        columns.append(np.arange(size))
        values.append(self.rate - exit_rate)
        self.step = coo_matrix(
            (np.concatenate(values) / self.rate, (np.concatenate(rows), np.concatenate(columns))),
            shape=(size, size),
        ).tocsr()

    def point(self, state):
        p = np.zeros(self.counts[0].size)
        p[np.ravel_multi_index(state, self.shape)] = 1.0
        return p

    def advance(self, p, dt):
        """p(t + dt), by uniformisation; Poisson terms below 1e-19 of the whole are left out."""
        mean = self.rate * dt
        last = int(mean + 9.5 * math.sqrt(mean) + 40)
        k = np.arange(last + 1)
        logs = -mean + k * math.log(mean) - np.array([math.lgamma(i + 1.0) for i in k])
        weights = np.exp(logs)
        weights /= weights.sum()
        out = weights[0] * p
        for w in weights[1:]:
            p = self.step @ p
            if w > 1e-30:
                out += w * p
        return out


def moments_of(p, values):
    mean = p @ values
    d = values - mean
    return mean, p @ d**2, p @ d**4


def solve(box, start, t, observe, what, events=()):
    """The moments of `observe` (name: function of the counts) at the times `t`.

    `events` are (time, function of the counts); the sample at that time comes after the event.
    """
    p = box.point(start)
    got = {o: [] for o in observe}
    now = 0.0
    for i, until in enumerate(t):
        if until > now:
            p = box.advance(p, until - now)
            now = until
        for when, event in events:
            if when == now:
                after = np.ravel_multi_index([a + 0 * c for a, c in zip(event(*box.counts), box.counts)], box.shape)
                p = np.bincount(after, weights=p, minlength=p.size)
        for o, value in observe.items():
            got[o].append(moments_of(p, (value(*box.counts) + np.zeros(p.size)).astype(float)))
    lost = 1.0 - math.fsum(p)
    size = "x".join(str(n) for n in box.shape)
    table = Table(t, "master equation, %s on %s states, uniformised; probability lost by the end < %.1e" % (what, size, max(lost, 1e-12)))
    print("    lost %.1e of the probability on %s states" % (lost, size))
    if lost > 1e-10:
        sys.exit("make_reference: the state space of %s is too small" % what)
    for o in observe:
        mean, variance, m4 = np.array(got[o]).T
        table.moments(o, mean, variance, m4)
    return table


# ---------------------------------------------------------------- laws of counts


def poisson(table, name, mean):
    return table.cumulants(name, mean, mean, mean)


def binomials(table, name, parts, poisson_mean=0.0):
    """A sum of independent binomials (n, p(t)) and a Poisson count."""
    k1 = k2 = k4 = poisson_mean + np.zeros(len(table.t))
    for n, p in parts:
        v = p * (1 - p)
        k1, k2, k4 = k1 + n * p, k2 + n * v, k4 + n * v * (1 - 6 * v)
    return table.cumulants(name, k1, k2, k4)


# ---------------------------------------------------------------- the cases


@case
def birth_death():
    b, d, n = 0.1, 0.11, 100
    t = times(50, 1)
    growth = np.exp((b - d) * t)
    mean = n * growth
    variance = n * (b + d) / (b - d) * growth * (growth - 1)
    box = Box((1600,), [((1,), lambda x: b * x), ((-1,), lambda x: d * x)])
    solved = solve(box, (n,), t, {"X": lambda x: x}, "linear birth and death")
    compare("mean, closed form and master equation", solved.columns["X"][0], mean, 1e-10)
    compare("sd, closed form and master equation", solved.columns["X"][1], np.sqrt(variance), 1e-10)
    m4 = solved.columns["X"][2]
    table = Table(t, "closed form (mean, sd); fourth moment: " + solved.how)
    return table.moments("X", mean, variance, m4)


def immigration(alpha, t):
    mu = 0.1
    table = Table(t, "closed form: Poisson with mean (alpha/mu)(1-exp(-mu t)), alpha %g, mu 0.1" % alpha)
    return poisson(table, "X", alpha / mu * -np.expm1(-mu * t))


@case
def immigration_death():
    t = times(50, 1)
    table = immigration(1.0, t)
    box = Box((80,), [((1,), lambda x: 1.0), ((-1,), lambda x: 0.1 * x)])
    solved = solve(box, (0,), t, {"X": lambda x: x}, "immigration and death")
    for i, what in enumerate(("mean", "sd", "fourth moment")):
        compare(what + ", closed form and master equation", solved.columns["X"][i], table.columns["X"][i], 1e-9)
    return table


@case
def immigration_death_1000():
    return immigration(1000.0, times(50, 1))


def batches(size):
    """Compound Poisson: cumulant k is alpha times the integral of the k-th moment of what is
    left of one batch, a binomial count; moments from factorial moments and Stirling numbers."""
    alpha, mu = 1.0, 0.1
    t = times(50, 1)
    stirling = {1: {1: 1}, 2: {1: 1, 2: 1}, 4: {1: 1, 2: 7, 3: 6, 4: 1}}
    k = {}
    for order, terms in stirling.items():
        k[order] = np.zeros(len(t))
        for j, s in terms.items():
            falling = math.prod(size - i for i in range(j))
            k[order] += alpha * s * falling * -np.expm1(-j * mu * t) / (j * mu)
    table = Table(t, "closed form: compound Poisson, batches of %d" % size)
    return table.cumulants("X", k[1], k[2], k[4])


@case
def batch_immigration():
    table = batches(5)
    box = Box((400,), [((5,), lambda x: 1.0), ((-1,), lambda x: 0.1 * x)])
    solved = solve(box, (0,), table.t, {"X": lambda x: x}, "batches of five")
    for i, what in enumerate(("mean", "sd", "fourth moment")):
        compare(what + ", closed form and master equation", solved.columns["X"][i], table.columns["X"][i], 1e-9)
    return table


@case
def batch_immigration_100():
    return batches(100)


def pairing(k1, k2, monomers, t, names, redirect=None, events=()):
    """2 P <-> P2 in the number of dimers, or in both where P is reset alone."""
    dimers = monomers // 2
    total = lambda d: monomers - 2 * d
    box = Box(
        (dimers + 1,),
        [((1,), lambda d: k1 * total(d) * (total(d) - 1) / 2), ((-1,), lambda d: k2 * d)],
        redirect,
    )
    observe = {names[0]: total, names[1]: lambda d: d}
    return solve(box, (0,), t, observe, "dimerisation", events)


@case
def dimerisation():
    return pairing(0.001, 0.01, 100, times(50, 1), ("P", "P2"))


@case
def dimerisation_reset_at():
    return pairing(0.001, 0.01, 100, times(50, 1), ("P", "P2"), events=[(25.0, lambda d: (0,))])


@case
def dimerisation_reset_when():
    return pairing(0.001, 0.01, 100, times(50, 1), ("P", "P2"), lambda d: (np.where(d > 30, 0, d),))


@case
def dimerisation_bench():
    return pairing(0.001, 0.1, 100, times(100, 2), ("M", "D"))


@case
def telegraph():
    kon, koff, ksyn, kdeg = 0.05, 0.15, 5.0, 0.1
    t = times(100, 2)
    box = Box(
        (2, 161),
        [
            ((1, 0), lambda g, m: kon * (1 - g)),
            ((-1, 0), lambda g, m: koff * g),
            ((0, 1), lambda g, m: ksyn * g),
            ((0, -1), lambda g, m: kdeg * m),
        ],
    )
    table = solve(box, (0, 0), t, {"Gon": lambda g, m: g, "mRNA": lambda g, m: m}, "telegraph gene")
    # The moments of this model close: E g, E m, E gm, E m^2.
    matrix = np.array(
        [
            [0, 0, 0, 0, 0],
            [kon, -(kon + koff), 0, 0, 0],
            [0, ksyn, -kdeg, 0, 0],
            [0, ksyn, kon, -(kon + koff + kdeg), 0],
            [0, ksyn, kdeg, 2 * ksyn, -2 * kdeg],
        ]
    )
    z = np.array([expm(matrix * s) @ np.array([1.0, 0, 0, 0, 0]) for s in t])
    compare("mean, moment equations and master equation", table.columns["mRNA"][0], z[:, 2], 1e-9)
    compare("variance, moment equations and master equation", table.columns["mRNA"][1] ** 2, z[:, 4] - z[:, 2] ** 2, 1e-9)
    return table


@case
def toggle_switch():
    law = lambda x: 30.0 / (1.0 + (x / 10.0) ** 2)
    box = Box(
        (91, 91),
        [
            ((1, 0), lambda u, v: law(v)),
            ((0, 1), lambda u, v: law(u)),
            ((-1, 0), lambda u, v: 1.0 * u),
            ((0, -1), lambda u, v: 1.0 * v),
        ],
    )
    return solve(box, (30, 0), times(50, 1), {"U": lambda u, v: u, "V": lambda u, v: v}, "toggle switch")


@case
def schlogl():
    box = Box(
        (1401,),
        [
            ((1,), lambda x: 3e-7 * 1e5 * x * (x - 1) / 2),
            ((-1,), lambda x: 1e-4 * x * (x - 1.0) * (x - 2.0) / 6),
            ((1,), lambda x: 1e-3 * 2e5),
            ((-1,), lambda x: 3.5 * x),
        ],
    )
    return solve(box, (250,), times(4, 0.1), {"X": lambda x: x}, "Schloegl's model")


@case
def sir():
    n = 200
    box = Box(
        (198, 201),
        [((-1, 1), lambda s, i: 0.002 * s * i * (s + i <= n)), ((0, -1), lambda s, i: 0.2 * i)],
    )
    observe = {"S": lambda s, i: s, "I": lambda s, i: i, "R": lambda s, i: n - s - i}
    return solve(box, (197, 3), times(60, 2), observe, "SIR epidemic")


@case
def michaelis_menten():
    # In the numbers of S and of the complex; E and P follow from conservation.
    box = Box(
        (302, 121),
        [
            ((-1, 1), lambda s, c: 0.00166 * s * (120 - c)),
            ((1, -1), lambda s, c: 1e-4 * c * (s + c <= 301)),
            ((0, -1), lambda s, c: 0.1 * c),
        ],
    )
    observe = {"S": lambda s, c: s, "ES": lambda s, c: c, "P": lambda s, c: 301 - s - c}
    return solve(box, (301, 0), times(50, 1), observe, "Michaelis-Menten enzyme")


@case
def ion_channel_2state():
    a, b = 0.4, 0.6
    t = times(10, 0.25)
    p = a / (a + b) * -np.expm1(-(a + b) * t)
    return binomials(Table(t, "closed form: binomial (50, p(t))"), "opened", [(50, p)])


@case
def ion_channel_3state():
    bind, unbind, beta, alpha = 0.5, 2.0, 3.0, 1.0
    t = times(10, 0.25)
    q = np.array([[-bind, unbind, 0], [bind, -unbind - beta, alpha], [0, beta, -alpha]])
    p = np.array([expm(q * s) @ np.array([1.0, 0, 0]) for s in t])
    table = Table(t, "closed form: multinomial (100, p(t)), p by matrix exponential")
    for i, o in enumerate(("R", "AR", "AO")):
        binomials(table, o, [(100, p[:, i])])
    return table


@case
def hopping_line():
    n, enter, d, leave = 20, 2.0, 2.0, 2.0
    t = times(40, 2)
    q = np.zeros((n + 1, n + 1))
    q[0, n] = enter
    for s in range(n - 1):
        q[s, s] -= d
        q[s + 1, s] += d
        q[s + 1, s + 1] -= d
        q[s, s + 1] += d
    q[n - 1, n - 1] -= leave
    start = np.zeros(n + 1)
    start[n] = 1.0
    mean = np.array([expm(q * s) @ start for s in t])[:, :n]
    table = Table(t, "closed form: independent Poisson counts, means by matrix exponential")
    for s in range(n):
        poisson(table, "X[%d]" % s, mean[:, s])
    return poisson(table, "total", mean.sum(axis=1))


@case
def dosing():
    ka, ke = 0.5, 0.1
    t = times(72, 2)
    gut, blood = [], []
    in_blood = lambda s: ka / (ka - ke) * (np.exp(-ke * s) - np.exp(-ka * s))
    for dose in range(0, 73, 12):
        age = np.maximum(t - dose, 0.0)
        taken = t >= dose
        gut.append((60, np.where(taken, np.exp(-ka * age), 0.0)))
        p = np.where(taken, in_blood(age), 0.0)
        if dose < 40:  # washed: only what was in the gut at 40 can come after it
            late = np.exp(-ka * (40.0 - dose)) * in_blood(np.maximum(t - 40.0, 0.0))
            p = np.where(t >= 40, late, p)
        blood.append((60, p))
    table = Table(t, "closed form: sums of independent binomials, one for each dose")
    binomials(table, "gut", gut)
    return binomials(table, "blood", blood)


@case
def cell_division():
    def divide(protein, divisions):
        big = protein >= 80
        return np.where(big, protein // 2, protein), np.where(big, divisions + 1, divisions)

    box = Box(
        (80, 31),
        [((1, 0), lambda x, g: 0.12 * x), ((-1, 0), lambda x, g: 0.02 * x)],
        divide,
    )
    observe = {"protein": lambda x, g: x, "divisions": lambda x, g: g}
    return solve(box, (40, 0), times(50, 1), observe, "growth and division")


@case
def day_night():
    k, a, d, w = 10.0, 0.8, 0.5, 2 * math.pi / 24
    t = times(72, 2)
    swing = (d * np.sin(w * t) - w * np.cos(w * t) + w * np.exp(-d * t)) / (d * d + w * w)
    mean = k / d * -np.expm1(-d * t) + k * a * swing
    check = solve_ivp(lambda s, m: k * (1 + a * math.sin(w * s)) - d * m, (0, 72), [0.0], method="DOP853", t_eval=t, rtol=1e-12, atol=1e-12)
    compare("mean, closed form and integration", mean, check.y[0], 1e-9)
    return poisson(Table(t, "closed form: Poisson with periodically driven mean"), "M", mean)


@case
def autoregulation():
    box = Box(
        (201,),
        [((1,), lambda p: 0.5 + 20.0 * 225.0 / (225.0 + p * p)), ((-1,), lambda p: 0.2 * p)],
    )
    return solve(box, (0,), times(30, 1), {"P": lambda p: p}, "negative autoregulation")


@case
def antisense():
    reactions = []
    for gene, (kon, koff, ksyn, kdeg) in enumerate(((0.2, 0.15, 2.0, 0.1), (0.1, 0.1, 1.0, 0.1))):

        def change(place, by, gene=gene):
            d = [0, 0, 0, 0]
            d[2 * gene + place] = by
            return tuple(d)

        reactions += [
            (change(0, 1), lambda *x, g=gene, k=kon: k * (1 - x[2 * g])),
            (change(0, -1), lambda *x, g=gene, k=koff: k * x[2 * g]),
            (change(1, 1), lambda *x, g=gene, k=ksyn: k * x[2 * g]),
            (change(1, -1), lambda *x, g=gene, k=kdeg: k * x[2 * g + 1]),
        ]
    reactions.append(((0, -1, 0, -1), lambda *x: 0.02 * x[1] * x[3]))
    box = Box((2, 71, 2, 51), reactions)
    observe = {"sense.mRNA": lambda *x: x[1], "anti.mRNA": lambda *x: x[3]}
    return solve(box, (0, 0, 0, 0), times(50, 1), observe, "two genes whose transcripts pair")


# The inputs and weights that run.py sets for this case.
READOUT_INPUT = (1.0, 0.5, 0.0, 2.0, 0.25, 1.5, 0.0, 0.75)
READOUT_WEIGHTS = {(0, 0): 1.5, (2, 5): -1.0, (3, 7): -4.0}


@case
def gene_readout():
    t = times(10, 0.5)
    table = Table(t, "closed form: independent Poisson counts")
    for g in range(4):
        drive = -1.0
        for p in range(8):
            drive += READOUT_WEIGHTS.get((g, p), 0.25) * READOUT_INPUT[p]
        rate = 20.0 / (1.0 + math.exp(-drive))
        poisson(table, "H[%d]" % g, rate / 0.5 * -np.expm1(-0.5 * t))
    return table


@case
def rate_switch():
    k, d = 5.0, 0.05
    t = times(40, 1)
    hazard = lambda s: d * np.minimum(s, 20.0) + 3 * d * np.maximum(s - 20.0, 0.0)
    survive = np.exp(-hazard(t))
    fresh = k * np.where(t < 10, -np.expm1(-d * t) / d, -math.expm1(-d * 10) / d * np.exp(-hazard(t) + d * 10))
    table = Table(t, "closed form: a binomial (50, p(t)) and a Poisson count")
    return binomials(table, "X", [(50, survive)], fresh)


@case
def time_dependent_pairs():
    n = 151
    x = np.arange(n, dtype=float)
    k, c, omega = 12.0, 0.02, 0.7
    t = times(20, 0.5)
    pairs = x * (x - 1) / 2

    def slope(s, p):
        rate = c * (1 + 0.9 * math.cos(omega * s)) * pairs
        dp = -(k + rate) * p
        dp[1:] += k * p[:-1]
        dp[:-2] += (rate * p)[2:]
        return dp

    start = np.zeros(n)
    start[0] = 1.0
    p = solve_ivp(slope, (0, 20), start, method="DOP853", t_eval=t, rtol=1e-11, atol=1e-14).y.T
    lost = 1 - p[-1].sum()
    print("    lost %.1e of the probability on %d states" % (lost, n))
    if abs(lost) > 1e-9:
        sys.exit("make_reference: the state space of time_dependent_pairs is too small")
    table = Table(t, "master equation on 151 states, integrated by DOP853 (rtol 1e-11); probability lost < 1e-9")
    mean, variance, m4 = np.array([moments_of(row, x) for row in p]).T
    return table.moments("X", mean, variance, m4)


def simulated(name, trajectories, t, observed):
    folder = os.environ.get("RXN_REFERENCE_SAMPLES")
    raw = os.path.join(folder, "%s-%d.i32" % (name, trajectories)) if folder else None
    if not raw or not os.path.exists(raw):
        with tempfile.TemporaryDirectory() as build:
            program = os.path.join(build, "reference_ssa")
            source = os.path.join(HERE, "reference_ssa.c")
            subprocess.run(["cc", "-std=c11", "-O3", source, "-o", program, "-lm"], check=True)
            raw = raw or os.path.join(build, "samples")
            with open(raw, "wb") as f:
                subprocess.run([program, name, str(trajectories), "0"], check=True, stdout=f)
            samples = np.fromfile(raw, np.int32)
    else:
        samples = np.fromfile(raw, np.int32)
    samples = samples.reshape(trajectories, len(t), len(observed)).astype(float)
    table = Table(t, "simulated by reference_ssa.c, %d trajectories" % trajectories, trajectories)
    for i, o in enumerate(observed):
        mean = samples[:, :, i].mean(axis=0)
        d = samples[:, :, i] - mean
        table.moments(o, mean, (d**2).sum(axis=0) / (trajectories - 1), (d**4).mean(axis=0))
    return table


@case
def vilar_oscillator():
    return simulated("vilar_oscillator", 16000, times(200, 4), ("A", "R", "C"))


@case
def repressilator():
    return simulated("repressilator", 40000, times(120, 4), ("LacI", "TetR", "CI"))


@case
def lotka_volterra():
    return simulated("lotka_volterra", 100000, times(2, 0.05), ("prey", "predator"))


def main():
    os.makedirs(os.path.join(HERE, "reference"), exist_ok=True)
    names = sys.argv[1:] or list(MAKERS)
    for name in names:
        if name not in MAKERS:
            sys.exit("make_reference: no case '%s'" % name)
    for name in names:
        print(name)
        MAKERS[name]().write(name)


if __name__ == "__main__":
    main()
