package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"memexport/internal/service/apikey"
)

func TestASecretThatCannotBePrintedIsAnErrorWithARemedy(t *testing.T) {
	full, err := os.Open(os.DevNull) // a file that is open for reading refuses every write, like a full disk
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	var cmd cobra.Command
	cmd.SetOut(full)
	cmd.SetErr(io.Discard)
	err = printSecret(&cmd, "msk_test_secret", apikey.Key{ID: "0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24"})
	if err == nil || !strings.Contains(err.Error(), "`memexport keys rotate 0198c2a4-6d0e-7c55-9f0a-3c1d5b7e9a24 --overlap 0s`") ||
		strings.Contains(err.Error(), "secret") {
		t.Errorf("the error is %v", err)
	}
}
