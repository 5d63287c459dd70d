// Package format encodes memories as the files that users download. To add a format, write a file like
// csv.go and add a line to All. The conformance suite then fails until the format also has a parser
// that reads its files back.
package format

// Format is one file format. It holds everything that differs between formats. A file consists of the
// Prefix, the memories with the Separator between them, and the Suffix. A format with a Footer has the
// footer instead of the Suffix. The same memories in the same parts always give the same bytes.
type Format struct {
	Name        string // the value of the API's parameter "format"
	ContentType string
	Extension   string // extension of the file's name, without the dot

	Prefix    string
	Separator string
	Suffix    string

	// Compressed says that the files are compressed already, so that compressing them again saves
	// nothing.
	Compressed bool

	// NewEncoder returns an encoder for the parts of a file.
	NewEncoder func() Encoder

	// NewFooter returns an encoder for the end of a file. It is nil if the end of a file does not depend on the
	// parts.
	NewFooter func(Info) Footer
}

// Footer encodes the end of a file, which describes the parts before it. It does not hold what it has appended.
type Footer interface {
	// Append appends what the footer says about the next part.
	Append(dst []byte, p FooterPart) ([]byte, error)
	// Finish appends the rest of the footer. It returns an error if the parts differ from what Info says.
	Finish(dst []byte) ([]byte, error)
}

// Info is what the end of a file says about the export.
type Info struct {
	ExportID string
	Filters  []string // the names of the filters that were set
	Memories int64
	Entries  int // the number of parts that have an entry
}

// FooterPart is what a Footer needs to know about a part.
type FooterPart struct {
	Size      int64  // bytes of the part in the file
	Continues bool   // the part starts in the middle of a memory
	Entry     []byte // what Encoder.Finish returned
}

// All lists the formats that an export can have, the default first.
var All = []*Format{JSON, CSV, Markdown, NDJSON, Parquet}

// Lookup returns the format with the given name.
func Lookup(name string) (*Format, bool) {
	for _, f := range All {
		if f.Name == name {
			return f, true
		}
	}
	return nil, false
}

// Names returns the names of all formats, the default first.
func Names() []string {
	names := make([]string, len(All))
	for i, f := range All {
		names[i] = f.Name
	}
	return names
}
