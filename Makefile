PYTHON ?= python3
DATA ?= ../shared/data
DIST ?= dist
MVN ?= mvn
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup browser kafka-install spark-install kafka lock dist demo demo-live dashboard test test-fast lint bench bench-cdr-scale soak clean

setup: $(VENV)/.ready

# uv only installs; the versions and their hashes are those of requirements.lock.
$(VENV)/.ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "uv>=0.7"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

# Apache Kafka, for tests, benchmarks and `make kafka`; a user of offbeat needs only a broker of their own.
kafka-install: build/kafka/.ready

# Spark's connector to Kafka, for tests and benchmarks; on a cluster `spark-submit --packages` brings it.
spark-install: build/spark/.ready

build/%/.ready: deploy/%/pom.xml
	@if ! command -v $(MVN) >/dev/null; then echo "no Maven here: tests that need build/$* are skipped"; else \
	  rm -rf build/$* && mkdir -p build/$* && $(MVN) -q -B -f deploy/$*/pom.xml \
	    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
	    -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/build/$*/libs && touch $@; fi

# Debian's Chromium, for tests of the dashboard; a user of offbeat has a browser of their own.
browser:
	@command -v chromium >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then (apt-get update -qq && apt-get install -y -qq chromium >/dev/null) || echo "chromium could not be installed: its tests are skipped"; \
	  else echo "no chromium here: tests of the dashboard in a browser are skipped (apt-get install chromium, as root)"; fi

# A broker on 127.0.0.1:9092 (KAFKA_PORT=… for another port) until Ctrl-C.
kafka: setup kafka-install
	@$(BIN)/python deploy/kafka/broker.py

# After a change of dependencies in pyproject.toml; versions that still fit stay as they are.
lock:
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --all-extras --group dev --generate-hashes --no-header -o requirements.lock

# The source distribution, and the wheel made from it, by the locked build tool.
dist: setup
	$(BIN)/uv build --quiet --out-dir $(DIST) --build-constraints requirements.lock --require-hashes

# Alerts out of minute bars and of trades, the worst ones explained and drawn.
demo: setup
	@bash examples/demo.sh $(BIN)/offbeat $(DATA) build/demo

# Trades into a topic, a worker on it, and its alerts as they appear.
demo-live: setup kafka-install
	@bash examples/demo_live.sh $(BIN)/offbeat $(DATA) build/demo-live

# The page, with alerts of real trades and bars that come while one looks; Ctrl-C ends it.
dashboard: setup
	@bash examples/dashboard.sh $(BIN)/offbeat $(DATA) build/dashboard

# Everything, the slow tests too. The kernels are compiled once beforehand, so that the workers do not do it side by side.
test: setup kafka-install spark-install browser
	@$(BIN)/python -m pytest -q -x tests/fold/test_sql_bars.py tests/fold/test_oracle_trades.py >/dev/null 2>&1 || true
	$(BIN)/python -m pytest -n 2 --dist worksteal --ignore tests/kafka --ignore tests/dashboard --ignore tests/spark
	$(BIN)/python -m pytest tests/kafka
	$(BIN)/python -m pytest tests/dashboard
	$(BIN)/python -m pytest tests/spark

# What one runs while working.
test-fast: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not heavy" --ignore tests/kafka --ignore tests/dashboard --ignore tests/spark

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Workers on Kafka that die and come back, for an hour; SOAK="--minutes 5" for less.
soak: setup kafka-install
	$(BIN)/python -m benchmarks.kafka_soak $(SOAK)

# Each writes its table into benchmarks/RESULTS.md.
bench: setup kafka-install spark-install
	$(BIN)/python -m benchmarks.bars_vs_polars
	$(BIN)/python -m benchmarks.bars_vs_spark
	$(BIN)/python -m benchmarks.decode
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.state_size
	$(BIN)/python -m benchmarks.trades_speed
	$(BIN)/python -m benchmarks.planted_trades
	$(BIN)/python -m benchmarks.planted_ticks
	$(BIN)/python -m benchmarks.nab
	$(BIN)/python -m benchmarks.parity_adbench
	$(BIN)/python -m benchmarks.parity_covariance
	$(BIN)/python -m benchmarks.cdr_speed
	$(BIN)/python -m benchmarks.cdr_live
	$(BIN)/python -m benchmarks.kafka_speed
	$(BIN)/python -m benchmarks.store_speed
	$(BIN)/python -m benchmarks.kafka_restart
	$(BIN)/python -m benchmarks.spark_speed

# 768 M call records: about 8 GB below $$TMPDIR, and a quarter of an hour.
bench-cdr-scale: setup
	$(BIN)/python -m benchmarks.cdr_scale

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find offbeat tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
