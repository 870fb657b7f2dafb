#!/usr/bin/env python3
"""Simulates a model n times with another simulator, for tests/bench/peers.

    peer_forward.py PEER -n N --seed S --begun SECONDS < MODEL.json

MODEL.json is what tests/bench/peers makes of a model of ours: counts, reactions with rate constants as we have them
(a reaction of two alike goes at k n(n-1)/2), observables, end time. Prints JSON: the wall time of the n trajectories, the
time from --begun (the clock when this process was started) until it could simulate, sum and sum of squares of each
observable at the end, which way was taken where there are several, and the version.

    rebop            Gillespie.run of its Python API: one trajectory, which is returned as an xarray
    rebop-bare       the compiled class under that, whose lists are read directly
    gillespy2        SSACSolver: it writes C++, compiled by scons as GillesPy2 asks for it, which is without optimisation
    gillespy2-O3     the same, by a g++ that adds -O3 -march=native, which its users have to arrange
    roadrunner       integrator "gillespie" of libroadrunner
    copasi           "Stochastic (Direct method)" or "(Gibson + Bruck)" of python-copasi, built by basico

Each is told to keep nothing but the start and the end, has its model compiled once, and goes from trajectory to trajectory in
the way that costs least. Where it is not known which of two ways is the faster, both are tried for some trajectories first, which
is not counted.
"""

import argparse
import importlib.metadata
import json
import math
import os
import shutil
import sys
import tempfile
import time


def constant_of(reaction):
    """The constant before the falling factorials of the counts, which is what all of these take."""
    return reaction["constant"] / math.prod(math.factorial(n) for n in reaction["reactants"].values())


def each(names):
    return [s for s, n in names.items() for _ in range(n)]


# Each function below builds the model and returns a list of (label, simulate); simulate(n, seed) returns for each
# observable the n counts at the end.


def rebop(model, bare=False):
    import rebop as package

    network = package.Gillespie()
    for r in model["reactions"]:
        network.add_reaction(constant_of(r), each(r["reactants"]), each(r["products"]))
    start, until, names = model["species"], model["until"], model["observables"]

    def simulate(n, seed, sparse):
        ends = {o: [] for o in names}
        for k in range(n):
            if bare:
                network.gillespie.set_init(start)
                _, out = network.gillespie.run(until, 1, params={}, seed=seed * n + k, sparse=sparse, var_names=names)
            else:
                out = network.run(start, until, 1, rng=seed * n + k, sparse=sparse, var_names=names)
            for o in names:
                ends[o].append(float(out[o][-1]))
        return ends

    return [("dense", lambda n, seed: simulate(n, seed, False)), ("sparse", lambda n, seed: simulate(n, seed, True))]


def gillespy2(model, optimised=False):
    # It looks for scons beside this interpreter only if that folder is on the path.
    path = [os.path.dirname(sys.executable), os.environ["PATH"]]
    with tempfile.TemporaryDirectory(prefix="rxn-bench-") as folder:
        if optimised:
            compiler = os.path.join(folder, "g++")
            with open(compiler, "w") as f:
                f.write('#!/bin/sh\nexec "%s" -O3 -march=native "$@"\n' % shutil.which("g++"))
            os.chmod(compiler, 0o755)
            path.insert(0, folder)
        os.environ["PATH"] = ":".join(path)
        import gillespy2 as package

        built = package.Model(name=model["name"])
        built.add_species([package.Species(name=s, initial_value=n, mode="discrete") for s, n in model["species"].items()])
        for r in model["reactions"]:
            rate = package.Parameter(name="k_" + r["name"], expression=repr(constant_of(r)))
            built.add_parameter(rate)
            built.add_reaction(
                package.Reaction(name=r["name"], reactants=r["reactants"], products=r["products"], rate=rate)
            )
        built.timespan(package.TimeSpan.linspace(t=model["until"], num_points=2))
        solver = package.SSACSolver(model=built)

    def simulate(n, seed):
        result = solver.run(number_of_trajectories=n, seed=seed)
        return {o: [float(one[o][-1]) for one in result] for o in model["observables"]}

    return [("direct", simulate)]


def sbml(model):
    """Level 3; kinetic laws are propensities, species are counts."""

    def side(tag, names):
        references = ('<speciesReference species="%s" stoichiometry="%d" constant="true"/>' % item for item in names.items())
        return "<%s>%s</%s>" % (tag, "".join(references), tag) if names else ""

    def law(reaction):
        factors = ["<cn>%r</cn>" % constant_of(reaction)]
        for s, n in reaction["reactants"].items():
            factors += ["<ci>%s</ci>" % s] + ["<apply><minus/><ci>%s</ci><cn>%d</cn></apply>" % (s, k) for k in range(1, n)]
        return (
            '<kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/>%s</apply></math></kineticLaw>'
            % "".join(factors)
        )

    species = "".join(
        '<species id="%s" compartment="vessel" initialAmount="%d" hasOnlySubstanceUnits="true" boundaryCondition="false"'
        ' constant="false"/>' % item
        for item in model["species"].items()
    )
    reactions = "".join(
        '<reaction id="%s" reversible="false" fast="false">%s%s%s</reaction>'
        % (r["name"], side("listOfReactants", r["reactants"]), side("listOfProducts", r["products"]), law(r))
        for r in model["reactions"]
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="%s"><listOfCompartments>'
        '<compartment id="vessel" size="1" spatialDimensions="3" constant="true"/></listOfCompartments>'
        "<listOfSpecies>%s</listOfSpecies><listOfReactions>%s</listOfReactions></model></sbml>"
        % (model["name"], species, reactions)
    )


def roadrunner(model):
    import roadrunner as package

    for option in dir(package.Config):
        if option.startswith("LOADSBMLOPTIONS_OPTIMIZE_"):
            package.Config.setValue(getattr(package.Config, option), True)
    runner = package.RoadRunner(sbml(model))
    runner.setIntegrator("gillespie")
    runner.integrator.variable_step_size = False
    names, until = model["observables"], model["until"]
    runner.timeCourseSelections = names

    def by_simulate(n, seed):
        runner.integrator.seed = seed
        ends = {o: [] for o in names}
        for _ in range(n):
            runner.reset()
            last = runner.simulate(0, until, 2)[-1]
            for k, o in enumerate(names):
                ends[o].append(float(last[k]))
        return ends

    def by_integrator(n, seed):
        runner.integrator.seed = seed
        ends = {o: [] for o in names}
        for _ in range(n):
            runner.reset()
            runner.integrator.integrate(0, until)
            for o in names:
                ends[o].append(runner[o])
        return ends

    return [("simulate", by_simulate), ("integrate", by_integrator)]


def copasi(model):
    import basico
    import COPASI

    data = basico.new_model(name=model["name"], quantity_unit="#", volume_unit="1")
    for s, n in model["species"].items():
        basico.add_species(s, initial_particle_number=n)
    for r in model["reactions"]:
        sides = (" + ".join("%d %s" % (n, s) for s, n in r[side].items()) for side in ("reactants", "products"))
        basico.add_reaction(r["name"], " -> ".join(sides))
        basico.set_reaction_parameters("(%s).k1" % r["name"], value=constant_of(r))
    species = {s.getObjectName(): s for s in data.getModel().getMetabolites()}
    task = data.getTask("Time-Course")
    problem = task.getProblem()
    problem.setStepNumber(1)
    problem.setDuration(model["until"])
    problem.setTimeSeriesRequested(False)

    def simulate(n, seed, kind):
        task.setMethodType(kind)
        method = task.getMethod()
        method.getParameter("Use Random Seed").setBoolValue(True)
        method.getParameter("Max Internal Steps").setIntValue(2**31 - 1)
        if not task.initialize(COPASI.CCopasiTask.NO_OUTPUT):
            raise SystemExit("COPASI: " + COPASI.CCopasiMessage.getAllMessageText())
        number = method.getParameter("Random Seed")
        ends = {o: [] for o in model["observables"]}
        for k in range(n):
            number.setUIntValue(seed * n + k)
            if not task.process(True):
                raise SystemExit("COPASI: " + COPASI.CCopasiMessage.getAllMessageText())
            for o, values in ends.items():
                values.append(species[o].getValue())
        task.restore()
        return ends

    return [
        ("direct", lambda n, seed: simulate(n, seed, COPASI.CTaskEnum.Method_directMethod)),
        ("Gibson-Bruck", lambda n, seed: simulate(n, seed, COPASI.CTaskEnum.Method_stochastic)),
    ]


PEERS = {
    # name: (package on PyPI, builder)
    "rebop": ("rebop", rebop),
    "rebop-bare": ("rebop", lambda model: rebop(model, bare=True)),
    "gillespy2": ("gillespy2", gillespy2),
    "gillespy2-O3": ("gillespy2", lambda model: gillespy2(model, optimised=True)),
    "roadrunner": ("libroadrunner", roadrunner),
    "copasi": ("python-copasi", copasi),
}


def timed(simulate, n, seed):
    began = time.perf_counter()
    ends = simulate(n, seed)
    return time.perf_counter() - began, ends


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("-n", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--begun", type=float, default=time.time())
    options = parser.parse_args()
    package, build = PEERS[options.peer]
    ways = build(json.load(sys.stdin))
    start = time.time() - options.begun

    # Also what warms up; the seeds are not those of the measurement.
    trial = max(1, options.n // 50)
    tried = [min(timed(simulate, trial, 10**6 + k)[0] for k in range(2)) for _, simulate in ways]
    label, simulate = ways[tried.index(min(tried))]
    seconds, ends = timed(simulate, options.n, options.seed)
    sums = {o: [sum(v), sum(x * x for x in v)] for o, v in ends.items()}
    version = importlib.metadata.version(package)
    print(json.dumps({"seconds": seconds, "start": start, "way": label, "version": version, "sums": sums}))


if __name__ == "__main__":
    main()
