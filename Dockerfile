# Two stages: the Go toolchain builds a static program, which then stands alone in an image without
# shell or package manager, as a user that is not root.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=0.1.0
RUN CGO_ENABLED=0 go build -tags disable_grpc_modules -trimpath -ldflags="-s -w -X main.version=${VERSION}" -o /memexport ./cmd/memexport

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /memexport /memexport
EXPOSE 8080
ENTRYPOINT ["/memexport"]
CMD ["api"]
