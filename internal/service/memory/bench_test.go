package memory

import (
	"context"
	"testing"
)

// BenchmarkRead reads 100,000 memories of about 300 bytes, in one page and in pages of 5,000. Compare
// runs with benchstat: go test -run '^$' -bench Read -count 10 ./internal/service/memory
func BenchmarkRead(b *testing.B) {
	s, db := open(b)
	const rows = 100_000
	exec(b, db, `INSERT INTO memories (id, workspace_id, memory, user_id, agent_id, priority, status, categories, metadata, access_count, created_at, updated_at)
		SELECT md5(i::text)::uuid, $1, repeat('The user prefers "short" answers, and tea. ', 1 + i % 12), 'user_' || i % 1000, 'agent_' || i % 7,
		       'HIGH', 'COMPLETED', array['preferences', 'tea'], jsonb_build_object('source', 'chat', 'turn', i), i % 100,
		       timestamptz '2026-01-01' + i * interval '1.7 s', now()
		FROM generate_series(1, $2::int) i`, tenant, rows)
	exec(b, db, `VACUUM ANALYZE memories`)
	for _, page := range []struct {
		name string
		rows int
	}{{"one page", rows + 1}, {"pages of 5000", 5000}} {
		b.Run(page.name, func(b *testing.B) {
			s := s.with(b, SourceOptions{PageRows: page.rows})
			b.ReportAllocs()
			for b.Loop() {
				var n, size int64
				err := s.Read(context.Background(), Query{WorkspaceID: tenant}, everything, nil, func(m *Memory) error {
					n++
					size += int64(len(m.Text))
					return nil
				})
				if err != nil || n != rows {
					b.Fatalf("%d memories were read: %v", n, err)
				}
				b.SetBytes(size)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/memory")
		})
	}
}
