package e2e

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"memexport/internal/workshop/demo"
)

func TestAnotherWorkspaceCanNeitherBeReachedNorInferred(t *testing.T) {
	s := sharedStack(t)
	ours, theirs := s.newTenant(t), s.newTenant(t)
	generate(t, s.db, theirs.workspace, 30, 100)
	theirExport := theirs.ready(t, theirs.create(t, "format=json", "Idempotency-Key", "shared name").ID, time.Minute)

	// The response for an id of another workspace must equal the response for an unknown id byte
	// for byte.
	for _, method := range []string{"GET", "DELETE"} {
		for _, suffix := range []string{"", "/download"} {
			if method == "DELETE" && suffix != "" {
				continue
			}
			foreign := ours.do(t, method, "/v1/exports/"+theirExport.ID+suffix).problem(t, 404, "EXPORT_NOT_FOUND")
			unknown := ours.do(t, method, "/v1/exports/"+unknownID+suffix).problem(t, 404, "EXPORT_NOT_FOUND")
			if !bytes.Equal(foreign.body, unknown.body) {
				t.Errorf("another workspace's export: %s, an unknown export: %s", foreign.body, unknown.body)
			}
		}
	}
	same(t, "exports in our list", ours.list(t, "").Meta.Total, 0)
	same(t, "exports in their list", theirs.list(t, "").Meta.Total, 1)
	ourExport := ours.create(t, "format=json", "Idempotency-Key", "shared name")
	if ourExport.ID == theirExport.ID {
		t.Error("an idempotency key of another workspace returns its export")
	}
	ourExport = ours.ready(t, ourExport.ID, time.Minute)
	checkFile(t, ours.client, ourExport, []memory{})
	checkFile(t, theirs.client, theirs.get(t, theirExport.ID), table(t, s.db, theirs.workspace, ""))
	// A request cannot choose its workspace. A query parameter that names a workspace is rejected, and a
	// header that names a workspace is ignored.
	for _, query := range []string{"workspace_id=" + theirs.workspace, "workspace=" + theirs.workspace, "account=" + theirs.workspace} {
		ours.do(t, "POST", "/v1/exports?"+query).problem(t, 422, "INVALID_REQUEST")
	}
	e := ours.create(t, "format=json", "X-Workspace-Id", theirs.workspace)
	same(t, "memories of another workspace", ours.ready(t, e.ID, time.Minute).MemoryCount, 0)
}

func TestKeysAreListedAndRevokedAndHaveOnlyTheirPermissions(t *testing.T) {
	s := sharedStack(t)
	workspace := "0c9d7a52-3f1e-4b8a-9a61-5e1f6c2d7b10"
	env := []string{"DATABASE_URL=" + s.database}
	reader := newClient(s.url, createKey(t, s.database, workspace, "export.read"))
	writer := newClient(s.url, createKey(t, s.database, workspace, "export.write"))
	e := writer.create(t, "")
	reader.ready(t, e.ID, time.Minute)
	reader.do(t, "GET", "/v1/exports/"+e.ID+"/download").want(t, 200)
	for _, a := range []*answer{reader.do(t, "POST", "/v1/exports"), reader.do(t, "DELETE", "/v1/exports/"+e.ID), writer.do(t, "GET", "/v1/exports"),
		writer.do(t, "GET", "/v1/exports/"+e.ID), writer.do(t, "GET", "/v1/exports/"+e.ID+"/download")} {
		a.problem(t, 403, "PERMISSION_DENIED")
	}

	list := mustRun(t, env, "keys", "list", "--workspace", workspace)
	lines := strings.Split(strings.TrimSpace(list), "\n")
	same(t, "lines of the list", len(lines), 3)
	if strings.Contains(list, reader.key) || strings.Contains(list, writer.key) || strings.Contains(list, demo.WorkspaceID) {
		t.Errorf("the list shows a key in full, or one of another workspace:\n%s", list)
	}
	if all := mustRun(t, env, "keys", "list"); !strings.Contains(all, workspace) || !strings.Contains(all, demo.WorkspaceID) {
		t.Errorf("the list of all workspaces:\n%s", all)
	}
	var id string
	for _, line := range lines {
		if strings.Contains(line, "export.read") {
			id = strings.Fields(line)[0]
		}
	}
	reader.do(t, "GET", "/v1/exports/"+e.ID).want(t, 200)
	mustRun(t, env, "keys", "revoke", id)
	for _, path := range []string{"/v1/exports", "/v1/exports/" + e.ID, "/v1/exports/" + e.ID + "/download"} {
		reader.do(t, "GET", path).problem(t, 401, "UNAUTHORIZED")
	}
	writer.create(t, "") // the other key still works
	refuses(t, env, []string{"keys", "revoke", id}, id, "keys list")

	for _, key := range []string{"", "nonsense", "msk_live_", reader.key + "x", writer.key[:len(writer.key)-1], strings.ToUpper(writer.key), " "} {
		for _, path := range []string{"/v1/exports", "/v1/exports/" + e.ID, "/v1/exports/" + e.ID + "/download", "/v1/exports/nonsense", "/v1/exports?page=x"} {
			a := newClient(s.url, key).do(t, "GET", path)
			a.problem(t, 401, "UNAUTHORIZED")
			if a.header.Get("WWW-Authenticate") == "" {
				t.Error("a 401 without WWW-Authenticate")
			}
		}
	}
	newClient(s.url, "").do(t, "GET", "/v1/exports?api_key="+writer.key).problem(t, 401, "UNAUTHORIZED")
	newClient(s.url, "").do(t, "POST", "/v1/exports", "Authorization", "Bearer "+writer.key).want(t, 202)
	newClient(s.url, writer.key).do(t, "GET", "/v1/exports", "X-Api-Key", writer.key).problem(t, 401, "UNAUTHORIZED")
}
