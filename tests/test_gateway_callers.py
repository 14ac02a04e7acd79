#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The bytes of the allocation server's Python and C++ callers, and the gateway's answers to them.

usage: BUILD=... tests/test_gateway_callers.py [--write]

tests/golden/gateway-LAYOUT.requests is one connection of a client, gateway-LAYOUT.replies what it
reads. The requests are made here in both ways the field has, with Python's struct and as a C struct
with its natural alignment, and must be the file's. --write makes the files.
"""
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

TALLY = os.path.join(os.environ.get("BUILD", "build"), "tally")
GOLDEN = "tests/golden/gateway-%d.%s"
PID = 4242
GIB = 1 << 30
(ALLOC, FREE, QUERY, RESPONSE, DUMP, INFO_QUERY, INFO, CB_ALLOC, CB_FREE, LOAD, UNLOAD,
 DUMP_KERNELS) = range(1, 13)

# type, device, size, buffer type, id, timestamp
SAID = (
    (ALLOC, 1, 100 * GIB, 0, 0x1000, 1700000000123456789),
    (ALLOC, 1, 4096, 1, 0x2000, 1700000000123456790),
    (ALLOC, 1, 3, 2, 0x3000, 1700000000123456791),
    (ALLOC, 1, 5, 3, 0x4000, 1700000000123456792),
    (ALLOC, 1, 7, 4, 0xFFFFFFFFFFFFFFFF, 1700000000123456793),
    (CB_ALLOC, 1, 65536, 0, 1, 0),
    (LOAD, 1, 1024, 2, 1, 0),
    (QUERY, 1, 0, 0, 0, 0),
    (FREE, 1, 0, 0, 0x2000, 0),
    (CB_FREE, 1, 0, 0, 1, 0),
    (QUERY, 1, 0, 0, 0, 0),
    (QUERY, 0, 0, 0, 0, 0),
    (INFO_QUERY, -1, 0, 0, 0, 0),
    (INFO_QUERY, 1, 0, 0, 0, 0),
    (DUMP, 0, 0, 0, 0, 0),
    (UNLOAD, 1, 0, 0, 1, 0),
    (DUMP_KERNELS, 0, 0, 0, 0, 0),
    (QUERY, 1, 0, 0, 0, 0),
)
# Of each answer: type, device, dram, l1, l1_small, trace; cb, kernel; is_available, num_devices
HEARD = (
    (RESPONSE, 1, (100 * GIB, 4096, 5, 7), (65536, 1024), (0, 0)),
    (RESPONSE, 1, (100 * GIB, 0, 5, 7), (0, 1024), (0, 0)),
    (RESPONSE, 0, (0, 0, 0, 0), (0, 0), (0, 0)),
    (INFO, -1, (0, 0, 0, 0), (0, 0), (1, 2)),
    (INFO, 1, (0, 0, 0, 0), (0, 0), (1, 2)),
    (RESPONSE, 1, (100 * GIB, 0, 5, 7), (0, 0), (0, 0)),
)
TAIL = {72: "", 112: "2Q6I", 128: "2Q2Q6I", 144: "2Q2Q6I4I"}


def python_request(layout, kind, device, size, buffer_type, buffer_id, timestamp):
    tail = struct.Struct("<" + TAIL[layout])
    return struct.pack("<B3xiQB3xiQQ4Q", kind, device, size, buffer_type, PID, buffer_id, timestamp,
                       0, 0, 0, 0) + bytes(tail.size)


def c_struct(layout):
    u8, i32, u32, u64 = ctypes.c_uint8, ctypes.c_int32, ctypes.c_uint32, ctypes.c_uint64
    fields = [("type", u8), ("device_id", i32), ("size", u64), ("buffer_type", u8),
              ("process_id", i32), ("buffer_id", u64), ("timestamp", u64)]
    fields += [(name, u64) for name in ("dram", "l1", "l1_small", "trace")]
    if layout >= 128:
        fields += [("cb", u64), ("kernel", u64)]
    if layout >= 112:
        fields += [("total_dram", u64), ("total_l1", u64)]
        fields += [(name, u32) for name in ("arch", "dram_channels", "dram_size", "l1_size",
                                            "is_available", "num_devices")]
    if layout == 144:
        fields += [(name, u32) for name in ("ring_size", "ring_used", "ring_programs", "padding")]
    return type("Message%d" % layout, (ctypes.Structure,), {"_fields_": fields})


def c_request(layout, kind, device, size, buffer_type, buffer_id, timestamp):
    message = c_struct(layout)()
    message.type, message.device_id, message.size = kind, device, size
    message.buffer_type, message.process_id = buffer_type, PID
    message.buffer_id, message.timestamp = buffer_id, timestamp
    return bytes(message)


def reply(layout, kind, device, totals, programs, info):
    head = struct.pack("<B3xi32x4Q", kind, device, *totals)
    middle = struct.pack("<2Q", *programs) if layout >= 128 else b""
    tail = struct.pack("<2Q4I2I", 0, 0, 0, 0, 0, 0, *info) if layout >= 112 else b""
    return head + middle + tail + bytes(16 if layout == 144 else 0)


def converse(layout, requests, expected):
    """What the gateway answers; once with all requests in one piece, once in pieces of 7 bytes."""
    for piece in len(requests), 7:
        place = tempfile.mkdtemp(prefix="test-of-tally-")
        path = os.path.join(place, "socket")
        gateway = subprocess.Popen([TALLY, "gateway", "--socket", path], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, env=dict(os.environ, TALLY_DIR=place))
        try:
            gateway.stderr.readline()
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(60)
                client.connect(path)
                for at in range(0, len(requests), piece):
                    client.sendall(requests[at:at + piece])
                client.shutdown(socket.SHUT_WR)
                got = b""
                while more := client.recv(4096):
                    got += more
        finally:
            gateway.send_signal(signal.SIGTERM)
            said = gateway.communicate()[1].decode()
            left = os.listdir(place)
            shutil.rmtree(place)
        if got != expected:
            sys.exit(f"layout {layout}, pieces of {piece}: {got.hex()}\nis not {expected.hex()}\n"
                     f"{said}")
        if gateway.returncode or left:
            sys.exit(f"the gateway ended with {gateway.returncode}, left {left}: {said}")


for layout in TAIL:
    requests = b"".join(python_request(layout, *words) for words in SAID)
    replies = b"".join(reply(layout, *words) for words in HEARD)
    if requests != b"".join(c_request(layout, *words) for words in SAID):
        sys.exit(f"layout {layout}: Python and C callers do not say the same")
    if len(requests) != layout * len(SAID) or len(replies) != layout * len(HEARD):
        sys.exit(f"layout {layout}: messages of another size")
    for name, made in ("requests", requests), ("replies", replies):
        if "--write" in sys.argv:
            with open(GOLDEN % (layout, name), "wb") as file:
                file.write(made)
        with open(GOLDEN % (layout, name), "rb") as file:
            if file.read() != made:
                sys.exit(f"{file.name} is not what callers send and read")
    converse(layout, requests, replies)
print("four layouts: requests and replies are those of the golden files, to the byte")
