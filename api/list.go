package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"memexport/internal/service/apikey"
	"memexport/internal/service/audit"
)

func listOperation() huma.Operation {
	return operation(huma.Operation{
		OperationID: "listExports",
		Method:      http.MethodGet,
		Path:        "/v1/exports",
		Summary:     "List exports",
		Description: "Lists the exports of the workspace, newest first, a page at a time.",
		Responses: map[string]*huma.Response{
			"200": {Description: "A page of exports. A page past the last is empty.", Headers: headerRefs("Link"),
				Content: jsonExample("page", "The only page.", ExportList{
					Data: []Export{readyExample()}, Meta: ListMeta{CurrentPage: 1, PerPage: 20, Total: 1, LastPage: 1},
				})},
		},
	}, apikey.ReadExports)
}

type listInput struct {
	Page     int `query:"page" format:"int32" minimum:"1" maximum:"1000000" default:"1" doc:"The number of the page, from 1."`
	PageSize int `query:"page_size" format:"int32" minimum:"1" maximum:"100" default:"20" doc:"How many exports a page has."`
}

type listOutput struct {
	Link string `header:"Link" hidden:"true"`
	Body ExportList
}

// ExportList is one page of a workspace's exports.
type ExportList struct {
	Data []Export `json:"data" maxItems:"100" doc:"The exports, newest first."`
	Meta ListMeta `json:"meta"`
}

// ListMeta describes the position of a page in the list.
type ListMeta struct {
	CurrentPage int `json:"current_page" format:"int32" minimum:"1" maximum:"1000000" doc:"The number of this page."`
	PerPage     int `json:"per_page" format:"int32" minimum:"1" maximum:"100" doc:"How many exports a page has."`
	Total       int `json:"total" minimum:"0" maximum:"9007199254740991" doc:"How many exports there are on all pages."`
	LastPage    int `json:"last_page" minimum:"1" maximum:"9007199254740991" doc:"The number of the last page; 1 if there are no exports."`
}

func (s *service) listExports(ctx context.Context, in *listInput) (*listOutput, error) {
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	exports, total, err := s.exports.List(bounded, workspaceOf(ctx), in.Page, in.PageSize)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	s.recordRead(ctx, audit.List)
	out := &listOutput{Body: ExportList{
		Data: make([]Export, len(exports)),
		Meta: ListMeta{CurrentPage: in.Page, PerPage: in.PageSize, Total: total, LastPage: max(1, (total+in.PageSize-1)/in.PageSize)},
	}}
	for i, e := range exports {
		out.Body.Data[i] = view(e)
	}
	out.Link = linkHeader(out.Body.Meta)
	return out, nil
}

// linkHeader returns a Link header (RFC 8288) with links to the first, previous, next and last page. The
// links are relative, because the server does not know the address under which clients reach it.
func linkHeader(m ListMeta) string {
	var links []string
	add := func(rel string, page int) {
		links = append(links, fmt.Sprintf(`</v1/exports?page=%d&page_size=%d>; rel=%q`, page, m.PerPage, rel))
	}
	add("first", 1)
	if m.CurrentPage > 1 {
		add("prev", min(m.CurrentPage-1, m.LastPage))
	}
	if m.CurrentPage < m.LastPage {
		add("next", m.CurrentPage+1)
	}
	add("last", m.LastPage)
	return strings.Join(links, ", ")
}
