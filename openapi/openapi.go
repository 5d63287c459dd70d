// Package openapi embeds the OpenAPI documents of the API and the page that shows them. The documents
// are generated from the code of package api, and a test fails if they differ from it.
package openapi

import _ "embed"

//go:generate go test -run TestTheDocumentsAreCurrent -update

// YAML and JSON contain the document in OpenAPI 3.1.
var (
	//go:embed openapi.yaml
	YAML []byte
	//go:embed openapi.json
	JSON []byte
)

// YAML30 and JSON30 contain the same document in OpenAPI 3.0, for tools that do not support 3.1 yet. They
// are generated from the 3.1 document.
var (
	//go:embed openapi-3.0.yaml
	YAML30 []byte
	//go:embed openapi-3.0.json
	JSON30 []byte
)
