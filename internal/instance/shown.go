package instance

import (
	"context"

	"fluent-bit-defender/internal/measure"
)

// Units implements metrics.Source.
func (s *tenantSet) Units() []measure.Unit {
	units := s.input.Measure()
	if s.node != nil {
		units = s.withElsewhere(units)
	}

	s.ends.fill(units)

	for i := range units {
		units[i].Ends.Relationship = units[i].Status.RelationshipEnd
	}

	return units
}

// Input implements metrics.Source.
func (s *tenantSet) Input() measure.Input {
	in := s.input.MeasureInput()
	in.FileRejected = s.refused.Load() != nil
	in.Discovery = s.found.measure()
	in.Nodes = s.nodes()

	return in
}

// Ready implements metrics.Source.
func (s *tenantSet) Ready(ctx context.Context) error { return s.input.Ready(ctx) }
