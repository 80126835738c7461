# The image: one static binary, a sample catalog, and what a shell needs.
#
#   docker build -t stopover .                     (podman and buildah alike; scripts/image also stamps version and revision)
#
# The arguments that name images are there so that they can be mirrored.
ARG RUST_IMAGE=docker.io/library/rust:1-bookworm
ARG RUNTIME_IMAGE=docker.io/library/busybox:stable

# Every dependency, in a layer of its own that a change of the sources leaves alone. Benches are left out: they are not in this context.
FROM ${RUST_IMAGE} AS dependencies
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
RUN sed -i '/^\[\[bench\]\]/,/^$/d' Cargo.toml \
    && mkdir src && touch src/lib.rs && echo 'fn main() {}' >src/main.rs \
    && cargo build --release --locked --bin stopover \
    && rm -r src

FROM dependencies AS build
COPY build.rs ./
COPY src src
# Which commit this is, for `stopover --version` and the record of every run: the sources here have no history.
ARG STOPOVER_REVISION=
# The stand-in above was built a moment ago: nothing here may look older.
RUN find src build.rs -exec touch {} + \
    && cargo rustc --release --locked --bin stopover -- -C target-feature=+crt-static \
    && install -D -m 0755 target/release/stopover /image/usr/local/bin/stopover \
    && /image/usr/local/bin/stopover --version
# The catalog is to be read, not changed, by whoever runs it. The state is for any user, as that of a pod with a uid of its own: what it holds, Stopover
# keeps to itself.
COPY k8s/sample /image/sample
COPY migrations/*.sh /image/sample/migrations/
RUN chmod -R a+rX,go-w /image && install -d -m 0755 /image/var/lib && install -d -m 1777 /state/stopover

FROM ${RUNTIME_IMAGE}
ARG STOPOVER_VERSION=
ARG STOPOVER_REVISION=
LABEL org.opencontainers.image.title="Stopover" \
      org.opencontainers.image.description="A terminal console for data migrations that lives inside the pod" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${STOPOVER_VERSION}" \
      org.opencontainers.image.revision="${STOPOVER_REVISION}"
COPY --from=build /image/usr /usr
COPY --from=build /image/sample /sample
# The parents first: `--chown` gives the user what is not there yet, and that shall be the state alone.
COPY --from=build /image/var /var
COPY --from=build --chown=65532:65532 /state /var/lib
ENV STOPOVER_STATE_DIR=/var/lib/stopover STOPOVER_SAMPLE_DIR=/var/lib/stopover/sample
WORKDIR /sample
# Numeric: Kubernetes refuses `runAsNonRoot` with a name.
USER 65532:65532
ENTRYPOINT ["stopover"]
CMD ["keep"]
