package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nonroot is the user of the image. The distroless images that the Dockerfile uses have the same
// user.
const nonroot = "65532"

// writeImage writes an OCI archive with an image for each Linux platform and an index of them.
// Tools such as skopeo, crane and podman can read it, and Docker can since version 25.
func (r *release) writeImage(work string, programs map[platform]string) (string, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range r.platforms {
		if p.os != "linux" {
			continue
		}
		image, err := r.image(p, programs[p])
		if err != nil {
			return "", err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.os, Architecture: p.arch}},
		})
	}
	dir := filepath.Join(work, "image")
	oci, err := layout.Write(dir, empty.Index)
	if err != nil {
		return "", err
	}
	names := map[string]string{
		"org.opencontainers.image.ref.name": r.version,
		"io.containerd.image.name":          "docker.io/library/memexport:" + r.version, // the name that docker load gives to the image
	}
	if err := oci.AppendIndex(index, layout.WithAnnotations(names)); err != nil {
		return "", err
	}
	entries, err := readDir(dir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(r.out, fmt.Sprintf("memexport_%s_image.oci.tar", r.version))
	return path, writeFile(path, func(w io.Writer) error { return writeTar(w, entries, r.time) })
}

// image returns the image for a platform. It contains the program, its user, and a directory for
// temporary files. It needs no root certificates, because the program contains them.
func (r *release) image(p platform, program string) (v1.Image, error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	if err := writeTar(&layer, []entry{
		{name: "etc/", mode: 0o755},
		{name: "etc/group", mode: 0o644, content: []byte("root:x:0:\nnonroot:x:" + nonroot + ":\n")},
		{name: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:" + nonroot + ":" + nonroot + ":nonroot:/home/nonroot:/sbin/nologin\n")},
		{name: "home/", mode: 0o755},
		{name: "memexport", mode: 0o755, content: content},
		{name: "tmp/", mode: 0o1777},
	}, r.time); err != nil {
		return nil, err
	}
	files, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{
		Layer:   files,
		History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "tools/release", Comment: "memexport " + r.version},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = p.os, p.arch, v1.Time{Time: r.time}
	config.Config = v1.Config{
		Entrypoint:   []string{"/memexport"},
		Cmd:          []string{"api"},
		User:         nonroot,
		WorkingDir:   "/",
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "memexport",
			"org.opencontainers.image.description": "Durable bulk exports of AI memories: HTTP API and Temporal worker",
			"org.opencontainers.image.version":     r.version,
			"org.opencontainers.image.revision":    r.commit,
			"org.opencontainers.image.created":     r.time.Format(time.RFC3339),
		},
	}
	return mutate.ConfigFile(image, config)
}

// readDir returns the files in a directory as entries, sorted by name.
func readDir(dir string) (entries []entry, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		entries = append(entries, entry{name: filepath.ToSlash(name), mode: 0o644, content: content})
		return err
	})
	return entries, err
}
