# shellcheck shell=bash
# What the scripts in this folder share: where programs are, free ports, waiting, stopping by pid file.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034
root=$(cd "$here/../.." && pwd)

say() { printf 'services: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# The folder of RabbitMQ's own programs. The wrappers in sbin switch users and are of no use here.
rabbitmq_bin() {
    local candidate
    for candidate in /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin "$(dirname "$(readlink -f "$(command -v rabbitmq-server || echo /none/none)")")"; do
        [ -x "$candidate/rabbitmq-env" ] || [ -f "$candidate/rabbitmq-env" ] || continue
        [ -f "$candidate/rabbitmq-server" ] && [ -f "$candidate/rabbitmqctl" ] || continue
        echo "$candidate"
        return
    done
    return 1
}

# The newest PostgreSQL server programs.
postgres_bin() {
    local candidate
    for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) "$(dirname "$(readlink -f "$(command -v initdb || echo /none/none)")")"; do
        [ -x "$candidate/initdb" ] && [ -x "$candidate/pg_ctl" ] || continue
        echo "$candidate"
        return
    done
    return 1
}

# PostgreSQL refuses to run as root: then it runs as this user.
postgres_user() {
    if [ "$(id -u)" -ne 0 ]; then
        id -un
    elif id -u postgres >/dev/null 2>&1; then
        echo postgres
    else
        echo nobody
    fi
}

# as_user USER COMMAND-LINE
as_user() {
    if [ "$(id -un)" = "$1" ]; then
        sh -c "$2"
    else
        su -s /bin/sh "$1" -c "$2"
    fi
}

# free_ports N: below the range from which the kernel takes ports for clients, all held while the others are sought.
free_ports() {
    python3 - "$1" <<'PY'
import random, socket, sys

held = []
for port in random.sample(range(15000, 30000), 2000):
    candidate = socket.socket()
    try:
        candidate.bind(("127.0.0.1", port))
    except OSError:
        continue
    held.append(candidate)
    if len(held) == int(sys.argv[1]):
        break
print(*(candidate.getsockname()[1] for candidate in held))
PY
}

# wait_for SECONDS WHAT LOG COMMAND…: until the command succeeds; the end of the log explains why it did not.
wait_for() {
    local limit=$1 what=$2 log=$3
    shift 3
    local end=$((SECONDS + limit))
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then
            say "$what is not ready after $limit seconds; the end of its log:"
            tail -n 40 $log >&2 || true
            return 1
        fi
        sleep 0.2
    done
}

alive() { kill -0 "$1" 2>/dev/null; }

# The process may have died and its number may belong to another: it is ours only if it is the program that we started.
is_ours() { alive "$1" && tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -q -- "$2"; }

# stop_pid FILE PROGRAM SIGNAL SECONDS: ends the process named by the pid file, gently first.
stop_pid() {
    local pid
    [ -s "$1" ] || return 0
    pid=$(head -n 1 "$1" | tr -d '[:space:]')
    if is_ours "$pid" "$2"; then
        kill "-$3" "$pid" 2>/dev/null || true
        local end=$((SECONDS + $4))
        while alive "$pid" && [ "$SECONDS" -lt "$end" ]; do sleep 0.1; done
        kill -KILL "$pid" 2>/dev/null || true
        end=$((SECONDS + 5))
        while alive "$pid" && [ "$SECONDS" -lt "$end" ]; do sleep 0.1; done
    fi
    rm -f "$1"
}
