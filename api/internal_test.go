package api

import "net/http"

// Handler returns the handler behind the server, for tests that need no connection.
func (s *Server) Handler() http.Handler { return s.http.Handler }
