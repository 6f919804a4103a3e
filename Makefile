# libhpo: two commands do everything.
#     make demo     build, then tune zstd, kill it, resume it, compare, check the store
#     make check    build, then run every test
# Both install what is missing from Debian first (make deps). The build itself is CMake's; this file only names the steps.

BUILD ?= build
JOBS ?= $(shell nproc)
# How much of each long enumeration the tests walk: 0.1 for everyday use, 1 in CI, 100 in soak.
export HPO_TEST_SCALE ?= 0.1

DEPS = gcc g++ cmake ninja-build pkg-config clang clang-format libclang-rt-14-dev \
       liblmdb-dev libxxhash-dev libjansson-dev libcriterion-dev libmpfr-dev \
       python3 python3-mpmath zstd strace valgrind util-linux procps

.PHONY: all help deps configure build demo check check-asan check-tsan check-clang check-valgrind check-all bench fuzz soak \
        coverage format install clean

all: build

help:
	@echo 'make demo            tune zstd, kill the search, resume it, compare, check the store'
	@echo 'make check           every test (HPO_TEST_SCALE=1 for the full counts, as CI does)'
	@echo 'make check-asan      the same tests under AddressSanitizer and UBSan; check-tsan, check-clang, check-valgrind likewise'
	@echo 'make check-all       all of these'
	@echo 'make bench           benchmarks, as ratios to peers in the same run'
	@echo 'make fuzz            libFuzzer, FUZZ_SECONDS (60) for each target; finds go to build-fuzz/found'
	@echo 'make soak            the enumerations a hundred times longer: hours'
	@echo 'make coverage        line and branch coverage'
	@echo 'make install         library, header, tools, man pages (DESTDIR and cmake --install --prefix work)'
	@echo 'make deps format clean'

# Asks apt only when something is missing, so that an offline machine that has everything works.
deps:
	@missing=""; for p in $(DEPS); do \
	    dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	    echo "installing:$$missing"; \
	    sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	    $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing \
	        >/dev/null || exit 1; \
	fi

configure: deps
	@test -f $(BUILD)/build.ninja || cmake -S . -B $(BUILD) -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >$(BUILD).log 2>&1 || \
	    { cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

build: configure
	@cmake --build $(BUILD) -j $(JOBS)

demo: build
	@examples/zstd/demo.sh $(BUILD)

check: build
	@ctest --test-dir $(BUILD) -j $(JOBS) --output-on-failure --no-tests=error

# The same tests under sanitizers, another compiler, valgrind; each in a build directory of its own.
check-asan check-tsan check-clang: check-%: deps
	@cmake --preset $* >/dev/null && cmake --build --preset $* -j $(JOBS) && \
	    HPO_TEST_SCALE=$${HPO_SANITIZER_SCALE:-0.02} ctest --preset $* -j $(JOBS)

check-valgrind: build
	@tests/valgrind.sh $(BUILD)

check-all: check check-asan check-tsan check-clang check-valgrind

bench: build
	@bench/run.sh $(BUILD)

# New inputs stay in build-fuzz/corpus; the tree's corpus is only read.
FUZZ_SECONDS ?= 60
fuzz: deps
	@cmake --preset fuzz >/dev/null && cmake --build --preset fuzz -j $(JOBS)
	@fuzz/run.sh build-fuzz $(FUZZ_SECONDS)

# Hours: the enumerations a hundred times longer.
soak: build
	@HPO_TEST_SCALE=100 ctest --test-dir $(BUILD) -j $(JOBS) --output-on-failure --no-tests=error --timeout 86400

coverage: deps
	@cmake --preset coverage >/dev/null && cmake --build --preset coverage -j $(JOBS) && ctest --preset coverage -j $(JOBS)
	@gcovr --root . --object-directory build-coverage --filter engine/ --filter samplers/ --print-summary

format:
	@git ls-files '*.c' '*.h' '*.cc' | xargs grep -L 'do not edit\.$$' | xargs clang-format -i

install: build
	@cmake --install $(BUILD)

clean:
	@rm -rf $(BUILD) build-*
