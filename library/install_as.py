#!/usr/bin/env python3
"""install_as.py FILE PLACE: installs a file that was built under another name; PLACE is relative to the prefix."""

import os
import pathlib
import shutil
import sys


def main():
    source, place = sys.argv[1:]
    target = pathlib.Path(os.environ["MESON_INSTALL_DESTDIR_PREFIX"]) / place
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    if not os.environ.get("MESON_INSTALL_QUIET"):
        print(f"Installing {source} as {target}")


if __name__ == "__main__":
    main()
