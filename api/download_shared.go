package api

import (
	"context"
	"sync"

	"golang.org/x/sync/singleflight"
)

// sharedFiles holds the files that are being downloaded. All downloads of a file share the list of its parts,
// because the list for 100 GB needs about 2 MB.
type sharedFiles struct {
	loads singleflight.Group

	mu    sync.Mutex
	inUse map[string]*sharedFile
}

type sharedFile struct {
	file  openFile
	users int // downloads of the file; never 0
}

// take returns the file with the given key. If nobody uses the file, take gets it from load. The caller must
// not read from the file itself, and must call release when it no longer needs the file.
func (s *sharedFiles) take(ctx context.Context, key string, load func() (openFile, error)) (o openFile, release func(), err error) {
	if o, ok := s.use(key, nil); ok {
		return o, s.releaser(key), nil
	}
	select {
	case <-ctx.Done():
		return o, nil, ctx.Err()
	case result := <-s.loads.DoChan(key, func() (any, error) { return load() }):
		if result.Err != nil {
			return o, nil, result.Err
		}
		loaded := result.Val.(openFile)
		o, _ = s.use(key, &loaded)
		return o, s.releaser(key), nil
	}
}

// use counts a new user of a file and returns the file. If nobody uses the file yet, use keeps loaded as the
// file. ok is false if loaded is nil too.
func (s *sharedFiles) use(key string, loaded *openFile) (o openFile, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.inUse[key]
	if f == nil {
		if loaded == nil {
			return o, false
		}
		f = &sharedFile{file: *loaded}
		s.inUse[key] = f
	}
	f.users++
	return f.file, true
}

func (s *sharedFiles) releaser(key string) func() {
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		f := s.inUse[key]
		if f.users--; f.users == 0 {
			delete(s.inUse, key)
		}
	})
}
