# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# An etcd for a file of tests. Load it after helper.

have_etcd() {
    command -v etcd >/dev/null && command -v etcdctl >/dev/null && command -v timeout >/dev/null
}

# etcd_start DIR [OPTION...]: one node, on ports of its own; exports ETCDCTL_ENDPOINTS. With options, those of its
# certificates, for clients that speak TLS. Ends with test_teardown, or by stop_pid.
etcd_start() {
    local ports client
    mkdir -p "$1"
    mapfile -t ports < <("$TESTS_PYTHON" -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*("http://127.0.0.1:%d" % each.getsockname()[1] for each in sockets), sep="\n")')
    client="http${2:+s}${ports[0]#http}"
    export ETCDCTL_API=3 ETCDCTL_ENDPOINTS="$client"
    etcd --data-dir "$1/data" --log-level error --listen-client-urls "$client" \
        --advertise-client-urls "$client" "${@:2}" --listen-peer-urls "${ports[1]}" \
        --initial-advertise-peer-urls "${ports[1]}" --initial-cluster "default=${ports[1]}" \
        >"$1/output" 2>&1 </dev/null 3>&- &
    ETCD_PID=$!
    STARTED_PIDS+=("$ETCD_PID")
    retry_until 30 etcdctl get / 2>/dev/null
}
