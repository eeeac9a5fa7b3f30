#!/usr/bin/python3
"""A controller: moves a job between two nodes that share their store.

    controller.py SOURCE CGROUP DESTINATION IMAGE [TLS_DIRECTORY]

Nodes are unix:PATH or HOST:PORT; for the latter the directory has ca.pem,
cert.pem and key.pem.  README.md tells of what is done here.  Needs Debian's
python3-grpcio, python3-protobuf and protobuf-compiler.
"""
import glob
import os
import subprocess
import sys
import tempfile
import time
import uuid

import grpc

SOURCES = os.environ.get("CKPT_SOURCES", os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))


def load_messages():
    """The classes of the API's messages: protoc writes them."""
    files = [os.path.relpath(path, SOURCES) for path in glob.glob(SOURCES + "/proto/*.proto")]
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["protoc", "--proto_path=.", "--python_out=" + directory] + files,
                       check=True, cwd=SOURCES)
        sys.path.insert(0, directory)
        from proto import agent_pb2, checkpoint_pb2
        return agent_pb2, checkpoint_pb2


agent, checkpoint = load_messages()


def connect(node, tls):
    if node.startswith("unix:"):
        return grpc.insecure_channel(node)
    return grpc.secure_channel(node, grpc.ssl_channel_credentials(
        *(open(os.path.join(tls, name), "rb").read() for name in ("ca.pem", "key.pem", "cert.pem"))))


def insist(call):
    """Calls until there is an answer.  The operation's id makes that safe: one
    that has begun is answered, not begun again."""
    for tries in range(60):
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or tries == 59:
                print("controller:", error.details(), file=sys.stderr)
                sys.exit(error.code().value[0])
            time.sleep(1)


def run(channel, verb, request):
    """Starts an operation and follows it to its end."""
    method = "/ckpt.v1.Agent/"
    start = channel.unary_unary(method + verb, type(request).SerializeToString, agent.Operation.FromString)
    watch = channel.unary_stream(method + "WatchOperation", agent.OperationRequest.SerializeToString,
                                 agent.Operation.FromString)
    insist(lambda: start(request))

    def follow():
        for operation in watch(agent.OperationRequest(operation_id=request.operation_id)):
            print(operation.id, operation.state, checkpoint.Phase.Name(operation.phase), flush=True)
        return operation

    operation = insist(follow)
    if operation.state != agent.OPERATION_STATE_SUCCEEDED:
        print("controller:", operation.error.message, file=sys.stderr)
        sys.exit(operation.error.code)


def main():
    if len(sys.argv) < 5:
        print(__doc__, file=sys.stderr)
        sys.exit(64)
    source, cgroup, destination, image = sys.argv[1:5]
    tls = sys.argv[5] if len(sys.argv) > 5 else "/etc/ckpt/tls"
    # A controller that may be started anew writes it down.
    identity = "controller-" + uuid.uuid4().hex
    dump = agent.DumpOperationRequest(operation_id=identity + "-dump")
    dump.request.cgroup = cgroup
    dump.request.image = image
    run(connect(source, tls), "Dump", dump)
    restore = agent.RestoreOperationRequest(operation_id=identity + "-restore")
    restore.request.image = image
    run(connect(destination, tls), "Restore", restore)


if __name__ == "__main__":
    main()
