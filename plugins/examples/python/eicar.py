#!/usr/bin/python3
"""A complete antivirus in Python: it finds the EICAR test file, and a word of the administrator's. It knows no real virus."""

import json

from ceralacca_plugin import VERSION, serve, service, streamed, unary
from contract.v2 import antivirus_pb2 as av
from contract.v2 import plugin_pb2 as base

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
KEEP = 400  # bytes, at least as many as the longest of what is looked for
ENGINE = "eicar.py 1.0.0"

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"word": {"type": "string", "minLength": 1, "maxLength": 100}},
}

wanted = {"EICAR-Test-File": EICAR}


def configure(request, context):
    config = json.loads(request.config_json)
    if "word" in config:
        wanted["Word"] = config["word"].encode()
    return base.ConfigureResponse()


def health(request, context):
    return base.HealthResponse(ready=True)


def scan(requests, context):
    header = next(requests).header
    read, kept = 0, b""
    for request in requests:  # ends with an exception when the host gives up
        seen = kept + request.chunk
        read += len(request.chunk)
        for name, what in wanted.items():
            if what in seen:
                return av.ScanResponse(verdict=av.VERDICT_INFECTED, virus=name, engine=ENGINE, signatures="1", bytes_read=read)
        kept = seen[-KEEP:]
    if read != header.size:
        return av.ScanResponse(verdict=av.VERDICT_FAILED, reason=f"{read} of {header.size} bytes came", engine=ENGINE)
    return av.ScanResponse(verdict=av.VERDICT_CLEAN, engine=ENGINE, signatures="1", bytes_read=read)


serve(
    {
        "name": "eicar-python",
        "kind": "antivirus",
        "version": "1.0.0",
        "protocols": [VERSION],
        "capabilities": [],
        "needs": ["content"],
        "schema": SCHEMA,
    },
    [
        service(
            "ceralacca.plugin.v2.Plugin",
            Configure=unary(configure, base.ConfigureRequest, base.ConfigureResponse),
            Health=unary(health, base.HealthRequest, base.HealthResponse),
        ),
        service("ceralacca.plugin.v2.Antivirus", Scan=streamed(scan, av.ScanRequest, av.ScanResponse)),
    ],
)
