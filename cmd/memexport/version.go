package main

import (
	"cmp"
	"fmt"
	"runtime/debug"
)

// A release sets both: -ldflags "-X main.version=1.2.3 -X main.commit=...". Other builds are "dev".
var version, commit = "dev", ""

// versionText returns the version and the commit, such as "1.2.3 (commit 3448de3...)". In other
// builds, the commit comes from the go command, which records it if it builds in a git work tree.
func versionText() string {
	built := commit
	if info, ok := debug.ReadBuildInfo(); ok && built == "" {
		built = recordedCommit(info)
	}
	return fmt.Sprintf("%s (commit %s)", version, cmp.Or(built, "unknown"))
}

func recordedCommit(info *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if settings["vcs.modified"] == "true" {
		return settings["vcs.revision"] + " with changes"
	}
	return settings["vcs.revision"]
}
