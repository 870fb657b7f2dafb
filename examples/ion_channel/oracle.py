"""The three models once more, by other means: what each says of its statistics, from the generator of its Markov chain.

One channel's chain is written down as a matrix of rates; probabilities are carried forward by uniformisation,
p exp(Q t) = Σ_n Poisson(n; q t) p (1 + Q/q)^n. Stationary distributions are had by elimination, counts of independent
channels by the binomial distribution or by a walk over occupation numbers. Nothing is shared with rxn: evaluate.py
compares the two.

Only Python's standard library is used.
"""
import itertools
import math


class Chain:
    """Rates from state to state; a state is any hashable thing."""

    def __init__(self, rates):
        self.states = sorted({state for pair in rates for state in pair})
        self.place = {state: at for at, state in enumerate(self.states)}
        self.out = [[] for _ in self.states]
        for (a, b), rate in rates.items():
            if rate > 0:
                self.out[self.place[a]].append((self.place[b], rate))
        self.leave = [sum(rate for _, rate in out) for out in self.out]
        self.fastest = max(self.leave) or 1.0

    def one(self, state):
        return [1.0 if other == state else 0.0 for other in self.states]

    def forward(self, p, time):
        """p exp(Q time); p need not be a distribution."""
        pieces = max(1, math.ceil(self.fastest * time / 50))
        mean = self.fastest * time / pieces
        for _ in range(pieces):
            weight = math.exp(-mean)
            term, total, n, seen = p, [weight * value for value in p], 0, weight
            while 1 - seen > 1e-16 and n < 1000:
                n += 1
                moved = [value * (1 - leave / self.fastest) for value, leave in zip(term, self.leave)]
                for value, out in zip(term, self.out):
                    for target, rate in out:
                        moved[target] += value * rate / self.fastest
                term = moved
                weight *= mean / n
                seen += weight
                total = [a + weight * b for a, b in zip(total, term)]
            p = total
        return p

    def stationary(self):
        """Grassmann, Taksar and Heyman's elimination: no subtraction, so no cancellation."""
        n = len(self.states)
        rate = [[0.0] * n for _ in range(n)]
        for a, out in enumerate(self.out):
            for b, value in out:
                rate[a][b] += value
        for last in range(n - 1, 0, -1):
            leave = sum(rate[last][:last])
            for a in range(last):
                rate[a][last] /= leave
                for b in range(last):
                    if b != a:
                        rate[a][b] += rate[a][last] * rate[last][b]
        p = [1.0] + [0.0] * (n - 1)
        for a in range(1, n):
            p[a] = sum(p[b] * rate[b][a] for b in range(a))
        total = math.fsum(p)
        return [value / total for value in p]


def bell(k, current, n):
    variance = k["sd"] ** 2 + n * k["sdo"] ** 2
    return math.exp(-((current - k["level"] - k["step"] * n) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def covariance(chain, stationary, counts, lags):
    """Of the count at two times of a stationary chain."""
    mean = sum(p * n for p, n in zip(stationary, counts))
    carried, time, result = [p * n for p, n in zip(stationary, counts)], 0.0, []
    for lag in lags:  # rising
        carried, time = chain.forward(carried, lag - time), lag
        result.append(sum(p * n for p, n in zip(carried, counts)) - mean * mean)
    return result


# ---- the real record --------------------------------------------------------------------------------


def real_chain(k, opens=1.0, closes=1.0):
    first = {("2", "1"): k["kout"], ("1", "2"): k["kin"], ("1", "o"): k["alpha"] * opens, ("o", "1"): k["beta"] * closes}
    second = {("s", "p"): k["alpha2"] * opens, ("p", "s"): k["beta2"] * closes}
    rates = {}
    for (a, b), rate in first.items():
        for other in "sp":
            rates[a + other, b + other] = rate
    for (a, b), rate in second.items():
        for other in "21o":
            rates[other + a, other + b] = rate
    return Chain(rates)


def real(k, name, grid):
    chain = real_chain(k)
    counts = [(state[0] == "o") + (state[1] == "p") for state in chain.states]
    stationary = chain.stationary()
    if name == "autocovariance":
        gating = covariance(chain, stationary, counts, grid)
        return [k["step"] ** 2 * c + k["sd"] ** 2 * math.exp(-lag / k["tau"]) for c, lag in zip(gating, grid)]
    if name == "amplitude":
        joint = {}
        for n in range(3):
            later = chain.forward([p if m == n else 0.0 for p, m in zip(stationary, counts)], 0.06)
            for p, m in zip(later, counts):
                joint[n, m] = joint.get((n, m), 0.0) + p
        shares = [0.1, 0.3, 0.5, 0.7, 0.9]
        return [sum(p * sum(bell(k, i, n * (1 - u) + m * u) for u in shares) / 5 for (n, m), p in joint.items())
                for i in grid]
    if name == "opened":
        return [math.exp(-k["beta"] * t) for t in grid]
    chain = real_chain(k, closes=0.0)
    shut = [state for state in chain.states if state[0] != "o" and state[1] != "p"]

    def left(time):
        p = chain.forward(chain.one("1s"), time)
        return sum(p[chain.place[state]] for state in shut)

    return [left(0.06 + t) / left(0.06) for t in grid]


# ---- the semi-synthetic ones ------------------------------------------------------------------------


# One channel of each; states from 0 down are open.


def bursting(k):
    return Chain({(3, 2): k["k32"], (2, 3): k["k23"], (2, 1): k["k21"], (1, 2): k["k12"],
                  (1, 0): k["opening"], (0, 1): k["closing"]})


def holding(k):
    return Chain({(2, 1): k["k21"], (1, 2): k["k12"], (1, 0): k["opening"], (0, 1): k["closing"],
                  (0, -1): k["hold"], (-1, 0): k["release"]})


def sampled_runs(chain, counts, first, dt, checks, ends):
    """Probabilities that runs last, at the samples with the numbers in `checks`, a rising list. A run is of one
    count; it ends at the first sample for which ends(count) holds; `first` has the weights at its first sample, by count."""
    left = []
    runs, at = first, 0
    for check in checks:
        while at < check:
            runs = {n: [0.0 if ends(n, m) else p for p, m in zip(chain.forward(w, dt), counts)] for n, w in runs.items()}
            at += 1
        left.append(math.fsum(math.fsum(w) for w in runs.values()))
    total = math.fsum(math.fsum(w) for w in first.values())
    return [value / total for value in left]


def checks_of(grid, dt):
    return [math.floor(t / dt + 1e-6) for t in grid]


def one(k, name, grid):
    chain = bursting(k)
    counts = [int(state == 0) for state in chain.states]
    stationary = chain.stationary()
    if name == "autocovariance":
        return [
            k["step"] ** 2 * c + k["hum"] * math.cos(2 * math.pi * lag / 20)  # 50 Hz: 20 ms
            for c, lag in zip(covariance(chain, stationary, counts, grid), grid)
        ]
    if name == "amplitude":
        return [sum(p * bell(k, i, n) for p, n in zip(stationary, counts)) for i in grid]
    dt = k["dt"]
    start = chain.one(0)
    if name == "closed":
        start = [p if n == 0 else 0.0 for p, n in zip(chain.forward(start, dt), counts)]
    run = 1 if name == "opened" else 0
    return sampled_runs(chain, counts, {run: start}, dt, checks_of(grid, dt), lambda n, m: m != n)


def five(k, name, grid):
    chain = holding(k)
    openness = [int(state <= 0) for state in chain.states]
    stationary = chain.stationary()
    p = sum(value for value, n in zip(stationary, openness) if n)
    if name == "autocovariance":
        return [5 * k["step"] ** 2 * c for c in covariance(chain, stationary, openness, grid)]
    if name == "amplitude":
        return [sum(math.comb(5, n) * p**n * (1 - p) ** (5 - n) * bell(k, i, n) for n in range(6)) for i in grid]
    rates = {}
    for state in itertools.product(range(6), repeat=4):
        if sum(state) == 5:
            for a, out in enumerate(chain.out):
                for b, rate in out:
                    if state[a]:
                        after = list(state)
                        after[a] -= 1
                        after[b] += 1
                        rates[state, tuple(after)] = state[a] * rate
    patch = Chain(rates)
    counts = [sum(n for n, is_open in zip(state, openness) if is_open) for state in patch.states]
    weights = []
    for state in patch.states:
        weight = math.factorial(5)
        for n, q in zip(state, stationary):
            weight *= q**n / math.factorial(n)
        weights.append(weight)
    dt = k["dt"]
    first = {n: [0.0] * len(counts) for n in range(1, 6)}
    for before in range(6):
        moved = patch.forward([w if n == before else 0.0 for w, n in zip(weights, counts)], dt)
        for at, (value, n) in enumerate(zip(moved, counts)):
            if n not in (0, before):
                first[n][at] += value
    return sampled_runs(patch, counts, first, dt, checks_of(grid, dt), lambda n, m: m != n)


MODELS = {"real": real, "one": one, "five": five}
