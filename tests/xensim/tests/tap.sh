# SPDX-License-Identifier: GPL-2.0-or-later
#
# For a test in shell, to be read in: it prints TAP.  $work is a folder of the
# test's; what a program said is in "out" and "err" there.

count=0

# result CONDITION-STATUS NAME: one line; what was said if it failed.
result() {
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count $2"
    else
        echo "not ok $count $2"
        sed 's/^/# /' "$work/err" "$work/out"
    fi
}
