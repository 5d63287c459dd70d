// Package openapi embeds the OpenAPI documents of the API and the page that shows them. The documents
// are generated from the code of package api, and a test fails if they differ from it.
package openapi

import _ "embed"

//go:generate go test -run TestTheDocumentsAreCurrent -update

// These are the OpenAPI 3.1 document in both notations. The OpenAPI 3.0 document is derived from it.
var (
	//go:embed openapi.yaml
	YAML []byte
	//go:embed openapi.json
	JSON []byte
)

// These are the same document in OpenAPI 3.0, for tools that do not support 3.1 yet.
var (
	//go:embed openapi-3.0.yaml
	YAML30 []byte
	//go:embed openapi-3.0.json
	JSON30 []byte
)
