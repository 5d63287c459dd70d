package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"memexport/internal/service/apikey"
	"memexport/internal/service/audit"
)

func deleteOperation() huma.Operation {
	return operation(huma.Operation{
		OperationID:   "deleteExport",
		Method:        http.MethodDelete,
		Path:          "/v1/exports/{id}",
		Summary:       "Delete an export",
		Description:   "Deletes an export for good: one that is running is cancelled, the file of a finished one is removed. From now on it is not found.",
		DefaultStatus: http.StatusNoContent,
		Parameters:    []*huma.Param{idParam()},
		Responses:     map[string]*huma.Response{"204": {Description: "The export is deleted."}},
	}, apikey.WriteExports, 404)
}

type deleteInput struct {
	ID string `path:"id"`
}

func (s *service) deleteExport(ctx context.Context, in *deleteInput) (*struct{}, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	infoOf(ctx).exportID = id
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.exports.Delete(bounded, workspaceOf(ctx), id); err != nil {
		return nil, s.problem(ctx, err)
	}
	s.recordDone(ctx, audit.Delete)
	// From here on, the owner no longer sees the export. If cancelling the workflow fails, the reconciler
	// cancels it and deletes the objects later.
	temporal, cancel := context.WithTimeout(context.WithoutCancel(ctx), temporalTimeout)
	defer cancel()
	if err := s.starter.Cancel(temporal, id); err != nil {
		s.log.WarnContext(ctx, "the workflow could not be cancelled; the reconciler will cancel it", append(infoOf(ctx).attrs(), "error", err)...)
	}
	return nil, nil
}
