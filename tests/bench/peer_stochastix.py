#!/usr/bin/env python3
"""Gradients by stochastix (F. Mottes et al. 2026, JAX), for tests/bench/gradients.

    peer_stochastix.py MODEL -n N [--repeat R] [--forward]

Prints JSON: for each of its estimators, per-trajectory standard deviation and mean of the gradient with
respect to the logarithms of the rate constants, and the time of one trajectory, compiled and warm, in
double precision on the cores that the process may use. The functional is a count at the end time.

    gs-st        DifferentiableDirect, its straight-through Gumbel-softmax solver, logits_scale 1; the
                 final state (which is forward-filled: no gradient flows through time)
    gs-st-line   the same trajectories, the count at the end interpolated linearly between the two states
                 around it, so that time has a gradient too
    score        REINFORCE with its log_prob (which leaves out the last waiting), centred by the mean

With --forward also events a second: of the simulation alone, and of the gradients, in both precisions; on the device
that JAX takes, which is named. (An event is a reaction that fired, not a step that the solver makes for padding.)
"""

import argparse
import json
import time

import jax

jax.config.update("jax_enable_x64", True)  # --forward has its single precision by its types

import jax.numpy as jnp  # noqa: E402
import stochastix as stx  # noqa: E402
from stochastix.kinetics import MassAction  # noqa: E402
from stochastix.reaction import Reaction, ReactionNetwork  # noqa: E402
from stochastix.solvers import DifferentiableDirect, DirectMethod  # noqa: E402

# name: reactions, log rate constants, initial counts by species, species that is read, end time, steps
# that no trajectory exceeds (the solver always makes that many)
MODELS = {
    "dimerisation": (["2 P -> P2", "P2 -> 2 P"], [0.001, 0.1], {"P": 100.0, "P2": 0.0}, "P", 10.0, 160),
    "telegraph": (
        ["Goff -> Gon", "Gon -> Goff", "Gon -> Gon + mRNA", "mRNA -> 0"],
        [0.05, 0.15, 5.0, 0.1],
        {"Goff": 1.0, "Gon": 0.0, "mRNA": 0.0},
        "mRNA",
        20.0,
        400,
    ),
}


def network_of(reactions, logs):
    rows = [Reaction(text, MassAction(logs[k], transform=jnp.exp)) for k, text in enumerate(reactions)]
    return ReactionNetwork(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--forward", action="store_true")
    options = parser.parse_args()
    reactions, rates, start, read, end, steps = MODELS[options.model]
    logs = jnp.log(jnp.array(rates))
    species = network_of(reactions, logs).species
    which = species.index(read)
    x0 = jnp.array([start[s] for s in species])

    def simulate(logs, key, solver, horizon, count):
        return stx.stochsimsolve(key, network_of(reactions, logs), x0, T=horizon, max_steps=count, solver=solver)

    def final(logs, key):
        result = simulate(logs, key, DifferentiableDirect(), end, steps)
        return result.x[-1, which], result.time_overflow

    def line(logs, key):
        # A horizon beyond the end, so that the state after the end is there too.
        result = simulate(logs, key, DifferentiableDirect(), 1.5 * end, steps + steps // 2)
        t, x = result.t, result.x[:, which]
        k = jnp.clip(jnp.searchsorted(jax.lax.stop_gradient(t), end, side="right") - 1, 0, t.shape[0] - 2)
        gap = t[k + 1] - t[k]
        share = jnp.where(gap > 0, (end - t[k]) / jnp.where(gap > 0, gap, 1.0), 0.0)
        return x[k] + share * (x[k + 1] - x[k]), result.time_overflow

    def value_and_log(logs, key):
        result = simulate(jax.lax.stop_gradient(logs), key, DirectMethod(), end, steps)
        return network_of(reactions, logs).log_prob(result).sum(), (result.x[-1, which], result.time_overflow)

    def pathwise(function):
        return jax.jit(jax.vmap(jax.value_and_grad(function, has_aux=True), in_axes=(None, 0)))

    def reduce_pathwise(out):
        return out[1]

    def reduce_score(out):
        values, score = out[0][1][0], out[1]
        n = values.shape[0]
        return (values - (values.sum() - values) / (n - 1))[:, None] * score

    keys = jax.random.split(jax.random.PRNGKey(1), options.n)

    def fired(precision):
        """Simulates all; the number of events of each."""

        def one(logs, key):
            start = x0.astype(precision)
            result = stx.stochsimsolve(key, network_of(reactions, logs), start, T=end, max_steps=steps, solver=DirectMethod())
            return (jnp.diff(result.x, axis=0) != 0).any(axis=1).sum(), result.time_overflow

        return jax.jit(jax.vmap(one, in_axes=(None, 0)))

    def timed(function, *arguments):
        result = jax.block_until_ready(function(*arguments))
        best = float("inf")
        for _ in range(options.repeat):
            began = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            best = min(best, time.perf_counter() - began)
        return result, best

    out = {"version": stx.__version__ if hasattr(stx, "__version__") else "", "parameters": list(reactions)}
    estimators = {
        "gs-st": (pathwise(final), reduce_pathwise),
        "gs-st-line": (pathwise(line), reduce_pathwise),
        "score": (pathwise(value_and_log), reduce_score),
    }
    for name, (function, reduce) in estimators.items():
        result = jax.block_until_ready(function(logs, keys))
        overflow = result[0][1][1] if name == "score" else result[0][1]
        if name != "gs-st-line" and bool(overflow.any()):
            raise SystemExit("%s: a trajectory needs more than %d steps" % (name, steps))
        _, best = timed(function, logs, keys)
        gradient = reduce(result)
        out[name] = {
            "mean": [float(v) for v in gradient.mean(0)],
            "sd": [float(v) for v in gradient.std(0, ddof=1)],
            "seconds": best / options.n,
        }
    if options.forward:
        out["device"] = str(jax.devices()[0])
        for precision in ("float32", "float64"):
            (events, overflow), best = timed(fired(precision), logs.astype(precision), keys)
            if bool(overflow.any()):
                raise SystemExit("a trajectory needs more than %d steps" % steps)
            events = int(events.sum())
            out["forward " + precision] = {"events": events, "seconds": best, "steps_per_second": events / best}
        for name in estimators:  # the same trajectories, in double precision
            seconds = out[name]["seconds"] * options.n
            out[name].update(events=events, steps_per_second=events / seconds)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
