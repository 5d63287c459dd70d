# The Go toolchain runs on the builder's own platform and compiles for the image's platform, so that
# `docker buildx build --platform linux/amd64,linux/arm64 .` needs no emulation. The image has the static
# program, root certificates and a user other than root: no shell and no package manager.
# It needs BuildKit, which Docker has used since version 23. docs/security.md says how to pin the base images.
FROM --platform=$BUILDPLATFORM golang:1.26.8-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH
ARG VERSION=dev
# The commit that --version shows: --build-arg COMMIT=$(git rev-parse HEAD).
ARG COMMIT=
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -tags disable_grpc_modules -trimpath -buildvcs=false \
    -ldflags="-s -w -X main.version=${VERSION} -X main.commit=${COMMIT}" -o /memexport ./cmd/memexport

FROM gcr.io/distroless/static-debian13:nonroot
COPY --from=build /memexport /memexport
# 8080 is the API. 9090 has health and metrics (ADMIN_ADDR).
EXPOSE 8080 9090
ENTRYPOINT ["/memexport"]
CMD ["api"]
