#!/usr/bin/env python3
"""Writes the files that mnist.rxn is trained on, from the four files of MNIST.

    python3 prepare.py MNIST FOLDER [--copies K] [--train N] [--test N] [--seed S] [--plain]

MNIST holds the four files as they are published, compressed with gzip or not. In FOLDER (IDX again, bytes):

    train-images.idx, train-labels.idx    K deformed copies of each of the first N training images
    test-images.idx,  test-labels.idx     the first N test images, untouched

A deformation moves, turns, stretches, slants and bends: pixel p of the copy is the pixel of the image that is nearest to
A (p - centre) + centre + shift + bend(p), with A and the shift drawn evenly within the limits below, and a bend that goes
smoothly from knot to knot of a grid, where it is drawn from a normal distribution. Each copy of each image takes one of a
pool of such maps. --plain: no deformation, the images as they are. The same seed writes the same bytes.

Only Python's standard library is used.
"""
import argparse
import gzip
import math
import operator
import os
import random
import sys

SIDE = 28
PIXELS = SIDE * SIDE
MAPS = 4096
TURN = math.radians(10)
STRETCH = 0.1  # of either axis
SLANT = 0.1
SHIFT = 1.0  # pixels
BEND = 0.5  # pixels, standard deviation at a knot
KNOTS = 6  # along each side

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def fail(message):
    sys.exit("prepare.py: " + message)


def read(folder, name, extents):
    """The bytes behind the header of an IDX file of bytes, and how many rows they are."""
    for path, opener in ((os.path.join(folder, name + ".gz"), gzip.open), (os.path.join(folder, name), open)):
        if not os.path.exists(path):
            continue
        try:
            with opener(path, "rb") as file:
                data = file.read()
        except (OSError, EOFError) as error:
            fail(f"{path}: {error}")
        header = 4 + 4 * (1 + len(extents))
        if data[:4] != bytes([0, 0, 8, 1 + len(extents)]) or len(data) < header:
            fail(f"{path}: is no IDX file of bytes with {1 + len(extents)} extents")
        sizes = [int.from_bytes(data[4 + 4 * k : 8 + 4 * k], "big") for k in range(1 + len(extents))]
        if tuple(sizes[1:]) != extents:
            fail(f"{path}: rows of {sizes[1:]} where {list(extents)} are wanted")
        if len(data) != header + math.prod(sizes):
            fail(f"{path}: {len(data)} bytes where {header + math.prod(sizes)} are wanted")
        return data[header:], sizes[0]
    fail(f"there is neither '{name}.gz' nor '{name}' in '{folder}'")


def header(rows, extents):
    return bytes([0, 0, 8, 1 + len(extents)]) + b"".join(n.to_bytes(4, "big") for n in (rows, *extents))


def bend(draw):
    """For each pixel, how far the image is bent there, along one axis."""
    knots = [[draw.gauss(0, BEND) for _ in range(KNOTS)] for _ in range(KNOTS)]
    places = []  # of a pixel along a side: the knot before it, and how much the one behind it counts
    for k in range(SIDE):
        along = k / (SIDE - 1) * (KNOTS - 1)
        before = min(int(along), KNOTS - 2)
        part = along - before
        places.append((before, part * part * (3 - 2 * part)))
    lines = [[row[a] + f * (row[a + 1] - row[a]) for a, f in places] for row in knots]
    return [here + f * (there - here) for a, f in places for here, there in zip(lines[a], lines[a + 1])]


def deformation(draw):
    """A function from the bytes of an image, and a black pixel behind them, to the deformed image's."""
    turn = draw.uniform(-TURN, TURN)
    wide, high = 1 + draw.uniform(-STRETCH, STRETCH), 1 + draw.uniform(-STRETCH, STRETCH)
    slant = draw.uniform(-SLANT, SLANT)
    right, down = draw.uniform(-SHIFT, SHIFT), draw.uniform(-SHIFT, SHIFT)
    xx, xy = math.cos(turn) * wide, slant - math.sin(turn) * high
    yx, yy = math.sin(turn) * wide, math.cos(turn) * high
    centre = (SIDE - 1) / 2
    bends = zip(bend(draw), bend(draw))
    sources = []
    for row in range(SIDE):
        for column in range(SIDE):
            bend_x, bend_y = next(bends)
            x = math.floor(xx * (column - centre) + xy * (row - centre) + centre + right + bend_x + 0.5)
            y = math.floor(yx * (column - centre) + yy * (row - centre) + centre + down + bend_y + 0.5)
            sources.append(y * SIDE + x if 0 <= x < SIDE and 0 <= y < SIDE else PIXELS)
    return operator.itemgetter(*sources)


def write(folder, name, images, labels, count, copies, maps, draw):
    with open(os.path.join(folder, name + "-images.idx"), "wb") as file:
        file.write(header(count * copies, (SIDE, SIDE)))
        for _ in range(copies):
            for k in range(count):
                image = images[k * PIXELS : (k + 1) * PIXELS]
                file.write(bytes(maps[draw.randrange(len(maps))](image + b"\0")) if maps else image)
    with open(os.path.join(folder, name + "-labels.idx"), "wb") as file:
        file.write(header(count * copies, ()))
        file.write(labels[:count] * copies)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist")
    parser.add_argument("folder")
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--train", type=int, default=60000)
    parser.add_argument("--test", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    if min(options.copies, options.train, options.test) < 1:
        fail("--copies, --train and --test are at least 1")
    draw = random.Random(options.seed)
    maps = [] if options.plain else [deformation(draw) for _ in range(MAPS)]
    os.makedirs(options.folder, exist_ok=True)
    for name, wanted, copies in (("train", options.train, options.copies), ("test", options.test, 1)):
        images, count = read(options.mnist, NAMES[name][0], (SIDE, SIDE))
        labels, label_count = read(options.mnist, NAMES[name][1], ())
        if count != label_count:
            fail(f"{count} images, but {label_count} labels, of '{name}'")
        write(options.folder, name, images, labels, min(wanted, count), copies, maps if name == "train" else [], draw)


main()
