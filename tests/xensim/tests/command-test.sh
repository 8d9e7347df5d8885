#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The `xensim` command: runs a device model, says what is wrong in one line,
# leaves nothing behind.  Prints TAP.
#
#   command-test.sh XENSIM QEMU

set -u
xensim=$1
qemu=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir "$work/tmp"
TMPDIR=$work/tmp
export TMPDIR
. "$(dirname "$0")/tap.sh"

# run ARGUMENT...: run the command; its exit status is in $status.
run() {
    timeout 60 "$xensim" "$@" >"$work/out" 2>"$work/err" </dev/null
    status=$?
}

clean() {
    [ -z "$(ls -A "$work/tmp")" ]
}

# refused NAME TEXT ARGUMENT...: exit status 1, one line with TEXT on stderr.
refused() {
    name=$1 text=$2
    shift 2
    run "$@"
    [ "$status" -eq 1 ] && [ "$(wc -l <"$work/err")" -eq 1 ] &&
        grep -qF -- "$text" "$work/err" && clean
    result $? "refused: $name"
}

refused 'no command' 'xensim --help'
refused 'unknown command' 'frob: unknown command' frob
refused 'no program' 'no program given' run --memory 64M
refused 'unknown option' '--frob' run --frob -- "$qemu"
refused 'no such path' '/no/such/qemu: no such program' run -- /no/such/qemu
refused 'not in PATH' 'no such program in PATH' run -- no-such-qemu-here
refused 'not executable' 'not a program' run -- /etc/passwd
refused 'without Xen' 'built without Xen (no libxenforeignmemory)' \
    run -- /bin/ls
refused 'memory size' 'not a memory size' run --memory 12Q -- "$qemu"
refused 'memory beyond 4 TiB' 'not a memory size' run --memory 5T -- "$qemu"
refused 'two memory sizes' 'differ' run --memory 64M -- "$qemu" -m 32
refused 'vCPUs' 'from 1 to 64' run --vcpus 999 -- "$qemu"
refused 'fault' 'no simulated call has that name' \
    run --fault nonsense -- "$qemu"
refused 'log' 'cannot write there' run --log /no/such/dir/log -- "$qemu"
refused 'no library' '/no/such/lib.so: no such file' \
    run --lib /no/such/lib.so -- "$qemu"

run --help
[ "$status" -eq 0 ] && grep -q -- '--no-map2' "$work/out"
result $? 'help'

if [ ! -x "$qemu" ]; then
    echo "ok $((count + 1)) device model # SKIP no QEMU at $qemu"
    echo "1..$((count + 1))"
    exit 0
fi

# A device model that runs until it is told to quit by its monitor.
printf 'info version\nquit\n' | timeout 60 "$xensim" run --memory 64M --counts \
    --log "$work/log" -- "$qemu" -nodefaults -S -device VGA,romfile= \
    -chardev stdio,id=m -mon m >"$work/out" 2>"$work/err"
status=$?
[ "$status" -eq 0 ]
result $? 'exit status of a device model that quits'
grep -q 'added: -machine xenfv -xen-domid 1 -m 64 -display none$' "$work/err"
result $? 'says what it added'
grep -q '^xenforeignmemory_map2 .*calls' "$work/out" &&
    grep -q 'xc_domain_populate_physmap_exact(' "$work/log"
result $? 'counts and log'
clean
result $? 'nothing left after a run'

run run -- "$qemu" -no-such-option
[ "$status" -eq 1 ] && grep -q 'no-such-option' "$work/err" && clean
result $? 'exit status of a device model that fails'

run run --fault xenforeignmemory_open:errno=EACCES -- "$qemu" -nodefaults
[ "$status" -ne 0 ] && clean
result $? 'a fault reaches the device model'

for signal in INT TERM; do
    env --default-signal=INT "$xensim" run -- "$qemu" -nodefaults -S \
        >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    tries=0
    until grep -q added "$work/err" || [ $tries -gt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    sleep 0.5
    child=$(ps -o pid= --ppid $pid)
    kill -$signal $pid
    wait $pid
    status=$?
    [ -n "$child" ] && ! kill -0 $child 2>/dev/null && clean
    result $? "nothing left after SIG$signal (status $status)"
done

echo "1..$count"
