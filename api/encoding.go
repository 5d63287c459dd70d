package api

import (
	"net/http"
	"strconv"
	"strings"
)

// prefersGzip reports whether a file that is stored compressed is to be sent so: to who accepts gzip
// at least as much as the plain file (RFC 9110, section 12.5.3). A Range counts the plain file's
// bytes, unless If-Range says that the client has the beginning of the compressed one, since
// browsers and download managers resume by the length of what they have unpacked.
func prefersGzip(h http.Header, gzipTag string) bool {
	if h.Get("Range") != "" && h.Get("If-Range") != gzipTag {
		return false
	}
	weights := map[string]float64{}
	for _, item := range strings.Split(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		coding, parameters, _ := strings.Cut(item, ";")
		weight := 1.0
		name, value, _ := strings.Cut(parameters, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			var err error
			if weight, err = strconv.ParseFloat(strings.TrimSpace(value), 64); err != nil {
				weight = 0
			}
		}
		weights[strings.ToLower(strings.TrimSpace(coding))] = weight
	}
	gzip, named := weights["gzip"]
	if !named {
		gzip, named = weights["x-gzip"]
	}
	if !named {
		gzip = weights["*"]
	}
	return gzip > 0 && gzip >= weights["identity"]
}
