package api

import (
	"net/http"
	"strconv"
	"strings"
)

// acceptsGzip reports whether the client accepts gzip and does not prefer the plain content (RFC 9110,
// section 12.5.3). It returns false if there is no Accept-Encoding header.
func acceptsGzip(h http.Header) bool {
	weights := map[string]float64{}
	for item := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
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
	for _, name := range []string{"gzip", "x-gzip", "*"} { // the most specific name in the header decides
		if weight, ok := weights[name]; ok {
			return weight > 0 && weight >= weights["identity"]
		}
	}
	return false
}
