"""The handshake of a plug-in of ceralacca, by hand: Debian's python3-grpcio and python3-cryptography are all it takes.

It does what the Go package plugins does for authors in Go. The contract is in plugins/contract/v2.
"""

import base64
import datetime
import json
import os
import sys
import threading
from concurrent import futures

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VERSION = 2  # of the contract
AT_ONCE = 128  # calls; one thread each


def certificate():
    """A key and a certificate for the life of this process."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=10000))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, cert


def unary(function, request, response):
    return grpc.unary_unary_rpc_method_handler(
        function, request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )


def streamed(function, request, response):
    return grpc.stream_unary_rpc_method_handler(
        function, request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )


def service(name, **methods):
    return grpc.method_handlers_generic_handler(name, methods)


def common(stop):
    """What go-plugin asks of every plug-in: its health, and its end."""
    serving = grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01")  # status: SERVING

    def shutdown(request, context):
        stop.set()
        return b""

    return [
        service("grpc.health.v1.Health", Check=serving),
        service("plugin.GRPCController", Shutdown=grpc.unary_unary_rpc_method_handler(shutdown)),
    ]


def serve(description, handlers):
    """All that main does: print the description, or serve until the host says that it is over."""
    if sys.argv[1:] == ["describe"]:
        print(json.dumps(description, indent=2))
        return
    if "CERALACCA_PLUGIN" not in os.environ:
        sys.exit(f"{sys.argv[0]} is a plug-in of ceralacca, which starts it. Try: {sys.argv[0]} describe")
    if str(VERSION) not in os.environ["PLUGIN_PROTOCOL_VERSIONS"].split(","):
        sys.exit(
            f"the host speaks version {os.environ['PLUGIN_PROTOCOL_VERSIONS']} of the contract, this plug-in [{VERSION}]: "
            "take a release of one of them that has one in common"
        )
    key, cert = certificate()
    credentials = grpc.ssl_server_credentials(
        [(key, cert.public_bytes(serialization.Encoding.PEM))],
        root_certificates=os.environ["PLUGIN_CLIENT_CERT"].encode(),
        require_client_auth=True,
    )
    stop = threading.Event()
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=AT_ONCE), options=[("grpc.max_receive_message_length", 2 << 20)]
    )
    server.add_generic_rpc_handlers(common(stop) + handlers)
    path = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin.sock")
    server.add_secure_port("unix:" + path, credentials)
    server.start()
    der = base64.b64encode(cert.public_bytes(serialization.Encoding.DER)).decode().rstrip("=")
    print(f"1|{VERSION}|unix|{path}|grpc|{der}", flush=True)
    stop.wait()
    server.stop(grace=1).wait()
