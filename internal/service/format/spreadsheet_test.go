//go:build readers

package format_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"memexport/internal/service/format"
	"memexport/internal/service/memory"
)

// TestSpreadsheets opens CSV files with LibreOffice, once for each separator that users may choose,
// and looks for formulas. It needs the Debian package libreoffice-calc.
func TestSpreadsheets(t *testing.T) {
	signs := []string{"=1+1", "+1+1", "-1+1", "@SUM(1;1)", "＝1+1", "=cmd|' /C calc'!A0", `=HYPERLINK("http://x","y")`}
	prefixes := []string{"", " ", "\t", "\n", "\r", "\r\n", "\v", "\x01", "\x7f", "\u0085", "\u00a0", "\u200b", "\u2028", "\u3000", "\ufeff", "'", `"`,
		"x", "x;", "x; ", "x;;", "x|", "x\t", "x,", "x\n", "x\r", "x\r\n", "x\n\n", "x;'", `x;"`, `";"`, `x";`, "x;\ufeff", "x|\u00a0", "x; \t"}
	var hostile []memory.Memory
	raw := []byte(format.CSV.Prefix)
	for _, prefix := range prefixes {
		for _, sign := range signs {
			m := sample()
			m.Text, m.UserID, m.AgentID, m.Categories = []byte(prefix+sign), []byte(prefix+sign), []byte(prefix+sign+";y"), marshal([]string{prefix + sign})
			hostile = append(hostile, m)
			raw = fmt.Appendf(raw, "%s,\"%s\"\r\n", m.ID, strings.ReplaceAll(prefix+sign, `"`, `""`))
		}
	}
	dir := t.TempDir()
	for name, separator := range map[string]byte{"comma": ',', "semicolon": ';', "tab": '\t', "bar": '|'} {
		if formulas := openSpreadsheet(t, dir, separator, raw); len(formulas) == 0 {
			t.Errorf("%s: LibreOffice makes no formulas of unguarded texts: the test tests nothing", name)
		} else {
			t.Logf("%s: %d formulas in unguarded texts, such as %q", name, len(formulas), formulas[0])
		}
		if formulas := openSpreadsheet(t, dir, separator, encode(format.CSV, hostile, nil)); len(formulas) > 0 {
			t.Errorf("%s: formulas in an export: %q", name, formulas)
		}
	}
}

// openSpreadsheet returns the formulas that LibreOffice finds in a file.
func openSpreadsheet(t *testing.T, dir string, separator byte, file []byte) []string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "export.csv"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	// The numbers in the filter are the character codes of the separator and of the quote, the code for
	// UTF-8, and the first line to import.
	filter := fmt.Sprintf("--infilter=CSV:%d,34,76,1", separator)
	cmd := exec.Command("soffice", "-env:UserInstallation=file://"+filepath.Join(dir, "profile"), "--headless", "--convert-to", "fods", filter, "export.csv")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\ninstall the Debian package libreoffice-calc", err, out)
	}
	sheet, err := os.ReadFile(filepath.Join(dir, "export.fods"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "export.fods")); err != nil {
		t.Fatal(err)
	}
	var formulas []string
	for _, cell := range bytes.Split(sheet, []byte("table:formula=\""))[1:] {
		formula, _, _ := bytes.Cut(cell, []byte(`"`))
		formulas = append(formulas, string(formula))
	}
	return formulas
}
