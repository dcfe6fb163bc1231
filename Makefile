# A thin front: meson builds, scripts/ does the rest. `make demo` and `make check` need nothing prepared.
BUILD ?= build

.PHONY: all demo check lint fuzz bench install clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	scripts/deps build test
	meson setup $(BUILD)

demo:
	scripts/deps build guest
	@$(MAKE) --no-print-directory all-without-tests
	scripts/demo

.PHONY: all-without-tests
all-without-tests:
	@test -f build-demo/build.ninja || meson setup build-demo --buildtype=release -Db_ndebug=false -Dtests=false
	ninja -C build-demo

check: all
	guest-drivers/linux/build
	meson test -C $(BUILD) --print-errorlogs

lint:
	scripts/deps build test lint
	scripts/lint

fuzz:
	scripts/deps build test lint
	scripts/fuzz

bench: all
	tests/bench/run

install: all
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-demo build-asan build-tsan build-fuzz build-clang
