package archive_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"memexport/internal/service/archive"
	"memexport/internal/service/format"
)

const exampleExport = "7f3b6c1e-9f0a-4c5e-8d57-0d9f6f7a1b22"

// openExample opens an archive in a new directory. cleanup closes the archive and deletes the
// directory.
func openExample(options archive.Options) (a *archive.Archive, cleanup func()) {
	dir, err := os.MkdirTemp("", "memexport-example-")
	if err != nil {
		log.Fatal(err)
	}
	a, err = archive.Open(context.Background(), "file://"+filepath.ToSlash(dir), options)
	if err != nil {
		log.Fatal(err)
	}
	return a, func() {
		a.Close()
		os.RemoveAll(dir)
	}
}

// putExample stores encoded memories as the parts of an export. The JSON format puts each memory on a
// new line.
func putExample(a *archive.Archive, contents ...string) []archive.Part {
	var parts []archive.Part
	for i, content := range contents {
		part, err := a.Put(context.Background(), exampleExport, 0, i, []byte(content))
		if err != nil {
			log.Fatal(err)
		}
		parts = append(parts, part)
	}
	return parts
}

// Parts are separate objects in the bucket. File reads them as one file in a given format.
func ExampleArchive_File() {
	a, cleanup := openExample(archive.Options{})
	defer cleanup()
	parts := putExample(a, "\n{\"memory\":\"likes tea\"}", "\n{\"memory\":\"works at night\"}")

	file := a.File(context.Background(), format.JSON, parts)
	defer file.Close()
	content, err := io.ReadAll(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d bytes\n%s", file.Size(), content)
	// Output:
	// 56 bytes
	// [
	// {"memory":"likes tea"},
	// {"memory":"works at night"}
	// ]
}

// A File is an io.ReadSeeker, so http.ServeContent answers range requests for it. Only the parts in
// the range are read.
func ExampleFile_ranges() {
	a, cleanup := openExample(archive.Options{})
	defer cleanup()
	parts := putExample(a, "\n{\"memory\":\"likes tea\"}", "\n{\"memory\":\"works at night\"}")

	file := a.File(context.Background(), format.JSON, parts)
	defer file.Close()
	request := httptest.NewRequest(http.MethodGet, "/download", nil)
	request.Header.Set("Range", "bytes=-19") // the last 19 bytes
	response := httptest.NewRecorder()
	http.ServeContent(response, request, "memories.json", time.Time{}, file)

	fmt.Println(response.Code, response.Header().Get("Content-Range"))
	fmt.Print(response.Body)
	// Output:
	// 206 bytes 37-55/56
	// works at night"}
	// ]
}

// Before an export becomes READY, its parts are read back and hashed. Extend can continue where an
// earlier call stopped, because a Digest can be stored as JSON.
func ExampleArchive_Extend() {
	ctx := context.Background()
	a, cleanup := openExample(archive.Options{Compress: true})
	defer cleanup()
	parts := putExample(a, "\n{\"memory\":\"likes tea\"}", "\n{\"memory\":\"works at night\"}")

	var digest archive.Digest
	for _, part := range parts {
		var err error
		if digest, err = a.Extend(ctx, format.JSON, digest, []archive.Part{part}); err != nil {
			log.Fatal(err)
		}
	}
	sha256, size, err := digest.Finish(format.JSON)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%x of %d bytes\n", sha256, size)
	// Output:
	// 3a4e09014d3ac0d9c6211f438b5944bf9b0bdd78a7ce61eab5ae239fe5678466 of 56 bytes
}
