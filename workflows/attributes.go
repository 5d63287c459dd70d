package workflows

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// These are the search attributes by which an operator filters exports. They contain only statuses, ids,
// names of formats, numbers and times, because Temporal stores search attributes in clear text even if
// payloads are encrypted.
var (
	AttributeStatus    = temporal.NewSearchAttributeKeyKeyword("ExportStatus")
	AttributeWorkspace = temporal.NewSearchAttributeKeyKeyword("ExportWorkspace")
	AttributeFormat    = temporal.NewSearchAttributeKeyKeyword("ExportFormat")
	AttributeMemories  = temporal.NewSearchAttributeKeyInt64("ExportMemories")
	AttributeExpiresAt = temporal.NewSearchAttributeKeyTime("ExportExpiresAt")
)

// SearchAttributes maps the names of the search attributes to their types.
var SearchAttributes = map[string]enumspb.IndexedValueType{
	AttributeStatus.GetName():    AttributeStatus.GetValueType(),
	AttributeWorkspace.GetName(): AttributeWorkspace.GetValueType(),
	AttributeFormat.GetName():    AttributeFormat.GetValueType(),
	AttributeMemories.GetName():  AttributeMemories.GetValueType(),
	AttributeExpiresAt.GetName(): AttributeExpiresAt.GetValueType(),
}

// registerTimeout limits the time for the registration. A healthy server answers in milliseconds.
const registerTimeout = 5 * time.Second

// RegisterSearchAttributes adds the search attributes that the namespace lacks, and reports whether the
// namespace has all of them afterwards. It returns false without an error if the server does not permit
// adding them, as in Temporal Cloud. An error means that it is unknown which search attributes the
// namespace has, most likely because the server is down.
func RegisterSearchAttributes(ctx context.Context, c client.Client, namespace string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	if registered, err := allRegistered(ctx, c, namespace); registered {
		return true, err
	}
	_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: SearchAttributes,
	})
	var unavailable *serviceerror.Unavailable
	if errors.As(err, &unavailable) || ctx.Err() != nil {
		return false, err
	}
	registered, err := allRegistered(ctx, c, namespace)
	var denied *serviceerror.PermissionDenied
	if errors.As(err, &denied) {
		return false, nil
	}
	return registered, err
}

func allRegistered(ctx context.Context, c client.Client, namespace string) (bool, error) {
	response, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return false, err
	}
	for name, valueType := range SearchAttributes {
		if response.CustomAttributes[name] != valueType {
			return false, nil
		}
	}
	return true, nil
}
