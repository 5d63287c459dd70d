//go:build monitoring

package e2e

import (
	"context"
	"net"
	"path"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// proxyTemporal starts a proxy before a Temporal server, and returns its address. The proxy hands calls through
// unless refuse returns an error for the name of the method and the size of the request in bytes.
func proxyTemporal(t *testing.T, server string, refuse func(method string, size int) error) (address string) {
	t.Helper()
	upstream, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { upstream.Close() })
	forward := func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		var request, reply []byte
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		if err := refuse(path.Base(method), len(request)); err != nil {
			return err
		}
		headers, _ := metadata.FromIncomingContext(stream.Context())
		if err := upstream.Invoke(metadata.NewOutgoingContext(stream.Context(), headers), method, &request, &reply); err != nil {
			return err
		}
		return stream.SendMsg(&reply)
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(forward))
	go func() { _ = proxy.Serve(listener) }() // Stop ends it
	t.Cleanup(proxy.Stop)
	return listener.Addr().String()
}

// rawCodec leaves messages as they are. All calls of Temporal have one request and one reply.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (rawCodec) Name() string { return "proto" }
