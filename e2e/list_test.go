package e2e

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// page is one page of the list of exports.
type page struct {
	Data []object `json:"data"`
	Meta struct {
		CurrentPage int `json:"current_page"`
		PerPage     int `json:"per_page"`
		Total       int `json:"total"`
		LastPage    int `json:"last_page"`
	} `json:"meta"`
	link string
}

func (c *client) list(t *testing.T, query string) page {
	t.Helper()
	a := c.do(t, "GET", "/v1/exports?"+query).want(t, 200)
	p := page{link: a.header.Get("Link")}
	if err := json.Unmarshal(a.body, &p); err != nil || p.Data == nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return p
}

func TestTheListHasEveryExportOnceNewestFirst(t *testing.T) {
	s := sharedStack(t)
	c := s.newTenant(t)
	empty := c.list(t, "")
	if len(empty.Data) != 0 || empty.Meta.Total != 0 || empty.Meta.CurrentPage != 1 || empty.Meta.LastPage != 1 || empty.Meta.PerPage != 20 {
		t.Errorf("the list of a new workspace is %+v", empty)
	}
	const total = 5
	var made []object
	for range total {
		made = append(made, c.create(t, "user_id=nobody"))
	}
	for _, pageSize := range []int{1, 2, 5, 100} {
		lastPage := (total + pageSize - 1) / pageSize
		var seen []object
		for number := 1; number <= lastPage+1; number++ {
			p := c.list(t, "page="+strconv.Itoa(number)+"&page_size="+strconv.Itoa(pageSize))
			if p.Meta.Total != total || p.Meta.PerPage != pageSize || p.Meta.CurrentPage != number || p.Meta.LastPage != lastPage {
				t.Errorf("page %d of %d each says %+v", number, pageSize, p.Meta)
			}
			same(t, "there is a next page", strings.Contains(p.link, `rel="next"`), number < lastPage)
			same(t, "there is a previous page", strings.Contains(p.link, `rel="prev"`), number > 1)
			seen = append(seen, p.Data...)
		}
		same(t, "exports on all pages", len(seen), total)
		for i, e := range seen {
			same(t, "an export's place in the list", e.ID, made[total-1-i].ID)
		}
	}
	for _, query := range []string{"page=0", "page=-1", "page=x", "page_size=0", "page_size=101", "page=", "pagesize=5", "page=1&page=2"} {
		c.do(t, "GET", "/v1/exports?"+query).problem(t, 422, "INVALID_REQUEST")
	}
}
