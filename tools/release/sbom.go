package main

import (
	"io"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/generate/bin"
	"github.com/rs/zerolog"
)

// writeSBOM writes the software bill of materials of a program in CycloneDX. It lists the modules that
// are linked into this program. The modules differ a little between platforms.
func (r *release) writeSBOM(p platform, program string) (string, error) {
	generator, err := bin.NewGenerator(program, bin.WithIncludeStdlib(true), bin.WithVersionOverride("v"+r.version), bin.WithLogger(zerolog.Nop()))
	if err != nil {
		return "", err
	}
	bom, err := generator.Generate()
	if err != nil {
		return "", err
	}
	// A random serial number, or the time of the build, would make every build different.
	bom.Metadata.Timestamp = r.time.Format(time.RFC3339)
	path := r.fileName(p, ".cdx.json")
	return path, writeFile(path, func(w io.Writer) error {
		return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	})
}
