#!/usr/bin/env python3
"""Cuts a patch-clamp record into a half to fit and a half held out, and counts in each what the models are fitted to.

    python3 prepare.py RECORD.csv FOLDER --split samples|blocks|halves [options]

RECORD.csv: time in seconds, current, and, where it is known, the true number of open channels; no header. In FOLDER, all
times in milliseconds, once as train_… and once as heldout_…:

    autocovariance.csv   lag, value        of the current, about the half's own mean, over all pairs of samples so far
                                           apart that lie in one piece of the half
    amplitude.csv        current, density  histogram of all samples
    opened.csv           t, dt, survival   part of the openings that last longer than t; dt: between two samples
    closed.csv           t, dt, survival   the same of the closings (one channel, or none open)

With a true number of open channels, an opening is a run of samples with one and the same number, not 0; t counts from
the first sample of the run, and lies half way between samples so that nothing hangs on rounding. Without it, the
current is open above --threshold; runs that last no longer than --dead are left out, and t counts from there.
Runs that a piece's end cuts off are left out.

Only Python's standard library is used.
"""
import argparse
import math
import operator
import os
import sys


def fail(message):
    sys.exit("prepare.py: " + message)


def read(path):
    """Times, currents, true numbers of open channels (or None)."""
    rows = []
    try:
        with open(path, encoding="ascii") as file:
            for number, line in enumerate(file, 1):
                fields = line.strip().split(",")
                if fields == [""]:
                    continue
                try:
                    row = [float(field) for field in fields]
                except ValueError:
                    fail(f"{path}:{number}: '{line.strip()}' is not a row of numbers")
                if not all(math.isfinite(value) for value in row):
                    fail(f"{path}:{number}: a number is not finite")
                if len(row) not in (2, 3) or (rows and len(row) != len(rows[0])):
                    fail(f"{path}:{number}: {len(row)} columns; time, current and perhaps the true number are wanted")
                rows.append(row)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path}: {error}")
    if len(rows) < 1000:
        fail(f"{path}: {len(rows)} samples are too few")
    columns = list(zip(*rows))
    truth = [int(value) for value in columns[2]] if len(columns) == 3 else None
    return columns[0], columns[1], truth


def interval(times, path):
    """The sampling interval in milliseconds; the record must be evenly sampled."""
    step = (times[-1] - times[0]) / (len(times) - 1)
    if step <= 0 or any(abs(b - a - step) > 0.01 * step for a, b in zip(times, times[1:])):
        fail(f"{path}: the samples are not evenly spaced in time")
    return 1000 * step


def split(values, kind, block):
    """The pieces of both halves: lists of samples that follow each other."""
    if kind == "samples":
        return [values[0::2]], [values[1::2]]
    if kind == "halves":
        return [values[: len(values) // 2]], [values[len(values) // 2 :]]
    pieces = [values[at : at + block] for at in range(0, len(values) - block + 1, block)]
    return pieces[0::2], pieces[1::2]


def autocovariance(pieces, lags):
    count = sum(len(piece) for piece in pieces)
    mean = sum(math.fsum(piece) for piece in pieces) / count
    centred = [[value - mean for value in piece] for piece in pieces]
    result = []
    for lag in lags:
        pairs = sum(max(0, len(piece) - lag) for piece in centred)
        if pairs == 0:
            fail(f"the longest lag ({lag} samples) does not fit into a piece")
        result.append(sum(sum(map(operator.mul, piece, piece[lag:])) for piece in centred) / pairs)
    return result


def histogram(pieces, low, width, count):
    bins = [0] * count
    total = 0
    for piece in pieces:
        total += len(piece)
        for value in piece:
            place = math.floor((value - low) / width)
            if 0 <= place < count:
                bins[place] += 1
    return [number / (total * width) for number in bins]


def runs(pieces):
    """(value, length in samples) of all runs that lie wholly in a piece."""
    found = []
    for piece in pieces:
        changes = [at for at in range(1, len(piece)) if piece[at] != piece[at - 1]]
        found += [(piece[a], b - a) for a, b in zip(changes, changes[1:])]
    return found


def survival(durations, times, what):
    if not durations:
        fail(f"there is no {what} to be measured in one of the halves")
    return [sum(duration > time for duration in durations) / len(durations) for time in times]


def lag_grid(longest, count, first, logarithmic):
    """Lags in samples, rising, distinct."""
    if not logarithmic:
        return list(range(first, longest + 1, max(1, round((longest - first) / count))))
    first = max(first, 1)
    ratio = math.log(longest / first) / (count - 1)
    return sorted({round(first * math.exp(ratio * at)) for at in range(count)})


def write(folder, name, header, *columns):
    with open(os.path.join(folder, name), "w", encoding="ascii") as file:
        file.write(header + "\n")
        for row in zip(*columns):
            file.write(",".join(f"{value:.12g}" for value in row) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("record")
    parser.add_argument("folder")
    parser.add_argument("--split", choices=["samples", "blocks", "halves"], required=True)
    parser.add_argument("--block", type=float, default=10, help="length of a block, ms (10)")
    parser.add_argument("--lag", type=float, default=1, help="the longest lag, ms (1)")
    parser.add_argument("--lags", type=int, default=100, help="about so many of them (100)")
    parser.add_argument("--log-lags", action="store_true", help="lags in equal ratios, not steps")
    parser.add_argument("--no-lag-0", action="store_true", help="without lag 0, which has all of the noise")
    parser.add_argument("--low", type=float, required=True, help="where the histogram begins")
    parser.add_argument("--high", type=float, required=True, help="where it ends")
    parser.add_argument("--bin", type=float, default=0.1, help="width of its bins (0.1)")
    parser.add_argument("--threshold", type=float, help="between closed and open, where no truth is known")
    parser.add_argument("--dead", type=float, default=0.06, help="shortest run that counts, ms (0.06)")
    parser.add_argument("--dwell", type=float, default=4, help="the longest t, ms (4)")
    parser.add_argument("--dwells", type=int, default=100, help="at most so many t (100)")
    options = parser.parse_args()

    times, currents, truth = read(options.record)
    step = interval(times, options.record)
    if truth is None and options.threshold is None:
        fail("the record has no third column with the truth: a --threshold is wanted")
    block = round(options.block / step)
    kinds = truth if truth is not None else [int(value > options.threshold) for value in currents]
    currents = split(currents, options.split, block)
    kinds = split(kinds, options.split, block)
    if options.split == "samples":
        step *= 2
    lags = lag_grid(round(options.lag / step), options.lags, int(options.no_lag_0), options.log_lags)
    bins = round((options.high - options.low) / options.bin)
    middles = [options.low + options.bin * (at + 0.5) for at in range(bins)]
    if truth is not None:
        # Half way between samples n and n + 1 after a run's first: the run lives then if it has n + 1 samples or more.
        spacing = max(1, round(options.dwell / step / options.dwells))
        samples = list(range(1, round(options.dwell / step), spacing))
        dwells = [step * (at + 0.5) for at in samples]
    else:
        dwells = [options.dwell * at / options.dwells for at in range(options.dwells + 1)]

    os.makedirs(options.folder, exist_ok=True)
    for half, pieces, marks in zip(("train", "heldout"), currents, kinds):
        write(options.folder, half + "_autocovariance.csv", "lag,value",
              [step * lag for lag in lags], autocovariance(pieces, lags))
        write(options.folder, half + "_amplitude.csv", "current,density",
              middles, histogram(pieces, options.low, options.bin, bins))
        found = runs(marks)
        for name, wanted in (("opened", lambda kind: kind > 0), ("closed", lambda kind: kind == 0)):
            lengths = [length for kind, length in found if wanted(kind)]
            if truth is not None:
                durations = [step * length for length in lengths]
            else:
                durations = [step * length - options.dead for length in lengths]
                durations = [duration for duration in durations if duration > 1e-9]
            left = survival(durations, [time + 1e-9 for time in dwells], name)
            write(options.folder, f"{half}_{name}.csv", "t,dt,survival", dwells, [step] * len(dwells), left)
        print(f"{half}: {sum(map(len, pieces))} samples in {len(pieces)} pieces, {len(found)} whole runs, "
              f"mean current {sum(map(math.fsum, pieces)) / sum(map(len, pieces)):.3f}")


if __name__ == "__main__":
    main()
