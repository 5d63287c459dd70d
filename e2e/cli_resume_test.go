package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hold is how many bytes of a download go through before something happens.
const hold = 1 << 20

func TestADownloadThatWasKilledAsksForTheRestOnly(t *testing.T) {
	s := sharedStack(t)
	front := newProxy(t, s.url)
	p := newPerson(t, front.url, s.key)
	args := []string{"export", "--format", "csv", "-o", "memories.csv"}
	held := front.hold(hold)
	process := p.start(t, args...)
	<-held
	eventually(t, time.Minute, "what went through is in the partial file", func() bool {
		info, err := os.Stat(p.path("memories.csv.partial"))
		return err == nil && info.Size() == hold
	})
	process.kill()
	same(t, "files", p.files(t), "memories.csv.partial memories.csv.partial.json memories.csv.partial.lock")
	absent(t, "the state", p.read(t, "memories.csv.partial.json"), s.key)

	front.release()
	same(t, "exports that were asked for", front.creations(), 1)
	front.forget()
	_, stderr := p.run(t, 0, args...)
	e := s.client().list(t, "page_size=1").Data[0]
	says(t, "the second run", stderr, "going on with the export "+e.ID)
	same(t, "the digest of the file", hexDigest(p.read(t, "memories.csv")), *e.SHA256)
	same(t, "files", p.files(t), "memories.csv")
	same(t, "exports that the second run asked for", front.creations(), 0)
	downloads := front.downloads()
	same(t, "downloads of the second run", len(downloads), 1)
	same(t, "its Range", downloads[0].requestRange, fmt.Sprintf("bytes=%d-", hold))
	same(t, "its If-Range", downloads[0].ifRange, `"`+*e.SHA256+`"`)
	same(t, "its Accept-Encoding", downloads[0].encoding, "identity")
	same(t, "its status", downloads[0].status, 206)
	same(t, "its bytes", downloads[0].sent, *e.SizeBytes-hold)
	t.Logf("the first run got %d bytes, the second %d, of %d", hold, downloads[0].sent, *e.SizeBytes)
}

func TestARunThatWasKilledWhileItWaitedGoesOnWithTheSameExport(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	generate(t, s.db, c.workspace, 10, 100)
	p := newPerson(t, s.url, c.key)
	release := blockReading(t, s.db)
	// The second has no -o: the name of its file is not known yet.
	for _, args := range [][]string{{"export", "-o", "out"}, {"export", "--format", "markdown"}} {
		process := p.start(t, args...)
		if err := process.says("exporting", time.Minute); err != nil {
			t.Fatal(err)
		}
		process.kill()
	}
	same(t, "exports", c.list(t, "").Meta.Total, 2)
	_, stderr := p.run(t, 2, "export", "-o", "out", "--format", "csv")
	says(t, "a run with other arguments", stderr, "--restart")
	_, stderr = p.run(t, 7, "export", "-o", "out", "--url", "http://127.0.0.1:1", "--restart", "--retry-for", "0s")
	says(t, "a run that forgets it", stderr, "127.0.0.1:1")
	same(t, "exports", c.list(t, "").Meta.Total, 2)
	process := p.start(t, "export", "-o", "out")
	if err := process.says("exporting", time.Minute); err != nil {
		t.Fatal(err)
	}
	_, stderr = p.run(t, 2, "export", "-o", "out")
	says(t, "a run beside another", stderr, "another process")
	process.kill()
	release()
	p.run(t, 0, "export", "-o", "out")
	p.run(t, 0, "export", "--format", "markdown")
	same(t, "exports", c.list(t, "").Meta.Total, 3) // one was forgotten
	if names := strings.Fields(p.files(t)); len(names) != 2 || !strings.HasSuffix(names[0], ".md") || names[1] != "out" {
		t.Errorf("the files are %q", names)
	}
}

func TestALostAnswerToTheRequestMakesNoSecondExport(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	front := newProxy(t, s.url)
	p := newPerson(t, front.url, c.key)
	swallowed := make(chan struct{})
	front.swallow = swallowed
	process := p.start(t, "export", "-o", "out")
	<-swallowed // the API has accepted it, and the program does not know
	process.kill()
	same(t, "exports", c.list(t, "").Meta.Total, 1)
	p.run(t, 0, "export", "-o", "out")
	front.swallow = make(chan struct{})
	_, stderr := p.run(t, 0, "export", "-o", "-")
	says(t, "a run that lost the answer", stderr, "trying again")
	same(t, "exports", c.list(t, "").Meta.Total, 2)
}

func TestAServerThatDiesDuringADownloadIsWaitedFor(t *testing.T) {
	s := sharedStack(t)
	env := []string{"DATABASE_URL=" + s.database, "BUCKET_URL=file://" + filepath.Join(s.dir, "bucket"), "TEMPORAL_ADDRESS=127.0.0.1:1"}
	api := launch(t, append(env, "HTTP_ADDR=127.0.0.1:0"), "api")
	address := apiURL(t, api)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	front := newProxy(t, address)
	for _, out := range []string{"out", "-"} {
		p := newPerson(t, front.url, s.key)
		e := s.client().ready(t, s.client().create(t, "format=json").ID, time.Minute)
		front.forget()
		held := front.hold(hold)
		process := p.start(t, "download", e.ID, "-o", out)
		<-held
		api.kill()
		front.release()
		if err := process.says("trying again", time.Minute); err != nil {
			t.Fatal(err)
		}
		// It is away for some attempts.
		eventually(t, time.Minute, "it tries again and again", func() bool { return strings.Count(process.stderr.String(), "trying again") > 2 })
		eventually(t, time.Minute, "the port is free", func() bool {
			l, err := net.Listen("tcp", u.Host)
			if err == nil {
				l.Close()
			}
			return err == nil
		})
		api = launch(t, append(env, "HTTP_ADDR="+u.Host), "api")
		apiURL(t, api)
		if code, ok := process.wait(2 * time.Minute); !ok || code != 0 {
			t.Fatalf("the download ended: %t with %d:\n%s", ok, code, process.stderr.String())
		}
		content := []byte(process.stdout.String())
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
	// And not for ever.
	p := newPerson(t, front.url, s.key)
	e := s.client().ready(t, s.client().create(t, "format=json").ID, time.Minute)
	held := front.hold(hold)
	process := p.start(t, "download", e.ID, "-o", "out", "--retry-for", "2s")
	<-held
	api.kill()
	front.release()
	if code, ok := process.wait(2 * time.Minute); !ok || code != 7 {
		t.Errorf("the download ended: %t with %d:\n%s", ok, code, process.stderr.String())
	}
	same(t, "files", p.files(t), "out.partial out.partial.json")
	p.env = []string{"MEMEXPORT_URL=" + s.url, "MEMEXPORT_API_KEY=" + s.key}
	_, stderr := p.run(t, 2, "download", e.ID, "-o", "out") // what another server has may be another file
	says(t, "a run with another server", stderr, "--restart")
}

func TestAFileThatChangedInBetweenIsNeverSpliced(t *testing.T) {
	s := sharedStack(t)
	front := newProxy(t, s.url)
	p := newPerson(t, front.url, s.key)
	held := front.hold(hold)
	process := p.start(t, "export", "-o", "out")
	<-held
	eventually(t, time.Minute, "what went through is in the partial file", func() bool {
		info, err := os.Stat(p.path("out.partial"))
		return err == nil && info.Size() == hold
	})
	process.kill()
	front.release()
	front.forget()
	// What is there is the beginning of another file than the server has now.
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

func TestCtrlCSaysHowToGoOn(t *testing.T) {
	s := sharedStack(t)
	front := newProxy(t, s.url)
	p := newPerson(t, front.url, s.key)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		held := front.hold(hold)
		process := p.start(t, "export", "-o", "out")
		<-held
		process.signal(signal)
		if code, ok := process.wait(time.Minute); !ok || code != 130 {
			t.Errorf("after %v it ended: %t with %d", signal, ok, code)
		}
		says(t, "it", process.stderr.String(), "run the same command again", "out.partial")
		front.release()
	}
	same(t, "exports that were asked for", front.creations(), 1)
	held := front.hold(hold)
	process := p.start(t, "export", "-o", "-")
	<-held
	process.signal(syscall.SIGINT)
	process.wait(time.Minute)
	front.release()
	e := s.client().list(t, "page_size=1").Data[0]
	says(t, "a run to a stream", process.stderr.String(), "memexport download "+e.ID)
	p.run(t, 0, "export", "-o", "out")

	process = newPerson(t, "http://127.0.0.1:1", s.key).start(t, "list", "--retry-for", "5m")
	if err := process.says("trying again", time.Minute); err != nil {
		t.Fatal(err)
	}
	process.signal(syscall.SIGINT)
	if code, ok := process.wait(time.Minute); !ok || code != 130 {
		t.Errorf("list ended: %t with %d", ok, code)
	}
}
