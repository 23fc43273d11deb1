# make book        build the book and say where it is
# make test        check the code, run every notebook again, compare every number, test the site
# make notebooks   run the notebooks, measure the exactness page, and store what they give
# make fresh       run them with all random seeds moved, by 1000, 2000 and 3000 (or OFFSETS="…"), and say
#                  which checks do not hold; only some of them with CHAPTERS="priors cnns"
# make handout     write the chapters without solutions and answers into handout/
# make pdf         print the book, without solutions, into _build/book.pdf (needs Chromium or Chrome)
# make lab         open the notebooks in JupyterLab
# make serve       show the built book at http://127.0.0.1:8000 (or PORT=…)
# make bench       measure speed against a plain convolution and against peers, which it installs
# make links       try every link that leads out of the book (needs the network)
# make clean       remove what was built; the installed packages stay
# make help        show this
#
# The first call sets up .venv with the pinned versions; the next ones start at once, until the pins change.
# PYTHON=/path/to/python3 chooses the interpreter. TORCH_INDEX=https://download.pytorch.org/whl/cpu takes torch
# from its own index, without GPU libraries. CONSTRAINTS=/dev/null takes the newest versions instead of the pinned ones.

PYTHON ?=
TORCH_INDEX ?=
CONSTRAINTS ?= constraints.txt
PORT ?= 8000
OFFSETS ?=
CHAPTERS ?=

# For running and testing notebooks. One thread: the number of threads changes the last digits of floats, and with
# them what training gives. And no progress bars, which belong into a live notebook only.
QUIETLY := OMP_NUM_THREADS=1 TQDM_DISABLE=1

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONUTF8 = 1

# A stamp is named after the checksum of what it depends on: a file that is touched but not changed costs nothing,
# and one that is deleted counts. Scripts in .venv hold their folder's name, so that counts as well.
PINS := $(shell { cat pyproject.toml $(CONSTRAINTS); pwd; } | cksum | cut -d ' ' -f 1)
PAGES := $(shell { find _config.yml _toc.yml pyproject.toml book gdl_utils _ext _static -type f \
  ! -path '*/.*' ! -path '*/__pycache__/*' -exec cksum {} + | sort; \
  echo "$(PINS) $$GITHUB_REPOSITORY $$GDL_SITE_URL"; git remote get-url origin 2>/dev/null; } | cksum | cut -d ' ' -f 1)
READY := .venv/ready-$(PINS)
BUILT := _build/html/.built-$(PAGES)
RUN := .venv/bin/python -m
NOTEBOOKS := $(wildcard book/*.ipynb book/.template.ipynb)

.PHONY: book test notebooks fresh handout pdf lab serve bench links clean help FORCE
.DELETE_ON_ERROR:

book: $(BUILT)
	@echo "The book is up to date: open file://$(CURDIR)/_build/html/index.html"

# From nothing each time: an incremental build with -W forgets the warnings of the pages that it skips.
$(BUILT): | $(READY)
	@came=$$(.venv/bin/jupyter-book --version | sed '1!d; s/^[^0-9]*//'); case "$$came" in 1.*) ;; *) \
	  echo "make: .venv has Jupyter Book $$came, and the book needs version 1; set up anew with: rm -r .venv && make book" >&2; exit 1;; esac
	@rm -rf _build/html
	.venv/bin/jupyter-book build . -W --keep-going -n --all --quiet
	@touch $@

# Elsewhere than on Linux with Python 3.11 the last digits may differ from the committed ones: cells must run there,
# and their outputs are not compared.
test: $(BUILT)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	@nbval=$$(.venv/bin/python -c 'import sys; print("--nbval" if sys.platform == "linux" and sys.version_info[:2] == (3, 11) else "--nbval-lax")'); \
	set -x; $(QUIETLY) $(RUN) pytest -n 2 --dist loadfile --doctest-modules $$nbval --nbval-current-env \
	  --nbval-cell-timeout=120 --nbval-sanitize-with=tests/sanitize.cfg gdl_utils tests $(NOTEBOOKS)

notebooks: $(READY)
	$(QUIETLY) .venv/bin/python _ext/notebooks.py execute $(NOTEBOOKS)
	$(QUIETLY) .venv/bin/python _ext/exactness.py

fresh: $(READY)
	$(QUIETLY) .venv/bin/python _ext/fresh_seeds.py $(CHAPTERS:%=book/%.ipynb) $(if $(OFFSETS),--offsets $(OFFSETS))

handout: $(READY)
	@.venv/bin/python _ext/handouts.py

pdf: $(BUILT)
	@.venv/bin/python _ext/print_book.py

lab: $(READY)
	.venv/bin/jupyter lab book

serve: $(BUILT)
	$(RUN) http.server $(PORT) --bind 127.0.0.1 --directory _build/html

# Peers are installed beside our packages, into an environment of their own that reads ours.
bench: $(READY)
	@[ -x .venv/bench/bin/python ] || .venv/bin/python -m venv .venv/bench
	@.venv/bench/bin/python -c 'import sys, sysconfig; open(sysconfig.get_path("purelib") + "/ours.pth", "w").write(\
	  "import site; site.addsitedir(%r)\n" % sys.argv[1])' $$($(RUN) sysconfig | sed -n 's/^\tpurelib = "\(.*\)"/\1/p')
	.venv/bench/bin/pip install --quiet --no-deps e2cnn==0.2.3
	.venv/bench/bin/pip install --quiet torch_geometric==2.7.0 emlp==1.0.3 six scikit-learn
	@for script in benchmarks/[!_]*.py; do echo "$$script"; .venv/bench/bin/python "$$script" || exit 1; done

links: $(READY)
	.venv/bin/jupyter-book build . --builder linkcheck --path-output _build/links

clean:
	rm -rf _build

help:
	@sed -n '/^#$$/q; s/^# //p' Makefile

# A set-up leaves .venv/unfinished behind until it is done. Where the next call finds it, or an environment whose
# Python has gone, it starts from scratch. The old folder is moved away first: deleting can be interrupted too.
$(READY): $(shell .venv/bin/python -c '' 2>/dev/null || echo FORCE)
	@for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  new=$$python; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null && found=$$python && break; \
	done; \
	if [ -z "$$new" ]; then \
	  echo "make: Python 3.11 or newer is needed, and $(if $(PYTHON),$(PYTHON) is not that,none was found); name one with PYTHON=/path/to/python3" >&2; exit 1; \
	elif [ -z "$$found" ]; then \
	  echo "make: $$new cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
	fi; \
	echo "Setting up .venv; this takes a few minutes, once."; \
	rm -rf .venv.old; \
	if [ -e .venv ] && { [ -e .venv/unfinished ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; }; then \
	  mv .venv .venv.old && rm -rf .venv.old; \
	fi; \
	mkdir -p .venv && touch .venv/unfinished && rm -f .venv/ready-* && \
	{ [ -x .venv/bin/python ] || "$$found" -m venv .venv; }
	$(RUN) pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c $(CONSTRAINTS) -e '.[test]'
	@touch $@ && rm .venv/unfinished
