# SPDX-License-Identifier: Apache-2.0
# What a person types. Meson and ninja do the building (meson.build), the scripts in tools/ the rest.
#   ARGS="..."  goes to the program     V=1  shows every command     DEPS=no  installs nothing

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help build run test quick check bench bench-peers bench-shops lint coverage clean
MAKEFLAGS += --no-print-directory

BENCH ?= place
export V

# $(call deps,GROUP...): what is missing of these packages is installed.
deps = @$(if $(filter no,$(DEPS)),:,tools/deps $(1))

help:
	@echo 'make build     build/till; installs the Debian packages it needs, as the others do'
	@echo 'make run       the whole thing on this machine: shop, wallets, console (ARGS="--fresh")'
	@echo 'make test      every test there is; the last line counts them'
	@echo 'make quick     before each commit: lint and unit tests, a minute'
	@echo 'make check     make test, then what takes long: 100,000 simulated days, 200,000 power losses,'
	@echo '               every state of an order, mutants, coverage, 1,000 orders on RocketMQ,'
	@echo '               rounds of kill -9, 20 s of fuzzing for each parser'
	@echo 'make bench     build/till bench $$BENCH, place by default (ARGS="--orders 100000")'
	@echo 'make bench-peers  Till beside other timeout engines, 15 minutes at most (ARGS="--items 2000 --only till,bullmq")'
	@echo 'make bench-shops  orders a second and oversold units of whole shop systems beside it'
	@echo 'make lint      what every file keeps to; tools/lint fix mends the form'
	@echo 'make coverage  what the tests reach; every branch of src/core, or it fails'
	@echo 'make clean     removes the build directories, nothing else'
	@echo 'V=1 shows every command, DEPS=no installs nothing.'

build:
	$(call deps,build)
	@tools/build build

run: build
	@exec build/till dev $(ARGS)

test:
	$(call deps,build lint test)
	@tools/test

quick:
	$(call deps,build lint)
	@tools/test lint unit

check: test
	$(call deps,coverage)
	@tools/test coverage core-mutants broker-long sim-long crash-long soak-long explore-long kill fuzz-long

bench: build
	@exec build/till bench $(BENCH) $(ARGS)

bench-peers: build
	$(call deps,peers)
	@exec bench/peers/peers.py $(ARGS)

bench-shops: build
	$(call deps,peers)
	@exec bench/peers/shops.py $(ARGS)

lint:
	$(call deps,lint)
	@tools/lint check

coverage:
	$(call deps,build coverage)
	@tools/coverage

clean:
	rm -rf build build-sanitized build-fuzz build-coverage build-tsan build-rocketmq build-sdks build-peers
