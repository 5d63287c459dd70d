package archive

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"
	"golang.org/x/sync/errgroup"

	"memexport/internal/service/rowid"
)

// DeleteExport deletes every object of an export, including objects that no recorded part refers to.
// Objects that are already gone cause no error, so a call can be repeated. If the store refuses to delete
// an object, DeleteExport goes on with the others and returns the first refusal.
func (a *Archive) DeleteExport(ctx context.Context, exportID string) error {
	// Each page is deleted before the next is listed, so that only one page is in memory.
	type listed struct {
		objects []*blob.ListObject
		next    []byte
	}
	var refusal error
	for token := blob.FirstPageToken; token != nil; {
		page, err := list(ctx, a, func(limited context.Context) (p listed, err error) {
			p.objects, p.next, err = a.bucket.ListPage(limited, token, listPageSize, &blob.ListOptions{Prefix: prefix(exportID)})
			return p, err
		})
		if err != nil {
			return err
		}
		token = page.next
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(parallelRequests)
		refusals := make([]error, len(page.objects))
		for i, object := range page.objects {
			group.Go(func() error {
				err := a.request(groupCtx, func(limited context.Context) error { return a.bucket.Delete(limited, object.Key) })
				switch {
				case isNotFound(err):
					return nil
				case Away(err), groupCtx.Err() != nil:
					return err
				}
				refusals[i] = err
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		refusal = cmp.Or(refusal, cmp.Or(refusals...))
	}
	if a.options.Compose {
		if err := a.abortUploads(ctx, prefix(exportID)); err != nil {
			return err
		}
	}
	if refusal != nil {
		return refusal
	}
	if a.dir != "" { // fileblob leaves the empty directory
		err := a.request(ctx, func(context.Context) error {
			return os.Remove(filepath.Join(a.dir, filepath.FromSlash(a.folder+prefix(exportID))))
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

const (
	// listPageSize is the number of objects listed in one request. Every store supports 1000.
	listPageSize = 1000
	// parallelRequests limits the concurrent requests of one operation. It is large enough to hide the
	// latency of a store, and small enough that stores do not answer "slow down".
	parallelRequests = 16
)

// Exports calls visit with the ID of every export that has objects in the bucket. It ignores objects
// whose key has no UUID after exports/, because they are not exports. If visit returns an error,
// Exports stops and returns that error. In a directory, an export may have no objects any more.
func (a *Archive) Exports(ctx context.Context, visit func(exportID string) error) error {
	if a.dir != "" {
		return a.directories(ctx, visit)
	}
	dirs := a.bucket.List(&blob.ListOptions{Prefix: "exports/", Delimiter: "/"})
	for {
		dir, err := a.next(ctx, dirs)
		if dir == nil {
			return err
		}
		id := strings.TrimSuffix(strings.TrimPrefix(dir.Key, "exports/"), "/")
		if !dir.IsDir || !rowid.Valid(id) {
			continue
		}
		if err := visit(id); err != nil {
			return err
		}
	}
}

// directories is Exports for a directory. It reads only the names in exports/. fileblob would walk through the whole
// tree for each page of a listing.
func (a *Archive) directories(ctx context.Context, visit func(exportID string) error) error {
	path := filepath.Join(a.dir, filepath.FromSlash(a.folder+"exports"))
	ids, err := request(ctx, a, func(context.Context) ([]string, error) { return exportIDs(path) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // without the directory, there has been no export yet
		return err
	}
	slices.Sort(ids) // the order of every other store
	for _, id := range ids {
		if err := visit(id); err != nil {
			return err
		}
	}
	return nil
}

// exportIDs returns the IDs that are the names of directories in the directory path.
func exportIDs(path string) (ids []string, err error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(listPageSize) // an entry needs several times the RAM of an ID
		for _, entry := range entries {
			if entry.IsDir() && rowid.Valid(entry.Name()) {
				ids = append(ids, entry.Name())
			}
		}
		if errors.Is(err, io.EOF) {
			return ids, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// LastWritten returns the time at which the newest object of an export was written, or the zero time
// if the export has no objects.
func (a *Archive) LastWritten(ctx context.Context, exportID string) (time.Time, error) {
	var last time.Time
	objects := a.bucket.List(&blob.ListOptions{Prefix: prefix(exportID)})
	for {
		object, err := a.next(ctx, objects)
		if object == nil {
			return last, err
		}
		if object.ModTime.After(last) {
			last = object.ModTime
		}
	}
}

// Count returns how many objects of an export the bucket holds.
func (a *Archive) Count(ctx context.Context, exportID string) (int, error) {
	objects := a.bucket.List(&blob.ListOptions{Prefix: prefix(exportID)})
	for n := 0; ; n++ {
		object, err := a.next(ctx, objects)
		if object == nil {
			return n, err
		}
	}
}

// next returns the next object of a listing, or nil after the last one.
func (a *Archive) next(ctx context.Context, objects *blob.ListIterator) (object *blob.ListObject, err error) {
	return list(ctx, a, func(limited context.Context) (*blob.ListObject, error) {
		object, err := objects.Next(limited)
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return object, err
	})
}

// list is like request, for functions that list objects. In a directory, a listing fails if a file disappears
// meanwhile, because another process deletes or renames it. Then list calls do again, up to 100 times.
func list[T any](ctx context.Context, a *Archive, do func(limited context.Context) (T, error)) (T, error) {
	const tries = 100
	for try := 1; ; try++ {
		result, err := request(ctx, a, do)
		if a.dir == "" || !isNotFound(err) || try == tries {
			return result, err
		}
	}
}
