package metrics

import (
	"cmp"
	"context"
	"slices"
	"time"

	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
)

// Source is an input as the server shows it.
type Source interface {
	// Units returns what is shown of every unit, as it is now.
	Units() []measure.Unit
	// Input returns what is shown of the input as a whole.
	Input() measure.Input
	// Ready returns nil if the store answers, and a unit was polled or there is none;
	// otherwise the error says what is missing.
	Ready(ctx context.Context) error
}

// snapshot is what all sources of a server show at one moment.
type snapshot struct {
	at        time.Time
	units     []measure.Unit // that this process polls, by tenant and API
	elsewhere []measure.Unit // that it is configured for but another node polls
	input     measure.Input  // the sum of all inputs, without their notices
	// notices are what is wrong with inputs as a whole, each thing once.
	notices []health.Trouble
}

// gather returns what all sources show now.
func (v *server) gather(now time.Time) snapshot {
	s := snapshot{at: now}

	for _, src := range v.sourcesNow() {
		for _, u := range src.Units() {
			if u.Elsewhere {
				s.elsewhere = append(s.elsewhere, u)
			} else {
				s.units = append(s.units, u)
			}
		}

		in := src.Input()
		s.input.Bytes += in.Bytes
		s.input.Events += in.Events
		s.input.Blocked = s.input.Blocked || in.Blocked
		s.input.FileRejected = s.input.FileRejected || in.FileRejected
		s.input.Discovery = s.input.Discovery.Join(in.Discovery)
		s.input.StoreErrors += in.StoreErrors
		s.input.Starts.Add(in.Starts)
		s.input.Nodes = measure.JoinNodes(s.input.Nodes, in.Nodes)

		if in.Notice != nil && !slices.Contains(s.notices, *in.Notice) {
			s.notices = append(s.notices, *in.Notice)
		}
	}

	slices.SortFunc(s.units, byKey)
	slices.SortFunc(s.elsewhere, byKey)

	return s
}

// byKey orders units by tenant and API.
func byKey(a, b measure.Unit) int {
	return cmp.Or(
		cmp.Compare(a.Key.TenantID, b.Key.TenantID),
		cmp.Compare(a.Key.API, b.Key.API),
		cmp.Compare(a.Key.StateID, b.Key.StateID),
		cmp.Compare(a.Key.LoginHost, b.Key.LoginHost),
	)
}

// sourcesNow returns the inputs that the server shows, in the order in which they came.
func (v *server) sourcesNow() []Source {
	v.mu.Lock()
	defer v.mu.Unlock()

	return slices.Clone(v.sources)
}
