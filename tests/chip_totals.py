#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A reader of tt_device_<chip>_memory that shares nothing with Tally: offsets by hand, read(2).

usage: chip_totals.py dump FILE      all of it as JSON
       chip_totals.py watch FILE     reads it until stdin ends, and says how often. Each total that
                                     it sees must be whole, that is k * (2^32 + 1) for some k, and
                                     such a k must never be less than the one before.
"""
import json
import select
import struct
import sys

NAMES = ("dram", "l1", "l1_small", "trace", "cb")


def read(path):
    with open(path, "rb", buffering=0) as file:
        data = file.read(8577)
    if len(data) != 8576:
        sys.exit(f"{len(data)} bytes")
    return data


def parts(values):
    return dict(zip(NAMES, values))


def dump(path):
    data = read(path)
    version, active = struct.unpack_from("<II", data, 0)
    chips = []
    for at in range(88, 88 + 16 * 48, 48):
        chip, remote, *values = struct.unpack_from("<II5Q", data, at)
        if chip != 0xFFFFFFFF:
            chips.append(dict(chip_id=chip, is_remote=remote, **parts(values)))
    processes = []
    for at in range(856, 856 + 64 * 120, 120):
        pid, *values, updated = struct.unpack_from("<i4x5QQ", data, at)
        if pid:
            name = data[at + 56:at + 120].split(b"\0")[0].decode()
            processes.append(dict(pid=pid, name=name, last_update=str(updated), **parts(values)))
    json.dump({
        "version": version,
        "num_active_processes": active,
        "last_update": str(struct.unpack_from("<Q", data, 8)[0]),
        "reference_count": struct.unpack_from("<I", data, 16)[0],
        "board_serial": struct.unpack_from("<Q", data, 24)[0],
        "asic_id": str(struct.unpack_from("<Q", data, 32)[0]),
        "device_id": struct.unpack_from("<I", data, 40)[0],
        "totals": parts(struct.unpack_from("<5Q", data, 48)),
        "chips": chips,
        "processes": processes,
        "init_state": struct.unpack_from("<I", data, 8536)[0],
    }, sys.stdout)


def watch(path):
    count, before = 0, [0] * 5
    print("watching", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        totals = struct.unpack_from("<5Q", read(path), 48)
        for n, total in enumerate(totals):
            if total >> 32 != total & 0xFFFFFFFF:
                sys.exit(f"{NAMES[n]} is torn: {total:#x}")
            if total < before[n]:
                sys.exit(f"{NAMES[n]} went back from {before[n]:#x} to {total:#x}")
        before = totals
        count += 1
    print(count)


{"dump": dump, "watch": watch}[sys.argv[1]](sys.argv[2])
