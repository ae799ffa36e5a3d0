# Verdigris. One makefile for the whole tree; everything it makes is below build/.
#
#   make run      boot a Debian 12 guest on the hypervisor in an emulated machine (GUEST=tiny: a kernel and an initramfs)
#   make test     make check, then the disk library beside other programs, then the tests on emulated machines
#   make all      build; everything is made in build/
#   make check    what needs no emulated machine: unit tests, fuzzers for a fixed number of inputs, checks of the sources
#   make system   only the tests on emulated machines
#   make bench    what an exit costs, and more, beside KVM on the same emulated machine
#   make fuzz     each fuzzer for a minute
#   make soak     each fuzzer for an hour, and the disk library's power cuts with more seeds
#   make lab      fetch and build what tools/lab needs
#   make setup    install the Debian packages that are missing, as run, test and the like do first
#   make install        install all that a host has, as host/installed lists it (DESTDIR, PREFIX=/usr/local)
#   make install-disk   install the disk library, its header, tool and manual page alone
#   make deb            Debian packages, in build/deb (VERSION)
#   make clean    remove what was made, but not what was fetched (build/cache)
#   make help     this list
#
# How a folder takes part: FOLDER/objs.mk sets variables, with paths from the top of the tree.
#
#   FOLDER_objs   := FOLDER/a.o FOLDER/b.o     what it is made of; the same list serves all kinds of build below
#   FOLDER_tests  := tests/unit/a_test.c       unit tests (cmocka, ASan and UBSan)
#   a_test_objs   := FOLDER/a.o ...            what a_test.c is linked with (it itself is implied)
#   FOLDER_fuzzers := tests/fuzz/a_fuzz.c      libFuzzer targets; a_fuzz_objs as above
#   FOLDER_products += build/FOLDER/x          what `make all` makes; its rule stands in the folder's objs.mk
#
# Kinds of build of an object, for rules of a folder's own:
#   build/image/%.o   freestanding, 64-bit, for the hypervisor images    $(call image,LIST)
#   build/boot32/%.o  freestanding, 32-bit, for the loader and kernels   $(call boot32,LIST)
#   build/user/%.o    programs in the root partition                     $(call user,LIST)
#   build/san/%.o     hosted, ASan, UBSan and coverage, for tests and fuzzers   $(call san,LIST)
# The ways to make them are in tools/build.mk, those of the kernel module in tools/kmod.mk.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all
.PHONY: all run test check bench fuzz soak lab clean setup system help

ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-builtin-rules --no-print-directory

image  = $(addprefix build/image/,$(1))
boot32 = $(addprefix build/boot32/,$(1))
user   = $(addprefix build/user/,$(1))
san    = $(addprefix build/san/,$(1))

folders := lib hosted tlfs hypervisor loader root backend vmbus vsp devices disk hvs switch worker console service libvirt web cli host tests
-include $(wildcard $(folders:%=%/objs.mk))

include tools/build.mk
include tools/kmod.mk
include tools/check.mk

products := $(foreach f,$(folders),$($(f)_products))

all: $(products) $(kmod_products)

# What the project needs of Debian 12 is installed by the targets that people start with, and named on the screen.
setup:
	@tools/setup

# The targets below start from a machine that may have no compiler yet.
run test check bench fuzz soak deb: setup

# The root's kernel and the headers to build its module against are a pair: both are there before the build.
run:
	@tools/kernels --headers 6.1 >/dev/null
	@$(MAKE) all
	@tools/run $(or $(GUEST),debian)

check:
	@$(MAKE) check-all
	@echo "make check: all passed"

system: setup
	@$(MAKE) all
	@tests/system/run

test: setup
	@tools/test-all

bench:
	@tools/kernels --headers 6.1 >/dev/null
	@$(MAKE) all
	@tests/bench/run

lab: setup
	@tools/kernels --headers 6.1 >/dev/null
	@$(MAKE) all
	@tools/lab --prepare

help:
	@sed -n 's/^#   \(make .*\)/\1/p' Makefile

clean:
	rm -rf $(filter-out build/cache,$(wildcard build/*))
