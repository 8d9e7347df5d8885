# SPDX-License-Identifier: GPL-2.0-or-later
#
# A thin front to meson.build and tools/.  Every target does its own set-up.

BASE ?=
BUILD ?= build$(if $(filter-out 10.0,$(BASE)),-$(BASE))
QEMU_SRC ?=
SUITE ?=
ROUNDS ?=
PVH ?=
export JOBS BASE

# Debian's own programs, whatever Python environment is active
MESON := $(if $(wildcard /usr/bin/meson),/usr/bin/meson,meson)
NINJA := $(if $(wildcard /usr/bin/ninja),/usr/bin/ninja,ninja)

.PHONY: help run check build bench check-asan check-tsan check-noxen series \
        series-check check-bare check-xen check-xen-linux setup clean fuzz \
        fuzz-qemu deb check-deb check-arm64 dist arguments objects
.NOTPARALLEL:

help:
	@sed -n 's/^#: //p' $(MAKEFILE_LIST)

#: make run          build all and run the demo on the simulated Xen
#: make check        build all and run every test; SUITE=NAME for one suite
#: make build        build stock QEMU, QEMU with the series, the simulated Xen
#: make check-xen    run the tests on the real Xen, emulated; ROUNDS=N (10),
#:                   SUITE=trixie for Debian 13's, PVH=1 for a PVH dom0
#: make check-xen-linux
#:                   balloon a Linux guest there (longer)
#: make check-noxen  build the series with Xen off and TCG on, run quick tests
#: make check-asan   build QEMU with ASan and UBSan, run the qtests on it (long)
#: make check-tsan   build QEMU with TSan, run the qtests with iothreads on it
#: make bench        measure the mapcache beside QEMU's own: build/report/bench.json
#: make fuzz         run the mapcache's fuzzer; TIME=seconds (600)
#: make fuzz-qemu    compare whole QEMU with itself on plain RAM; TIME=seconds
#: make series       write the series as patches for git am: build/series/
#: make series-check the same, and compile what each patch affects (long)
#: make objects      compile what the series affects, and link nothing
#: make deb          Debian 13 packages with the series: build/deb/packages/
#: make check-deb    install them in a bare Debian 13, run the demo, purge (root)
#: make check-arm64  build for Arm64 in a Debian 13, run the mapcache's unit tests
#:                   under emulation (root, long)
#: make dist         pack a release, the same bytes each time: build/dist/
#: make check-bare SUITE=bookworm|trixie
#:                   make run and make check in a bare Debian (root, long)
#: make clean        remove build/
#:
#: What the last runs showed: build/report/index.html
#:
#: QEMU_SRC=DIR  a QEMU tree of your own     BUILD=DIR  instead of build/
#: BASE=10.2     another base than QEMU 10.0, in build-10.2/
#: JOBS=N        compile N files at a time   PACKAGES=ignore  check none

# what is wrong with these is said before anything is made
arguments: export BUILD := $(BUILD)
arguments:
	@tools/arguments $(MAKECMDGOALS)

setup: arguments
ifneq ($(PACKAGES),ignore)
	@tools/packages "$(BUILD)" $(PACKAGES_TOO)
endif
	@tools/setup "$(BUILD)" "$(QEMU_SRC)"

build: setup
	@$(NINJA) -C "$(BUILD)" --quiet

run: build
	@"$(BUILD)/xensim/xensim-demo" --qemu "$(BUILD)/qemu/qemu-system-i386" \
	    --out "$(BUILD)/report/run"
	@tools/report-page --build "$(BUILD)"

check: PACKAGES_TOO := chromium-headless-shell
check: setup
	@tools/check --build "$(BUILD)" $(addprefix --suite ,$(SUITE))

check-asan check-tsan: setup
	@tools/check --build "$(BUILD)" --suite qtest-$(@:check-%=%)

check-xen: setup
	@$(NINJA) -C "$(BUILD)" --quiet
	@ROUNDS="$(ROUNDS)" tools/check-xen --build "$(BUILD)" \
	    $(addprefix --suite ,$(SUITE)) $(if $(PVH),--pvh)

check-xen-linux: setup
	@$(NINJA) -C "$(BUILD)" --quiet
	@tools/check-xen --build "$(BUILD)" --plan linux \
	    $(addprefix --suite ,$(SUITE))

check-noxen: setup
	@QEMU_SRC="$(QEMU_SRC)" tools/build-qemu noxen --build "$(BUILD)"
	@tools/qemu-tests unit --build "$(BUILD)" --obj obj-noxen \
	    --binaries noxen
	@tools/qemu-tests qtest --build "$(BUILD)" --obj obj-noxen \
	    --binaries noxen --no-stock --quick

bench: setup
	@$(NINJA) -C "$(BUILD)" --quiet
	@tools/bench --build "$(BUILD)"

fuzz: PACKAGES_TOO := clang libclang-rt-dev
fuzz: setup
	@$(NINJA) -C "$(BUILD)" --quiet all qemu-tests
	@tools/fuzz --build "$(BUILD)" --time $(or $(TIME),600)

fuzz-qemu: setup
	@$(NINJA) -C "$(BUILD)" --quiet all qemu-tests
	@tools/fuzz-qemu --build "$(BUILD)" --time $(or $(TIME),600)

series: setup
	@QEMU_SRC="$(QEMU_SRC)" tools/get-source "$(BUILD)"
	@tools/export-series --build "$(BUILD)"

dist: series
	@tools/dist --build "$(BUILD)"

series-check: setup
	@QEMU_SRC="$(QEMU_SRC)" tools/get-source "$(BUILD)"
	@tools/export-series --build "$(BUILD)" --compile

objects: setup
	@QEMU_SRC="$(QEMU_SRC)" tools/build-qemu objects --build "$(BUILD)"

deb: PACKAGES_TOO = $(shell tools/make-deb --packages)
deb: series
	@tools/make-deb --build "$(BUILD)"

check-deb: deb
	@$(NINJA) -C "$(BUILD)" --quiet xensim.stamp
	@tools/check-deb --build "$(BUILD)"

check-arm64: PACKAGES_TOO = mmdebstrap
check-arm64: setup
	@QEMU_SRC="$(QEMU_SRC)" tools/check-arm64 --build "$(BUILD)"

check-bare: arguments
	@tools/check-bare-root $(or $(SUITE),bookworm)

clean: arguments
	rm -rf "$(BUILD)"
