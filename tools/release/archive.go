package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// documents are the files that every archive contains beside the program.
var documents = []string{"README.md", "CHANGELOG.md", "docs/cli.md"}

// entry is a file in an archive, or a directory if its name ends in a slash.
type entry struct {
	name    string
	mode    fs.FileMode
	content []byte
}

// readDocuments reads the documents from the repository.
func readDocuments(root string) (entries []entry, err error) {
	for _, name := range documents {
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: name, mode: 0o644, content: content})
	}
	return entries, nil
}

// writeArchive writes the archive for a platform and returns its path. It is a zip file for Windows
// and a tar.gz file otherwise. All files in it are in one directory.
func (r *release) writeArchive(p platform, program string) (string, error) {
	dir := fmt.Sprintf("memexport_%s_%s_%s", r.version, p.os, p.arch)
	content, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	entries := []entry{{name: path.Join(dir, p.programName()), mode: 0o755, content: content}}
	for _, document := range r.documents {
		document.name = path.Join(dir, document.name)
		entries = append(entries, document)
	}
	extension, write := ".tar.gz", writeTarGzip
	if p.os == "windows" {
		extension, write = ".zip", writeZip
	}
	archive := r.fileName(p, extension)
	return archive, writeFile(archive, func(w io.Writer) error { return write(w, entries, r.time) })
}

// writeFile creates a file and calls write to write its content.
func writeFile(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

func writeTarGzip(w io.Writer, entries []entry, modified time.Time) error {
	compressed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	return errors.Join(writeTar(compressed, entries, modified), compressed.Close())
}

// writeTar writes a tar archive in which all entries belong to root and have the same time.
func writeTar(w io.Writer, entries []entry, modified time.Time) error {
	archive := tar.NewWriter(w)
	for _, e := range entries {
		kind := byte(tar.TypeReg)
		if strings.HasSuffix(e.name, "/") {
			kind = tar.TypeDir
		}
		if err := archive.WriteHeader(&tar.Header{Typeflag: kind, Name: e.name, Mode: int64(e.mode), Size: int64(len(e.content)), ModTime: modified}); err != nil {
			return err
		}
		if _, err := archive.Write(e.content); err != nil {
			return err
		}
	}
	return archive.Close()
}

func writeZip(w io.Writer, entries []entry, modified time.Time) error {
	archive := zip.NewWriter(w)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: modified}
		header.SetMode(e.mode)
		file, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := file.Write(e.content); err != nil {
			return err
		}
	}
	return archive.Close()
}

// writeChecksums writes SHA256SUMS in the format of `sha256sum --check`.
func (r *release) writeChecksums(files []string) (string, error) {
	var lines strings.Builder
	for _, file := range files {
		sum, err := digest(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&lines, "%s  %s\n", sum, filepath.Base(file))
	}
	sums := filepath.Join(r.out, "SHA256SUMS")
	return sums, os.WriteFile(sums, []byte(lines.String()), 0o644)
}

func digest(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
