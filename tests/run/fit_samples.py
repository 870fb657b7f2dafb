#!/usr/bin/env python3
"""Standard errors of fits of samples: against closed forms, against fits of data drawn anew, and where there are none.

Counts are Poisson with the mean m = a + b x + c z, so that E (X - y)² = (m - y)² + m: least squares of y - 1/2, whose
derivatives are known for each row. The data are no such counts: their spread grows with x, so that errors by H alone, or by
J alone, would be far off.
"""

import math
import random
import sys

from fit import compiled, fit, values_of
from harness import check_equal, check_in, main

LINES = """model lines
input x, z, y
param a = 3 in 0.1 .. 100 fit
param b = 1 in 0.1 .. 100 fit
param c = 2 in 0.1 .. 100 fit
species X = 0
0 -> X @ %s
simulate until 1 every 1
fit {
  data x = "x.csv", z = "z.csv", y = "y.csv"
  loss %s
  estimator score
  optimizer adam(rate = 0.05)
  schedule cosine
  trajectories 16
  epochs 40
%s}
"""
LINE, TRUTH = "a + b*x + c*z", (6, 2, 3)


def write_rows(program, seed, count):
    """The columns of the design, and y."""
    drawn = random.Random(seed)
    columns = {"x": [drawn.uniform(0, 3) for _ in range(count)], "z": [drawn.uniform(0, 2) for _ in range(count)]}
    columns["y"] = [sum(t * u for t, u in zip(TRUTH, (1, x, z))) + drawn.gauss(0, 1 + 2 * x)
                    for x, z in zip(columns["x"], columns["z"])]
    for name, values in columns.items():
        with open(program.file(name + ".csv"), "w") as f:
            f.write(name + "\n" + "".join("%.17g\n" % v for v in values))
    return [(1, x, z) for x, z in zip(columns["x"], columns["z"])], columns["y"]


def solve(matrix, right):
    """By Gauss and Jordan; right has several columns."""
    n = len(matrix)
    rows = [list(m) + list(r) for m, r in zip(matrix, right)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for k in range(n):
            if k != i:
                rows[k] = [v - rows[k][i] * w for v, w in zip(rows[k], rows[i])]
    return [r[n:] for r in rows]


def closed_form(design, y, weight=0):
    """The minimum, and the errors of the sandwich; the loss has weight/2 a² more."""
    n, p = len(y), len(design[0])
    hessian = [[sum(2 * u[i] * u[j] for u in design) / n + (weight if i == j == 0 else 0) for j in range(p)] for i in range(p)]
    right = [[sum(2 * (v - 0.5) * u[i] for u, v in zip(design, y)) / n] for i in range(p)]
    found = [v[0] for v in solve(hessian, right)]
    rows = [[(2 * (sum(f * w for f, w in zip(found, u)) - v) + 1) * w for w in u] for u, v in zip(design, y)]
    mean = [sum(r[i] for r in rows) / n for i in range(p)]
    spread = [[sum((r[i] - mean[i]) * (r[j] - mean[j]) for r in rows) / (n - 1) / n for j in range(p)] for i in range(p)]
    half = solve(hessian, spread)
    whole = solve(hessian, [list(column) for column in zip(*half)])
    return found, [math.sqrt(whole[i][i]) for i in range(p)]


def check_errors(result, expected):
    for p, se in zip(result["parameters"], expected):
        off = p["se_data_error"]
        assert 0 < off < 0.15 * se, p
        # The error of J is in it, but the rows are the same here: it is that of H alone that counts.
        assert abs(p["se_data"] - se) < 4.5 * off, (p, se)


def test_closed_form(program):
    compiled(program)
    design, y = write_rows(program, 1, 500)
    found, errors = closed_form(design, y)
    result = fit(program, LINES % (LINE, "mse(X, y)", ""))
    check_errors(result, errors)
    check_equal(result["unbiased"], True, "unbiased")
    for p, value in zip(result["parameters"], found):
        assert abs(p["value"] + p["to_minimum"] - value) < 4.5 * p["to_minimum_se"], (p, value)
        assert "se_simulation" not in p, p
    # A factor changes nothing; penalties hold the parameter, and are no data.
    doubled = fit(program, LINES % (LINE, "3 * mse(X, y)", ""))
    check_errors(doubled, errors)
    held = fit(program, LINES % (LINE, "mse(X, y)", "  penalty 1.5 * a^2\n"))
    check_errors(held, closed_form(design, y, 3)[1])


def test_experiments(program):
    """The sum of two losses of the same rows is one with twice the rows' spread: no error changes but by 2 / sqrt(2)."""
    compiled(program)
    design, y = write_rows(program, 1, 500)
    _, errors = closed_form(design, y)
    two = "  experiment one { data x = \"x.csv\", z = \"z.csv\", y = \"y.csv\" }\n" \
          "  experiment two { data x = \"x.csv\", z = \"z.csv\", y = \"y.csv\" }\n"
    text = (LINES % (LINE, "mse(X, y)", two)).replace("  data x = \"x.csv\", z = \"z.csv\", y = \"y.csv\"\n", "", 1)
    check_errors(fit(program, text), [e / math.sqrt(2) for e in errors])


def test_data_drawn_anew(program):
    """The spread of what is found over 40 sets of rows is that which is claimed: chi-squared with 39 degrees of freedom."""
    compiled(program)
    found, claimed = [], []
    for seed in range(40):
        write_rows(program, 100 + seed, 200)
        result = fit(program, LINES % (LINE, "mse(X, y)", ""), "--seed", seed)
        found.append([p["value"] for p in result["parameters"]])
        claimed.append([p["se_data"] ** 2 for p in result["parameters"]])
    for i, truth in enumerate(TRUTH):
        mean = sum(f[i] for f in found) / 40
        variance = sum((f[i] - mean) ** 2 for f in found) / 39
        expected = sum(c[i] for c in claimed) / 40
        assert 0.4 < variance / expected < 2.2, (i, variance, expected)
        # 1/2 of each count's own mean is what least squares of single trajectories is off by.
        assert abs(mean - truth + (0.5 if i == 0 else 0)) < 5 * math.sqrt(variance / 40), (i, mean)


def test_threads(program):
    compiled(program)
    write_rows(program, 1, 300)
    text = LINES % (LINE, "mse(X, y)", "")
    first = fit(program, text, "--threads", "1", "--steps", "20")["parameters"]
    check_equal(fit(program, text, "--threads", "2", "--steps", "20")["parameters"], first, "parameters")


def test_table(program):
    compiled(program)
    write_rows(program, 1, 300)
    run = program.good("fit", program.file("model.rxn", LINES % (LINE, "mse(X, y)", "")), "--steps", "20")
    check_in("value  ± data\n", run.out)
    check_in(" is not at the minimum: by the gradient that lies ", run.err)


def test_where_there_are_none(program):
    compiled(program)
    write_rows(program, 1, 300)

    def errors_of(text, *flags):
        program.file("model.rxn", text)
        run = program.good("fit", program.file("model.rxn"), "-o", program.file("fitted.json"), "--quiet", *flags)
        parameters = fit(program, text, *flags)["parameters"]
        return {p["name"]: p.get("se_data") for p in parameters}, run.err

    # Two that act as their product.
    errors, said = errors_of((LINES % ("a * k + b*x + c*z", "mse(X, y)", "")).replace("species", "param k = 1 in 0.1 .. 10 fit\nspecies"))
    check_equal(set(errors.values()), {None}, "errors")
    check_in("warning: standard errors cannot be given: as far as second derivatives of the loss are known (", said)
    check_in("some combination of the params may leave it as it is; more trajectories a sample would show them better\n", said)
    # Not at a minimum.
    errors, said = errors_of(LINES % ("exp(-(a - 1)^2/10) + b*x + c*z", "mse(X, y)", ""), "--steps", "0", "--set", "a=5")
    check_equal(set(errors.values()), {None}, "errors")
    check_in("warning: the result is not at a minimum: the loss curves downwards along 'a', and standard errors cannot be given; "
             "more steps would help\n", said)
    # At a bound, and of no influence: the others are as if these were fixed.
    design, y = write_rows(program, 1, 300)
    text = (LINES % (LINE + " + (if x > 9 then idle else 0)", "mse(X, y)", "  linear a\n")).replace("a = 3 in 0.1", "a = 9 in 9")
    errors, said = errors_of(text.replace("species", "param idle = 1 in 0.1 .. 10 fit\nspecies"))
    check_equal((errors["a"], errors["idle"]), (None, None), "errors")
    check_in("warning: 'idle' is not identifiable from these data: at the result it does not change the loss\n", said)
    _, expected = closed_form([u[1:] for u in design], [v - 9 for v in y])
    for name, se in zip("bc", expected):
        assert abs(errors[name] / se - 1) < 0.25, (name, errors, se)
    # What cannot be simulated beside the result.
    text = LINES % ("a*(50.2 - a)*0.001 + b*x + c*z", "mse(X, y)", "")
    errors, said = errors_of(text, "--steps", "0", "--set", "a=50")
    check_equal(set(errors.values()), {None}, "errors")
    check_in("warning: in trajectory ", said)
    check_in("the rate constant of 'r1' is negative", said)
    check_in("note: that was near the result, whose standard errors cannot be given therefore\n", said)


if __name__ == "__main__":
    sys.exit(main([f for name, f in list(globals().items()) if name.startswith("test_") and f.__module__ == "__main__"]))
