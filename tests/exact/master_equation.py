"""The master equation of a model of random_models.py: the exact distribution at given times.

An explicit Runge-Kutta pair (Dormand & Prince 1980) over the reachable states; a `when` event's condition is a bit of the
state, events at given times are maps of the distribution.
"""

import collections

from random_models import NAMES, Rejected

MOST_STATES = 260  # with the bits of the conditions

# ---------------------------------------------------------------- the master equation


# Dormand and Prince 1980, J. Comput. Appl. Math. 6, 19: the pair RK5(4)7M.
NODES = (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1)
STAGES = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
TOLERANCE = 1e-8


class Master:
    def __init__(self, model):
        self.model = model
        compiled = {}

        def function(text):
            if text not in compiled:
                compiled[text] = eval("lambda x, t, m: " + text, NAMES)  # pylint: disable=eval-used
            return compiled[text]

        self.reactions = [
            (function(py), change, any(word in "(%s)" % py for word in ("(t", " t", "-t")))
            for py, change in model.reactions
        ]
        self.timed = [(set(times), [(s, function(py)) for s, py in pairs]) for times, pairs in model.timed]
        self.conditions = [
            (function(py), [(s, function(value)) for s, value in pairs]) for py, pairs in model.conditions
        ]

    @staticmethod
    def assign(pairs, x, t, m):
        new = list(x)
        for s, function in pairs:
            new[s] = int(function(x, t, m))
        return tuple(new)

    def settle(self, x, bits, t, m):
        """Fires the first of what turned true, looks at all conditions anew, until none is rising."""
        if not self.conditions:
            return x, bits
        was = bits
        for _ in range(50):
            holds = [bool(condition(x, t, m)) for condition, _ in self.conditions]
            rising = [h and not w for h, w in zip(holds, was)]
            if not any(rising):
                return x, tuple(holds)
            first = rising.index(True)
            was = [h and (e == first or not rising[e]) for e, h in enumerate(holds)]
            x = self.assign(self.conditions[first][1], x, t, m)
        raise Rejected("endless")

    def events(self, p, t, m):
        """Everything that happens at t; m is the middle of the piece that begins there."""
        result = collections.defaultdict(float)
        for (x, bits), probability in p.items():
            for times, pairs in self.timed:
                if t in times:
                    x = self.assign(pairs, x, t, m)
            result[self.settle(x, bits, t, m)] += probability
        return dict(result)

    def transitions(self, p, m):
        """States that can be reached, and for each the reactions that leave it: (reaction, target)."""
        states = {state: k for k, state in enumerate(p)}
        pending, edges = list(p), []
        while pending:
            state = pending.pop()
            x, bits = state
            for number_, (_, change, _) in enumerate(self.reactions):
                moved = tuple(a + b for a, b in zip(x, change))
                if min(moved) < 0:
                    continue  # checked where the rate is evaluated: it must be zero
                target = self.settle(moved, bits, 0.0, m)
                if target not in states:
                    if len(states) == MOST_STATES:
                        raise Rejected("too many states")
                    # Only what can happen at some time in this piece leads anywhere.
                    if all(self.reactions[number_][0](x, t, m) <= 0 for t in self.probes):
                        continue
                    states[target] = len(states)
                    pending.append(target)
                edges.append((states[state], number_, states[target], x))
        return states, edges

    def piece(self, p, start, end, m):
        """The distribution at `end`, with no event and no jump in between."""
        self.probes = [start + (end - start) * f for f in (0, 0.01, 0.3, 0.5, 0.7, 0.99, 1)]
        states, edges = self.transitions(p, m)
        fixed = {}
        moving = []
        for source, number_, target, x in edges:
            function, _, timed = self.reactions[number_]
            if timed:
                moving.append((source, target, function, x))
            else:
                rate = function(x, start, m)
                if rate < 0:
                    raise Rejected("a negative rate")
                fixed[source, target] = fixed.get((source, target), 0.0) + rate
        flows = [(a, b, rate) for (a, b), rate in fixed.items() if rate > 0 and a != b]

        def slope(t, values):
            change = [0.0] * len(values)
            for a, b, rate in flows:
                flow = rate * values[a]
                change[a] -= flow
                change[b] += flow
            for a, b, function, x in moving:
                flow = function(x, t, m) * values[a]
                change[a] -= flow
                change[b] += flow
            return change

        values = [0.0] * len(states)
        for state, probability in p.items():
            values[states[state]] = probability
        t, step = start, min(0.05, end - start)
        size = range(len(values))
        first = slope(t, values)
        while t < end:
            step = min(step, end - t)
            slopes = [first]
            for stage in range(1, 7):
                row = STAGES[stage]
                point = [
                    values[i] + step * sum(c * k[i] for c, k in zip(row, slopes) if c) for i in size
                ]
                slopes.append(slope(t + NODES[stage] * step, point))
            error = max(abs(step * sum(c * k[i] for c, k in zip(ERROR, slopes) if c)) for i in size)
            if error <= TOLERANCE * step or step < 1e-9:
                t = end if step == end - t else t + step
                values, first = point, slopes[6]
            step *= min(4.0, max(0.2, 0.9 * (TOLERANCE * step / (error + 1e-30)) ** 0.2))
        return {state: values[k] for state, k in states.items()}

    def solve(self):
        """The distribution of the counts at each sample time, after everything that happens there."""
        model = self.model
        grid = {0.0, model.end, *model.samples, *(s for s in model.stops if 0 < s <= model.end)}
        later = sorted(s for s in model.stops if s > model.end)
        grid = sorted(grid)
        after = later[0] if later else model.end + 1
        middles = [(a + b) / 2 for a, b in zip(grid, grid[1:] + [after])]
        x = tuple(model.initial)
        bits = tuple(bool(c(x, 0.0, middles[0])) for c, _ in self.conditions)
        p = self.events({(x, bits): 1.0}, 0.0, middles[0])
        result = {}
        for k, t in enumerate(grid):
            if k:
                p = self.piece(p, grid[k - 1], t, middles[k - 1])
                p = self.events(p, t, middles[k])
            if t in model.samples:
                counts = collections.defaultdict(float)
                for (x, _), probability in p.items():
                    counts[x] += probability
                result[t] = dict(counts)
        return result
