package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// later starts proxies that imitate a later release of the service. They add a field to every JSON
// object in a response, except in files. Today's clients must ignore that field. later returns the
// environment for a client. The proxies run until ctx ends.
func (s *service) later(ctx context.Context) ([]string, error) {
	urls := []string{s.url, s.idle, s.brief}
	for i := range urls {
		to, err := url.Parse(urls[i])
		if err != nil {
			return nil, err
		}
		proxy := httputil.NewSingleHostReverseProxy(to)
		proxy.ModifyResponse = addFields
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		server := &http.Server{Handler: proxy}
		context.AfterFunc(ctx, func() { _ = server.Close() })
		go server.Serve(listener) //nolint:errcheck // it ends with the program
		urls[i] = "http://" + listener.Addr().String()
	}
	return s.environmentAt(urls[0], urls[1], urls[2]), nil
}

// addFields adds a field to every object in a JSON response.
func addFields(r *http.Response) error {
	mediaType := r.Header.Get("Content-Type")
	if r.Header.Get("Content-Disposition") != "" || !slices.Contains([]string{"application/json", "application/problem+json"}, mediaType) {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // a float64 cannot represent every number exactly
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	addField(value)
	if body, err = json.Marshal(value); err != nil {
		return err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	r.Header.Set("X-Added-Later", strings.TrimPrefix(mediaType, "application/"))
	return nil
}

func addField(value any) {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			addField(item)
		}
	case map[string]any:
		for _, item := range value {
			addField(item)
		}
		value["added_later"] = map[string]any{"unknown": []string{"to", "clients"}}
	}
}
