package openapi

import _ "embed"

// These are the files of the page that shows the document and lets people send requests.
var (
	//go:embed docs/index.html
	DocsPage []byte
	//go:embed docs/init.js
	DocsInit []byte
	//go:embed docs/favicon.svg
	DocsIcon []byte
	// DocsLicenses are the licenses of DocsComponent and of the libraries bundled in it.
	//go:embed docs/licenses.txt
	DocsLicenses []byte
)

// DocsComponent is the gzipped JavaScript that draws the page. `make docs-component` downloads it.
//
//go:embed docs/scalar-1.72.1.js.gz
var DocsComponent []byte

// DocsComponentName is the file name under which the page loads DocsComponent. The name contains the
// version, so that browsers may cache the file for good.
const DocsComponentName = "scalar-1.72.1.js"
