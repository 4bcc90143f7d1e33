package config

import "time"

// Watch notices when a tenants file has changed, and reads it again. It is for one
// goroutine.
//
// A new version is read when it has not changed for some seconds: half of a file may be
// good YAML that leaves out tenants, or cuts an id short.
type Watch struct {
	sources Sources
	section section
	path    string
	sign    signature
	sum     [32]byte
	// last is the error of the newest version, "" if it is good. While there is an
	// error, the file is read again even if it has not changed: a file that it names
	// may have been the reason.
	last string
	// seen is the newest signature, and seenAt is when it was first seen. now is the
	// clock.
	seen   signature
	seenAt time.Time
	now    func() time.Time
}

// Watch watches the tenants file of an input; an input without one never changes.
func (in *Input) Watch(s Sources) *Watch {
	w := &Watch{
		sources: s,
		section: in.section,
		path:    in.TenantsFile,
		sum:     in.sum,
		now:     time.Now,
	}
	if w.path != "" {
		w.sign = signatureOf(w.path)
		w.sign.trusted = false // it may have changed since the input was read
	}

	return w
}

// Poll checks the file. It returns nil and no error while nothing has changed. For a
// new good version it returns the whole new Input (compare tenants with Tenant.Equal),
// also if only a broken version was fixed. For a broken version it returns the faults,
// once for the same faults: the version is refused as a whole, and the previous Input
// stays in force.
func (w *Watch) Poll() (*Input, []Warning, error) {
	if w.path == "" {
		return nil, nil, nil
	}

	sign := signatureOf(w.path)
	if w.last == "" && w.sign.same(sign) {
		return nil, nil, nil
	}

	if !w.still(sign) {
		return nil, nil, nil
	}

	in, warnings, err := w.section.input(w.sources)
	if !sign.equal(signatureOf(w.path)) {
		return nil, nil, nil // it was written to meanwhile
	}

	if err != nil {
		if err.Error() == w.last {
			return nil, nil, nil
		}

		w.last = err.Error()

		return nil, warnings, err
	}

	same := w.last == "" && w.sum == in.sum
	w.last, w.sign, w.sum = "", sign, in.sum

	if same {
		return nil, nil, nil
	}

	return in, warnings, nil
}

// still reports whether nothing has been written to the file for a while, by the time
// of the file or, if that is of no use, by what we have seen.
func (w *Watch) still(sign signature) bool {
	if sign.info != nil && time.Since(sign.info.ModTime()) > settled {
		return true
	}

	if !w.seen.equal(sign) || w.seenAt.IsZero() {
		w.seen, w.seenAt = sign, w.now()
	}

	return w.now().Sub(w.seenAt) > settled
}
