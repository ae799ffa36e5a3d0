# `make check`: everything that needs no emulator. Each part is a target, so that they run side by side.

.PHONY: check-all check-headers check-folders check-core check-names check-units check-fuzz check-map check-api check-tools check-format \
	check-models check-branches

check-all: check-folders check-headers check-core check-names check-branches check-map check-api check-tools check-format check-models check-units check-fuzz

# A folder may include only what tools/check-includes allows it.
check-folders:
	@tools/check-includes

# Every path that HACKING.md names exists.
check-map:
	@tools/check-map

# The API's pages are what its document says.
check-api:
	@tools/api --check

# The tools' own parts that need no machine.
check-tools:
	@python3 tests/unit/labkit_test.py 2>build/labkit_test.log || { cat build/labkit_test.log; exit 1; }

# Each C file is as the formatter writes it, and its comments, which that leaves alone, are as wide as code. Versions of it differ: one is named.
CLANG_FORMAT := clang-format-16
# All that changed in one call: its start costs ten times what a file does.
formatted := $(shell find $(wildcard $(folders) include) -name '*.[ch]' 2>/dev/null)
check-format: build/format.ok
build/format.ok: $(formatted) .clang-format
	@mkdir -p $(@D)
	@$(CLANG_FORMAT) --dry-run -Werror $(if $(filter .clang-format,$?),$(formatted),$?)
	@expand $(if $(filter .clang-format,$?),$(formatted),$(filter %.c %.h,$?)) | \
		awk '{ line = $$0; sub(/^ */, "", line) } line ~ /^(\/\*|\* )/ && line !~ /──|   / && length > 100 { print; bad = 1 } END { exit bad }' || \
		{ echo "these lines of comments are longer than 100 columns" >&2; exit 1; }
	@touch $@

# Headers compile alone. Those of root/ need kernel headers and are seen by Kbuild.
self_headers := $(shell find $(wildcard $(filter-out root,$(folders)) include) -name '*.h' 2>/dev/null)
check-headers: $(self_headers:%.h=build/headers/%.ok)
build/headers/%.ok: %.h
	@mkdir -p $(@D)
	@printf '#include "%s"\n' $< | $(CC) $(if $(filter hypervisor/% loader/%,$<),$(image_flags),$(user_flags) $(call folder_flags,user,$<)) \
		-Wno-unused-function -MF $(@:.ok=.d) -MT $@ -x c -c -o /dev/null -
	@touch $@

# The core needs nothing of its home but plat_*, mem* and the end that a failed CHECK has there.
check-core: $(call image,$(tlfs_objs) $(lib_objs))
ifneq ($(tlfs_objs),)
	@mkdir -p build/tlfs && $(LD) -r -o build/tlfs/core.o $^
	@bad=$$(nm -u build/tlfs/core.o | awk '{print $$2}' | grep -Ev '^(plat_[a-z0-9_]+|mem(cpy|set|move|cmp)|check_failed)$$'); \
	if [ -n "$$bad" ]; then echo "tlfs/ needs more of its home than plat_* and mem*:" $$bad >&2; exit 1; fi
endif

# A home of backend.h may have the core in it: the two are linked into one program, with no name that both have.
check-names: $(call san,$(backend_objs) $(tlfs_objs) $(lib_objs))
	@$(LD) -r -o build/san/names.o $^

# Guests train the processor's predictors: the hypervisor's images have no branch that asks them.
check-branches: $(hypervisor_products)
	@for image in $^; do \
		objdump -d $$image > build/branches || exit 1; \
		if grep -E '\s(l?call|l?jmp)\s+\*' build/branches; then echo "$$image has an indirect branch" >&2; exit 1; fi; \
	done

# A minute has no room for all: of a fuzzer's inputs, and of the places at which a unit test cuts or damages (tests/fake/part.h), `make
# check` tries one in so many, `make test` one in five, `make soak` all. Odd numbers, for bits and bytes that take turns.
test_part ?= 11

check-units: $(test_programs:%=%.passed)
build/san/%_test.passed: build/san/%_test
	@ASAN_OPTIONS=detect_leaks=1 TEST_PART=$(test_part) timeout 300 $< > $<.log 2>&1 || { cat $<.log; echo "$< failed" >&2; exit 1; }
	@printf '  %-7s %s\n' PASS $*_test
	@touch $@

# A fixed number of inputs from a fixed seed: nearly the same run each time, since addresses that are compared become inputs too, and those
# the system chooses anew. `make fuzz` goes on from there. Where one input costs a millisecond there are fewer, which may be long from the
# first on: by libFuzzer's count of features they reach more.
fuzz_runs := 20000
hypercall_fuzz_runs := 8000 -len_control=0 -max_len=256
memory_fuzz_runs := 3000 -len_control=0 -max_len=256
vtd_root_fuzz_runs := 2000 -len_control=0 -max_len=256
checkpoint_fuzz_runs := 4000 -len_control=0 -max_len=64
config_fuzz_runs := 20000 -len_control=0 -max_len=256
control_fuzz_runs := 6000 -len_control=0 -max_len=256
netvsp_fuzz_runs := 6000 -len_control=0 -max_len=512
board_load_fuzz_runs := 8000 -len_control=0 -max_len=512
arrival_fuzz_runs := 1500 -len_control=0 -max_len=128
video_fuzz_runs := 20000 -len_control=0 -max_len=256
balloon_fuzz_runs := 10000 -len_control=0 -max_len=256
socket_fuzz_runs := 10000 -len_control=0 -max_len=256
ic_fuzz_runs := 20000 -len_control=0 -max_len=256
disk_open_fuzz_runs := 6000 -len_control=0 -max_len=512
switch_methods_fuzz_runs := 5000 -len_control=0 -max_len=512
switch_guest_fuzz_runs := 5000 -len_control=0 -max_len=256
switch_fuzz_runs := 5000 -len_control=0 -max_len=512
check-fuzz: $(fuzz_programs:%=%.passed)
build/fuzz/%_fuzz.passed: build/fuzz/%_fuzz
	@mkdir -p build/fuzz/found
	@set -- $(or $($(*F)_fuzz_runs),$(fuzz_runs)); runs=$$(($$1 / $(test_part))); shift; \
	timeout 300 $< -runs=$$runs "$$@" -seed=1 -artifact_prefix=build/fuzz/found/ > $<.log 2>&1 || \
		{ tail -60 $<.log; echo "$< failed" >&2; exit 1; }
	@printf '  %-7s %s\n' FUZZ $*_fuzz
	@touch $@

# Models hold, and are found wrong with each of the faults that they know.
disk_flush_faults := CLEAN_WHEN_COLLECTED NO_TICKET
wake_faults := LOOK_THEN_ENTER NO_SECOND_LOOK KICK_FORGOTTEN
flush_faults := ENTER_UNSEEN NO_SECOND_LOOK NO_WAIT ONE_MORE_EXIT
dirty_faults := NO_WAIT NO_FLUSH EARLY_COPY TWO_STEPS
channel_pause_faults := LOOK_ONCE SAID_ALWAYS NO_CLOSE NOTE_KEPT SAID_LATE BUSY_LOOK UNSEEN
memory_lock_faults := NO_LOOK NO_WAIT UNSEEN
migrate_faults := BY_MESSAGE RUN_FIRST END_ON_CUT ASK_FIRST
move_faults := NO_CLOSE TAKE_AWAY SEEN_FIRST EARLY LATE_FILES LATE_POINTS DROP_FIRST
switch_ring_faults := LOOK_THEN_SAY NO_SECOND_LOOK MOVE_AFTER_LOOK EVENT_FORGOTTEN
check-models: $(patsubst %.pml,build/model/%.passed,$(wildcard tests/model/*.pml))
build/model/%.passed: %.pml tools/check-model
	@tools/check-model $< build/model/$* $($(*F)_faults)
	@printf '  %-7s %s\n' MODEL $*
	@touch $@

# `make fuzz` is all fuzzers for a minute each, `make soak` for an hour each. Corpora are kept.
fuzz_seconds ?= 60
fuzz:
	@$(MAKE) $(fuzz_programs)
	@for f in $(fuzz_programs); do \
		c=build/corpus/$$(basename $$f); mkdir -p $$c build/fuzz/found; echo "$$f"; \
		$$f -max_total_time=$(fuzz_seconds) -artifact_prefix=build/fuzz/found/ $$c 2>&1 | tail -3; \
		[ $${PIPESTATUS[0]} = 0 ] || exit 1; \
	done
soak:
	@$(MAKE) fuzz fuzz_seconds=3600
	@rm -f $(test_programs:%=%.passed) && $(MAKE) test_part=1 check-units
	@$(MAKE) disk-soak
	@tools/kernels --headers 6.1-generic >/dev/null # a root with the driver of a card that makes virtual functions
	@$(MAKE) all
	@tests/system/run --soak
