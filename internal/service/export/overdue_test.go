package export_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"memexport/internal/service/export"
)

func TestOverdueListsOnlyOverdueExports(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	const slack, grace = time.Hour, 10 * time.Hour
	for _, c := range []struct {
		name   string
		status export.Status
		set    string // SQL assignments
		want   bool
	}{
		{"pending within slack", export.Pending, `updated_at = now() - interval '59 min'`, false},
		{"pending beyond slack", export.Pending, `updated_at = now() - interval '61 min'`, true},
		{"processing within slack", export.Processing, `updated_at = now() - interval '59 min'`, false},
		{"processing beyond slack", export.Processing, `updated_at = now() - interval '61 min'`, true},
		{"ready and not expired", export.Ready, `updated_at = now() - interval '1 year'`, false},
		{"ready, expired within slack", export.Ready, `updated_at = now() - interval '1 year', expires_at = now() - interval '59 min'`, false},
		{"ready, expired beyond slack", export.Ready, `expires_at = now() - interval '61 min'`, true},
		{"failed within grace", export.Failed, `updated_at = now() - interval '659 min'`, false},
		{"failed beyond grace", export.Failed, `updated_at = now() - interval '661 min'`, true},
		{"expired within grace", export.Expired, `updated_at = now() - interval '659 min'`, false},
		{"expired beyond grace", export.Expired, `updated_at = now() - interval '661 min'`, true},
		{"deleted within slack", export.Ready, `deleted_at = now() - interval '59 min'`, false},
		{"deleted beyond slack", export.Ready, `deleted_at = now() - interval '61 min'`, true},
		{"deleted while failed", export.Failed, `deleted_at = now() - interval '61 min'`, true},
		{"deleted while processing", export.Processing, `deleted_at = now() - interval '61 min'`, true},
		{"purged after expiry", export.Expired, `updated_at = now() - interval '1 year', purged_at = now()`, false},
		{"purged after failure", export.Failed, `updated_at = now() - interval '1 year', purged_at = now()`, false},
		{"purged and deleted", export.Ready, `deleted_at = now() - interval '1 year', purged_at = now()`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := in(t, s, c.status)
			db.MustExec(`UPDATE memexport.exports SET `+c.set+` WHERE id = $1`, e.ID)
			list, err := s.Overdue(t.Context(), slack, grace, uuid.Nil.String(), 10)
			if err != nil {
				t.Fatal(err)
			}
			if found := len(list) == 1 && list[0].ID == e.ID; found != c.want || len(list) > 1 {
				t.Errorf("%d exports are overdue", len(list))
			}
			if c.want {
				equal(t, "the listed export", list[0], find(t, s, e.ID))
			}
			db.MustExec(`DELETE FROM memexport.exports`)
		})
	}
}

func TestOverdueListsEveryExportInBatches(t *testing.T) {
	t.Parallel()
	s, db := open(t)
	want := createN(t, s, 5)
	slices.Sort(want)
	db.MustExec(`UPDATE memexport.exports SET updated_at = now() - interval '1 hour'`)
	for limit := 1; limit <= 6; limit++ {
		var got []string
		for after := uuid.Nil.String(); ; after = got[len(got)-1] {
			batch, err := s.Overdue(t.Context(), time.Second, time.Second, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, idsOf(batch)...)
			if len(batch) < limit {
				break
			}
		}
		equal(t, "the exports", got, want)
	}
}
