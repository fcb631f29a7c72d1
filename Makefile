# Two commands matter: `make demo` and `make test`. Both install what is missing, start the private stack under .local/, and are
# safe to run again, after an interruption too.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# `make down up` means one after the other; cargo uses all cores by itself.
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

local := deploy/local
tools := .local/tools/bin

# One compiler a core, but no more than one for each 1.5 GB of free memory: the last links hold much.
export CARGO_BUILD_JOBS ?= $(shell cores=$$(nproc); memory=$$(awk '/MemAvailable/ {print int($$2 / 1500000)}' /proc/meminfo); \
	echo $$((memory < 1 ? 1 : memory < cores ? memory : cores)))

# Every record names the revision its worker was built from.
export CFX_COMMIT ?= $(shell git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || echo unknown)

# Under CI the lock file is the law.
locked := $(if $(CI),--locked)

.PHONY: help demo test check bench faults soak scale peers interop observe browser api python rabbitmq4 images hosts drill quality full-size gpu gpu-pack deploy-check deploy-settings up down clean-local build fmt install libtorch facesjs train-pack doctor

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

demo: install libtorch build up ## from a fresh machine to a finished job on the demo pack, its report and contact sheet
	@deploy/demo/run.sh

test: install libtorch facesjs build up ## every test, on real services
	@echo "==> tests"
	@# Each test process has one tensor thread: tests run side by side already.
	@export OMP_NUM_THREADS=1; \
	if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --workspace $(locked); \
	else \
		cargo test --workspace --lib --bins --tests --no-fail-fast $(locked); \
	fi
	@echo "==> examples in the documentation"
	@cargo test --workspace --doc $(locked)

check: install libtorch ## format, lints, dependencies, spelling, scripts
	@$(local)/tools.sh check
	@echo "==> format"
	@cargo fmt --all --check || { echo "error: run make fmt" >&2; exit 1; }
	@echo "==> lints"
	@cargo clippy --workspace --all-targets $(locked) -- -D warnings
	@echo "==> dependencies"
	@$(tools)/cargo-deny --log-level error $(locked) check bans licenses sources
	@echo "==> spelling"
	@$(tools)/typos
	@echo "==> scripts"
	@git ls-files -z '*.sh' .ci/run | xargs -0 $(tools)/shellcheck --external-sources --source-path=SCRIPTDIR

bench: install libtorch build up ## measurements, written to tests/bench/RESULTS.md
	@tests/bench/run.sh

# SEEDS, FIRST and ONLY (the beginning of a fault's name) choose; a seed that went wrong is told with how to replay it.
faults: install libtorch build ## real processes and services broken by seeds; .local/faults/report.json
	@target/debug/faults --seeds $(or $(SEEDS),60) --first $(or $(FIRST),1) $(if $(ONLY),--only "$(ONLY)")

# SOAK_MINUTES and SEED choose. It runs copies of the binaries: an hour must not change with the next build.
soak: install libtorch build ## an hour of load and faults: memory, connections, tables, queues flat; .local/soak/report.json
	@mkdir -p .local/soak/bin && cp -f target/debug/{soak,coordinator,worker,cfx} .local/soak/bin/
	@.local/soak/bin/soak --minutes $(or $(SOAK_MINUTES),60) --seed $(or $(SEED),1)

# SCALE_ROWS is the number of tasks that are written and then read over.
scale: install libtorch up ## how fast the engine around the GPU is, and how it grows: tests/bench/scale.json (release build)
	@cargo build --release --workspace --bins $(locked)
	@target/release/scale

# What runs on which profile is told in the result; PEERS_PROFILE=debug takes what `make build` has built.
peers: install libtorch up ## other task queues and this one side by side, a quarter of an hour: tests/bench/peers.json, PEERS.md
	@tests/bench/peers/run.sh

quality: install libtorch facesjs ## every method against the drawn truth, hours: tests/bench/QUALITY.md, quality.json, gallery/ (PLAN=precision: bf16)
	@PLAN="$(PLAN)" tests/bench/quality.sh

full-size: install libtorch up ## networks of true size on the CPU, their memory and time: tests/bench/FULL_SIZE.md (10 GB of disk)
	@tests/bench/full_size.sh

# DEVICE, BUDGET (seconds), PARTS, QUICK and OUT choose: tests/gpu/run.sh.
gpu: install libtorch ## on a machine with a GPU: parity, determinism, memory, speed; target/gpu-report/report.md (release build)
	@cargo build --release --workspace --bins $(locked)
	@strip --strip-debug -o target/release/worker-stripped target/release/worker
	@WORKER=target/release/worker-stripped tests/gpu/run.sh

gpu-pack: install libtorch ## the same as one file for such a machine without a toolchain: target/gpu.tar.gz (release build)
	@cargo build --release --workspace --bins $(locked)
	@tests/gpu/pack.sh

interop: install libtorch build up ## exports, credentials and seals read by programs that nobody here wrote (PyPI, 700 MB; exiftool)
	@tests/interop/exports.sh
	@tests/interop/credentials.sh

observe: install libtorch build up ## alert rules, boards and metrics, by Prometheus's own tool
	@tests/observe/metrics.sh

browser: install libtorch build up ## every page of the dashboard in Chromium, with axe-core and screenshots (npm; root: chromium)
	@tests/browser/run.sh

# CFX_API_EXAMPLES and CFX_API_SEED choose; a fault is told with the request that shows it.
api: install libtorch build up ## requests made up from the OpenAPI document, ten thousand and more, by schemathesis (PyPI, 100 MB)
	@CFX_API_MUST=1 CFX_API_PHASES=examples,coverage,fuzzing,stateful CFX_API_EXAMPLES=$(or $(CFX_API_EXAMPLES),150) OMP_NUM_THREADS=1 \
		cargo test --workspace --test stories -- --exact fuzzed::no_request_that_can_be_made_up_is_answered_with_a_fault --nocapture

python: install libtorch build up ## the Python package: types, tests and the example notebook on a live cluster (PyPI, 700 MB)
	@tests/python/run.sh

# ONLY (the beginning of a story's name) chooses. What the processes wrote is in .local/hosts/logs where something went wrong.
hosts: install libtorch build ## an installation on many hosts, cut, lost and replaced under load: .local/hosts/report.json (root)
	@$(local)/packages.sh iproute2:ip openssl:openssl
	@# some ten thousand small objects: a disk is spared, and nothing of it is to be kept
	@TMPDIR=$${TMPDIR:-/dev/shm} target/debug/hosts $(if $(ONLY),--only $(ONLY))

drill: install libtorch build up ## backup, loss and restore of an installation, every result verified (rclone)
	@$(local)/packages.sh rclone:rclone postgresql-client:pg_dump
	@tests/drill/restore.sh

rabbitmq4: install libtorch build up ## the tests that speak to RabbitMQ, against RabbitMQ 4 (root: another Debian under .local, 600 MB)
	@$(local)/rabbitmq4.sh test

# SELF_TEST=1 breaks each thing in a copy, and must see its check fail; STEPS chooses some of the checks (tests/deploy/check.sh).
deploy-check: install libtorch build ## what an installation is made of, by tools that know it: Compose, Kubernetes, Helm, settings (PyPI, npm)
	@tests/deploy/check.sh $(if $(SELF_TEST),--self-test,$(STEPS))

deploy-settings: install libtorch build ## deploy/SETTINGS.md and Kubernetes' alerts, made anew
	@tests/deploy/check.sh --write

# PROFILE=dev compiles quickly and not for use; CFX_IMAGES is the folder for everything.
images: install ## the container images, built and run without an engine (root; buildah, debootstrap; .local/images, 30 GB)
	@deploy/docker/prove.sh

up: ## start the private PostgreSQL, RabbitMQ and S3
	@$(local)/up.sh

down: ## stop what was started here
	@$(local)/down.sh

clean-local: ## stop it, and remove .local with all data
	@$(local)/clean.sh

build: ## every binary
	@echo "==> build ($(CARGO_BUILD_JOBS) jobs)"
	@cargo build --workspace --bins $(locked)

fmt: ## format the code
	@cargo fmt --all

install: ## system packages that are missing (root or sudo)
	@$(local)/install.sh

libtorch: ## libtorch under .local
	@$(local)/libtorch.sh

facesjs: ## the face library that pictures for training are drawn with, under .local
	@$(local)/facesjs.sh

# RECIPE and OUT choose another recipe and folder; the GPU is CFX_DEVICE=cuda.
train-pack: install libtorch facesjs ## trains a pack from scratch (hours on a CPU); run again, it goes on from its checkpoints
	@cargo run --package training --bin train-pack $(locked) -- --resume \
		--out $(or $(OUT),.local/training) $(or $(RECIPE),shared/training/recipes/faces-64.toml)

doctor: ## what this machine has, lacks and runs
	@$(local)/doctor.sh
