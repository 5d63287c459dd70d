package openapi

import _ "embed"

// The page that shows the document to people, and lets them try it.
var (
	//go:embed docs/index.html
	DocsPage []byte
	//go:embed docs/init.js
	DocsInit []byte
	//go:embed docs/favicon.svg
	DocsIcon []byte
	// DocsLicenses are those of the component and of all that is bundled in it.
	//go:embed docs/licenses.txt
	DocsLicenses []byte
)

// DocsComponent draws the page: JavaScript, gzipped. `make docs-component` fetches it anew.
//
//go:embed docs/scalar-1.72.1.js.gz
var DocsComponent []byte

// DocsComponentName is the file that the page asks for; what has this name never changes.
const DocsComponentName = "scalar-1.72.1.js"
