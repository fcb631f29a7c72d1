# The coordinator and `cfx`. No libtorch: it builds in minutes and is small.
#   docker build -f deploy/docker/coordinator.Dockerfile -t counterfactory/coordinator .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# "stable" in rust-toolchain.toml would fetch another toolchain than the image's own.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked -p coordinator -p cli \
    && install -D -t /out target/release/coordinator target/release/cfx

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin counterfactory \
    && install --directory --owner counterfactory --mode 0700 /var/lib/counterfactory
COPY --from=build /out/ /usr/local/bin/
USER counterfactory
# The administrator's first key is written there, unless one is mounted.
ENV CFX_LISTEN=0.0.0.0:8080 CFX_LOG_FORMAT=json CFX_ADMIN_KEY_FILE=/var/lib/counterfactory/admin.key
VOLUME /var/lib/counterfactory
EXPOSE 8080
ENTRYPOINT ["coordinator"]
CMD ["serve"]
