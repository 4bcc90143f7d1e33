package alert

import (
	"sync"

	"fluent-bit-defender/internal/tick"
)

// Finder finds the identity and the time of a row. A reader of an API needs them to
// continue from page to page. Several goroutines may use it at the same time.
type Finder struct{ names fieldNames }

// finders are those in use, by the names that they look for: [2]string to *Finder.
var finders sync.Map

// NewFinder returns the Finder for an API. Its time is the one that Window names.
func NewFinder(f *RowFields, byCreation bool) *Finder {
	names := [...]string{f.Identity, f.Window(byCreation)}

	found, ok := finders.Load(names)
	if !ok {
		found, _ = finders.LoadOrStore(names, &Finder{names: *namesFor(names[:]...)})
	}

	return found.(*Finder)
}

// Window returns the name of the field that windows filter by: the update time, or the
// creation time if byCreation is set and the API can filter by it.
func (f *RowFields) Window(byCreation bool) string {
	if byCreation && f.WindowsByCreated {
		return f.Created
	}

	return f.Updated
}

// Find returns the identity of a row as a JSON value, nil if the row has none, and the
// row's time, 0 if it has none.
func (f *Finder) Find(raw []byte) (identity []byte, at tick.Tick) {
	var v [fieldCount][]byte
	find(raw, &f.names, &v)

	if textOf(v[inIdentity]) != nil {
		identity = v[inIdentity]
	}

	return identity, dated(timeOf(v[inUpdated]))
}
