#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tally top` in a real terminal: a tmux of its own, keys sent, the screen captured.

Nothing is waited for by time alone: each step looks at the screen until it shows what it must.
"""
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
TALLY = os.path.join(BUILD, "tally")
DEADLINE_S = 60
GIB = 1 << 30
MIB = 1 << 20
SPARK = " +[▁-█]+"  # what was held, at the end of a line


def until(condition, what):
    """What `condition` gives once that is true; fails with what() after the deadline."""
    end = time.monotonic() + DEADLINE_S
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError("waited in vain: " + what())
        time.sleep(0.02)


class Producer:
    """A program that allocates as it is told (prog/scripted.c), under a name of its own."""

    def __init__(self, place, name, **environment):
        path = os.path.join(place.tmp, name)
        if not os.path.islink(path):
            os.symlink(os.path.join(BUILD, "tests/prog/scripted"), path)
        self.process = subprocess.Popen(
            [path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=dict(os.environ, TALLY="1", TALLY_DIR=place.dir, **environment))
        self.pid = self.process.pid
        assert self.process.stdout.readline() == "ready\n"
        place.addCleanup(self.end)

    def do(self, *lines):
        for line in lines:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == "0\n", line
        return self

    def kill(self):
        self.process.kill()
        self.end()

    def end(self):
        if not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass
        self.process.wait()
        self.process.stdout.close()


class Terminal:
    """A tmux server with one pane. What runs there is a shell script around `tally top`, which
    notes how the terminal was before and after."""

    def __init__(self, place, width=80, height=24, arguments="-i 0.1", before="", settings="",
                 command=None):
        self.place = place
        self.dir = tempfile.mkdtemp(dir=place.tmp)
        self.environment = {k: v for k, v in os.environ.items()
                            if k not in ("TMUX", "NO_COLOR", "LC_CTYPE", "LANG")}
        self.environment["LC_ALL"] = "C.UTF-8"
        script = f"""
cd {self.dir} || exit
ulimit -c 0
export TALLY_DIR={place.dir} {settings}
trap : INT QUIT
echo was here before
stty -g >before
{before}
sh -c 'echo $$ >pid; exec {TALLY} top {arguments}' 2>said
echo $? >status
stty -g >after
cat said
echo is here again
read line
"""
        with open(os.path.join(self.dir, "script"), "w") as file:
            file.write(script)
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height),
                  command or f"sh {self.dir}/script", ";", "set", "-g", "status", "off")
        place.addCleanup(self.end)

    def tmux(self, *words, check=True):
        done = subprocess.run(["tmux", "-u", "-S", self.dir + "/tmux", *words], text=True,
                              env=self.environment, capture_output=True)
        if check and done.returncode:
            raise AssertionError(f"tmux {words}: {done.stderr}")
        return done.stdout

    def end(self):
        self.tmux("kill-server", check=False)

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def mouse(self, button, x, y):
        """A press and release as a terminal tells them (X10), from 0."""
        for code in (button, 3):
            self.tmux("send-keys", "-H", "1b", "5b", "4d",
                      *(f"{32 + n:x}" for n in (code, x + 1, y + 1)))

    def resize(self, width, height):
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def screen(self, *how):
        return self.tmux("capture-pane", "-p", *how)

    def wait(self, *wanted, without=()):
        """The screen once all of these are on it, and none of those: strings or regular
        expressions."""
        found = []

        def is_there(what, text):
            return what.search(text) if hasattr(what, "search") else what in text

        def look():
            found[:] = [self.screen()]
            return (all(is_there(w, found[0]) for w in wanted)
                    and not any(is_there(w, found[0]) for w in without))

        until(look, lambda: f"{wanted}, without {without}, on:\n{found[0]}")
        return found[0]

    def says(self, flags):
        return self.tmux("display-message", "-p", "".join(f"#{{{f}}}" for f in flags)).strip()

    def read(self, name):
        with open(os.path.join(self.dir, name)) as file:
            return file.read()

    def pid(self):
        return int(self.read("pid"))

    def check_ended(self, status):
        """That it ended so, and left the terminal as it was."""
        text = self.wait("was here before", "is here again", without=["tally top"])
        self.place.assertEqual(int(self.read("status")), status, text)
        self.place.assertEqual(self.read("after"), self.read("before"))
        # on the main screen, cursor visible, mouse and application keys off
        self.place.assertEqual(self.says(["alternate_on", "cursor_flag", "mouse_any_flag",
                                          "keypad_flag", "keypad_cursor_flag"]), "01000")
        return text


def row_of(screen, word):
    """The line of the process table, or of the devices, that has this word."""
    for line in screen.splitlines():
        if word in line.replace(">", " ").split():
            return line
    raise AssertionError(f"no row {word} in:\n{screen}")


def order_of(screen, names):
    """The names in the order in which their rows stand."""
    found = [w for line in screen.splitlines() for w in line.split() if w in names]
    return found


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        # Cleanups run last first: producers and terminals end before their files are removed.
        self.dir = tempfile.mkdtemp(prefix="test-top-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.tmp = tempfile.mkdtemp(prefix="test-top-")
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)

    def producer(self, name, *lines, **environment):
        return Producer(self, name, **environment).do(*lines)

    def runtime(self, totals, held):
        """A process that a runtime's totals of device 5 tell of: dram, l1, l1_small, trace, cb."""
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        self.addCleanup(process.communicate)
        chip = bytearray(8576)  # offsets by hand
        struct.pack_into("<II", chip, 0, 4, 1)
        struct.pack_into("<I", chip, 40, 5)
        struct.pack_into("<5Q", chip, 48, *totals)
        struct.pack_into("<i4x5Q", chip, 856, process.pid, *held)
        chip[912:919] = b"runtime"
        struct.pack_into("<I", chip, 8536, 0x52454459)
        with open(os.path.join(self.dir, "tt_device_7_memory"), "wb") as file:
            file.write(chip)
        return process

    def three(self):
        """Three processes on three devices, one of which is not described."""
        return (self.producer("trainer", f"describe 0 Wormhole_n300 wormhole_b0 s0 0 {12 * GIB}",
                              f"describe 1 n150 blackhole s1 0 {12 * GIB}",
                              f"alloc 0 0 1 {4 * GIB}", "alloc 0 1 2 1258291",
                              f"alloc 1 0 3 {9 * GIB}", "failed 1 0 1000"),
                self.producer("server", f"alloc 0 0 1 {2 * GIB}", "alloc 3 7 2 777777"),
                self.producer("holder", f"alloc 0 0 1 {GIB}"))


class Screens(Case):
    def test_main_view_shows_devices_and_processes_at_80x24(self):
        trainer, server, holder = self.three()
        terminal = Terminal(self)
        text = terminal.wait("3 processes, 3 devices, 16.0 GiB held", "\nexact\n", "holder",
                             re.compile(r"▁|█"))
        lines = text.splitlines()
        self.assertTrue(all(len(line) <= 80 for line in lines), text)
        self.assertRegex(text, r"(?m)^0 Wormhole_n300, wormhole_b0, remote +last 2 min .*█$")
        self.assertRegex(text, rf"(?m)^  DRAM +━+╾?─+ +7\.00 GiB of 12\.0 GiB +58 %{SPARK}$")
        self.assertRegex(text, rf"(?m)^  L1 +1\.20 MiB +capacity unknown{SPARK}$")
        self.assertRegex(text, r"(?m)^1 n150, blackhole, remote +last 2 min")
        self.assertRegex(text, rf"(?m)^  DRAM +━+╾?─+ +9\.00 GiB of 12\.0 GiB +75 %{SPARK}$")
        self.assertRegex(text, r"(?m)^3 \(not described\) ")
        self.assertRegex(text, rf"(?m)^  heap +760 KiB +capacity unknown{SPARK}$")
        # the bar is as long as the words say
        bar = re.search(r"DRAM +(━+)(╾?)(─+) +7\.00", text)
        full = len(bar[1]) + len(bar[2]) / 2
        self.assertAlmostEqual(full / len(bar[1] + bar[2] + bar[3]), 7 / 12, delta=0.04)
        self.assertNotIn("ABANDONED", text)  # nothing was
        # heads stand over what they name, numbers end below them
        heads = next(line for line in lines if " PID " in line)
        for process, held in ((trainer, "13.0 GiB"), (server, "2.00 GiB"), (holder, "1.00 GiB")):
            row = row_of(text, str(process.pid))
            self.assertEqual(row.index(str(process.pid)) + len(str(process.pid)),
                             heads.index("PID") + 3)
            self.assertEqual(row.index(held) + len(held), heads.index("HELD") + 4)
            self.assertEqual(row.index("running"), heads.index("STATE"))
        self.assertEqual(order_of(text, ["trainer", "server", "holder"]),
                         ["trainer", "server", "holder"])
        self.assertIn("? help", lines[23])

    def test_wide_screen_shows_more(self):
        self.three()
        terminal = Terminal(self, 200, 50)
        text = terminal.wait("3 processes", "holder", "peak 7.00 GiB")
        for head in ("FREES", "FAILED", "LOST", "DEVICES", "ALLOC/S"):
            self.assertIn(head, text)
        self.assertIn("13.0 GiB", row_of(text, "trainer"))
        self.assertRegex(row_of(text, "trainer"), r"running +0 1$")

    def test_resizes_are_followed(self):
        self.three()
        terminal = Terminal(self)
        terminal.wait("3 processes", "holder", "? help")
        for width, height in ((200, 50), (60, 12), (132, 20), (41, 10), (80, 24)):
            terminal.resize(width, height)
            text = terminal.wait("3 processes", "? help", re.compile(r"(?m)^(>| ).* running|GiB"))
            until(lambda: len(terminal.screen().splitlines()) == height,
                  lambda: f"{height} lines of:\n{terminal.screen()}")
            text = terminal.screen()
            self.assertTrue(all(len(line) <= width for line in text.splitlines()), text)
        for width, height in ((30, 24), (80, 5), (10, 2), (2, 1)):
            terminal.resize(width, height)
            terminal.wait("terminal"[:width - 1], without=["held"])
            terminal.resize(80, 24)
            terminal.wait("3 processes", "? help", "holder", without=["too small"])
        for n in range(40):  # faster than it draws
            terminal.resize(40 + n * 3, 50 - n)
        terminal.resize(80, 24)
        text = terminal.wait("3 processes", "? help", "holder", "STATE")
        self.assertTrue(all(len(line) <= 80 for line in text.splitlines()), text)
        terminal.keys("q")
        terminal.check_ended(0)

    def test_devices_that_do_not_fit_are_scrolled_to(self):
        self.producer("many", *(f"alloc {n} 0 1 {(n + 1) << 20}" for n in range(64)))
        terminal = Terminal(self)
        text = terminal.wait("64 devices", "Tab to scroll", re.compile(r"(?m)^> +\d+ many "))
        self.assertIn("\n0 (not described)", text)
        terminal.keys("Tab", "End")
        text = terminal.wait("\n63 (not described)", "64.0 MiB", "0 below", "Tab back")
        terminal.keys("Home")
        terminal.wait("\n0 (not described)", "0 more lines above")
        terminal.keys("Tab")
        terminal.wait("Tab to scroll")

    def test_without_colours_or_utf8_it_says_the_same(self):
        self.three()
        colour = re.compile(r"\033\[[\d;]*3[0-7]m")
        terminal = Terminal(self)
        terminal.wait("holder")
        self.assertRegex(terminal.screen("-e"), colour)
        terminal = Terminal(self, settings="NO_COLOR=1")
        terminal.wait("holder")
        self.assertNotRegex(terminal.screen("-e"), colour)
        terminal = Terminal(self, settings="LC_ALL=C")
        text = terminal.wait("holder", "last 2 min")
        self.assertTrue(text.isascii(), text)
        self.assertRegex(text, r"(?m)^  DRAM +#+-+ +7\.00 GiB of 12\.0 GiB +58 % +[_.\-:=+*#]+$")
        self.assertRegex(text, r"(?m)^0 Wormhole.* last 2 min.*[_.\-:=+*#]$")


class Groups(Case):
    """DRAM with trace under it, L1 with its parts under it, system memory and the rest apart."""

    def scene(self):
        return (self.producer("trainer",
                              f"describe 0 n300 wormhole_b0 s0 0 {12 * GIB} 1 {96 * MIB}",
                              f"alloc 0 0 1 {4 * GIB}", f"alloc 0 4 2 {GIB}",
                              f"alloc 0 1 3 {8 * MIB}",
                              f"alloc 0 5 4 {2 * MIB}", f"alloc 0 6 5 {MIB}", f"alloc 0 3 6 {MIB}",
                              "alloc 0 2 7 3000000", "alloc 0 7 8 5000000", "alloc 0 9 9 7000000"),
                self.producer("server", f"alloc 0 0 1 {2 * GIB}", f"alloc 0 5 2 {2 * MIB}"))

    def check_lines(self, text, *patterns):
        """That lines like these stand one below the other."""
        lines = text.splitlines()
        first = next((n for n, line in enumerate(lines) if re.search(patterns[0], line)), None)
        self.assertIsNotNone(first, patterns[0] + " on:\n" + text)
        for pattern, line in zip(patterns, lines[first:first + len(patterns)]):
            self.assertRegex(line, pattern, text)

    def test_device_has_sums_with_their_parts_below(self):
        self.scene()
        terminal = Terminal(self, 200, 50)
        text = terminal.wait("server", "7.03 GiB held", re.compile(SPARK + "$", re.MULTILINE))
        self.check_lines(text, r"^0 n300, wormhole_b0",
                         rf"^  DRAM +━+╾?─+ +7\.00 GiB of 12\.0 GiB +58 % +peak 7\.00 GiB{SPARK}$",
                         r"^    buffers +6\.00 GiB +peak 6\.00 GiB$",
                         r"^    trace +1\.00 GiB +peak 1\.00 GiB$",
                         rf"^  L1 +━+╾?─+ +14\.0 MiB of 96\.0 MiB +15 % +peak 14\.0 MiB{SPARK}$",
                         r"^    buffers +8\.00 MiB +peak 8\.00 MiB$",
                         r"^    cb +4\.00 MiB +peak 4\.00 MiB$",
                         r"^    kernel +1\.00 MiB +peak 1\.00 MiB$",
                         r"^    l1_small +1\.00 MiB +peak 1\.00 MiB$",
                         rf"^  system +2\.86 MiB +capacity unknown +peak 2\.86 MiB{SPARK}$",
                         rf"^  heap +4\.77 MiB +capacity unknown +peak 4\.77 MiB{SPARK}$",
                         rf"^  pool-9 +6\.68 MiB +capacity unknown +peak 6\.68 MiB{SPARK}$", "^$")

    def test_few_rows_have_all_parts_in_a_line(self):
        self.scene()
        self.producer("other", "alloc 1 4 1 5000", "alloc 1 1 2 6000")
        terminal = Terminal(self)
        text = terminal.wait("server", "other", "7.03 GiB held", re.compile(SPARK))
        self.check_lines(text, r"^0 n300, wormhole_b0, remote ",
                         rf"^  DRAM +━+╾?─+ +7\.00 GiB of 12\.0 GiB +58 %{SPARK}$",
                         r"^    buffers 6\.00 GiB  trace 1\.00 GiB$",
                         rf"^  L1 +━+╾?─+ +14\.0 MiB of 96\.0 MiB +15 %{SPARK}$",
                         r"^    buffers 8\.00 MiB  cb 4\.00 MiB  kernel 1\.00 MiB  "
                         r"l1_small 1\.00 MiB$",
                         rf"^  system +2\.86 MiB +capacity unknown{SPARK}$",
                         rf"^  heap +4\.77 MiB +capacity unknown{SPARK}$",
                         rf"^  pool-9 +6\.68 MiB +capacity unknown{SPARK}$",
                         r"^1 \(not described\)",
                         r"^  DRAM +4\.88 KiB +capacity unknown",
                         r"^    buffers 0 B  trace 4\.88 KiB$",
                         r"^  L1 +5\.86 KiB +capacity unknown",
                         r"^    buffers 5\.86 KiB  cb 0 B  kernel 0 B  l1_small 0 B$", "^$")
        self.assertTrue(all(len(line) <= 80 for line in text.splitlines()), text)
        # nor is a part cut where there is no room for all of them
        terminal.resize(60, 24)
        text = terminal.wait(re.compile(r"(?m)^    l1_small +1\.00 MiB$"))

    def test_group_that_holds_nothing_shows_what_there_is(self):
        self.producer("idle", f"describe 0 n300 wormhole_b0 s0 0 {12 * GIB} 1 {96 * MIB}",
                      "alloc 3 2 1 5000")
        text = Terminal(self).wait("idle", "system")
        self.check_lines(text, r"^0 n300", r"^  DRAM +─+ +0 B of 12\.0 GiB +0 %",
                         r"^  L1 +─+ +0 B of 96\.0 MiB +0 %", r"^3 \(not described\)",
                         r"^  system +4\.88 KiB +capacity unknown", "^$")

    def test_processes_have_dram_l1_and_system_apart(self):
        trainer, server = self.scene()
        terminal = Terminal(self)
        text = terminal.wait("trainer", "server")
        self.assertRegex(text, r"(?m)^ +PID COMMAND +▾HELD +DRAM +L1 +PEAK STATE$")
        self.assertRegex(text, r"(?m)trainer +5\.03 GiB +5\.00 GiB +12\.0 MiB +>=5\.0")
        self.assertRegex(text, r"(?m)server +2\.00 GiB +2\.00 GiB +2\.00 MiB +>=2\.00")
        terminal.keys(">", ">")
        terminal.wait("▾L1")
        self.assertEqual(order_of(terminal.screen(), ["trainer", "server"]), ["trainer", "server"])
        server.do(f"alloc 0 3 99 {64 * MIB}")
        until(lambda: order_of(terminal.screen(), ["trainer", "server"]) == ["server", "trainer"],
              terminal.screen)
        terminal.resize(200, 50)
        text = terminal.wait(re.compile(r"DRAM +▾L1 +SYSTEM +PEAK"))
        self.assertRegex(text, r"trainer +5\.03 GiB +5\.00 GiB +12\.0 MiB +2\.86 MiB +>=")
        self.assertRegex(text, r"server +2\.06 GiB +2\.00 GiB +66\.0 MiB +0 B +>=")

    def test_process_view_has_groups_with_their_parts_below(self):
        self.scene()
        terminal = Terminal(self)
        terminal.wait(re.compile("(?m)^>.*trainer"))
        terminal.keys("Enter")
        terminal.wait("region tally")
        self.check_lines(terminal.screen(),
                         r"^ DEVICE POOL +HELD +OF DEVICE'S +START +ATTACH +ALLOCS$",
                         r"^ +0 DRAM +5\.00 GiB +12\.0 GiB +42 % +5\.00 GiB +>=5\.00 GiB +2$",
                         r"^ +buffers +4\.00 GiB +4\.00 GiB +>=4\.00 GiB +1$",
                         r"^ +trace +1\.00 GiB +1\.00 GiB +>=1\.00 GiB +1$",
                         r"^ +0 L1 +12\.0 MiB +96\.0 MiB +12 % +12\.0 MiB +>=12\.0 MiB +4$",
                         r"^ +buffers +8\.00 MiB ", r"^ +cb +2\.00 MiB ", r"^ +kernel +1\.00 MiB ",
                         r"^ +l1_small +1\.00 MiB ", r"^ +0 system +2\.86 MiB +- +2\.86 MiB ",
                         r"^ +0 heap +4\.77 MiB ")
        terminal.keys("End")
        terminal.wait(re.compile(r"(?m)^ +0 pool-9 +6\.68 MiB "))
        # what one described is known of the device, whoever holds it
        terminal.keys("1", "j", "2")
        text = terminal.wait("server: running", re.compile("0 DRAM +2.00 GiB +12.0 GiB +17 %"))
        self.check_lines(text, r"^ +0 L1 +2\.00 MiB +96\.0 MiB +2 %", r"^ +buffers +0 B$",
                         r"^ +cb +2\.00 MiB ", r"^ +kernel +0 B$", r"^ +l1_small +0 B$")

    def test_totals_only_have_groups_bounds_and_no_kernels(self):
        runtime = self.runtime([4 * GIB, 9 * MIB, MIB, GIB, 3 * MIB],
                               [3 * GIB, 8 * MIB, MIB, GIB, 2 * MIB])
        terminal = Terminal(self, 200, 50)
        text = terminal.wait("runtime", "totals only")
        self.check_lines(text, r"^5 \(totals only\) +>=4\.01 GiB in all",
                         r"^  DRAM +>=4\.00 GiB +capacity unknown +totals only",
                         r"^    buffers +>=3\.00 GiB ", r"^    trace +1\.00 GiB ",
                         r"^  L1 +>=11\.0 MiB +capacity unknown +totals only",
                         r"^    buffers +>=8\.00 MiB ", r"^    cb +>=2\.00 MiB ",
                         r"^    kernel +-$", r"^    l1_small +1\.00 MiB ", "^$")
        self.assertRegex(text, rf"{runtime.pid} runtime +4\.01 GiB +4\.00 GiB +11\.0 MiB +- ")
        terminal.keys("Enter")
        text = terminal.wait("by what its runtime says")
        self.check_lines(text, r"^ +5 DRAM +4\.00 GiB( +-){7}$", r"^ +buffers +3\.00 GiB( +-){6}$",
                         r"^ +trace +1\.00 GiB( +-){6}$", r"^ +5 L1 +11\.0 MiB( +-){7}$",
                         r"^ +buffers +8\.00 MiB( +-){6}$", r"^ +cb +2\.00 MiB( +-){6}$",
                         r"^ +kernel +-$", r"^ +l1_small +1\.00 MiB( +-){6}$")
        terminal.keys("1")
        self.producer("more", "alloc 0 2 2 5000", *(f"alloc {n} 0 1 5000" for n in range(3)))
        terminal.resize(80, 24)
        terminal.wait("more", "5 (totals only)",
                      "    buffers >=8.00 MiB  cb >=2.00 MiB  kernel -  l1_small 1.00 MiB\n")
        terminal.resize(200, 50)
        text = terminal.wait(re.compile(r"DRAM +L1 +SYSTEM +PEAK"))
        self.assertRegex(text, r"runtime +4\.01 GiB +4\.00 GiB +11\.0 MiB +- ")
        self.assertRegex(text, r"more +19\.5 KiB +14\.6 KiB +0 B +4\.88 KiB ")

    def test_pools_that_are_chosen_are_no_groups(self):
        self.scene()
        terminal = Terminal(self, arguments="-i 0.1 -P cb -P trace")
        text = terminal.wait("server", re.compile(r"(?m)^  cb +4\.00 MiB +capacity unknown"),
                             re.compile(r"(?m)^  trace +1\.00 GiB +capacity unknown"))
        self.assertNotRegex(text, r"DRAM|L1|buffers +\d+\.\d")
        terminal.keys("Enter")
        text = terminal.wait(re.compile(r"(?m)^ +0 cb +2\.00 MiB"),
                             re.compile(r"(?m)^ +0 trace +1"))
        self.assertNotRegex(text, "DRAM|L1")
        terminal = Terminal(self)
        terminal.wait("server")
        terminal.keys("p")
        terminal.type("kernel")
        text = terminal.wait(re.compile(r"(?m)^  kernel +1\.00 MiB +capacity unknown"),
                             without=["server", "DRAM"])
        self.assertNotIn("L1", text)

    def test_history_of_a_group_is_its_own(self):
        trainer, server = self.scene()
        terminal = Terminal(self, 200, 50)
        terminal.wait("server", "14.0 MiB of")
        trainer.do(f"free 0 1 3 {8 * MIB}")
        text = terminal.wait(re.compile(r"(?m)^  L1 .*█[▁-▆]+$"))
        self.assertRegex(text, r"(?m)^  DRAM .* █+$")  # as it was all the time
        self.assertRegex(text, r"(?m)^0 n300.* █+$")   # nor does the whole change by that much


class Use(Case):
    def test_sorts_and_keeps_the_selection(self):
        small = self.producer("small", "alloc 0 0 1 1024 30")
        large = self.producer("large", "alloc 0 0 1 1048576 10")
        same = self.producer("same", "alloc 0 0 1 1024 30")
        names = ["small", "large", "same"]
        terminal = Terminal(self)
        pids = sorted([small, same], key=lambda p: p.pid)
        ties = ["small" if p is small else "same" for p in pids]

        def orders(*wanted):
            until(lambda: order_of(terminal.screen(), names) == list(wanted),
                  lambda: f"{wanted} on:\n{terminal.screen()}")

        terminal.wait("▾HELD", *names)
        orders("large", *ties)
        terminal.keys("j")  # on the first of the two
        terminal.wait(re.compile(rf"(?m)^> +{pids[0].pid} "))
        terminal.keys("r")
        terminal.wait("▴HELD")
        orders(*ties, "large")
        terminal.wait(re.compile(rf"(?m)^> +{pids[0].pid} "))
        terminal.keys("<", "<")
        terminal.wait("▾PID")
        orders(*("large" if p is large else "small" if p is small else "same"
                 for p in sorted([small, large, same], key=lambda p: p.pid)))
        terminal.keys(">")
        terminal.wait("COMMAND▾")
        orders("large", "same", "small")
        # it stays where it is also when it gets another place
        terminal.keys(">")
        terminal.wait("▾HELD", re.compile(rf"(?m)^> +{pids[0].pid} "))
        pids[0].do(f"alloc 0 0 99 {GIB}")
        orders(ties[0], "large", ties[1])
        terminal.wait(re.compile(rf"(?m)^> +{pids[0].pid} "))

    def test_filters_by_text_device_and_pool(self):
        trainer, server, holder = self.three()
        terminal = Terminal(self)
        terminal.wait("holder", "trainer")
        terminal.keys("/")
        terminal.type("hol")
        terminal.wait("show only command or pid: hol_", "holder", without=["trainer"])
        terminal.keys("Enter")
        terminal.wait('only  "hol"', "holder", without=["trainer", "show only"])
        terminal.keys("x")
        terminal.wait("trainer", "server", "holder", without=["only"])
        terminal.keys("/")
        terminal.type(str(server.pid))
        terminal.wait("server", without=["trainer", "holder"])
        terminal.keys("Escape")
        terminal.wait("trainer", without=["only"])
        terminal.keys("d")
        terminal.type("3")
        terminal.wait("server", "heap", without=["trainer", "holder", "Wormhole", "n150"])
        terminal.keys("BSpace")
        terminal.type("worm")
        text = terminal.wait("Wormhole", "trainer", "server", "holder", without=["n150", "heap"])
        # of the device that is shown alone
        terminal.wait(re.compile(r"trainer +>=4\.00 GiB|trainer +4\.00 GiB"))
        terminal.keys("Enter", "p")
        terminal.type("l1")
        terminal.wait("1.20 MiB", "trainer", without=["dram", "server"])
        terminal.keys("Enter", "p", "C-u")
        terminal.type("nowhere")
        terminal.wait("no process passes the filter")
        terminal.keys("Escape", "x")
        terminal.wait("trainer", "server", "holder", "n150", without=["only"])

    def test_options_choose(self):
        trainer, server, holder = self.three()
        terminal = Terminal(self, arguments=f"-i 0.1 -p {server.pid}")
        terminal.wait("server", "1 process, ", without=["trainer", "holder"])
        terminal = Terminal(self, arguments="--interval 0.25 --device 1")
        terminal.wait("every 0.25 s", "n150", "trainer", without=["server", "Wormhole"])
        terminal = Terminal(self, arguments="-P heap -P l1")
        terminal.wait("every 1 s", "trainer", "server", "l1", without=["holder", "dram"])

    def test_process_view_shows_all_of_one(self):
        trainer, server, holder = self.three()
        trainer.do(f"free 1 0 3 {9 * GIB}")
        terminal = Terminal(self, 100, 30)
        terminal.wait("holder")
        terminal.keys("/")
        terminal.type("trainer")
        terminal.keys("Enter", "Enter")
        text = terminal.wait(f"{trainer.pid} trainer: running, 4.00 GiB held", "PEAK SINCE",
                             "START", "ATTACH", "Tags: not known", "region tally-",
                             "7 events, 0 records lost", without=["server"])
        # most since it began; since this command came there was less
        self.assertRegex(text, r"(?m)^ +0 DRAM +4\.00 GiB +12\.0 GiB +33 % +4\.00 GiB "
                               r"+>=4\.00 GiB +1 +0 +0")
        self.assertRegex(text, r"(?m)^ +1 DRAM +0 B +12\.0 GiB +0 % +9\.00 GiB +>=0 B +1 +1 +1")
        trainer.kill()
        terminal.wait("trainer: gone, 4.00 GiB abandoned")
        terminal.keys("Escape")
        terminal.wait("[1 main]")

    def test_totals_of_a_runtime_are_shown_as_such(self):
        other = self.producer("other", "alloc 0 0 1 5000")
        runtime = self.runtime([3 * GIB, 0, 0, 0, 0], [3 * GIB, 0, 0, 0, 0])
        terminal = Terminal(self)
        text = terminal.wait("2 processes, 2 devices, 3.00 GiB held", "runtime",
                             "exact; 1 process by a runtime's totals only")
        self.assertRegex(text, r"(?m)^5 \(totals only\) ")
        self.assertRegex(text, rf"(?m)^  DRAM +3\.00 GiB +capacity unknown{SPARK}$")
        self.assertRegex(text, rf"(?m)^>? *{runtime.pid} runtime +3\.00 GiB +- +- .*totals")
        self.assertRegex(text, rf"(?m)^>? *{other.pid} other +4\.88 KiB +4\.88 KiB .*running")
        terminal.resize(160, 30)
        text = terminal.wait(re.compile(r"(?m)runtime +3\.00 GiB( +-){6} totals only +5$"))
        self.assertRegex(text, rf"(?m)^  DRAM +3\.00 GiB +capacity unknown +totals only{SPARK}$")
        terminal.keys("Enter")
        terminal.wait(f"{runtime.pid} runtime: totals only, 3.00 GiB held",
                      "by what its runtime says in tt_device_7_memory: no counts",
                      re.compile(r"(?m)^ +5 DRAM +3\.00 GiB +- +- +- +- +- +- +-$"))
        runtime.kill()
        runtime.wait()
        terminal.wait("this process is not there any more")

    def test_buffers_view_lists_the_largest_or_oldest(self):
        first = self.producer("first", "tag layer1.attention", "alloc 0 1 171 5000", "untag")
        second = self.producer("second", "alloc 2 0 1 1048576 1500", "free 2 0 7 1048576",
                               f"alloc 2 7 161061273600 {GIB}")
        terminal = Terminal(self, arguments="-i 0.1", width=100)
        terminal.wait("second")
        terminal.keys("b")
        text = terminal.wait("[3 buffers]", "1,501 live buffers, 2.46 GiB; listed: the 1,000 "
                             "largest", re.compile(r"Kept since \d\d:\d\d:\d\d, "), "▾SIZE",
                             "\nexact\n")
        self.assertRegex(text, rf"(?m)^> +1\.00 GiB +[\d.]+ m?s +{second.pid} second +2 heap +"
                               r"0x2580000000$")
        self.assertNotIn("first", text)
        self.assertNotIn(" 0x7 ", text)
        terminal.keys("G")
        terminal.wait(re.compile(rf"(?m)^> +1\.00 MiB .* {second.pid} second +2 dram +0x3e8$"))
        terminal.keys("g", ">")
        text = terminal.wait("▾AGE", "listed: the 1,000 oldest")
        self.assertRegex(text, rf"(?m)^> +4\.88 KiB .* {first.pid} first +0 l1 +0xab "
                               r"+layer1\.attention$")
        terminal.keys("r")
        text = terminal.wait("▴AGE", "listed: the 1,000 youngest", without=["first"])
        self.assertRegex(text, r"(?m)^> +1\.00 GiB ")
        # the cursor stays on its buffer while others come, but for the top, which is the top
        second.do("alloc 2 7 9 2048")
        terminal.wait(re.compile(r"(?m)^> +2\.00 KiB "))
        terminal.keys("j")
        terminal.wait(re.compile(r"(?m)^> +1\.00 GiB "))
        second.do("alloc 2 7 10 3072")
        terminal.wait(re.compile(r"(?m)^ +3\.00 KiB "), re.compile(r"(?m)^> +1\.00 GiB "))
        second.do(f"free 2 7 161061273600 {GIB}")
        terminal.wait("1,502 live buffers", without=[re.compile(r"(?m)^.? +1\.00 GiB ")])
        # what is shown alone is listed alone
        terminal.keys("d")
        terminal.type("0")
        terminal.keys("Enter")
        terminal.wait("only  device 0", "\n1 live buffer, 4.88 KiB", "layer1", without=["second"])
        terminal.keys("x", "/")
        terminal.type("nobody")
        terminal.wait("no buffer passes the filter")
        terminal.keys("Escape")
        first.kill()
        terminal.keys("p")
        terminal.type("l1")
        terminal.wait(re.compile(r"4\.88 KiB .*first .*0xab +ended +layer1\.attention"))
        # tags are known from here on
        terminal.keys("Enter", "x", "1", "/")
        terminal.type("first")
        terminal.keys("Enter", "Enter")
        terminal.wait("first: gone, 4.88 KiB abandoned", "Tags, of the records read since",
                      re.compile(r"(?m)^ layer1\.attention +0 l1 +4\.88 KiB +1 +1 +0$"))

    def test_nothing_from_outside_reaches_the_terminal(self):
        self.producer("odd", "describe 0 \033[2Jname a\x9brch s0 0 1000000",
                      "tag x\033]0;y\ag\u0301h", "alloc 0 0 1 5000")
        terminal = Terminal(self, width=120)
        terminal.wait("0 ?[2Jname, a")
        terminal.keys("b")
        terminal.wait(re.compile(r" x\?\]0;y\?g\?+h$", re.MULTILINE))

    def test_lost_records_make_the_list_unsure_and_it_says_so(self):
        self.producer("late", "alloc 0 0 1 1024 500", TALLY_RING="64")
        terminal = Terminal(self)
        terminal.wait("late", "\nexact\n")
        terminal.keys("3")
        terminal.wait(re.compile(r"exact totals.*: buffer list incomplete since \d\d:\d\d:\d\d"),
                      re.compile(r"\n\d\d live buffers"), without=["nexact\n"])
        terminal.keys("1")
        terminal.wait("500 KiB", "buffer list incomplete since")

    def test_cost_view_shows_losses_refusals_and_itself(self):
        lost = self.producer("unheard", "alloc 0 0 1 16 40", TALLY_RING="0")
        strange = f"tally-{os.geteuid()}-1-0123456789abcdef"
        with open(os.path.join(self.dir, strange), "w") as file:
            file.write("nothing of the kind" * 1000)
        terminal = Terminal(self, 100, 40)
        terminal.wait("not exact: 1 file was refused, 40 records lost")
        terminal.keys("4")
        text = terminal.wait("[4 cost]", "Refused files", strange, "By process")
        self.assertRegex(text, r"lost: counted by the producer alone +40\n")
        self.assertRegex(text, r"lost: overwritten before they were read +0\n")
        self.assertRegex(text, rf"(?m)^ +{lost.pid} unheard +0 +40 ")
        self.assertRegex(text, r"processor, since it was started +\d+\.\d %")
        self.assertRegex(text, r"memory +\d[\d.]* [KM]iB")
        self.assertRegex(text, r"the last look +\d+\.\d\d ms")
        self.assertIn("not exact: 1 file was refused, 40 records lost", text)
        # there are more lines than rows here: they scroll
        terminal.resize(80, 14)
        terminal.wait("more lines below", without=["By process"])
        terminal.keys("End")
        terminal.wait("By process", without=["below"])

    def test_help_leads_back(self):
        self.three()
        terminal = Terminal(self)
        terminal.wait("holder")
        terminal.keys("?")
        text = terminal.wait("ABANDONED", "mouse", "Ctrl-L", "last 2 min", without=["holder"])
        self.assertNotIn("…", text)
        terminal.keys("q")  # the help, not the command
        terminal.wait("holder")
        terminal.keys("?")
        terminal.wait("Ctrl-L")
        terminal.keys("Escape")
        terminal.wait("holder")

    def test_mouse_selects_sorts_and_scrolls(self):
        producers = [self.producer(f"mouse{n:02}", f"alloc 0 0 1 {(40 - n) << 20}")
                     for n in range(30)]
        terminal = Terminal(self)
        text = terminal.wait("30 processes", "mouse00", re.compile(r"(?m)^>.*mouse00"))
        lines = text.splitlines()

        def at(word, among=lines):
            y = next(n for n, line in enumerate(among) if word in line)
            return among[y].index(word), y

        terminal.mouse(0, *at("mouse03"))
        terminal.wait(re.compile(r"(?m)^>.*mouse03"))
        terminal.mouse(0, *at("mouse03"))
        terminal.wait("[2 process]", f"{producers[3].pid} mouse03: running")
        terminal.mouse(0, 12, 0)
        terminal.wait("[1 main]", re.compile(r"(?m)^>.*mouse03"))
        terminal.mouse(0, *at("COMMAND"))
        terminal.wait("COMMAND▾")
        terminal.mouse(0, *at("COMMAND"))
        terminal.wait("COMMAND▴")
        x, y = at("PID")
        for _ in range(12):
            terminal.mouse(65, x, y + 2)  # wheel down
        terminal.wait(re.compile(r"(?m)^>.*mouse00"))
        for _ in range(12):
            terminal.mouse(64, x, y + 2)
        terminal.wait(re.compile(r"(?m)^>.*mouse29"))


class Life(Case):
    def test_begins_with_nothing_and_shows_what_comes(self):
        terminal = Terminal(self)
        terminal.wait("nothing yet; start a program with `tally run", "\nexact\n", "0 processes")
        late = self.producer("late", f"alloc 0 0 1 {GIB}")
        terminal.wait("late", "1 process, 1 device, 1.00 GiB held", without=["nothing yet"])
        late.do(f"free 0 0 1 {GIB}")
        late.end()
        terminal.wait("nothing yet", without=["late"])

    def test_killed_holder_is_abandoned_once(self):
        trainer, server, holder = self.three()
        terminal = Terminal(self, 100, 30)
        terminal.wait("3 processes, 3 devices, 16.0 GiB held", "7.00 GiB of 12.0 GiB")
        holder.kill()
        text = terminal.wait("2 processes and 1 ended, 3 devices, 15.0 GiB held, "
                             "1.00 GiB abandoned", "6.00 GiB of 12.0 GiB",
                             re.compile(r"holder( +-){3} +1\.00 GiB +1\.00 GiB .*gone"))
        self.assertEqual(text.count("GiB abandoned"), 2)  # in all, and of its one pool
        # and it stays so, look after look
        time_shown = text.splitlines()[0].split()[-1]
        text = terminal.wait("15.0 GiB held, 1.00 GiB abandoned", without=[time_shown])
        self.assertEqual(text.count("GiB abandoned"), 2)

    def test_quits_by_key(self):
        terminal = Terminal(self)
        terminal.wait("nothing yet")
        terminal.keys("q")
        terminal.check_ended(0)

    def test_interrupt_ends_it_with_130(self):
        terminal = Terminal(self)
        terminal.wait("nothing yet")
        terminal.keys("C-c")
        terminal.check_ended(130)

    def check_signal(self, number):
        terminal = Terminal(self)
        terminal.wait("nothing yet")
        os.kill(terminal.pid(), number)
        terminal.check_ended(128 + number)

    def test_signals_end_it_and_restore(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number):
                self.check_signal(number)

    def test_crashes_restore(self):
        for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE,
                       signal.SIGILL):
            with self.subTest(number):
                self.check_signal(number)

    def test_crash_while_records_are_read_restores(self):
        terminal = Terminal(self)
        terminal.wait("nothing yet")
        terminal.keys("3")
        terminal.wait("[3 buffers]", "Kept since")
        os.kill(terminal.pid(), signal.SIGSEGV)
        terminal.check_ended(128 + signal.SIGSEGV)

    def test_stops_and_goes_on(self):
        self.three()
        terminal = Terminal(self, command="sh -i")
        terminal.keys(f"stty -g >{terminal.dir}/before; "
                      f"TALLY_DIR={self.dir} {TALLY} top -i 0.1", "Enter")
        terminal.wait("holder", "? help")
        for _ in range(2):
            terminal.keys("C-z")
            terminal.wait(re.compile("[Ss]topped"), without=["? help"])
            self.assertEqual(terminal.says(["alternate_on", "cursor_flag", "mouse_any_flag"]),
                             "010")
            terminal.keys("fg", "Enter")
            terminal.wait("holder", "? help", "3 processes", without=["fg"])
            self.assertEqual(terminal.says(["alternate_on", "cursor_flag"]), "10")
        terminal.keys("q")
        terminal.wait(re.compile("[Ss]topped"), without=["? help"])
        terminal.keys(f"stty -g >{terminal.dir}/after; echo all do''ne", "Enter")
        terminal.wait("all done")
        self.assertEqual(terminal.read("after"), terminal.read("before"))

    def check_terminal_gone(self, before, status):
        terminal = Terminal(self, before="trap '' HUP\n" + before)
        terminal.wait("nothing yet")
        pid = terminal.pid()
        terminal.tmux("kill-server")

        def ended():
            return os.path.exists(terminal.dir + "/status") and terminal.read("status").strip()

        until(ended, lambda: f"the end of {pid}, whose terminal is gone")
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
        self.assertEqual(int(ended()), status)

    def test_ends_with_its_terminal(self):
        self.check_terminal_gone("", 1)  # SIGHUP is ignored, as nohup does

    def test_refuses_what_it_cannot_do(self):
        def run(*words, **more):
            return subprocess.run([TALLY, *words], text=True, capture_output=True,
                                  stdin=subprocess.DEVNULL,
                                  env=dict(os.environ, TALLY_DIR=self.dir), **more)

        done = run("top")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("use `tally ps`", done.stderr)
        self.assertEqual(run().returncode, 3)  # ps, as nobody looks
        for words in (["-i"], ["-i", "0.05"], ["-i", "x"], ["-i", "1x"], ["-i", "nan"],
                      ["-i", "-1"], ["-i", "1e9"], ["-i", ""], ["-p", "0"], ["-d", ""], ["-x"],
                      ["--frob"], ["more"]):
            done = run("top", *words)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertIn("try `tally help top`", done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)
        terminal = Terminal(self, settings="TERM=dumb")
        terminal.wait("cannot place text", "is here again")
        self.assertEqual(int(terminal.read("status")), 1)
        terminal = Terminal(self, settings="TERM=no-such-terminal")
        terminal.wait("cannot place text", "is here again")
        terminal = Terminal(self, settings="TALLY_DIR=/nonexistent")
        terminal.wait("/nonexistent cannot be searched", "is here again")
        self.assertEqual(int(terminal.read("status")), 3)

    def test_tally_alone_is_top_on_a_terminal(self):
        terminal = Terminal(self, command="sh -i")
        terminal.keys(f"TALLY_DIR={self.dir} {TALLY}; echo ended $?", "Enter")
        terminal.wait("nothing yet", "? help")
        terminal.keys("q")
        terminal.wait("ended 0")


if __name__ == "__main__":
    unittest.main(verbosity=2)
