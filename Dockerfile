# syntax=docker/dockerfile:1

# Build:
#   docker build -t metagate .
# With provenance labels:
#   docker build -t metagate \
#     --build-arg VERSION=0.2.0 --build-arg REVISION="$(git rev-parse HEAD)" \
#     --label org.opencontainers.image.created="$(date -u +%FT%TZ)" .

# glibc rather than musl: the proxy allocates on several threads at once, which is where musl's
# allocator is slow. Builder and runtime are both Debian 12, so the glibc is the same.
FROM rust:1.95-bookworm AS builder

WORKDIR /src

# AWS-LC from the sources that Cargo.lock names, never a library that happens to be installed.
# Its build needs only the C compiler that this image has.
ENV AWS_LC_SYS_USE_SYSTEM=0 \
    CARGO_TERM_COLOR=never

# .dockerignore lets through what the build needs and nothing else. rust-toolchain.toml stays out:
# the image tag above is the toolchain, and rustup would download a second copy of it.
COPY . .

# One target cache per platform: a build for another architecture must not reuse these objects.
# The binary is copied out of the cache mount, which is not part of the image.
ARG TARGETPLATFORM
RUN --mount=type=cache,id=metagate-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=metagate-target-${TARGETPLATFORM},target=/src/target,sharing=locked \
    cargo build --locked --release --bin metagate \
    && install -m 0755 target/release/metagate /metagate


# cc: glibc and libgcc (for unwinding), CA certificates, no shell and no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot

ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="metagate" \
      org.opencontainers.image.description="JWT auth sidecar and reverse proxy for OpenMetadata and DataHub" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="The metagate authors" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"

# Owned by root, so that the process cannot replace its own binary.
COPY --from=builder /metagate /metagate

# A number and not a name: Kubernetes can verify runAsNonRoot only for a numeric user.
USER 65532:65532

# 8685: the proxy. 8686: /livez, /readyz, /metrics. The status page (8687) is on the container's own
# loopback and is not published.
EXPOSE 8685 8686

# The signal that starts a drain.
STOPSIGNAL SIGTERM

# Exec form: there is no shell in this image. Kubernetes ignores it and uses its own probes. It
# asks the health listener that METAGATE_HEALTH__LISTEN names (default port 8686); where a
# configuration file moves that listener, override the check with `metagate health --url`.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/metagate", "health"]

# Works as PID 1: it starts no other process and handles its signals itself.
ENTRYPOINT ["/metagate"]
CMD ["run"]
