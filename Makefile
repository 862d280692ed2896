# hone: a Lua-scriptable engine for GPU kernels. `make help` lists the targets.

PREFIX  ?= /usr/local
CC      ?= cc
WERROR  ?= 0
# SANITIZE=1 builds into build/asan with AddressSanitizer and UBSan.
SANITIZE ?= 0
SPEC    ?= spec

OUT     := build$(if $(filter 1,$(SANITIZE)),/asan)
BIN     := $(OUT)/hone
DEPS    := build/deps
SOURCES := $(DEPS)/.fetched
TREE_SITTER := $(DEPS)/tree-sitter/tree_sitter/core/lib
CORE    := $(OUT)/lib/hone/core
VERSION := $(shell cat VERSION)

WARNINGS := -Wall -Wextra -Wpedantic $(if $(filter 1,$(WERROR)),-Werror)
comma := ,
SANITIZERS := $(if $(filter 1,$(SANITIZE)),-fsanitize=address$(comma)undefined -fno-omit-frame-pointer)
CFLAGS  ?= -O2 -g
ALL_CFLAGS = -std=c17 $(CFLAGS) $(WARNINGS) $(SANITIZERS) -fPIC -fvisibility=hidden -MMD -MP \
  -D_GNU_SOURCE -DHONE_VERSION='"$(VERSION)"' -Iengine -I. $(LUA_CFLAGS)
THIRD_PARTY_CFLAGS = -std=c11 $(CFLAGS) $(SANITIZERS) -w -fPIC -fvisibility=hidden

LUA_CFLAGS  = $(shell pkg-config --cflags lua5.4)
LUA_ARCHIVE = $(shell pkg-config --variable=libdir lua5.4)/liblua5.4.a

# ---- what is built -------------------------------------------------------------------------------

HOST_SRC := engine/main.c engine/host.c engine/memory.c engine/signals.c

# One line a module: its sources beside engine/lua/l<name>.c, its flags and its libraries.
MODULES := json fs process http syntax outline terminal edit gpu tensor cuda worker serve

core_json_SRC      := engine/lua/ljson_object.c engine/lua/ljson_decode.c engine/lua/ljson_encode.c engine/lua/ljson_pick.c \
  engine/json/text.c engine/json/buffer.c engine/json/form.c
core_json_OBJ      := $(OUT)/deps/yyjson.o
core_json_CFLAGS   := -isystem $(DEPS)/yyjson/yyjson
core_fs_LIBS       := -ldl
core_process_LIBS  := -luv
core_http_SRC      := engine/http/curl.c engine/http/transfer.c engine/http/part.c
core_http_LIBS     := -ldl
core_syntax_OBJ    := $(OUT)/deps/tree-sitter.o
core_syntax_CFLAGS := -isystem $(TREE_SITTER)/include
core_syntax_LIBS   := -ldl
core_edit_LIBS     := -ledit
core_gpu_SRC       := engine/gpu/probe.c engine/gpu/driver.c engine/gpu/library.c
core_gpu_LIBS      := -ldl -lpthread
core_cuda_SRC      := $(wildcard engine/lua/lcuda_*.c) \
  $(filter-out $(addprefix engine/gpu/,blas.c probe.c program.c sources.c),$(wildcard engine/gpu/*.c))
core_cuda_CFLAGS   := -fno-plt
core_cuda_LIBS     := -ldl -lm -lpthread


# The process that runs somebody's kernels: its loop is a part of a program, of a library for Python
# and of a module for Lua.
WORKER_GPU := $(patsubst %,engine/gpu/%.c,clocks context cupti driver library stats timer)
WORKER_LOOP := $(addprefix engine/worker/,arena.c copy.c core.c measure.c message.c requests.c sandbox.c) $(WORKER_GPU)
core_worker_SRC    := engine/worker/message.c
core_worker_CFLAGS := -isystem $(DEPS)/yyjson/yyjson
core_serve_SRC     := $(WORKER_LOOP)
core_serve_OBJ     := $(OUT)/deps/yyjson.o
core_serve_CFLAGS  := -isystem $(DEPS)/yyjson/yyjson
core_serve_LIBS    := -ldl -lm -lpthread

# The loops are written to be vectorised; errno and floating-point traps are nobody's concern there.
# The library stays when a Lua state is closed: its threads are asleep in it.
core_tensor_SRC    := $(wildcard engine/tensor/*.c engine/lua/ltensor_*.c engine/gpu/tensor/*.c) \
  $(patsubst %,engine/gpu/%.c,blas context driver kernel library nvrtc program sources)
core_tensor_CFLAGS := -O3 -fno-math-errno -fno-trapping-math -fopenmp-simd
core_tensor_LIBS   := -lm -lpthread -ldl -Wl,-z,nodelete

GRAMMARS := python typescript tsx
GRAMMAR_DIR := $(OUT)/lib/hone/grammar
grammar_python_SRC     := $(DEPS)/tree-sitter-python/src
grammar_typescript_SRC := $(DEPS)/tree-sitter-typescript/typescript/src
grammar_tsx_SRC        := $(DEPS)/tree-sitter-typescript/tsx/src

PRESENT_MODULES := $(foreach m,$(MODULES),$(if $(wildcard engine/lua/l$(m).c),$(m)))
WORKERS := $(if $(wildcard engine/worker/native.c),$(OUT)/lib/hone/worker) $(OUT)/lib/hone/libhone_worker.so
TARGETS := $(BIN) $(PRESENT_MODULES:%=$(CORE)/%.so) $(GRAMMARS:%=$(GRAMMAR_DIR)/%.so) $(WORKERS)

LUA_FILES = $(shell git ls-files -co --exclude-standard '*.lua' .busted .luacheckrc)
C_FILES = $(shell git ls-files -co --exclude-standard 'engine/*.[ch]' 'cuda/*.h')
CLANG_FORMAT = build/lintenv/bin/clang-format
# The sanitizers' runtime checks leaks in programs of its own; a host full of Lua states is not one.
SPEC_ENV = PATH="$(abspath build/testenv/bin):$$PATH" HONE_BIN=$(abspath $(BIN)) HONE_SGLANG=$(abspath $(REPOS)/sglang) HONE_TRANSFORMERS="$$(ls -d $(abspath $(REPOS))/transformers 2>/dev/null)" $(if $(filter 1,$(SANITIZE)),ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1)

.PHONY: all build deps test check format bench bundle install rock demo clean help
all: build

deps:  ## install build dependencies (distribution packages, pinned sources)
	@tools/deps.sh build

build: $(SOURCES)  ## build the host and its libraries into build/
	@$(MAKE) --no-print-directory $(TARGETS)

$(SOURCES): tools/sources.txt tools/deps.sh
	@tools/deps.sh build && touch $@

# What is linked is moved into place, so that programs that run the old file go on undisturbed.
$(BIN): $(HOST_SRC:engine/%.c=$(OUT)/obj/%.o)
	$(CC) $(SANITIZERS) -o $@.new $^ -Wl,--whole-archive $(LUA_ARCHIVE) -Wl,--no-whole-archive -Wl,-E -lm -ldl
	mv $@.new $@

$(OUT)/obj/%.o: engine/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

# The CUDA sources are laid into this object by the assembler, which tells nobody.
$(OUT)/obj/gpu/sources.o: $(wildcard cuda/*) engine/tensor/element.h engine/tensor/functions.inc \
  engine/tensor/ops.def engine/tensor/philox.h

define module_rules
$(CORE)/$(1).so: $(OUT)/obj/lua/l$(1).o $(core_$(1)_SRC:engine/%.c=$(OUT)/obj/%.o) $(core_$(1)_OBJ)
	@mkdir -p $$(@D)
	$(CC) $(SANITIZERS) -shared -o $$@.new $$^ $(core_$(1)_LIBS) && mv $$@.new $$@
$(OUT)/obj/lua/l$(1).o $(core_$(1)_SRC:engine/%.c=$(OUT)/obj/%.o): ALL_CFLAGS += $(core_$(1)_CFLAGS)
endef
$(foreach m,$(MODULES),$(eval $(call module_rules,$(m))))

$(OUT)/deps/yyjson.o: $(DEPS)/yyjson/yyjson/yyjson.c
	@mkdir -p $(@D)
	$(CC) $(THIRD_PARTY_CFLAGS) -c -o $@ $<

$(OUT)/deps/tree-sitter.o: $(TREE_SITTER)/src/lib.c
	@mkdir -p $(@D)
	$(CC) $(THIRD_PARTY_CFLAGS) -I$(TREE_SITTER)/include -I$(TREE_SITTER)/src -c -o $@ $<

define grammar_rules
$(GRAMMAR_DIR)/$(1).so: $(grammar_$(1)_SRC)/parser.c $(grammar_$(1)_SRC)/scanner.c
	@mkdir -p $$(@D)
	$(CC) $(filter-out -fvisibility=hidden,$(THIRD_PARTY_CFLAGS)) -I$(grammar_$(1)_SRC) -shared -o $$@ $$^
endef
$(foreach g,$(GRAMMARS),$(eval $(call grammar_rules,$(g))))

# Without the sanitizers: a Python that knows nothing of them loads it.
$(OUT)/obj/python/%.o: engine/%.c
	@mkdir -p $(@D)
	$(CC) $(filter-out $(SANITIZERS),$(ALL_CFLAGS)) $(core_serve_CFLAGS) -c -o $@ $<
$(OUT)/obj/python/yyjson.o: $(DEPS)/yyjson/yyjson/yyjson.c
	@mkdir -p $(@D)
	$(CC) $(filter-out $(SANITIZERS),$(THIRD_PARTY_CFLAGS)) -c -o $@ $<
$(OUT)/lib/hone/libhone_worker.so: $(WORKER_LOOP:engine/%.c=$(OUT)/obj/python/%.o) $(OUT)/obj/python/yyjson.o
	$(CC) -shared -o $@.new $^ $(core_serve_LIBS) && mv $@.new $@

$(OUT)/lib/hone/worker: $(patsubst engine/%.c,$(OUT)/obj/%.o,$(addprefix engine/worker/,main.c native.c tvm_ffi.c) $(WORKER_LOOP)) $(OUT)/deps/yyjson.o
	$(CC) $(SANITIZERS) -o $@.new $^ $(core_serve_LIBS) -Wl,-E -Wl,-z,relro -Wl,-z,now && mv $@.new $@
$(OUT)/obj/worker/main.o $(OUT)/obj/worker/native.o: ALL_CFLAGS += $(core_serve_CFLAGS)

# SGLang's sources, as published: the demo and the specs read them.
SGLANG_VERSION ?= 0.5.23
REPOS := build/demo/repos
$(REPOS)/repos_config.json: | build
	@$(BIN) clone-repos --source pypi --repos sglang --sglang-version $(SGLANG_VERSION) --target-dir $(REPOS)

# The config classes of the version that this SGLang asks for: what a config.json leaves out.
TRANSFORMERS_VERSION ?= 5.19.0
$(REPOS)/transformers: | $(REPOS)/repos_config.json
	@$(BIN) clone-repos --source pypi --repos transformers --transformers-version $(TRANSFORMERS_VERSION) --target-dir $(REPOS)

test: build $(REPOS)/repos_config.json $(REPOS)/transformers  ## set up and run the specs inside the host (SPEC=spec/json_spec.lua runs one)
	@tools/deps.sh test
	@$(SPEC_ENV) busted --lua=$(BIN) --cpath='./$(OUT)/lib/?.so' $(BUSTED_FLAGS) $(SPEC)

demo: build $(REPOS)/repos_config.json  ## read SGLang's source and Llama 3.1 8B's config, write the model's Definitions
	@examples/demo.sh $(BIN)

check: build  ## lint C and Lua, check their format
	@tools/deps.sh lint
	luacheck --quiet $(LUA_FILES)
	@node tools/format.cjs --check $(LUA_FILES)
	@$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)

format:  ## format C and Lua
	@tools/deps.sh lint
	@node tools/format.cjs $(LUA_FILES)
	@$(CLANG_FORMAT) -i $(C_FILES)

bench: build  ## print the figures, as ratios taken in one run (BENCH=json runs one)
	@$(SPEC_ENV) $(BIN) bench/run.lua $(BENCH)

bundle: build  ## make a relocatable tarball that runs on a bare machine
	@tools/deps.sh bundle
	@tools/bundle.sh $(if $(SPECS),--with-specs) build/hone-$(VERSION)-$(shell uname -s -m | tr 'A-Z ' 'a-z-').tar.gz

install: build  ## install under PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/hone $(DESTDIR)$(PREFIX)/share/hone
	install $(BIN) $(DESTDIR)$(PREFIX)/bin/hone
	cp -r $(OUT)/lib/hone/core $(OUT)/lib/hone/grammar $(WORKERS) $(DESTDIR)$(PREFIX)/lib/hone/
	cp -r scripts skills examples docs README.md LICENSE VERSION $(DESTDIR)$(PREFIX)/share/hone/

# What LuaRocks installs: the libraries as modules, and beside them what they read at run time.
rock: build
	install -d $(LUADIR)/hone/scripts $(LIBDIR)/hone
	cp -r scripts/hone $(LUADIR)/
	cp -r skills $(LUADIR)/hone/
	cp -r scripts/meta $(LUADIR)/hone/scripts/
	cp -r $(OUT)/lib/hone/core $(OUT)/lib/hone/grammar $(WORKERS) $(LIBDIR)/hone/

clean:  ## remove what was built (fetched sources and environments stay)
	rm -rf $(filter-out build/deps build/testenv build/lintenv,$(wildcard build/*))

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*##/\1 -/p' $(MAKEFILE_LIST)

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)
