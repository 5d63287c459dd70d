package workflows

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// MissingAttributesError says that the namespace lacks search attributes and that they could not be added. Exports
// run without them, but no query in the Temporal UI finds such exports by their attributes.
type MissingAttributesError struct {
	Namespace string
	Missing   []string // each with its type, such as "ExportStatus (Keyword)"; sorted
	Reason    error    // what the server answered; nil if it accepted the attributes
}

func (e *MissingAttributesError) Error() string {
	reason := ""
	if e.Reason != nil {
		reason = ": " + e.Reason.Error()
	}
	return fmt.Sprintf("the namespace %s lacks the search attributes %s, and they could not be added%s", e.Namespace, strings.Join(e.Missing, ", "), reason)
}

func (e *MissingAttributesError) Unwrap() error { return e.Reason }

// RegisterSearchAttributes adds the search attributes that the namespace lacks. It returns a
// MissingAttributesError if the server refuses them, as Temporal Cloud does. Any other error means that it is
// unknown which search attributes the namespace has, most likely because the server is down.
func RegisterSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	if missing, err := missingAttributes(ctx, c, namespace); err == nil && len(missing) == 0 {
		return nil
	}
	_, reason := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: SearchAttributes,
	})
	var unavailable *serviceerror.Unavailable
	if errors.As(reason, &unavailable) || ctx.Err() != nil {
		return cmp.Or(reason, ctx.Err())
	}
	missing, err := missingAttributes(ctx, c, namespace)
	var denied *serviceerror.PermissionDenied
	if errors.As(err, &denied) { // whoever may not list them does not know which the namespace has
		return &MissingAttributesError{Namespace: namespace, Missing: withTypes(SearchAttributes), Reason: err}
	}
	if err != nil || len(missing) == 0 {
		return err
	}
	return &MissingAttributesError{Namespace: namespace, Missing: withTypes(missing), Reason: reason}
}

// missingAttributes returns the search attributes that the namespace lacks or has with another type.
func missingAttributes(ctx context.Context, c client.Client, namespace string) (map[string]enumspb.IndexedValueType, error) {
	response, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return nil, err
	}
	missing := map[string]enumspb.IndexedValueType{}
	for name, valueType := range SearchAttributes {
		if response.CustomAttributes[name] != valueType {
			missing[name] = valueType
		}
	}
	return missing, nil
}

// withTypes returns each name with its type, sorted.
func withTypes(attributes map[string]enumspb.IndexedValueType) []string {
	var names []string
	for name, valueType := range attributes {
		names = append(names, fmt.Sprintf("%s (%s)", name, valueType))
	}
	slices.Sort(names)
	return names
}
