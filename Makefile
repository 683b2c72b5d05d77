# Each target makes .venv itself. Hand options on with ARGS="...".
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test check bench bench-delivery faults unit lock clean format pictures
.DEFAULT_GOAL := demo

$(STAMP): requirements.lock pyproject.toml
	@echo "安装依赖到 .venv / installing into .venv ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv: $(STAMP)

demo: $(STAMP)
	@$(BIN)/steelyard demo $(ARGS)

test: $(STAMP)
	@sh tests/system_parts.sh
	@$(BIN)/python -m pytest $(ARGS)

unit: $(STAMP)
	@$(BIN)/python -m pytest tests/unit $(ARGS)

check: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

pictures: $(STAMP)
	@$(BIN)/python -m tests.browser.screenshot docs/images

FIGURES := docs/figures

# Most of an hour on a quiet machine: speed, ten minutes live, accuracy; writes docs/accuracy.md.
bench: $(STAMP)
	@$(BIN)/steelyard bench speed --json $(FIGURES)/speed.json
	@$(BIN)/steelyard bench live --json $(FIGURES)/live.json
	@$(BIN)/steelyard bench accuracy --json $(FIGURES)/accuracy.json --plots docs/images \
	    --page docs/accuracy.md --beside $(FIGURES)/speed.json --beside $(FIGURES)/live.json $(ARGS)

# Sealing, backlog, blobs, last wheel to receipt, each beside a yardstick; writes docs/delivery.md.
bench-delivery: $(STAMP)
	@sh tests/system_parts.sh
	@$(BIN)/steelyard bench delivery --json $(FIGURES)/delivery.json --page docs/delivery.md $(ARGS)

# About twenty minutes: kills, cut lines, full disks, forgers, wrong clocks; writes docs/faults.md.
faults: $(STAMP)
	@sh tests/system_parts.sh
	@$(BIN)/steelyard faults --json $(FIGURES)/faults.json --page docs/faults.md $(ARGS)

lock: $(STAMP)
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
