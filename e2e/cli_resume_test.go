package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"memexport/internal/workshop/await"
)

// hold is how many bytes of a download the proxy forwards before it pauses the download.
const hold = 1 << 20

func TestARunAfterAKilledDownloadFetchesOnlyTheRest(t *testing.T) {
	s := sharedStack(t)
	front := newProxy(t, s.url)
	p := newPerson(t, front.url, s.key)
	args := []string{"export", "--format", "csv", "-o", "memories.csv"}
	held := front.hold(hold)
	child := p.start(t, args...)
	receive(t, held, "the download is held")
	await.True(t, time.Minute, "the partial file has everything that the proxy let through", func() bool {
		info, err := os.Stat(p.path("memories.csv.partial"))
		return err == nil && info.Size() == hold
	})
	child.Kill()
	same(t, "files", p.files(t), "memories.csv.partial memories.csv.partial.json memories.csv.partial.lock")
	absent(t, "the state", p.read(t, "memories.csv.partial.json"), s.key)

	front.release()
	same(t, "POST requests", front.creations(), 1)
	front.forget()
	_, stderr := p.run(t, 0, args...)
	e := s.client().list(t, "page_size=1").Data[0]
	says(t, "the second run", stderr, "going on with the export "+e.ID)
	same(t, "the digest of the file", hexDigest(p.read(t, "memories.csv")), *e.SHA256)
	same(t, "files", p.files(t), "memories.csv")
	same(t, "POST requests of the second run", front.creations(), 0)
	downloads := front.downloads()
	same(t, "downloads of the second run", len(downloads), 1)
	same(t, "its Range", downloads[0].requestRange, fmt.Sprintf("bytes=%d-", hold))
	same(t, "its If-Range", downloads[0].ifRange, `"`+*e.SHA256+`"`)
	same(t, "its Accept-Encoding", downloads[0].encoding, "identity")
	same(t, "its status", downloads[0].status, 206)
	same(t, "its bytes", downloads[0].sent, *e.SizeBytes-hold)
	t.Logf("the first run got %d bytes, the second %d, of %d", hold, downloads[0].sent, *e.SizeBytes)
}

func TestARunAfterAKilledRunGoesOnWithTheSameExport(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	generate(t, s.db, c.workspace, 10, 100)
	p := newPerson(t, s.url, c.key)
	release := blockReading(t, s.db)
	// The second of these commands has no -o, so it learns the file name only when the download begins.
	// It is killed before that.
	for _, args := range [][]string{{"export", "-o", "out"}, {"export", "--format", "markdown"}} {
		child := p.start(t, args...)
		child.wantSays(t, "exporting")
		child.Kill()
	}
	same(t, "exports", c.list(t, "").Meta.Total, 2)
	_, stderr := p.run(t, 2, "export", "-o", "out", "--format", "csv")
	says(t, "a run with other arguments", stderr, "--restart")
	_, stderr = p.run(t, 7, "export", "-o", "out", "--url", "http://127.0.0.1:1", "--restart", "--retry-for", "0s")
	says(t, "a run that forgets the first export", stderr, "127.0.0.1:1")
	same(t, "exports", c.list(t, "").Meta.Total, 2)
	child := p.start(t, "export", "-o", "out")
	child.wantSays(t, "exporting")
	_, stderr = p.run(t, 2, "export", "-o", "out")
	says(t, "a run beside another", stderr, "another process")
	child.Kill()
	release()
	p.run(t, 0, "export", "-o", "out")
	p.run(t, 0, "export", "--format", "markdown")
	same(t, "exports", c.list(t, "").Meta.Total, 3) // the run with --restart discarded the state of the first export, so a later run created a third
	if names := strings.Fields(p.files(t)); len(names) != 2 || !strings.HasSuffix(names[0], ".md") || names[1] != "out" {
		t.Errorf("the files are %q", names)
	}
}

func TestALostAnswerToThePostMakesNoSecondExport(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	front := newProxy(t, s.url)
	p := newPerson(t, front.url, c.key)
	swallowed := front.swallowNextPost()
	child := p.start(t, "export", "-o", "out")
	receive(t, swallowed, "the API has accepted the export, and the program does not know")
	child.Kill()
	same(t, "exports", c.list(t, "").Meta.Total, 1)
	p.run(t, 0, "export", "-o", "out")
	front.swallowNextPost()
	_, stderr := p.run(t, 0, "export", "-o", "-")
	says(t, "a run that lost the answer", stderr, "trying again")
	same(t, "exports", c.list(t, "").Meta.Total, 2)
}

func TestADownloadGoesOnWhenTheServerIsBack(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	env := []string{"DATABASE_URL=" + s.database, "BUCKET_URL=file://" + filepath.Join(s.dir, "bucket"), "TEMPORAL_ADDRESS=127.0.0.1:1"}
	env = append(env, "HTTP_ADDR=127.0.0.1:0")
	api := launch(t, env, "api")
	front := newProxy(t, apiURL(t, api))
	for _, out := range []string{"out", "-"} {
		p := newPerson(t, front.url, s.key)
		e := s.client().ready(t, s.client().create(t, "format=json").ID, time.Minute)
		front.forget()
		held := front.hold(hold)
		child := p.start(t, "download", e.ID, "-o", out)
		receive(t, held, "the download is held")
		api.Kill()
		front.release()
		// The server is down while the client makes several attempts.
		await.True(t, time.Minute, "the program has tried again three times", func() bool { return strings.Count(child.stderr.String(), "trying again") > 2 })
		api = launch(t, env, "api")
		front.pointTo(t, apiURL(t, api))
		child.wantCode(t, 0)
		content := []byte(child.stdout.String())
		if out != "-" {
			content = p.read(t, out)
		}
		same(t, "the digest of "+out, hexDigest(content), *e.SHA256)
		downloads := front.downloads()
		last := downloads[len(downloads)-1]
		if last.status != 206 || last.requestRange == "" || last.sent >= *e.SizeBytes {
			t.Errorf("the last download was %+v", last)
		}
	}
	// With a short --retry-for, the client gives up.
	p := newPerson(t, front.url, s.key)
	e := s.client().ready(t, s.client().create(t, "format=json").ID, time.Minute)
	held := front.hold(hold)
	child := p.start(t, "download", e.ID, "-o", "out", "--retry-for", "2s")
	receive(t, held, "the download is held")
	api.Kill()
	front.release()
	child.wantCode(t, 7)
	same(t, "files", p.files(t), "out.partial out.partial.json")
	p.env = []string{"MEMEXPORT_URL=" + s.url, "MEMEXPORT_API_KEY=" + s.key}
	_, stderr := p.run(t, 2, "download", e.ID, "-o", "out") // the client does not resume from another server, because the file there may be different
	says(t, "a run with another server", stderr, "--restart")
}

func TestAPartialFileOfAnotherVersionIsNotContinued(t *testing.T) {
	s := sharedStack(t)
	front := newProxy(t, s.url)
	p := newPerson(t, front.url, s.key)
	held := front.hold(hold)
	child := p.start(t, "export", "-o", "out")
	receive(t, held, "the download is held")
	await.True(t, time.Minute, "the partial file has everything that the proxy let through", func() bool {
		info, err := os.Stat(p.path("out.partial"))
		return err == nil && info.Size() == hold
	})
	child.Kill()
	front.release()
	front.forget()
	// Pretend that the partial file belongs to another file.
	state := decode[map[string]string](t, string(p.read(t, "out.partial.json")))
	state["etag"] = `"` + strings.Repeat("0", 64) + `"`
	text, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"out.partial": make([]byte, hold), "out.partial.json": text} {
		if err := os.WriteFile(p.path(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.run(t, 0, "export", "-o", "out")
	e := s.client().list(t, "page_size=1").Data[0]
	same(t, "the export", e.ID, state["export_id"])
	same(t, "the digest of the file", hexDigest(p.read(t, "out")), *e.SHA256)
	downloads := front.downloads()
	same(t, "downloads", len(downloads), 1)
	same(t, "the status of the answer to If-Range", downloads[0].status, 200)
	same(t, "its Range", downloads[0].requestRange, fmt.Sprintf("bytes=%d-", hold))
	same(t, "its bytes", downloads[0].sent, *e.SizeBytes)
}

func TestAnInterruptedRunSaysHowToGoOn(t *testing.T) {
	s := sharedStack(t)
	front := newProxy(t, s.url)
	p := newPerson(t, front.url, s.key)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		held := front.hold(hold)
		child := p.start(t, "export", "-o", "out")
		receive(t, held, "the download is held")
		child.Signal(signal)
		child.wantCode(t, 130)
		says(t, "standard error", child.stderr.String(), "run the same command again", "out.partial")
		front.release()
	}
	same(t, "POST requests", front.creations(), 1)
	held := front.hold(hold)
	child := p.start(t, "export", "-o", "-")
	receive(t, held, "the download is held")
	child.Signal(syscall.SIGINT)
	child.wantCode(t, 130)
	front.release()
	e := s.client().list(t, "page_size=1").Data[0]
	says(t, "a run to a stream", child.stderr.String(), "memexport download "+e.ID)
	p.run(t, 0, "export", "-o", "out")

	child = newPerson(t, "http://127.0.0.1:1", s.key).start(t, "list", "--retry-for", "5m")
	child.wantSays(t, "trying again")
	child.Signal(syscall.SIGINT)
	child.wantCode(t, 130)
}
