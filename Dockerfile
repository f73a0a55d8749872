# Tollgate's image: the program, the libraries that it is linked to, what resolves names, and the
# authorities that TLS is trusted by. No shell, nobody's package manager, and nothing runs as root.
#
#   docker build --tag tollgate .
#
# A registry and a tag of one's own are given by `--tag`, and an own builder by `--build-arg RUST=...`:
# it has to be a Debian with cargo, Python 3 and `ca-certificates`.
ARG RUST=rust:1.95-bookworm
FROM ${RUST} AS build
WORKDIR /src
COPY . .
# The same sources make the same image, wherever and whenever: no path and no time of this build.
ARG SOURCE_DATE_EPOCH=0
ENV CARGO_INCREMENTAL=0
ENV RUSTFLAGS="--remap-path-prefix=/src=/tollgate --remap-path-prefix=/usr/local/cargo=/cargo"
RUN cargo build --locked --release --bin tollgate
RUN .ci/image-root target/release/tollgate /image

FROM scratch
COPY --from=build /image /
COPY --from=build --chown=65532:65532 /image/var/lib/tollgate /var/lib/tollgate
ENV PATH=/usr/local/bin
# Gateways and whoever watches reach it from outside, and operators do not unless it is told otherwise.
ENV TOLLGATE_CHECK_LISTEN=0.0.0.0:7600
ENV TOLLGATE_ADMIN_LISTEN=0.0.0.0:7602
ENV TOLLGATE_OPERATOR_LISTEN=off
ENV TOLLGATE_DATA_DIR=/var/lib/tollgate
ENV TOLLGATE_LOG_FORMAT=json
VOLUME /var/lib/tollgate
EXPOSE 7600 7602
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["tollgate", "ready"]
ENTRYPOINT ["tollgate"]
CMD ["serve"]
