package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"testing"
	"time"
)

func TestAnExportExpiresOnTimeAndItsObjectsGoAfterTheGrace(t *testing.T) {
	t.Parallel()
	// The retention is 10 s because the test must begin downloads before the export expires, even
	// on a busy machine.
	const retention, grace = 10 * time.Second, 2 * time.Second
	s := newDev(t, devOptions{dir: newDir(t, "retention"), env: []string{"EXPORT_RETENTION=10s", "EXPORT_GRACE=2s"}})
	c := s.newTenant(t)
	generate(t, s.db, c.workspace, 20_000, 2000) // 40 MB, which is more than the buffers of a connection hold

	e := c.ready(t, c.create(t, "format=csv").ID, time.Minute)
	slow := c.open(t, e.ID)
	same(t, "retention", e.ExpiresAt.Sub(*e.CompletedAt), retention)
	if len(s.objects(t, e.ID)) == 0 {
		t.Error("the bucket has no object of a READY export")
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, slow.Body, *e.SizeBytes/10); err != nil {
		t.Fatal("the download broke:", err)
	}

	served := 0
	for refused := 0; refused < 20; time.Sleep(20 * time.Millisecond) {
		sent := time.Now()
		a := c.do(t, "GET", "/v1/exports/"+e.ID+"/download", "Range", "bytes=0-9")
		answered := time.Now()
		switch {
		case a.status == 206 && sent.Before(*e.ExpiresAt):
			served++
		case a.status == 410 && !answered.Before(*e.ExpiresAt):
			a.problem(t, 410, "EXPORT_EXPIRED")
			same(t, "the status after a 410", c.get(t, e.ID).Status, "EXPIRED")
			refused++
		default:
			t.Fatalf("%d for a request of %s, answered at %s, of an export that expires at %s", a.status, sent, answered, e.ExpiresAt)
		}
	}
	if served == 0 {
		t.Error("no request came before the export expired, so this tests nothing")
	}
	c.do(t, "GET", "/v1/exports/"+e.ID+"/download", "If-None-Match", `"`+*e.SHA256+`"`).problem(t, 410, "EXPORT_EXPIRED")
	var list struct{ Data []object }
	if err := json.Unmarshal(c.do(t, "GET", "/v1/exports").want(t, 200).body, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Data) != 1 || list.Data[0].ID != e.ID || list.Data[0].Status != "EXPIRED" {
		t.Errorf("the list shows %+v", list.Data)
	}
	e2 := c.get(t, e.ID)
	if e2.ExpiresAt == nil || e2.ExpiresAt.After(*e.ExpiresAt) || e2.MemoryCount != e.MemoryCount || *e2.SHA256 != *e.SHA256 {
		t.Errorf("the expired export is %+v, was %+v", e2, e)
	}

	// A download that began before the export expired can continue until the end of the grace
	// period.
	_, err := io.Copy(sum, slow.Body)
	if late := time.Since(e.ExpiresAt.Add(grace)); err != nil && late < 0 {
		t.Error("a download that had begun broke within the grace:", err)
	}
	if err == nil {
		same(t, "the digest of the file whose download had begun", hex.EncodeToString(sum.Sum(nil)), *e.SHA256)
	}
	for {
		looked := time.Now()
		left := s.objects(t, e.ID)
		if late := looked.Sub(e.ExpiresAt.Add(grace)); len(left) == 0 && late < -100*time.Millisecond {
			t.Fatalf("the objects are gone %s before the end of the grace", -late)
		} else if len(left) == 0 {
			t.Logf("the objects were gone %s after the end of the grace", late.Round(time.Millisecond))
			break
		} else if late > 30*time.Second {
			t.Fatalf("%s after the grace the bucket still has %q", late, left)
		}
		time.Sleep(20 * time.Millisecond)
	}
	same(t, "the status after the purge", c.get(t, e.ID).Status, "EXPIRED")
	c.do(t, "GET", "/v1/exports/"+e.ID+"/download").problem(t, 410, "EXPORT_EXPIRED")
	c.do(t, "DELETE", "/v1/exports/"+e.ID).want(t, 204)
	c.do(t, "GET", "/v1/exports/"+e.ID+"/download").problem(t, 404, "EXPORT_NOT_FOUND")
}
