package page

import "errors"

var (
	// ErrNotPage: the document is neither an object with an array "value" nor an array:
	// an HTML page, an OData error object ({"error": …}), some other JSON. Rows read
	// before it showed are whole.
	ErrNotPage = errors.New("not a page of alerts")
	// ErrSyntax: the document broke off being JSON. Rows read before are whole; where
	// it stands in the page is lost, so nothing can be read after it.
	ErrSyntax = errors.New("page is not valid JSON")
	// ErrRowTooLarge: a row is longer than Options.MaxRow. It was passed over; the next
	// call of Next goes on behind it.
	ErrRowTooLarge = errors.New("row too large")
)
