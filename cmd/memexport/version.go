package main

import (
	"cmp"
	"fmt"
	"runtime/debug"
)

// A release sets both variables with -ldflags "-X main.version=1.2.3 -X main.commit=...". In other builds,
// the version is "dev".
var version, commit = "dev", ""

// versionText returns the version and the commit, such as "1.2.3 (commit 3448de3...)". In a build that is
// not a release, versionText uses the commit that the go command recorded, if it built from a git work
// tree.
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
