// Package openapi holds the documents that describe the API to people and to generators of clients.
// They are generated from the code of package api; a test keeps them in step.
package openapi

import _ "embed"

//go:generate go test -run TestTheDocumentsAreCurrent -update

// The document in OpenAPI 3.1, which is the canonical form.
var (
	//go:embed openapi.yaml
	YAML []byte
	//go:embed openapi.json
	JSON []byte
)

// The same in OpenAPI 3.0, for tools that do not know 3.1 yet.
var (
	//go:embed openapi-3.0.yaml
	YAML30 []byte
	//go:embed openapi-3.0.json
	JSON30 []byte
)
