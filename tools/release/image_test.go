package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"io"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// testImage reads an image back from its OCI archive.
func testImage(t *testing.T, path string) {
	top, err := layout.ImageIndexFromPath(untar(t, path))
	if err != nil {
		t.Fatal(err)
	}
	names, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(names.Manifests) != 1 || names.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2.3" {
		t.Fatalf("the archive has %+v", names.Manifests)
	}
	index, err := top.ImageIndex(names.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range manifest.Manifests {
		found = append(found, m.Platform.String())
		image, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		testPlatformImage(t, image, m.Platform.Architecture)
	}
	if !slices.Equal(found, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("the platforms are %q", found)
	}
}

func testPlatformImage(t *testing.T, image v1.Image, architecture string) {
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if config.OS != "linux" || config.Architecture != architecture || !slices.Equal(c.Entrypoint, []string{"/memexport"}) ||
		!slices.Equal(c.Cmd, []string{"api"}) || c.User != "65532" {
		t.Errorf("the config is %+v", config)
	}
	if l := c.Labels; l["org.opencontainers.image.version"] != "1.2.3" || len(l["org.opencontainers.image.revision"]) != 40 {
		t.Errorf("the labels are %q", l)
	}
	files := map[string]*tar.Header{}
	for archive := tar.NewReader(mutate.Extract(image)); ; {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = header
		if header.Name != "memexport" {
			continue
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		program, err := elf.NewFile(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[architecture]
		if program.Machine != want {
			t.Errorf("the program in the image for %s is for %s", architecture, program.Machine)
		}
	}
	for name, mode := range map[string]int64{"memexport": 0o755, "tmp": 0o1777, "etc/passwd": 0o644} {
		header := files[name]
		if header == nil {
			header = files[name+"/"]
		}
		if header == nil || header.Mode != mode {
			t.Errorf("%s in the image for %s is %+v", name, architecture, header)
		}
	}
}
