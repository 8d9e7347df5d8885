#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The conformance program: it notices a wrong answer, says which, and what is
# wrong with its arguments.  Prints TAP.
#
#   program-test.sh CONFORMANCE-SIM XEN-CONFORMANCE

set -u
sim=$1
program=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/../tests/tap.sh"

# ask FAULT ARGUMENT...: on the simulated Xen, with a call that fails.
ask() {
    fault=$1
    shift
    XENSIM_FAULT=$fault "$sim" "$program" "$@" >"$work/out" 2>"$work/err" \
        </dev/null
    status=$?
}

# notices FAULT GROUP LINE: one answer is wrong, this.
notices() {
    ask "$1" --group "$2"
    [ "$status" -eq 1 ] && [ "$(grep -c '^not ok' "$work/out")" -eq 1 ] &&
        grep -qxF "not ok $3" "$work/out"
    result $? "notices: $1"
}

notices 'xenforeignmemory_map2:n=5:once:errno=ENOMEM' arena \
    '1 - arena/fill: 3 of 4 in place, 0 bad pages'
notices 'xendevicemodel_set_mem_type:n=3:errno=EPERM' type \
    '2 - type/bad: EPERM'
notices 'xengnttab_set_max_grants:errno=ENOTTY' grant \
    '8 - grant/max: ENOTTY'

# A page that is never there is not a wrong answer: nothing can be asked.
ask 'xenforeignmemory_map2:gfn=0x1900:errno=EINVAL:page'
[ "$status" -eq 1 ] && grep -q '^Bail out!.*0x1800 to 0x1bff' "$work/out"
result $? 'work frames that are not there'

ask '' --group arena
[ "$status" -eq 0 ] && [ "$(grep -c '^ok' "$work/out")" -eq 16 ]
result $? 'one group'

"$program" --list >"$work/out" 2>"$work/err"
asked=$("$sim" "$program" | sed -n 's/^1\.\.//p')
[ "$(grep -c '^[a-z]' "$work/out")" -eq "$asked" ]
result $? 'the list has every question'

# refused TEXT ARGUMENT...: exit status 1, TEXT on stderr, nothing asked.
refused() {
    text=$1
    shift
    ask '' "$@"
    [ "$status" -eq 1 ] && grep -qF -- "$text" "$work/err" &&
        ! grep -q '^ok' "$work/out"
    result $? "refused: $*"
}

refused 'no group is called nonsense' --group nonsense
refused 'there is no domain 4711' --domain 4711
refused 'not a number' --domain 12x
refused 'not a number' --work -1
refused 'usage: xen-conformance' --frob
echo "1..$count"
