package remote

import "testing"

func TestOnlyNamesThatEverySystemCanStoreAreTakenFromTheServer(t *testing.T) {
	for name, want := range map[string]bool{
		"memories-20260131-0198c2a4.csv": true,
		"Erinnerungen für März.md":       true,
		"console.json":                   true,
		"":                               false,
		".":                              false,
		"..":                             false,
		".bashrc":                        false,
		"../memories.csv":                false,
		"a/b.csv":                        false,
		`a\b.csv`:                        false,
		"/etc/passwd":                    false,
		`C:\memories.csv`:                false,
		"memories.csv:stream":            false,
		"what?.csv":                      false,
		"a*.csv":                         false,
		"<a>.csv":                        false,
		"NUL":                            false,
		"con.csv":                        false,
		"lpt1.tar.gz":                    false,
		"memories.":                      false,
		"memories ":                      false,
		"mem\x00ories":                   false,
		"mem\nories":                     false,
		"mem\x1bories":                   false,
	} {
		if got := safeName(name); got != want {
			t.Errorf("safeName(%q) is %t, want %t", name, got, want)
		}
	}
}
