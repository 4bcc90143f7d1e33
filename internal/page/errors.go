package page

import "errors"

var (
	// ErrNotPage is returned for a document that is neither an object with an array
	// "value" nor an array, such as an HTML page or an OData error object ({"error":
	// …}). The rows before the error are whole.
	ErrNotPage = errors.New("not a page of alerts")
	// ErrSyntax is returned where the document is no longer JSON. The rows before it are
	// whole. Nothing can be read after it, since it is unknown where the next row begins.
	ErrSyntax = errors.New("page is not valid JSON")
	// ErrRowTooLarge is returned for a row longer than Options.MaxRow. The row was
	// skipped; the next call of Next returns the one that follows.
	ErrRowTooLarge = errors.New("row too large")
)
