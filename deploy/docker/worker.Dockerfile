# The worker with libtorch 2.11.0. It runs on the CPU: libtorch's CUDA half is inside, but the libraries it opens beside the two
# fetched here (cuBLAS, cuDNN, NCCL and others, some gigabytes) are not.
#   docker build -f deploy/docker/worker.Dockerfile -t counterfactory/worker .
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# Before the sources, so that a change of code does not fetch it again.
COPY deploy/local deploy/local
RUN deploy/local/libtorch.sh
COPY . .
ENV RUSTUP_TOOLCHAIN=1.95.0
ARG COMMIT=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    CFX_COMMIT="$COMMIT" cargo build --release --locked -p worker \
    && install -D -t /out target/release/worker

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin counterfactory \
    && install -d -o counterfactory /var/cache/counterfactory
# The two folders keep their places to each other: libtorch finds its companions by ../../nvidia.
COPY --from=build /src/.local/libtorch/torch/lib /usr/local/lib/libtorch/torch/lib
COPY --from=build /src/.local/libtorch/nvidia /usr/local/lib/libtorch/nvidia
COPY --from=build /out/ /usr/local/bin/
USER counterfactory
ENV LD_LIBRARY_PATH=/usr/local/lib/libtorch/torch/lib CFX_CACHE_DIR=/var/cache/counterfactory CFX_LOG_FORMAT=json
VOLUME /var/cache/counterfactory
ENTRYPOINT ["worker"]
CMD ["run"]
