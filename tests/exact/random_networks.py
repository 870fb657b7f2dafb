#!/usr/bin/env python3
"""Random small networks against their exact distributions.

    random_networks.py --rxn PATH [--seeds 1-40] [--methods direct-unrolled,direct-table]
                       [--precisions f64,f32] [--n N] [--compare] [--show]
    random_networks.py --rxn PATH --corners

A seed makes a network with a finite state space from the parts of the language whose meaning
can go wrong: mass action with coefficients, `=>` laws, catalysts, families, reactants that
coincide, rates that jump or glide in time, user bounds, `at`, `every` and `when` events, several
things at one instant. Its master equation is solved here, apart from the compiler: adaptive
Runge-Kutta (Dormand and Prince 1980) between the instants where something jumps; events are
maps of the distribution; whether a `when` condition held is a part of the state. Expressions are
written twice by the generator, in the language and in Python. Then single trajectories of every
method and precision are counted, and their joint states at each sample time tested (chi-square;
a state that is impossible fails at once).

False alarms: a test with p < 1e-3 is repeated with fresh random numbers and twenty times the
trajectories, and fails if p < 1e-6 then: 1e-9 a test, 5e-7 for the 500 tests of the standard
seeds. An error of 2% of the probability mass, or of about 1% spread over few states, is found.

With --compare: all lane widths and the interpreter give the same bytes, for every seed.
With --corners: what random networks seldom meet, in models whose outcome is certain or nearly so:
the order of events at one instant, totals of -0.0, times before the start, the ends of f32.
"""

import argparse
import collections
import math
import os
import random
import subprocess
import sys
import tempfile

from distributions import gamma_tail

SUSPICIOUS_P = 1e-3
LEAST_P = 1e-6
REPEAT = 20
LEAST_EXPECTED = 15.0
MOST_STATES = 260  # with the bits of the conditions
MOST_SECONDS = 60  # a run takes well under one
LANES = (1, 2, 4, 8, 16, 32)


class Failure(Exception):
    pass


class Rejected(Exception):
    """The generator made something too large, or endless: it tries again."""


# ---------------------------------------------------------------- expressions, in both languages


def hill(x, k, n):
    return x**n / (k**n + x**n)


NAMES = {
    "hill": hill, "comb": math.comb, "sin": math.sin, "cos": math.cos, "exp": math.exp,
    "sqrt": math.sqrt, "tanh": math.tanh, "log1p": math.log1p, "floor": math.floor,
    "ceil": math.ceil, "pi": math.pi, "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
}  # fmt: skip

# What is written differently; the generator's own fields: {x} counts, {t} time where it glides,
# {m} time in a comparison (the middle of the piece, which decides like every point of it).
Both = collections.namedtuple("Both", "rxn py")


def both(template, *parts):
    """One template for the two languages; parts are Both or text that is the same in both."""
    return Both(
        template.format(*(p.rxn if isinstance(p, Both) else p for p in parts), t="t", m="t"),
        template.format(*(p.py if isinstance(p, Both) else p for p in parts), t="t", m="m"),
    )


def power(base, exponent):
    return both("({0})", Both("%s^%s" % (base.rxn, exponent), "%s**%s" % (base.py, exponent)))


def select(condition, yes, no):
    return Both(
        "(if %s then %s else %s)" % (condition.rxn, yes.rxn, no.rxn),
        "(%s if %s else %s)" % (yes.py, condition.py, no.py),
    )


def number(value):
    text = "%.15g" % value
    return Both(text, text)


class Model:
    def __init__(self):
        self.head = []  # declarations
        self.lines = []  # reactions and events
        self.labels = []
        self.initial = []
        self.reactions = []  # (python text, change of each count)
        self.timed = []  # (times, [(species, python text)])
        self.conditions = []  # (python text, [(species, python text)])
        self.stops = set()  # where something jumps
        self.end = 0.0
        self.samples = []

    def species(self, label, initial):
        self.labels.append(label)
        self.initial.append(initial)
        return Both(label, "x[%d]" % (len(self.labels) - 1))

    def add(self, py, taken, made):
        """Reactants and products: (species, coefficient) lists; py is the whole propensity."""
        change = [0] * len(self.labels)
        for s, n in taken:
            change[s] -= n
        for s, n in made:
            change[s] += n
        self.reactions.append((py, tuple(change)))

    def text(self):
        return "\n".join(["model random", *self.head, "", *self.lines, ""])


# ---------------------------------------------------------------- the generator


class Generator:
    def __init__(self, choice):
        self.r = choice
        self.model = Model()
        self.values = []  # constants with a name
        self.times = []  # params that are times
        self.count = 0

    def name(self, prefix):
        self.count += 1
        return "%s%d" % (prefix, self.count)

    def amount(self, low=0.15, high=2.0):
        return round(math.exp(self.r.uniform(math.log(low), math.log(high))), 3)

    def eighth(self, low, high):
        """A time on the grid that everything shares, so that things meet at one instant."""
        return self.r.randint(int(low * 8), int(high * 8)) / 8

    def declare(self):
        r = self.r
        for _ in range(2):
            name, value = self.name("k"), self.amount()
            bounds = " in 0.001 .. 50" if r.random() < 0.5 else ""
            self.model.head.append("param %s = %s%s" % (name, value, bounds))
            self.values.append(Both(name, repr(value)))
        name, (a, b) = self.name("l"), self.values
        self.model.head.append("let %s = %s / (1 + %s)" % (name, a.rxn, b.rxn))
        self.values.append(Both(name, "(%s / (1 + %s))" % (a.py, b.py)))
        time = self.eighth(0.5, 2)
        name = self.name("when_")
        self.model.head.append("param %s = %s" % (name, time))
        self.times.append(Both(name, repr(time)))
        self.model.head.append("fn scaled(u, v) = u * v / (0.5 + v)")

    def constant(self):
        r = self.r
        kind = r.randrange(5)
        if kind == 0:
            return number(self.amount())
        value = r.choice(self.values)
        if kind == 1:
            return both("({0} * {1})", value, number(self.amount(0.5, 2)))
        if kind == 2:
            v = number(self.amount())
            return Both("scaled(%s, %s)" % (value.rxn, v.rxn),
                        "(%s * %s / (0.5 + %s))" % (value.py, v.py, v.py))
        return value

    # ---- factors of time

    def time_value(self):
        """A time at which a comparison turns: text and number."""
        if self.r.random() < 0.4:
            time = self.r.choice(self.times)
            return time, float(time.py)
        value = self.eighth(0.25, 3)
        return number(value), value

    def stop(self, *times):
        self.model.stops.update(times)

    def jump(self):
        r = self.r
        text, value = self.time_value()
        a, b = number(self.amount(0.3, 2)), number(r.choice([0, self.amount(0.3, 2)]))
        kind = r.randrange(5)
        if kind == 0:
            self.stop(value)
            return select(both("{m} {1} {0}", text, r.choice(["<", "<="])), a, b)
        if kind == 1:
            self.stop(value, value + 0.5)
            inside = both("({m} >= {0} and {m} < {0} + 0.5)", text)
            return select(inside, a, b)
        if kind == 2:
            self.stop((value + 1) / 2)
            return select(both("(2 * {m} - 1 > {0})", text), a, b)
        if kind == 3:  # negative crossing times are none, and nothing may start there
            return select(both("({m} + 0.375 < {0} - {0})", text), b, a)
        self.stop(value, value + 1)
        return select(both("{m} < {0}", text), a, select(both("{m} < {0} + 1", text), b, a))

    def glide(self):
        """A smooth or nearly smooth factor, at most about 2; and a bound of it."""
        r = self.r
        w = number(r.choice([1, 2.5, 6, 20]))
        kind = r.randrange(11)
        if kind == 0:
            return both("(1 + sin({0} * {t}))", w), "2"
        if kind == 1:
            return power(both("cos({0} * {t})", w), 2), "1.5"
        if kind == 2:
            return both("exp(-{0} * {t})", w), "1"
        if kind == 3:
            return both("({t} / (1 + {t}))"), "1"
        if kind == 4:
            text, value = self.time_value()
            self.stop(value)
            return both("max(0, {t} - {0})", text), "5"
        if kind == 5:
            text, value = self.time_value()
            self.stop(value)
            return both("abs({t} - {0})", text), "5"
        if kind == 6:  # a jump that no breakpoint shows: thinning has to find it
            self.stop(*(k * math.pi / float(w.py) for k in range(1, 30)))
            return select(both("sin({0} * {m}) > 0", w), number(1.2), number(0.1)), "1.2"
        if kind == 7:
            self.stop(*range(1, 6))
            return both("(1 + floor({m}) / 2)"), "4"
        if kind == 8:
            return both("tanh({t})"), "1"
        if kind == 9:
            return both("(sqrt({t}) + log1p({t}))"), "4"
        return both("sigmoid(3 - 2 * {t})"), "1"

    # ---- factors of counts

    def guard(self, x, need):
        """Zero where fewer than `need` are there."""
        r = self.r
        if need == 0:
            return None
        if need == 1:
            kind = r.randrange(7)
            if kind == 0:
                return both("min({0}, 2)", x)
            if kind == 1:
                return both("hill({0}, {1}, {2})", x, number(self.amount(0.5, 3)), str(r.choice([1, 2, 4])))
            if kind == 2:
                return both("({0} / (1.5 + {0}))", x)
            if kind == 3:
                return select(both("{0} >= 1", x), self.constant(), number(0))
            if kind == 4:
                return both("abs({0})", x)
            return x
        kind = r.randrange(3)
        if kind == 0:
            return select(both("{0} > {1}", x, str(need - 1)), self.constant(), number(0))
        if kind == 1:
            return both("max(0, {0} - {1})", x, str(need - 1))
        product = x
        for k in range(1, need):
            product = both("{0} * ({1} - {2})", product, x, str(k))
        return both("({0})", product)

    def modifier(self, x, y):
        r = self.r
        kind = r.randrange(12)
        c = str(r.randint(1, 3))
        if kind == 0:
            return both("(1 + {0})", x)
        if kind == 1:
            return select(both("{0} > {1}", x, c), number(1.5), number(0.4))
        if kind == 2:
            return both("abs({0} - {1})", x, c)
        if kind == 3:
            return both("min({1}, {0} + 1)", x, c)
        if kind == 4:
            return both("(1 / (1 + {0}))", x)
        if kind == 5:
            return both("exp(-{0})", x)
        if kind == 6:
            return both("max({0}, {1})", x, y)
        if kind == 7:
            return both("(floor({0} / 2) + 0.25)", x)
        if kind == 8:
            return select(both("{0} == {1}", x, y), number(1.25), number(0.5))
        if kind == 9:
            return select(both("(not ({0} > {1}) or {0} >= {2})", x, y, c), number(1.1), number(0))
        if kind == 10:
            self.stop(*(k / 2 for k in range(1, 12)))
            return select(both("{0} > 2 * {m}", x), number(1.3), number(0.3))
        return both("({0} + {1})", power(x, 2), c)

    # ---- reactions

    def timed_rate(self, rate):
        """rate, perhaps times a factor of time; and what follows as the text of a bound."""
        r = self.r.random()
        if r < 0.6:
            return rate, None
        if r < 0.78:
            return both("{0} * {1}", rate, self.jump()), None
        factor, bound = self.glide()
        return both("{0} * {1}", rate, factor), bound if self.r.random() < 0.25 else None

    def write(self, left, arrow, right, rate, bound):
        label = "%s: " % self.name("r") if self.r.random() < 0.5 else ""
        self.model.lines.append("%s%s %s %s  @ %s%s" % (
            label, left, arrow, right, rate.rxn, " bound " + bound if bound else ""))

    def complex_text(self, terms):
        words = []
        for s, n in terms:
            label = self.x[s].rxn
            if n > 1 and self.r.random() < 0.2:
                words += [label] * n  # the same as the coefficient
            else:
                words.append(label if n == 1 else "%d %s" % (n, label))
        self.r.shuffle(words)
        return " + ".join(words) if words else self.r.choice(["0", "∅"])

    def ways(self, terms):
        return "".join(" * comb(%s, %d)" % (self.x[s].py, n) for s, n in terms)

    def weight(self, terms):
        return sum(self.weights[s] * n for s, n in terms)

    def side(self, most):
        """Up to two species, up to three copies in all."""
        r = self.r
        chosen = collections.Counter()
        for _ in range(r.choice([1, 1, 2, 2, 3])):
            s = r.randrange(len(self.x))
            if (s in chosen or len(chosen) < 2) and self.weight(chosen.items()) + self.weights[s] <= most:
                chosen[s] += 1
        return sorted(chosen.items())

    def reaction(self):
        r = self.r
        left = self.side(self.most)
        if not left:
            return
        right = self.side(self.weight(left))
        for _ in range(6):
            if right != left and self.weight(right) == self.weight(left):
                break
            right = self.side(self.weight(left))
        if right == left:
            right = []
        rate = self.constant()
        same = self.weight(right) == self.weight(left)
        if r.random() < 0.4:
            factors = [self.guard(self.x[s], n) for s, n in left]
            if r.random() < 0.5:
                factors.append(self.modifier(r.choice(self.x), r.choice(self.x)))
            for factor in factors:
                rate = both("{0} * {1}", rate, factor)
            rate, _ = self.timed_rate(rate)
            self.write(self.complex_text(left), "=>", self.complex_text(right), rate, None)
            self.model.add(rate.py, left, right)
            return
        if r.random() < 0.25:
            rate = both("{0} * {1}", rate, self.modifier(r.choice(self.x), r.choice(self.x)))
            rate, bound = self.timed_rate(rate)
            bound = None
        else:
            constant = rate
            rate, bound = self.timed_rate(rate)
            bound = bound and "%s * %s" % (constant.rxn, bound)
        if same and bound is None and r.random() < 0.4:
            back, _ = self.timed_rate(self.constant())
            both_rates = Both("%s, %s" % (rate.rxn, back.rxn), None)
            self.write(self.complex_text(left), "<->", self.complex_text(right), both_rates, None)
            self.model.add(back.py + self.ways(right), right, left)
        else:
            self.write(self.complex_text(left), "->", self.complex_text(right), rate, bound)
        self.model.add(rate.py + self.ways(left), left, right)
        if r.random() < 0.15:  # the same change twice
            again = self.constant()
            self.write(self.complex_text(left), "->", self.complex_text(right), again, None)
            self.model.add(again.py + self.ways(left), left, right)

    def creation(self):
        r = self.r
        s = r.randrange(len(self.x))
        weight = self.weights[s]
        rate = self.constant()
        if r.random() < 0.5:
            room = select(both("{0} + {1} <= {2}", self.total, str(weight), str(self.most)), rate, number(0))
        else:
            room = both("{0} * max(0, {1} - {2})", rate, str(self.most + 1 - weight), self.total)
        rate, _ = self.timed_rate(room)
        self.write(self.complex_text([]), "=>", self.x[s].rxn, rate, None)
        self.model.add(rate.py, [], [(s, 1)])

    # ---- events

    def assignments(self, in_when):
        r = self.r
        s = r.randrange(len(self.x))
        x, kind = self.x[s], r.randrange(7)
        if kind == 0 and len(self.x) > 1:
            other = r.choice([k for k in range(len(self.x)) if k != s])
            pairs = [(s, self.x[other]), (other, x)]
        elif kind == 1:
            room = both("{0} + {1} <= {2}", self.total, str(self.weights[s]), str(self.most))
            pairs = [(s, select(room, both("{0} + 1", x), x))]
        elif kind == 2:
            pairs = [(s, both("min({0}, 1)", x))]
        elif kind == 3:
            pairs = [(s, both("max(0, {0} - 2)", x))]
        elif kind == 4:
            pairs = [(k, number(self.model.initial[k])) for k in range(len(self.x))]
        elif kind == 5 and not in_when:
            pairs = [(s, select(both("{t} > 1"), number(0), x))]
        else:
            pairs = [(s, both("floor({0} / 2)", x))]
        text = ", ".join("%s = %s" % (self.x[k].rxn, value.rxn) for k, value in pairs)
        return text, [(k, value.py) for k, value in pairs]

    def event(self):
        r, end = self.r, self.model.end
        kind = r.randrange(4)
        text, pairs = self.assignments(kind >= 2)
        if kind == 0:
            time = r.choice([0.0, end, self.eighth(0, end), self.eighth(0, end)])
            written = number(time)
            if r.random() < 0.3:
                written = r.choice(self.times)
                time = float(written.py)
            self.model.lines.append("at %s: %s" % (written.rxn, text))
            times = [time]
        elif kind == 1:
            period = r.choice([0.5, 0.75, 1.0])
            start = r.choice([None, 0.0, 0.25, -0.625, -2.0])
            until = r.choice([None, end, self.eighth(0, end)])
            clause = "" if start is None else " from %s" % start
            if start is not None and start < 0:  # as a number the checker refuses it
                early = self.name("early")
                self.model.head.append("param %s = %s" % (early, start))
                clause = " from " + early
            clause += "" if until is None else " until %s" % until
            self.model.lines.append("every %s%s: %s" % (period, clause, text))
            first = period if start is None else start
            times = [first + k * period for k in range(40)]
            times = [v for v in times if 0 <= v <= (end if until is None else until)]
        else:
            x, y = r.choice(self.x), r.choice(self.x)
            c = str(r.randint(0, 3))
            time, value = self.time_value()
            condition = r.choice([
                both("{0} > {1}", x, c), both("{0} == {1}", x, c), both("{0} <= {1}", self.total, c),
                both("{0} > {1} or {2} == 0", x, c, y), both("{m} >= {0}", time),
                both("{m} > {0} and {1} > {2}", time, x, c), both("{0} > {1}", x, y),
            ])  # fmt: skip
            if condition.py.startswith("m"):
                self.stop(value)
            self.model.lines.append("when %s: %s" % (condition.rxn, text))
            self.model.conditions.append((condition.py, pairs))
            return
        times = [v for v in times if v <= end]
        self.model.timed.append((times, pairs))
        self.stop(*times)

    # ---- networks

    def simple_species(self):
        r = self.r
        labels = ["A", "B", "C"][: r.choice([1, 2, 2, 3])]
        self.weights = [1] + [r.choice([1, 2]) for _ in labels[1:]]
        self.most = r.randint(3, 10 - 2 * len(labels) + 2)
        left, initial = self.most, []
        for w in self.weights:
            initial.append(r.randint(0, left // w))
            left -= w * initial[-1]
        self.x = [self.model.species(label, n) for label, n in zip(labels, initial)]
        self.model.head.append("species " + ", ".join("%s = %d" % p for p in zip(labels, initial)))
        text = " + ".join("%d*%s" % (w, label) for w, label in zip(self.weights, labels))
        self.model.head.append("let total = " + text)
        py = " + ".join("%d*%s" % (w, x.py) for w, x in zip(self.weights, self.x))
        self.total = Both("total", "(%s)" % py)

    def family_species(self):
        r = self.r
        size, each = r.choice([(2, 2), (2, 3), (3, 1), (3, 2)])
        self.weights = [1] * size
        self.most = size * each
        self.model.head.append("index site = %d" % size)
        self.model.head.append("species X[site] = %d" % each)
        self.x = [self.model.species("X[%d]" % k, each) for k in range(size)]
        self.total = Both("sum(k in site: X[k])", "(%s)" % " + ".join(x.py for x in self.x))

    def families(self):
        r, model, size = self.r, self.model, len(self.x)
        py = [x.py for x in self.x]
        if r.random() < 0.8:
            a, (b, bound) = self.constant(), self.timed_rate(self.constant())
            model.lines.append("for s in 0 .. %d { hop: X[s] <-> X[s+1] @ %s * (s + 1), %s }" % (
                size - 2, a.rxn, b.rxn))
            for s in range(size - 1):
                model.add("%s * %d * %s" % (a.py, s + 1, py[s]), [(s, 1)], [(s + 1, 1)])
                model.add("%s * %s" % (b.py, py[s + 1]), [(s + 1, 1)], [(s, 1)])
        if r.random() < 0.7:  # reactants that coincide
            k, made = self.constant(), r.choice(["X[j]", "0", "2 X[j]"])
            low = r.choice(["site", "0 .. %d" % (size - 2)])
            model.lines.append("for i in site { for j in %s { X[i] + X[j] -> %s @ %s } }" % (low, made, k.rxn))
            for i in range(size):
                for j in range(size if low == "site" else size - 1):
                    ways = "comb(%s, 2)" % py[i] if i == j else "%s * %s" % (py[i], py[j])
                    copies = {"X[j]": [(j, 1)], "0": [], "2 X[j]": [(j, 2)]}[made]
                    model.add("%s * %s" % (k.py, ways), [(i, 1), (j, 1)], copies)
        if r.random() < 0.7:
            k = self.constant()
            model.lines.append(
                "for s in site { make: 0 => X[s] @ if sum(q in site: X[q]) < %d then %s / (1 + s) else 0 }"
                % (self.most, k.rxn))
            for s in range(size):
                model.add("(%s / (1 + %d) if %s < %d else 0)" % (k.py, s, self.total.py, self.most),
                          [], [(s, 1)])
        if r.random() < 0.6:  # a rate of time in a family, thinned
            k = self.constant()
            model.lines.append("for s in site { X[s] => 0 @ %s * X[s] * exp(-t * (s + 1)) }" % k.rxn)
            for s in range(size):
                model.add("%s * %s * exp(-t * %d)" % (k.py, py[s], s + 1), [(s, 1)], [])
        if r.random() < 0.5:  # a breakpoint for every member
            k = self.constant()
            model.lines.append("for s in site { X[s] -> 0 @ if t < 0.5 + s then %s else 0 }" % k.rxn)
            for s in range(size):
                self.stop(0.5 + s)
                model.add("(%s if m < %s else 0) * %s" % (k.py, 0.5 + s, py[s]), [(s, 1)], [])

    def network(self):
        r, model = self.r, self.model
        self.declare()
        model.end = self.eighth(1.5, 4)
        family = r.random() < 0.25
        if family:
            self.family_species()
            self.families()
        else:
            self.simple_species()
        for _ in range(r.randint(1, 4) if not family else r.randint(0, 1)):
            self.reaction()
        for _ in range(r.choice([0, 1, 1, 2])):
            self.creation()
        if not model.reactions:
            raise Rejected("no reactions")
        for _ in range(r.choice([0, 0, 1, 1, 2, 3])):
            self.event()
        times = {self.eighth(0, model.end), self.eighth(0, model.end)}
        times.add(r.choice([model.end, self.eighth(0.5, model.end)]))
        model.samples = sorted(times)
        return model


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


def make(seed):
    choice = random.Random(seed)
    while True:
        try:
            model = Generator(choice).network()
            return model, Master(model).solve()
        except Rejected:
            continue


# ---------------------------------------------------------------- the runs


def run(program, path, model, flags):
    command = [program, "run", path, "--each", "--quiet", "-o", "-", "--until", repr(model.end),
               "--at", ",".join(repr(t) for t in model.samples), *flags]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Failure("never ended: " + " ".join(command)) from None
    if done.returncode != 0:
        raise Failure("%s\n%s" % (" ".join(command), done.stderr.decode()))
    return done.stdout


def chi_square(observed, exact, n):
    """p, or a Failure where an impossible state was seen."""
    for state, count in observed.items():
        if exact.get(state, 0.0) < 1e-14:
            raise Failure("%d times in state %s, which is impossible" % (count, state))
    rows = sorted((n * probability, observed.get(state, 0)) for state, probability in exact.items())
    bins, expected, seen = [], 0.0, 0
    for e, count in rows:  # the rare ones are pooled, from the rarest up
        expected, seen = expected + e, seen + count
        if expected >= LEAST_EXPECTED:
            bins.append((expected, seen))
            expected, seen = 0.0, 0
    if bins:
        bins[-1] = (bins[-1][0] + expected, bins[-1][1] + seen)
    if len(bins) < 2:
        return 1.0
    statistic = sum((seen - e) ** 2 / e for e, seen in bins)
    return gamma_tail((len(bins) - 1) / 2, statistic / 2)


def count_states(output, model):
    counts = collections.Counter(line.split(b",", 1)[1] for line in output.splitlines()[1:])
    result = {t: {} for t in model.samples}
    for line, count in counts.items():
        time, *values = line.split(b",")
        result[float(time)][tuple(int(v) for v in values)] = count
    return result


def test_distribution(program, path, model, exact, flags, n, seed):
    for t, observed in count_states(run(program, path, model, ["-n", str(n), "--seed", str(seed), *flags]), model).items():
        if sum(observed.values()) != n:
            raise Failure("t = %s: %d rows" % (t, sum(observed.values())))
        yield t, chi_square(observed, exact[t], n)


def test_model(options, path, model, exact, seed):
    least, tests = 1.0, 0
    for method in options.methods.split(","):
        for precision in options.precisions.split(","):
            flags = ["--method", method, "--precision", precision]
            first = list(test_distribution(options.rxn, path, model, exact, flags, options.n, seed))
            tests += len(first)
            worst = min(p for _, p in first)
            least = min(least, worst)
            if worst >= SUSPICIOUS_P:
                continue
            again = dict(test_distribution(options.rxn, path, model, exact, flags, REPEAT * options.n, seed + 1000003))
            for t, p in first:
                if p < SUSPICIOUS_P and again[t] < LEAST_P:
                    raise Failure("%s, %s, t = %s: p = %.3g, then %.3g" % (method, precision, t, p, again[t]))
    return least, tests


def compare(options, path, model):
    """The same bytes from every lane width, from the interpreter, and from a longer run."""
    for method in options.methods.split(","):
        for precision in options.precisions.split(","):
            flags = ["--method", method, "--precision", precision, "--threads", "1"]
            oracle = run(options.rxn, path, model, ["-n", "70", *flags, "--device", "interpreter"])
            for lanes in LANES:
                if run(options.rxn, path, model, ["-n", "70", *flags, "--lanes", str(lanes)]) != oracle:
                    raise Failure("%s, %s: %d lanes differ from the interpreter" % (method, precision, lanes))
            if not oracle.startswith(run(options.rxn, path, model, ["-n", "1", *flags])):
                raise Failure("%s, %s: the first trajectory depends on -n" % (method, precision))


# ---------------------------------------------------------------- corners

# Name, model, sample times, and the counts at each: the same in every trajectory, precision and
# method. The last sample time is the end.
CERTAIN = (
    ("swap at the start", "species A = 1, B = 2; A -> B @ 0; at 0: A = B, B = A", (0, 1), "2,1 2,1"),
    ("swap at the end", "species A = 1, B = 2; A -> B @ 0; at 1: A = B, B = A", (0, 1), "1,2 2,1"),
    ("timed events in order, then when",
     "species A = 1, B = 2; A -> 0 @ 0; at 1: A = 10; at 1: B = A + 1; every 0.5: A = A + 1; "
     "when A > 10: B = B + 100", (0, 0.5, 1), "1,2 2,2 11,111"),
    ("every from before the start",
     "param early = -5; species A = 1; A -> 0 @ 0; every 2 from early until 5: A = A + 1",
     (0, 1, 2, 3, 5, 10), "1 2 2 3 4 4"),
    ("every from the start", "species A = 1; A -> 0 @ 0; every 2 from 0 until 4: A = A + 1",
     (0, 1, 2, 4, 9), "2 2 3 4 4"),
    ("when, true at the start", "species A = 5, B = 0; A -> 0 @ 0; when A > 3: B = B + 1; "
     "at 1: A = 0; at 2: A = 9", (0, 1, 2, 3), "5,0 0,0 9,1 9,1"),
    ("when, of an event at the start", "species A = 1, B = 0; A -> 0 @ 0; when A > 3: B = B + 1; "
     "at 0: A = 9", (0, 1), "9,1 9,1"),
    ("when, of time", "species B = 0; B -> 0 @ 0; when t > 0.5: B = B + 1; "
     "when t >= 1 and t < 2: B = B + 10", (0, 0.5, 1, 2), "0 1 11 11"),
    ("when, at the end", "species B = 0; B -> 0 @ 0; when t >= 1: B = 7", (0.5, 1), "0 7"),
    ("when sets off an earlier one", "species A = 0, B = 0, C = 0; A -> 0 @ 0; when C == 1: A = 77; "
     "when B == 1: C = 1; when A == 1: B = 1; at 1: A = 1", (0, 1), "0,0,0 77,1,1"),
    ("a reset that its own event undoes", "species A = 0, B = 0; A -> 0 @ 0; "
     "when A > 5: A = A + 1, B = B + 1; at 1: A = 6; at 2: A = 0; at 2: A = 9; at 3: A = 0; at 4: A = 6",
     (1, 2, 3, 4), "7,1 9,1 0,1 7,2"),
    ("a total of -0.0", "species A = 4; 2 A -> 0 @ 100", (0, 10), "4 0"),
    ("a total of -0.0 at the start", "species A = 1, B = 0; 3 A -> B @ 1; at 5: A = 4, B = 0",
     (4, 1000000), "1,0 1,1"),
    ("no rate until an event", "species A = 0; A -> 0 @ 10; at 5: A = 1; at 50: A = 1",
     (4, 5, 49, 50, 99), "0 1 0 1 0"),
    ("a condition of a time before the start", "param early = -0.5; species A = 0; A -> 0 @ 0; "
     "when t > early: A = 9", (0, 1), "0 0"),
    ("no reaction", "species A = 5; at 1: A = 2 * A", (0, 1, 2), "5 10 10"),
    ("a huge rate", "param k = 1e300; species A = 5; A => 0 @ k * A", (0, 1), "5 0"),
    ("a tiny rate", "param k = 5e-324; species A = 5; A -> 0 @ k", (0, 1e9), "5 5"),
    ("an observable past 2^24", "species A = 16777213, B = 3; A -> B @ 0; observe s = A + 2*B",
     (0, 1), "16777219 16777219"),
    ("a short time late", "species A = 0; A -> 0 @ 0; when t > 1000000.005 and t < 1000000.01: A = 7",
     (1000000.001, 1000000.007, 1000001), "0 7 7"),
)  # fmt: skip

# Name, model, end, and the mean of a Poisson count there, which is an integral over the rate.
POISSON = (
    ("no clock before zero", "param early = -0.5; species A = 0; 0 -> A @ if t < early then 1 else 2", 1, 2.0),
    ("a pulse late", "species A = 0; 0 -> A @ if t >= 1e6 and t < 1000000.01 then 500 else 0", 1000001, 5.0),
    ("nothing for long", "species A = 0; 0 -> A @ max(0, t - 1e6)", 1000002, 2.0),
    ("a rate that explodes", "species A = 0; 0 -> A @ 1e-8 * exp(t)", 20, 1e-8 * (math.exp(20) - 1)),
    ("a bound that would be infinite beyond the end", "species A = 0; 0 -> A @ abs(1 / (t - 5))", 4.5, math.log(10)),
    ("many turns", "species A = 0; 0 -> A @ 3 * (1 + sin(1e4 * t))", 2, 6 + 3e-4 * (1 - math.cos(2e4))),
    ("the least bound", "param k = 0.37; species A = 0; 0 -> A @ k * 1.1 * (1 + sin(20 * t)) bound k * 2.2",
     6, 0.407 * (6 + (1 - math.cos(120)) / 20)),
    ("rare and long", "species A = 0; 0 -> A @ 1e-8 * (1 + sin(t / 1e6))", 1e8, 1 + 1e-2 * (1 - math.cos(100))),
)  # fmt: skip

# Name, model, end, precisions, and what the fault says.
FAULTS = (
    ("conditions that set each other off", "species A = 0, B = 0; A -> 0 @ 0; when A > 5: A = 0, B = 10; "
     "when B > 5: B = 0, A = 10; at 1: A = 6", 2, "f64,f32", "trigger each other"),
    ("a rate that is infinite inside the run", "species A = 0; 0 -> A @ abs(1 / (t - 5))", 6, "f64,f32",
     "not a finite number"),
    ("a count that f32 would round", "param big = 16777217; species A = 0; A -> 0 @ 0; at 1: A = big", 2, "f32",
     "more than f32 counts"),
    ("a sum that f32 would round", "species A = 16777216, B = 1; B -> 0 @ 1e-9; at 1: A = A + B", 2, "f32",
     "more than f32 counts"),
)  # fmt: skip


def corner(options, text, times, flags):
    """One model, written from its parts; returns what a run writes."""
    model = Model()
    model.lines = text.split("; ")
    model.end, model.samples = times[-1], list(times)
    handle, path = tempfile.mkstemp(suffix=".rxn")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(model.text())
        return run(options.rxn, path, model, flags)
    finally:
        os.unlink(path)


def check_certain(options, text, times, states, flags):
    output = corner(options, text, times, ["-n", "9", *flags]).decode().splitlines()[1:]
    expected = states.split(" ")
    for number_, line in enumerate(output):
        _, _, state = line.split(",", 2)
        if state != expected[number_ % len(times)]:
            raise Failure("wrote %s, where %s was due" % (line, expected[number_ % len(times)]))
    if len(output) != 9 * len(times):
        raise Failure("%d rows" % len(output))


def check_poisson(options, text, end, mean, flags):
    n = 20000
    output = corner(options, text, (end,), ["-n", str(n), *flags])
    counts = collections.Counter(int(line.rsplit(b",", 1)[1]) for line in output.splitlines()[1:])
    exact = {k: math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(200)}
    p = chi_square(counts, exact, n)
    if p < 1e-9:
        raise Failure("p = %.3g against a Poisson of mean %.6g" % (p, mean))


def check_fault(options, text, end, message, flags):
    try:
        corner(options, text, (end,), ["-n", "9", *flags])
    except Failure as failure:
        if message in str(failure):
            return
        raise
    raise Failure("no fault, where '%s' was due" % message)


def run_corners(options):
    failures = 0
    for method in options.methods.split(","):
        for precision in options.precisions.split(","):
            flags = ["--method", method, "--precision", precision]
            cases = [(name, check_certain, (text, times, states)) for name, text, times, states in CERTAIN]
            cases += [(name, check_poisson, (text, end, mean)) for name, text, end, mean in POISSON]
            cases += [(name, check_fault, (text, end, message))
                      for name, text, end, precisions, message in FAULTS if precision in precisions]
            for name, check, arguments in cases:
                # A rate constant of 1e300 is no number in f32, and the fault is right there.
                if precision == "f32" and name == "a huge rate":
                    continue
                try:
                    check(options, *arguments, flags)
                except Failure as failure:
                    failures += 1
                    print("%s (%s, %s): %s" % (name, method, precision, failure), file=sys.stderr)
    print("%d corners, %d failures" % (len(CERTAIN) + len(POISSON) + len(FAULTS), failures))
    return 1 if failures else 0


def seed_list(text):
    seeds = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        seeds += range(int(low), int(high or low) + 1)
    return seeds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rxn", required=True)
    parser.add_argument("--seeds", default="1-40")
    parser.add_argument("--methods", default="direct-unrolled,direct-table")
    parser.add_argument("--precisions", default="f64,f32")
    parser.add_argument("--n", type=int, default=20000)
    parser.add_argument("--compare", action="store_true", help="lane widths and the interpreter too")
    parser.add_argument("--corners", action="store_true", help="the corner cases instead of the seeds")
    parser.add_argument("--show", action="store_true", help="print the models")
    options = parser.parse_args()
    if options.corners:
        return run_corners(options)
    failures, tests, least = 0, 0, 1.0
    for seed in seed_list(options.seeds):
        model, exact = make(seed)
        if options.show:
            print("# seed %d\n%s# sampled at %s until %s\n" % (seed, model.text(), model.samples, model.end))
        handle, path = tempfile.mkstemp(suffix=".rxn")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(model.text())
            if options.compare:
                compare(options, path, model)
            p, count = test_model(options, path, model, exact, seed)
            tests += count
            least = min(least, p)
        except Failure as failure:
            failures += 1
            print("seed %d: %s\n\n%s" % (seed, failure, model.text()), file=sys.stderr)
        finally:
            os.unlink(path)
    print("%d chi-squares, least p %.3g, %d failures" % (tests, least, failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
