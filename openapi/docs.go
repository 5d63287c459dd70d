package openapi

import _ "embed"

// The page that shows the document and lets people send requests.
var (
	//go:embed docs/index.html
	DocsPage []byte
	//go:embed docs/init.js
	DocsInit []byte
	//go:embed docs/favicon.svg
	DocsIcon []byte
	// DocsLicenses are the licenses of the component and of everything bundled in it.
	//go:embed docs/licenses.txt
	DocsLicenses []byte
)

// DocsComponent is the JavaScript that draws the page, gzipped. `make docs-component` fetches it.
//
//go:embed docs/scalar-1.72.1.js.gz
var DocsComponent []byte

// DocsComponentName is the file name under which the page loads the component. It has the version, so
// that browsers may keep the file.
const DocsComponentName = "scalar-1.72.1.js"
