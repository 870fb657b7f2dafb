"""Random small models: the text for rxn, and the same in Python for the master equation (random_networks.py)."""

import collections
import math


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
