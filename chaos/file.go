package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"memexport/internal/workshop/parse"
)

// download downloads the file of a READY export, in one or more pieces, and compares it with the truth. It
// returns false if the run is over or the export is gone.
func (j *job) download(ctx context.Context, e *object) bool {
	w := j.ws.world
	begun := time.Now()
	var file []byte
	for int64(len(file)) < *e.SizeBytes || len(file) == 0 {
		var limit int64
		if j.random.IntN(3) == 0 {
			limit = 1 + j.random.Int64N(max(1, *e.SizeBytes))
		}
		headers := []string{}
		if len(file) > 0 {
			headers = []string{"Range", fmt.Sprintf("bytes=%d-", len(file)), "If-Range", `"` + *e.SHA256 + `"`}
			w.count("downloads resumed")
		}
		a := j.ws.ask(ctx, j.random.IntN(2), "GET", "/v1/exports/"+j.id+"/download", limit, headers...)
		switch {
		case a == nil || a.status == 503 || a.status == 401 || a.status == 429:
			if !pause(ctx, 200*time.Millisecond) || w.late() {
				return false
			}
			continue
		case a.status == 410:
			if a.came.Before(*e.ExpiresAt) && !j.endedEarly() {
				w.violate(j.id, "410 came %s before expires_at", e.ExpiresAt.Sub(a.came))
			}
			w.count("downloads that the end of the export has overtaken")
			return true
		case a.status == 206 && len(file) > 0:
			file = append(file, a.body...)
		case a.status == 200:
			if len(file) > 0 {
				w.violate(j.id, "a resumed download begins again, so the file has changed")
			}
			file = a.body
		default:
			w.violate(j.id, "the download was answered with %d: %.300s", a.status, a.body)
			return true
		}
		if etag := a.header.Get("ETag"); etag != `"`+*e.SHA256+`"` {
			w.violate(j.id, "the ETag is %s and the SHA-256 %s", etag, *e.SHA256)
		}
		if !a.sent.Before(*e.ExpiresAt) && j.timely() {
			w.violate(j.id, "a request %s after expires_at was answered with the file", a.sent.Sub(*e.ExpiresAt))
		}
		if *e.SizeBytes == 0 {
			break
		}
	}
	j.checkFile(e, file, begun)
	return true
}

// parsing limits how many files are parsed at once, because a parsed file takes many times its size in
// memory.
var parsing = make(chan struct{}, 2)

// checkFile compares the file of an export, which was READY before the download began, with the truth.
func (j *job) checkFile(e *object, file []byte, begun time.Time) {
	w := j.ws.world
	sum := sha256.Sum256(file)
	if int64(len(file)) != *e.SizeBytes || hex.EncodeToString(sum[:]) != *e.SHA256 {
		w.violate(j.id, "the file has %d bytes and the SHA-256 %x instead of %d and %s", len(file), sum, *e.SizeBytes, *e.SHA256)
		return
	}
	parsing <- struct{}{}
	defer func() { <-parsing }()
	memories, err := parse.Formats[j.format](bytes.Clone(file))
	if err != nil {
		w.violate(j.id, "the %s file cannot be parsed: %v", j.format, err)
		return
	}
	if len(memories) != e.MemoryCount {
		w.violate(j.id, "the file has %d memories and memory_count is %d", len(memories), e.MemoryCount)
	}
	from, to := e.CreatedAt, e.CompletedAt.Add(time.Millisecond) // the API may round times down to microseconds
	if !j.timely() {
		from, to = j.ordered, begun
	}
	for _, problem := range j.ws.wrong(memories, j.filter, from, to) {
		w.violate(j.id, "%s, filter %+v: %s", j.format, j.filter, problem)
	}
	w.count("files compared")
	w.countFile(len(file), len(memories))
}

// outlive polls a READY export until it has expired, and then checks that the file is gone. Meanwhile another
// workspace must not find the export.
func (j *job) outlive(ctx context.Context, e *object) {
	w := j.ws.world
	stranger := w.workspaces[(slices.Index(w.workspaces, j.ws)+1+j.random.IntN(len(w.workspaces)-1))%len(w.workspaces)]
	for e.Status == "READY" && !w.late() {
		if a := stranger.ask(ctx, j.random.IntN(2), "GET", "/v1/exports/"+j.id, 0); a != nil && a.status == 200 {
			w.violate(j.id, "the workspace %s can read an export of %s", stranger.id, j.ws.id)
		}
		// Come back soon after expires_at, before a worker has recorded the end.
		wait := between(j.random, 500*time.Millisecond, 8*time.Second)
		if left := time.Until(*e.ExpiresAt); left > 0 {
			wait = min(wait, left+time.Millisecond)
		}
		if !pause(ctx, wait) {
			return
		}
		e = j.poll(ctx, e)
	}
	for !w.late() {
		a := j.ws.ask(ctx, j.random.IntN(2), "GET", "/v1/exports/"+j.id+"/download", 1)
		if a != nil && a.status == 410 {
			w.count("answered 410 after the end")
			return
		}
		if a != nil && (a.status == 200 || a.status == 206 || a.status == 404) && j.timely() {
			w.violate(j.id, "the download of an EXPIRED export was answered with %d", a.status)
			return
		}
		if !pause(ctx, 300*time.Millisecond) {
			return
		}
	}
	w.violate(j.id, "no answer about the end of the export within the bound")
}

// delete deletes the export and checks that it is gone.
func (j *job) delete(ctx context.Context) {
	w := j.ws.world
	j.mark(func(j *job) { j.deleted = true })
	asked := 0
	for ; !w.late(); asked++ {
		a := j.ws.ask(ctx, j.random.IntN(2), "DELETE", "/v1/exports/"+j.id, 0)
		if a != nil && (a.status == 204 || a.status == 404 && asked > 0) { // 404: an earlier request without an answer has deleted it
			break
		}
		if a != nil && a.status == 404 {
			w.violate(j.id, "the first DELETE was answered with 404")
			return
		}
		if !pause(ctx, 200*time.Millisecond) {
			return
		}
	}
	w.count("deleted")
	if a := j.ws.ask(ctx, j.random.IntN(2), "GET", "/v1/exports/"+j.id, 0); a != nil && a.status == 200 {
		w.violate(j.id, "a deleted export can still be read")
	}
}
