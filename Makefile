# SPDX-License-Identifier: Apache-2.0
# Builds Tally under build/. `make help` lists the targets.
#
# Every source is found by its place; a new file needs no line here:
#
#	ring/*.c                      one set of hidden objects, part of both libraries
#	producer/*.c                  libtally.a, libtally.so
#	producer/adapters/malloc/*.c  libtally-malloc.so, on top of libtally.so
#	producer/adapters/tt_metal/*.cpp  libtally-tt-metal.a, for a C++ runtime
#	consumer/*.c                  libtally-consumer.a, libtally-consumer.so
#	consumer/cli/*.c              tally
#	consumer/gateway/*.c          part of tally
#	bench/NAME.c                  bench/NAME, each with bench/harness/*.c
#	bench/NAME.cpp                likewise, with libtally-tt-metal.a
#	bench/contenders/NAME.c, .cpp bench/contenders/NAME.so, if what it needs is installed;
#	                              likewise bench/reporters/ and bench/reporters/provider/
#	bench/programs/, bench/tools/ what bench/programs runs; not built here
#	tests/test_NAME.c             tests/test_NAME, each with tests/support*.c: cmocka programs
#	tests/crash_NAME.c            tests/crash_NAME, likewise: death at every instruction
#	tests/prog/NAME.c             tests/prog/NAME, what tests run: linked as a user would
#	tests/prog/NAME.cpp           the same, with libtally-tt-metal.a; and tests/prog/NAME_clang,
#	                              by clang++ together with the adapter's sources
#	tests/prog/static_NAME.c      the same, linked statically
#	tests/prog/libNAME.c          tests/prog/libNAME.so, what tests load
#	tests/fuzz/fuzz_NAME.c        tests/fuzz/fuzz_NAME, with the others there: fuzz targets
#
# Nothing is asked of a compiler or of pkg-config while this file is read: a fresh machine may
# have neither until `make deps` has run.

VERSION := 0.1.0
ABI := 0
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
BUILD ?= build
# A flavour is another BUILD with SAN=address,undefined or SAN=thread, and CC=clang; or with
# ARM64=1 and the cross compiler's tools.
SAN ?=
ARM64 ?=
ifeq ($(origin CC),default)
CC := gcc
endif
CXX := $(if $(findstring clang,$(CC)),clang++,g++)
OBJCOPY ?= objcopy
CFLAGS ?= -O2 -g
Q := $(if $(V),,@)

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.PHONY: all deps demo check check-asan check-tsan check-arm64 check-marked lint format install
.PHONY: bench bench-deps bench-gate bench-report check-report
.PHONY: crash crash-long model model-long fuzz fuzz-run campaign-shared clean help
all:

# ---- Flags ---------------------------------------------------------------------------------------
# A folder's sources see include/ as <tally/...>, and as "ring/slot.h" those floors alone that are
# linked into its folder of build/inc/: include <- ring <- producer, consumer <- bench, tests.

FLOORS.ring := ring
FLOORS.producer := ring producer
FLOORS.producer/adapters/malloc :=
FLOORS.producer/adapters/tt_metal :=
FLOORS.consumer := ring consumer
FLOORS.consumer/cli :=
FLOORS.consumer/gateway :=
FLOORS.consumer/example :=
FLOORS.bench := ring producer consumer bench
FLOORS.bench/harness := ring bench
FLOORS.bench/contenders := ring bench
FLOORS.bench/reporters := ring bench
FLOORS.bench/reporters/provider := ring bench
FLOORS.tests := ring producer consumer tests
FLOORS.tests/prog := tests
FLOORS.tests/fuzz := ring producer consumer tests
FOLDERS := ring producer producer/adapters/malloc producer/adapters/tt_metal consumer consumer/cli \
	consumer/gateway \
	consumer/example bench bench/harness bench/contenders bench/reporters \
	bench/reporters/provider tests tests/prog tests/fuzz
see = -Iinclude -I$(BUILD)/inc/$(1)

# Internal calls to exported functions stay calls within the library. Other linkers than that of
# x86-64 leave a call by a table as it is, also where it leads to the same library.
MACHINE := $(if $(ARM64),aarch64,$(shell uname -m))
SHARED := -fPIC -fvisibility=hidden -fno-semantic-interposition \
	$(if $(filter x86_64,$(MACHINE)),-fno-plt)
# Found without a call. The price: libtally.so takes its few bytes from the static TLS surplus.
TLS := -ftls-model=initial-exec
# Else the compiler makes a calloc of our malloc and memset, which would call itself.
ALLOCATOR := -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free
PLACES := -DBUILD_DIR='"$(abspath $(BUILD))"' -DSOURCE_DIR='"$(CURDIR)"'

ifneq ($(ARM64),)
# Debian's libraries for arm64, in a folder of their own; qemu lets a program find them there.
ROOT := $(abspath $(BUILD))/root
ROOT_LIB := $(ROOT)/usr/lib/aarch64-linux-gnu
ROOT_SEE := -isystem $(ROOT)/usr/include -isystem $(ROOT)/usr/include/aarch64-linux-gnu
ROOT_LINK := -L$(ROOT_LIB) -Wl,-rpath-link,$(ROOT_LIB)
EMULATOR := qemu-aarch64 -L $(ROOT)
PLACES += -DEMULATOR='"qemu-aarch64", "-L", "$(ROOT)"'
endif

FLAGS.ring := $(SHARED)
FLAGS.producer := $(SHARED) $(TLS)
FLAGS.producer/adapters/malloc := $(SHARED) -fvisibility=default $(TLS) $(ALLOCATOR)
FLAGS.consumer := $(SHARED)
FLAGS.consumer/cli := -fPIE -Iconsumer/cli -Iconsumer/gateway
FLAGS.consumer/gateway := -fPIE -Iconsumer/gateway
FLAGS.consumer/example := -fPIC
FLAGS.bench := -fPIE $(PLACES)
FLAGS.bench/harness := -fPIE $(PLACES)
FLAGS.bench/contenders := -fPIC
FLAGS.bench/reporters := -fPIC $(PLACES)
FLAGS.bench/reporters/provider := -fPIC
FLAGS.tests := -fPIE $(PLACES)
FLAGS.tests/prog := -fPIC $(PLACES)
FLAGS.tests/fuzz := -fPIE

WARN := -Wall -Wextra -Wconversion -Werror
BASE := -std=gnu17 -pthread -D_GNU_SOURCE -DTALLY_VERSION='"$(VERSION)"' $(WARN) $(ROOT_SEE)
# What a runtime is sure to have; the adapter asks for no more of C++.
BASE_CXX := -std=c++17 -pthread -fPIC -Wall -Wextra -Wconversion -Wpedantic -Werror
PLAIN_CXX := -fno-exceptions -fno-rtti
SANITIZE := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
LINK := -pthread -Wl,--as-needed -Wl,-z,relro,-z,now $(ROOT_LINK)
LINK_SHARED := $(LINK) -shared -Wl,-z,defs
# Never unloaded: threads may be in a push, or have a destructor of ours still to run.
LINK_LOADED := $(LINK_SHARED) -Wl,-z,nodelete
LIBS_CONSUMER := -lurcu-bp -lurcu-cds

comma := ,
# A goal that is a job installs what it needs before anything is compiled; `make` alone does not.
jobs = $(filter $(1),$(MAKECMDGOALS))
READY := $(if $(call jobs,deps demo check check-asan check-tsan check-arm64 lint \
	bench bench-deps bench-report bench-gate check-report crash crash-long fuzz \
	campaign-shared),deps)
DEPS := build $(if $(call jobs,check),cxx) $(if $(call jobs,lint format),lint) \
	$(if $(call jobs,bench bench-deps bench-report),bench) \
	$(if $(call jobs,bench-gate),gate) $(if $(call jobs,check-report),page) \
	$(if $(call jobs,check-asan check-tsan fuzz),san) \
	$(if $(call jobs,check-arm64),arm64) $(if $(call jobs,model model-long),model)
ifdef ROOT
READY += $(ROOT)/done
$(ROOT)/done: tests/arm64-root.sh
	@$< $(@D)
endif

# ---- Objects -------------------------------------------------------------------------------------
# What is loaded into strangers (shared libraries) and the strangers (tests/prog) stay plain in a
# sanitizer flavour, as a sanitizer must be first in a process: built apart, under plain/.

OBJ := $(BUILD)/obj
PLAIN := $(if $(SAN),$(BUILD)/plain,$(OBJ))
sources = $(sort $(wildcard $(1)/*.c))
objects = $(patsubst %.c,$(OBJ)/%.o,$(call sources,$(1)))
plain_objects = $(patsubst %.c,$(PLAIN)/%.o,$(call sources,$(1)))

# One link per floor a folder may see; a repository that has moved gets new ones.
floor_links := $(foreach f,$(FOLDERS),$(FLOORS.$(f):%=$(BUILD)/inc/$(f)/%))
$(floor_links):
	@mkdir -p $(@D)
	@ln -sfn $(CURDIR)/$(@F) $@

compile = $(CC) $(BASE) $(call see,$(<D)) $(FLAGS.$(<D)) $(CPPFLAGS) $(CFLAGS)

$(OBJ)/%.o: %.c Makefile | $(READY) $(floor_links)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(compile) $(SANITIZE) -MMD -MP -c -o $@ $<

ifdef SAN
$(PLAIN)/%.o: %.c Makefile | $(READY) $(floor_links)
	@mkdir -p $(@D)
	@echo "  CC    $< (plain)"
	$(Q)$(compile) -MMD -MP -c -o $@ $<
endif

# C++ is plain in every flavour, like the programs it is for.
TT := producer/adapters/tt_metal
compile_cxx = $(BASE_CXX) $(call see,$(<D)) $(if $(filter $(TT)/,$(<D)/),$(PLAIN_CXX),-I$(TT)) \
	$(CPPFLAGS) $(CFLAGS)
$(PLAIN)/%.o: %.cpp Makefile | $(READY) $(floor_links)
	@mkdir -p $(@D)
	@echo "  CXX   $<"
	$(Q)$(CXX) $(compile_cxx) -MMD -MP -c -o $@ $<
cxx_sources = $(sort $(wildcard $(1)/*.cpp))
cxx_objects = $(patsubst %.cpp,$(PLAIN)/%.o,$(call cxx_sources,$(1)))
-include $(patsubst %.o,%.d,$(foreach f,$(FOLDERS),$(call cxx_objects,$(f))))

ALL_OBJECTS := $(sort $(foreach f,$(FOLDERS),$(call objects,$(f)) $(call plain_objects,$(f))))
-include $(ALL_OBJECTS:.o=.d)

# ---- Libraries -----------------------------------------------------------------------------------

LIB := $(BUILD)/libtally
ADAPTER := $(BUILD)/libtally-malloc.so
SONAMES := libtally.so libtally-consumer.so
# The flavour for another processor has no C++ compiler.
TT_LIB := $(if $(ARM64),,$(LIB)-tt-metal.a)
LIBRARIES := $(LIB).a $(LIB).so $(LIB)-consumer.a $(LIB)-consumer.so $(ADAPTER) $(TT_LIB)

$(LIB).so.$(VERSION): $(call plain_objects,ring) $(call plain_objects,producer) \
		producer/libtally.map
	@echo "  LD    $@"
	$(Q)$(CC) $(LINK_LOADED) -Wl,-soname,libtally.so.$(ABI) -Wl,-Bsymbolic-functions \
		-Wl,--version-script=producer/libtally.map $(LDFLAGS) -o $@ $(filter %.o,$^)

$(LIB)-consumer.so.$(VERSION): $(call plain_objects,ring) $(call plain_objects,consumer) \
		consumer/libtally-consumer.map
	@echo "  LD    $@"
	$(Q)$(CC) $(LINK_SHARED) -Wl,-soname,libtally-consumer.so.$(ABI) -Wl,-Bsymbolic-functions \
		-Wl,--version-script=consumer/libtally-consumer.map $(LDFLAGS) -o $@ \
		$(filter %.o,$^) $(LIBS_CONSUMER)

$(BUILD)/%.so.$(ABI): $(BUILD)/%.so.$(VERSION)
	@ln -sfn $(<F) $@
$(SONAMES:%=$(BUILD)/%): %.so: %.so.$(ABI)
	@ln -sfn $(<F) $@

$(ADAPTER): $(call plain_objects,producer/adapters/malloc) $(LIB).so
	@echo "  LD    $@"
	$(Q)$(CC) $(LINK_LOADED) -Wl,-soname,$(@F) -Wl,-rpath,'$$ORIGIN' $(LDFLAGS) -o $@ \
		$(filter %.o,$^) $(LIB).so

$(LIB)-tt-metal.a: $(call cxx_objects,$(TT))
	@echo "  AR    $@"
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# An archive is one object whose internal names are local, so that a program linked with it can
# neither clash with them nor use them.
define archive
	@echo "  AR    $@"
	@rm -f $@
	$(Q)$(LD) -r -o $(OBJ)/$(@F:.a=.o) $^
	$(Q)$(OBJCOPY) --localize-hidden $(OBJ)/$(@F:.a=.o)
	$(Q)$(AR) rcs $@ $(OBJ)/$(@F:.a=.o)
endef
$(LIB).a: $(call objects,ring) $(call objects,producer)
	$(archive)
$(LIB)-consumer.a: $(call objects,ring) $(call objects,consumer)
	$(archive)

# Tests and benchmarks reach inside: the same objects with all their names, an archive a floor.
INSIDE := $(OBJ)/consumer/gateway.a $(OBJ)/consumer.a $(OBJ)/producer.a $(OBJ)/ring.a
define inside
$$(OBJ)/$(1).a: $$(call objects,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)$$(AR) rcs $$@ $$^
endef
$(foreach f,ring producer consumer consumer/gateway,$(eval $(call inside,$(f))))

# ---- Programs ------------------------------------------------------------------------------------

TALLY := $(BUILD)/tally
MAN_PAGES := $(patsubst consumer/cli/%.scd,$(BUILD)/man/%,$(wildcard consumer/cli/*.scd))
names = $(patsubst %.c,$(BUILD)/%,$(call sources,$(1)))
BENCHES := $(call names,bench)
TESTS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/test_*.c)))
CRASHES := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/crash_*.c)))
PROG_STATIC := $(filter $(BUILD)/tests/prog/static_%,$(call names,tests/prog))
PROG_LIBS := $(patsubst %,%.so,$(filter $(BUILD)/tests/prog/lib%,$(call names,tests/prog)))
PROGS := $(filter-out $(PROG_STATIC) $(PROG_LIBS:.so=),$(call names,tests/prog))
EXAMPLES := $(call names,consumer/example)
names_cxx = $(if $(ARM64),,$(patsubst %.cpp,$(BUILD)/%,$(call cxx_sources,$(1))))
PROGS_CXX := $(call names_cxx,tests/prog)
PROGS_CLANG := $(PROGS_CXX:%=%_clang)
BENCHES_CXX := $(call names_cxx,bench)
CONTENDERS := $(patsubst %,$(BUILD)/%.so,$(sort $(basename $(foreach f,contenders reporters \
	reporters/provider,$(wildcard bench/$(f)/*.c bench/$(f)/*.cpp)))))
ALL_PROGS := $(PROGS) $(PROG_STATIC) $(PROG_LIBS) $(EXAMPLES) $(PROGS_CXX) $(PROGS_CLANG)

all: $(LIBRARIES) $(TALLY) $(MAN_PAGES)

$(BUILD)/man/%: consumer/cli/%.scd | $(READY)
	@mkdir -p $(@D)
	@echo "  MAN   $@"
	$(Q)scdoc <$< >$@

rpath_bench := -Wl,-rpath,'$$ORIGIN/..'
rpath_prog := -Wl,-rpath,'$$ORIGIN/../..'
# $(call link,FLAGS,LIBRARIES AFTER THE OBJECTS)
define link
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(LINK) $(1) $(LDFLAGS) -o $@ $(filter %.o,$^) $(2)
endef

$(TALLY): $(call objects,consumer/cli) $(call objects,consumer/gateway) $(LIB).a $(LIB)-consumer.a
	$(call link,-pie $(SANITIZE),$(LIB).a $(LIB)-consumer.a $(LIBS_CONSUMER) \
		-ljansson -lncursesw -ltinfo)

# As an application uses it: the push goes through libtally.so.
$(BENCHES): $(BUILD)/bench/%: $(OBJ)/bench/%.o $(call objects,bench/harness) $(LIB).so $(INSIDE)
	$(call link,-pie $(rpath_bench),$(LIB).so $(OBJ)/consumer.a \
		$(OBJ)/ring.a $(LIBS_CONSUMER) -ljansson -lm)

# Those whose package is not installed leave NAME.absent, and are tried again by the next make.
contender = CONTENDER_RING=$(OBJ)/ring.a REPORTER_ADAPTER=$(TT_LIB) \
	REPORTER_TALLY='$(SONAMES:%=$(BUILD)/%) -Wl,-rpath,$(abspath $(BUILD))' \
	bench/contenders/build.sh $< $@
contender_flags = -MMD -MP -MF $(@:.so=.d) -MT $@
contender_needs := bench/contenders/build.sh Makefile $(OBJ)/ring.a $(SONAMES:%=$(BUILD)/%) \
	$(TT_LIB)
$(filter $(patsubst %.c,$(BUILD)/%.so,$(wildcard bench/*/*.c bench/*/*/*.c)),$(CONTENDERS)): \
		$(BUILD)/%.so: %.c $(contender_needs) | $(READY) $(floor_links)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(contender) $(compile) $(contender_flags)
$(filter $(patsubst %.cpp,$(BUILD)/%.so,$(wildcard bench/*/*.cpp)),$(CONTENDERS)): \
		$(BUILD)/%.so: %.cpp $(contender_needs) | $(READY) $(floor_links)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(contender) $(CXX) $(compile_cxx) $(contender_flags)
-include $(CONTENDERS:.so=.d)

$(TESTS) $(CRASHES): $(BUILD)/tests/%: $(OBJ)/tests/%.o $(INSIDE) \
		$(filter $(OBJ)/tests/support%,$(call objects,tests))
	$(call link,-pie $(SANITIZE),$(INSIDE) -lcmocka -ljansson $(LIBS_CONSUMER) -lm)

user_libs = $(LIB).so $(LIB)-consumer.so
$(PROGS) $(EXAMPLES): $(BUILD)/%: $(PLAIN)/%.o $(LIB).so $(LIB)-consumer.so
	$(call link,-pie $(rpath_prog),$(user_libs))
$(PROG_LIBS): $(BUILD)/%.so: $(PLAIN)/%.o $(LIB).so $(LIB)-consumer.so
	$(call link,-shared $(rpath_prog),$(user_libs))
$(PROG_STATIC): $(BUILD)/%: $(PLAIN)/%.o $(LIB).a
	$(call link,-static,$(LIB).a)

# As a runtime does: it links the library, or compiles the adapter with its own compiler.
$(PROGS_CXX): private CC := $(CXX)
$(PROGS_CXX): $(BUILD)/%: $(PLAIN)/%.o $(TT_LIB) $(LIB).so
	$(call link,-pie $(rpath_prog),$(TT_LIB) $(LIB).so)
$(PROGS_CLANG): $(BUILD)/%_clang: %.cpp $(call cxx_sources,$(TT)) $(LIB).so \
		$(wildcard $(TT)/*.hpp include/tally/*.h) | $(READY) $(floor_links)
	@mkdir -p $(@D)
	@echo "  CXX   $< (clang++)"
	$(Q)clang++ $(compile_cxx) $(LINK) -pie $(rpath_prog) $(LDFLAGS) -o $@ $(filter %.cpp,$^) \
		$(LIB).so
$(BENCHES_CXX): private CC := $(CXX)
$(BENCHES_CXX): $(BUILD)/bench/%: $(PLAIN)/bench/%.o $(call objects,bench/harness) $(LIB).so \
		$(TT_LIB)
	$(call link,-pie $(rpath_bench),$(TT_LIB) $(LIB).so -ljansson -lm)

# Figures of a long run, on any machine.
CAMPAIGN := $(BUILD)/tests/campaign_shared
$(CAMPAIGN): $(OBJ)/tests/campaign_shared.o $(OBJ)/ring.a
	$(call link,-static,$(OBJ)/ring.a)

# ---- Jobs ----------------------------------------------------------------------------------------

# Installs what is missing, in the groups build, lint, san; silent when nothing is.
deps:
	@tests/deps.sh $(DEPS)

demo: all
	$(Q)BUILD=$(BUILD) tests/demo.sh

RUN := BUILD=$(BUILD) CC='$(CC)' CXX='$(CXX)' VERSION=$(VERSION) ABI=$(ABI) tests/run.sh
SCRIPTS := $(sort $(wildcard tests/test_*.sh tests/test_*.py))

check: all $(TESTS) $(ALL_PROGS) $(BENCHES) $(BENCHES_CXX) $(CONTENDERS)
	$(Q)$(RUN) $(TESTS) $(SCRIPTS) tests/lint/headers.sh tests/lint/install.sh

# The tests that say they run under a sanitizer, with the words `sanitizers: address, thread`, or
# emulated on arm64, with `also on: arm64`.
SAN_CC ?= clang
flavour = $(MAKE) --no-print-directory check-marked
check-asan: deps
	+$(Q)$(flavour) CC=$(SAN_CC) BUILD=$(BUILD)/asan SAN=address,undefined \
		MARK='sanitizers:.*address'
check-tsan: deps
	+$(Q)$(flavour) CC=$(SAN_CC) BUILD=$(BUILD)/tsan SAN=thread MARK='sanitizers:.*thread'
ARM64_CC ?= aarch64-linux-gnu-gcc
ARM64_TOOLS := $(foreach t,LD=ld AR=ar OBJCOPY=objcopy,$(subst =,=aarch64-linux-gnu-,$(t)))
check-arm64: deps
	+$(Q)TIMEOUT_S=$${TIMEOUT_S:-600} $(flavour) CC='$(ARM64_CC)' $(ARM64_TOOLS) \
		BUILD=$(BUILD)/arm64 ARM64=1 MARK='also on:.*arm64'
ifdef MARK
MARKED := $(shell grep -l '$(MARK)' /dev/null $(wildcard tests/test_*.c))
MARKED := $(patsubst %.c,$(BUILD)/%,$(MARKED))
check-marked: all $(MARKED) $(ALL_PROGS)
	$(Q)SAN=$(SAN) EMULATOR='$(EMULATOR)' $(RUN) $(MARKED)
endif

# Every instruction of a producer, and consumers killed at random: 1,000, or 10,000.
crash-long: export CRASH_CONSUMERS := 10000
crash crash-long: all $(CRASHES)
	$(Q)TIMEOUT_S=900 $(RUN) $(CRASHES)

# Every interleaving of a model of the shared ring, in Spin: 1 minute, 2 GB; or an hour, 14 GB.
model: deps
	$(Q)BUILD=$(BUILD) tests/model/run.sh
model-long: deps
	$(Q)BUILD=$(BUILD) tests/model/run.sh long

# Fuzz targets: the corpus, then FUZZ_S seconds of new inputs each. Linked so that a machine with
# nothing but a C library can run them (tests/fuzz/campaign.sh).
FUZZ_S ?= 20
fuzz: deps
	+$(Q)$(MAKE) --no-print-directory CC=$(SAN_CC) BUILD=$(BUILD)/fuzz \
		SAN=fuzzer-no-link,address,undefined fuzz-run
FUZZERS := $(filter $(BUILD)/tests/fuzz/fuzz_%,$(call names,tests/fuzz))
fuzz-run: $(FUZZERS)
	$(Q)BUILD=$(BUILD) FUZZ_S=$(FUZZ_S) tests/fuzz/run.sh $(FUZZERS)
# What the targets themselves do is not to be covered.
$(OBJ)/tests/fuzz/%.o: SANITIZE := $(subst fuzzer-no-link$(comma),,$(SANITIZE))
FUZZ_OBJECTS := $(filter-out $(OBJ)/tests/fuzz/fuzz_%,$(call objects,tests/fuzz))
$(FUZZERS): $(BUILD)/%: $(OBJ)/%.o $(FUZZ_OBJECTS) $(INSIDE)
	$(call link,-pie $(SANITIZE) -fsanitize=fuzzer -static-libstdc++ -static-libgcc,$(INSIDE) \
		-Wl$(comma)-Bstatic $(LIBS_CONSUMER) -lurcu-common -Wl$(comma)-Bdynamic)

# Each is a test case of its own; selftest breaks something for each, to see it fail.
LINTS := $(addprefix tests/lint/,format.sh text.sh orders.sh labels.pl headers.sh floors.sh \
	exports.sh needed.sh cppcheck.sh selftest.sh)
lint: all
	$(Q)$(foreach f,$(FOLDERS),SEE_$(subst /,_,$(f))='$(call see,$(f))') $(RUN) $(LINTS)

format: deps
	$(Q)tests/lint/format.sh -i

# Packages of the contenders.
bench-deps: deps

# Figures as tables, and all of them in $(BUILD)/bench/results.json. BENCH='push throughput' runs
# these alone, BENCH_FLAGS=--quick in seconds.
BENCH ?= $(notdir $(BENCHES) $(BENCHES_CXX))
BENCH_FLAGS ?=
bench: $(BENCHES) $(BENCHES_CXX) $(CONTENDERS) $(TALLY) $(ADAPTER)
	$(Q)BUILD=$(BUILD) bench/run.sh $(BENCH_FLAGS) -- $(BENCH)

# Ratios and instruction counts against bench/baseline.json. GATE_FLAGS=--update keeps those found.
GATED := $(addprefix $(BUILD)/bench/,push instructions)
bench-gate: $(GATED)
	$(Q)BUILD=$(BUILD) bench/gate.py $(GATE_FLAGS)

# The page of what the last `make bench` found; without one, of a new one.
RESULTS := $(BUILD)/bench/results.json
REPORT := bench/report.py
bench-report: $(if $(wildcard $(RESULTS)),,bench)
	$(Q)$(REPORT) $(RESULTS) $(BUILD)/bench/report.html
	@echo "  $(abspath $(BUILD)/bench/report.html)"

# The page as Chromium shows it; pictures of it in $(BUILD)/report/.
check-report: deps
	$(Q)$(RUN) tests/report_in_chromium.py

PUSHES ?= 100000000
campaign-shared: $(CAMPAIGN)
	$(Q)$(CAMPAIGN) $(PUSHES)

# ---- Installing ----------------------------------------------------------------------------------

BIN_TO := $(DESTDIR)$(PREFIX)/bin
LIB_TO := $(DESTDIR)$(LIBDIR)
HEADERS_TO := $(DESTDIR)$(PREFIX)/include/tally
SHARE_TO := $(DESTDIR)$(PREFIX)/share
COMPLETION := consumer/cli/completion

# The runtime's client whole, or nothing of it.
install: all
	install -d $(BIN_TO) $(LIB_TO)/pkgconfig $(HEADERS_TO)
	install -m 755 $(TALLY) $(BIN_TO)
	install -m 644 include/tally/*.h $(HEADERS_TO)
	$(if $(TT_LIB),install -Dm 644 -t $(HEADERS_TO)/tt_metal $(TT)/*.hpp)
	install -m 644 $(LIB).a $(LIB)-consumer.a $(TT_LIB) $(LIB_TO)
	install -m 755 $(SONAMES:%=$(BUILD)/%.$(VERSION)) $(ADAPTER) $(LIB_TO)
	for l in $(SONAMES); do \
		ln -sfn $$l.$(VERSION) $(LIB_TO)/$$l.$(ABI) && \
		ln -sfn $$l.$(ABI) $(LIB_TO)/$$l || exit; \
	done
	for l in producer/libtally $(if $(TT_LIB),$(TT)/libtally-tt-metal) \
			consumer/libtally-consumer; do \
		sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' \
			$$l.pc.in >$(LIB_TO)/pkgconfig/$${l##*/}.pc || exit; \
	done
	install -Dm 644 -t $(SHARE_TO)/man/man1 $(MAN_PAGES)
	install -Dm 644 $(COMPLETION)/tally.bash $(SHARE_TO)/bash-completion/completions/tally
	install -Dm 644 -t $(SHARE_TO)/zsh/site-functions $(COMPLETION)/_tally
	install -Dm 644 -t $(SHARE_TO)/fish/vendor_completions.d $(COMPLETION)/tally.fish

clean:
	rm -rf $(BUILD)

help:
	@echo 'make            build everything under $(BUILD)/'
	@echo 'make demo       install what is missing, build, and follow real programs'
	@echo 'make check      install what is missing, build, and run every test'
	@echo 'make check-asan, make check-tsan   the marked tests under sanitizers'
	@echo 'make check-arm64   the marked tests built for arm64, under qemu'
	@echo 'make crash      kill producers and consumers everywhere (crash-long: more of them)'
	@echo 'make model, make model-long   every interleaving of a model of the shared ring'
	@echo 'make fuzz       fuzz targets on their corpus, then FUZZ_S seconds on new inputs'
	@echo 'make lint       formatting, memory orders and their labels, floors, exported symbols'
	@echo 'make format     lay out all C and C++ sources'
	@echo 'make bench      install the contenders, build and run the benchmarks'
	@echo 'make bench-report   what the last make bench found, as a page with plots'
	@echo 'make check-report   install Chromium and look at such a page as readers see it'
	@echo 'make bench-deps install the contenders, and nothing else'
	@echo 'make bench-gate fail on a loss against bench/baseline.json'
	@echo 'make campaign-shared   load the shared ring with PUSHES=100000000 and print figures'
	@echo 'make install    to PREFIX ($(PREFIX)), under DESTDIR'
	@echo 'make deps       install missing packages, and nothing else'
	@echo 'make clean      remove $(BUILD)/'
	@echo 'Variables: CC (gcc or clang), CXX, CFLAGS, CPPFLAGS, LDFLAGS, BUILD; SAN=thread or'
	@echo 'SAN=address,undefined; V=1 shows commands.'
