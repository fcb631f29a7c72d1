# The worker with libtorch 2.11.0: the targets are cpu, and cuda for NVIDIA's GPUs. Without --target it is the CPU's.
#   docker build -f deploy/docker/worker.Dockerfile --target cpu --build-arg COMMIT="$(git rev-parse HEAD)" -t counterfactory/worker-cpu .
#   docker build -f deploy/docker/worker.Dockerfile --target cuda --build-arg COMMIT="$(git rev-parse HEAD)" -t counterfactory/worker-cuda .
# Secrets for one's own registries, and bases by digest: coordinator.Dockerfile says how.
ARG BUILDER=rust:1.95-bookworm
ARG RUNTIME=debian:bookworm-slim

# The same words as in coordinator.Dockerfile, so that this stage is built once for both.
FROM ${BUILDER} AS tools
RUN apt-get update \
    && apt-get install --yes --no-install-recommends patchelf python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY deploy/docker/sbom.txt /opt/
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=cargo,target=/usr/local/cargo/config.toml \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=cache,id=counterfactory-crates,target=/usr/local/cargo/registry,sharing=locked \
    cargo install --locked --root /usr/local cargo-auditable@0.7.7 \
    && python3 -m venv /opt/sbom \
    && /opt/sbom/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: --requirement /opt/sbom.txt

# Before the sources, so that a change of code does not fetch it again.
FROM tools AS libtorch
WORKDIR /src
COPY deploy/local/libtorch.sh deploy/local/stack.sh deploy/local/tools.sh deploy/local/
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    deploy/local/libtorch.sh
COPY deploy/docker/libraries.sh deploy/docker/
# libtorch's CPU half, and what it links, whether there is a GPU or not: NVIDIA's runtime and profiling libraries, 5 MB, are among it.
RUN deploy/docker/libraries.sh .local/libtorch /cpu torch/lib/libtorch_cpu.so

FROM libtorch AS build
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY deploy/demo/report deploy/demo/report
COPY tests tests
COPY migrations migrations
COPY shared shared
COPY services services
COPY deploy/docker/build.sh deploy/docker/
ARG PROFILE=release
ARG COMMIT=unknown
# What is compiled stays in a cache that both Dockerfiles share: a change of code compiles our own crates again and no others.
# The program finds libtorch beside itself and not by the environment. It is its RPATH and not a RUNPATH because that one holds for
# libraries too which open others and have no path of their own, as NVRTC does.
# hadolint ignore=SC2016
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=cargo,target=/usr/local/cargo/config.toml \
    --mount=type=cache,id=counterfactory-crates,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=counterfactory-target,target=/src/target,sharing=locked \
    CFX_COMMIT="$COMMIT" PROFILE="$PROFILE" deploy/docker/build.sh worker \
    && patchelf --force-rpath --set-rpath '$ORIGIN/../lib/counterfactory/torch/lib:$ORIGIN/../lib/counterfactory/nvidia/cu13/lib' /out/bin/worker

FROM ${RUNTIME} AS root
# The number is in USER too: Kubernetes cannot tell of a name whether it is root. No program is left with which one becomes somebody else.
# zlib is cuDNN's.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libstdc++6 zlib1g \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
    && groupadd --gid 10001 counterfactory \
    && useradd --uid 10001 --gid 10001 --home-dir /var/cache/counterfactory --no-create-home --shell /usr/sbin/nologin counterfactory \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/cache/counterfactory \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +

FROM root AS cpu-root
COPY --from=libtorch /cpu/ /usr/local/lib/counterfactory/
COPY --from=build /out/bin/ /usr/local/bin/

FROM tools AS cpu-sbom
# Some engines do not look into what is mounted when they ask whether a step was done before: this is what the list depends on.
COPY deploy/local/libtorch.sh /key/
COPY --from=cpu-root /usr/local/bin/ /var/lib/dpkg/status /key/
RUN --mount=type=bind,from=cpu-root,target=/image \
    SYFT_CHECK_FOR_APP_UPDATE=false /opt/sbom/bin/syft scan dir:/image --override-default-catalogers image \
    --source-name counterfactory/worker-cpu --output cyclonedx-json=/sbom.json

FROM cpu-root AS cpu
COPY --from=cpu-sbom /sbom.json /usr/share/counterfactory/sbom.json
USER 10001:10001
# Health is asked by HTTP, so the worker listens.
ENV CFX_CACHE_DIR=/var/cache/counterfactory CFX_LOG_FORMAT=json CFX_METRICS_LISTEN=0.0.0.0:9464 CFX_DEVICE=cpu
# The root may be read-only: nothing else is written.
VOLUME ["/var/cache/counterfactory", "/tmp"]
EXPOSE 9464
# It finishes its batch, 60 seconds at most, or hands it back: give it 90.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["worker", "health"]
ENTRYPOINT ["worker"]
CMD ["run"]
ARG VERSION=0.1.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="counterfactory/worker-cpu" \
      org.opencontainers.image.description="Counterfactory's worker with libtorch 2.11.0, on the CPU" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause AND LicenseRef-NVIDIA"

FROM libtorch AS cuda-libraries
COPY deploy/docker/cuda.txt deploy/docker/
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    .local/tools/bin/pip install --no-cache-dir --no-compile --no-deps --require-hashes --only-binary=:all: \
        --target /wheels --requirement deploy/docker/cuda.txt \
    && cp --recursive --link --no-clobber /wheels/. .local/libtorch/ \
    && rm -rf /wheels
# Opened by name at run time, so no other library tells of them: libtorch's CUDA half by the worker, its linear algebra and what leads
# to NVRTC by that half, NVRTC's built-ins by NVRTC, and all parts of cuDNN by its first.
RUN deploy/docker/libraries.sh .local/libtorch /cuda torch/lib/libtorch_cuda.so torch/lib/libtorch_cuda_linalg.so \
        torch/lib/libcaffe2_nvrtc.so nvidia/cu13/lib/libnvrtc-builtins.so.13.0 \
        'nvidia/cudnn/lib/libcudnn*.so.9'

FROM root AS cuda-root
COPY --from=cuda-libraries /cuda/ /usr/local/lib/counterfactory/
COPY --from=build /out/bin/ /usr/local/bin/

FROM tools AS cuda-sbom
COPY deploy/docker/cuda.txt deploy/local/libtorch.sh /key/
COPY --from=cuda-root /usr/local/bin/ /var/lib/dpkg/status /key/
RUN --mount=type=bind,from=cuda-root,target=/image \
    SYFT_CHECK_FOR_APP_UPDATE=false /opt/sbom/bin/syft scan dir:/image --override-default-catalogers image \
    --source-name counterfactory/worker-cuda --output cyclonedx-json=/sbom.json

FROM cuda-root AS cuda
COPY --from=cuda-sbom /sbom.json /usr/share/counterfactory/sbom.json
USER 10001:10001
# Which GPUs, and which of the driver's libraries, NVIDIA's container runtime brings from the host: libcuda and libnvidia-ml.
# A class of its own, since workers of one class stand in for each other.
ENV CFX_CACHE_DIR=/var/cache/counterfactory CFX_LOG_FORMAT=json CFX_METRICS_LISTEN=0.0.0.0:9464 CFX_DEVICE=cuda CFX_CLASS=cuda \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# The root may be read-only: nothing else is written.
VOLUME ["/var/cache/counterfactory", "/tmp"]
EXPOSE 9464
# It finishes its batch, 60 seconds at most, or hands it back: give it 90.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 CMD ["worker", "health"]
ENTRYPOINT ["worker"]
CMD ["run"]
ARG VERSION=0.1.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="counterfactory/worker-cuda" \
      org.opencontainers.image.description="Counterfactory's worker with libtorch 2.11.0, on NVIDIA's GPUs (a driver for CUDA 13)" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause AND LicenseRef-NVIDIA"

# Without --target: the one that runs everywhere.
FROM cpu
