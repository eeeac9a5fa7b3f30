#!/usr/bin/python3
"""A controller: moves a job from one node to another, and follows it.

    controller.py SOURCE CGROUP DESTINATION TO_CGROUP [ID [TLS_DIRECTORY]]

README.md tells of the arguments, and of what is done here.  Needs Debian's
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
        from proto import agent_pb2, migration_pb2
        return agent_pb2, migration_pb2


agent, migration = load_messages()


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
            print("controller: %s; trying again" % error.details(), file=sys.stderr, flush=True)
            time.sleep(1)


def tell(now):
    print(now.id, agent.OperationState.Name(now.state),
          migration.MigrationState.Name(now.migration_state),
          "%.0f%% of %d bytes" % (now.progress.percent, now.progress.bytes_total), flush=True)


def main():
    if len(sys.argv) < 5:
        print(__doc__, file=sys.stderr)
        sys.exit(64)
    source, cgroup, destination, to_cgroup, identity, tls = (
        sys.argv[1:] + ["move-" + uuid.uuid4().hex, "/etc/ckpt/tls"][len(sys.argv) - 5:])[:6]
    channel = connect(source, tls)
    migrate = channel.unary_unary("/ckpt.v1.Agent/Migrate", agent.MigrateOperationRequest.SerializeToString,
                                  agent.Operation.FromString)
    watch = channel.unary_stream("/ckpt.v1.Agent/WatchOperation", agent.OperationRequest.SerializeToString,
                                 agent.Operation.FromString)
    request = agent.MigrateOperationRequest(operation_id=identity)
    request.request.cgroup, request.request.to, request.request.to_cgroup = cgroup, destination, to_cgroup
    insist(lambda: migrate(request))

    def follow():
        for now in watch(agent.OperationRequest(operation_id=identity)):
            tell(now)
        return now

    end = insist(follow)
    if end.state != agent.OPERATION_STATE_SUCCEEDED:
        print("controller:", end.error.message, file=sys.stderr)
        sys.exit(end.error.code)
    print("runs as pid %d; downtime %.3f s" % (end.migrate_report.pid, end.migrate_report.downtime_seconds))


if __name__ == "__main__":
    main()
