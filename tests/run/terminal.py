"""A pseudo-terminal with a screen: enough of one to see what someone at the REPL sees.

The program runs on a pty; what it prints goes through a small emulation of the part of a VT100 that line editors use. The
transcript is the whole of what was on the screen, lines that have scrolled away included.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

KEYS = {
    "Tab": "\t", "Up": "\x1b[A", "Down": "\x1b[B", "Right": "\x1b[C", "Left": "\x1b[D", "BS": "\x7f", "Enter": "\r",
    "C-a": "\x01", "C-c": "\x03", "C-d": "\x04", "C-e": "\x05", "C-k": "\x0b", "C-u": "\x15", "C-w": "\x17",
    "C-r": "\x12", "Esc": "\x1b",
}
PROMPTS = ("rxn> ", "...> ")
SEQUENCE = re.compile(rb"\x1b\[([?0-9;]*)([@-~])|\x1b[()].|\x1b[=>78MDE]")


class Screen:
    """Lines of characters, the last ones of which a program can still change."""

    def __init__(self, width):
        self.width, self.lines, self.row, self.column = width, [[]], 0, 0
        self.pending = b""
        self.wraps = False  # the last column is filled, and the next character goes to the next line

    def line(self):
        while len(self.lines) <= self.row:
            self.lines.append([])
        return self.lines[self.row]

    def put(self, character):
        if self.wraps:
            self.row, self.column, self.wraps = self.row + 1, 0, False
        line = self.line()
        line.extend(" " * (self.column + 1 - len(line)))
        line[self.column] = character
        if self.column + 1 == self.width:
            self.wraps = True
        else:
            self.column += 1

    def command(self, arguments, final):
        numbers = [int(n) for n in arguments.split(";") if n.isdigit()]
        n = numbers[0] if numbers else 0
        count = n or 1
        self.wraps = False
        line = self.line()
        if final == "A":
            self.row = max(0, self.row - count)
        elif final == "B":
            self.row += count
        elif final == "C":
            self.column = min(self.width - 1, self.column + count)
        elif final == "D":
            self.column = max(0, self.column - count)
        elif final == "G":
            self.column = count - 1
        elif final == "K" and n == 0:
            del line[self.column:]
        elif final == "J" and n == 0:
            del line[self.column:]
            del self.lines[self.row + 1:]
        elif final == "P":
            del line[self.column:self.column + count]
        elif final == "@":
            line[self.column:self.column] = " " * count
        elif final not in "mhl":
            raise AssertionError("the terminal does not know CSI %s%s" % (arguments, final))

    def feed(self, data):
        data = self.pending + data
        self.pending = b""
        at = 0
        while at < len(data):
            byte = data[at]
            if byte == 0x1B:
                found = SEQUENCE.match(data, at)
                if not found:
                    if len(data) - at < 12:
                        self.pending = data[at:]
                        return
                    raise AssertionError("the terminal does not know %r" % data[at:at + 12])
                if found[2]:
                    self.command(found[1].decode(), found[2].decode())
                at = found.end()
                continue
            size = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            if at + size > len(data):
                self.pending = data[at:]
                return
            text = data[at:at + size].decode("utf-8", "replace")
            at += size
            if text == "\r":
                self.column, self.wraps = 0, False
            elif text == "\n":
                self.row, self.wraps = self.row + 1, False
                self.line()
            elif text == "\b":
                self.column, self.wraps = max(0, self.column - 1), False
            elif text == "\t":
                self.column = min(self.width - 1, self.column // 8 * 8 + 8)
            elif text >= " ":
                self.put(text)

    def text(self):
        return "".join("".join(line).rstrip() + "\n" for line in self.lines).rstrip("\n") + "\n"

    def current(self):
        return "".join(self.line())

    def waits(self):
        """Is there a prompt, with nothing behind it?"""
        return self.current().rstrip() + " " in PROMPTS


class Terminal:
    def __init__(self, command, width=80, environment=None, cwd=None):
        self.screen, self.raw, self.ended = Screen(width), b"", False
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(cwd or ".")
                os.execvpe(command[0], command, environment)
            finally:
                os._exit(127)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))

    def read(self, seconds):
        """What comes within this time; False: nothing did."""
        if self.ended or not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.ended = not data
        self.raw += data
        self.screen.feed(data)
        return bool(data)

    def wait(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            if self.ended or time.monotonic() > end:
                raise AssertionError("the terminal waits in vain; on it is:\n%s" % self.screen.text())
            self.read(0.1)

    def settle(self, seconds=0.3):
        """Until nothing comes for that long."""
        end = time.monotonic() + 30
        while self.read(seconds):
            assert time.monotonic() < end, "it does not stop; on the terminal is:\n%s" % self.screen.text()

    def wait(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            if self.ended or time.monotonic() > end:
                raise AssertionError("the terminal waits in vain; on it is:\n%s" % self.screen.text())
            self.read(0.1)

    def settle(self, seconds=0.3):
        """Until nothing comes for that long."""
        end = time.monotonic() + 30
        while self.read(seconds):
            assert time.monotonic() < end, "it does not stop; on the terminal is:\n%s" % self.screen.text()

    def watch(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(0.05)

    def prompt(self):
        self.wait(self.screen.waits)
        self.settle(0.02)

    def write(self, text):
        os.write(self.fd, text.encode())

    def step(self, line):
        """Types a line of keys: text, <Tab>, <C-c>…, and Enter at its end, but for a line that ends with <none>.
        <busy> waits until the progress bar counts something, <prompt> for the prompt after it."""
        enter = not line.endswith("<none>")
        line = line[:-len("<none>")] if not enter else line
        parts = re.split(r"<(Tab|Up|Down|Right|Left|BS|Enter|Esc|busy|prompt|C-[a-z])>", line)
        for k, part in enumerate(parts):
            if k % 2 == 0:
                self.write(part)
            elif part == "busy":
                self.wait(lambda: re.search(r"  [1-9][0-9,]* of ", self.screen.current()))
            elif part == "prompt":
                self.prompt()
            else:
                self.write(KEYS[part])
        if enter:
            row = self.screen.row
            self.write("\r")
            self.wait(lambda: self.ended or (self.screen.row > row and self.screen.waits()))
            self.settle(0.02)
        else:
            self.settle()

    def close(self):
        """Its exit status, once it has ended; one that does not is killed."""
        end = time.monotonic() + 60
        while not self.ended and time.monotonic() < end:
            self.read(0.1)
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status
