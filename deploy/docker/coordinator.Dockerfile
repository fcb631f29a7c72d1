# The coordinator and `cfx`. No libtorch: it builds in minutes and is small.
#   docker build -f deploy/docker/coordinator.Dockerfile --build-arg COMMIT="$(git rev-parse HEAD)" -t counterfactory/coordinator .
# Where registries are reached by settings of their own, or by a certificate of one's own, the settings are given as secrets, which no
# layer keeps: --secret id=ca,src=BUNDLE.pem --secret id=cargo,src=config.toml --secret id=pip,src=pip.conf
# For a release the two bases are named by digest: --build-arg BUILDER=rust@sha256:... --build-arg RUNTIME=debian@sha256:...
ARG BUILDER=rust:1.95-bookworm
ARG RUNTIME=debian:bookworm-slim

# The same words as in worker.Dockerfile, so that this stage is built once for both.
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

FROM tools AS build
WORKDIR /src
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
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=cargo,target=/usr/local/cargo/config.toml \
    --mount=type=cache,id=counterfactory-crates,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=counterfactory-target,target=/src/target,sharing=locked \
    CFX_COMMIT="$COMMIT" PROFILE="$PROFILE" deploy/docker/build.sh coordinator cli

FROM ${RUNTIME} AS root
# The number is in USER too: Kubernetes cannot tell of a name whether it is root. No program is left with which one becomes somebody else.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
    && groupadd --gid 10001 counterfactory \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/counterfactory --no-create-home --shell /usr/sbin/nologin counterfactory \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/counterfactory \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=build /out/bin/ /usr/local/bin/

FROM tools AS sbom
# Some engines do not look into what is mounted when they ask whether a step was done before: this is what the list depends on.
COPY --from=root /usr/local/bin/ /var/lib/dpkg/status /key/
RUN --mount=type=bind,from=root,target=/image \
    SYFT_CHECK_FOR_APP_UPDATE=false /opt/sbom/bin/syft scan dir:/image --override-default-catalogers image \
    --source-name counterfactory/coordinator --output cyclonedx-json=/sbom.json

FROM root
COPY --from=sbom /sbom.json /usr/share/counterfactory/sbom.json
USER 10001:10001
# The administrator's first key is written there, unless one is mounted.
ENV CFX_LISTEN=0.0.0.0:8080 CFX_LOG_FORMAT=json CFX_ADMIN_KEY_FILE=/var/lib/counterfactory/admin.key
# The root may be read-only: nothing else is written. A seal of a large job is made in /tmp before it goes to the bucket.
VOLUME ["/var/lib/counterfactory", "/tmp"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 CMD ["cfx", "health"]
ENTRYPOINT ["coordinator"]
CMD ["serve"]
ARG VERSION=0.1.0
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="counterfactory/coordinator" \
      org.opencontainers.image.description="Counterfactory's coordinator, which owns jobs and speaks HTTP, and its command line cfx" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.licenses="Apache-2.0"
