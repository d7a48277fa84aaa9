# coca: find photographs by meaning.
#
#   make            builds build/coca               make help      the other targets
#
# Whatever is missing on a bare Debian 12 is set up first, by `make setup`: every target below that builds includes
# build/setup.mk, and make runs that file's rule when a package or FAISS is not there.

PREFIX  ?= /usr/local
CC      ?= cc
FAISS   ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/coca/faiss-1.7.3-avx2
comma   := ,
BUILD   := build$(if $(SAN),/$(subst $(comma),-,$(SAN)))
.DEFAULT_GOAL := all

# ---- set-up -----------------------------------------------------------------------------------------------------

NEEDS_NOTHING := help setup clean check-deps
ifneq ($(if $(MAKECMDGOALS),$(filter-out $(NEEDS_NOTHING),$(MAKECMDGOALS)),all),)
include build/setup.mk
endif

# Rebuilt, and make started again, whenever something is missing: a kept build folder may come to another machine.
build/setup.mk: $(if $(shell sh setup.sh check '$(FAISS)' || echo missing),FORCE) setup.sh
	@sh setup.sh all '$(FAISS)'
	@mkdir -p build && sh setup.sh flags '$(FAISS)' >$@

setup: ## install packages with apt (root or sudo only if one is missing) and build FAISS into ~/.cache/coca
	@sh setup.sh all '$(FAISS)'

# ---- compiling --------------------------------------------------------------------------------------------------

# AVX2 is the least processor (2013): FAISS is built for it, too. Wider kernels are chosen at run time.
CPPFLAGS += -D_GNU_SOURCE -I. $(LIB_CFLAGS)
CFLAGS   ?= -O3 -g
# What costs nothing and stops some faults from being more than a crash; tests/cli/hardened.sh looks at the program. The checks of
# FORTIFY need an optimiser, and sanitizers have better ones.
HARDEN   := -fstack-protector-strong -fPIE $(if $(or $(SAN),$(filter -O0,$(CFLAGS))),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
ALL_CFLAGS = -std=c11 $(CFLAGS) $(HARDEN) -mavx2 -mfma -mf16c -ffp-contract=fast -fno-math-errno -fno-trapping-math -fopenmp \
	-Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith -Wvla \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
LDFLAGS  += -fopenmp -pie -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN))

FLOORS  := schema model indexer query
lib      = $(BUILD)/lib$(1).a
sources  = $(sort $(shell find $(1) -name '*.c'))
objects  = $(patsubst %.c,$(BUILD)/%.o,$(call sources,$(1)))

all: $(BUILD)/coca ## build build/coca (the default)

$(BUILD)/coca: $(BUILD)/coca.o $(call lib,query) $(call lib,indexer) $(call lib,model) $(call lib,schema)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIB_LIBS)

define floor_rule
$(call lib,$(1)): $(call objects,$(1))
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach floor,$(FLOORS),$(eval $(call floor_rule,$(floor))))

$(BUILD)/%.o: %.c Makefile build/setup.mk
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# Texts that the assembler puts into the objects beside them (schema/base/embed.h).
EMBEDDED := $(sort $(shell find $(FLOORS) -path model/default -prune -o \( -name '*.txt' -o -name '*.sql' \) -print))
$(foreach text,$(EMBEDDED),$(foreach source,$(wildcard $(dir $(text))*.c),$(eval $(BUILD)/$(source:.c=.o): $(text))))

# ---- tests ------------------------------------------------------------------------------------------------------
# tests/FLOOR/ROOM/NAME.c is a program linked with its own floor and those below; tests/tools/NAME.c is a tool (parity, ...)
# linked with model and schema; tests/bench has the benchmarks; tests/cli/NAME.sh drives build/coca. What they share
# (support.c, drawn scenes) is a library.

below_schema  := schema
below_model   := model schema
below_indexer := indexer model schema
below_query   := query model schema
SUPPORT       := $(BUILD)/libsupport.a

$(SUPPORT): $(BUILD)/tests/support.o $(call objects,tests/scenes)
	@rm -f $@
	ar rcs $@ $^

define test_rule
$(BUILD)/tests/$(1)/%: $(BUILD)/tests/$(1)/%.o $(SUPPORT) $(foreach f,$(below_$(1)),$(call lib,$(f)))
	$(CC) $(LDFLAGS) -o $$@ $$^ $(LIB_LIBS) $(TEST_LIBS)
endef
$(foreach floor,$(FLOORS),$(eval $(call test_rule,$(floor))))

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(SUPPORT) $(call lib,model) $(call lib,schema)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIB_LIBS) $(TEST_LIBS)

TEST_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(call sources,$(FLOORS:%=tests/%)))
TOOLS         := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/tools/*.c))

# tests/bench/NAME.c: the parts of tests/bench/bench.c; see tests/bench/bench.h. scale and approximate are programs of their own.
BENCH_ALONE   := scale approximate
BENCH_PARTS   := $(filter-out $(BENCH_ALONE:%=$(BUILD)/tests/bench/%.o),$(call objects,tests/bench))

$(BUILD)/tests/bench/bench: $(BENCH_PARTS) $(SUPPORT) $(foreach f,query indexer model schema,$(call lib,$(f)))
	$(CC) $(LDFLAGS) -o $@ $^ $(LIB_LIBS) $(TEST_LIBS)

# tests/fuzz/NAME.c: what the fuzzers do, repeated without them; see tests/fuzz/fuzz.h.
FUZZ_SHARED   := replay support
FUZZ_NAMES    := $(filter-out $(FUZZ_SHARED),$(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c)))
REPLAYS       := $(FUZZ_NAMES:%=$(BUILD)/tests/fuzz/%)
ALL_FLOORS    := query indexer model schema

$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(FUZZ_SHARED:%=$(BUILD)/tests/fuzz/%.o) $(foreach f,$(ALL_FLOORS),$(call lib,$(f)))
	$(CC) $(LDFLAGS) -o $@ $^ $(LIB_LIBS)

TESTED := all $(TEST_PROGRAMS) $(TOOLS) $(BUILD)/tests/bench/bench $(BENCH_ALONE:%=$(BUILD)/tests/bench/%) $(REPLAYS) check-deps

test: $(TESTED) ## build and run the tests; T=schema runs one floor, SAN=address,undefined under sanitizers
	@BUILD=$(BUILD) T='$(T)' sh tests/run.sh

check-deps: ## check the rules of the house: which floors and rooms include which, what of them shows, where SQL and exits are
	@sh tests/check-deps.sh

mutants: $(TESTED) ## apply the one-line changes of tests/mutants/list.tsv and name those that no test notices: ONLY=TEXT; goes on where it stopped
	@ONLY='$(ONLY)' bash tests/mutants/run.sh

# The fuzzers themselves, by clang in a tree of their own. clang comes without OpenMP: loops run on one thread, which suits here.
FUZZ          := build/fuzz
FUZZ_CC       ?= clang-14
FUZZ_SECONDS  ?= 60
FUZZ_CFLAGS    = -std=c11 -O1 -g -mavx2 -mfma -mf16c -ffp-contract=off -fno-omit-frame-pointer -Wno-unknown-pragmas \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -idirafter $(dir $(shell gcc -print-file-name=include/omp.h))
FUZZ_OBJECTS  := $(patsubst %.c,$(FUZZ)/%.o,$(call sources,$(FLOORS)))

fuzz: $(FUZZ_NAMES:%=$(FUZZ)/bin/%) ## search for inputs that break a reader: FUZZ_SECONDS=60 each, FUZZERS="config shards", clang from apt
	@FUZZ=$(FUZZ) SECONDS_EACH=$(FUZZ_SECONDS) sh tests/fuzz/run.sh $(or $(FUZZERS),$(FUZZ_NAMES))

$(FUZZ)/compiler: setup.sh
	@mkdir -p $(@D) && sh setup.sh fuzz $(FUZZ_CC) && touch $@

$(FUZZ)/%.o: %.c Makefile build/setup.mk $(FUZZ)/compiler
	@mkdir -p $(@D)
	$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

$(FUZZ)/lib.a: $(FUZZ_OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(FUZZ)/bin/%: $(FUZZ)/tests/fuzz/%.o $(FUZZ)/tests/fuzz/support.o $(FUZZ)/lib.a
	@mkdir -p $(@D)
	$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(filter-out -fopenmp,$(LIB_LIBS))

.SECONDARY:
.PHONY: all setup test check-deps mutants fuzz bench scale demo info install clean help FORCE

BENCH_MODEL ?= model/default
BENCH_SHAPE := build/tests/vit-b-32
bench: all $(BUILD)/tests/bench/bench $(BENCH_SHAPE)/open_clip_model.safetensors ## measure speed against its targets: PARTS="index scan", BENCH_MODEL=DIR, FORMAT=json
	@BUILD=$(BUILD) FORMAT='$(FORMAT)' $(BUILD)/tests/bench/bench $(BENCH_MODEL) $(BENCH_SHAPE) $(PARTS)

# 1.0 GB of random weights, made once.
$(BENCH_SHAPE)/open_clip_model.safetensors: tests/data/configs/coca_ViT-B-32.json | $(BUILD)/tests/tools/random_model
	@$(BUILD)/tests/tools/random_model $< $(@D) >&2

SCALE ?= 10000 100000 1000000
scale: all $(BUILD)/tests/bench/scale ## measure large libraries, made up: SCALE="10000 100000", FORMAT=json, SCALE_DIR=DIR (a million: 3 GB, 15 minutes); SCALE= for costs at doubling sizes alone
	@$(if $(SCALE),FORMAT='$(FORMAT)' $(BUILD)/tests/bench/scale $(SCALE))
	@BUILD=$(BUILD) FORMAT='$(FORMAT)' bash tests/bench/costs.sh $(COSTS)

# ---- for people -------------------------------------------------------------------------------------------------

demo: all $(BUILD)/tests/tools/scenes ## index photographs and search them: PHOTOS=DIR, else ~/Pictures, else pictures drawn here
	@BUILD=$(BUILD) PHOTOS='$(PHOTOS)' sh tests/demo.sh

info: all ## print compiler, libraries and the kernels in use
	@$(CC) --version | head -n 1
	@$(BUILD)/coca version

share := $(DESTDIR)$(PREFIX)/share
install: all ## install coca, its model, manual page and completions below PREFIX (/usr/local)
	install -D -m 755 $(BUILD)/coca $(DESTDIR)$(PREFIX)/bin/coca
	install -d $(DESTDIR)$(PREFIX)/share/coca/model
	install -m 644 model/default/* $(DESTDIR)$(PREFIX)/share/coca/model/
	install -d $(share)/man/man1 $(share)/bash-completion/completions $(share)/zsh/site-functions $(share)/fish/vendor_completions.d
	$(BUILD)/coca help --man >$(share)/man/man1/coca.1
	$(BUILD)/coca help --completion bash >$(share)/bash-completion/completions/coca
	$(BUILD)/coca help --completion zsh >$(share)/zsh/site-functions/_coca
	$(BUILD)/coca help --completion fish >$(share)/fish/vendor_completions.d/coca.fish

clean: ## remove build/ (FAISS in ~/.cache/coca stays)
	rm -rf build

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'
