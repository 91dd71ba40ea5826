.DEFAULT_GOAL := help
.PHONY: help demo test test-all check bench bench-learning clean
SHELL := /bin/bash
VENV := .venv
RUN := $(VENV)/bin/python -m
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
export VENV PYTHON

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10
	@echo "make demo EPISODES=3 HEADLESS=1 ends by itself; ARGS='seed:=7 lockstep:=true' goes to retake"

$(STAMP): pyproject.toml scripts/bootstrap.sh
	@echo "setting up $(VENV) (once; some minutes)"
	@bash scripts/bootstrap.sh dev,hardware && touch $@

$(BENCH_STAMP): $(STAMP)
	@bash scripts/bootstrap.sh dev,hardware,bench && touch $(STAMP) $@

demo: $(STAMP)  ## a G1 lifts boxes until Ctrl-C, with a web panel
	@$(RUN) retake.cli demo $(if $(EPISODES),episodes:=$(EPISODES)) $(if $(filter-out 0,$(HEADLESS)),headless:=true) $(ARGS)

test: $(STAMP)  ## all tests but the heavy ones, under 10 minutes on 2 cores
	$(RUN) pytest -m "not heavy" $(ARGS)

test-all: $(STAMP)  ## all tests
	$(RUN) pytest $(ARGS)

check: $(STAMP)  ## lint and types
	$(RUN) ruff check .
	$(RUN) mypy

bench: $(BENCH_STAMP)  ## the figures beside their peers; ONLY=key,key runs some
	$(RUN) benchmarks $(if $(ONLY),--only $(ONLY)) $(ARGS)

bench-learning: $(BENCH_STAMP)  ## learning: hours; ONLY=gate,speed,... runs some, interrupted it goes on
	@$(RUN) benchmarks.learning $(if $(ONLY),--only $(ONLY))

clean:  ## forget the environment and what was built, keep data/
	rm -rf $(VENV) build
